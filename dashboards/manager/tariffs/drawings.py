"""What the pages of tariffs draw: the bands of a day, and what a rehearsal comes to. Whole numbers of a viewBox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards import tariff_days
from dashboards.tariff_words import Say, band
from prepaid.tariff import ALL, Version

MINUTES = 24 * 60
EDGES = (-20, -10, -5, -1, 1, 5, 10, 20)  # percent


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a day's bar: from which minute, how many, in which band, and its lowest and highest price."""

    start: int
    width: int
    band: str
    label: str
    since: str
    until: str
    price: str


@dataclass(frozen=True, slots=True)
class Day:
    label: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart: number out of most, which is the longest bar's."""

    label: str
    number: int
    most: int
    tone: str


def days(version: Version, say: Say) -> list[Day]:
    """The different days of a version's calendar, each as a bar of 24 hours."""
    if not version.rule_bands:
        return [Day(say("every day"), (_piece(0, MINUTES, ALL, version, say),))]
    plans = tariff_days.day_plans(version.timetable, version.rule_bands)
    return [
        Day(
            tariff_days.label(plan, version.timetable, say),
            tuple(
                _piece(start, end, name, version, say)
                for start, end, name in plan.hours
                if name is not None
            ),
        )
        for plan in plans
    ]


def _piece(start: int, end: int, name: str, version: Version, say: Say) -> Piece:
    prices = [tier[name] for _, rate in version.rates[:1] for tier in rate.prices if name in tier]
    shown = "–".join(dict.fromkeys(str(price) for price in (min(prices), max(prices))))
    return Piece(start, end - start, name, band(name, say), _clock(start), _clock(end), shown)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def changes(points: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """How many pay how much less or more, as bars from the greatest fall to the greatest rise, in percent."""
    counts = [0] * (len(EDGES) + 1)
    for point in points:
        old, new = point["old"], point["new"]
        rise = (new - old) * 100
        counts[sum(rise >= edge * max(old, 1) for edge in EDGES)] += 1
    labels = ["< −20%", "−20%", "−10%", "−5%", "±1%", "+5%", "+10%", "+20%", "> 20%"]
    most = max(counts, default=0) or 1
    middle = len(EDGES) // 2
    return [
        Bar(
            label,
            number,
            most,
            tone="good" if place < middle else "none" if place == middle else "warn",
        )
        for place, (label, number) in enumerate(zip(labels, counts, strict=True))
    ]


def income(months: Sequence[Mapping[str, Any]]) -> list[tuple[str, Bar, Bar]]:
    """By month two bars: as it was, and as it would have been, in fen."""
    most = max((max(each["old"], each["new"]) for each in months), default=0) or 1
    return [
        (
            each["month"],
            Bar(each["month"], each["old"], most, tone="none"),
            Bar(each["month"], each["new"], most, tone="accent"),
        )
        for each in months
    ]
