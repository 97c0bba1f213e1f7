from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.calendar import DayKind
from prepaid.cycle import Cycle, Every
from prepaid.tariff import Fixed, Rate
from prepaid.tariff_document import UNITS, BadTariff, parse
from tests.prepaid.values import WATER

WHOLE: dict[str, Any] = {
    "code": "WHOLE",
    "commodity": "electricity",
    "unit": "kWh",
    "currency": "CNY",
    "timezone": "Asia/Shanghai",
    "versions": [
        {
            "effective_from": "2026-01-01T00:00:00+08:00",
            "bands": [
                {"band": "valley", "days": "holiday"},
                {
                    "band": "sharp",
                    "months": [7, 8],
                    "days": "workday",
                    "from": "10:00",
                    "to": "12:00",
                },
                {"band": "valley", "from": "22:00", "to": "06:00"},
                {"band": "peak", "days": [1, 2, 3, 4, 5, 6, 7]},
            ],
            "holidays": ["2026-10-01"],
            "workdays": ["2026-10-10"],
            "components": [
                {
                    "item": "energy",
                    "kind": "rate",
                    "share": "0.7",
                    "tiers": {
                        "period": "month",
                        "start": "15",
                        "bounds": ["170", "400"],
                        "seasons": [{"months": [5, 6, 7, 8, 9, 10], "bounds": ["260", "600"]}],
                        "base_persons": 4,
                        "per_extra_person": ["30", "40"],
                        "per_household": True,
                    },
                    "price": [
                        {"sharp": "0.9", "peak": "0.6", "valley": "0.3"},
                        "0.7",
                        {"sharp": "1.2", "peak": "0.9", "valley": "0.6"},
                    ],
                },
                {"item": "service", "kind": "fixed", "amount": "6.00", "per": "month"},
            ],
        },
        {
            "effective_from": "2026-07-01T00:00:00Z",
            "components": [{"item": "energy", "kind": "rate", "price": "0.5"}],
        },
    ],
}


def faults(document: object) -> list[str]:
    with pytest.raises(BadTariff) as caught:
        parse(document)
    assert str(caught.value).endswith("; ".join(caught.value.errors))
    return caught.value.errors


def changed(path: str, value: object) -> dict[str, Any]:
    """WHOLE with the value at a path of names and numbers, as in "versions.0.bands"; None takes it out."""
    document = deepcopy(WHOLE)
    *before, last = path.split(".")
    at: Any = document
    for name in before:
        at = at[int(name)] if isinstance(at, list) else at[name]
    if value is None:
        del at[last]
    else:
        at[int(last) if isinstance(at, list) else last] = value
    return document


def test_a_document_becomes_a_tariff_with_exact_numbers():
    tariff = parse(WHOLE)
    first, second = tariff.versions

    assert (tariff.code, tariff.unit, tariff.currency) == ("WHOLE", "kWh", "CNY")
    assert first.effective_from == datetime(2025, 12, 31, 16, tzinfo=UTC)
    assert first.bands == ("valley", "sharp", "peak")
    assert [rule.days for rule in first.timetable.rules] == [
        DayKind.HOLIDAY,
        DayKind.WORKDAY,
        None,
        frozenset(range(1, 8)),
    ]
    energy, service = first.components
    assert isinstance(energy, Rate)
    assert energy.share == Decimal("0.7")
    assert energy.prices[1] == dict.fromkeys(first.bands, Decimal("0.7"))
    assert energy.tiers is not None
    assert energy.tiers.cycle == Cycle(Every.MONTH, day=15)
    assert service == Fixed("service", Decimal("6.00"), Cycle(Every.MONTH))
    assert second.bands == ("all",)


def test_a_bad_document_is_refused_with_every_fault_and_its_path():
    document = deepcopy(WATER)
    document["unit"] = "kWh"
    document["discount"] = "0.1"
    document["versions"][0]["components"][0]["price"] = 2.07
    document["versions"][0]["components"][1]["tiers"] = {"period": "year"}

    assert {fault.split(":")[0] for fault in faults(document)} == {
        "discount",
        "unit",
        "versions[0].components[0].price",
        "versions[0].components[1].tiers.bounds",
        "versions[0].components[1].price",
    }


