"""The tariff document 价格方案: read and checked. A bad one is refused whole, with every fault by its path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TypeGuard
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prepaid.calendar import EVERY_MONTH, MINUTES, Calendar, DayKind, Hours, Timetable
from prepaid.cycle import Cycle, Every
from prepaid.document import Part, decimal, either, part_of
from prepaid.money import EXPONENTS
from prepaid.tariff import ALL, Component, Fixed, Rate, Season, Tariff, Tiers, Version

UNITS = {
    "electricity": ("kWh",),
    "cold_water": ("m3",),
    "hot_water": ("m3",),
    "reclaimed_water": ("m3",),
    "gas": ("m3", "kWh"),
    "heat": ("GJ", "kWh"),
    "cooling": ("GJ", "kWh"),
}
"""What is sold, and the units it is sold by."""

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|(24):(00)")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LONGEST_ITEM = 60
_PERIODS = {"month": Every.MONTH, "year": Every.YEAR}
_PER = {"day": Every.DAY, "month": Every.MONTH}


class BadTariff(ValueError):
    """The document cannot be used. errors names every fault by its path."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("the tariff cannot be used: " + "; ".join(errors))
        self.errors = errors


def parse(document: object) -> Tariff:
    """The tariff that a document (as read from JSON) describes.

    Raises BadTariff with every fault, each named by its path: "versions[0].components[2].share: …".
    """
    errors: list[str] = []
    whole = part_of(document, "", errors)
    if whole is None:
        raise BadTariff(errors)
    whole.only("code", "commodity", "unit", "currency", "timezone", "versions")
    code = whole.text("code")
    commodity = whole.one_of("commodity", UNITS)
    unit = whole.one_of("unit", UNITS[commodity] if commodity else _all_units())
    currency = whole.text("currency")
    if currency and currency not in EXPONENTS:
        whole.fault("currency", f"{currency!r} is no ISO 4217 code that is known here")
    zone = whole.text("timezone")
    if zone and not _is_zone(zone):
        whole.fault("timezone", f"there is no time zone {zone!r}; it is a name like Asia/Shanghai")
        zone = None
    versions = [(part, _version(part, zone or "UTC")) for part in whole.parts("versions")]
    for (before, earlier), (part, version) in pairwise(versions):
        if earlier and version and version.effective_from <= earlier.effective_from:
            part.fault("effective_from", f"must be later than that of {before.path}")
    if errors:
        raise BadTariff(errors)
    return Tariff(
        str(code),
        str(commodity),
        str(unit),
        str(currency),
        str(zone),
        tuple(version for _, version in versions if version is not None),
    )


def _version(part: Part, zone: str) -> Version | None:
    part.only("effective_from", "bands", "holidays", "workdays", "components")
    before = len(part.errors)
    since = _instant(part)
    holidays, workdays = _dates(part, "holidays"), _dates(part, "workdays")
    for day in sorted(holidays & workdays):
        part.fault("workdays", f"{day} is a holiday too")
    rules = [_rule(rule) for rule in part.parts("bands")] if part.has("bands") else []
    named = [band for band, _ in rules if band is not None]
    bands = tuple(dict.fromkeys(named)) or (ALL,)
    timetable = Timetable(
        Calendar(zone, frozenset(holidays), frozenset(workdays)),
        tuple(hours for _, hours in rules if hours is not None),
    )
    if rules and len(part.errors) == before and since is not None:
        _check_coverage(part, timetable, since)
    components = [_component(component, bands) for component in part.parts("components")]
    if since is None:
        return None
    good = tuple(component for component in components if component is not None)
    return Version(since, timetable, tuple(named), bands, good)


