"""Every exchange against the slave, without a line between them."""

from datetime import datetime, timedelta
from decimal import Decimal

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
