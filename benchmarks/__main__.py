"""All figures, side by side with what they are measured against: `make bench`.

    python -m benchmarks [--rounds 5] [--only line,decode]

Prints the table with the machine's own noise, and draws docs/figures/bench-*.svg. It fails nothing: whoever
reads it judges.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from rich.console import Console

from benchmarks.figure import Figure, draw, table

FIGURES = Path(__file__).parent.parent / "docs" / "figures"
MODULES = (
    "decode",
    "rating",
    "visit",
    "line",
    "values",
    "urgent",
    "overdraft",
    "ingest",
    "ledger",
    "board",
    "callback",
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


def main() -> None:
    asked = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--only", default=",".join(MODULES), help=f"of {', '.join(MODULES)}")
    options = asked.parse_args()
    console = Console(width=140)
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(MODULES):
        asked.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    found: list[Figure] = []
    for name in wanted:
        console.print(f"{name} …")
        measured: Callable[[int], list[Figure]] = import_module(f"benchmarks.{name}").figures
        found += measured(options.rounds)
    found.append(noise(max(options.rounds, 15)))
    title = (
        f"{options.rounds} rounds, alternated, {platform.machine()}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )
    console.print(table(found, title))
    spread = found[-1].told
    note = f"{title}; dot: median, bar: quartiles; one loop repeated on this machine: {spread} of its fastest round"
    for path in draw(found[:-1], FIGURES, note=note):
        console.print(f"drawn: {path}")


if __name__ == "__main__":
    main()
