"""What a tariff document charges, reckoned a second time, from the document's description alone.

Nothing of prepaid/ is used: plain fractions and naive loops, slow and easy to check. An interval is cut at
every local midnight, at every hour that any rule names and at every change of the clocks, far more often
than needed; each piece is priced at what holds in its middle. Documents given here must be good ones.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

PLACES = {"CNY": 2, "VND": 0}
MOMENT = timedelta(microseconds=1)
Key = tuple[str, str, int, Fraction]
"""Item, band, tier, price: what one line of a bill is about."""


@dataclass
class Account:
    """What one account has used and owes. Changed in place by `settle`."""

    tariff: Mapping[str, Any]
    at: datetime
    register: Fraction
    persons: int | None = None
    households: int = 1
    multiplier: Fraction = Fraction(1)
    lines: dict[Key, list[Fraction]] = field(default_factory=dict)
    counted: dict[int, tuple[Any, Fraction]] = field(default_factory=dict)
    posted: dict[str, int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.known |= {one["item"] for one in _version(self.tariff, self.at)["components"]}

    def read(self, reading: tuple[str, str]) -> dict[str, int]:
        """As settle, of a reading as a file holds it."""
        return self.settle(datetime.fromisoformat(reading[0]).astimezone(UTC), Fraction(reading[1]))

    def settle(self, at: datetime, register: Fraction) -> dict[str, int]:
        """What each item is charged for this reading, in the minor unit; items charged nothing are left out."""
        zone = ZoneInfo(self.tariff["timezone"])
        cuts = [cut for cut in _cuts(self.tariff, zone, self.at, at) if self.at < cut < at]
        instants = [self.at, *sorted(set(cuts)), at]
        registers = [self._between(instant, at, register) for instant in instants]
        for number in range(len(instants) - 1):
            self._slice(
                zone,
                since=instants[number],
                until=instants[number + 1],
                used=(registers[number + 1] - registers[number]) * self.multiplier,
            )
        self.at, self.register = at, register
        return self._post()

    def settle_by_bands(
        self, at: datetime, before: Mapping[str, Fraction], after: Mapping[str, Fraction]
    ) -> dict[str, int]:
        """As settle, where the meter says by its own registers what was used in which band.

        Time is cut only where another version or tier period begins. Within one time the bands are
        taken in the order in which the version's rules name them.
        """
        zone = ZoneInfo(self.tariff["timezone"])
        cuts = sorted(
            cut for cut in set(_cuts(self.tariff, zone, self.at, at)) if self.at < cut < at
        )
        held = [cut for cut in cuts if self._holds(zone, cut - MOMENT) != self._holds(zone, cut)]
        instants = [self.at, *held, at]
        registers = {
            band: [self._straight(instant, at, before[band], after[band]) for instant in instants]
            for band in before
        }
        for number in range(len(instants) - 1):
            since, until = instants[number], instants[number + 1]
            version = _version(self.tariff, since)
            for band in dict.fromkeys(rule["band"] for rule in version["bands"]):
                if band in registers:
                    used = registers[band][number + 1] - registers[band][number]
                    self._rates(zone, since, band, used * self.multiplier)
            self._fees(zone, since=since, until=until)
        self.at = at
        return self._post()

    def _holds(self, zone: ZoneInfo, instant: datetime) -> Any:
        """The version and the tier periods at an instant."""
        version, local = _version(self.tariff, instant), instant.astimezone(zone)
        tiers = [component.get("tiers") for component in version["components"]]
        return version["effective_from"], [one and _period(one, local) for one in tiers]

    def _between(self, instant: datetime, at: datetime, register: Fraction) -> Fraction:
        return self._straight(instant, at, self.register, register)

    def _straight(
        self, instant: datetime, at: datetime, before: Fraction, after: Fraction
    ) -> Fraction:
        if instant == self.at:
            return before
        if instant == at:
            return after
        part = Fraction((instant - self.at) // MOMENT, (at - self.at) // MOMENT)
        return half_up(before + (after - before) * part, 6)

    def _slice(self, zone: ZoneInfo, *, since: datetime, until: datetime, used: Fraction) -> None:
        middle = since + (until - since) / 2
        band = band_at(_version(self.tariff, middle), middle.astimezone(zone))
        self._rates(zone, middle, band, used)
        self._fees(zone, since=since, until=until)

    def _rates(self, zone: ZoneInfo, instant: datetime, band: str, used: Fraction) -> None:
        for place, component in enumerate(_version(self.tariff, instant)["components"]):
            self.known.add(component["item"])
            if component["kind"] == "rate":
                quantity = used * _number(component.get("share", "1"))
                self._fill(place, component, band, instant.astimezone(zone), quantity)

    def _fees(self, zone: ZoneInfo, *, since: datetime, until: datetime) -> None:
        for component in _version(self.tariff, since)["components"]:
            if component["kind"] == "fixed":
                per = component["per"]
                span = _gone_by(per, zone, until) - _gone_by(per, zone, since)
                self._line((component["item"], "all", 1, Fraction(component["amount"])), span)

    def _fill(
        self, place: int, component: Any, band: str, local: datetime, quantity: Fraction
    ) -> None:
        tiers = component.get("tiers")
        if tiers is None:
            self.counted.pop(place, None)
            price = _price(component, 1, band)
            self._line((component["item"], band, 1, price), quantity)
            return
        period = _period(tiers, local)
        before, counted = self.counted.get(place, (None, Fraction(0)))
        if before != period:
            counted = Fraction(0)
        for tier, bound in enumerate([*self._bounds(tiers, period), None], start=1):
            if quantity and (bound is None or counted < bound):
                taken = quantity if bound is None else min(quantity, bound - counted)
                price = _price(component, tier, band)
                self._line((component["item"], band, tier, price), taken)
                counted, quantity = counted + taken, quantity - taken
        self.counted[place] = (period, counted)

    def _bounds(self, tiers: Any, period: Any) -> list[Fraction]:
        written = tiers.get("bounds", [])
        for season in tiers.get("seasons", []):
            if period[1].month in season["months"]:  # the month in which the period starts
                written = season["bounds"]
        bounds = [Fraction(bound) for bound in written]
        if self.persons is not None and "base_persons" in tiers:
            extra = max(0, self.persons - tiers["base_persons"])
            added = tiers["per_extra_person"]
            bounds = [
                bound + extra * Fraction(more) for bound, more in zip(bounds, added, strict=True)
            ]
        if tiers.get("per_household"):
            bounds = [bound * self.households for bound in bounds]
        return bounds

    def _line(self, key: Key, quantity: Fraction) -> None:
        line = self.lines.setdefault(key, [Fraction(0), Fraction(0)])
        line[0] += quantity
        line[1] += quantity * key[3]

    def _post(self) -> dict[str, int]:
        places = PLACES[self.tariff["currency"]]
        charged = {}
        for item, total in self.items().items():
            now = int(half_up(total, places) * 10**places)
            rise = now - self.posted.get(item, 0)
            self.posted[item] = now
            if rise:
                charged[item] = rise
        return charged

    def items(self) -> dict[str, Fraction]:
        """The exact running total of each item."""
        totals = dict.fromkeys(self.known, Fraction(0))
        for (item, *_), (_, amount) in self.lines.items():
            totals[item] += amount
        return totals

    def bill(self) -> dict[str, Any]:
        """The answer of `wattwell tariff rate --json`, lines that hold nothing left out."""
        items = {item: half_up(total, 6) for item, total in self.items().items()}
        places = PLACES[self.tariff["currency"]]
        return {
            "currency": self.tariff["currency"],
            "lines": [
                {
                    "item": item,
                    "band": band,
                    "tier": tier,
                    "quantity": text(quantity),
                    "price": text(price),
                    "amount": text(amount),
                }
                for (item, band, tier, price), (quantity, amount) in sorted(self.lines.items())
                if quantity
            ],
            "items": {item: text(total, 6) for item, total in items.items()},
            "total": text(half_up(sum(items.values(), Fraction(0)), places), places),
        }


def rate(
    tariff: Mapping[str, Any],
    usage: Sequence[tuple[str, str]],
    *,
    persons: int | None = None,
    households: int = 1,
    multiplier: str = "1",
) -> tuple[dict[str, Any], list[dict[str, int]]]:
    """The bill of a whole file of usage, and the charges of each reading after the first, by item."""
    account = open_account(
        tariff, usage[0], persons=persons, households=households, multiplier=multiplier
    )
    charges = [account.read(reading) for reading in usage[1:]]
    return account.bill(), charges


def open_account(
    tariff: Mapping[str, Any],
    reading: tuple[str, str],
    *,
    persons: int | None,
    households: int,
    multiplier: str,
) -> Account:
    """The account at its first reading; usage counts from it."""
    at, register = datetime.fromisoformat(reading[0]).astimezone(UTC), Fraction(reading[1])
    return Account(tariff, at, register, persons, households, Fraction(multiplier))


def _cuts(tariff: Any, zone: ZoneInfo, since: datetime, until: datetime) -> list[datetime]:
    """Every instant at which anything could change, and many at which nothing does."""
    cuts = [_instant(version["effective_from"]) for version in tariff["versions"]]
    times = {"00:00"}
    for version in tariff["versions"]:
        for rule in version.get("bands", []):
            times |= {rule.get("from", "00:00"), rule.get("to", "24:00")} - {"24:00"}
    day = since.astimezone(zone).date()
    while day <= until.astimezone(zone).date():
        cuts += _cuts_of_day(zone, day, frozenset(times))
        day += timedelta(days=1)
    return cuts


@cache
def _cuts_of_day(zone: ZoneInfo, day: date, times: frozenset[str]) -> tuple[datetime, ...]:
    cuts = []
    start, end = _midnight(zone, day), _midnight(zone, day + timedelta(days=1))
    changed = start.astimezone(zone).utcoffset() != end.astimezone(zone).utcoffset()
    if changed:
        cuts.append(_change_of_clocks(zone, start, end))
    for time in sorted(times):
        hour, minute = int(time[:2]), int(time[3:])
        for fold in (0, 1) if changed else (0,):
            wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone, fold=fold)
            cuts.append(wall.astimezone(UTC))
    return tuple(cuts)


def _change_of_clocks(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first instant of the new offset."""
    old = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle <= before:
            break
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after


