"""A simulated line whose customers, idle until then, all at once draw the most they can: every purse is empty at the
same instant.

The gateway serves it as edge does: earliest deadline first, those woken before all others, and a visit cannot
be interrupted. Whatever it cannot choose is chosen against it: the register is read in the first instant of
a visit, what is left over of a fen is not yet booked, and every visit that cuts takes its longest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from prepaid.deadline import Drain, Line, next_read
from prepaid.money import ZERO, Money
from tests.prepaid.values import EVENING

DAY_US = 86_400_000_000
LOOK_AGAIN = timedelta(seconds=1)  # whether a relay or valve has arrived where it was sent


@dataclass(frozen=True, slots=True)
class Draw:
    """A point that draws per_day fen in 24 hours, from a purse of its own or a shared one."""

    per_day: int
    purse: int


@dataclass(frozen=True, slots=True)
class Race:
    """look is how long a visit takes that only reads, visit one that cuts, with all its retries.

    All points were read when it begins. Nothing is drawn while idle; then the purses last for as long as
    lasts says. look is more than nothing.
    """

    draws: tuple[Draw, ...]
    interval: timedelta
    settle: timedelta
    look: timedelta
    visit: timedelta
    travel: timedelta
    idle: timedelta
    lasts: timedelta

    @property
    def line(self) -> Line:
        """What is said of this line to whoever asks for the bound."""
        purses = [draw.purse for draw in self.draws]
        return Line(
            interval=self.interval,
            points=len(self.draws),
            woken=sum(purses.count(purse) > 1 for purse in purses),
            visit=self.visit,
            retries=0,
            travel=self.travel,
        )


@dataclass(slots=True)
class _Point:
    draw: Draw
    draws_from: datetime
    read_at: datetime
    due: datetime
    off_at: datetime | None = None

    def drawn(self, since: datetime, until: datetime) -> Fraction:
        """What it took in this time, in fen."""
        end = until if self.off_at is None else min(until, self.off_at)
        drawing = end - max(since, self.draws_from)
        return Fraction(self.draw.per_day * max(drawing // timedelta(microseconds=1), 0), DAY_US)


def worst_overdraft(race: Race) -> Mapping[int, Fraction]:
    """How far each purse is below nothing when all it pays for is off, in fen."""
    began, draws_from = EVENING, EVENING + race.idle
    empty_at = draws_from + race.lasts
    points = [_Point(draw, draws_from, began, due=began) for draw in race.draws]
    full = {
        draw.purse: sum(
            (p.drawn(began, empty_at) for p in points if p.draw.purse == draw.purse), Fraction(0)
        )
        for draw in race.draws
    }
    booked = dict(full)
    woken: list[_Point] = []
    now = began
    while any(point.off_at is None for point in points):
        if woken:
            point = woken.pop(0)
        else:
            point = min(points, key=lambda p: p.due)
            now = max(now, point.due)
        purse = point.draw.purse
        others = [p for p in points if p.draw.purse == purse and p is not point]
        had = booked[purse]
        booked[purse] -= point.drawn(point.read_at, now)
        point.read_at = now
        available = Money(ceil(booked[purse]))
        if available <= ZERO and point.off_at is None:
            now += race.visit
            point.off_at = now + race.travel
            if Money(ceil(had)) > ZERO:
                woken += [other for other in others if other.off_at is None]
        else:
            now += race.look
        if point.off_at is not None:
            point.due = now + LOOK_AGAIN
            continue
        drains = [
            Drain(Decimal(p.draw.per_day), now - p.read_at)
            for p in (point, *others)
            if p.off_at is None
        ]
        point.due = next_read(
            available,
            levels=[ZERO],
            drains=drains,
            now=now,
            at_least=race.interval,
            at_most=race.settle,
        )
    end = max(point.off_at for point in points if point.off_at is not None)
    return {
        purse: sum((p.drawn(began, end) for p in points if p.draw.purse == purse), Fraction(0))
        - held
        for purse, held in full.items()
    }
