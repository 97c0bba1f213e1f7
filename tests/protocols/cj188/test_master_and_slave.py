"""Every exchange against the slave, without a line between them."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.cj188 import frame, items, master, slave
from protocols.cj188.frame import Frame
from protocols.cj188.items import Valve
from protocols.cj188.master import ValveCommand
from protocols.exchange import Refused, Unexpected

NOW = datetime.fromisoformat("2026-06-15 18:30:05")
METER = "78330011223344"
VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture
def meter():
    return slave.MeterState(METER, total=Decimal("123.45"), settlement=Decimal("100.00"))


@pytest.fixture
def ask(converse):
    def ask(meter, exchange):
        return converse(
            exchange, decoder=frame.Decoder, answer=lambda sent: slave.answer(meter, sent, NOW)
        )

    return ask


@pytest.mark.parametrize("high_first", [True, False])
@pytest.mark.parametrize("address", [METER, frame.WILDCARD])
def test_the_totals_are_read_with_the_identifier_in_either_order(meter, high_first, address, ask):
    reading = ask(meter, master.read_water(address, high_first=high_first, serial=7))

    assert reading.total == Decimal("123.45")
    assert reading.settlement == Decimal("100.00")
    assert reading.clock == NOW
    assert reading.status.valve is Valve.OPEN


@pytest.mark.parametrize("high_first", [True, False])
def test_the_valve_closes_and_opens(meter, high_first, ask):
    for command, there in ((ValveCommand.CLOSE, Valve.CLOSED), (ValveCommand.OPEN, Valve.OPEN)):
        ask(meter, master.write_valve(METER, command, high_first=high_first, serial=255))
        assert ask(meter, master.read_water(METER, serial=0)).status.valve is there


def test_the_address_is_asked_with_any_type(meter, ask):
    assert ask(meter, master.read_address()) == METER


@pytest.mark.parametrize(("address", "kind"), [("78330011223345", 0x10), (METER, 0x20)])
def test_a_meter_is_silent_when_another_is_asked(meter, address, kind, ask):
    with pytest.raises(TimeoutError):
        ask(meter, master.read_water(address, meter_type=kind, serial=0))


def test_an_unknown_identifier_is_refused_with_the_status_word(meter, ask):
    meter.battery_low = True
    with pytest.raises(Refused) as refused:
        ask(meter, master.read(METER, 0x8102, serial=1))
    assert (refused.value.code, refused.value.reasons) == (0x04, ("battery low",))


def test_clock_address_and_key_version_are_served(meter, ask):
    meter.registers[0x8106] = b"\x11"
    meter.clock_error = timedelta(hours=1)

    ask(meter, master.write_clock(METER, NOW, serial=1))
    version = ask(meter, master.read(METER, 0x8106, serial=2))
    ask(meter, master.write_address("78330011223355", serial=3))

    assert meter.clock_error == timedelta(0)
    assert version == b"\x11"
    assert ask(meter, master.read_address()) == "78330011223355"


def test_a_purchase_sent_twice_is_credited_once(meter, ask):
    # number 6, 50.00 bought last, 500.00 in all, 2.99 left
    meter.registers[0x8105] = bytes.fromhex("06 00500000 00000500 99020000 0000")
    purchase = bytes.fromhex("0700500100")  # number 7, 150.00

    for serial in (1, 2):
        assert ask(meter, master.write(METER, 0xA013, purchase, serial=serial)) == purchase

    left = ask(meter, master.read(METER, 0x8105, serial=3))[9:13]
    assert left == bytes.fromhex("99520100")  # 2.99 + 150.00 = 152.99


def heat_meter():
    # 12.34 and 567.89 kWh, 1.50 kW, flow 0, 100.00 m3, 65.43 and 40.00 °C, 1234 h, clock, status
    data = bytes.fromhex(
        "3412000005 8967050005 5001000017 0000000035 000001002C 436500 004000 341200"
        "05301815062620 0000"
    )
    return slave.MeterState(METER, type=0x20, registers={0x901F: data})


def test_a_heat_meter_is_read_with_all_its_fields(ask):
    reading = ask(heat_meter(), master.read_heat(METER, serial=1))

    assert (reading.energy.value, reading.energy.unit_code) == (Decimal("567.89"), 0x05)
    assert reading.settlement_energy.value == Decimal("12.34")
    assert reading.power.value == Decimal("1.50")
    assert reading.flow_rate.value == Decimal("0.0000")
    assert reading.volume.cubic_metres == Decimal("100.00")
    assert reading.supply_temperature == Decimal("65.43")
    assert reading.return_temperature == Decimal("40.00")
    assert (reading.hours, reading.clock) == (1234, NOW)


HEAT_FRAMES = [
    line
    for line in map(json.loads, (VECTORS / "cjt188.jsonl").read_text().splitlines())
    if line["dir"] == "response"
    and "supply_temp" in line.get("expect", {}).get("data", {})
    and line["expect"]["di"] == "901F"
]


@pytest.mark.parametrize("line", HEAT_FRAMES, ids=[line["id"] for line in HEAT_FRAMES])
def test_a_collected_heat_frame_reads_as_its_line_says(line):
    (found,) = frame.Decoder().feed(bytes.fromhex(line["hex"]))
    data = line["expect"]["data"]

    reading = items.decode_heat(found.data[3:])

    assert f"{reading.energy.value:f}" == data["current_energy"]["value"]
    assert f"{reading.supply_temperature:f}" == data["supply_temp"]
    assert reading.status.hex().upper() == data["st"]["raw"]


def test_what_is_bought_is_added_once_and_seen_in_the_account(meter, ask):
    meter.registers[0x8105] = bytes.fromhex("FF 00500000 00000500 99020000 0000")

    account = ask(meter, master.buy(METER, Decimal("150.00"), serial=254))

    # 2.99 + 150.00; the number after 255 is 0
    assert (account.purchase_no, account.remaining) == (0, Decimal("152.99"))
    assert ask(meter, master.read_account(METER, serial=1)) == account


def test_a_meter_that_confirms_a_purchase_and_adds_nothing_is_noticed(meter, converse):
    account = bytes.fromhex("06 00500000 00000500 99020000 0000")

    def answer(sent):
        data = account if sent.data[:2] == b"\x81\x05" else sent.data[3:]
        return Frame(0x10, METER, sent.control | 0x80, sent.data[:3] + data)

    with pytest.raises(Unexpected, match="after buying"):
        converse(master.buy(METER, Decimal("1.00"), serial=0), decoder=frame.Decoder, answer=answer)


@pytest.mark.parametrize("understood", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_a_refused_order_of_the_identifier_is_tried_the_other_way(understood, first, converse):
    state = slave.MeterState(METER, total=Decimal("1.00"))
    wire = b"\x90\x1f" if understood else b"\x1f\x90"

    def answer(sent):
        if sent.data[:2] != wire:
            return Frame(0x10, METER, 0xC1, sent.data[2:3] + b"\0\0")
        return slave.answer(state, sent, NOW)

    exchange = master.in_either_order(
        lambda order: master.read_water(METER, high_first=order, serial=0), high_first=first
    )
    reading, order = converse(exchange, decoder=frame.Decoder, answer=answer)

    assert (reading.total, order) == (Decimal("1.00"), understood)


def test_what_no_order_helps_is_refused(meter, ask):
    exchange = master.in_either_order(
        lambda order: master.read(METER, 0x8102, high_first=order, serial=0), high_first=True
    )
    with pytest.raises(Refused):
        ask(meter, exchange)


@pytest.mark.parametrize(
    ("kind", "first"), [(0x10, True), (0x20, False), (0x29, False), (0x30, True)]
)
def test_heat_meters_are_asked_low_byte_first(kind, first):
    assert master.default_high_first(kind) is first


def test_after_the_factory_mode_base_and_address_stay(meter, ask):
    base = items.encode_volume(Decimal("5.00"))
    meter.registers[0xA016] = bytes(5)

    ask(meter, master.write(METER, 0xA016, base, serial=1))
    ask(meter, master.write(METER, 0xA019, b"", serial=2))

    for again in (
        master.write(METER, 0xA016, bytes(5), serial=3),
        master.write_address("78330011223355", serial=4),
    ):
        with pytest.raises(Refused):
            ask(meter, again)
    assert (meter.registers[0xA016], meter.address) == (base, METER)


def test_a_valve_with_a_function_of_its_maker_is_written_with_it():
    # as a fox-edge meter was written and answered
    exchange = master.write_valve(
        "00000805000001", ValveCommand.OPEN, serial=0, function=master.VENDOR_VALVE
    )
    sent = next(exchange)
    assert sent.endswith(bytes.fromhex("6810010000050800002A04A0170055C016"))
    (reply,) = frame.Decoder().feed(bytes.fromhex("681001000005080000AA05A0170000FFEB16"))
    with pytest.raises(StopIteration) as done:
        exchange.send(reply)
    assert done.value.value.valve is Valve.OPEN


def test_a_reply_with_another_serial_number_and_order_is_accepted():
    exchange = master.read_water(METER, serial=1)
    next(exchange)
    data = bytes.fromhex("1F9063") + items.encode_water(
        Decimal("1.00"), Decimal(0), NOW, items.ValveStatus.from_bytes(b"\0\0")
    )
    with pytest.raises(StopIteration) as done:
        exchange.send(Frame(0x10, METER, 0x81, data))
    assert done.value.value.total == Decimal("1.00")


@pytest.mark.parametrize(
    ("quantity", "cubic_metres"),
    [
        ("563412002C", "1234.56"),
        ("5634120029", "1.23456"),  # 1234.56 L
        ("563412002D", "12345.6"),
        ("2C56341200", "1234.56"),  # the unit first
    ],
)
def test_a_volume_is_in_cubic_metres_whatever_the_meter_counts(quantity, cubic_metres):
    volume = items.decode_quantity(bytes.fromhex(quantity)).cubic_metres
    assert volume == Decimal(cubic_metres)


HEAD = "901F01"
CLOCK_AND_STATUS = "00000000000000" + "0000"


@pytest.mark.parametrize(
    "reply",
    [
        Frame(0x10, "78330011223345", 0x81, bytes.fromhex(HEAD)),  # another meter
        Frame(0x10, METER, 0x84, bytes.fromhex(HEAD)),  # another function
        Frame(0x10, METER, 0x81, bytes.fromhex("810201" + "00" * 19)),  # another identifier
        Frame(0x10, METER, 0x81, bytes.fromhex(HEAD + "00" * 18)),  # too short
        Frame(0x10, METER, 0x81, bytes.fromhex(HEAD + "FFFFFFFF2C" * 2 + CLOCK_AND_STATUS)),
        Frame(0x10, METER, 0x81, bytes.fromhex(HEAD + "0A0000002C" * 2 + CLOCK_AND_STATUS)),
        Frame(0x10, METER, 0x81, bytes.fromhex(HEAD + "0000000005" * 2 + CLOCK_AND_STATUS)),  # kWh
        Frame(0x10, METER, 0x81, b""),
    ],
)
def test_an_answer_that_is_no_reading_is_unexpected(reply):
    exchange = master.read_water(METER, serial=1)
    next(exchange)
    with pytest.raises(Unexpected):
        exchange.send(reply)


@given(st.integers(0, 255), st.binary(max_size=255))
def test_a_slave_answers_any_frame_or_is_silent_but_never_raises(control, data):
    reply = slave.answer(slave.MeterState(METER), Frame(0x10, METER, control, data), NOW)
    assert reply is None or (reply.is_reply and reply.address == METER)
