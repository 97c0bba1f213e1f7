"""Every exchange of both editions against the slave, without a line between them."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import bcd
from protocols.dlt645 import frame, master, master97, slave
from protocols.dlt645.frame import Frame
from protocols.dlt645.master import Output, RelayCommand
from protocols.exchange import Refused, Unexpected

NOW = datetime.fromisoformat("2026-06-15 18:30:05")
METER = "012345678901"
WRITER = {"level": 4, "password": "123456", "operator": "00000007"}
CLEARER = {"level": 2, "password": "654321", "operator": "00000007"}


@pytest.fixture
def meter():
    return slave.MeterState(
        METER,
        passwords={2: "654321", 4: "123456"},
        registers={
            0x00010000: bcd.encode(Decimal("1234.56"), size=4, decimals=2),
            0x9010: bcd.encode(Decimal("1234.56"), size=4, decimals=2),
            0x04001001: bytes(4),
        },
    )


@pytest.fixture
def ask(converse):
    def ask(meter, exchange):
        return converse(
            exchange, decoder=frame.Decoder, answer=lambda sent: slave.answer(meter, sent, NOW)
        )

    return ask


def control(command, *, deadline=None, **others):
    return master.control(METER, command, deadline=deadline, **(CLEARER | others))


@pytest.mark.parametrize("edition", [master, master97])
@pytest.mark.parametrize("address", [METER, "AAAAAAAAAAAA", "AAAAAAAA8901"])
def test_energy_is_read_by_full_wildcard_and_abbreviated_address(meter, edition, address, ask):
    assert ask(meter, edition.read_energy(address)) == Decimal("1234.56")


@pytest.mark.parametrize("address", ["012345678902", "AAAAAAAA8902", "999999999999"])
def test_a_meter_is_silent_when_another_is_asked(meter, address, ask):
    with pytest.raises(TimeoutError):
        ask(meter, master.read_energy(address))


@pytest.mark.parametrize("length", [0, 196, 197, 391, 392, 1026])
def test_a_long_item_comes_whole_in_many_frames(length, ask):
    data = bytes(n % 251 for n in range(length))
    meter = slave.MeterState(METER, registers={0x03300801: data, 0x901F: data})

    assert ask(meter, master.read(METER, 0x03300801)) == data
    assert ask(meter, master97.read(METER, 0x901F)) == data


def test_a_lost_part_can_be_asked_again(meter):
    meter.registers[0x03300801] = bytes(600)
    identifier = bytes.fromhex("01083003")
    slave.answer(meter, Frame(METER, 0x11, identifier), NOW)

    first = slave.answer(meter, Frame(METER, 0x12, identifier + b"\x01"), NOW)
    again = slave.answer(meter, Frame(METER, 0x12, identifier + b"\x01"), NOW)

    assert first == again
    assert first.follow


def test_a_1997_meter_says_its_last_reply_again(meter, ask):
    ask(meter, master97.read_energy(METER))
    assert ask(meter, master97.reread(METER)) == bytes.fromhex("109056341200")


def test_an_unknown_identifier_is_refused_in_words(meter, ask):
    with pytest.raises(Refused) as refused:
        ask(meter, master.read(METER, 0x00020000))
    assert (refused.value.code, refused.value.reasons) == (0x02, ("no such data",))


def test_the_address_is_read_and_changed(meter, ask):
    assert ask(meter, master.read_address()) == METER
    ask(meter, master.write_address("000000112233"))
    assert ask(meter, master.read_address()) == "000000112233"
    ask(meter, master97.write_address("000000112244"))
    assert meter.address == "000000112244"


def test_the_clock_is_read_as_the_meter_runs(meter, ask):
    meter.clock_error = timedelta(minutes=-3)
    assert ask(meter, master.read_clock(METER)) == NOW - timedelta(minutes=3)


def test_a_clock_of_1997_is_read_from_its_date_and_its_time(meter, ask):
    meter.registers[0xC010] = bytes.fromhex("01150626")  # weekday first, then DD MM YY
    meter.registers[0xC011] = bytes.fromhex("560412")

    assert ask(meter, master97.read_clock(METER)) == datetime.fromisoformat("2026-06-15 12:04:56")
    meter.registers[0xC011] = bytes.fromhex("ffffff")
    with pytest.raises(Unexpected, match="no clock"):
        ask(meter, master97.read_clock(METER))


def test_a_clock_read_over_midnight_has_the_date_of_its_time(meter, converse):
    before, after = map(datetime.fromisoformat, ("2026-06-15 23:59:59", "2026-06-16 00:00:01"))
    times = iter([before, after, after])

    clock = converse(
        master.read_clock(METER),
        decoder=frame.Decoder,
        answer=lambda sent: slave.answer(meter, sent, next(times)),
    )

    assert clock == after


@pytest.mark.parametrize(("minutes", "taken"), [(5, True), (-5, True), (6, False)])
def test_a_broadcast_time_is_taken_when_the_clock_is_nearly_right(meter, minutes, taken):
    meter.clock_error = timedelta(minutes=minutes)

    (heard,) = frame.Decoder().feed(master.broadcast_time(NOW))

    assert slave.answer(meter, heard, NOW) is None
    assert (meter.clock_error == timedelta(0)) is taken


def test_the_relay_trips_and_closes_and_the_status_word_says_so(meter, ask):
    ask(meter, control(RelayCommand.TRIP))
    tripped = ask(meter, master.read_status(METER))
    ask(meter, control(RelayCommand.CLOSE))
    closed = ask(meter, master.read_status(METER))

    assert (tripped.contact_open, tripped.command_open) == (True, True)
    assert (closed.contact_open, closed.command_open) == (False, False)


def test_allow_close_waits_for_the_key(meter, ask):
    ask(meter, control(RelayCommand.TRIP))
    ask(meter, control(RelayCommand.ALLOW_CLOSE))
    allowed = ask(meter, master.read_status(METER))
    meter.press_key()
    pressed = ask(meter, master.read_status(METER))

    assert (allowed.contact_open, allowed.command_open) == (True, False)
    assert not pressed.contact_open


def test_a_meter_that_keeps_power_refuses_to_trip_and_says_why(meter, ask):
    meter.answers_with_word = True
    kept = ask(meter, control(RelayCommand.KEEP_POWER_ON))

    with pytest.raises(Refused) as refused:
        ask(meter, control(RelayCommand.TRIP))

    assert kept.states == ("keep power on",)
    assert refused.value.reasons == ("other error", "trip refused: keep power")
    assert ask(meter, master.read_status(METER)).keep_power


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({"password": "111111"}, 0x04),
        ({"level": 3}, 0x04),
        ({"deadline": NOW - timedelta(seconds=1)}, 0x01),
    ],
)
def test_a_relay_command_is_refused_with_a_wrong_password_or_too_late(meter, others, code, ask):
    with pytest.raises(Refused) as refused:
        ask(meter, control(RelayCommand.TRIP, **others))
    assert refused.value.code == code
    assert not meter.contact_open


def test_a_relay_command_is_taken_up_to_its_deadline(meter, ask):
    ask(meter, control(RelayCommand.TRIP, deadline=NOW))
    assert meter.contact_open


def test_a_parameter_is_written_with_its_password_in_both_editions(meter, ask):
    fifty = bcd.encode(50, size=4, decimals=2)
    ask(meter, master.write(METER, 0x04001001, fifty, **WRITER))
    ask(meter, master97.write(METER, 0x9010, fifty, permission=(4, "123456")))

    assert meter.registers[0x04001001] == meter.registers[0x9010] == fifty
    with pytest.raises(Refused):
        ask(meter, master97.write(METER, 0x9010, fifty, permission=None))


@pytest.mark.parametrize("edition", [master, master97])
def test_a_new_password_opens_what_the_old_one_did(meter, edition, ask):
    ask(
        meter,
        edition.change_password(METER, level=4, old=(2, "654321"), new_password="222222"),
    )
    ask(meter, master.write(METER, 0x04001001, bytes(4), **(WRITER | {"password": "222222"})))


def test_what_an_installer_does_is_served(meter, ask):
    ask(meter, master.freeze(METER, "99999999"))
    ask(meter, master.change_baud(METER, 9600))
    ask(meter, master.reset_demand(METER, **WRITER))
    ask(meter, master.clear_meter(METER, **CLEARER))
    ask(meter, master.clear_events(METER, **CLEARER))
    ask(meter, master.select_output(METER, Output.DEMAND_PERIOD))
    ask(meter, master97.reset_demand(METER))

    assert meter.frozen == ["99999999"]
    assert meter.baud_feature == 0x20
    assert meter.cleared == [(0x19, 0), (0x1A, 0), (0x1B, 0xFFFFFFFF), (0x19, 0)]
    assert meter.output == 1


def test_a_level_that_may_write_may_not_clear_the_meter(meter, ask):
    with pytest.raises(Refused):
        ask(meter, master.clear_meter(METER, **WRITER))
    assert meter.cleared == []


def test_a_meter_without_a_security_module_fails_the_authentication(meter, ask):
    with pytest.raises(Refused) as refused:
        ask(meter, master.authenticate(METER, 0x070000FF, bytes(24), operator="00000007"))
    assert refused.value.reasons == ("identity authentication failed",)


def test_a_block_that_a_meter_refuses_is_read_item_by_item(meter, ask):
    energies = {0x00010000: "1234.56", 0x00010100: "1000.00", 0x00010200: "234.56"}
    for di, shown in energies.items():
        meter.registers[di] = bcd.encode(Decimal(shown), size=4, decimals=2)
    # A meter of one phase: no B, but something behind it all the same.
    meter.registers[0x02030000] = meter.registers[0x02030100] = bytes(3)
    meter.registers[0x02030300] = bytes(3)

    tariffs = ask(meter, master.read_values(METER, 0x0001FF00))
    phases = ask(meter, master.read_values(METER, 0x0203FF00))

    assert [value.value for value in tariffs] == list(map(Decimal, energies.values()))
    assert [value.name for value in phases] == [f"active power {p}" for p in ("total", "A", "C")]


def test_a_block_of_which_a_meter_has_nothing_is_refused(meter, ask):
    with pytest.raises(Refused) as refused:
        ask(meter, master.read_values(METER, 0x0002FF00))
    assert refused.value.reasons == ("no such data",)


def test_a_whole_freeze_record_is_read_by_its_mode_word(meter, ask):
    # daily, forward energy alone: total and one tariff
    meter.registers[0x04000906] = b"\x01"
    meter.registers[0x0506FF01] = bytes.fromhex("0000150626 AA 56341200 50120000 AA")

    at, total, first = ask(meter, master.read_freeze(METER, 6, 1))

    assert (at.value, total.value, first.value) == (
        "2026-06-15 00:00",
        Decimal("1234.56"),
        Decimal("12.50"),
    )


def test_a_freeze_record_that_a_meter_gives_only_in_groups_is_put_together(meter, ask):
    meter.registers[0x04000906] = b"\x01"
    meter.registers[0x05060001] = bytes.fromhex("0000150626")
    meter.registers[0x05060101] = bytes.fromhex("56341200")

    at, total = ask(meter, master.read_freeze(METER, 6, 1))

    assert (at.value, total.value) == ("2026-06-15 00:00", Decimal("1234.56"))


@pytest.mark.parametrize(("kind", "back"), [(8, 1), (6, 0), (6, 255)])
def test_a_freeze_that_cannot_be_is_not_asked_for(kind, back):
    with pytest.raises(ValueError):
        next(master.read_freeze(METER, kind, back))


def test_a_1997_set_is_read_over_many_frames(meter, ask):
    # forward and reverse, each with 14 tariffs: 2 × (15 × 4 + 1) = 122; twice over for kvarh
    meter.registers[0x9FFF] = (bytes(60) + b"\xaa") * 24
    values = ask(meter, master97.read_values(METER, 0x9FFF))
    assert len(values) == 24 * 15


def test_a_broadcast_freeze_is_obeyed_and_not_answered(meter):
    said = slave.answer(meter, frame.decode(master.broadcast_freeze("99999999")), NOW)

    assert said is None
    assert meter.frozen == ["99999999"]


def test_the_clock_is_set_by_two_writes_and_read_back(meter, ask):
    meter.registers |= {0x04000101: bytes(4), 0x04000102: bytes(3)}
    at = datetime.fromisoformat("2026-06-15 18:33:07")

    ask(meter, master.write_clock(METER, at, **WRITER))

    assert ask(meter, master.read_clock(METER)) == at


def test_a_1997_set_or_block_that_a_meter_refuses_is_read_item_by_item(meter, ask):
    # Forward: total and one tariff; reverse: the block, which this meter knows. 90FF is neither.
    meter.registers[0x9011] = bcd.encode(Decimal("1000.00"), size=4, decimals=2)
    meter.registers[0x902F] = bytes(8)

    of_block = ask(meter, master97.read_values(METER, 0x901F))
    of_set = ask(meter, master97.read_values(METER, 0x90FF))

    assert [value.value for value in of_block] == [Decimal("1234.56"), Decimal("1000.00")]
    assert [value.name for value in of_set] == [
        "forward active energy total",
        "forward active energy tariff 1",
        "reverse active energy total",
        "reverse active energy tariff 1",
    ]
    with pytest.raises(Refused, match="data identifier error"):
        ask(meter, master97.read_values(METER, 0xA01F))


def test_the_1997_rate_byte_has_its_own_bits(meter, ask):
    for baud, feature in ((1200, 0x04), (9600, 0x20), (600, 0x02)):
        ask(meter, master97.change_baud(METER, baud))
        assert meter.baud_feature == feature
    with pytest.raises(Refused) as refused:
        ask(meter, master97.change_baud(METER, 300))
    assert refused.value.code == 0xFF
    with pytest.raises(ValueError, match="19200"):
        next(master97.change_baud(METER, 19200))


def test_a_1997_address_is_given_by_broadcast_and_confirmed_from_the_new_one(meter, ask):
    request = frame.decode(next(master97.write_address("000000112233")))
    assert (request.address, request.control) == ("9" * 12, 0x0A)

    ask(meter, master97.write_address("000000112233"))

    assert meter.address == "000000112233"
    with pytest.raises(ValueError):
        next(master97.write_address("1122"))


CIPHERTEXT_AND_MAC = bytes(range(20))


@pytest.mark.parametrize(
    ("function", "di", "level", "payload", "length"),
    [
        (master.CONTROL, None, 0x98, CIPHERTEXT_AND_MAC, 28),
        (master.RESET_DEMAND, None, 0x98, CIPHERTEXT_AND_MAC, 28),
        (master.CLEAR_METER, None, 0x98, CIPHERTEXT_AND_MAC, 28),
        (master.CLEAR_EVENTS, None, 0x98, CIPHERTEXT_AND_MAC, 28),
        (master.WRITE, 0x04000108, 0x99, bytes(5 + 4), 12 + 9),
        (master.WRITE, 0x040604FF, 0x98, bytes(64 + 4), 12 + 68),
    ],
)
def test_a_sealed_command_passes_on_what_the_key_system_made(
    function, di, level, payload, length, meter, ask
):
    exchange = master.seal(METER, function, payload, operator="00000007", di=di, level=level)
    request = frame.decode(next(exchange))
    head = b"" if di is None else di.to_bytes(4, "little")

    assert request.control == function
    assert len(request.data) == length
    assert request.data == head + bytes([level, 0, 0, 0]) + b"\7\0\0\0" + payload
    # This meter has no security module, so it obeys none of them.
    with pytest.raises(Refused):
        ask(meter, master.seal(METER, function, payload, operator="00000007", di=di, level=level))
    assert (meter.cleared, meter.contact_open) == ([], False)


@pytest.mark.parametrize(
    ("function", "payload", "others"),
    [
        (master.READ, CIPHERTEXT_AND_MAC, {}),
        (master.CONTROL, bytes(16), {}),
        (master.CONTROL, bytes(36), {}),
        (master.CONTROL, CIPHERTEXT_AND_MAC, {"di": 0x04001001}),
        (master.CONTROL, bytes(9), {"level": 0x99}),
        (master.WRITE, CIPHERTEXT_AND_MAC, {}),
        (master.WRITE, bytes(21), {"di": 0x04001001}),
        (master.CONTROL, CIPHERTEXT_AND_MAC, {"level": 4}),
    ],
)
def test_a_sealed_command_of_another_form_is_not_sent(function, payload, others):
    with pytest.raises(ValueError):
        next(master.seal(METER, function, payload, operator="00000007", **others))


def test_one_who_listens_gets_identifier_and_data():
    reply = Frame(METER, 0x91, bytes.fromhex("0000010056341200"))
    assert master.content(reply, address=METER) == (0x00010000, bytes.fromhex("56341200"))
    with pytest.raises(Unexpected):
        master.content(reply, address="000000000001")
    with pytest.raises(Unexpected):
        master.content(Frame(METER, 0x91, b"\0"), address=METER)


@pytest.mark.parametrize(
    "reply",
    [
        Frame("012345678902", 0x91, bytes.fromhex("0000010056341200")),  # another meter
        Frame(METER, 0x93, bytes.fromhex("0000010056341200")),  # another function
        Frame(METER, 0x91, bytes.fromhex("0000020056341200")),  # another identifier
        Frame(METER, 0x91, bytes.fromhex("00000100FA341200")),  # not BCD
        Frame(METER, 0x91, bytes.fromhex("00000100563412")),  # too short
        Frame(METER, 0x91, bytes.fromhex("00000100FFFFFFFF")),  # no value
        Frame(METER, 0x91, b""),
    ],
)
def test_an_answer_to_another_question_is_unexpected(reply):
    exchange = master.read_energy(METER)
    next(exchange)
    with pytest.raises(Unexpected):
        exchange.send(reply)


@given(st.integers(0, 255), st.binary(max_size=255), st.sampled_from([METER, "9" * 12, "A" * 12]))
def test_a_slave_answers_any_frame_or_is_silent_but_never_raises(function, data, address):
    meter = slave.MeterState(METER, passwords={2: "000000"}, registers={0: bytes(4)})
    reply = slave.answer(meter, Frame(address, function, data), NOW)
    assert reply is None or (reply.is_reply and reply.address == meter.address)
