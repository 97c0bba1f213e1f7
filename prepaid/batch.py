"""Many meters at one tariff rated at once, for re-rating years of readings: to the same fen as prepaid.rating.

The meters were read at the same instants. All arithmetic is on whole numbers of a decimal step that is
fine enough for every quantity, price and cost that occurs, in 64 bits where a bound worked out beforehand
shows that they suffice, in Python's own integers where not. So nothing is rounded that rate does not round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import localcontext
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt

from prepaid import decimals
from prepaid.batch_plan import Block, Plan, gone_by
from prepaid.batch_steps import (
    FINEST,
    Scales,
    from_steps,
    in_steps,
    items_of,
    kind_for,
    places_of,
    running_of,
)
from prepaid.calendar import instant
from prepaid.money import EXPONENTS, Money
from prepaid.point import ServicePoint
from prepaid.rating import Position, Running
from prepaid.reading import Reading
from prepaid.reckoning import UNCOUNTED, Counted
from prepaid.tariff import Fixed, Rate, Tariff, TierPeriod, Tiers

Whole = npt.NDArray[Any]
"""Whole numbers: int64, or Python's own integers as objects."""

_AT_ONCE = 1 << 18


class NotInBatch(ValueError):
    """These readings cannot be rated together. Says why; rate them one by one with prepaid.rating."""


@dataclass(frozen=True, slots=True)
class Rated:
    """charges[item][meter, reading] in the currency's minor unit, and the position of each meter after its last.

    slow has a sentence for each item whose numbers do not fit 64 bits; those are as right, and slower.
    """

    charges: Mapping[str, npt.NDArray[np.int64]]
    positions: tuple[Position, ...]
    slow: tuple[str, ...]