TIERS = "versions.0.components.0.tiers"
PRICE = "versions.0.components.0.price"
BANDS = "versions.0.bands"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("code", "", "code: must be a text"),
        ("code", 7, "code: must be a text"),
        ("code", "BJ\nRES", "code: must have no spaces around it, and none but plain ones within"),
        ("commodity", "steam", "commodity: must be electricity, cold_water, "),
        ("commodity", ["electricity"], "commodity: must be"),
        ("commodity", "cold_water", "unit: must be m3"),
        ("unit", None, "unit: must be kWh"),
        ("currency", "RMB", "currency: 'RMB' is no ISO 4217 code"),
        ("timezone", "China/Beijing", "timezone: there is no time zone 'China/Beijing'"),
        ("timezone", "../../etc/passwd", "timezone: there is no time zone"),
        ("timezone", "A" * 5000, "timezone: there is no time zone"),
        ("versions", [], "versions: must be a list with at least one entry"),
        ("versions", {}, "versions: must be a list with at least one entry"),
        ("versions.1", "cheap", "versions[1]: must be an object"),
        ("versions.1.effective_from", "2026-01-01T00:00:00+08:00", "versions[1].effective_from: must be later"),
        ("versions.1.effective_from", "2026-07-01T00:00:00", "versions[1].effective_from: must be a time with"),
        ("versions.1.effective_from", "2026-07-01", "versions[1].effective_from: must be a time with"),
        ("versions.1.effective_from", "2026-13-01T00:00:00Z", "versions[1].effective_from: must be a time"),
        ("versions.1.effective_from", "0001-01-01T00:00:00+08:00", "versions[1].effective_from: must be a time"),
        ("versions.1.effective_from", 20260701, "versions[1].effective_from: must be a time"),
        ("versions.0.note", "x", "versions[0].note: not known here"),
        ("versions.0.components", [], "versions[0].components: must be a list with at least one"),
        (BANDS, [], "versions[0].bands: must be a list with at least one"),
        (f"{BANDS}.1.till", "13:00", "versions[0].bands[1].till: not known here"),
        (f"{BANDS}.1.from", "12:00", "versions[0].bands[1].to: is the time at which it begins"),
        (f"{BANDS}.1.from", "24:00", "versions[0].bands[1].from: 24:00 is the end of a day"),
        (f"{BANDS}.1.from", "7:00", "versions[0].bands[1].from: must be a time of day"),
        (f"{BANDS}.1.to", "24:30", "versions[0].bands[1].to: must be a time of day"),
        (f"{BANDS}.1.to", 12, "versions[0].bands[1].to: must be a time of day"),
        (f"{BANDS}.1.days", "weekday", "versions[0].bands[1].days: must be workday, weekend or holiday"),
        (f"{BANDS}.1.days", [0], "versions[0].bands[1].days: must be"),
        (f"{BANDS}.1.days", [], "versions[0].bands[1].days: must be"),
        (f"{BANDS}.1.months", [7, 7], "versions[0].bands[1].months: must be a list of different"),
        (f"{BANDS}.1.months", [True], "versions[0].bands[1].months: must be"),
        (f"{BANDS}.1.months", ["7"], "versions[0].bands[1].months: must be"),
        (f"{BANDS}.1.band", "night", "versions[0].components[0].price[0]: there is no price for band 'night'"),
        (f"{BANDS}.1.band", "peak", "versions[0].components[0].price[0].sharp: no rule names this band"),
        (f"{BANDS}.3.to", "21:59", "versions[0].bands: no rule matches 2026-01-01 (workday) at 21:59"),
        (f"{BANDS}.3.days", [1, 2, 3, 4, 5], "versions[0].bands: no rule matches 2026-01-03 (weekend) at 06:00"),
        (f"{BANDS}.3.months", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "no rule matches 2026-12-01 (workday) at 06:00"),
        (f"{BANDS}.3.days", "weekend", "versions[0].bands: no rule matches 2026-01-01 (workday) at 06:00"),
        ("versions.0.holidays", ["2026-02-29"], "versions[0].holidays[0]: must be a date that there is"),
        ("versions.0.holidays", ["20261001"], "versions[0].holidays[0]: must be a date"),
        ("versions.0.holidays", "2026-10-01", "versions[0].holidays: must be a list"),
        ("versions.0.holidays", ["2026-10-10"], "versions[0].workdays: 2026-10-10 is a holiday too"),
        ("versions.0.components.0.item", " ", "versions[0].components[0].item: must be a text"),
        (
            "versions.0.components.0.item",
            "energy ",
            "versions[0].components[0].item: must have no spaces around it, and none but plain ones within",
        ),
        ("versions.0.components.0.item", "a:b", "versions[0].components[0].item: must be a name without"),
        ("versions.0.components.0.item", "x" * 61, "versions[0].components[0].item: must be a name"),
        ("versions.0.components.0.kind", "flat", "versions[0].components[0].kind: must be rate or fixed"),
        ("versions.0.components.0.share", "1.1", "versions[0].components[0].share: must be from 0 to 1"),
        ("versions.0.components.0.share", "-0.1", "versions[0].components[0].share: must not be negative"),
        ("versions.0.components.0.amount", "1", "versions[0].components[0].amount: not known here"),
        ("versions.0.components.1.price", "1", "versions[0].components[1].price: not known here"),
        ("versions.0.components.1.amount", 6, "versions[0].components[1].amount: must be a number written"),
        ("versions.0.components.1.amount", "-6", "versions[0].components[1].amount: must not be negative"),
        ("versions.0.components.1.per", "year", "versions[0].components[1].per: must be day or month"),
        (PRICE, "0.5", "versions[0].components[0].price: must be a list, a price for each tier"),
        (PRICE, ["0.5", "0.6"], "versions[0].components[0].price: must have 3 entries, one for each tier, not 2"),
        (f"{PRICE}.1", "-0.7", "versions[0].components[0].price[1]: must not be negative"),
        (f"{PRICE}.1", {"peak": "1", "valley": "1"}, "price[1]: there is no price for band 'sharp'"),
        (f"{PRICE}.0.peak", None, "price[0]: there is no price for band 'peak'"),
        (f"{PRICE}.0.peak", [], "versions[0].components[0].price[0].peak: must be a number written as text"),
        ("versions.1.components.0.price", ["1"], "versions[1].components[0].price: a list is by tier"),
        ("versions.1.components.0.price", {"peak": "1"}, "price.peak: no rule names this band"),
        (f"{TIERS}.period", "week", "versions[0].components[0].tiers.period: must be month or year"),
        (f"{TIERS}.period", "year", "versions[0].components[0].tiers.seasons: are for tiers by month"),
        (f"{TIERS}.start", "32", "versions[0].components[0].tiers.start: must be a day, 01 to 31"),
        (f"{TIERS}.start", "01-01", "versions[0].components[0].tiers.start: must be a day, 01 to 31"),
        (f"{TIERS}.start", 15, "versions[0].components[0].tiers.start: must be a day, 01 to 31"),
        (f"{TIERS}.bounds", [], "versions[0].components[0].tiers.bounds: must be a list with at least one"),
        (f"{TIERS}.bounds", None, "versions[0].components[0].tiers.bounds: must be a list with at least one"),
        (f"{TIERS}.bounds", ["0", "400"], "tiers.bounds[0]: must be more than 0"),
        (f"{TIERS}.bounds", ["400", "400"], "tiers.bounds[1]: must be more than 400: bounds rise"),
        (f"{TIERS}.bounds", ["170", 400], "tiers.bounds[1]: must be a number written as text"),
        (f"{TIERS}.seasons", [], "tiers.seasons: must be a list with at least one entry"),
        (f"{TIERS}.seasons.0.months", [], "tiers.seasons[0].months: must be a list of different months"),
        (f"{TIERS}.seasons.0.bounds", ["260"], "tiers.seasons[0].bounds: must have 2 entries"),
        (f"{TIERS}.seasons.0.bounds", ["600", "260"], "tiers.seasons[0].bounds[1]: must be more than 600"),
        (f"{TIERS}.seasons.0.price", "1", "tiers.seasons[0].price: not known here"),
        (f"{TIERS}.base_persons", None, "tiers.base_persons: is needed with per_extra_person"),
        (f"{TIERS}.base_persons", -1, "tiers.base_persons: must be a whole number, 0 or more"),
        (f"{TIERS}.base_persons", "4", "tiers.base_persons: must be a whole number"),
        (f"{TIERS}.base_persons", True, "tiers.base_persons: must be a whole number"),
        (f"{TIERS}.per_extra_person", None, "tiers.per_extra_person: is needed with base_persons"),
        (f"{TIERS}.per_extra_person", ["30"], "tiers.per_extra_person: must have 2 entries"),
        (f"{TIERS}.per_extra_person", "30", "tiers.per_extra_person: must be a list"),
        (f"{TIERS}.per_household", "yes", "tiers.per_household: must be true or false"),
        (TIERS, [], "versions[0].components[0].tiers: must be an object"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_path(path: str, value: object, fault: str):
    assert any(fault in named for named in faults(changed(path, value)))


@pytest.mark.parametrize(
    "price",
    [
        "", "0,5", " 0.5", "0.5 ", "+0.5", ".5", "5.", "1e3", "1E-7", "1e999999999", "NaN", "Infinity", "0x1",
        "٠.٥", "1_000", "1" * 19, "0." + "1" * 19, 0.5, 5, True, None, {}, ["0.5"],
    ],
)  # fmt: skip
def test_what_is_no_plain_number_as_text_is_refused(price: object):
    document = deepcopy(WATER)
    document["versions"][0]["components"][0]["price"] = price
    assert [fault.split(":")[0] for fault in faults(document)] == [
        "versions[0].components[0].price"
    ]


def test_tiers_by_year_start_on_a_day_that_there_is():
    def starting(day: str) -> dict[str, Any]:
        document = deepcopy(WATER)
        document["versions"][0]["components"][0] |= {
            "tiers": {"period": "year", "start": day, "bounds": ["180"]},
            "price": ["2", "4"],
        }
        return document

    for wrong in ("02-30", "13-01", "00-01", "04-31", "1-1", "0101"):
        (fault,) = faults(starting(wrong))
        assert fault.startswith("versions[0].components[0].tiers.start: must be a month and a day")
    assert parse(starting("02-29")).versions[0].components[0].tiers.cycle == Cycle(  # type: ignore[union-attr]
        Every.YEAR, day=29, month=2
    )


def test_a_month_cannot_be_in_two_seasons():
    document = changed(
        f"{TIERS}.seasons",
        [{"months": [5, 6], "bounds": ["1", "2"]}, {"months": [6, 7], "bounds": ["3", "4"]}],
    )
    assert faults(document) == [
        "versions[0].components[0].tiers.seasons[1].months: month 6 is in an earlier season"
    ]


def test_bounds_may_be_left_out_where_seasons_cover_the_year():
    document = changed(f"{TIERS}.bounds", None)
    seasons = document["versions"][0]["components"][0]["tiers"]["seasons"]
    seasons.append({"months": [1, 2, 3, 4, 11, 12], "bounds": ["170", "400"]})
    assert len(parse(document).versions) == 2


def test_a_listed_holiday_must_have_a_band_too():
    document = changed(
        BANDS, [{"band": "all", "days": "workday"}, {"band": "all", "days": "weekend"}]
    )
    document["versions"][0]["components"] = [{"item": "energy", "kind": "rate", "price": "1"}]
    assert faults(document) == ["versions[0].bands: no rule matches 2026-10-01 (holiday) at 00:00"]
    document["versions"][0]["holidays"] = []
    assert parse(document).versions[0].bands == ("all",)


def test_every_version_is_checked():
    document = deepcopy(WHOLE)
    document["versions"] += [{"effective_from": "soon"}, 5]
    paths = [fault.split(":")[0] for fault in faults(document)]
    assert paths == [
        "versions[3]",
        "versions[2].effective_from",
        "versions[2].components",
    ]


@pytest.mark.parametrize("commodity", UNITS)
def test_each_commodity_is_sold_by_its_units(commodity: str):
    for unit in UNITS[commodity]:
        assert parse(WATER | {"commodity": commodity, "unit": unit}).unit == unit


@pytest.mark.parametrize("document", [{}, [], None, "x", {"versions": [{}]}, {"versions": [None]}])
def test_what_is_no_tariff_at_all_is_refused(document: object):
    assert faults(document)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.data(), anything)
def test_no_other_error_comes_out_whatever_stands_anywhere(data: st.DataObject, value: object):
    document = deepcopy(WHOLE)
    at: Any = document
    while True:
        name = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[name], dict | list) or not at[name] or data.draw(st.booleans()):
            at[name] = value
            break
        at = at[name]
    with suppress(BadTariff):
        assert parse(document).versions
