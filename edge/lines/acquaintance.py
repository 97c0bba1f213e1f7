"""What was learned of each meter by asking it, to ask it for less the next time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from edge.drivers import Known
from prepaid.point import Meter

TURN_STEP_US = (
    10_000  # how finely a meter's delay is told: a plan for its requests is made once for each
)


def whom(meter: Meter) -> str:
    """A meter by what it is called on its line: another one in its place is another."""
    return f"{meter.protocol} {meter.address} {meter.meter_no}"


class Acquaintances:
    """By service point. Of another meter in its place, or one whose entry has changed, nothing is known."""

    def __init__(self) -> None:
        self._refused: dict[UUID, tuple[Meter, frozenset[Any]]] = {}
        self._shy: dict[UUID, Meter] = {}

    def known(self, point: UUID, meter: Meter, *, byte_s: float, turn_s: float) -> Known:
        """What its driver is to know; byte_s and turn_s are what a byte and a request take on its line."""
        met, refused = self._refused.get(point, (None, frozenset()))
        return Known(
            refused if met is meter or met == meter else frozenset(),
            byte_us=round(byte_s * 1e6),
            turn_us=-(-round(turn_s * 1e6) // TURN_STEP_US) * TURN_STEP_US,
        )

    def boldly(self, point: UUID, meter: Meter, known: Known) -> Known:
        """To be asked for more at once than is documented, unless it was silent at that before."""
        return replace(known, is_bold=self._shy.get(point) != meter)

    def scare(self, point: UUID, meter: Meter) -> None:
        """It was silent when it was boldly asked: perhaps for that."""
        self._shy[point] = meter

    def note(self, point: UUID, meter: Meter, refused: frozenset[Any]) -> None:
        """The meter refuses this now."""
        self._refused[point] = (meter, refused)
