import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prepaid.bill import bill, document
from prepaid.reading import Reading
from prepaid.tariff_document import parse
from tests.prepaid.values import WATER

CASES = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "tariffs").glob("*.json"))
]


def readings(usage: list[list[str]]) -> list[Reading]:
    return [
        Reading("meter", datetime.fromisoformat(at).astimezone(UTC), Decimal(total), None)
        for at, total in usage
    ]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_case_comes_to_its_answer(case: dict[str, Any]):
    answer = bill(
        parse(case["tariff"]),
        readings(case["usage"]),
        persons=case.get("persons"),
        households=case.get("households", 1),
    )
    assert document(answer) == case["expect"]


def water(*usage: list[str]) -> dict[str, Any]:
    return document(bill(parse(WATER), readings(list(usage)), persons=None, households=1))


def test_one_reading_opens_the_account_and_comes_to_nothing():
    assert water(["2026-05-01T00:00:00+08:00", "7"]) == {
        "currency": "CNY",
        "lines": [],
        "items": {"water": "0.000000", "sewage": "0.000000"},
        "total": "0.00",
    }


def test_the_total_is_the_sum_of_items_rounded_to_six_places_and_then_to_the_fen():
    # 0.0024 × 2.07 = 0.004968 and 0.0024 × 1.36 = 0.003264, together 0.008232
    answer = water(["2026-05-01T00:00:00Z", "1"], ["2026-05-01T01:00:00Z", "1.0024"])
    assert answer["items"] == {"water": "0.004968", "sewage": "0.003264"}
    assert answer["total"] == "0.01"


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (["2026-05-01T00:00:00Z", "8"], "reading 2 .* is not later"),
        (["2026-04-30T00:00:00Z", "8"], "reading 2 .* is not later"),
        (["2026-05-02T00:00:00Z", "6.99"], "reading 2: the register is 6.99, lower than 7"),
    ],
)
def test_readings_that_go_back_are_refused(second: list[str], said: str):
    with pytest.raises(ValueError, match=said):
        water(["2026-05-01T00:00:00Z", "7"], second)


def test_no_readings_are_no_bill():
    with pytest.raises(ValueError, match="no readings"):
        water()
