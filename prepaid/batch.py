"""Many meters at one tariff rated at once, for re-rating years of readings: to the same fen as prepaid.rating.

The meters were read at the same instants. All arithmetic is on whole numbers of a decimal step that is
fine enough for every quantity, price and cost that occurs, in 64 bits where a bound worked out beforehand
shows that they suffice, in Python's own integers where not. So nothing is rounded that rate does not round.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt

from prepaid import decimals
from prepaid.calendar import instant, micros
from prepaid.cycle import Cycle
from prepaid.decimals import NOTHING
from prepaid.money import EXPONENTS, ZERO, Money
from prepaid.point import ServicePoint
from prepaid.rating import Position, Running
from prepaid.reading import Reading
from prepaid.reckoning import UNCOUNTED, Counted
from prepaid.tariff import Fixed, Rate, Tariff, Terms, TierPeriod, Tiers

Whole = npt.NDArray[Any]
"""Whole numbers: int64, or Python's own integers as objects."""

FINEST = 6
"""Decimals of a register between two readings, and the most that one that was read may have here."""

_AT_ONCE = 1 << 18
_MOST = 1 << 62


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
        plan = _Plan.of(tariff, [positions[0].reading.at, *at])
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


@dataclass(frozen=True, slots=True)
class _Block:
    """Slices first to before last under one version and one set of tier periods; by each the band's name."""

    first: int
    last: int
    version: int
    periods: tuple[TierPeriod | None, ...]
    bands: npt.NDArray[np.int64]  # of each slice, by the band's place in the version


@dataclass(frozen=True, slots=True)
class _Plan:
    """What does not depend on the meter: where time is cut, and what holds in each slice between two edges."""

    tariff: Tariff
    edges: npt.NDArray[np.int64]  # instants, in microseconds since 1970
    reads: npt.NDArray[np.int64]  # which of the edges were read: the first is that of the position
    blocks: tuple[_Block, ...]

    @classmethod
    def of(cls, tariff: Tariff, at: Sequence[datetime]) -> _Plan:
        read = np.array([micros(one) for one in at], dtype=np.int64)
        stretches = list(tariff.stretches(int(read[0]), int(read[-1])))
        starts = np.array([start for start, _ in stretches], dtype=np.int64)
        edges = np.union1d(read, starts)
        held = np.searchsorted(starts, edges[:-1], side="right") - 1
        return cls(
            tariff,
            edges,
            np.searchsorted(edges, read),
            tuple(_blocks(tariff, [terms for _, terms in stretches], held)),
        )

    @property
    def versions(self) -> list[int]:
        return list(dict.fromkeys(block.version for block in self.blocks))

    def rates(self, place: int) -> list[Rate]:
        """What is at a place of the versions that hold, where it is a rate."""
        components = (
            self.tariff.versions[number].components[place : place + 1] for number in self.versions
        )
        return [one for found in components for one in found if isinstance(one, Rate)]


def _blocks(tariff: Tariff, terms: list[Terms], held: npt.NDArray[np.intp]) -> Iterator[_Block]:
    """held: for each slice, which of the terms holds."""
    bands = np.array(
        [tariff.versions[one.version].bands.index(one.band) for one in terms], dtype=np.int64
    )[held]
    ends = np.searchsorted(held, np.arange(len(terms)), side="right").tolist()
    first = 0
    for number, one in enumerate(terms):
        following = terms[number + 1] if number + 1 < len(terms) else None
        is_same = following is not None and (following.version, following.periods) == (
            one.version,
            one.periods,
        )
        if not is_same:
            last = int(ends[number])
            yield _Block(first, last, one.version, one.periods, bands[first:last])
            first = last


