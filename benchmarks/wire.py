"""How much of a line's time the gateway uses, in time of its own: as `line`, but measured on a busy machine too.

Real agent, store, drivers and bus on lines in memory at their true rate. Time is what the wires take and what this
process computes, the simulation of the meters included (benchmarks/own_time.py): a gateway that computes too long
leaves its lines idle as it would alone on its machine. Used is what it is in benchmarks/line.py: what answered
requests needed, their bytes, the delay that the meter took, and the gap that must follow.

    python -m benchmarks --only wire
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import statistics
import tempfile
from pathlib import Path

from benchmarks import line, meters, own_time
from benchmarks.figure import Figure
from benchmarks.line import CASES, Case
from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.ledger.store import Store
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from prepaid.money import Money

SECONDS = 8.0
ONE_LINE_S = 60.0  # of one line alone: how often its silent meters are tried must come into it
BABBLE_S = 1.0
CHUNK = 8  # characters of what is babbled, at a time


class Babbler:
    """Somebody who sends random characters, BABBLE_S at a time, for a share of the time: no answer comes then."""

    def __init__(self, wire: meters.Wire, chance: random.Random, *, share: float) -> None:
        self.is_on = False
        self._wire = wire
        self._chance = chance
        self._share = share

    async def run(self) -> None:
        while self._share:
            await asyncio.sleep(self._chance.uniform(0, 2 * BABBLE_S * (1 / self._share - 1)))
            self.is_on = True
            for _ in range(round(BABBLE_S / self._wire.byte_s / CHUNK)):
                await asyncio.sleep(CHUNK * self._wire.byte_s)
                self._wire.arrive(self._chance.randbytes(CHUNK))
            self.is_on = False


class Faulty:
    """A meter of which a share of the answers is spoiled, half cut short, half with a wrong byte; or a silent one."""

    def __init__(
        self,
        meter: meters.Simulated,
        babbler: Babbler,
        chance: random.Random,
        *,
        share: float,
        is_silent: bool,
    ) -> None:
        self.register, self.delay_s = meter.register, meter.delay_s
        self._meter = meter
        self._babbler = babbler
        self._chance = chance
        self._share = share
        self._is_silent = is_silent

    def answer(self, request: bytes) -> bytes:
        if self._is_silent or self._babbler.is_on:
            return b""
        said = self._meter.answer(request)
        if said and self._chance.random() < self._share:
            at = self._chance.randrange(len(said))
            if self._chance.random() < 0.5:
                return said[:at]
            return said[:at] + bytes([said[at] ^ 0x55]) + said[at + 1 :]
        return said


class Watched:
    """What was on a wire, as line.judge wants it."""

    def __init__(self, wire: meters.Wire) -> None:
        self.seen: dict[str, list[list[float | str]]] = {"asked": [], "said": []}
        self._byte_s = wire.byte_s
        wire.sent, wire.said = self._sent, self._said

    def _sent(self, meter: meters.Simulated, request: bytes) -> None:
        self.seen["asked"].append([asyncio.get_running_loop().time(), request.hex()])

    def _said(self, meter: meters.Simulated, request: bytes, answer: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self.seen["said"].append([now - len(answer) * self._byte_s, now])


async def measure(case: Case, folder: Path, *, seed: int) -> tuple[float, int]:
    """The share of the lines' time that was used, and the requests that came before the gap was over."""
    chance = random.Random(seed)
    store = Store(folder / "ledger.sqlite", "GW-BENCH")
    wires, points = {f"L{number}": meters.Wire(case.baud) for number in range(case.lines)}, []
    babblers = []
    for number, (name, wire) in enumerate(wires.items()):
        babblers.append(Babbler(wire, chance, share=case.babbling))
        for place in range(case.meters):
            point = meters.point(
                1000 * (number + 1) + place + 1, line=name, protocol=meters.PROTOCOLS[place % 3]
            )
            meter = meters.meter_of(point, per_hour=1.0, delay_s=chance.uniform(0.02, 0.06))
            is_silent = place >= case.meters - case.silent
            faulty = Faulty(meter, babblers[-1], chance, share=case.corrupt, is_silent=is_silent)
            wire.join(point, faulty)
            points.append(point)
    meters.fill(store, points, credit=Money.yuan("1000000"))
    watched = [Watched(wire) for wire in wires.values()]
    buses = {
        name: Bus(name, wire, baud=case.baud, delay_s=line.DELAY_S) for name, wire in wires.items()
    }
    pace = Pace(settle_s=0.05, least_s=0.01)
    agent = Agent(store, buses, Clock.of_wall(meters.wall), pace)
    tasks = [asyncio.create_task(work) for work in (agent.run(), *(one.run() for one in babblers))]
    await asyncio.sleep(case.learn_s)
    gc.collect()
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(ONE_LINE_S if case.lines == 1 else SECONDS)
    ended = asyncio.get_running_loop().time()
    await asyncio.sleep(line.ANSWERED_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    store.close()
    found = [line.judge(one.seen, baud=case.baud, began=began, ended=ended) for one in watched]
    return statistics.mean(used for used, _, _ in found), sum(early for _, _, early in found)


def figures(rounds: int) -> list[Figure]:
    """The share of the time used, and requests that came before the gap was over."""
    logging.disable(logging.WARNING)  # the silent are meant
    used: dict[str, list[float]] = {case.name: [] for case in CASES}
    early = [0.0] * rounds
    for seed in range(rounds):
        for case in CASES:
            with tempfile.TemporaryDirectory() as folder:
                share, count = own_time.run(measure(case, Path(folder), seed=seed))
            used[case.name].append(share)
            early[seed] += count
    logging.disable(logging.NOTSET)
    return [
        *(
            Figure(
                "lines in own time",
                f"used: {case.name}",
                tuple(used[case.name]),
                against="the wire itself",
                bar=case.bar,
            )
            for case in CASES
        ),
        Figure(
            "lines in own time",
            "sent before the gap was over",
            tuple(early),
            against="none",
            bar=0.0,
            is_most=True,
        ),
    ]
