"""A register that goes on although its switch says off 断后走字: what does not shut, or is bridged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from uuid import UUID

from prepaid.decimals import EXACT
from prepaid.point import ServicePoint
from prepaid.reading import Reading, Supply
from prepaid.register.reach import ahead_of

SETTLED_S = 120.0  # a valve may still be on its way when it says that it is closed
LEAST_STEPS = 2  # of the register: one may have been nearly full when the supply went off


@dataclass(frozen=True, slots=True)
class _Off:
    """Since which tick a supply is seen off, and the first reading after it had settled."""

    since: float
    reading: Reading | None = None


class Bypass:
    """What is counted behind switches that are off, as far as this program has seen it."""

    def __init__(self) -> None:
        self._off: dict[UUID, _Off] = {}

    def moved(self, point: ServicePoint, reading: Reading, *, tick: float) -> Decimal | None:
        """How far the register went on since the supply is off, in its unit; None where it did not.

        tick is the instant of the reading, in seconds of a clock that does not jump.
        """
        if reading.supply is not Supply.OFF or not point.meter.has_switch:
            self._off.pop(point.id, None)
            return None
        off = self._off.setdefault(point.id, _Off(tick))
        if off.reading is None or off.reading.meter_no != reading.meter_no:
            if tick - off.since >= SETTLED_S:
                self._off[point.id] = replace(off, reading=reading)
            return None
        with localcontext(EXACT):
            moved = ahead_of(off.reading, reading, point.meter)
            return moved if moved >= LEAST_STEPS * point.meter.step else None

    def forget(self, point: UUID) -> None:
        """Another register is counted, or the same one from elsewhere."""
        self._off.pop(point, None)
