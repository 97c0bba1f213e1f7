"""Power comes back to a building whose gateway went on by a battery: supplies are given back one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID

from edge.agent import Agent, Pace
from edge.clocks.clock import Clock
from edge.ledger.store import Store
from edge.lines.bus import Bus
from prepaid.point import Restore, ServicePoint
from prepaid.supply import Why
from prepaid.wire.uplog import SupplyChanged, read_up
from protocols.dlt645.frame import Decoder
from protocols.dlt645.relay import RelayCommand
from tests.edge.simulated import (
    ELECTRICITY,
    POWER_TARIFF,
    PURSE,
    ElectricityMeter,
    Wire,
    clock,
    simulated,
    top_up,
    until,
)

STAGGER_S = 10.0
ROOMS = 5
CONTROL = 0x1C


class Timed(Wire):
    """A line that notes when which meter was sent which command."""

    def __init__(self, meters: Iterable[ElectricityMeter]) -> None:
        super().__init__(meters)
        self.commands: list[tuple[float, str, RelayCommand]] = []

    async def write(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        for frame in Decoder().feed(data):
            if frame.control == CONTROL:
                command = RelayCommand(frame.data[8])
                self.commands.append((now, frame.address, command))
        await super().write(data)


def room(number: int) -> ServicePoint:
    no = f"20170932000{number}"
    meter = replace(ELECTRICITY.meter, meter_no=no, address=no)
    policy = replace(
        ELECTRICITY.policy, restore=Restore.DIRECT, stagger=timedelta(seconds=STAGGER_S)
    )
    return replace(ELECTRICITY, id=UUID(int=number), name=no, meter=meter, policy=policy)


class Building:
    """Rooms on one line, all paid for by one purse with ¥10.00."""

    def __init__(self, folder: Path) -> None:
        self.points = [room(number) for number in range(ROOMS)]
        self.meters = [ElectricityMeter(p.meter.address, "100.00") for p in self.points]
        self.wire = Timed(self.meters)
        self.store = Store(folder / "ledger.sqlite", "GW-0001")
        with self.store.transaction():
            self.store.save_tariff(POWER_TARIFF)
            self.store.post(top_up("10.00"))
            for point in self.points:
                self.store.save_point(point)
        bus = Bus("L1", self.wire, baud=9600, delay_s=0)
        pace = Pace(settle_s=30, least_s=1)
        self.agent = Agent(self.store, {"L1": bus}, Clock.of_wall(clock), pace)

    async def use_up(self) -> None:
        """Each room uses 5 kWh, together 5 × 5 × 0.50 = 12.50: the purse is empty, and all are cut."""
        for meter in self.meters:
            meter.show("105.00")
        await until(lambda: len(self.off()) == ROOMS, within_s=120)

    def off(self) -> list[str]:
        return [meter.address for meter in self.meters if meter.contact_open]

    def reasons(self, point: UUID) -> list[Why]:
        told = (read_up(entry.body) for entry in self.store.unacked(10_000))
        return [m.why for m in told if isinstance(m, SupplyChanged) and m.point == point]


@simulated
async def test_rooms_are_given_back_one_after_another_and_what_is_on_stays_on(tmp_path: Path):
    building = Building(tmp_path)
    serving = asyncio.ensure_future(building.agent.run())
    await asyncio.sleep(60)
    await building.use_up()
    await asyncio.sleep(10)  # each is read back
    building.meters[2].contact_open = False  # somebody has closed one by hand
    building.wire.is_silent = True
    await asyncio.sleep(1800)
    with building.store.transaction():
        building.store.post(top_up("20.00", purse=PURSE, cause="sandbox:again"))
    building.wire.commands.clear()

    building.wire.is_silent = False
    await until(lambda: not building.off(), within_s=900)
    serving.cancel()

    given = building.wire.commands
    assert {command for _, _, command in given} == {RelayCommand.CLOSE}
    assert sorted(address for _, address, _ in given) == [
        building.points[number].meter.address for number in (0, 1, 3, 4)
    ]
    times = [at for at, _, _ in given]
    # Places 0, 1, 2, 3: ten seconds from one to the next, and what a visit may come late.
    assert all(later - earlier >= STAGGER_S - 3 for earlier, later in pairwise(times))
    assert times[-1] - times[0] <= 3 * STAGGER_S + 5
    (last,) = (point for point in building.points if point.meter.address == given[-1][1])
    assert Why.STAGGERED in building.reasons(last.id)


@simulated
async def test_where_power_was_never_away_nobody_waits(tmp_path: Path):
    building = Building(tmp_path)
    serving = asyncio.ensure_future(building.agent.run())
    await asyncio.sleep(60)
    await building.use_up()

    building.wire.commands.clear()
    with building.store.transaction():
        building.store.post(top_up("20.00", purse=PURSE, cause="sandbox:again"))
    building.agent.wake_all()
    await until(lambda: not building.off(), within_s=20)
    serving.cancel()

    times = [at for at, _, _ in building.wire.commands]
    assert times[-1] - times[0] < STAGGER_S