def rate_many(
    points: Sequence[ServicePoint],
    tariff: Tariff,
    positions: Sequence[Position],
    at: Sequence[datetime],
    registers: npt.NDArray[np.int64],
    *,
    places: int,
) -> Rated:
    """What prepaid.rating.rate gives for each meter, reading by reading, all at once.

    registers has a row for each of points and positions, and a column for each of at: what the meter
    showed, in steps of places decimals (123456 with 2 places is 1234.56). The positions are of one
    instant, before all of at, which rise.

    Raises NotInBatch where that is not so, where a register goes back or has more than six decimals, and
    where a meter's own bands are to be used or its clock was put back; ValueError where shapes do not fit.
    """
    _check(points, positions, at, registers, places)
    with localcontext(decimals.EXACT):
        plan = Plan.of(tariff, [positions[0].reading.at, *at])
        rows = max(1, _AT_ONCE // len(plan.edges))
        batches = [
            _Batch(plan, points[first : first + rows], positions[first : first + rows])
            for first in range(0, len(points), rows)
        ]
        for number, batch in enumerate(batches):
            batch.rate(registers[number * rows : (number + 1) * rows], places)
    items = dict.fromkeys(item for batch in batches for item in batch.charges)
    return Rated(
        {item: np.concatenate([batch.charged(item) for batch in batches]) for item in items},
        tuple(position for batch in batches for position in batch.after),
        tuple(dict.fromkeys(reason for batch in batches for reason in batch.slow)),
    )


def _check(
    points: Sequence[ServicePoint],
    positions: Sequence[Position],
    at: Sequence[datetime],
    registers: npt.NDArray[np.int64],
    places: int,
) -> None:
    if registers.dtype != np.int64:
        raise ValueError(f"registers must be int64, not {registers.dtype}")
    if not len(points) == len(positions) == len(registers) or not points:
        raise ValueError(
            f"{len(points)} points, {len(positions)} positions and {len(registers)} rows of registers: "
            "there must be as many of each, and at least one"
        )
    if registers.shape != (len(points), len(at)) or not at:
        raise ValueError(
            f"registers of shape {registers.shape} for {len(at)} readings of {len(points)} meters"
        )
    if not 0 <= places <= FINEST:
        raise NotInBatch(
            f"registers have {places} decimals; at most {FINEST} can be rated together"
        )
    began = positions[0].reading.at
    late = next((later for before, later in pairwise([began, *at]) if later <= before), None)
    if late is not None:
        raise NotInBatch(f"the reading of {late} is not after the one before it")
    for point, position in zip(points, positions, strict=True):
        name = point.meter.meter_no
        if point.trusts_meter_bands:
            raise NotInBatch(f"meter {name}: its own bands are to be used")
        if position.reading.at != began:
            raise NotInBatch(
                f"meter {name} stands at {position.reading.at}, the first one at {began}"
            )
        if position.fees_until != began:
            raise NotInBatch(
                f"meter {name}: its fees are charged until {position.fees_until}, beyond its reading"
            )


class _Batch:
    """Some of the meters on their way through the plan."""

    def __init__(
        self, plan: Plan, points: Sequence[ServicePoint], positions: Sequence[Position]
    ) -> None:
        self.plan = plan
        self.points = points
        self.positions = positions
        self.charges: dict[str, npt.NDArray[np.int64]] = {}
        self.after: list[Position] = []
        self.slow: list[str] = []
        self.counts: dict[
            int, tuple[TierPeriod, Whole]
        ] = {}  # by place: where it counts, and how far

    def charged(self, item: str) -> npt.NDArray[np.int64]:
        """All zeros for an item that only others of the meters know."""
        nothing = np.zeros((len(self.points), len(self.plan.reads) - 1), dtype=np.int64)
        return self.charges.get(item, nothing)

    def rate(self, registers: npt.NDArray[np.int64], places: int) -> None:
        used, step = self._used(registers, places)
        scales = Scales.of(self.plan, self.points, self.positions, step)
        most = [int(moved) for moved in used.sum(axis=1)]
        costs = self._costs(used, scales, max(most))
        self._post(costs, registers, places, scales)

    def _used(self, registers: npt.NDArray[np.int64], places: int) -> tuple[Whole, int]:
        """What each register moved in each slice, and the decimals of the step it is counted in."""
        plan, began = self.plan, [position.reading.total for position in self.positions]
        is_cut = len(plan.edges) > len(plan.reads)
        step = FINEST if is_cut else max(places, *(places_of(total) for total in began))
        if max(places_of(total) for total in began) > FINEST:
            raise NotInBatch(f"a register has more than {FINEST} decimals")
        most = max(
            int(abs(registers).max()) * 10 ** (step - places), *(in_steps(b, step) for b in began)
        )
        spans = np.diff(plan.edges[plan.reads])
        beat = gcd(*np.diff(plan.edges).tolist())
        exact = kind_for(2 * most * int(spans.max() // beat) if is_cut else most)
        if exact is not np.int64:
            self.slow.append("the registers between the readings do not fit 64 bits")
        read = np.empty((len(self.points), len(plan.reads)), dtype=exact)
        read[:, 0] = [in_steps(total, step) for total in began]
        read[:, 1:] = registers.astype(exact) * 10 ** (step - places)
        moved = np.diff(read, axis=1)
        back = np.argwhere(moved < 0)
        if len(back):
            row, column = (int(one) for one in back[0])
            name, when = (
                self.points[row].meter.meter_no,
                instant(int(plan.edges[plan.reads[column + 1]])),
            )
            raise NotInBatch(f"the register of meter {name} goes back at {when}")
        if not is_cut:
            return moved, step
        at = np.empty((len(self.points), len(plan.edges)), dtype=exact)
        at[:, plan.reads] = read
        cuts = np.setdiff1d(np.arange(len(plan.edges)), plan.reads)
        within = np.searchsorted(plan.reads, cuts) - 1
        gone = ((plan.edges[cuts] - plan.edges[plan.reads[within]]) // beat).astype(exact)
        span = (spans[within] // beat).astype(exact)
        # Half-up: the register there, to the nearest of its steps.
        at[:, cuts] = read[:, within] + (2 * moved[:, within] * gone + span) // (2 * span)
        return np.diff(at, axis=1), step

    def _costs(self, used: Whole, scales: Scales, most: int) -> dict[str, Whole]:
        """By item the exact running total of each meter, at its position and at each reading."""
        plan = self.plan
        rises: dict[str, Whole] = {}
        exact = {
            item: kind_for(scales.most(plan, self.points, self.positions, item, most))
            for item in scales.items
        }
        self.slow += [
            f"{item}: its cost, exact to {scales.items[item]} decimals, does not fit 64 bits"
            for item, kind in exact.items()
            if kind is not np.int64
        ]
        for item, kind in exact.items():
            rises[item] = np.zeros((len(self.points), len(plan.edges) - 1), dtype=kind)
        self._begin(scales)
        held = plan.blocks[0].version
        for block in plan.blocks:
            version = plan.tariff.versions[block.version]
            if block.version != held:
                held = block.version
                kept = {
                    place
                    for place, component in enumerate(version.components)
                    if isinstance(component, Rate) and component.tiers is not None
                }
                self.counts = {place: n for place, n in self.counts.items() if place in kept}
            for place, component in enumerate(version.components):
                item = component.item
                rise = rises[item][:, block.first : block.last]
                if isinstance(component, Fixed):
                    rise += self._fees(component, block, scales.items[item]).astype(exact[item])
                else:
                    rise += self._priced(component, place, block, used, scales, exact[item])
        costs = {}
        for item, rise in rises.items():
            began = [
                in_steps(running_of(position, item).cost, scales.items[item])
                for position in self.positions
            ]
            cost = np.empty((len(self.points), len(plan.reads)), dtype=exact[item])
            cost[:, 0] = began
            cost[:, 1:] = np.cumsum(rise, axis=1)[:, plan.reads[1:] - 1] + cost[:, :1]
            costs[item] = cost
        return costs

    def _fees(self, fixed: Fixed, block: Block, scale: int) -> Whole:
        """Of each slice of a block, the same for all meters, in steps of the item's scale."""
        edges = self.plan.edges[block.first : block.last + 1]
        gone = np.diff(gone_by(fixed.cycle, self.plan.tariff.timezone, edges))
        numerator = in_steps(fixed.amount, scale - FINEST)
        return gone.astype(kind_for(int(gone.max()) * numerator)) * numerator

    def _priced(
        self,
        rate: Rate,
        place: int,
        block: Block,
        used: Whole,
        scales: Scales,
        exact: type[Any],
    ) -> Whole:
        """What a component costs in each slice of a block, in steps of its item's scale."""
        bands = self.plan.tariff.versions[block.version].bands
        quantity, finer = scales.quantity[place], scales.items[rate.item] - scales.quantity[place]
        prices = [
            np.array([in_steps(by_band[band], finer) for band in bands], dtype=exact)[block.bands]
            for by_band in rate.prices
        ]
        factors = [
            [in_steps(point.meter.multiplier * rate.share, quantity - scales.register)]
            for point in self.points
        ]
        own = used[:, block.first : block.last].astype(exact) * np.array(factors, dtype=exact)
        period = block.periods[place]
        if rate.tiers is None or period is None:
            priced: Whole = own * prices[0]
            return priced
        counted = self._counted(place, period, exact)
        reached = np.cumsum(own, axis=1) + counted
        self.counts[place] = (period, reached[:, -1:])
        bounds = self._bounds(rate.tiers, period, quantity, int(reached[:, -1].max()) + 1, exact)
        # Tiers that every meter has filled before the block, or that none reaches in it, are left out.
        lowest = int((counted >= bounds).sum(axis=1).min())
        highest = int((reached[:, -1:] > bounds).sum(axis=1).max())
        cost: Whole = np.zeros_like(own)
        below: Whole = np.zeros_like(own)
        for tier in range(lowest, highest + 1):
            if tier == highest:
                up_to = own
            else:
                bound = bounds[:, tier : tier + 1]
                up_to = np.diff(
                    np.minimum(reached, bound), axis=1, prepend=np.minimum(counted, bound)
                )
            cost += (up_to - below) * prices[tier]
            below = up_to
        return cost

    def _begin(self, scales: Scales) -> None:
        """Takes over how far each meter's tiers are filled where its position is in the same tier period."""
        for place, period in enumerate(self.plan.blocks[0].periods):
            if period is None:
                continue
            began = []
            for point, position in zip(self.points, self.positions, strict=True):
                count = position.counted[place] if place < len(position.counted) else UNCOUNTED
                if count.since is not None and period.until <= count.since:
                    raise NotInBatch(
                        f"meter {point.meter.meter_no} counts its tiers from {count.since}, "
                        "ahead of its readings"
                    )
                goes_on = (count.since, count.until) == (period.since, period.until)
                began.append([in_steps(count.used, scales.quantity[place]) if goes_on else 0])
            self.counts[place] = (period, np.array(began, dtype=object))

    def _counted(self, place: int, period: TierPeriod, exact: type[Any]) -> Whole:
        """How far each meter's tiers are filled where a block begins, as a column."""
        since, reached = self.counts.get(place, (None, None))
        if since is None or reached is None:
            return np.zeros((len(self.points), 1), dtype=exact)
        is_same = (since.since, since.until) == (period.since, period.until)
        return reached.astype(exact) if is_same else np.zeros_like(reached, dtype=exact)

    def _bounds(
        self, tiers: Tiers, period: TierPeriod, scale: int, beyond: int, exact: type[Any]
    ) -> Whole:
        """A row for each meter; a bound that is never reached is just beyond what is."""
        return np.array(
            [
                [
                    min(in_steps(bound, scale), beyond)
                    for bound in tiers.bounds_for(
                        month=period.month, persons=point.persons, households=point.households
                    )
                ]
                for point in self.points
            ],
            dtype=exact,
        )

    def _post(
        self,
        costs: Mapping[str, Whole],
        registers: npt.NDArray[np.int64],
        places: int,
        scales: Scales,
    ) -> None:
        exponent, steps = EXPONENTS[self.plan.tariff.currency], scales.items
        posted: dict[str, npt.NDArray[np.int64]] = {}
        for item, cost in costs.items():
            fen = 10 ** (steps[item] - exponent)
            before = np.array(
                [[running_of(p, item).posted.fen] for p in self.positions], dtype=np.int64
            )
            rounded = ((cost + fen // 2) // fen).astype(np.int64)
            posted[item] = np.where(cost == cost[:, :1], before, rounded)
            self.charges[item] = np.diff(posted[item], axis=1)
        often = np.any([charge != 0 for charge in self.charges.values()], axis=0).sum(axis=1)
        for row, position in enumerate(self.positions):
            running = tuple(
                Running(
                    item,
                    from_steps(costs[item][row, -1], steps[item]),
                    Money(int(posted[item][row, -1])),
                )
                for item in items_of(self.plan, position)
            )
            self.after.append(
                Position(
                    Reading(
                        position.reading.meter_no,
                        instant(int(self.plan.edges[-1])),
                        from_steps(registers[row, -1], places),
                        None,
                    ),
                    running,
                    tuple(self._counts_after(row, scales)),
                    instant(int(self.plan.edges[-1])),
                    position.opened_at,
                    position.number + int(often[row]),
                    position.payer,
                )
            )

    def _counts_after(self, row: int, scales: Scales) -> Iterator[Counted]:
        for place in range(len(self.plan.tariff.versions[self.plan.versions[-1]].components)):
            if place in self.counts:
                period, reached = self.counts[place]
                yield Counted(
                    period.since, period.until, from_steps(reached[row, 0], scales.quantity[place])
                )
            else:
                yield UNCOUNTED
