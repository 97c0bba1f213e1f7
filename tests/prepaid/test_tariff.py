from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from prepaid.cycle import Cycle, Every
from prepaid.tariff import Tariff, Tiers
from prepaid.tariff_document import parse
from tests.prepaid.values import WATER


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def tariff(*versions: dict[str, Any], zone: str = "Asia/Shanghai") -> Tariff:
    return parse(
        {
            "code": "T",
            "commodity": "electricity",
            "unit": "kWh",
            "currency": "CNY",
            "timezone": zone,
            "versions": list(versions),
        }
    )


def version(
    components: list[dict[str, Any]],
    bands: list[dict[str, Any]] | None = None,
    since: str = "2026-01-01T00:00:00+08:00",
    **days: list[str],
) -> dict[str, Any]:
    banded = {"bands": bands} if bands else {}
    return {"effective_from": since, "components": components} | banded | days


def priced(price: object, **more: object) -> dict[str, Any]:
    return {"item": "energy", "kind": "rate", "price": price} | more


DAY_AND_NIGHT = [{"band": "valley", "from": "22:00", "to": "06:00"}, {"band": "peak"}]
BY_BAND = {"peak": "0.6", "valley": "0.3"}
MAY = utc("2026-05-01T12:00+08:00")


def test_a_version_holds_from_its_first_instant_and_the_first_one_before_it_too():
    two = tariff(version([priced("1")]), version([priced("2")], since="2026-07-01T09:30:00+08:00"))
    step = timedelta(microseconds=1)
    change = utc("2026-07-01T09:30+08:00")
    assert two.terms(utc("2020-01-01T00:00+08:00")).version == 0
    assert two.terms(change - step).version == 0
    assert two.terms(change).version == 1


def test_a_band_and_a_tier_period_hold_until_the_instant_before_the_next():
    monthly = tariff(
        version(
            [priced([BY_BAND, BY_BAND], tiers={"period": "month", "bounds": ["100"]})],
            DAY_AND_NIGHT,
        )
    )
    midnight = utc("2026-06-01T00:00+08:00")
    before, after = monthly.terms(midnight - timedelta(microseconds=1)), monthly.terms(midnight)
    assert (before.band, after.band) == ("valley", "valley")
    assert before.periods[0] is not None
    assert before.periods[0].until == midnight
    assert after.periods[0] is not None
    assert (after.periods[0].since, after.periods[0].month) == (midnight, 6)
    assert monthly.terms(utc("2026-06-01T06:00+08:00")).band == "peak"


@pytest.mark.parametrize(
    ("cycle", "at", "since", "until"),
    [
        # a month that has no 31st begins on its last day
        (Cycle(Every.MONTH, day=31), "2026-03-15", "2026-02-28", "2026-03-31"),
        (Cycle(Every.MONTH, day=31), "2024-03-15", "2024-02-29", "2024-03-31"),
        (Cycle(Every.MONTH, day=31), "2026-04-30", "2026-04-30", "2026-05-31"),
        (Cycle(Every.MONTH, day=15), "2026-01-14", "2025-12-15", "2026-01-15"),
        # so does a year that has no 29 February
        (Cycle(Every.YEAR, day=29, month=2), "2027-01-01", "2026-02-28", "2027-02-28"),
        (Cycle(Every.YEAR, day=29, month=2), "2028-02-28", "2027-02-28", "2028-02-29"),
        (Cycle(Every.YEAR, day=1, month=7), "2026-06-30", "2025-07-01", "2026-07-01"),
        (Cycle(Every.YEAR), "2024-12-31", "2024-01-01", "2025-01-01"),
        (Cycle(Every.DAY), "2026-05-01", "2026-05-01", "2026-05-02"),
    ],
)
def test_a_period_begins_on_a_day_that_its_month_has(cycle: Cycle, at: str, since: str, until: str):
    _, begins, ends = cycle.around("Asia/Shanghai", _us(f"{at}T12:00+08:00"))
    assert begins == _us(f"{since}T00:00+08:00")
    assert ends == _us(f"{until}T00:00+08:00")


