"""What meters measure is asked for when a line has nothing else to do, and goes up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.lines.acquaintance import Acquaintances
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from edge.measuring import Measuring
from prepaid.momentary import Measurand
from prepaid.point import ServicePoint
from prepaid.wire.uplog import Measured, Read
from protocols import bcd
from protocols.dlt645.frame import Decoder
from protocols.modbus.slave import Table
from tests.edge import simulated as simulated_room
from tests.edge.simulated import (
    ELECTRICITY,
    ModbusMeter,
    Room,
    Wire,
    clock,
    simulated,
    until,
)


def slow(point: ServicePoint) -> ServicePoint:
    """Its deadline is minutes away: its line has slack."""
    return replace(point, meter=replace(point.meter, max_per_hour=Decimal("0.1")))


POWER, WATER = slow(ELECTRICITY), slow(simulated_room.WATER)
VOLTAGES, POWERS = 0x0201FF00, 0x0203FF00


@asynccontextmanager
async def serving(room: Room, *, settle_s: float, measure_s: float) -> AsyncIterator[Agent]:
    """The gateway's program at work."""
    bus = Bus("L1", room.wire, baud=2400, delay_s=0)
    agent = Agent(
        room.store, {"L1": bus}, Clock.of_wall(clock), Pace(settle_s, 1, measure_s=measure_s)
    )
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def three_phases(room: Room) -> None:
    volts = bcd.encode(Decimal("220.1"), size=2, decimals=1)
    kilowatts = bcd.encode(Decimal("1.6000"), size=3, decimals=4)
    room.meter.registers |= {VOLTAGES: volts * 3, POWERS: kilowatts * 4}


def asked(room: Room) -> list[int]:
    """The identifiers that were asked for."""
    sent = [frame for request in room.wire.requests for frame in Decoder().feed(request)]
    return [int.from_bytes(frame.data[:4], "little") for frame in sent]


@simulated
async def test_each_point_is_measured_at_its_slow_pace_and_it_goes_up(tmp_path: Path):
    room = Room(tmp_path, [POWER, WATER])
    three_phases(room)
    room.water.battery_low = True

    async with serving(room, settle_s=60, measure_s=900):
        await until(lambda: len(room.told(Measured)) == 2, within_s=30)
        first = {told.point: told.momentary for told in room.told(Measured)}
        assert first[ELECTRICITY.id].meter_no == ELECTRICITY.meter.meter_no
        assert first[ELECTRICITY.id].values[Measurand.VOLTAGE_C] == Decimal("220.1")
        assert first[ELECTRICITY.id].values[Measurand.POWER] == Decimal("1.6000")
        assert (first[WATER.id].is_battery_low, first[WATER.id].is_valve_abnormal) == (True, False)
        await asyncio.sleep(850)
        assert len(room.told(Measured)) == 2
        await until(lambda: len(room.told(Measured)) == 4, within_s=120)


@simulated
async def test_nothing_is_measured_where_the_settings_say_never(tmp_path: Path):
    room = Room(tmp_path, [POWER, WATER])
    async with serving(room, settle_s=60, measure_s=0):
        await asyncio.sleep(3600)

    assert VOLTAGES not in asked(room)


@simulated
async def test_a_line_without_slack_measures_nothing(tmp_path: Path):
    # a visit takes about half a second at 2400, and the next is due half a second after it
    room = Room(tmp_path, [POWER])
    three_phases(room)
    async with serving(room, settle_s=0.5, measure_s=900):
        await asyncio.sleep(600)

    assert VOLTAGES not in asked(room)
    assert len(asked(room)) > 1000


@simulated
async def test_whoever_is_woken_waits_for_one_request_of_a_measurement_at_most(tmp_path: Path):
    room = Room(tmp_path, [POWER])
    three_phases(room)
    async with serving(room, settle_s=600, measure_s=900) as agent:
        await until(lambda: VOLTAGES in asked(room), within_s=30)
        agent.wake([ELECTRICITY.id])
        before = len(room.wire.requests)
        await until(lambda: len(room.wire.requests) > before, within_s=1)
        assert asked(room)[before] == 0x00010000
        # and it is measured all the same
        await until(lambda: len(room.told(Measured)) == 1, within_s=30)


