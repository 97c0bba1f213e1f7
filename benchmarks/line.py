"""How much of a line's time the gateway uses: real agent, store and drivers on simulated lines at their true rate.

The lines run in a process of their own and note when each request and each answer was on the wire. Used is what
answered requests needed: their bytes, the delay that the meter really took, and the gap that must follow; the rest of
the wall time is lost. A request that was repeated is not counted, nor its answer. The reference is the wire itself:
1.00 is a gateway that loses nothing.

A request that is under way when measuring begins or ends counts by the part that is within, so a round can be short.
Five rounds take nine minutes.

    python -m benchmarks.line [--rounds 5] [--seconds 6]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from uuid import UUID

from benchmarks.figure import Figure
from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.ledger.store import Store
from edge.lines.bus import GAP_BITS, GAP_S, Bus
from edge.lines.pace import Pace
from edge.lines.place import SerialAt
from edge.lines.ports import port_to
from prepaid import ledger
from prepaid.ledger import Reason, Transfer
from prepaid.money import Money
from prepaid.point import Meter, Policy, ServicePoint
from prepaid.wire.downlog import TariffSet
from simulators.building import Building, load
from simulators.line import PtyEnd

SECONDS = 6.0  # of a round of a case
DELAY_S = 0.2  # what gateway.toml has for a serial adapter where nobody says another
ANSWERED_S = 1.0  # after what is measured: a request of the last instant is answered, and counts
EARLY_S = 0.0005  # what clocks of two processes may differ by before a gap counts as too short


@dataclass(frozen=True, slots=True)
class Case:
    """Lines of so many meters, three protocols mixed; silent never answer, corrupt is the share of spoiled answers,
    babbling how many of 100 seconds somebody talks all through."""

    name: str
    baud: int
    lines: int
    meters: int = 10
    silent: int = 0
    corrupt: float = 0.0
    babbling: float = 0.0
    bar: float | None = None
    learn_s: float = 4.0


CASES = (
    Case("1 line at 2400", 2400, 1, bar=0.97),
    Case("8 lines at 2400", 2400, 8, bar=0.97),
    Case("32 lines at 2400", 2400, 32, bar=0.97),
    Case("1 line at 9600", 9600, 1),
    Case("8 lines at 9600", 9600, 8),
    Case("32 lines at 9600", 9600, 32, bar=0.95),
    Case("9600, 3 of 32 silent", 9600, 1, meters=32, silent=3, bar=0.85, learn_s=15),
    Case(
        "the same, 1 % corrupt, one babbling",
        9600,
        1,
        meters=32,
        silent=3,
        corrupt=0.01,
        babbling=0.05,
        bar=0.85,
        learn_s=15,
    ),
)


@dataclass(frozen=True, slots=True)
class Result:
    used: float
    told: float
    transactions: int
    violations: int
    garbled: int
    cpu_us: float


# The gateway.


async def measure(case: Case, seconds: float, folder: Path, *, seed: int) -> Result:
    """One round of a case: learn, then measure for so long."""
    config = folder / "meters.toml"
    config.write_text("\n".join([f"seed = {seed}", *_described(case)]))
    simulator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.line", "--serve", str(config)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**28,
    )
    assert simulator.stdin is not None
    assert simulator.stdout is not None
    await simulator.stdout.readline()
    store = _store(case, folder)
    buses = {name: _bus(name, case, folder) for name in _names(case)}
    agent = Agent(
        store, buses, Clock.of_wall(lambda: datetime.now(UTC)), Pace(settle_s=0.05, least_s=0.01)
    )
    serving = asyncio.create_task(agent.run())
    await asyncio.sleep(case.learn_s)
    began, cpu, earlier = (
        time.monotonic(),
        time.process_time(),
        [b.metrics() for b in buses.values()],
    )
    await asyncio.sleep(seconds)
    cpu, ended = time.process_time() - cpu, time.monotonic()
    told = [b.metrics().after(e) for b, e in zip(buses.values(), earlier, strict=True)]
    await asyncio.sleep(ANSWERED_S)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    for bus in buses.values():
        bus.close()
    store.close()
    simulator.stdin.close()
    wires = json.loads(await simulator.stdout.read())
    await simulator.wait()
    seen = [judge(wire, baud=case.baud, began=began, ended=ended) for wire in wires.values()]
    requests = sum(one.requests for one in told)
    return Result(
        used=statistics.mean(used for used, _, _ in seen),
        told=statistics.mean(one.utilisation for one in told),
        transactions=sum(count for _, count, _ in seen),
        violations=sum(early for _, _, early in seen),
        garbled=sum(one.garbled for one in told),
        cpu_us=cpu / requests * 1e6,
    )


def judge(
    wire: dict[str, list[list[float | str]]], *, baud: int, began: float, ended: float
) -> tuple[float, int, int]:
    """The share of the time that was used, answered requests, and requests sent before the gap was over."""
    gap_s = max(GAP_S, GAP_BITS / baud)
    asked = [(float(at), str(request)) for at, request in wire["asked"]]
    said = iter([(float(begin), float(end)) for begin, end in wire["said"]])
    next_said = next(said, None)
    used, answered, early, free_at = 0.0, 0, 0, 0.0
    for (at, request), (after, following) in pairwise([*asked, (math.inf, "")]):
        early += at < free_at + gap_s - EARLY_S and began <= at < ended
        is_answered = False
        while next_said is not None and next_said[0] < after:
            free_at, is_answered = next_said[1], True
            next_said = next(said, None)
        if is_answered and request != following:
            inside_s = min(free_at + gap_s, after, ended) - max(at, began)
            used += max(0.0, inside_s)
            answered += inside_s > 0
    return used / (ended - began), answered, early


def _names(case: Case) -> list[str]:
    return [f"L{number}" for number in range(case.lines)]


def _bus(name: str, case: Case, folder: Path) -> Bus:
    at = SerialAt(str(folder / f"{name}.tty"), case.baud, "8N1")
    return Bus(name, port_to(at), baud=case.baud, delay_s=DELAY_S)


def _points(case: Case) -> Iterator[ServicePoint]:
    for line, name in enumerate(_names(case)):
        for number in range(case.meters):
            protocol = ("dlt645-2007", "cjt188-2004", "modbus")[number % 3]
            yield ServicePoint(
                id=UUID(int=1000 * (line + 1) + number),
                name=f"{name}-{number}",
                meter=Meter(
                    meter_no=f"{line:03}{number:09}",
                    protocol=protocol,
                    line=name,
                    address=_address(line, number),
                    digits=6,
                    step=Decimal("0.01"),
                    max_per_hour=Decimal(60),
                    settings={"profile": "hiking_dds238_2"} if protocol == "modbus" else {},
                ),
                tariff="water" if protocol == "cjt188-2004" else "power",
                purse=UUID(int=10**9 + 1000 * line + number),
                policy=Policy(),
            )


def _address(line: int, number: int) -> str:
    return (f"{line:03}{number:09}", f"{line:05}{number:09}", str(number + 1))[number % 3]


def _store(case: Case, folder: Path) -> Store:
    store = Store(folder / "ledger.sqlite", "GW-BENCH")
    now = datetime.now(UTC)
    with store.transaction():
        for code, commodity, unit in (
            ("power", "electricity", "kWh"),
            ("water", "cold_water", "m3"),
        ):
            component = {"item": "energy", "kind": "rate", "price": "0.5283"}
            version = {"effective_from": "2026-01-01T00:00:00+08:00", "components": [component]}
            heading = {"code": code, "commodity": commodity, "unit": unit, "currency": "CNY"}
            store.save_tariff(
                TariffSet({**heading, "timezone": "Asia/Shanghai", "versions": [version]})
            )
        for point in _points(case):
            store.save_point(point)
            credit = Transfer(
                debit=ledger.clearing("sandbox"),
                credit=ledger.prepaid(point.purse),
                amount=Money.yuan("1000.00"),
                reason=Reason.TOP_UP,
                cause=f"sandbox:{point.id}",
                at=now,
            )
            store.post(credit)
    return store


# The lines.


def _described(case: Case) -> Iterator[str]:
    """meters.toml; the last meters of a line are the silent ones."""
    spoiled = case.corrupt / 2
    faults = f"{{ truncation = {case.corrupt - spoiled}, noise = {spoiled}, babbling = {case.babbling} }}"
    for name in _names(case):
        yield f'[[line]]\nname = "{name}"\npty = "{name}.tty"\nbaud = {case.baud}\nfaults = {faults}'
    for point in _points(case):
        number = point.id.int % 1000
        protocol = "modbus-rtu" if point.meter.protocol == "modbus" else point.meter.protocol
        silence = 1.0 if number >= case.meters - case.silent else 0.0
        yield f'[[meter]]\nprotocol = "{protocol}"\nline = "{point.meter.line}"'
        yield f'address = "{point.meter.address}"\nfaults = {{ silence = {silence} }}'
        if protocol == "modbus-rtu":
            yield 'profile = "hiking_dds238_2"'


async def serve(path: Path) -> None:
    """Carry the lines until standard input ends; then say when what was on each wire."""
    building = Building(load(path), path.parent)
    wires: dict[str, dict[str, list[tuple[float, float] | tuple[float, str]]]] = {}
    ends, tasks = [], []
    for config in building.config.line:
        line = building.line(config)
        wire = wires[config.name] = {"asked": [], "said": []}

        def hear(data: bytes, line=line, wire=wire) -> None:  # type: ignore[no-untyped-def]
            wire["asked"].append((time.monotonic(), data.hex()))
            line.hear(data)

        line.said = lambda begin, end, wire=wire: wire["said"].append((begin, end))  # type: ignore[misc]
        assert config.pty is not None
        end = PtyEnd(building.folder / config.pty, hear)
        line.ends.append(end)
        ends.append(end)
        tasks.append(asyncio.create_task(line.run()))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    for end in ends:
        await end.close()
    building.close()
    sys.stdout.write(json.dumps(wires))


def race(cases: Sequence[Case], *, rounds: int, seconds: float) -> dict[str, list[Result]]:
    """Each case once in every round; how far it is goes to standard error."""
    logging.disable(logging.WARNING)  # the silent are meant
    results: dict[str, list[Result]] = {case.name: [] for case in cases}
    for seed in range(rounds):
        sys.stderr.write(f"round {seed + 1} of {rounds}\n")
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                results[case.name].append(
                    asyncio.run(measure(case, seconds, Path(folder), seed=seed))
                )
    logging.disable(logging.NOTSET)
    return results


def figures(rounds: int) -> list[Figure]:
    """The share of the time used, and requests that came before the gap was over."""
    results = race(CASES, rounds=rounds, seconds=SECONDS)
    used = [
        Figure(
            "lines",
            f"used: {case.name}",
            tuple(one.used for one in results[case.name]),
            against="the wire itself",
            bar=case.bar,
        )
        for case in CASES
    ]
    early = (
        float(sum(results[case.name][turn].violations for case in CASES)) for turn in range(rounds)
    )
    return [
        *used,
        Figure("lines", "sent before the gap was over", tuple(early), "none", 0.0, is_most=True),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="How much of a line's time the gateway uses.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.serve is not None:
        asyncio.run(serve(wanted.serve))
        return
    cases = [case for case in CASES if wanted.only in case.name]
    results = race(cases, rounds=wanted.rounds, seconds=wanted.seconds)
    say = sys.stdout.write
    say(
        f"{wanted.rounds} rounds of {wanted.seconds:.0f} s each, alternating; median (quartiles) over them\n"
    )
    say(
        f"{'':38}{'used':>22}{'bar':>7}{'own count':>11}{'answers':>9}{'garbled':>9}{'too early':>11}{'CPU':>9}\n"
    )
    for case in cases:
        _show(case, results[case.name])


def _show(case: Case, results: list[Result]) -> None:
    used = sorted(one.used for one in results)
    low, middle, high = (
        statistics.quantiles(used, n=4, method="inclusive") if len(used) > 1 else used * 3
    )
    bar = "-" if case.bar is None else f"{case.bar:.2f}"
    sys.stdout.write(
        f"{case.name:38}{middle:8.3f} ({low:.3f}-{high:.3f}){bar:>7}"
        f"{statistics.median(one.told for one in results):11.3f}"
        f"{sum(one.transactions for one in results):9}{sum(one.garbled for one in results):9}"
        f"{sum(one.violations for one in results):11}"
        f"{statistics.median(one.cpu_us for one in results):6.0f} us\n"
    )


if __name__ == "__main__":
    main()
