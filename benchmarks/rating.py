"""What it takes to rate a reading: one at a time, and a year of many meters at once.

    python benchmarks/rating.py [--rounds 15] [--meters 8] [--readings 2000]

One at a time is what the gateway does at each visit: a position and a reading give a position and
charges. At once is the batch that re-rates a year of 15-minute readings, 35,040 of each meter. Each
round times all contenders, each round in another order, so that a slow moment of the machine falls on
all. Printed are the median and the quartiles of the time per reading, and of the ratio within a round.
Before anything is timed, both ways must give the same charges and positions.
"""

from __future__ import annotations

import argparse
import gc
import platform
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import quantiles
from time import thread_time_ns
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure
from prepaid import rating
from prepaid.batch import rate_many
from prepaid.point import Meter, Policy, ServicePoint
from prepaid.rating import Position
from prepaid.reading import Reading
from prepaid.tariff import Tariff
from prepaid.tariff_document import parse

OPENED = datetime(2025, 12, 31, 16, tzinfo=UTC)  # 00:00 on 1 January in Shanghai
QUARTER = timedelta(minutes=15)
YEAR = 35_040
PLACES = 2
TIMES_FASTER = 20
METERS, READINGS, SEED = 8, 2000, 96

FLAT = {"item": "energy", "kind": "rate", "price": "0.8637"}
TIERED = {
    "item": "energy",
    "kind": "rate",
    "price": [
        {"peak": "0.617", "valley": "0.307"},
        {"peak": "0.677", "valley": "0.337"},
        {"peak": "0.977", "valley": "0.487"},
    ],
    "tiers": {"period": "year", "bounds": ["3120", "4800"]},
}
NIGHT = [{"band": "valley", "from": "22:00", "to": "06:00"}, {"band": "peak"}]


@dataclass(frozen=True, slots=True)
class Race:
    """limit_us is what one reading at a time may take."""

    name: str
    tariff: Tariff
    limit_us: int


@dataclass(frozen=True, slots=True)
class Estate:
    """Meters of one tariff and their registers, in steps of PLACES decimals: a row each, a column for each of at."""

    tariff: Tariff
    points: Sequence[ServicePoint]
    opened: Sequence[Position]
    at: Sequence[datetime]
    registers: npt.NDArray[np.int64]


def tariff(component: dict[str, Any], bands: list[dict[str, str]] | None) -> Tariff:
    version: dict[str, Any] = {
        "effective_from": "2020-01-01T00:00:00+08:00",
        "components": [component],
    }
    if bands is not None:
        version["bands"] = bands
    return parse(
        {
            "code": "BENCH",
            "commodity": "electricity",
            "unit": "kWh",
            "currency": "CNY",
            "timezone": "Asia/Shanghai",
            "versions": [version],
        }
    )


def estate(tariff: Tariff, chosen: random.Random, *, meters: int, readings: int) -> Estate:
    """Homes that use 0 to 0.60 kWh each quarter of an hour: some 10,000 kWh a year."""
    points, opened, rows = [], [], []
    for number in range(meters):
        meter_no = f"{number:012}"
        meter = Meter(meter_no, "dlt645-2007", "L1", meter_no, 6, Decimal("0.01"), Decimal("13.2"))
        points.append(
            ServicePoint(UUID(int=number), meter_no, meter, tariff.code, UUID(int=0), Policy())
        )
        first = Reading(meter_no, OPENED, Decimal(1000), None)
        opened.append(rating.open_position(points[-1], tariff, first))
        register, row = 1000_00, []
        for _ in range(readings):
            register += chosen.randrange(61)
            row.append(register)
        rows.append(row)
    at = [OPENED + QUARTER * number for number in range(1, readings + 1)]
    return Estate(tariff, points, opened, at, np.array(rows, dtype=np.int64))


def singly(estate: Estate, row: int, count: int) -> Callable[[], tuple[list[int], Position]]:
    """Rates a meter's first readings one by one. The readings are made beforehand."""
    point = estate.points[row]
    readings = [
        Reading(point.meter.meter_no, at, Decimal(int(register)).scaleb(-PLACES), None)
        for at, register in zip(estate.at[:count], estate.registers[row], strict=False)
    ]

    def run() -> tuple[list[int], Position]:
        position, charged = estate.opened[row], []
        for reading in readings:
            moved = reading.total - position.reading.total
            position, charges = rating.rate(point, estate.tariff, position, reading, moved=moved)
            charged.append(charges[0].amount.fen if charges else 0)
        return charged, position

    return run


