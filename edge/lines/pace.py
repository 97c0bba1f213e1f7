"""How often the points of a line are visited, which bound of the overdraft follows, and whether it is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from edge.lines.bus import TRIES
from edge.lines.rounds import Rounds
from edge.purses import Load
from prepaid.deadline import Line, overdraft_bound, shortest_interval
from prepaid.money import Money

log = logging.getLogger(__name__)

SHARE = Decimal("0.5")
CUT_VISIT = 4  # a visit that cuts: two readings, the current, the command and the look take as long as four readings
TOP_UPS = 1  # that may come from outside while the points of a line are served


@dataclass(frozen=True, slots=True)
class Pace:
    """The longest and the shortest time between two ordinary visits of a point, in seconds.

    share is the part of a line's time that visits to purses near a level may take: the more of these there are,
    the longer each of them waits (prepaid.deadline.shortest_interval), but never less than least_s. measure_s is
    how often what a point's meter measures is asked for in slack time, 0 for never.
    """

    settle_s: float
    least_s: float
    share: Decimal = SHARE
    measure_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Bound:
    """What is promised of a line, as it is now: from the instant at which a purse is at its cut level it takes
    delay_s at the most until all it pays for is off, if nothing holds the cut. So a purse of typical load (the
    median of the line) cannot be overdrawn by more than typical, and none by more than most.

    interval_s is the shortest time between two visits of a point, were every purse of the line near a level. All are
    0 where nothing is promised.
    """

    line: str
    interval_s: float
    delay_s: float
    typical: Money
    most: Money


class LinePace:
    """The pace of one line. travel_s is how long the slowest switch on it takes, woken how many points may be
    visited out of turn because their purse pays for others too."""

    def __init__(self, name: str, pace: Pace, rounds: Rounds) -> None:
        self.missed = 0
        self.travel_s = 0.0
        self.woken = 0
        self._name = name
        self._pace = pace
        self._rounds = rounds
        self._near: set[UUID] = set()
        self._behind: float | None = None  # since when the bound is not held
        self._worst_s = 0.0

    def wait_s(self, point: UUID, lasts: timedelta) -> float:
        """When to visit a point again whose purse lasts for so long at the least, in seconds."""
        lasts_s = lasts.total_seconds()
        if lasts_s >= self._pace.settle_s:  # as for most: no shortest interval is longer
            self._near.discard(point)
            return self._pace.settle_s
        if lasts_s < self.interval_s(self._rounds.served):
            self._near.add(point)
        else:
            self._near.discard(point)
        return min(max(lasts_s, self.interval_s(len(self._near))), self._pace.settle_s)

    def keep(self, points: set[UUID]) -> None:
        """No others are on the line."""
        self._near &= points

    def interval_s(self, near: int) -> float:
        """The shortest time between two visits of a point, where so many purses are near a level."""
        visit = timedelta(seconds=self._rounds.usual_s)
        least = shortest_interval(points=near, visit=visit, share=self._pace.share)
        return min(max(self._pace.least_s, least.total_seconds()), self._pace.settle_s)

    def line(self) -> Line:
        """The line's real figures, as the bound wants them."""
        points = self._rounds.served
        return Line(
            interval=timedelta(seconds=self.interval_s(points)),
            points=points,
            woken=self.woken + TOP_UPS,
            visit=CUT_VISIT * timedelta(seconds=self._rounds.longest_s),
            retries=TRIES - 1,
            travel=timedelta(seconds=self.travel_s),
        )

    def bound(self, loads: list[Load]) -> Bound:
        """The promise to purses of these loads; before the first answer, and where nobody pays, there is none."""
        line = self.line()
        if not line.visit or not loads:
            return Bound(self._name, interval_s=0, delay_s=0, typical=Money(0), most=Money(0))
        bounds = sorted(_bound(line, load) for load in loads)
        return Bound(
            self._name,
            interval_s=line.interval.total_seconds(),
            delay_s=line.cut_delay.total_seconds(),
            typical=bounds[len(bounds) // 2],
            most=bounds[-1],
        )

    def began(self, late_s: float, *, who: Callable[[], str], load: Callable[[], Load]) -> None:
        """A visit begins so long after it was due: is that within what the bound allows?

        Counted at each visit; said when it starts and when it ends. who is the point and its purse, for people.
        """
        if self._behind is None and late_s <= self._rounds.longest_s:
            return  # any bound allows for one visit of another
        line = self.line()
        if not line.visit:
            return  # nothing is promised before the first answer
        allowed_s = (line.cut_delay - line.interval - line.travel).total_seconds()
        now = asyncio.get_running_loop().time()
        if late_s > allowed_s:
            self.missed += 1
            self._worst_s = max(self._worst_s, late_s)
            if self._behind is None:
                self._behind = now
                beyond = timedelta(seconds=late_s - allowed_s)
                log.warning(
                    "bound not held on line %s: %s was due %.1f s ago, %.1f s longer than the bound allows; such a "
                    "purse can be overdrawn by %s now, not by %s: the line has too many meters, or too many that "
                    "do not answer",
                    *(self._name, who(), late_s, beyond.total_seconds()),
                    _bound(replace(line, interval=line.interval + beyond), load()),
                    _bound(line, load()),
                )
        elif self._behind is not None and self._rounds.late_s() <= allowed_s / 2:
            log.info(
                "the bound is held again on line %s after %.0f s; the latest visit came %.1f s after it was due",
                *(self._name, now - self._behind, self._worst_s),
            )
            self._behind, self._worst_s = None, 0.0


def _bound(line: Line, load: Load) -> Money:
    return overdraft_bound(line, per_day=load.per_day, unseen=load.unseen)