def _instant(part: Part) -> datetime | None:
    given = part.fields.get("effective_from")
    if isinstance(given, str) and _INSTANT.fullmatch(given):
        try:
            return datetime.fromisoformat(given.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # a thirteenth month, or the like: said below
    part.fault(
        "effective_from",
        "must be a time with its offset from UTC, written like 2026-01-01T00:00:00+08:00",
    )
    return None


def _dates(part: Part, name: str) -> set[date]:
    if not part.has(name):
        return set()
    return set(part.listed(name, _date, least=0) or ())


def _date(given: object, path: str, errors: list[str]) -> date | None:
    if isinstance(given, str) and _DATE.fullmatch(given):
        try:
            return date.fromisoformat(given)
        except ValueError:
            pass  # 31 April, or the like: said below
    errors.append(f"{path}: must be a date that there is, written like 2026-10-01")
    return None


# Bands.


def _rule(part: Part) -> tuple[str | None, Hours | None]:
    part.only("band", "months", "days", "from", "to")
    before = len(part.errors)
    band = part.text("band")
    months = _months(part) if part.has("months") else EVERY_MONTH
    days = _days(part) if part.has("days") else None
    start = _minute(part, "from") if part.has("from") else 0
    end = _minute(part, "to") if part.has("to") else MINUTES
    if start == MINUTES:
        part.fault("from", "24:00 is the end of a day; a day begins at 00:00")
    elif start == end and start is not None:
        part.fault("to", "is the time at which it begins; leave both out for the whole day")
    if len(part.errors) > before or start is None or end is None:
        return band, None
    return band, Hours(start, end, months=months, days=days)


def _months(part: Part) -> frozenset[int]:
    given = part.fields.get("months")
    if _is_numbers(given, most=12):
        return frozenset(given)
    part.fault("months", "must be a list of different months, 1 to 12")
    return frozenset()


def _days(part: Part) -> DayKind | frozenset[int] | None:
    given = part.fields.get("days")
    if isinstance(given, str) and given in list(DayKind):
        return DayKind(given)
    if _is_numbers(given, most=7):
        return frozenset(given)
    part.fault("days", f"must be {either(list(DayKind))}, or a list of different weekdays, 1 to 7")
    return None


def _is_numbers(given: object, *, most: int) -> TypeGuard[list[int]]:
    """Whether it is a list of different whole numbers, 1 to most."""
    return (
        isinstance(given, list)
        and bool(given)
        and all(type(number) is int and 1 <= number <= most for number in given)
        and len(set(given)) == len(given)
    )


def _minute(part: Part, name: str) -> int | None:
    given = part.fields.get(name)
    if isinstance(given, str) and _TIME.fullmatch(given):
        return int(given[:2]) * 60 + int(given[3:])
    part.fault(name, "must be a time of day from 00:00 to 24:00, written like 06:30")
    return None


def _check_coverage(part: Part, timetable: Timetable, since: datetime) -> None:
    """Every instant must have a band: one without is named for each kind of day that has one."""
    calendar = timetable.calendar
    days = sorted(calendar.holidays | calendar.workdays)
    seen: set[tuple[int, int, DayKind]] = set()
    first = _local_day(calendar, since)
    for day in [*(first + timedelta(days=n) for n in range(_days_left(first))), *days]:
        kind = (day.month, day.isoweekday(), calendar.kind(day))
        if kind in seen:
            continue
        seen.add(kind)
        gap = next((start for start, rule in timetable.local_day(day) if rule is None), None)
        if gap is not None:
            part.fault(
                "bands",
                f"no rule matches {day} ({calendar.kind(day)}) at {gap // 60:02}:{gap % 60:02}",
            )
            return


def _local_day(calendar: Calendar, at: datetime) -> date:
    try:
        return calendar.local(at).date()
    except (OverflowError, ValueError):
        return at.date()  # the first or the last day that dates have


def _days_left(first: date) -> int:
    """Days in which every weekday of every month comes, as far as there are dates."""
    return min(366 + 31, date.max.toordinal() - first.toordinal())


# Components.


def _component(part: Part, bands: tuple[str, ...]) -> Component | None:
    before = len(part.errors)
    item = _item(part)
    match part.one_of("kind", ("rate", "fixed")):
        case "rate":
            part.only("item", "kind", "share", "tiers", "price")
            share = _share(part) if part.has("share") else Decimal(1)
            tiers = _tiers(part) if part.has("tiers") else None
            prices = _prices(part, tiers, bands)
            if len(part.errors) > before or item is None or share is None:
                return None
            return Rate(item, share, tiers, prices)
        case "fixed":
            part.only("item", "kind", "amount", "per")
            amount = part.decimal("amount")
            per = part.one_of("per", _PER)
            if len(part.errors) > before or item is None or amount is None or per is None:
                return None
            return Fixed(item, amount, Cycle(_PER[per]))
        case _:
            part.only("item", "kind", "share", "tiers", "price", "amount", "per")
            return None


def _item(part: Part) -> str | None:
    item = part.text("item")
    if item is not None and (":" in item or len(item) > _LONGEST_ITEM or not item.isprintable()):
        part.fault("item", f"must be a name without a colon, of at most {_LONGEST_ITEM} characters")
        return None
    return item


def _share(part: Part) -> Decimal | None:
    share = part.decimal("share")
    if share is not None and share > 1:
        part.fault("share", "must be from 0 to 1")
    return share


def _prices(
    part: Part, tiers: Tiers | None, bands: tuple[str, ...]
) -> tuple[Mapping[str, Decimal], ...]:
    """By tier, then by band. Where the tiers have faults, their number is not held against the list."""
    given, path = part.fields.get("price"), part.at("price")
    if not part.has("tiers"):
        if isinstance(given, list):
            part.fault("price", "a list is by tier, and there are no tiers here")
            return ()
        return (_by_band(given, path, part.errors, bands),)
    if not isinstance(given, list) or not given:
        part.fault("price", "must be a list, a price for each tier")
        return ()
    count = len(tiers.bounds) + 1 if tiers is not None else len(given)
    if len(given) != count:
        part.fault("price", f"must have {count} entries, one for each tier, not {len(given)}")
    return tuple(
        _by_band(price, f"{path}[{tier}]", part.errors, bands) for tier, price in enumerate(given)
    )


def _by_band(
    given: object, path: str, errors: list[str], bands: tuple[str, ...]
) -> Mapping[str, Decimal]:
    if not isinstance(given, Mapping):
        price = decimal(given, path, errors)
        return dict.fromkeys(bands, price) if price is not None else {}
    errors.extend(f"{path}: there is no price for band {b!r}" for b in bands if b not in given)
    found = {}
    for band, text in given.items():
        if band not in bands:
            errors.append(f"{path}.{band}: no rule names this band")
        price = decimal(text, f"{path}.{band}", errors)
        if price is not None:
            found[band] = price
    return found


def _tiers(component: Part) -> Tiers | None:
    part = part_of(component.fields["tiers"], component.at("tiers"), component.errors)
    if part is None:
        return None
    part.only(
        "period",
        "bounds",
        "start",
        "seasons",
        "base_persons",
        "per_extra_person",
        "per_household",
    )
    before = len(part.errors)
    period = part.one_of("period", _PERIODS)
    seasons = _seasons(part, period) if part.has("seasons") else ()
    covered = frozenset[int]().union(*(season.months for season in seasons))
    bounds: tuple[Decimal, ...] | None = None
    if part.has("bounds") or covered != EVERY_MONTH:
        bounds = _bounds(part)
    elif seasons:
        bounds = seasons[0].bounds  # never used: every month has bounds of its own
    for number, season in enumerate(seasons):
        if bounds and season.bounds and len(season.bounds) != len(bounds):
            part.fault(
                f"seasons[{number}].bounds", f"must have {len(bounds)} entries like the others"
            )
    cycle = _start(part, period)
    base, added = _persons(part, len(bounds) if bounds else None)
    per_household = part.fields.get("per_household", False)
    if type(per_household) is not bool:
        part.fault("per_household", "must be true or false")
    if len(part.errors) > before or bounds is None or cycle is None:
        return None
    return Tiers(cycle, bounds, seasons, base, added, per_household)


def _bounds(part: Part) -> tuple[Decimal, ...] | None:
    bounds = part.listed("bounds", decimal)
    if bounds is None:
        return None
    for place, bound in enumerate(bounds):
        if bound <= (bounds[place - 1] if place else 0):
            rising = f"more than {bounds[place - 1]}: bounds rise" if place else "more than 0"
            part.fault(f"bounds[{place}]", f"must be {rising}")
    return tuple(bounds)


def _seasons(part: Part, period: str | None) -> tuple[Season, ...]:
    if period == "year":
        part.fault("seasons", "are for tiers by month; these are by year")
    found: list[Season] = []
    for season in part.parts("seasons"):
        season.only("months", "bounds")
        months, bounds = _months(season), _bounds(season)
        taken = frozenset[int]().union(*(earlier.months for earlier in found))
        for month in sorted(months & taken):
            season.fault("months", f"month {month} is in an earlier season")
        found.append(Season(months, bounds or ()))
    return tuple(found)


def _start(part: Part, period: str | None) -> Cycle | None:
    if period is None:
        return None
    every = _PERIODS[period]
    if not part.has("start"):
        return Cycle(every)
    given = part.fields.get("start")
    text = f"01-{given}" if every is Every.MONTH else given
    if isinstance(given, str) and isinstance(text, str) and re.fullmatch("[0-9]{2}-[0-9]{2}", text):
        try:
            first = date.fromisoformat(f"2024-{text}")  # a leap year: 02-29 is a day
        except ValueError:
            pass  # 30 February, or the like: said below
        else:
            return Cycle(every, day=first.day, month=first.month)
    part.fault(
        "start",
        "must be a day, 01 to 31"
        if every is Every.MONTH
        else "must be a month and a day that there is, written like 07-01",
    )
    return None


def _persons(part: Part, bounds: int | None) -> tuple[int | None, tuple[Decimal, ...]]:
    if not part.has("base_persons") and not part.has("per_extra_person"):
        return None, ()
    for name, other in (
        ("base_persons", "per_extra_person"),
        ("per_extra_person", "base_persons"),
    ):
        if not part.has(name):
            part.fault(name, f"is needed with {other}")
    base = part.whole("base_persons", least=0) if part.has("base_persons") else None
    added: list[Decimal] | None = None
    if part.has("per_extra_person"):
        added = part.listed("per_extra_person", decimal)
        if added is not None and bounds is not None and len(added) != bounds:
            part.fault("per_extra_person", f"must have {bounds} entries, one for each bound")
    return base, tuple(added or ())


def _all_units() -> list[str]:
    return sorted({unit for units in UNITS.values() for unit in units})


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