@simulated
async def test_a_measurement_is_given_up_between_two_requests_when_the_line_is_wanted(
    tmp_path: Path,
):
    room = Room(tmp_path, [POWER])
    three_phases(room)
    wanted_after = [2]
    measuring = Measuring(
        Bus("L1", room.wire, baud=2400, delay_s=0),
        room.store,
        Acquaintances(),
        every_s=900,
        points=lambda: [POWER],
        is_wanted=lambda: len(room.wire.requests) >= wanted_after[0],
        has_slack=lambda: True,
        now=clock,
    )

    assert not await measuring.measure(POWER)
    assert len(room.wire.requests) == 2
    assert not room.told(Measured)
    wanted_after[0] = 100
    assert await measuring.measure(POWER)
    assert len(room.told(Measured)) == 1


@simulated
async def test_a_silent_meter_is_not_measured(tmp_path: Path):
    room = Room(tmp_path, [POWER])
    room.wire.is_silent = True
    async with serving(room, settle_s=60, measure_s=60):
        await asyncio.sleep(1800)
    assert VOLTAGES not in asked(room)


@simulated
async def test_a_meter_that_refuses_blocks_is_measured_by_what_it_has_from_then_on(tmp_path: Path):
    room = Room(tmp_path, [POWER])
    room.meter.registers[0x02010100] = bcd.encode(Decimal("220.1"), size=2, decimals=1)
    async with serving(room, settle_s=600, measure_s=900):
        await until(lambda: len(room.told(Measured)) == 1, within_s=30)
        room.wire.requests.clear()
        await until(lambda: len(room.told(Measured)) == 2, within_s=2000)

    assert [di for di in asked(room) if di >> 24 == 2] == [0x02010100]
    (value,) = room.told(Measured)[1].momentary.values.values()
    assert value == Decimal("220.1")


@simulated
async def test_a_full_disk_stops_measurements_as_it_stops_readings(tmp_path: Path):
    room = Room(tmp_path, [POWER])
    three_phases(room)
    room.store.keeps_readings = False
    async with serving(room, settle_s=60, measure_s=60):
        await asyncio.sleep(600)

    assert VOLTAGES in asked(room)
    assert not room.told(Measured)
    assert not room.told(Read)


@simulated
async def test_a_meter_that_measures_nothing_says_nothing(tmp_path: Path):
    room = Room(tmp_path, [POWER])
    async with serving(room, settle_s=600, measure_s=300):
        await asyncio.sleep(1200)

    assert VOLTAGES in asked(room)
    assert not room.told(Measured)


SDM120 = replace(
    POWER,
    meter=replace(
        POWER.meter, protocol="modbus", address="1", settings={"profile": "eastron_sdm120"}
    ),
)


class Mute(ModbusMeter):
    """It says nothing at all to a request that touches an address that it has not."""

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        if any(at not in self.tables[table] for at in range(address, address + count)):
            raise Mute.Silence
        return super().read(table, address, count)

    class Silence(Exception):
        pass


class MuteWire(Wire):
    async def write(self, data: bytes) -> None:
        try:
            await super().write(data)
        except Mute.Silence:
            return


def counts(room: Room) -> list[int]:
    """Of the registers of each read."""
    return [int.from_bytes(request[4:6], "big") for request in room.wire.requests]


async def measured_twice(room: Room) -> None:
    async with serving(room, settle_s=600, measure_s=300):
        await asyncio.sleep(400)


@simulated
async def test_unknown_addresses_are_read_along_where_the_meter_gives_them(tmp_path: Path):
    # 9600: the five values from 0 to 31 by one request of 32, then 70 and 71
    room = Room(tmp_path, [SDM120])
    meter = ModbusMeter("eastron_sdm120")
    meter.tables[Table.INPUT].update(
        {at: 0 for at in range(400) if at not in meter.tables[Table.INPUT]}
    )
    room.wire = Wire([meter])
    await measured_twice(room)

    assert max(counts(room)) > 2
    assert len(room.told(Measured)) == 2


@simulated
async def test_a_meter_that_is_silent_at_unknown_addresses_is_not_asked_for_them_again(
    tmp_path: Path,
):
    room = Room(tmp_path, [SDM120])
    room.wire = MuteWire([Mute("eastron_sdm120")])
    async with serving(room, settle_s=600, measure_s=300):
        await asyncio.sleep(200)
        assert max(counts(room)) > 2
        assert not room.told(Measured)
        room.wire.requests.clear()
        await asyncio.sleep(300)

    assert max(counts(room)) == 2
    assert len(room.told(Measured)) == 1
