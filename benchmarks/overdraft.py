"""How far purses are overdrawn when they are cut, against customers who know when their meters are read.

A discrete simulation with the real agent, store, drivers and bus on a line in simulated time. Every purse pays for
one to three meters. Its customer sees each reading, and right after one begins to draw all that the meters can: some
from the start, others once so little is left that it may not last until the next, others at random. The true cost of
what flowed until all is off, beyond what was paid, is the overdraft; it must be within the bound that the gateway
states of its line (Agent.bound). The reference is the same customers with a reading every thirty minutes.

    python -m benchmarks.overdraft [--seeds 1000]

A thousand seeds take a quarter of an hour of processor time. What has been played is kept in KEPT, so that a run that
was broken off goes on from there, as long as the code is the same; how busy the machine is changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter

from benchmarks import meters
from benchmarks.figure import Figure
from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.ledger.store import Store
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from prepaid.money import Money
from prepaid.point import Policy, Restore, ServicePoint
from simulators.clock import SimulatedLoop

HALF_HOUR_S = 1800.0
DEADLINES = Pace(settle_s=900.0, least_s=1.0)
NEXT_S = 10.0
HALF_HOURS = Pace(settle_s=HALF_HOUR_S, least_s=HALF_HOUR_S)
PURSES = 6
MOST = float(meters.MOST_PER_HOUR)
FEN_PER_UNIT = float(meters.PRICE) * 100
LONGEST_S = 24 * 3600.0
SEEDS = 1000
REFERENCE_SEEDS = 200  # for a mean these are enough
ROOT = Path(__file__).parent.parent
KEPT = ROOT / "data" / "bench-overdraft.jsonl"
CODE = ("benchmarks", "edge", "prepaid", "protocols", "simulators")
SAID_EACH = 50  # outcomes, between two words on how far it is


class Plan(StrEnum):
    """When the meters are read."""

    DEADLINES = "deadlines"  # as the gateway does
    HALF_HOURS = "half-hours"  # the reference


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one seed: each purse's overdraft and the bound, in fen, and the share of the line's time that was used."""

    overdrafts: tuple[float, ...]
    bound: int
    used: float


@dataclass(frozen=True, slots=True)
class Played:
    """One seed that was played."""

    plan: Plan
    seed: int
    outcome: Outcome


_PLAYED = TypeAdapter(Played)


class Customer:
    """One purse, its meters, and when they begin to draw all they can."""

    def __init__(
        self,
        points: list[ServicePoint],
        found: list[meters.Simulated],
        chance: random.Random,
        next_s: float,
    ) -> None:
        self.points = points
        self.credit_fen = chance.randint(20, 1500)
        self._meters = found
        self._chance = chance
        self._next_s = next_s  # about when the next reading comes once little is left
        self._manner = chance.choice(("at once", "at the end", "at random"))
        self._is_all_in = False
        self._settle()

    @property
    def purse(self) -> UUID:
        return self.points[0].purse

    @property
    def spent_fen(self) -> float:
        """What all of its meters have truly let through costs."""
        return sum(meter.register.total - 100.0 for meter in self._meters) * FEN_PER_UNIT

    @property
    def is_off(self) -> bool:
        return not any(meter.register.is_on for meter in self._meters)

    def was_read(self) -> None:
        """One of its meters has just been read: what is drawn from now on, nobody knows before the next reading."""
        if self._is_all_in:
            return
        left_s = (
            (self.credit_fen - self.spent_fen) / (len(self._meters) * MOST * FEN_PER_UNIT) * 3600
        )
        match self._manner:
            case "at once":
                self._is_all_in = True
            case "at the end":
                self._is_all_in = left_s < self._chance.uniform(0.1, 1) * self._next_s
            case _:
                self._is_all_in = self._chance.random() < 0.05
        self._settle()

    def _settle(self) -> None:
        for meter in self._meters:
            meter.register.draw(MOST if self._is_all_in else MOST * self._chance.uniform(0.0, 0.4))


async def play(folder: Path, seed: int, pace: Pace, purses: int) -> Outcome:
    """One line until every purse is cut, or LONGEST_S."""
    chance = random.Random(seed)
    baud = chance.choice((2400, 9600))
    wire = meters.Wire(baud)
    customers, whose = [], {}
    for number in range(purses):
        points, found = [], []
        for place in range(chance.randint(1, 3)):
            point = meters.point(
                10 * number + place + 1,
                line="L1",
                protocol=chance.choice(meters.PROTOCOLS),
                purse=UUID(int=10**6 + number),
                policy=replace(Policy(), restore=Restore.DIRECT),
            )
            meter = meters.meter_of(point, per_hour=0, delay_s=chance.uniform(0.02, 0.1))
            wire.join(point, meter)
            points.append(point)
            found.append(meter)
        customer = Customer(points, found, chance, NEXT_S if pace is DEADLINES else HALF_HOUR_S)
        customers.append(customer)
        whose.update({id(meter): customer for meter in found})
    store = Store(folder / f"{seed}.sqlite", "GW-BENCH")
    for customer in customers:
        meters.fill(store, customer.points, credit=Money(customer.credit_fen))
    with store.transaction():
        store.save_brake(replace(store.brake(), least=1000))  # this is no mistake of ours
    wire.said = lambda meter, request, answer: whose[id(meter)].was_read()
    bus = Bus("L1", wire, baud=baud, delay_s=0.2)
    agent = Agent(store, {"L1": bus}, Clock.of_wall(meters.wall), pace)
    serving = asyncio.create_task(agent.run())
    bound = 0
    while asyncio.get_running_loop().time() < LONGEST_S:
        await asyncio.sleep(60)
        bound = max(bound, agent.bound("L1").most.fen)
        if all(customer.is_off for customer in customers):
            break
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    metrics = agent.metrics("L1")
    store.close()
    if not all(customer.is_off for customer in customers):
        raise AssertionError(f"seed {seed}: somebody is still supplied")
    overdrafts = tuple(max(0.0, one.spent_fen - one.credit_fen) for one in customers)
    return Outcome(overdrafts, bound, metrics.busy_s / metrics.since_s)


