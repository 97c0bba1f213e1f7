"""What a charge came from, in the tenant's words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from dashboards.tariff_explained import Told, tell
from dashboards.words import CATALOGUES
from prepaid import rating
from prepaid.point import Meter, Policy, ServicePoint
from prepaid.reading import Reading
from prepaid.tariff_document import parse

DAY_AND_NIGHT: dict[str, Any] = {
    "effective_from": "2020-01-01T00:00:00+08:00",
    "bands": [{"band": "valley", "from": "22:00", "to": "06:00"}, {"band": "peak"}],
    "components": [
        {
            "item": "energy",
            "kind": "rate",
            "price": [{"peak": "0.6", "valley": "0.3"}, {"peak": "0.7", "valley": "0.4"}],
            "tiers": {"period": "year", "bounds": ["10"]},
        }
    ],
}


def told(
    version: dict[str, Any],
    usage: list[tuple[str, str]],
    *,
    language: str = "en",
    multiplier: str = "1",
    bands: tuple[dict[str, Decimal], dict[str, Decimal]] | None = None,
    currency: str = "CNY",
) -> Told:
    """The last interval in words; bands are the meter's own registers at its two ends."""
    tariff = parse(
        {
            "code": "X",
            "commodity": "electricity",
            "unit": "kWh",
            "currency": currency,
            "timezone": "Asia/Shanghai",
            "versions": [version],
        }
    )
    point = _point(multiplier, trusts_meter_bands=bands is not None)
    read = [
        Reading("1", datetime.fromisoformat(f"{at}+08:00").astimezone(UTC), Decimal(register), None)
        for at, register in usage
    ]
    if bands is not None:
        read[-2:] = [replace(one, bands=own) for one, own in zip(read[-2:], bands, strict=True)]
    position = rating.open_position(point, tariff, read[0])
    for reading in read[1:-1]:
        moved = reading.total - position.reading.total
        position, _ = rating.rate(point, tariff, position, reading, moved=moved)
    moved = read[-1].total - position.reading.total
    explained = rating.explain(point, tariff, position, read[-1], moved=moved)
    return tell(explained, tariff, CATALOGUES[language].gettext)


def _point(multiplier: str, *, trusts_meter_bands: bool) -> ServicePoint:
    meter = Meter("1", "", "", "", 6, Decimal("0.01"), Decimal(100), multiplier=Decimal(multiplier))
    return ServicePoint(
        UUID(int=1),
        "0301",
        meter,
        "X",
        UUID(int=2),
        Policy(),
        trusts_meter_bands=trusts_meter_bands,
    )


def test_each_piece_of_time_says_its_band_register_tier_and_sum():
    # 1 kWh an hour from 04:00 to 23:00; 8 used before. To 06:00 2 kWh fill tier 1 (10 kWh), the rest is tier 2
    usage = [("2026-05-01T00:00", "100"), ("2026-05-01T04:00", "108"), ("2026-05-01T23:00", "127")]

    words = told(DAY_AND_NIGHT, usage)

    assert words.used[0] == "2026-05-01 04:00 to 23:00: the register went from 108 to 127: 19 kWh."
    assert words.used[1].startswith("Nobody can see when in this time it was used")
    period = "in the year from 2026-01-01"
    assert [(step.heading, step.sums) for step in words.steps] == [
        (
            "2026-05-01 04:00 to 06:00, valley: 2 kWh, register 108 to 110",
            (f"energy, tier 1, up to 10 kWh (8 used before {period}): 2 kWh × 0.3 = 0.6",),
        ),
        (
            "2026-05-01 06:00 to 22:00, peak: 16 kWh, register 110 to 126",
            (f"energy, tier 2, the last one (10 kWh used before {period}): 16 kWh × 0.7 = 11.2",),
        ),
        (
            "2026-05-01 22:00 to 23:00, valley: 1 kWh, register 126 to 127",
            (f"energy, tier 2, the last one (26 kWh used before {period}): 1 kWh × 0.4 = 0.4",),
        ),
    ]
    # 8 × 0.3 = 2.4 before; 0.6 + 11.2 + 0.4 = 12.2 now
    assert words.charged == (
        "energy: 2.4 until then + 12.2 = 14.6, rounded 14.60; 2.40 was charged before, so now 12.20 yuan",
    )


