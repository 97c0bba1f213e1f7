"""Reach: what a register can show, how far it can move in a time, and how far is usual."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import lru_cache

from prepaid.point import Meter
from prepaid.reading import Reading
from prepaid.usual import Usual, micros

_HOUR = micros(timedelta(hours=1))


def can_pass(meter: Meter, time: timedelta) -> Decimal:
    """The most that a register can move in a time: whole steps, and one more at each end.

    Call it where decimals are exact.
    """
    steps = meter.max_per_hour * micros(time) // (_HOUR * meter.step)
    return (steps + 2) * meter.step


def ahead_of(before: Reading, after: Reading, meter: Meter) -> Decimal:
    """How far one register is ahead of another, in one round at most; never negative. Both can be shown."""
    moved = after.total - before.total
    return moved if moved >= 0 else moved + round_of(meter)


def round_of(meter: Meter) -> Decimal:
    """What a register counts before it shows the same again."""
    return _round_of(meter.digits)


@lru_cache(maxsize=32)
def _round_of(digits: int) -> Decimal:
    return Decimal(1).scaleb(digits)


def is_shown(reading: Reading, meter: Meter) -> bool:
    """Whether a register of so many digits can show it."""
    return reading.total.is_finite() and 0 <= reading.total < round_of(meter)


def usual_in(meter: Meter, since: timedelta, usual: Usual) -> Decimal:
    """The most that is usual in a time; less than always_usual it never is."""
    limits = meter.thresholds
    average = usual.over(since, meter, times=limits.times_usual)
    return limits.always_usual if average is None else max(limits.always_usual, average)