def outcome(seed: int, pace: Pace = DEADLINES, *, purses: int = PURSES) -> Outcome:
    """One seed, in simulated time."""
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=SimulatedLoop) as runner,
    ):
        return runner.run(play(Path(folder), seed, pace, purses))


def play_one(job: tuple[Plan, int]) -> Played:
    plan, seed = job
    pace = DEADLINES if plan is Plan.DEADLINES else HALF_HOURS
    return Played(plan, seed, outcome(seed, pace))


def play_all(jobs: Sequence[tuple[Plan, int]], kept: Path) -> dict[tuple[Plan, int], Outcome]:
    """The outcome of each; what is in the kept file is not played again, and what is played is kept there."""
    code = _code()
    played = _played(kept, code)
    known = {(one.plan, one.seed): one.outcome for one in played}
    left = [job for job in jobs if job not in known]
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(b"\n".join([code.encode(), *map(_PLAYED.dump_json, played), b""]))
    with (
        ProcessPoolExecutor(os.cpu_count(), initializer=_hush) as pool,
        kept.open("ab") as file,
    ):
        for one in pool.map(play_one, left):
            known[one.plan, one.seed] = one.outcome
            file.write(_PLAYED.dump_json(one) + b"\n")
            file.flush()
            if not len(known) % SAID_EACH:
                sys.stderr.write(f"{len(known)} of {len(jobs)} played\n")
    return known


def _played(kept: Path, code: str) -> list[Played]:
    """What was played by the same code; a line that was being written when it was broken off does not count."""
    if not kept.exists():
        return []
    first, *lines = kept.read_text().splitlines(keepends=True)
    is_same = first == f"{code}\n"
    return [_PLAYED.validate_json(line) for line in lines if is_same and line.endswith("\n")]


def _code() -> str:
    """A hash of all that the outcomes depend on."""
    files = sorted(file for folder in CODE for file in (ROOT / folder).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _hush() -> None:
    """Every cut is meant here: nobody need read of it."""
    logging.disable(logging.CRITICAL)


def race(seeds: int, kept: Path = KEPT) -> list[Figure]:
    ours = [(Plan.DEADLINES, seed) for seed in range(seeds)]
    theirs = [(Plan.HALF_HOURS, seed) for seed in range(min(seeds, REFERENCE_SEEDS))]
    known = play_all([*theirs, *ours], kept)
    kept.unlink()
    return judge([known[job] for job in ours], [known[job] for job in theirs])


def judge(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> list[Figure]:
    """Of ours all, the mean of theirs against ours of the same seeds, which are the first."""
    worst = [max(one.overdrafts) / one.bound for one in ours]
    fen = [over for one in ours[: len(theirs)] for over in one.overdrafts]
    reference = [over for one in theirs for over in one.overdrafts]
    return [
        Figure(
            "overdraft",
            f"largest of {len(ours)} seeds, of its stated bound",
            (max(worst),),
            against="the bound of its line; 1 or less on every seed",
            bar=1.0,
            is_most=True,
            unit=" ×",
        ),
        Figure(
            "overdraft",
            "smaller than with a reading every 30 minutes",
            (statistics.mean(reference) / statistics.mean(fen),),
            against=f"a mean of {statistics.mean(reference):.0f} fen; ours {statistics.mean(fen):.1f} fen",
            bar=300.0,
            unit=" ×",
        ),
        Figure(
            "overdraft",
            "share of the line's time",
            tuple(one.used for one in ours),
            against="the whole line",
            bar=0.05,
            is_most=True,
        ),
    ]


def figures(rounds: int) -> list[Figure]:
    """Of SEEDS seeds; the seeds are the rounds."""
    return race(SEEDS)


def main() -> None:
    parser = argparse.ArgumentParser(description="How far purses are overdrawn when they are cut.")
    parser.add_argument("--seeds", type=int, default=1000)
    for figure in race(parser.parse_args().seeds):
        sys.stdout.write(
            f"{figure.name}: {figure.told}   bar {figure.promise}   ({figure.against})\n"
        )


if __name__ == "__main__":
    main()