def test_the_same_is_said_in_chinese():
    usage = [("2026-05-01T00:00", "100"), ("2026-05-02T00:00", "100.05")]

    words = told(
        {**DAY_AND_NIGHT, "bands": [{"band": "peak"}], "components": [_flat("0.7")]},
        usage,
        language="zh",
    )

    assert words.used == ("2026-05-01 00:00 至 24:00：示数由 100 到 100.05，用了 0.05 kWh。",)
    assert words.steps[0].heading == "2026-05-01 00:00 至 24:00，峰：0.05 kWh，示数 100 到 100.05"
    assert words.steps[0].sums == ("电费：0.05 kWh × 0.7 = 0.035",)
    assert words.charged == (
        "电费：此前累计 0 + 本次 0.035 = 0.035，四舍五入为 0.04；此前已扣 0.00，本次扣 0.04 元",
    )


def _flat(price: str, **more: str) -> dict[str, Any]:
    return {"item": "energy", "kind": "rate", "price": price, **more}


def test_what_was_not_used_is_said_in_one_sentence():
    usage = [("2026-05-01T00:00", "100"), ("2026-05-01T10:00", "100")]

    words = told(
        {"effective_from": "2020-01-01T00:00:00+08:00", "components": [_flat("0.5")]}, usage
    )

    assert words.used == (
        "2026-05-01 00:00 to 10:00: the register stayed at 100. Nothing was used.",
    )


def test_a_multiplier_a_share_and_a_fee_are_each_said():
    # 2 × 40 = 80 kWh, half of it 40 × 0.5 = 20; half a month × 6 = 3
    version = {
        "effective_from": "2020-01-01T00:00:00+08:00",
        "components": [
            _flat("0.5", share="0.5"),
            {"item": "service", "kind": "fixed", "amount": "6", "per": "month"},
        ],
    }
    usage = [("2026-02-01T00:00", "100"), ("2026-02-15T00:00", "102")]

    words = told(version, usage, multiplier="40")

    assert words.used == (
        "2026-02-01 00:00 to 2026-02-15 00:00: the register went from 100 to 102, by 2. Times 40, the "
        "multiplier of the meter, that is 80 kWh.",
    )
    assert words.steps[0].sums == ("energy, 0.5 of it: 40 kWh × 0.5 = 20",)
    assert words.steps[1].sums == ("service fee by the month: 0.5 × 6 = 3",)
    assert words.charged[-1] == "Charged together: 23.00 yuan"


def test_the_meters_own_bands_are_said_to_be_used_or_not_to_fit():
    usage = [("2026-05-01T00:00", "100"), ("2026-05-02T00:00", "124")]
    before = {"peak": Decimal(60), "valley": Decimal(40)}
    fitting = {"peak": Decimal(70), "valley": Decimal(54)}  # 10 + 14 = 24
    wrong = {"peak": Decimal(70), "valley": Decimal(40)}  # 10, and the total says 24

    by_meter = told(DAY_AND_NIGHT, usage, bands=(before, fitting))
    by_clock = told(DAY_AND_NIGHT, usage, bands=(before, wrong))

    assert by_meter.used[1] == "The meter counts each band by itself; its own registers are used."
    assert {step.heading for step in by_meter.steps} == {
        "2026-05-01 00:00 to 24:00, peak: 10 kWh, register 60 to 70",
        "2026-05-01 00:00 to 24:00, valley: 14 kWh, register 40 to 54",
    }
    assert by_clock.used[1].startswith(
        "The meter's own registers of the bands do not fit its total"
    )


def test_money_without_a_smaller_unit_is_said_in_whole_ones():
    usage = [("2026-05-01T00:00", "100"), ("2026-05-01T10:00", "110.5")]
    version = {"effective_from": "2020-01-01T00:00:00+08:00", "components": [_flat("1984.5")]}

    words = told(version, usage, currency="VND")

    # 10.5 × 1984.5 = 20837.25
    assert words.charged == (
        "energy: 0 until then + 20837.25 = 20837.25, rounded 20837; 0 was charged before, so now 20837 VND",
    )
