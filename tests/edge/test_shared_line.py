"""Modbus meters between DL/T 645 and CJ/T 188 meters on one line: merged reads, echo, and frames within frames."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from edge.drivers import Known, cj188, dlt645, modbus
from edge.lines.bus import Bus
from prepaid.reading import Supply
from protocols import bcd
from protocols.dlt645 import frame as dlt645_frame
from protocols.modbus.slave import Table
from tests.edge.simulated import (
    ELECTRICITY,
    WATER,
    ElectricityMeter,
    ModbusMeter,
    WaterMeter,
    Wire,
    simulated,
)

VALVE = replace(
    ELECTRICITY.meter,
    meter_no="M-1",
    protocol="modbus",
    address="1",
    settings={"profile": "xintai_water_valve"},
)


class Line:
    """A meter of each protocol."""

    def __init__(self, *, echoes: bool) -> None:
        self.power = ElectricityMeter(ELECTRICITY.meter.address, "123.45")
        self.valve = ModbusMeter("xintai_water_valve")
        self.valve.show("volume_forward", "1F85 0B3F")  # 0.545
        self.valve.show("valve_state", "0001")
        self.wire = Wire(
            [self.power, self.valve, WaterMeter(WATER.meter.address, "10.00", travel_s=1)]
        )
        self.wire.echoes = echoes
        self._bus = Bus("L1", self.wire, baud=9600, delay_s=0)

    async def read_all(self) -> tuple[Decimal, Decimal, Decimal, Supply | None]:
        run = self._bus.run
        power = await run(lambda: dlt645.read(ELECTRICITY.meter), dlt645.decoder, whom="power")
        valve = await run(lambda: modbus.read(VALVE), modbus.decoder, whom="valve")
        water = await run(lambda: cj188.read(WATER.meter), cj188.decoder, whom="water")
        return power.total, valve.total, water.total, valve.supply


RIGHT = (Decimal("123.45"), Decimal("0.545"), Decimal("10.00"), Supply.ON)


@pytest.mark.parametrize("echoes", [False, True])
@simulated
async def test_a_merged_read_is_right_whatever_bytes_lie_in_its_gap(echoes: bool):
    line, rng = Line(echoes=echoes), random.Random(645)
    for _ in range(50):
        for address in range(3, 28):
            line.valve.tables[Table.HOLDING][address] = rng.randrange(0x10000)
        assert await line.read_all() == RIGHT

    merged = [request for request in line.wire.requests if len(request) == 8 and request[5] == 28]
    assert len(merged) >= 50


@pytest.mark.parametrize("echoes", [False, True])
@simulated
async def test_a_frame_of_another_protocol_within_a_merged_answer_is_not_taken_for_one(
    echoes: bool,
):
    # the registers 3 to 15 hold, byte by byte, what the electricity meter would answer: 999999.99 kWh
    line = Line(echoes=echoes)
    data = (0x00010000).to_bytes(4, "little") + bcd.encode(Decimal("999999.99"), size=4, decimals=2)
    answer = dlt645_frame.encode(dlt645_frame.Frame(ELECTRICITY.meter.address, 0x91, data)).lstrip(
        b"\xfe"
    )
    answer += b"\xfe" * (len(answer) % 2)
    for at in range(len(answer) // 2):
        word = int.from_bytes(answer[2 * at : 2 * at + 2], "big")
        line.valve.tables[Table.HOLDING][3 + at] = word

    for _ in range(3):
        assert await line.read_all() == RIGHT


@simulated
async def test_a_hole_is_found_on_a_shared_line_as_on_any():
    line = Line(echoes=True)
    await line.read_all()
    del line.valve.tables[Table.HOLDING][0x0010]

    seen = await line._bus.run(lambda: modbus.read(VALVE), modbus.decoder)
    assert (seen.total, seen.supply) == (Decimal("0.545"), Supply.ON)
    before = len(line.wire.requests)
    known = Known(refused=seen.refused)
    again = await line._bus.run(lambda: modbus.read(VALVE, known), modbus.decoder)

    assert again == seen
    assert len(line.wire.requests) == before + 2
