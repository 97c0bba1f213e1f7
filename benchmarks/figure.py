"""A figure that was measured, its bar, and how both are shown: a row of a table, a line of a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

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
        low, middle, high = map(_short, self.quartiles)
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


def _short(value: float) -> str:
    """Three digits, no exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 3)}f}"


# A picture: one line for each figure, from half its bar (left) to four times as good (right).

WIDTH, ROW, TOP = 1060, 34, 64
NAME_X, TOLD_X, FROM_X, TO_X = 16, 400, 680, 1040
WORST, BEST = 0.5, 4.0
GOOD, BAD, INK, PALE = "#0a7d4f", "#c0392b", "#1f2430", "#9aa1ad"


def picture(figures: Sequence[Figure], title: str, note: str) -> str:
    """An SVG. A figure is drawn by how many times better than its bar it is, on a logarithmic scale, its
    quartiles as a line; what has no bar is told in numbers only."""
    height = TOP + ROW * len(figures) + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="14" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
        f'<text x="{NAME_X}" y="28" font-size="17" font-weight="600">{escape(title)}</text>',
        f'<text x="{NAME_X}" y="{height - 12}" font-size="11.5" fill="{PALE}">{escape(note)}</text>',
    ]
    for times, label in ((0.5, "½"), (1.0, "the bar"), (2.0, "2 × better"), (4.0, "4 ×")):
        x, colour = _x(times), INK if times == 1.0 else "#e3e6ea"
        anchor = "end" if times == BEST else "middle"
        lines.append(
            f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 8}" y2="{height - 34}" stroke="{colour}"/>'
            f'<text x="{x:.0f}" y="{TOP - 14}" font-size="11.5" text-anchor="{anchor}" fill="{PALE}">{label}</text>'
        )
    for number, one in enumerate(figures):
        lines += _row(one, y=TOP + ROW * number + ROW // 2)
    return "\n".join([*lines, "</svg>\n"])


def _row(one: Figure, *, y: int) -> Iterable[str]:
    yield f'<text x="{NAME_X}" y="{y + 5}">{escape(one.name)}</text>'
    told = one.told + (f", wanted {one.promise}" if one.bar is not None else "")
    yield f'<text x="{TOLD_X}" y="{y + 5}" font-size="12.5">{escape(told)}</text>'
    if one.bar is None:
        return
    low, middle, high = (_x(_times(one, value)) for value in one.quartiles)
    colour = GOOD if one.keeps else BAD
    yield (
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="5" '
        'stroke-linecap="round" opacity="0.35"/>'
    )
    yield f'<circle cx="{middle:.1f}" cy="{y}" r="5.5" fill="{colour}"/>'


def _times(one: Figure, value: float) -> float:
    """How many times better than the bar."""
    assert one.bar is not None
    if one.is_most:
        return one.bar / value if value > 0 else BEST
    return value / one.bar if one.bar > 0 else BEST


def _x(times: float) -> float:
    within = min(max(times, WORST), BEST)
    share = math.log(within / WORST) / math.log(BEST / WORST)
    return FROM_X + share * (TO_X - FROM_X)


def draw(figures: Sequence[Figure], folder: Path, *, note: str) -> list[Path]:
    """One picture for each area, written into the folder."""
    written = []
    for area, group in groupby(figures, key=lambda figure: figure.area):
        path = folder / f"bench-{area.replace(' ', '-')}.svg"
        path.write_text(picture(list(group), area.capitalize(), note), encoding="utf-8")
        written.append(path)
    return written
