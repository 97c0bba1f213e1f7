"""What a quantity and a time come to under a tariff, part by part. rate, explain and bill add it up.

An interval is cut where another version, band or tier period begins. The register there lies on the
straight line between the two readings, rounded half-up to a millionth of the unit, so all parts are exact
and add up to the whole. A further reading between the two changes nothing where it lies on that line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from prepaid.calendar import micros
from prepaid.decimals import NOTHING, millionths
from prepaid.reading import Reading
from prepaid.tariff import Fixed, Rate, Tariff, Terms, TierPeriod


class BandSource(StrEnum):
    """Who says in which band a quantity was used."""

    CLOCK = "clock"  # 按时间: the tariff's rules, by the time between the readings
    METER = "meter"  # 按表计: the meter's own time-of-use registers
    DISTRUSTED = "distrusted"  # the meter's were to be used and cannot be, so it was the clock


class Metered(NamedTuple):
    """What stands behind a meter, as far as prices go.

    digits and step are those of its registers; they matter where trusts_bands: the meter's own
    time-of-use registers say what was used in which band.
    """

    multiplier: Decimal
    persons: int | None
    households: int
    trusts_bands: bool
    digits: int
    step: Decimal


@dataclass(frozen=True, slots=True)
class Counted:
    """How far a component's tiers are filled: used in the tier period from since to until; None for no period."""

    since: datetime | None
    until: datetime | None
    used: Decimal


UNCOUNTED = Counted(None, None, NOTHING)

_ENDLESS = Decimal("Infinity")


class Slice(NamedTuple):
    """A quantity under one version, band and set of tier periods, and the register at its two ends.

    Times are in microseconds since 1970. By the meter's own bands, several slices share one stretch of
    time, and the registers are those of the band.
    """

    since: int
    until: int
    terms: Terms
    band: str
    register_before: Decimal
    register_after: Decimal
    quantity: Decimal


class Part(NamedTuple):
    """What a component (by its place) charges of a slice (by its place) within one tier, 1 the lowest.

    used_before is what had been used of the tiers before it, quantity the component's own, after its share.
    """

    slice: int
    place: int
    rate: Rate
    tier: int
    used_before: Decimal
    quantity: Decimal
    price: Decimal


class Fee(NamedTuple):
    """What a fixed component (by its place in a version) charges for a time: days or months, to a millionth."""

    since: int
    until: int
    version: int
    place: int
    fixed: Fixed
    quantity: Decimal


class Reckoned(NamedTuple):
    """The parts of an interval in order of time, and by component how far its tiers are filled then."""

    slices: list[Slice]
    parts: list[Part]
    fees: list[Fee]
    counted: tuple[Counted, ...]
    bands_by: BandSource


def reckon(
    tariff: Tariff,
    metered: Metered,
    *,
    before: Reading,
    after: Reading,
    moved: Decimal,
    counted: Sequence[Counted],
    fees_since: datetime,
) -> Reckoned:
    """What the register moved between two readings, cut and filled into tiers; and fixed fees since a time.

    Where the clock was put back or stood still, what moved has no time to be spread over: all of it is
    used at the later reading's own time. A count of tiers goes on in its own period, and in one before
    it; any other begins at zero, and so does a component that had no tiers.

    To be called in the context decimals.EXACT; moved is not negative.
    """
    until_us = micros(after.at)
    since_us = min(micros(before.at), until_us)
    stretches = tariff.stretches(since_us, until_us)
    source, slices = BandSource.CLOCK, None
    if metered.trusts_bands and _have_bands(tariff, stretches):
        slices = _by_meter(tariff, metered, stretches, until_us, before, after, moved)
        source = BandSource.METER if slices is not None else BandSource.DISTRUSTED
    if slices is None:
        slices = _by_clock(stretches, until_us, before.total, moved, metered.multiplier)
    parts, counts = _fill(tariff, metered, slices, counted)
    fees = _fees(tariff, micros(fees_since), until_us) if tariff.has_fees else []
    return Reckoned(slices, parts, fees, counts, source)


# Cutting.


def _line(
    total: Decimal, moved: Decimal, *, since: int, until: int, at: list[int]
) -> list[Decimal]:
    """A register's way from since to until, at these instants between them in order, and at both ends.

    Straight, half-up to a millionth; a register with more decimals than that is never passed.
    """
    end = total + moved
    total_n, total_d = total.as_integer_ratio()
    moved_n, moved_d = moved.as_integer_ratio()
    # total + moved × (at - since) / (until - since) = (base + rise × (at - since)) / whole
    whole = total_d * moved_d * (until - since)
    base = total_n * moved_d * (until - since)
    rise = moved_n * total_d
    registers = [total]
    for instant in at:
        register = Decimal(millionths(base + rise * (instant - since), whole)).scaleb(-6)
        if register < total:
            register = total
        elif register > end:
            register = end
        registers.append(register)
    registers.append(end)
    return registers


def _by_clock(
    stretches: list[tuple[int, Terms]],
    until: int,
    total: Decimal,
    moved: Decimal,
    multiplier: Decimal,
) -> list[Slice]:
    since, terms = stretches[0]
    if len(stretches) == 1:
        end = total + moved
        return [Slice(since, until, terms, terms.band, total, end, moved * multiplier)]
    starts = [start for start, _ in stretches]
    registers = _line(total, moved, since=since, until=until, at=starts[1:])
    return [
        Slice(start, stop, terms, terms.band, before, after, (after - before) * multiplier)
        for (start, terms), stop, before, after in zip(
            stretches, [*starts[1:], until], registers, registers[1:], strict=False
        )
    ]


