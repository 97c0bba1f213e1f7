"""A leak 疑似漏水: whether more flows, without a break, behind a valve that was opened again than is used.

Nothing here is found out by how fast it flows alone: a bucket is filled as fast. So it must last, and a register that
counts in large steps is given the benefit of one step at each end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, localcontext

from prepaid.decimals import EXACT
from prepaid.point import Meter
from prepaid.reading import Reading
from prepaid.register.reach import ahead_of

WATCHED_FOR = timedelta(minutes=10)  # after the valve was opened
LOOK = timedelta(minutes=1)  # between two looks at the register
LASTING = timedelta(minutes=3)  # a flow without a break, which is four looks in a row

_MICROSECOND = timedelta(microseconds=1)
_HOUR_US = timedelta(hours=1) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Look:
    """A reading, and its instant by a clock that does not jump."""

    reading: Reading
    at: timedelta


@dataclass(frozen=True, slots=True)
class Watch:
    """The first minutes after a valve was opened at an instant (opened) of that clock.

    since is where the flow that has not been broken up to last began.
    """

    opened: timedelta
    since: Look | None = None
    last: Look | None = None


@dataclass(frozen=True, slots=True)
class Leak:
    """So much (in the unit of the point) has flowed at the least, in so long."""

    flowed: Decimal
    lasted: timedelta


def follow(
    watch: Watch, look: Look, meter: Meter, *, most_per_hour: Decimal
) -> Watch | Leak | None:
    """What one more look at the register makes of a watch: a leak, or the watch to go on with; None once it is over.

    most_per_hour is in the unit of the point. A look sooner than LOOK after the last changes nothing.
    """
    if look.at - watch.opened > WATCHED_FOR:
        return None
    since, last = watch.since, watch.last
    if since is None or last is None or last.reading.meter_no != look.reading.meter_no:
        return replace(watch, since=look, last=look)
    if look.at - last.at < LOOK:
        return watch
    with localcontext(EXACT):
        most, least = _flowed(last, look, meter)
        if not _is_more(most, look.at - last.at, most_per_hour):
            return replace(watch, since=look, last=look)
        most, least = _flowed(since, look, meter)
        lasted = look.at - since.at
        if lasted >= LASTING and _is_more(least, lasted, most_per_hour):
            return Leak(least, lasted)
    return replace(watch, last=look)


def _flowed(before: Look, after: Look, meter: Meter) -> tuple[Decimal, Decimal]:
    """The most and the least that can have flowed: a register shows whole steps."""
    moved = ahead_of(before.reading, after.reading, meter)
    most = (moved + meter.step) * meter.multiplier
    return most, max(moved - meter.step, Decimal(0)) * meter.multiplier


def _is_more(flowed: Decimal, time: timedelta, most_per_hour: Decimal) -> bool:
    return flowed * _HOUR_US > most_per_hour * (time // _MICROSECOND)
