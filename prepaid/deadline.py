"""When a service point must be read next, and how far a purse can be overdrawn at most when all is off.

docs/supply.md derives both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from math import ceil

from prepaid.decimals import EXACT, NOTHING
from prepaid.money import EXPONENTS, Money
from prepaid.point import ServicePoint
from prepaid.tariff import Tariff

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_DAY_US = _DAY // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Drain:
    """The most that a service point can take out of its purse: per_day, in fen for 24 hours.

    uncharged is how long ago it was last charged: what it has taken since then, nobody knows yet.
    """

    per_day: Decimal
    uncharged: timedelta


def most_per_day(
    point: ServicePoint, tariff: Tariff, *, since: datetime, until: datetime
) -> Decimal:
    """What 24 hours of the largest load can cost, fixed fees too, at the dearest from since to until; in fen.

    Where the meter's own bands are trusted, the dearest band may come at any hour.
    """
    meter = point.meter
    with localcontext(EXACT):
        load = meter.max_per_hour * meter.multiplier * 24
        fees = tariff.highest_fees_per_day(since, until)
        price = tariff.highest_price(since, until, any_band=point.trusts_meter_bands)
        most = price * load + fees
        return most.scaleb(EXPONENTS[tariff.currency])


def ever_per_day(point: ServicePoint, tariff: Tariff) -> Decimal:
    """What 24 hours of the largest load can cost at any time, at the dearest price that any version has; in fen."""
    began = [version.effective_from for version in tariff.versions]
    every_band = replace(point, trusts_meter_bands=True)
    return most_per_day(every_band, tariff, since=min(began), until=max(began))


def next_read(
    available: Money,
    *,
    levels: Iterable[Money],
    drains: Iterable[Drain],
    now: datetime,
    at_least: timedelta,
    at_most: timedelta,
) -> datetime:
    """The earliest instant at which the purse can be down to the next of its levels: T = balance / (price × load).

    levels are the balances that matter (credit.levels), of which the highest below available comes next.
    drains are those of all points the purse pays for, of any line. It is no sooner than at_least, for
    the sake of the line (shortest_interval), and no later than at_most, the settlement interval. With no
    level left below it a purse waits for at_most: nothing more is lost by it, and a credit wakes its points.
    """
    below = [level.fen for level in levels if level.fen < available.fen]
    with localcontext(EXACT):
        per_day, taken = NOTHING, NOTHING
        for drain in drains:
            per_day += drain.per_day
            taken += drain.per_day * (drain.uncharged // _MICROSECOND)
        if not below or not per_day:
            return now + at_most
        left = (available.fen - max(below)) * _DAY_US - taken
        # What is taken already may be more than is left: then the quotient is below 0, and at_least counts.
        lasts = timedelta(microseconds=min(int(left // per_day), at_most // _MICROSECOND))
    return now + min(max(lasts, at_least), at_most)


def shortest_interval(*, points: int, visit: timedelta, share: Decimal) -> timedelta:
    """The least time between two visits of a point at which a line of so many points is never too busy.

    All of them at this pace together take share of the line's time; visit is what one visit takes.
    """
    over, under = share.as_integer_ratio()
    return -(-points * (visit // _MICROSECOND) * under // over) * _MICROSECOND  # rounded up


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How fast a line serves its points, earliest deadline first, those woken before all others.

    points is how many can be due together, woken how many more visits are made out of turn meanwhile: one
    for each point whose purse pays for others too, and one for each top-up. visit is the longest that a
    visit which cuts takes if all is answered at once: two readings, the command, the look at what it did.
    """

    interval: (
        timedelta  # at_least of next_read; the settlement interval where that is the only pace
    )
    points: int
    woken: int
    visit: timedelta
    retries: int  # of every exchange
    travel: timedelta  # of the relay or the valve

    @property
    def round_time(self) -> timedelta:
        """The longest that visiting each point once can take."""
        return self.points * self.visit * (1 + self.retries)

    @property
    def cut_delay(self) -> timedelta:
        """The longest from the instant a purse is at its level until all it pays for is off."""
        others = (self.woken + 1) * self.visit * (1 + self.retries)
        return self.interval + self.round_time + others + self.travel


def overdraft_bound(line: Line, *, per_day: Decimal, unseen: Decimal) -> Money:
    """The most that a purse can be below its cut level when all it pays for is off, where nothing held the cut.

    per_day is the sum of most_per_day over the points it pays for. unseen is what can be used and not yet
    show: for each point the price of one register step, and for each item charged a fen of rounding. Both
    in fen. Of points on several lines, the slowest line counts, with all of them woken.
    """
    drawn = Fraction(per_day) * (line.cut_delay // _MICROSECOND) / _DAY_US
    return Money(ceil(drawn + Fraction(unseen)))
