"""Drivers against the codecs' own meters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from edge.drivers import BadMeter, cj188, dlt645, dlt645_1997, modbus
from prepaid.point import Restore
from prepaid.reading import Supply
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import slave as cj188_slave
from protocols.cj188.items import Valve
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import slave as dlt645_slave
from protocols.exchange import Refused
from tests.edge.simulated import ELECTRICITY, EVENING, WATER, ElectricityMeter

METER, WATER_METER = ELECTRICITY.meter, WATER.meter
NOW = datetime(2026, 11, 21, 18, 0)  # the meter's own clock, 8 hours ahead of UTC  # noqa: DTZ001


def converse(exchange: Any, answer: Callable[[bytes], Any]) -> Any:
    """Run an exchange against something that answers at once."""
    try:
        request = next(exchange)
        while True:
            request = exchange.send(answer(request))
    except StopIteration as end:
        return end.value


def ask(meter: ElectricityMeter, exchange: Any) -> Any:
    def answer(request: bytes) -> Any:
        return dlt645_slave.answer(meter, dlt645_frame.decode(request), NOW)

    return converse(exchange, answer)


def ask_water(meter: cj188_slave.MeterState, exchange: Any) -> Any:
    def answer(request: bytes) -> Any:
        return cj188_slave.answer(meter, cj188_frame.decode(request), NOW)

    return converse(exchange, answer)


@pytest.mark.parametrize(
    ("contact_open", "command_open", "supply"),
    [
        (False, False, Supply.ON),
        (False, True, Supply.ON),  # tripped a moment ago: the contact has not moved yet
        (True, False, Supply.ARMED),
        (True, True, Supply.OFF),
    ],
)
def test_the_contact_says_whether_power_flows_and_the_command_whether_the_button_may_close(
    contact_open: bool, command_open: bool, supply: Supply
):
    meter = ElectricityMeter(METER.address, "123.45")
    meter.contact_open, meter.command_open = contact_open, command_open

    seen = ask(meter, dlt645.read(METER))

    assert (seen.total, seen.supply) == (Decimal("123.45"), supply)
    assert ask(meter, dlt645.state(METER)) is supply


def test_a_meter_without_status_word_is_read_and_cannot_say_its_supply():
    meter = ElectricityMeter(METER.address, "123.45")

    def answer(request: bytes) -> Any:
        frame = dlt645_frame.decode(request)
        if frame.data == bytes.fromhex("03050004"):
            return replace(frame, control=0xD1, data=b"\x02")
        return dlt645_slave.answer(meter, frame, NOW)

    seen = converse(dlt645.read(METER), answer)

    assert (seen.total, seen.supply) == (Decimal("123.45"), None)


@pytest.mark.parametrize(("said", "supply"), [("yes", Supply.ARMED), ("no", Supply.OFF)])
def test_a_meter_that_fills_only_bit_4_is_off_with_its_contact_open_where_its_entry_says_so(
    said: str, supply: Supply
):
    configured = replace(METER, settings={**METER.settings, "relay_command_bit": said})
    meter = ElectricityMeter(METER.address, "123.45")
    meter.status_bits = 0x0010
    meter.contact_open = meter.command_open = True

    assert ask(meter, dlt645.state(configured)) is supply


def test_a_relay_command_bit_is_yes_or_no():
    configured = replace(METER, settings={"relay_command_bit": "false"})
    meter = ElectricityMeter(METER.address, "123.45")
    meter.contact_open = True

    with pytest.raises(BadMeter, match="relay_command_bit of meter 201709320072"):
        ask(meter, dlt645.state(configured))


@pytest.mark.parametrize(
    ("supply", "restore", "state"),
    [
        (Supply.OFF, Restore.ALLOW_CLOSE, Supply.OFF),
        (Supply.ON, Restore.ALLOW_CLOSE, Supply.ARMED),
        (Supply.ON, Restore.DIRECT, Supply.ON),
    ],
)
def test_a_relay_is_tripped_allowed_to_close_or_closed(
    supply: Supply, restore: Restore, state: Supply
):
    meter = ElectricityMeter(METER.address, "123.45")
    meter.contact_open = meter.command_open = True

    ask(meter, dlt645.switch(METER, supply, restore, EVENING))

    assert ask(meter, dlt645.state(METER)) is state


def test_a_command_with_a_deadline_is_refused_by_a_meter_whose_clock_is_past_it():
    settings = {**METER.settings, "deadline_min": "5", "utc_offset_min": "480"}
    dated = replace(METER, settings=settings)
    meter = ElectricityMeter(METER.address, "123.45")
    in_time = datetime(2026, 11, 21, 9, 56, tzinfo=UTC)  # until 18:01 on the meter
    too_late = datetime(2026, 11, 21, 9, 54, tzinfo=UTC)  # until 17:59

    with pytest.raises(Refused):
        ask(meter, dlt645.switch(dated, Supply.OFF, Restore.DIRECT, too_late))
    assert not meter.contact_open
    ask(meter, dlt645.switch(dated, Supply.OFF, Restore.DIRECT, in_time))
    assert meter.contact_open


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"password": "12"}, "password"),
        ({"level": "11"}, "level"),
        ({"operator": "abc"}, "operator"),
        ({"deadline_min": "5"}, "utc_offset_min"),
        ({"deadline_min": "5", "utc_offset_min": "480000000000"}, "utc_offset_min"),
    ],
)
def test_a_wrong_meter_setting_is_named_before_anything_is_sent(wrong: dict[str, str], named: str):
    meter = replace(METER, settings={**METER.settings, **wrong})

    with pytest.raises(BadMeter, match=f"{named} of meter 201709320072"):
        next(dlt645.switch(meter, Supply.OFF, Restore.DIRECT, EVENING))


@pytest.mark.parametrize("address", ["2017", "AAAAAAAAAAAA", ""])
def test_a_meter_address_is_twelve_digits(address: str):
    with pytest.raises(BadMeter, match="address"):
        next(dlt645.read(replace(METER, address=address)))


@pytest.mark.parametrize("order", ["high-first", "low-first"])
def test_a_water_meter_is_read_and_its_valve_moved_in_either_order_of_identifiers(order: str):
    configured = replace(WATER_METER, settings={"meter_type": "10", "di_order": order})
    meter = cj188_slave.MeterState(WATER_METER.address, total=Decimal("10.25"))

    seen = ask_water(meter, cj188.read(configured))
    ask_water(meter, cj188.switch(configured, Supply.OFF, Restore.ALLOW_CLOSE, EVENING))
    closed = ask_water(meter, cj188.state(configured))
    ask_water(meter, cj188.switch(configured, Supply.ON, Restore.ALLOW_CLOSE, EVENING))

    assert (seen.total, seen.supply) == (Decimal("10.25"), Supply.ON)
    assert closed is Supply.OFF
    assert ask_water(meter, cj188.state(configured)) is Supply.ON


def test_an_abnormal_valve_cannot_say_its_supply():
    meter = cj188_slave.MeterState(WATER_METER.address, valve=Valve.ABNORMAL)

    assert ask_water(meter, cj188.state(WATER_METER)) is None


def test_a_water_meters_settings_are_checked():
    wrong = replace(WATER_METER, settings={"di_order": "middle"})

    with pytest.raises(BadMeter, match="di_order"):
        next(cj188.read(wrong))


# Clocks and the buzzer.


def test_a_meters_clock_is_what_it_shows_itself():
    electricity = ElectricityMeter("201709320072", "100.00")
    electricity.clock_error = timedelta(minutes=3)
    water = cj188_slave.MeterState(WATER_METER.address, clock_error=timedelta(minutes=-3))

    assert ask(electricity, dlt645.clock(METER)) == NOW + timedelta(minutes=3)
    assert ask_water(water, cj188.clock(WATER_METER)) == NOW - timedelta(minutes=3)


def test_a_water_meters_clock_is_set_by_its_address():
    water = cj188_slave.MeterState(WATER_METER.address, clock_error=timedelta(hours=-3))

    ask_water(water, cj188.set_clock(WATER_METER, NOW))

    assert water.clock_error == timedelta(0)


def test_a_broadcast_is_of_both_editions_and_of_no_other_meters():
    later, earlier = dlt645.clock_broadcast(NOW), dlt645_1997.clock_broadcast(NOW)

    assert later == earlier
    assert cj188.clock_broadcast(NOW) is None
    assert modbus.clock_broadcast(NOW) is None


def test_a_meter_with_a_buzzer_is_told_by_the_command_for_alarms():
    meter = ElectricityMeter("201709320072", "100.00")
    with_buzzer = replace(METER, settings={**METER.settings, "buzzer": "yes"})

    ask(meter, dlt645.buzz(with_buzzer, EVENING, is_on=True))
    assert meter.alarm
    ask(meter, dlt645.buzz(with_buzzer, EVENING, is_on=False))
    assert not meter.alarm


def test_a_meter_of_which_nobody_says_that_it_has_a_buzzer_has_none():
    assert dlt645.buzz(METER, EVENING, is_on=True) is None
    assert dlt645_1997.buzz(METER, EVENING, is_on=True) is None
    assert cj188.buzz(WATER_METER, EVENING, is_on=True) is None
    assert modbus.buzz(METER, EVENING, is_on=True) is None
