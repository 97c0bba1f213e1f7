"""The identifier tables, against the lengths that the standard prints and values by hand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.dlt645 import freeze, items, items97, load_record
from protocols.dlt645.fields import BadValue

PRINTED_LENGTHS = {
    0x00010000: 4,
    0x01010000: 8,
    0x040005FF: 14,
    0x03010000: 18,
    0x03010101: 131,  # voltage loss
    0x03050001: 15,
    0x03060001: 12,
    0x03070001: 76,
    0x03090001: 78,
    0x030B0101: 115,  # current loss
    0x030E0101: 76,
    0x03100000: 27,
    0x03110000: 3,
    0x03120000: 18,
    0x03120101: 20,
    0x03300001: 50,  # programming
    0x03300101: 106,
    0x03300201: 202,
    0x03300301: 14,
    0x03300401: 16,
    0x03300501: 682,
    0x03300601: 94,
    0x03300701: 11,
    0x03300801: 1026,
    0x03300901: 11,
    0x03300C01: 16,
    0x03300D01: 60,
    0x040604FF: 64,
    0x05001001: 24,
    0x0400040F: 11,
}


@pytest.mark.parametrize(("di", "length"), PRINTED_LENGTHS.items(), ids=hex)
def test_an_item_is_as_long_as_printed(di, length):
    assert items.find(di).size == length


@pytest.mark.parametrize(("block", "length"), list(enumerate([17, 24, 8, 16, 16, 6])))
def test_a_block_of_a_load_record_is_as_long_as_printed(block, length):
    assert load_record.BLOCKS[block].size == length


def values(di, data):
    return [v.value for v in items.decode_item(di, bytes.fromhex(data))]


def test_a_block_of_energies_has_as_many_tariffs_as_the_meter():
    named = items.decode_item(0x0001FF00, bytes.fromhex("29010000 62000000 60000000"))
    assert [(v.name, v.value) for v in named] == [
        ("forward active energy total", Decimal("1.29")),
        ("forward active energy tariff 1", Decimal("0.62")),
        ("forward active energy tariff 2", Decimal("0.60")),
    ]


def test_parts_of_one_printed_number_come_last_first():
    # YYMMDDWW: Friday 19 June 2026 is 05 19 06 26 on the line
    assert values(0x04000101, "05190626") == ["2026-06-19", Decimal(5)]
    # MMDDNN: from 1 July day table 2 is 02 01 07
    assert values(0x04010000, "020107 030110") == ["07-01", Decimal(2), "10-01", Decimal(3)]


def test_a_filled_value_is_no_number():
    assert values(0x0201FF00, "5622 FFFF FFFF") == [Decimal("225.6"), None, None]


def test_text_comes_last_character_first():
    name = b"DDZY".ljust(10, b"\0")
    assert values(0x0400040B, name[::-1].hex()) == ["DDZY"]


def test_a_purchase_record_tells_what_was_left():
    assert values(0x03330501, "56980100") == [Decimal("198.56")]


@pytest.mark.parametrize(("data", "kind"), [("1A000000", "non_bcd"), ("100000", "length")])
def test_a_value_that_cannot_be_read_says_why(data, kind):
    with pytest.raises(BadValue) as bad:
        items.decode_item(0x00010000, bytes.fromhex(data))
    assert bad.value.kind == kind


def test_1997_numbers_its_quadrants_in_its_own_order():
    names = [items97.find(di).fields[0].name for di in (0x9130, 0x9140, 0x9150, 0x9160)]
    assert names == [f"Q{q} reactive energy total" for q in (1, 4, 2, 3)]


@pytest.mark.parametrize("end", ["", "AA"])
def test_a_1997_block_may_end_with_aa(end):
    named = items97.decode_item(0x901F, bytes.fromhex("39000000 00000000" + end))
    assert [v.value for v in named] == [Decimal("0.39"), Decimal("0.00")]


def test_a_load_record_has_the_classes_that_are_on():
    # 15 June 2026 18:30, energies alone: 1234.56 forward, the rest 0
    body = bytes.fromhex("A0A0 1C 3018150626 AA AA AA 56341200 00000000 00000000 00000000 AA AA AA")
    data = body + bytes([sum(body) & 0xFF, 0xE5])

    (first, second) = load_record.decode_records(data + data)

    assert first == second
    assert (first.at, first.faulty) == ("2026-06-15 18:30", False)
    assert first.values[0].value == Decimal("1234.56")
    assert len(first.values) == 4


FROZEN_AT = "0000150626"  # 15 June 2026 00:00, low byte first
FORWARD = "56341200 50120000"  # total 1234.56, tariff 1 12.50
DEMAND = "563412 3018150626 000000 0000010126"  # 12.3456 at 18:30 on the 15th; tariff 1 nothing
FORWARD_AND_DEMAND = 0b0010_0001


@pytest.mark.parametrize(
    "record",
    [
        FROZEN_AT + FORWARD + DEMAND,
        FROZEN_AT + "AA" + FORWARD + "AA" + DEMAND,
        FROZEN_AT + "AA" + FORWARD + "AA" + DEMAND + "AA",
        FROZEN_AT + "AA" + FORWARD + "AA" * 8 + DEMAND + "AA" * 3,
    ],
    ids=["plain", "separated", "ended", "empty groups too"],
)
def test_a_whole_freeze_record_is_read_with_and_without_separators(record):
    shown = {v.name: v.value for v in freeze.decode_record(bytes.fromhex(record), mode=0b100001)}

    assert shown["freeze time"] == "2026-06-15 00:00"
    assert shown["forward active energy total"] == Decimal("1234.56")
    assert shown["forward active energy tariff 1"] == Decimal("12.50")
    assert shown["forward active max demand total"] == Decimal("12.3456")
    assert shown["occurred"] == "2026-01-01 00:00"
    assert len(shown) == 6  # the time of either demand has one name


def test_a_freeze_record_with_everything_holds_as_many_tariffs_as_its_length_says():
    # time 5, eight energies and two demands of k + 1 each, variables 24: with k = 4
    # 5 + 8 × 5 × 4 + 2 × 5 × 8 + 24 = 269
    values = freeze.decode_record(bytes.fromhex(FROZEN_AT) + bytes(160 + 80 + 24), mode=0xFF)
    assert len(values) == 1 + 8 * 5 + 2 * 5 * 2 + 8


@pytest.mark.parametrize("record", ["", FROZEN_AT, FROZEN_AT + "00" * 7, FROZEN_AT + "AA" * 2])
def test_a_freeze_record_that_does_not_fit_its_mode_word_is_refused(record):
    with pytest.raises(BadValue):
        freeze.decode_record(bytes.fromhex(record), mode=FORWARD_AND_DEMAND)


@given(st.binary(max_size=300), st.integers(0, 255))
def test_bytes_that_are_no_freeze_record_are_refused_and_nothing_else(data, mode):
    try:
        freeze.decode_record(data, mode=mode)
    except BadValue:
        return


def test_an_hourly_freeze_record_has_two_totals():
    assert values(0x0504FF01, "0018150626 56341200 00000000") == [
        "2026-06-15 18:00",
        Decimal("1234.56"),
        Decimal("0.00"),
    ]


@pytest.mark.parametrize(
    ("block", "first", "last", "count"),
    [
        (0x0001FF00, 0x00010000, 0x00013F00, 64),
        (0x000100FF, 0x00010000, 0x0001000C, 13),
        (0x0201FF00, 0x02010100, 0x02010300, 3),
        (0x0203FF00, 0x02030000, 0x02030300, 4),
        (0x020A01FF, 0x020A0101, 0x020A0115, 21),
        (0x040005FF, 0x04000501, 0x04000507, 7),
        (0x040501FF, 0x04050101, 0x0405013F, 63),
    ],
)
def test_a_block_stands_for_its_items(block, first, last, count):
    alone = items.members(block)
    assert (alone[0], alone[-1], len(alone)) == (first, last, count)


@pytest.mark.parametrize("di", [0x00010000, 0x04000508, 0x0504FF01, 0x12345678])
def test_what_is_no_block_stands_for_nothing_else(di):
    assert items.members(di) == []


def test_a_1997_set_is_its_blocks_each_ended_by_aa():
    # 90FF: forward with one tariff, reverse with none set
    named = items97.decode_set(0x90FF, bytes.fromhex("56341200 00020000 AA 01000000 AA"))
    assert [(v.name, v.value) for v in named] == [
        ("forward active energy total", Decimal("1234.56")),
        ("forward active energy tariff 1", Decimal("2.00")),
        ("reverse active energy total", Decimal("0.01")),
    ]


def test_an_empty_block_of_a_1997_set_is_two_aa():
    # 91F0: the six totals of reactive energy, QI empty
    named = items97.decode_set(0x91F0, bytes.fromhex("01000000AA 02000000AA AA 03000000AA"))
    assert [v.name for v in named] == [
        "forward reactive energy total",
        "reverse reactive energy total",
        "Q4 reactive energy total",
    ]


def test_a_1997_set_may_go_over_months_and_kinds():
    # 9F10: present, last month, month before last; active and reactive
    named = items97.decode_set(0x9F10, bytes.fromhex("01000000AA" * 6))
    assert [v.name for v in named][:3] == [
        "forward active energy total",
        "forward reactive energy total",
        "last month forward active energy total",
    ]


@pytest.mark.parametrize("di", [0x9010, 0x901F, 0xC33F])
def test_a_1997_block_is_no_set(di):
    assert not items97.is_set(di)
    with pytest.raises(items97.NoSuchItem):
        items97.decode_set(di, b"")


@given(st.sampled_from([0x90FF, 0x9FF0, 0xA0FF, 0xB0F0]), st.binary(max_size=80))
def test_any_data_under_a_1997_set_is_read_or_refused(di, data):
    try:
        items97.decode_set(di, data)
    except BadValue:
        return


@given(st.binary(max_size=200))
def test_bytes_that_are_no_load_record_are_refused_and_nothing_else(data):
    try:
        load_record.decode_records(b"\xa0\xa0" + data)
    except BadValue:
        return


KNOWN = [*PRINTED_LENGTHS, 0x0001FF00, 0x0400010C, 0x1D000101, 0x100101FF]


@given(st.sampled_from(KNOWN) | st.integers(0, 0xFFFFFFFF), st.binary(max_size=140))
def test_any_data_under_any_identifier_is_read_or_refused(di, data):
    try:
        items.decode_item(di, data)
    except (BadValue, items.NoSuchItem):
        return


@given(st.integers(0, 0xFFFF), st.binary(max_size=60))
def test_any_data_under_any_1997_identifier_is_read_or_refused(di, data):
    try:
        items97.decode_item(di, data)
    except (BadValue, items97.NoSuchItem):
        return