@cache
def _midnight(zone: ZoneInfo, day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _version(tariff: Any, instant: datetime) -> Any:
    found = None
    for version in tariff["versions"]:
        if _instant(version["effective_from"]) <= instant:
            found = version
    if found is None:
        raise ValueError(f"no version holds at {instant}")
    return found


def band_at(version: Any, local: datetime) -> str:
    """The first rule that matches an instant names its band."""
    if not version.get("bands"):
        return "all"
    day = local.date()
    kind = "weekend" if day.isoweekday() >= 6 else "workday"
    if day.isoformat() in version.get("workdays", []):
        kind = "workday"
    if day.isoformat() in version.get("holidays", []):
        kind = "holiday"
    time = f"{local:%H:%M}"
    for rule in version["bands"]:
        days = rule.get("days")
        since, until = rule.get("from", "00:00"), rule.get("to", "24:00")
        in_time = since <= time < until if since < until else time >= since or time < until
        if (
            in_time
            and ("months" not in rule or local.month in rule["months"])
            and (days is None or days == kind or str(day.isoweekday()) in map(str, days))
        ):
            return str(rule["band"])
    raise ValueError(f"no band at {local}")


def _period(tiers: Any, local: datetime) -> tuple[str, date]:
    """The period's kind and its first day."""
    if tiers["period"] == "month":
        start = int(tiers.get("start", "01"))
        first = _day(local.year, local.month, start)
        if first > local.date():
            before = local.date().replace(day=1) - timedelta(days=1)
            first = _day(before.year, before.month, start)
        return "month", first
    month, day = (int(part) for part in tiers.get("start", "01-01").split("-"))
    first = _day(local.year, month, day)
    return "year", first if first <= local.date() else _day(local.year - 1, month, day)


def _day(year: int, month: int, day: int) -> date:
    """The day, or the last one of a month that has not so many."""
    return date(year, month, min(day, monthrange(year, month)[1]))


def _gone_by(per: str, zone: ZoneInfo, instant: datetime) -> Fraction:
    """Days or months from the beginning of the count to an instant, the part gone by to a millionth."""
    day = instant.astimezone(zone).date()
    if per == "day":
        first, following, whole = day, day + timedelta(days=1), day.toordinal()
    else:
        first = day.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
        whole = day.year * 12 + day.month
    start, end = _midnight(zone, first), _midnight(zone, following)
    return whole + half_up(Fraction((instant - start) // MOMENT, (end - start) // MOMENT), 6)


def _price(component: Any, tier: int, band: str) -> Fraction:
    price = component["price"]
    if isinstance(price, list):
        price = price[tier - 1]
    if isinstance(price, Mapping):
        price = price[band]
    return _number(price)


@cache
def _number(written: str) -> Fraction:
    return Fraction(written)


@cache
def _instant(written: str) -> datetime:
    return datetime.fromisoformat(written).astimezone(UTC)


def half_up(value: Fraction, places: int) -> Fraction:
    scaled = value * 10**places
    return Fraction((scaled + Fraction(1, 2)).__floor__(), 10**places)


def text(value: Fraction, places: int | None = None) -> str:
    """A finite decimal, written without an exponent; without places also without closing zeros."""
    digits = places if places is not None else 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    whole = str(abs(int(value * 10**digits))).rjust(digits + 1, "0")
    return ("-" if value < 0 else "") + (
        f"{whole[:-digits]}.{whole[-digits:]}" if digits else whole
    )