def _us(text: str) -> int:
    return (utc(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_a_day_of_daylight_saving_goes_by_in_23_or_25_hours():
    day = Cycle(Every.DAY)
    # Berlin, 2026-03-29 has 23 hours: 11.5 of them are half a day
    assert day.gone("Europe/Berlin", _us("2026-03-29T12:30+02:00")) % 1_000_000 == 500_000
    # 2026-10-25 has 25: 1 of them is 0.04
    assert day.gone("Europe/Berlin", _us("2026-10-25T01:00+02:00")) % 1_000_000 == 40_000


def test_the_part_of_a_month_gone_by_is_rounded_half_up_to_a_millionth():
    month = Cycle(Every.MONTH)
    # 1 of 2 419 200 seconds of a February is 0.000000413, rounded 0; 2 are 0.000000827, rounded 0.000001
    assert month.gone("UTC", _us("2026-02-01T00:00:01+00:00")) % 1_000_000 == 0
    assert month.gone("UTC", _us("2026-02-01T00:00:02+00:00")) % 1_000_000 == 1
    # the second before March rounds up to a whole month, and March adds nothing to it
    whole = month.gone("UTC", _us("2026-03-01T00:00:00+00:00"))
    assert month.gone("UTC", _us("2026-02-28T23:59:59+00:00")) == whole


def test_bounds_widen_with_persons_and_households():
    tiers = Tiers(
        Cycle(Every.YEAR),
        (Decimal(180), Decimal(260)),
        base_persons=4,
        per_extra_person=(Decimal(30), Decimal(30)),
        per_household=True,
    )
    bounds = [
        tiers.bounds_for(month=1, persons=persons, households=households)
        for persons, households in [(None, 1), (4, 1), (3, 1), (6, 1), (6, 2)]
    ]
    assert bounds == [(180, 260), (180, 260), (180, 260), (240, 320), (480, 640)]


def test_persons_can_empty_a_tier_but_never_turn_bounds_round():
    tiers = Tiers(
        Cycle(Every.YEAR),
        (Decimal(180), Decimal(260)),
        base_persons=4,
        per_extra_person=(Decimal(60), Decimal(0)),
    )
    # 180 + 2 × 60 = 300, above 260
    assert tiers.bounds_for(month=1, persons=6, households=1) == (300, 300)


def test_the_highest_price_is_that_of_all_components_together():
    # 2.07 + 1.36
    assert parse(WATER).highest_price(MAY, MAY) == Decimal("3.43")


def test_the_highest_price_counts_shares_and_the_dearest_tier():
    mixed = tariff(
        version(
            [
                priced(["0.5", "0.9", "0.8"], tiers={"period": "year", "bounds": ["1", "2"]}),
                priced("1.5", share="0.3"),
                {"item": "service", "kind": "fixed", "amount": "99", "per": "day"},
            ]
        )
    )
    # 0.9 + 0.3 × 1.5
    assert mixed.highest_price(MAY, MAY) == Decimal("1.35")


def test_the_highest_price_is_of_the_bands_and_versions_that_come_in_the_time():
    two = tariff(
        version([priced(BY_BAND)], DAY_AND_NIGHT),
        version([priced("0.9")], since="2026-07-01T09:30:00+08:00"),
    )
    hour = timedelta(hours=1)
    night = utc("2026-05-01T22:00+08:00")
    assert two.highest_price(night, night + hour) == Decimal("0.3")
    assert two.highest_price(night, night + 8 * hour) == Decimal("0.3")
    assert two.highest_price(night, night + 8 * hour + timedelta(seconds=1)) == Decimal("0.6")
    change = utc("2026-07-01T09:30+08:00")
    assert two.highest_price(change - hour, change) == Decimal("0.6")
    assert two.highest_price(change - hour, change + hour) == Decimal("0.9")
    assert two.highest_price(change, change + hour) == Decimal("0.9")
    assert two.highest_price(night, night + timedelta(days=365)) == Decimal("0.9")


def test_the_highest_price_looks_ahead_only():
    # a clock that was put back asks about a time that ends before it begins
    night = utc("2026-05-01T23:00+08:00")
    one = tariff(version([priced(BY_BAND)], DAY_AND_NIGHT))
    assert one.highest_price(night, night - timedelta(hours=3)) == Decimal("0.3")


def test_fixed_fees_can_take_a_purse_too():
    fees = tariff(
        version(
            [
                priced("0.5"),
                {"item": "service", "kind": "fixed", "amount": "2.7", "per": "month"},
                {"item": "rent", "kind": "fixed", "amount": "0.23", "per": "day"},
            ]
        )
    )
    # 2.7 / 27 + 0.23 × 24 / 23 = 0.1 + 0.24
    assert fees.highest_fees_per_day(MAY, MAY) == Decimal("0.34")
    assert parse(WATER).highest_fees_per_day(MAY, MAY) == 0


def test_days_are_forgotten_when_there_are_many():
    banded = tariff(version([priced(BY_BAND)], DAY_AND_NIGHT))
    for day in range(3000):
        assert banded.terms(MAY + timedelta(days=day)).band == "peak"
    assert len(banded._days) <= 1024


def test_a_tariff_equals_another_of_the_same_document():
    used, fresh = parse(WATER), parse(deepcopy(WATER))
    used.terms(MAY)
    assert used == fresh
