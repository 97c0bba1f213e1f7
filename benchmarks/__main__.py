"""All figures, side by side with what they are measured against: `make bench`.

    python -m benchmarks [--rounds 5] [--only line,decode]

Prints the table with the machine's own noise, keeps it in docs/figures/bench.json, and makes of all that is kept
docs/figures/bench-*.svg, docs/figures.md and the table in README.md; so parts can be measured one by one. It fails
nothing: whoever reads it judges.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from rich.console import Console

from benchmarks import record
from benchmarks.figure import Figure, table
from benchmarks.record import Measured

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
NOISE_ROUNDS = 15
MODULES = (
    "decode",
    "rating",
    "visit",
    "line",
    "wire",
    "values",
    "urgent",
    "overdraft",
    "ingest",
    "ledger",
    "board",
    "callback",
    "rerating",
)
LOOPS = 200_000


def noise(rounds: int) -> Figure:
    """The same work again and again: what differs between rounds is the machine."""
    taken = []
    for _ in range(rounds):
        began, total = time.perf_counter(), 0
        for number in range(LOOPS):
            total += number
        taken.append((time.perf_counter() - began) * 1e9 / LOOPS)
    first = min(taken)
    return Figure(
        "machine",
        "one loop, again and again",
        tuple(one / first for one in taken),
        against="its own fastest round",
        unit=" ×",
    )


def measure(part: str, rounds: int) -> Measured:
    """A part of the benchmarks, and how quiet the machine was meanwhile."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    figures: Callable[[int], list[Figure]] = import_module(f"benchmarks.{part}").figures
    found = tuple(figures(rounds))
    machine = (
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    )
    return Measured(
        part,
        machine,
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        rounds=rounds,
        load=load,
        noise=noise(NOISE_ROUNDS),
        figures=found,
    )


def main() -> None:
    asked = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--only", default=",".join(MODULES), help=f"of {', '.join(MODULES)}")
    options = asked.parse_args()
    console = Console(width=140)
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(MODULES):
        asked.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    found: list[Measured] = []
    for part in wanted:
        console.print(f"{part} …")
        found.append(measure(part, options.rounds))
        shown = [*found[-1].figures, found[-1].noise]
        console.print(table(shown, found[-1].note))
        publish(record.keep(FIGURES / "bench.json", found[-1:], order=MODULES))


def publish(known: Mapping[str, Measured]) -> None:
    """Pictures and pages of all that is kept."""
    record.draw(known, FIGURES)
    record.put(ROOT / "docs" / "figures.md", record.long_table(known))
    record.put(ROOT / "README.md", record.short_table(known))


if __name__ == "__main__":
    main()
