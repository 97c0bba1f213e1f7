"""The history of a register: what is usual for it, which reading is in doubt, what was charged ahead."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from prepaid.point import Meter
from prepaid.reading import Reading
from prepaid.record import record
from prepaid.register.evidence import Kind
from prepaid.usual import NO_TIME, Usual


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reading that could not be true 存疑读数.

    since is how long after the reading charged last it came; negative once a later one was charged. It is
    open while it holds the point. After that it is remembered for a while: a register that comes back on
    the same address is another meter's. is_duplicate once that was seen.
    """

    reading: Reading
    since: timedelta
    kind: Kind
    is_open: bool = True
    is_duplicate: bool = False


@record
@dataclass(frozen=True, slots=True)
class Ahead:
    """What was charged as an estimate and no register has shown yet 预估未抵扣.

    quantity is in the point's unit; over is how much of the time since the register last moved it is for.
    """

    quantity: Decimal = Decimal(0)
    over: timedelta = NO_TIME


@record
@dataclass(frozen=True, slots=True)
class History:
    """What is known of a register beside the position. Keep it with the position, in the same transaction.

    charged_at is the place (Meter.place) at which the reading charged last was read, where it is read at another
    since; None where it is read there still.
    """

    usual: Usual = field(default_factory=Usual)
    doubt: Doubt | None = None
    ahead: Ahead = field(default_factory=Ahead)
    charged_at: tuple[str, ...] | None = None

    @property
    def is_held(self) -> bool:
        return self.doubt is not None and (self.doubt.is_open or self.doubt.is_duplicate)


def settle(
    moved: Decimal, elapsed: timedelta, meter: Meter, history: History
) -> tuple[Decimal, History]:
    """Of a true movement what is to be charged, and the history after it: an estimate is taken off first, and the
    reading charged last is one of where the meter is read now.

    Call it where decimals are exact.
    """
    ahead, usual = history.ahead, history.usual
    offset = Decimal(0)
    if ahead.quantity:
        offset = min(moved, ahead.quantity // (meter.multiplier * meter.step) * meter.step)
    if moved:
        was_stuck = usual.is_stuck(meter) and not ahead.over
        ahead = Ahead(ahead.quantity - offset * meter.multiplier)
    else:
        was_stuck = False
    usual = usual.moved_on(moved, elapsed, meter, was_stuck=was_stuck)
    return moved - offset, History(usual, history.doubt, ahead)


def read_elsewhere(history: History, was: Meter, now: Meter) -> History:
    """The history once a meter is read as now says, and no more as was.

    What answers there may be another register, and one within reach cannot be told from ours: so what is read is held
    until a person has compared the two, or it is read where it was again.
    """
    charged_at = history.charged_at or was.place
    if now.place != charged_at:
        return replace(history, charged_at=charged_at)
    doubt = history.doubt
    if doubt is not None and doubt.kind is Kind.ELSEWHERE:
        doubt = None
    return replace(history, charged_at=None, doubt=doubt)
