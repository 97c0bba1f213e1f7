"""The decimal steps in which rating many meters at once counts: fine enough for every number that occurs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from prepaid.batch_plan import Plan, gone_by
from prepaid.decimals import NOTHING
from prepaid.money import EXPONENTS, ZERO
from prepaid.point import ServicePoint
from prepaid.rating import Position, Running
from prepaid.tariff import Fixed, Rate, Tiers

FINEST = 6
"""Decimals of a register between two readings, and the most that one that was read may have here."""

_MOST = 1 << 62


@dataclass(frozen=True, slots=True)
class Scales:
    """Decimals of the steps that are fine enough: of registers, of each place's own quantity, of each item's cost."""

    register: int
    quantity: Mapping[int, int]
    items: Mapping[str, int]

    @classmethod
    def of(
        cls,
        plan: Plan,
        points: Sequence[ServicePoint],
        positions: Sequence[Position],
        register: int,
    ) -> Scales:
        multiplier = max(places_of(point.meter.multiplier) for point in points)
        quantity: dict[int, int] = {}
        for place in range(max(len(plan.tariff.versions[n].components) for n in plan.versions)):
            rates = plan.rates(place)
            if rates:
                finest = register + multiplier + max(places_of(rate.share) for rate in rates)
                counted = (p.counted[place].used for p in positions if place < len(p.counted))
                bounds = (bound for rate in rates for bound in _all_bounds(rate.tiers))
                quantity[place] = max(finest, *_all_places(counted), *_all_places(bounds))
        items: dict[str, int] = {}
        for position in positions:
            for item in items_of(plan, position):
                items[item] = max(
                    items.get(item, EXPONENTS[plan.tariff.currency]),
                    places_of(running_of(position, item).cost),
                )
        for number in plan.versions:
            for place, component in enumerate(plan.tariff.versions[number].components):
                match component:
                    case Rate():
                        prices = (p for by_band in component.prices for p in by_band.values())
                        finest = quantity[place] + max(_all_places(prices))
                    case Fixed():
                        finest = FINEST + places_of(component.amount)
                items[component.item] = max(items[component.item], finest)
        return cls(register, quantity, items)

    def most(
        self,
        plan: Plan,
        points: Sequence[ServicePoint],
        positions: Sequence[Position],
        item: str,
        moved: int,
    ) -> int:
        """No number on the way to the item's costs is beyond it, if no register moves more than moved."""
        scale = self.items[item]
        most = max(in_steps(running_of(position, item).cost, scale) for position in positions)
        for number in plan.versions:
            for place, component in enumerate(plan.tariff.versions[number].components):
                if component.item != item:
                    continue
                match component:
                    case Fixed():
                        edges = np.array([plan.edges[0], plan.edges[-1]])
                        gone = np.diff(gone_by(component.cycle, plan.tariff.timezone, edges))
                        most += int(gone[0]) * in_steps(component.amount, scale - FINEST)
                    case Rate():
                        finer = self.quantity[place] - self.register
                        factor = max(
                            in_steps(point.meter.multiplier * component.share, finer)
                            for point in points
                        )
                        counted = [
                            in_steps(p.counted[place].used, self.quantity[place])
                            for p in positions
                            if place < len(p.counted)
                        ]
                        dearest = max(p for by_band in component.prices for p in by_band.values())
                        price = max(1, in_steps(dearest, scale - self.quantity[place]))
                        most += (moved * factor + max([0, *counted]) + 1) * price
        return int(most + 10**scale)


def items_of(plan: Plan, position: Position) -> list[str]:
    """The items of a position, and those of the versions that hold, in order of their coming."""
    known = [running.item for running in position.running]
    held = (c.item for number in plan.versions for c in plan.tariff.versions[number].components)
    return list(dict.fromkeys([*known, *held]))


def running_of(position: Position, item: str) -> Running:
    return next((one for one in position.running if one.item == item), Running(item, NOTHING, ZERO))


def _all_bounds(tiers: Tiers | None) -> Iterator[Decimal]:
    if tiers is not None:
        yield from tiers.bounds
        yield from tiers.per_extra_person
        for season in tiers.seasons:
            yield from season.bounds


def kind_for(most: int) -> type[Any]:
    return np.int64 if most < _MOST else object


def places_of(value: Decimal) -> int:
    """The decimals that a value is written with."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # it is finite
    return max(0, -exponent)


def _all_places(values: Iterable[Decimal]) -> list[int]:
    return [0, *(places_of(value) for value in values)]


def in_steps(value: Decimal, places: int) -> int:
    """The value in steps of places decimals, which it has no more of."""
    whole = value.scaleb(places)
    assert whole == whole.to_integral_value(), f"{value} is finer than {places} decimals"
    return int(whole)


def from_steps(steps: Any, places: int) -> Decimal:
    return Decimal(int(steps)).scaleb(-places)
