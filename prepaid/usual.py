"""What a service point usually uses 平均用量, and how long its register has stood still.

It is kept beside the position and moved on with each reading that is charged. It is exact: sums of what
was used and of the time it took, never a running average that rounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from prepaid.point import Meter
from prepaid.record import record

NO_TIME = timedelta(0)
_MICROSECOND = timedelta(microseconds=1)


@record
@dataclass(frozen=True, slots=True)
class Stretch:
    """What was used in a stretch of time, in the point's unit, and the longest stillness within it."""

    used: Decimal = Decimal(0)
    span: timedelta = NO_TIME
    longest_still: timedelta = NO_TIME


EMPTY = Stretch()


@record
@dataclass(frozen=True, slots=True)
class Usual:
    """The usage of the stretch that runs and of the one before it, each half of Thresholds.usual_over long.

    So an average is over half to all of that time. still is how long the register has stood still; that
    time joins the stretch when it moves again.
    """

    now: Stretch = EMPTY
    earlier: Stretch = EMPTY
    still: timedelta = NO_TIME

    def over(self, time: timedelta, meter: Meter, *, times: Decimal = Decimal(1)) -> Decimal | None:
        """What usually passes the register in a time, times over, in whole steps of it, rounded down.

        None where the history is too short to say. Call it where decimals are exact.
        """
        span = self.now.span + self.earlier.span
        if span < meter.thresholds.usual_from:
            return None
        used = self.now.used + self.earlier.used
        steps = times * used * micros(time) // (micros(span) * meter.multiplier * meter.step)
        return steps * meter.step

    def is_stuck(self, meter: Meter) -> bool:
        """Whether the register has stood still for longer than its usual usage explains."""
        limits = meter.thresholds
        if self.still < limits.stuck_after:
            return False
        longest = max(self.now.longest_still, self.earlier.longest_still)
        if micros(self.still) < limits.stuck_times * micros(longest):
            return False
        expected = self.over(self.still, meter)
        return expected is not None and expected >= limits.stuck_steps * meter.step

    def moved_on(
        self, moved: Decimal, elapsed: timedelta, meter: Meter, *, was_stuck: bool
    ) -> Usual:
        """After the register moved (in its own unit) in a time.

        A stillness in which it was stuck says nothing of what is used, so it does not join the stretch.
        """
        if not moved:
            return replace(self, still=self.still + elapsed)
        now = Stretch(
            self.now.used + moved * meter.multiplier,
            self.now.span + elapsed + (NO_TIME if was_stuck else self.still),
            max(self.now.longest_still, self.still),
        )
        if now.span >= meter.thresholds.usual_over / 2:
            return Usual(earlier=now)
        return Usual(now, self.earlier)


def micros(time: timedelta) -> int:
    return time // _MICROSECOND
