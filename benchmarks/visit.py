"""What a visit costs the gateway's processor, and what many meters cost its memory.

Real agent, store, drivers and bus; meters in memory, in simulated time, three protocols mixed, every register moved
and charged at every visit. What simulating the meters costs is taken off. A transaction is a request and its answer,
decoded, with its part of the booking and the commit.

The reference, in the same round, is the least that could be done: a frame of each protocol decoded, and one row
committed to SQLite without waiting for the disk.

    python -m benchmarks --only visit
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import meters
from benchmarks.figure import Figure
from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.drivers import DRIVERS
from edge.ledger.store import Store
from edge.ledger.upkeep import Upkeep
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from prepaid.money import Money
from simulators.clock import SimulatedLoop

BAUD = 9600
LINES = 32
ROUND_METERS = 128
ROUND_S = 900.0  # simulated, of a round that measures the processor
ROUND_SETTLE_S = 225.0
MANY_METERS = 1024
MANY_S = 6 * 3600.0
LONG_METERS = 16
LONG_DAYS = 30
SETTLE_S = 3600.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway at work on simulated lines."""

    store: Store
    agent: Agent
    wires: list[meters.Wire]

    @property
    def asked(self) -> int:
        return sum(wire.asked for wire in self.wires)

    @property
    def simulated_s(self) -> float:
        return sum(wire.cpu_s for wire in self.wires)


def site(folder: Path, *, count: int, settle_s: float) -> Site:
    """So many meters, evenly over LINES lines."""
    store = Store(folder / "ledger.sqlite", "GW-BENCH")
    wires = {f"L{line}": meters.Wire(BAUD) for line in range(LINES)}
    points = []
    for number in range(count):
        line = number % LINES
        point = meters.point(
            1000 * (line + 1) + number // LINES + 1,
            line=f"L{line}",
            protocol=meters.PROTOCOLS[number // LINES % 3],
        )
        wires[point.meter.line].join(
            point, meters.meter_of(point, per_hour=0.4 + number % 7 * 0.3, delay_s=0.03)
        )
        points.append(point)
    meters.fill(store, points, credit=Money.yuan("1000000"))
    buses = {name: Bus(name, wire, baud=BAUD, delay_s=0.2) for name, wire in wires.items()}
    agent = Agent(store, buses, Clock.of_wall(meters.wall), Pace(settle_s=settle_s, least_s=1.0))
    return Site(store, agent, list(wires.values()))


# The processor.


async def visits_us(folder: Path) -> list[float]:
    """Microseconds of processor for one transaction, over ROUND_S of simulated time."""
    here = site(folder, count=ROUND_METERS, settle_s=ROUND_SETTLE_S)
    serving = asyncio.create_task(here.agent.run())
    await asyncio.sleep(2 * ROUND_SETTLE_S)
    gc.collect()
    asked, simulated, began = here.asked, here.simulated_s, time.process_time()
    await asyncio.sleep(ROUND_S)
    took = time.process_time() - began - (here.simulated_s - simulated)
    asked = here.asked - asked
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    here.store.close()
    return [took / asked * 1e6]


async def least_us(folder: Path, *, times: int = 2000) -> list[float]:
    """Microseconds for a frame decoded and a row committed, one after the other."""
    frames = []
    for place, protocol in enumerate(meters.PROTOCOLS):
        point = meters.point(place + 1, line="L", protocol=protocol)
        meter = meters.meter_of(point, per_hour=1.0, delay_s=0.0)
        request = next(DRIVERS[protocol].read(point.meter))
        frames.append((DRIVERS[protocol], request, meter.answer(request)))
    with closing(sqlite3.connect(folder / "least.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE row (number INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        began = time.process_time()
        for number in range(times):
            driver, request, answer = frames[number % len(frames)]
            (frame,) = driver.decoder(request).feed(answer)
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO row VALUES (?, ?)", (number, str(frame)))
            db.execute("COMMIT")
        return [(time.process_time() - began) / times * 1e6]


# Memory.


async def memory_mb(folder: Path, *, count: int, seconds: float, looks: int) -> list[float]:
    """Megabytes of the process after a few rounds of visits, and then looks times, evenly over the time."""
    here = site(folder, count=count, settle_s=SETTLE_S)
    upkeep = Upkeep(
        here.store,
        folder / "ledger.sqlite",
        kept=meters.KEPT,
        reserve_bytes=2**20,
        now=meters.wall,
    )
    tasks = [
        asyncio.create_task(work)
        for work in (here.agent.run(), upkeep.run(), _acknowledge(here.store))
    ]
    await asyncio.sleep(3 * SETTLE_S)
    seen = [_resident_mb()]
    for _ in range(looks):
        await asyncio.sleep(seconds / looks)
        seen.append(_resident_mb())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    here.store.close()
    return seen


async def _acknowledge(store: Store) -> None:
    """The cloud takes what is sent."""
    while True:
        await asyncio.sleep(60)
        while batch := store.unacked(200):
            with store.transaction(is_derived=True):
                store.acknowledge(batch[-1].seq)


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status does not say VmRSS")


# Rounds, each in a process of its own: what an earlier one left behind is not counted.

PARTS: dict[str, Callable[[Path], Coroutine[None, None, list[float]]]] = {
    "visits": lambda folder: visits_us(folder),
    "least": lambda folder: least_us(folder),
    "many": lambda folder: memory_mb(folder, count=MANY_METERS, seconds=MANY_S, looks=3),
    "long": lambda folder: memory_mb(
        folder, count=LONG_METERS, seconds=LONG_DAYS * DAY_S, looks=LONG_DAYS
    ),
}


def _measured(part: str) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.visit", part]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in said.stdout.split()]


def figures(rounds: int) -> list[Figure]:
    """Processor and memory."""
    visits, least = [], []
    for _ in range(rounds):
        visits += _measured("visits")
        least += _measured("least")
    many, long = _measured("many"), _measured("long")
    week, month = max(long[:8]), max(long)
    return [
        Figure(
            "cost",
            "processor of a transaction",
            tuple(visits),
            against=f"a frame decoded and a row committed: {statistics.median(least):.0f} µs",
            bar=500.0,
            is_most=True,
            unit=" µs",
        ),
        Figure(
            "cost",
            f"memory at {MANY_METERS} meters",
            tuple(many),
            against="none; the simulated meters are in it",
            bar=80.0,
            is_most=True,
            unit=" MB",
        ),
        Figure(
            "cost",
            f"memory after {LONG_DAYS} simulated days",
            (month / week,),
            against=f"its own first week: {week:.1f} MB",
            bar=1.02,
            is_most=True,
            unit=" ×",
        ),
    ]


def main() -> None:
    part = PARTS[sys.argv[1]]
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=SimulatedLoop) as runner,
    ):
        found = runner.run(part(Path(folder)))
    sys.stdout.write(" ".join(f"{value:.2f}" for value in found) + "\n")


if __name__ == "__main__":
    main()
