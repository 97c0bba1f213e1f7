"""What was measured last of each part, so that parts can be measured one by one: docs/figures/bench.json, and what is
made of it: a picture of each area, the table in docs/figures.md, the short one in README.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.figure import Figure, short
from benchmarks.picture import picture

BUSY_LOAD = 0.5  # per processor, before anything was measured
BUSY_NOISE = 1.25  # times as long as its fastest round, half the rounds of one loop

BEGIN, END = "<!-- figures: made by `make bench` -->", "<!-- figures end -->"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one part of the benchmarks found: on which machine, on which day, in how many rounds.

    load is the machine's load average for each of its processors before anything was measured, noise is what each
    round of one loop took, in times of its fastest.
    """

    part: str
    machine: str
    day: str
    rounds: int
    load: float
    noise: Figure
    figures: tuple[Figure, ...]

    @property
    def is_busy(self) -> bool:
        """Whether others used the machine meanwhile, so that what is a time is rather too long."""
        return self.load > BUSY_LOAD or self.noise.quartiles[1] > BUSY_NOISE

    @property
    def note(self) -> str:
        """One line beside the figures: how they were measured."""
        state = "A BUSY machine" if self.is_busy else "a quiet machine"
        rounds = "1 round" if self.rounds == 1 else f"{self.rounds} rounds"
        return (
            f"{self.day}, {rounds}, {self.machine}; {state}: load {self.load:.1f} a processor, one loop "
            f"took {self.noise.told} its fastest round"
        )


_RECORD = TypeAdapter(dict[str, Measured])


def read(path: Path) -> dict[str, Measured]:
    """By part, in the order in which they are shown; nothing where nothing was ever measured."""
    return _RECORD.validate_json(path.read_bytes()) if path.exists() else {}


def keep(path: Path, measured: Iterable[Measured], *, order: Iterable[str]) -> dict[str, Measured]:
    """All that is known with these in the place of what was known of their parts."""
    known = read(path) | {one.part: one for one in measured}
    known = {part: known[part] for part in order if part in known}
    path.write_bytes(_RECORD.dump_json(known, indent=1) + b"\n")
    return known


# What is made of it.


def draw(record: Mapping[str, Measured], folder: Path) -> list[Path]:
    """One picture for each area, written into the folder."""
    written = []
    for area, parts in _areas(record).items():
        path = folder / f"bench-{area.replace(' ', '-')}.svg"
        found = [figure for part in parts for figure in part.figures]
        notes = list(dict.fromkeys(part.note for part in parts))
        path.write_text(picture(found, area.capitalize(), notes), encoding="utf-8")
        written.append(path)
    return written


def long_table(record: Mapping[str, Measured]) -> str:
    """Every figure, in Markdown, by area, with its picture and how it was measured."""
    lines: list[str] = []
    for area, parts in _areas(record).items():
        lines += [f"## {area.capitalize()}", "", f"![{area}](figures/bench-{_file(area)}.svg)", ""]
        for part in parts:
            lines += [f'`make bench ARGS="--only {part.part}"`: {part.note}.', ""]
            lines += ["| | median (quartiles) | bar | kept | against |", "|---|---|---|---|---|"]
            lines += [
                f"| {one.name} | {one.told} | {one.promise} | {_kept(one)} | {one.against} |"
                for one in part.figures
            ]
            lines.append("")
    return "\n".join(lines).strip()


def short_table(record: Mapping[str, Measured]) -> str:
    """The figures that have a bar, in Markdown."""
    rows = ["| | measured | bar | |", "|---|---|---|---|"]
    for part in record.values():
        rows += [
            f"| {one.area}: {one.name} | {short(one.quartiles[1])}{one.unit} | {one.promise} "
            f"| {_kept(one)}{', measured on a busy machine' if part.is_busy else ''} |"
            for one in part.figures
            if one.bar is not None
        ]
    return "\n".join(rows)


def put(page: Path, text: str) -> None:
    """Writes the text between the two marks of a page. Raises ValueError where it does not have them."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for figures: {BEGIN} and {END}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")


def _areas(record: Mapping[str, Measured]) -> dict[str, list[Measured]]:
    """The parts of each area; a part is of the area of its first figure."""
    found: dict[str, list[Measured]] = {}
    for area, parts in groupby(record.values(), key=lambda part: part.figures[0].area):
        found.setdefault(area, []).extend(parts)
    return found


def _file(area: str) -> str:
    return area.replace(" ", "-")


def _kept(one: Figure) -> str:
    return {True: "kept", False: "**missed**", None: ""}[one.keeps]