def at_once(estate: Estate) -> Callable[[], tuple[list[int], Position]]:
    """Rates all meters together; gives those of the first."""

    def run() -> tuple[list[int], Position]:
        rated = rate_many(
            estate.points,
            estate.tariff,
            estate.opened,
            estate.at,
            estate.registers,
            places=PLACES,
        )
        assert not rated.slow, rated.slow
        return rated.charges["energy"][0].tolist(), rated.positions[0]

    return run


def check(whole: Estate) -> None:
    """Raises AssertionError if the two ways differ in a charge or in the position after the year."""
    batch, one = at_once(whole)(), singly(whole, 0, len(whole.at))()
    assert batch == one, "the batch and single ratings differ"


def timed(run: Callable[[], object], readings: int) -> float:
    """Microseconds per reading."""
    gc.collect()
    gc.disable()
    began = thread_time_ns()
    run()
    taken = (thread_time_ns() - began) / readings / 1000
    gc.enable()
    return taken


def race(whole: Estate, *, rounds: int, readings: int) -> tuple[list[float], list[float]]:
    """Microseconds per reading of each round: one at a time, and at once."""
    contenders = {
        "one": (singly(whole, 0, readings), readings),
        "all": (at_once(whole), whole.registers.size),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name in list(contenders)[:: 1 if turn % 2 else -1]:
            taken[name].append(timed(*contenders[name]))
    return taken["one"], taken["all"]


def spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def median(values: Sequence[float]) -> float:
    return quantiles(values, n=4)[1]


def rows(race_: Race, options: argparse.Namespace) -> list[tuple[str, ...]]:
    chosen = random.Random(options.seed)
    whole = estate(race_.tariff, chosen, meters=options.meters, readings=YEAR)
    check(whole)
    one, every = race(whole, rounds=options.rounds, readings=options.readings)
    ratio = [single / batch for single, batch in zip(one, every, strict=True)]
    return [
        (
            race_.name,
            "one at a time",
            spread(one, 1),
            f"at most {race_.limit_us} µs",
            "yes" if median(one) <= race_.limit_us else "NO",
        ),
        ("", f"{options.meters} meters at once", spread(every, 3), "", ""),
        (
            "",
            "times faster",
            spread(ratio, 0),
            f"at least {TIMES_FASTER}",
            "yes" if median(ratio) >= TIMES_FASTER else "NO",
        ),
    ]


def races() -> tuple[Race, ...]:
    return (
        Race("flat", tariff(FLAT, None), limit_us=30),
        Race("tier × band, within one band", tariff(TIERED, NIGHT), limit_us=100),
    )


def figures(rounds: int) -> list[Figure]:
    """The time of one reading, and how many times faster a year of them is at once."""
    found = []
    for each in races():
        whole = estate(each.tariff, random.Random(SEED), meters=METERS, readings=YEAR)
        check(whole)
        one, every = race(whole, rounds=3 * rounds, readings=READINGS)
        ratio = tuple(single / batch for single, batch in zip(one, every, strict=True))
        found += [
            Figure(
                "rating",
                f"a reading, {each.name}",
                tuple(one),
                against="a limit",
                bar=each.limit_us,
                is_most=True,
                unit=" µs",
            ),
            Figure(
                "rating",
                f"a year at once, {each.name}",
                ratio,
                against="one at a time",
                bar=TIMES_FASTER,
                unit=" ×",
            ),
        ]
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--rounds", type=int, default=15)
    asked.add_argument("--meters", type=int, default=METERS)
    asked.add_argument("--readings", type=int, default=READINGS, help="of one at a time")
    asked.add_argument("--seed", type=int, default=SEED)
    options = asked.parse_args()

    table = Table(title="Rating, median (quartiles)")
    for heading in ("price", "how", "µs a reading", "promised", "kept"):
        table.add_column(heading)
    for one in races():
        for row in rows(one, options):
            table.add_row(*row)
    console = Console(width=130)
    console.print(
        f"Python {platform.python_version()}, NumPy {np.__version__}; {options.rounds} rounds; one at a time "
        f"{options.readings} readings, at once {options.meters} × {YEAR}; seed {options.seed}"
    )
    console.print(table)


if __name__ == "__main__":
    main()
