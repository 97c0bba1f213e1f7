"""Tariff 价格方案: what a unit costs and when, as values. prepaid.tariff_document reads them from a document."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import TypeVar

from prepaid import decimals
from prepaid.calendar import DAY_US, Timetable, instant, micros
from prepaid.cycle import Cycle, Every
from prepaid.quantity import typed

ALL = "all"
"""The band of a version without rules, and of what no band concerns."""

_KEPT_DAYS = 1024
_KEPT_BOUNDS = 256
_PRECISELY = timedelta(days=8)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Season:
    """Other bounds in some months 季节."""

    months: frozenset[int]
    bounds: tuple[Decimal, ...]

    def __post_init__(self) -> None:
        for bound in self.bounds:
            typed(bound, "a bound")


@dataclass(frozen=True, slots=True)
class Tiers:
    """阶梯: upper bounds that rise, for what is used in a period; the last tier has none.

    A season concerns the periods that begin in its months. Persons above base_persons widen bounds[i] by
    per_extra_person[i] each; with per_household the bounds are those of one of the households.
    """

    cycle: Cycle
    bounds: tuple[Decimal, ...]
    seasons: tuple[Season, ...] = ()
    base_persons: int | None = None
    per_extra_person: tuple[Decimal, ...] = ()
    per_household: bool = False
    _known: dict[tuple[int, int | None, int], tuple[Decimal, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for bound in (*self.bounds, *self.per_extra_person):
            typed(bound, "a bound")

    def bounds_for(
        self, *, month: int, persons: int | None, households: int
    ) -> tuple[Decimal, ...]:
        """The bounds in a period that begins in month; persons is None where nobody has said how many.

        A bound that persons push past the next one leaves the tier between them empty.
        """
        key = (month, persons, households)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KEPT_BOUNDS:
                self._known.clear()
            known = self._known[key] = self._reckoned(month, persons, households)
        return known

    def _reckoned(self, month: int, persons: int | None, households: int) -> tuple[Decimal, ...]:
        bounds = next((s.bounds for s in self.seasons if month in s.months), self.bounds)
        with localcontext(decimals.EXACT):
            if persons is not None and self.base_persons is not None:
                extra = max(0, persons - self.base_persons)
                added = zip(bounds, self.per_extra_person, strict=True)
                bounds = tuple(bound + extra * more for bound, more in added)
            if self.per_household:
                bounds = tuple(bound * households for bound in bounds)
        return tuple(max(bounds[: place + 1]) for place in range(len(bounds)))


@dataclass(frozen=True, slots=True)
class Rate:
    """A price per unit of share of the quantity 比例. prices are by tier, then by band.

    Without tiers there is one entry, without bands the one band ALL.
    """

    item: str
    share: Decimal
    tiers: Tiers | None
    prices: tuple[Mapping[str, Decimal], ...]

    def __post_init__(self) -> None:
        typed(self.share, f"the share of {self.item}")
        for by_band in self.prices:
            for price in by_band.values():
                typed(price, f"a price of {self.item}")


@dataclass(frozen=True, slots=True)
class Fixed:
    """An amount for each day or month, whatever is used 固定费."""

    item: str
    amount: Decimal
    cycle: Cycle

    def __post_init__(self) -> None:
        typed(self.amount, f"the amount of {self.item}")


Component = Rate | Fixed


@dataclass(frozen=True, slots=True)
class Version:
    """What holds from an instant on. The rule of a timetable names its band by its place in rule_bands.

    bands are the names, each once, in the order of the rules; (ALL,) where there are no rules. rates and
    fees are the components that price a quantity and those that price time, each with its place.
    """

    effective_from: datetime
    timetable: Timetable
    rule_bands: tuple[str, ...]
    bands: tuple[str, ...]
    components: tuple[Component, ...]
    rates: tuple[tuple[int, Rate], ...] = field(init=False, repr=False, compare=False)
    fees: tuple[tuple[int, Fixed], ...] = field(init=False, repr=False, compare=False)
    items: tuple[str, ...] = field(init=False, repr=False, compare=False)  # each once, in order

    def __post_init__(self) -> None:
        placed = list(enumerate(self.components))
        rates = tuple((n, c) for n, c in placed if isinstance(c, Rate))
        fees = tuple((n, c) for n, c in placed if isinstance(c, Fixed))
        object.__setattr__(self, "rates", rates)
        object.__setattr__(self, "fees", fees)
        items = tuple(dict.fromkeys(component.item for component in self.components))
        object.__setattr__(self, "items", items)


@dataclass(frozen=True, slots=True)
class TierPeriod:
    """Where usage is counted from zero, and until when; month is the one it begins in."""

    since: datetime
    until: datetime
    month: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds at an instant: a version by its place, a band, and by component the tier period, if any."""

    version: int
    band: str
    periods: tuple[TierPeriod | None, ...]


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices in currency (ISO 4217) per unit; days, months, years and bands are those of timezone (IANA).

    Before the first version takes effect, the first version holds: nothing is supplied for nothing.
    """

    code: str
    commodity: str
    unit: str
    currency: str
    timezone: str
    versions: tuple[Version, ...]
    has_fees: bool = field(init=False, repr=False, compare=False)  # any, in any version
    _effective: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _days: dict[int, tuple[list[int], list[Terms]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _periods: dict[tuple[int, int], tuple[int, int, TierPeriod]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        effective = tuple(micros(version.effective_from) for version in self.versions)
        object.__setattr__(self, "_effective", effective)
        object.__setattr__(self, "has_fees", any(version.fees for version in self.versions))

    def terms(self, at: datetime) -> Terms:
        """What holds at an instant."""
        at_us = micros(at)
        starts, terms = self._day(at_us // DAY_US)
        return terms[bisect_right(starts, at_us) - 1]

    def stretches(self, since_us: int, until_us: int) -> list[tuple[int, Terms]]:
        """From since to before until, in microseconds since 1970: where each of the terms begins to hold.

        Just since and its terms where until is not after since.
        """
        day = since_us // DAY_US
        starts, terms = self._day(day)
        first = bisect_right(starts, since_us)
        if until_us <= (starts[first] if first < len(starts) else (day + 1) * DAY_US):
            return [(since_us, terms[first - 1])]  # as almost always: nothing else begins within
        found = [(since_us, terms[first - 1])]
        while True:
            end = bisect_left(starts, until_us, lo=first)
            found += zip(starts[first:end], terms[first:end], strict=True)
            day += 1
            if day * DAY_US >= until_us:
                return found
            starts, terms = self._day(day)
            first = 1 if terms[0] == found[-1][1] else 0

    def in_force(self, since_us: int, until_us: int) -> Iterator[tuple[int, int, int]]:
        """The versions from since to before until, in microseconds since 1970: (from, to, version's place)."""
        place = self._version_at(since_us)
        while since_us < until_us:
            stop = min([until_us, *self._effective[place + 1 : place + 2]])
            yield since_us, stop, place
            since_us, place = stop, place + 1

    def highest_price(self, since: datetime, until: datetime, *, any_band: bool = False) -> Decimal:
        """The most that one more unit can cost at any time from since to until, in currency per unit.

        All components together, each by its share, in the dearest of its tiers, whatever has been used.
        Over more than a few days every band counts, whether or not it comes; and so it does with any_band:
        where a meter's own registers say in which band it was used, its clock decides and not ours.
        """
        bands: set[tuple[int, str]] = set()
        if until - since <= _PRECISELY and not any_band:
            for _, terms in self.stretches(micros(since), micros(until)):
                bands.add((terms.version, terms.band))
        else:
            for version in range(*self._versions_within(since, until)):
                bands |= {(version, band) for band in self.versions[version].bands}
        with localcontext(decimals.EXACT):
            return max(_dearest(self.versions[version], band) for version, band in bands)

    def highest_fees_per_day(self, since: datetime, until: datetime) -> Decimal:
        """The most that fixed fees can come to in 24 hours of the time from since to until, in currency.

        A month is taken as 27 days and a day as 23 hours: none is shorter. Rounded up to a millionth.
        """
        first, end = self._versions_within(since, until)
        most = 0
        for version in self.versions[first:end]:
            total = 0
            for _, fixed in version.fees:
                numerator, denominator = fixed.amount.as_integer_ratio()
                if fixed.cycle.every is Every.DAY:
                    numerator, denominator = numerator * 24, denominator * 23
                else:
                    denominator *= 27
                total += -(-numerator * 1_000_000 // denominator)
            most = max(most, total)
        return Decimal(most).scaleb(-6, context=decimals.EXACT)

    def _versions_within(self, since: datetime, until: datetime) -> tuple[int, int]:
        """The places of the first version that holds then, and after the last."""
        return self._version_at(micros(since)), self._version_at(micros(until)) + 1

    def _version_at(self, at_us: int) -> int:
        return max(0, bisect_right(self._effective, at_us) - 1)

    def _day(self, day: int) -> tuple[list[int], list[Terms]]:
        """A UTC day: where each of its terms begins, in microseconds since 1970, and the terms."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) >= _KEPT_DAYS:
                del self._days[next(iter(self._days))]
            known = self._days[day] = self._cut(day)
        return known

    def _cut(self, day: int) -> tuple[list[int], list[Terms]]:
        starts: list[int] = []
        terms: list[Terms] = []
        for since, until, number in self.in_force(day * DAY_US, (day + 1) * DAY_US):
            bands = self._bands_within(number, day, since, until)
            counted = [
                self._periods_within(number, place, since, until)
                for place in range(len(self.versions[number].components))
            ]
            turns = sorted({since}.union(*({start for start, _ in periods} for periods in counted)))
            for turn, following in zip(turns, [*turns[1:], until], strict=True):
                periods = tuple(_at(periods, turn) for periods in counted)
                held = {band: Terms(number, band, periods) for band in {band for _, band in bands}}
                starts.append(turn)
                terms.append(held[_at(bands, turn)])
                within = [(start, band) for start, band in bands if turn < start < following]
                starts += [start for start, _ in within]
                terms += [held[band] for _, band in within]
        return starts, terms

    def _bands_within(self, number: int, day: int, since: int, until: int) -> list[tuple[int, str]]:
        """The bands of a version over a part of a UTC day: where each begins to hold."""
        version = self.versions[number]
        if not version.rule_bands:
            return [(since, ALL)]
        found: list[tuple[int, str]] = []
        for start, rule in version.timetable.day(day):
            if rule is None:
                raise ValueError(f"no band of {self.code} holds at {instant(start)}")
            band = version.rule_bands[rule]
            if start <= since:
                found = [(since, band)]
            elif start < until and band != found[-1][1]:
                found.append((start, band))
        return found

    def _periods_within(
        self, number: int, place: int, since: int, until: int
    ) -> list[tuple[int, TierPeriod | None]]:
        """The tier periods of a component over a time: where each begins to hold, in microseconds since 1970."""
        component = self.versions[number].components[place]
        if isinstance(component, Fixed) or component.tiers is None:
            return [(since, None)]
        cycle = component.tiers.cycle
        found: list[tuple[int, TierPeriod | None]] = []
        begins, ends, period = self._periods.get((number, place), (0, 0, None))
        while since < until:
            if period is None or not begins <= since < ends:
                which, begins, ends = cycle.around(self.timezone, since)
                period = TierPeriod(instant(begins), instant(ends), cycle.month_of(which))
                self._periods[number, place] = (begins, ends, period)
            found.append((since, period))
            since = ends
        return found


def _dearest(version: Version, band: str) -> Decimal:
    return sum(
        (rate.share * max(prices[band] for prices in rate.prices) for _, rate in version.rates),
        decimals.NOTHING,
    )


def _at(timed: list[tuple[int, T]], at: int) -> T:
    return next(value for start, value in reversed(timed) if start <= at)