def _have_bands(tariff: Tariff, stretches: list[tuple[int, Terms]]) -> bool:
    return any(tariff.versions[terms.version].rule_bands for _, terms in stretches)


def _by_meter(
    tariff: Tariff,
    metered: Metered,
    stretches: list[tuple[int, Terms]],
    until: int,
    before: Reading,
    after: Reading,
    moved: Decimal,
) -> list[Slice] | None:
    """The slices as the meter's own bands have it, in the order of the tariff's bands within a time.

    None where they say something else than the total does, beyond one step of each, or something that
    the tariff has no band for.
    """
    moves = _moves(metered, before, after)
    if moves is None or abs(sum(moves.values(), NOTHING) - moved) > metered.step * len(moves):
        return None
    cuts: list[tuple[int, Terms]] = []
    for since, terms in stretches:
        if not {band for band in moves if moves[band]} <= set(_bands(tariff, terms)):
            return None
        held = cuts[-1][1] if cuts else None
        if held is None or (held.version, held.periods) != (terms.version, terms.periods):
            cuts.append((since, terms))
    starts = [since for since, _ in cuts]
    read = before.bands or {}
    lines = {
        band: _line(read[band], moves[band], since=starts[0], until=until, at=starts[1:])
        for band in moves
    }
    slices = []
    for place, ((since, terms), stop) in enumerate(zip(cuts, [*starts[1:], until], strict=True)):
        for band in _bands(tariff, terms):
            if band in lines:
                start, end = lines[band][place : place + 2]
                used = (end - start) * metered.multiplier
                slices.append(Slice(since, stop, terms, band, start, end, used))
    return slices


def _bands(tariff: Tariff, terms: Terms) -> tuple[str, ...]:
    return tariff.versions[terms.version].bands


def _moves(metered: Metered, before: Reading, after: Reading) -> Mapping[str, Decimal] | None:
    """By band, what its register moved, a rollover undone; None where there are not the same registers twice."""
    if before.bands is None or after.bands is None or before.meter_no != after.meter_no:
        return None
    if not before.bands or before.bands.keys() != after.bands.keys():
        return None
    roll = Decimal(10) ** metered.digits
    moves = {band: after.bands[band] - before.bands[band] for band in before.bands}
    return {band: moved + roll if moved < 0 else moved for band, moved in moves.items()}


# Filling.


def _fill(
    tariff: Tariff, metered: Metered, slices: list[Slice], counted: Sequence[Counted]
) -> tuple[list[Part], tuple[Counted, ...]]:
    """The parts, version by version and then component by component; and the counts after them."""
    parts: list[Part] = []
    first = 0
    while first < len(slices):
        number = slices[first].terms.version
        end = len(slices)
        if slices[-1].terms.version != number:
            end = next(n for n in range(first, end) if slices[n].terms.version != number)
        run = slices[first:end]
        version = tariff.versions[number]
        counts = [UNCOUNTED] * len(version.components)
        for place, rate in version.rates:
            if rate.tiers is None:
                for at, cut in enumerate(run, first):
                    if quantity := cut.quantity * rate.share:
                        price = rate.prices[0][cut.band]
                        parts.append(Part(at, place, rate, 1, NOTHING, quantity, price))
            else:
                count = counted[place] if place < len(counted) else UNCOUNTED
                counts[place] = _fill_tiers(parts, run, first, place, rate, metered, count)
        counted, first = counts, end
    return parts, tuple(counted)


def _fill_tiers(
    parts: list[Part],
    run: list[Slice],
    first: int,
    place: int,
    rate: Rate,
    metered: Metered,
    count: Counted,
) -> Counted:
    """Adds the parts of one component, from the tier that has been reached upwards; its count after them.

    The run's first slice has the number first. A bound belongs to the tier below it.
    """
    tiers = rate.tiers
    assert tiers is not None
    since, until, used = count.since, count.until, count.used
    held: TierPeriod | None = None
    bounds: tuple[Decimal, ...] = ()
    tier, room = 0, NOTHING
    for number, cut in enumerate(run, first):
        period = cut.terms.periods[place]
        assert period is not None
        if period is not held:
            held = period
            if since is None or not (
                (period.since == since and period.until == until) or period.until == since
            ):
                # A clock put back by periods: the count goes on, but ends with the period held now.
                used = used if since is not None and period.until < since else NOTHING
                since, until = period.since, period.until
            bounds = tiers.bounds_for(
                month=period.month, persons=metered.persons, households=metered.households
            )
            tier = bisect_right(bounds, used)
            room = bounds[tier] - used if tier < len(bounds) else _ENDLESS
        quantity = cut.quantity * rate.share
        while quantity:
            taken = quantity if quantity <= room else room
            price = rate.prices[tier][cut.band]
            parts.append(Part(number, place, rate, tier + 1, used, taken, price))
            used += taken
            quantity -= taken
            room -= taken
            if not room:
                tier = bisect_right(bounds, used)
                room = bounds[tier] - used if tier < len(bounds) else _ENDLESS
    return Counted(since, until, used)


# Fixed fees.


def _fees(tariff: Tariff, since: int, until: int) -> list[Fee]:
    fees = []
    for start, stop, number in tariff.in_force(since, until):
        for place, fixed in tariff.versions[number].fees:
            gone = [
                Decimal(fixed.cycle.gone(tariff.timezone, at)).scaleb(-6) for at in (start, stop)
            ]
            fees.append(Fee(start, stop, number, place, fixed, gone[1] - gone[0]))
    return fees