class _Batch:
    """Some of the meters on their way through the plan."""

    def __init__(
        self, plan: _Plan, points: Sequence[ServicePoint], positions: Sequence[Position]
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
        scales = _Scales.of(self, step)
        most = [int(moved) for moved in used.sum(axis=1)]
        costs = self._costs(used, scales, max(most))
        self._post(costs, registers, places, scales)

    def _used(self, registers: npt.NDArray[np.int64], places: int) -> tuple[Whole, int]:
        """What each register moved in each slice, and the decimals of the step it is counted in."""
        plan, began = self.plan, [position.reading.total for position in self.positions]
        is_cut = len(plan.edges) > len(plan.reads)
        step = FINEST if is_cut else max(places, *(_places(total) for total in began))
        if max(_places(total) for total in began) > FINEST:
            raise NotInBatch(f"a register has more than {FINEST} decimals")
        most = max(
            int(abs(registers).max()) * 10 ** (step - places), *(_steps(b, step) for b in began)
        )
        spans = np.diff(plan.edges[plan.reads])
        beat = gcd(*np.diff(plan.edges).tolist())
        exact = _whole(2 * most * int(spans.max() // beat) if is_cut else most)
        if exact is not np.int64:
            self.slow.append("the registers between the readings do not fit 64 bits")
        read = np.empty((len(self.points), len(plan.reads)), dtype=exact)
        read[:, 0] = [_steps(total, step) for total in began]
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

    def _costs(self, used: Whole, scales: _Scales, most: int) -> dict[str, Whole]:
        """By item the exact running total of each meter, at its position and at each reading."""
        plan = self.plan
        rises: dict[str, Whole] = {}
        exact = {item: _whole(scales.most(self, item, most)) for item in scales.items}
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
                _steps(_running(position, item).cost, scales.items[item])
                for position in self.positions
            ]
            cost = np.empty((len(self.points), len(plan.reads)), dtype=exact[item])
            cost[:, 0] = began
            cost[:, 1:] = np.cumsum(rise, axis=1)[:, plan.reads[1:] - 1] + cost[:, :1]
            costs[item] = cost
        return costs

    def _fees(self, fixed: Fixed, block: _Block, scale: int) -> Whole:
        """Of each slice of a block, the same for all meters, in steps of the item's scale."""
        edges = self.plan.edges[block.first : block.last + 1]
        gone = np.diff(_gone(fixed.cycle, self.plan.tariff.timezone, edges))
        numerator = _steps(fixed.amount, scale - FINEST)
        return gone.astype(_whole(int(gone.max()) * numerator)) * numerator

    def _priced(
        self,
        rate: Rate,
        place: int,
        block: _Block,
        used: Whole,
        scales: _Scales,
        exact: type[Any],
    ) -> Whole:
        """What a component costs in each slice of a block, in steps of its item's scale."""
        bands = self.plan.tariff.versions[block.version].bands
        quantity, finer = scales.quantity[place], scales.items[rate.item] - scales.quantity[place]
        prices = [
            np.array([_steps(by_band[band], finer) for band in bands], dtype=exact)[block.bands]
            for by_band in rate.prices
        ]
        factors = [
            [_steps(point.meter.multiplier * rate.share, quantity - scales.register)]
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

    def _begin(self, scales: _Scales) -> None:
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
                began.append([_steps(count.used, scales.quantity[place]) if goes_on else 0])
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
                    min(_steps(bound, scale), beyond)
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
        scales: _Scales,
    ) -> None:
        exponent, steps = EXPONENTS[self.plan.tariff.currency], scales.items
        posted: dict[str, npt.NDArray[np.int64]] = {}
        for item, cost in costs.items():
            fen = 10 ** (steps[item] - exponent)
            before = np.array(
                [[_running(p, item).posted.fen] for p in self.positions], dtype=np.int64
            )
            rounded = ((cost + fen // 2) // fen).astype(np.int64)
            posted[item] = np.where(cost == cost[:, :1], before, rounded)
            self.charges[item] = np.diff(posted[item], axis=1)
        often = np.any([charge != 0 for charge in self.charges.values()], axis=0).sum(axis=1)
        for row, position in enumerate(self.positions):
            running = tuple(
                Running(
                    item,
                    _decimal(costs[item][row, -1], steps[item]),
                    Money(int(posted[item][row, -1])),
                )
                for item in _items(self.plan, position)
            )
            self.after.append(
                Position(
                    Reading(
                        position.reading.meter_no,
                        instant(int(self.plan.edges[-1])),
                        _decimal(registers[row, -1], places),
                        None,
                    ),
                    running,
                    tuple(self._counts_after(row, scales)),
                    instant(int(self.plan.edges[-1])),
                    position.opened_at,
                    position.number + int(often[row]),
                )
            )

    def _counts_after(self, row: int, scales: _Scales) -> Iterator[Counted]:
        for place in range(len(self.plan.tariff.versions[self.plan.versions[-1]].components)):
            if place in self.counts:
                period, reached = self.counts[place]
                yield Counted(
                    period.since, period.until, _decimal(reached[row, 0], scales.quantity[place])
                )
            else:
                yield UNCOUNTED


@dataclass(frozen=True, slots=True)
class _Scales:
    """Decimals of the steps that are fine enough: of registers, of each place's own quantity, of each item's cost."""

    register: int
    quantity: Mapping[int, int]
    items: Mapping[str, int]

    @classmethod
    def of(cls, batch: _Batch, register: int) -> _Scales:
        plan = batch.plan
        multiplier = max(_places(point.meter.multiplier) for point in batch.points)
        quantity: dict[int, int] = {}
        for place in range(max(len(plan.tariff.versions[n].components) for n in plan.versions)):
            rates = plan.rates(place)
            if rates:
                finest = register + multiplier + max(_places(rate.share) for rate in rates)
                counted = (p.counted[place].used for p in batch.positions if place < len(p.counted))
                bounds = (bound for rate in rates for bound in _all_bounds(rate.tiers))
                quantity[place] = max(finest, *_all_places(counted), *_all_places(bounds))
        items: dict[str, int] = {}
        for position in batch.positions:
            for item in _items(plan, position):
                items[item] = max(
                    items.get(item, EXPONENTS[plan.tariff.currency]),
                    _places(_running(position, item).cost),
                )
        for number in plan.versions:
            for place, component in enumerate(plan.tariff.versions[number].components):
                match component:
                    case Rate():
                        prices = (p for by_band in component.prices for p in by_band.values())
                        finest = quantity[place] + max(_all_places(prices))
                    case Fixed():
                        finest = FINEST + _places(component.amount)
                items[component.item] = max(items[component.item], finest)
        return cls(register, quantity, items)

    def most(self, batch: _Batch, item: str, moved: int) -> int:
        """No number on the way to the item's costs is beyond it, if no register moves more than moved."""
        plan, scale = batch.plan, self.items[item]
        most = max(_steps(_running(position, item).cost, scale) for position in batch.positions)
        for number in plan.versions:
            for place, component in enumerate(plan.tariff.versions[number].components):
                if component.item != item:
                    continue
                match component:
                    case Fixed():
                        edges = np.array([plan.edges[0], plan.edges[-1]])
                        gone = np.diff(_gone(component.cycle, plan.tariff.timezone, edges))
                        most += int(gone[0]) * _steps(component.amount, scale - FINEST)
                    case Rate():
                        finer = self.quantity[place] - self.register
                        factor = max(
                            _steps(point.meter.multiplier * component.share, finer)
                            for point in batch.points
                        )
                        counted = [
                            _steps(p.counted[place].used, self.quantity[place])
                            for p in batch.positions
                            if place < len(p.counted)
                        ]
                        dearest = max(p for by_band in component.prices for p in by_band.values())
                        price = max(1, _steps(dearest, scale - self.quantity[place]))
                        most += (moved * factor + max([0, *counted]) + 1) * price
        return int(most + 10**scale)


def _gone(cycle: Cycle, zone: str, edges: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The periods gone by at instants that rise, in millionths: as Cycle.gone, of each."""
    gone = np.empty(len(edges), dtype=np.int64)
    first = 0
    while first < len(edges):
        number, since, until = cycle.around(zone, int(edges[first]))
        last = int(np.searchsorted(edges, until))
        span = until - since
        # At most a month of microseconds, times two million: just within 64 bits.
        part = (2_000_000 * (edges[first:last] - since) + span) // (2 * span)
        gone[first:last] = number * 1_000_000 + part
        first = last
    return gone


def _items(plan: _Plan, position: Position) -> list[str]:
    """The items of a position, and those of the versions that hold, in order of their coming."""
    known = [running.item for running in position.running]
    held = (c.item for number in plan.versions for c in plan.tariff.versions[number].components)
    return list(dict.fromkeys([*known, *held]))


def _running(position: Position, item: str) -> Running:
    return next((one for one in position.running if one.item == item), Running(item, NOTHING, ZERO))


def _all_bounds(tiers: Tiers | None) -> Iterator[Decimal]:
    if tiers is not None:
        yield from tiers.bounds
        yield from tiers.per_extra_person
        for season in tiers.seasons:
            yield from season.bounds


def _whole(most: int) -> type[Any]:
    return np.int64 if most < _MOST else object


def _places(value: Decimal) -> int:
    """The decimals that a value is written with."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # it is finite
    return max(0, -exponent)


def _all_places(values: Iterable[Decimal]) -> list[int]:
    return [0, *(_places(value) for value in values)]


def _steps(value: Decimal, places: int) -> int:
    """The value in steps of places decimals, which it has no more of."""
    whole = value.scaleb(places)
    assert whole == whole.to_integral_value(), f"{value} is finer than {places} decimals"
    return int(whole)


def _decimal(steps: Any, places: int) -> Decimal:
    return Decimal(int(steps)).scaleb(-places)
