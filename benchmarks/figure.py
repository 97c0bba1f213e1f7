"""A figure that was measured, its bar, and how both are shown in a terminal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured in each round, in unit; area says in which picture it stands.

    bar is the least that is wanted, or the most where is_most; None where nothing is promised. against is what
    it is measured against, in the same rounds.
    """

    area: str
    name: str
    values: tuple[float, ...]
    against: str
    bar: float | None = None
    is_most: bool = False
    unit: str = ""

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Lower quartile, median, upper quartile of the rounds."""
        if len(self.values) == 1:
            return self.values[0], self.values[0], self.values[0]
        low, middle, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, middle, high

    @property
    def keeps(self) -> bool | None:
        """Whether the median keeps the bar; None without one."""
        if self.bar is None:
            return None
        return self.quartiles[1] <= self.bar if self.is_most else self.quartiles[1] >= self.bar

    @property
    def promise(self) -> str:
        if self.bar is None:
            return ""
        return f"{'≤' if self.is_most else '≥'} {self.bar:g}{self.unit}"

    @property
    def told(self) -> str:
        """Median (quartiles) and unit."""
        low, middle, high = map(short, self.quartiles)
        return f"{middle} ({low}–{high}){self.unit}"


def table(figures: Iterable[Figure], title: str) -> Table:
    """All of them, for a terminal."""
    rows = Table(title=title)
    for heading in ("", "median (quartiles)", "bar", "kept", "against"):
        rows.add_column(heading)
    for area, group in groupby(figures, key=lambda figure: figure.area):
        rows.add_section()
        rows.add_row(f"[bold]{area}[/bold]")
        for one in group:
            kept = {True: "yes", False: "[red]NO[/red]", None: ""}[one.keeps]
            rows.add_row(one.name, one.told, one.promise, kept, one.against)
    return rows


def short(value: float) -> str:
    """Three digits, no exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 3)}f}"
