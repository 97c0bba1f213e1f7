"""When power has come back to the building, and in which order supplies are given back after it 错峰送电.

It has come back when the machine has only just been started, or when every meter was silent and one answers
again (a gateway that goes on by a battery).
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

YOUNG_S = 600.0  # a program that begins so soon after its machine was started began with the power
OVER = timedelta(hours=1)  # after that nobody waits any more
LEAST = 2  # silent meters; one alone has its own trouble


class PowerReturn:
    """What is known of it on this gateway; instants are ticks of the clock that does not jump."""

    def __init__(self, *, now: float, machine_s: float | None) -> None:
        """now is when this program began, machine_s how long the machine had run then (None: not known)."""
        is_young = machine_s is not None and machine_s <= YOUNG_S
        self._back_at: float | None = now if is_young else None
        self._silent: set[UUID] = set()
        self._is_out = False
        self._places: dict[UUID, int] = {}

    def went_silent(self, point: UUID, *, of: int) -> None:
        """A point does not answer; of is how many points this gateway has."""
        self._silent.add(point)
        self._is_out = self._is_out or (of >= LEAST and len(self._silent) >= of)

    def answered(self, point: UUID, now: float) -> bool:
        """A point answers; whether that says that power has come back just now."""
        self._silent.discard(point)
        if not self._is_out:
            return False
        self._is_out = False
        self._back_at = now
        self._places.clear()
        return True

    def ago(self, now: float) -> timedelta | None:
        """How long ago power came back; None if it did not, or that matters no longer."""
        if self._back_at is None:
            return None
        passed = timedelta(seconds=now - self._back_at)
        if passed > OVER:
            self._back_at = None
            self._places.clear()
            return None
        return passed

    def place(self, point: UUID) -> int:
        """Which place this point has among those given back, from 0: the next one, if it has none yet."""
        return self._places.setdefault(point, len(self._places))
