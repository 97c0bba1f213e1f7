"""What a purse pays for, and how long it lasts at the least."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from itertools import chain
from math import ceil
from uuid import UUID

from edge.ledger.store import Store
from prepaid.credit import cut_level, levels
from prepaid.deadline import Drain, ever_per_day, most_per_day, next_read
from prepaid.decimals import EXACT, NOTHING
from prepaid.money import EXPONENTS, Money
from prepaid.point import ServicePoint
from prepaid.tariff import Tariff

AT_ONCE = timedelta(0)
_MICROSECOND = timedelta(microseconds=1)
_DAY_US = timedelta(days=1) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Load:
    """The most that a purse's points can take in 24 hours, and what of it does not show yet: one step of each
    register, a fen of rounding for each item. In fen."""

    per_day: Decimal
    unseen: Decimal


NO_LOAD = Load(NOTHING, NOTHING)


class Purses:
    """The points of a gateway by the purse that pays for them, of whichever line."""

    def __init__(self, store: Store, points: Iterable[ServicePoint]) -> None:
        self._store = store
        self._paid: dict[UUID, list[ServicePoint]] = {}
        # The most a day of each point, at any time, with the tariff that says so.
        self._ever: dict[UUID, tuple[Tariff, int]] = {}
        self._levels: dict[tuple[UUID, bool], tuple[Money, ...]] = {}  # whether emergency is taken
        for point in points:
            if point.purse is None:
                continue
            self._paid.setdefault(point.purse, []).append(point)

    def points(self, purse: UUID) -> list[ServicePoint]:
        """What the purse pays for."""
        return self._paid.get(purse, [])

    def beside(self, point: ServicePoint) -> list[ServicePoint]:
        """The point and all else that its purse pays for; the point alone where nobody pays."""
        return [point] if point.purse is None else self.points(point.purse)

    def concerned(
        self, point: ServicePoint, *, before: Money, available: Money
    ) -> Iterable[ServicePoint]:
        """The other points of the purse for which it is now empty, or no longer is."""
        if point.purse is None or len(self.points(point.purse)) == 1:
            return
        is_taken = self._is_emergency_taken(point.purse)
        for other in self.points(point.purse):
            if other.id != point.id:
                level = cut_level(other.policy, is_emergency_taken=is_taken)
                if (before > level) is not (available > level):
                    yield other

    def lasts(
        self, purse: UUID, available: Money, *, now: datetime, at_most: timedelta
    ) -> timedelta:
        """How long until the purse can be down to its next level, if all it pays for draws all it can."""
        # Most purses outlast the longest time at any price; for the others the price is looked up.
        if self._outlasts(purse, available, now=now, time=at_most):
            return at_most
        drains = (self._drain(point, now, until=now + at_most) for point in self.points(purse))
        due = next_read(
            available,
            levels=self._levels_of(purse),
            drains=[drain for drain in drains if drain is not None],
            now=now,
            at_least=AT_ONCE,
            at_most=at_most,
        )
        return due - now

    def _outlasts(self, purse: UUID, available: Money, *, now: datetime, time: timedelta) -> bool:
        """Whether the purse stays above its next level for a time at the dearest price that any tariff has."""
        below = [level.fen for level in self._levels_of(purse) if level.fen < available.fen]
        if not below:
            return True  # nothing more is lost
        drawn = 0  # in fen, for 24 hours, times microseconds
        for point in self.points(purse):
            tariff, position = self._store.tariff(point.tariff), self._store.position(point.id)
            if tariff is not None:
                since = time if position is None else time + max(now - position.reading.at, AT_ONCE)
                drawn += self._ever_per_day(point, tariff) * (since // _MICROSECOND)
        return (available.fen - max(below)) * _DAY_US >= drawn

    def _levels_of(self, purse: UUID) -> tuple[Money, ...]:
        """The balances at which something has to be done for one of the purse's points."""
        is_taken = self._is_emergency_taken(purse)
        known = self._levels.get((purse, is_taken))
        if known is None:
            found = (levels(p.policy, is_emergency_taken=is_taken) for p in self.points(purse))
            known = self._levels[purse, is_taken] = tuple(chain.from_iterable(found))
        return known

    def _ever_per_day(self, point: ServicePoint, tariff: Tariff) -> int:
        """In fen, rounded up."""
        known = self._ever.get(point.id)
        if known is None or known[0] is not tariff:
            known = self._ever[point.id] = (tariff, ceil(ever_per_day(point, tariff)))
        return known[1]

    def _is_emergency_taken(self, purse: UUID) -> bool:
        return self._store.lent(purse) is not None

    def load(self, purse: UUID, *, now: datetime, at_most: timedelta) -> Load:
        """All that the points of the purse can draw together."""
        per_day = unseen = NOTHING
        for point in self.points(purse):
            tariff = self._store.tariff(point.tariff)
            if tariff is None:
                continue
            until, any_band = now + at_most, point.trusts_meter_bands
            with localcontext(EXACT):
                per_day += most_per_day(point, tariff, since=now, until=until)
                price = tariff.highest_price(now, until, any_band=any_band)
                step = price * point.meter.step * point.meter.multiplier
                unseen += step.scaleb(EXPONENTS[tariff.currency])
                unseen += max(len(version.items) for version in tariff.versions)
        return Load(per_day, unseen)

    def _drain(self, point: ServicePoint, now: datetime, *, until: datetime) -> Drain | None:
        """None of a point that has no price. One that has not been read yet will be charged from its first reading
        on, which may be the next thing that happens."""
        tariff, position = self._store.tariff(point.tariff), self._store.position(point.id)
        if tariff is None:
            return None
        at = position.reading.at if position is not None else now
        per_day = most_per_day(point, tariff, since=min(now, at), until=until)
        return Drain(per_day, max(now - at, AT_ONCE))
