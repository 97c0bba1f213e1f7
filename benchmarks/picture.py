"""A picture of an area's figures: a line for each, from half its bar (left) to four times as good (right)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from benchmarks.figure import Figure

WIDTH, ROW, TOP, NOTE = 1060, 34, 64, 18
NAME_X, TOLD_X, FROM_X, TO_X = 16, 400, 690, 1030
WORST, BEST = 0.5, 4.0
STYLE = """
  .card { fill: #ffffff; stroke: #d0d4da } text { fill: #1f2430 } .pale { fill: #667080; font-size: 11.5px }
  .told { font-size: 12.5px } .line { stroke: #e3e6ea } .bar { stroke: #1f2430 }
  .good { fill: #0a7d4f; stroke: #0a7d4f } .bad { fill: #c0392b; stroke: #c0392b }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161b22; stroke: #30363d } text { fill: #e6e9ee } .pale { fill: #9aa4b2 }
    .line { stroke: #2b323b } .bar { stroke: #e6e9ee }
    .good { fill: #3fb98a; stroke: #3fb98a } .bad { fill: #ff7b6b; stroke: #ff7b6b }
  }
"""


def picture(figures: Sequence[Figure], title: str, notes: Sequence[str]) -> str:
    """An SVG for a light or a dark page. A figure is drawn by how many times better than its bar it is, on a
    logarithmic scale, its quartiles as a line; what keeps its bar is a dot, what misses it a cross; what has no bar
    is told in numbers only."""
    floor = TOP + ROW * len(figures)
    height = floor + 20 + NOTE * len(notes)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="14">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text x="{NAME_X}" y="28" font-size="17" font-weight="600">{escape(title)}</text>',
    ]
    for number, note in enumerate(notes):
        lines.append(
            f'<text class="pale" x="{NAME_X}" y="{floor + 20 + NOTE * number}">{escape(note)}</text>'
        )
    for times, label in ((0.5, "half"), (1.0, "the bar"), (2.0, "2 × better"), (4.0, "4 ×")):
        x = _x(times)
        anchor, kind = "end" if times == BEST else "middle", "bar" if times == 1.0 else "line"
        lines.append(
            f'<line class="{kind}" x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 8}" y2="{floor}"/>'
            f'<text class="pale" x="{x:.0f}" y="{TOP - 14}" text-anchor="{anchor}">{label}</text>'
        )
    for number, one in enumerate(figures):
        lines += _row(one, y=TOP + ROW * number + ROW // 2)
    return "\n".join([*lines, "</svg>\n"])


def _row(one: Figure, *, y: int) -> Iterable[str]:
    yield f'<text x="{NAME_X}" y="{y + 5}">{escape(one.name)}</text>'
    told = one.told + (f", wanted {one.promise}" if one.bar is not None else "")
    yield f'<text class="told" x="{TOLD_X}" y="{y + 5}">{escape(told)}</text>'
    if one.bar is None:
        return
    low, middle, high = (_x(_times(one, value)) for value in one.quartiles)
    kind = "good" if one.keeps else "bad"
    yield (
        f'<line class="{kind}" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke-width="5" '
        'stroke-linecap="round" opacity="0.35"/>'
    )
    if one.keeps:
        yield f'<circle class="{kind}" cx="{middle:.1f}" cy="{y}" r="5"/>'
    else:
        cross = f"M{middle - 5:.1f} {y - 5}l10 10m0-10l-10 10"
        yield f'<path class="{kind}" d="{cross}" stroke-width="3"/>'


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
