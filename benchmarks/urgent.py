"""How long a restoration waits behind polling, and how long a cut takes once the purse is seen to be empty.

Real agent, store, drivers and bus on lines in memory at their true rate that polling keeps busy: every meter is due
again as soon as it was read. One meter of each line is cut and restored again and again. Time is what the wires take
and what this process computes (benchmarks/own_time.py), so that a busy machine measures the same; the disk's is not
in it.

Waits: from the top-up, booked and told as the uplink does, to the first byte for that meter, less what the
transaction under way and the gap behind it still took. The reference is a line that is free at that instant.

Cuts: from the last byte of the reading that shows the purse empty to the last byte of the acknowledgement. The floor
is what must be on the wire in between: the second reading that agrees, the current, the command; their bytes, the
meter's own delays, and a gap before each.

    python -m benchmarks --only urgent
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from benchmarks import meters, own_time
from benchmarks.figure import Figure
from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.ledger.store import Store
from edge.lines.bus import GAP_BITS, GAP_S, Bus
from edge.lines.pace import Pace
from prepaid.money import Money
from prepaid.point import Policy, Restore, ServicePoint

BAUD = 9600
LINES = 9
METERS = 8
SECONDS = 30.0
LITTLE = Money(5)


class Watched:
    """The meter of a line that is cut and restored, and what the wire carries meanwhile."""

    def __init__(self, point: ServicePoint, meter: meters.Simulated, wire: meters.Wire) -> None:
        self.point = point
        self.waits_s: list[float] = []
        self.cuts: list[float] = []
        self.is_off = asyncio.Event()
        self._meter = meter
        self._byte_s = wire.byte_s
        self._gap_s = max(GAP_S, GAP_BITS / BAUD)
        self._free_at = 0.0  # when the line could be used again after the last answer
        self._is_asked = False
        self._topped_up: float | None = None
        self._empty_since: float | None = None
        self._floor_s = 0.0
        wire.sent, wire.said = self._sent, self._said

    def top_up(self) -> None:
        """Credit comes now."""
        self._topped_up = asyncio.get_running_loop().time()
        self.is_off.clear()

    def look(self, balance: Money) -> None:
        """Something has been booked, by the answer that came last: is the purse seen to be empty?"""
        is_empty = balance <= self.point.policy.cut_at
        if is_empty and self._meter.register.is_on and self._empty_since is None:
            self._empty_since, self._floor_s = self._free_at - self._gap_s, 0.0

    def _sent(self, meter: meters.Simulated, request: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if meter is self._meter and self._topped_up is not None:
            self.waits_s.append(now - max(self._topped_up, self._free_at))
            self._topped_up = None
        elif self._topped_up is not None and self._free_at < now:
            raise AssertionError("another meter was asked before the one that waits for its supply")

    def _said(self, meter: meters.Simulated, request: bytes, answer: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = now + self._gap_s
        if meter is not self._meter or self._empty_since is None:
            return
        bytes_s = (len(request) + len(answer)) * self._byte_s
        self._floor_s += self._gap_s + bytes_s + meter.delay_s
        if not meter.register.is_on:
            self.cuts.append((now - self._empty_since) / self._floor_s)
            self._empty_since = None
            self.is_off.set()


async def measure(folder: Path, *, seed: int, seconds: float) -> tuple[list[float], list[float]]:
    """The waits in milliseconds, and the cuts as multiples of their floor."""
    chance = random.Random(seed)
    store = Store(folder / "ledger.sqlite", "GW-BENCH")
    wires = {f"L{line}": meters.Wire(BAUD) for line in range(LINES)}
    policy = Policy(restore=Restore.DIRECT, dwell=timedelta(0))
    polled, watched = [], []
    for line, (name, wire) in enumerate(wires.items()):
        for number in range(METERS):
            place, protocol = 1000 * (line + 1) + number + 1, meters.PROTOCOLS[(line + number) % 3]
            point = meters.point(place, line=name, protocol=protocol, policy=policy)
            delay_s, per_hour = chance.uniform(0.02, 0.06), 0.5 if number else 55.0
            meter = meters.meter_of(point, per_hour=per_hour, delay_s=delay_s)
            wire.join(point, meter)
            if number:
                polled.append(point)
            else:
                watched.append(Watched(point, meter, wire))
    meters.fill(store, polled, credit=Money.yuan("1000.00"))
    meters.fill(store, [one.point for one in watched], credit=LITTLE)
    with store.transaction():
        store.save_brake(replace(store.brake(), least=1000))  # these cuts are no mistake of ours

    def look() -> None:
        for one in watched:
            one.look(store.balance(one.point.purse))

    store.on_append = look
    buses = {name: Bus(name, wire, baud=BAUD, delay_s=0.2) for name, wire in wires.items()}
    clock = Clock.of_wall(meters.wall)
    agent = Agent(store, buses, clock, Pace(settle_s=0.01, least_s=0.005))
    tasks = [asyncio.create_task(agent.run())]
    tasks += [asyncio.create_task(_pay(agent, store, one, chance)) for one in watched]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    store.close()
    waits = [1000 * wait for one in watched for wait in one.waits_s]
    return waits, [cut for one in watched for cut in one.cuts]


async def _pay(agent: Agent, store: Store, one: Watched, chance: random.Random) -> None:
    """Whenever it has been cut, pay a little, at any moment of what goes on on the line."""
    number = 0
    while True:
        await one.is_off.wait()
        await asyncio.sleep(chance.uniform(0.5, 1.5))
        number += 1
        with store.transaction():
            store.post(meters.top_up(one.point.purse, LITTLE, cause=str(number)))
        one.top_up()
        agent.wake_purse(one.point.purse)


def figures(rounds: int) -> list[Figure]:
    """The longest wait and the slowest cut of each round."""
    logging.disable(logging.WARNING)  # every cut is meant here
    waits, cuts = [], []
    for seed in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            waited, cut = own_time.run(measure(Path(folder), seed=seed, seconds=SECONDS))
        waits.append(max(waited))
        cuts.append(max(cut))
    logging.disable(logging.NOTSET)
    return [
        Figure(
            "urgent",
            "a restoration waits, beyond one transaction",
            tuple(waits),
            against="a free line; the longest of each round",
            bar=10.0,
            is_most=True,
            unit=" ms",
        ),
        Figure(
            "urgent",
            "zero seen to cut acknowledged",
            tuple(cuts),
            against="second reading, current, command on the wire; the slowest of each round",
            bar=1.15,
            is_most=True,
            unit=" ×",
        ),
    ]
