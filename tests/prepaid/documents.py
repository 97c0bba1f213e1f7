"""Random good tariff documents, and readings placed where a mistake would show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

CURRENCIES = {
    "Asia/Shanghai": ("CNY",),
    "Europe/London": ("CNY",),
    "America/New_York": ("CNY",),
    "Australia/Lord_Howe": ("CNY", "VND"),  # half an hour of summer time
    "Asia/Kathmandu": ("CNY",),  # 5:45 ahead
    "Asia/Ho_Chi_Minh": ("VND",),
}
CLOCK_CHANGES = {
    "Europe/London": ["2026-03-29T01:00Z", "2026-10-25T01:00Z"],
    "America/New_York": ["2026-03-08T07:00Z", "2026-11-01T06:00Z"],
    "Australia/Lord_Howe": ["2026-04-04T15:00Z", "2026-10-03T15:30Z"],
}
LOCAL_TURNS = ["2026-01-01", "2026-02-28", "2026-03-01", "2024-02-29", "2026-04-30", "2026-07-01"]
BANDS = ("sharp", "peak", "flat", "valley", "deep")  # 尖 峰 平 谷 深谷
TIMES = ("00:00", "00:30", "01:00", "01:30", "02:00", "02:15", "06:00", "10:00", "22:00", "23:59")
ITEMS = ("energy", "service", "surcharge")
MOMENTS = [timedelta(microseconds=1), timedelta(seconds=1), timedelta(minutes=1)]
SPANS = [timedelta(minutes=15), timedelta(hours=1), timedelta(days=1), timedelta(days=40)]


@dataclass(frozen=True, slots=True)
class Case:
    """A document, what stands behind the meter, and what was read: (time, register) as a file holds them."""

    tariff: Mapping[str, Any]
    persons: int | None
    households: int
    multiplier: str
    usage: tuple[tuple[str, str], ...]


@st.composite
def cases(draw: st.DrawFn, *, longest: int = 7) -> Case:
    zone = draw(st.sampled_from([*CURRENCIES, *CLOCK_CHANGES]))
    around = draw(st.sampled_from(_turns(zone)))
    tariff = draw(_documents(zone, around))
    persons = draw(st.none() | st.integers(1, 9))
    households = draw(st.integers(1, 4))
    instants = draw(_instants(tariff, zone, around, longest=longest))
    registers = draw(_registers(tariff, len(instants), persons=persons or 0, households=households))
    offset = timezone(timedelta(minutes=draw(st.sampled_from([0, 480, -300, 345]))))
    usage = tuple(
        (instant.astimezone(offset).isoformat(), str(register))
        for instant, register in zip(instants, registers, strict=True)
    )
    multiplier = draw(st.sampled_from(["1", "1", "40", "0.1"]))
    return Case(tariff, persons, households, multiplier, usage)


def _turns(zone: str) -> list[datetime]:
    """Instants where days, months, years or the clocks turn."""
    turns = [
        datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for day in LOCAL_TURNS
    ]
    changes = [datetime.fromisoformat(change) for change in CLOCK_CHANGES.get(zone, [])]
    return turns + 6 * changes


@st.composite
def _documents(draw: st.DrawFn, zone: str, around: datetime) -> dict[str, Any]:
    kind = st.sampled_from(["flat", "tiers", "fixed"])
    kinds = [draw(st.sampled_from(["flat", "tiers"])), *draw(st.lists(kind, max_size=2))]
    tiers = first_tiers = [draw(_tiers()) if kind == "tiers" else None for kind in kinds]
    names = [draw(st.sampled_from(ITEMS)) for _ in kinds]
    starts = [datetime(2020, 1, 1, tzinfo=UTC)]
    for _ in range(draw(st.integers(0, 2))):
        shift = timedelta(seconds=draw(st.integers(-3 * 86400, 3 * 86400)))
        starts.append(around + draw(st.sampled_from([timedelta(0), shift])))
    versions = []
    for start in sorted(set(starts)):
        day = around.astimezone(ZoneInfo(zone)).date()
        bands = draw(_rules(day)) if draw(st.integers(0, 3)) else None
        version: dict[str, Any] = {
            "effective_from": start.astimezone(ZoneInfo(zone)).isoformat(),
            "components": [
                draw(_component(kind, name, tier, _named(bands)))
                for kind, name, tier in zip(kinds, names, tiers, strict=True)
            ],
        }
        if bands is not None:
            version["bands"] = bands
            version |= draw(_days(day))
        versions.append(version)
        match draw(st.integers(0, 3)):  # what the next version has
            case 1:
                tiers = [draw(_tiers()) if kind == "tiers" else None for kind in kinds]
            case 2:
                tiers = [None for _ in kinds]
            case 3:
                tiers = first_tiers
    return {
        "code": "RANDOM",
        "commodity": "electricity",
        "unit": "kWh",
        "currency": draw(st.sampled_from(CURRENCIES[zone])),
        "timezone": zone,
        "versions": versions,
    }


def _named(rules: list[dict[str, Any]] | None) -> list[str]:
    return sorted({rule["band"] for rule in rules or []})


@st.composite
def _rules(draw: st.DrawFn, around: date) -> list[dict[str, Any]]:
    """A few particular rules, most of days near a date, then one rule for the rest or the day cut into parts."""
    chosen = draw(st.lists(st.sampled_from(BANDS), min_size=2, max_size=5, unique=True))
    rules = []
    for _ in range(draw(st.integers(0, 3))):
        rule: dict[str, Any] = {"band": draw(st.sampled_from(chosen))}
        if draw(st.booleans()):
            months = draw(st.sets(st.integers(1, 12), min_size=1, max_size=6))
            rule["months"] = sorted(months | draw(st.sampled_from([set(), {around.month}])))
        if draw(st.booleans()):
            weekdays = st.sets(st.integers(1, 7), min_size=1, max_size=4).map(sorted)
            rule["days"] = draw(st.sampled_from(["workday", "weekend", "holiday"]) | weekdays)
        if draw(st.booleans()):
            since, until = draw(st.permutations([*TIMES, "24:00"]))[:2]
            if since != "24:00" and (since, until) != ("00:00", "24:00"):
                rule |= {"from": since, "to": until}
        rules.append(rule)
    if draw(st.booleans()):
        return [*rules, {"band": draw(st.sampled_from(chosen))}]
    cuts = sorted(draw(st.sets(st.sampled_from(TIMES), min_size=2, max_size=5)))
    return rules + [
        {"band": draw(st.sampled_from(chosen)), "from": since, "to": until}
        for since, until in zip(cuts, [*cuts[1:], cuts[0]], strict=True)  # the last over midnight
        if since != until
    ]


@st.composite
def _days(draw: st.DrawFn, around: date) -> dict[str, list[str]]:
    near = [around + timedelta(days=days) for days in range(-4, 5)]
    holidays = draw(st.sets(st.sampled_from(near), max_size=3)) | draw(
        st.sampled_from([set(), {around}])
    )
    weekend = {day for day in near if day.isoweekday() >= 6} - holidays
    workdays = weekend & draw(st.sets(st.sampled_from(near)))
    return {
        "holidays": [day.isoformat() for day in sorted(holidays)],
        "workdays": [day.isoformat() for day in sorted(workdays)],
    }


_prices = st.sampled_from(["0", "0.5", "1.5", "1984"]) | st.decimals("0", "9", places=4).map(str)


@st.composite
def _component(
    draw: st.DrawFn, kind: str, item: str, tiers: Mapping[str, Any] | None, bands: list[str]
) -> dict[str, Any]:
    if kind == "fixed":
        return {
            "item": item,
            "kind": "fixed",
            "amount": draw(_prices),
            "per": draw(st.sampled_from(["day", "month"])),
        }
    component: dict[str, Any] = {"item": item, "kind": "rate"}
    if draw(st.booleans()):
        component["share"] = draw(st.sampled_from(["0", "0.3", "0.7", "0.85", "0.3333", "1"]))
    by_band = bool(bands) and draw(st.integers(0, 3)) > 0
    price = st.fixed_dictionaries(dict.fromkeys(bands, _prices)) if by_band else _prices
    if tiers is None:
        return component | {"price": draw(price)}
    count = len(tiers["bounds"]) + 1
    return component | {"tiers": tiers, "price": [draw(price) for _ in range(count)]}


@st.composite
def _tiers(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(1, 5))
    period = draw(st.sampled_from(["month", "year"]))
    tiers: dict[str, Any] = {"period": period, "bounds": draw(_bounds(count))}
    if draw(st.booleans()):
        month = ["01", "15", "31"]
        year = ["01-01", "07-01", "02-29"]
        tiers["start"] = draw(st.sampled_from(month if period == "month" else year))
    if period == "month" and draw(st.booleans()):
        summer = draw(st.sets(st.integers(1, 12), min_size=1, max_size=11))
        rest = sorted(set(range(1, 13)) - summer)
        tiers["seasons"] = [{"months": sorted(summer), "bounds": draw(_bounds(count))}]
        if draw(st.booleans()):
            tiers["seasons"].append({"months": rest[:3], "bounds": draw(_bounds(count))})
    if draw(st.booleans()):
        added = draw(st.lists(st.integers(0, 60), min_size=count, max_size=count))
        tiers["base_persons"] = draw(st.integers(1, 5))
        tiers["per_extra_person"] = [str(more) for more in sorted(added)]
    if draw(st.booleans()):
        tiers["per_household"] = True
    return tiers


def _bounds(count: int) -> st.SearchStrategy[list[str]]:
    bound = st.integers(1, 400).map(Decimal) | st.decimals("0.1", "50", places=2)
    return st.lists(bound, min_size=count, max_size=count, unique=True).map(
        lambda bounds: [str(bound) for bound in sorted(bounds)]
    )


@st.composite
def _instants(
    draw: st.DrawFn, tariff: Mapping[str, Any], zone: str, around: datetime, *, longest: int
) -> list[datetime]:
    """Rising instants: at turns, one step beside them, at changes of version and of band, or anywhere."""
    turns = [around]
    for version in tariff["versions"][1:]:
        turns.append(datetime.fromisoformat(version["effective_from"]).astimezone(UTC))
        turns += _band_changes(version, zone, around)
    turns += _band_changes(tariff["versions"][0], zone, around)
    wanted = draw(st.integers(min(4, longest), longest))
    span = draw(st.sampled_from(SPANS))
    instants: set[datetime] = set()
    while len(instants) < wanted:
        if draw(st.booleans()):
            instant = draw(st.sampled_from(turns))
            instant += draw(st.sampled_from([-1, 0, 1])) * draw(st.sampled_from(MOMENTS))
        else:
            instant = around + span * draw(st.integers(-100, 100)) / 40
        while instant in instants:
            instant += span
        instants.add(instant)
    return sorted(instants)


def _band_changes(version: Mapping[str, Any], zone: str, around: datetime) -> list[datetime]:
    midnight = around.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        midnight.replace(hour=int(rule["from"][:2]), minute=int(rule["from"][3:])).astimezone(UTC)
        for rule in version.get("bands", [])
        if "from" in rule
    ]


@st.composite
def _registers(
    draw: st.DrawFn, tariff: Mapping[str, Any], count: int, *, persons: int, households: int
) -> list[Decimal]:
    """Registers that never fall: still, one step on, at a bound or beside it, or anywhere further."""
    step = Decimal(draw(st.sampled_from(["0.01", "0.0001", "0.000001"])))
    targets = sorted(_targets(tariff, persons=persons, households=households))
    first = draw(st.integers(0, 10**6)) * step
    registers, used = [first], Decimal(0)
    for _ in range(count - 1):
        match draw(st.sampled_from(["anywhere", "to a bound", "anywhere", "hardly"])):
            case "hardly":
                used += draw(st.sampled_from([0, 1])) * step
            case "to a bound" if any(target > used for target in targets):
                bound = draw(st.sampled_from([target for target in targets if target > used]))
                used = max(used, bound + draw(st.sampled_from([-1, 0, 1])) * step)
            case _:
                used += draw(st.integers(1, 30000)) * draw(st.sampled_from([Decimal("0.01"), step]))
        registers.append(first + used)
    return registers


def _targets(tariff: Mapping[str, Any], *, persons: int, households: int) -> set[Decimal]:
    """Usage at which some component fills a tier, where that is an exact decimal."""
    found = set()
    for version in tariff["versions"]:
        for component in version["components"]:
            share = Decimal(component.get("share", "1"))
            tiers = component.get("tiers")
            if tiers is None or share not in {1, Decimal("0.7"), Decimal("0.3")}:
                continue
            extra = max(0, persons - tiers.get("base_persons", persons))
            added = tiers.get("per_extra_person", ["0"] * len(tiers["bounds"]))
            times = households if tiers.get("per_household") else 1
            for bounds in [tiers, *tiers.get("seasons", [])]:
                for bound, more in zip(bounds["bounds"], added, strict=True):
                    filled = (Decimal(bound) + extra * Decimal(more)) * times / share
                    if filled == round(filled, 6):
                        found.add(filled.normalize() + Decimal("0.00"))
    return found
