"""The brake 批量拉闸保护: many cuts at once are more likely a mistake of ours than many empty purses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from prepaid.quantity import exact


@dataclass(frozen=True, slots=True)
class Brake:
    """The cuts that a site made of itself lately, and since when it makes no more.

    points is how many service points the site has. More than max(least, share × points) of them cut within
    a while pull the brake; only a person releases it. An operator's own cuts are neither counted nor braked.

    Raises TypeError if share is no Decimal.
    """

    points: int
    least: int = 5
    share: Decimal = Decimal("0.05")
    within: timedelta = timedelta(minutes=10)
    cuts: tuple[tuple[UUID, datetime], ...] = ()
    pulled_at: datetime | None = None

    def __post_init__(self) -> None:
        exact(self.share, "the share of the points")

    @property
    def is_on(self) -> bool:
        return self.pulled_at is not None

    def note_cut(self, point: UUID, now: datetime) -> Brake:
        """The brake as it is once this cut is about to be made. If it is on then, the cut is not made.

        A point counts once, from its last cut: one that is tried again is no second. now is a trusted time.
        """
        if self.is_on:
            return self
        others = ((cut, at) for cut, at in self.cuts if cut != point and now - at < self.within)
        lately = (*others, (point, now))
        is_too_many = len(lately) > max(Decimal(self.least), self.share * self.points)
        return replace(self, cuts=lately, pulled_at=now if is_too_many else None)

    def released(self) -> Brake:
        """The brake as a person leaves it who has looked: off, and counting from nothing."""
        return replace(self, cuts=(), pulled_at=None)
