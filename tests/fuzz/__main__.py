"""Seeded random and mutated streams against every decoder.

    python -m tests.fuzz --streams 1000000 --seed 1 [--decoder dlt645 --decoder cj188 …]

Ends at the first promise that is not kept, with the command that repeats it. Exit status 1 then.
"""

from __future__ import annotations

import argparse
import sys
from random import Random
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.fuzz.targets import TARGETS, Named

BATCH = 500


def seeded(named: Named, seed: int, index: int) -> Random:
    """The same stream for the same three, on every machine."""
    return Random(f"{named.name}/{seed}/{index}")


def run(named: Named, *, seed: int, first: int, count: int, progress: Progress) -> None:
    """Raises what a stream raises, with the index of the stream as a note."""
    task = progress.add_task(named.name, total=count)
    for index in range(first, first + count):
        try:
            named.target(seeded(named, seed, index))
        except Exception as error:
            error.add_note(
                f"again: python -m tests.fuzz --decoder {named.name} --seed {seed} --only {index}"
            )
            raise
        if (index + 1 - first) % BATCH == 0:
            progress.update(task, completed=index + 1 - first)
    progress.update(task, completed=count)


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    asked.add_argument("--streams", type=int, default=1_000_000, help="for each decoder")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--decoder", choices=TARGETS, action="append", help="all where not given")
    asked.add_argument("--only", type=int, help="one stream again, by its number")
    options = asked.parse_args()
    first, count = (options.only, 1) if options.only is not None else (0, options.streams)

    console = Console()
    columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        for name in options.decoder or TARGETS:
            began = monotonic()
            try:
                run(TARGETS[name], seed=options.seed, first=first, count=count, progress=progress)
            except Exception as error:
                notes = "; ".join(getattr(error, "__notes__", ()))
                progress.stop()
                console.print(f"{name}: {type(error).__name__}: {error}", soft_wrap=True)
                console.print(notes, soft_wrap=True, markup=False)
                if options.only is not None:
                    raise
                return 1
            console.print(f"{name}: {count} streams, none broken, {monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
