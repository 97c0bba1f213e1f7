"""The rating is the same as the oracle's, which was written from the description of the document alone.

More examples than in the daily run: WATTWELL_EXAMPLES=5000 pytest tests/prepaid/test_against_the_oracle.py
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from prepaid import bill, rating
from prepaid.reading import Reading
from prepaid.tariff import Tariff
from prepaid.tariff_document import parse
from simulators import oracle
from tests.prepaid.documents import Case, cases
from tests.prepaid.values import METER, POINT

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "tariffs").glob("*.json"))

EXAMPLES = int(os.environ.get("WATTWELL_EXAMPLES", "40"))
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)
fewer = settings(many, max_examples=EXAMPLES // 2)


def readings(case: Case) -> list[Reading]:
    return [
        Reading("1", datetime.fromisoformat(at).astimezone(UTC), Decimal(register), None)
        for at, register in case.usage
    ]


def charges(case: Case, tariff: Tariff) -> tuple[list[dict[str, int]], rating.Position]:
    """By reading, as the gateway would charge them one after the other."""
    point = replace(
        POINT,
        meter=replace(METER, multiplier=Decimal(case.multiplier)),
        persons=case.persons,
        households=case.households,
    )
    first, *later = readings(case)
    position, charged = rating.open_position(point, tariff, first), []
    for reading in later:
        moved = reading.total - position.reading.total
        position, found = rating.rate(point, tariff, position, reading, moved=moved)
        charged.append({charge.item: charge.amount.fen for charge in found})
    return charged, position


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_oracle_answers_every_collected_case(path: Path):
    case = json.loads(path.read_text())

    answer, charged = oracle.rate(
        case["tariff"],
        case["usage"],
        persons=case.get("persons"),
        households=case.get("households", 1),
    )

    assert answer == case["expect"]
    assert len(charged) == len(case["usage"]) - 1


@many
@given(cases())
def test_the_bill_and_each_charge_and_each_exact_total_is_what_the_oracle_says(case: Case):
    tariff = parse(case.tariff)
    account = oracle.open_account(
        case.tariff,
        case.usage[0],
        persons=case.persons,
        households=case.households,
        multiplier=case.multiplier,
    )
    expected = [account.read(reading) for reading in case.usage[1:]]
    expected_bill, _ = oracle.rate(
        case.tariff, case.usage, persons=case.persons, households=case.households
    )

    charged, position = charges(case, tariff)
    billed = bill.bill(tariff, readings(case), persons=case.persons, households=case.households)

    assert charged == expected
    assert {total.item: Fraction(total.cost) for total in position.running} == account.items()
    assert {
        place: Fraction(count.used)
        for place, count in enumerate(position.counted)
        if count.since is not None
    } == {place: used for place, (_, used) in account.counted.items()}
    assert bill.document(billed) == expected_bill


@fewer
@given(cases(longest=9), st.data())
def test_charges_add_up_to_the_bill_of_the_same_readings_wherever_they_are_split(
    case: Case, data: st.DataObject
):
    """Rated in two runs, the second from the position of the first, it is as in one; and as much as billed."""
    split = data.draw(st.integers(1, len(case.usage) - 1))
    tariff, alone = parse(case.tariff), replace(case, multiplier="1")
    point = replace(POINT, persons=case.persons, households=case.households)

    whole, _ = charges(alone, tariff)
    before, position = charges(replace(alone, usage=case.usage[: split + 1]), tariff)
    after = []
    for reading in readings(case)[split + 1 :]:
        moved = reading.total - position.reading.total
        position, found = rating.rate(point, tariff, position, reading, moved=moved)
        after.append({charge.item: charge.amount.fen for charge in found})

    assert before + after == whole
    sums: Counter[str] = Counter()
    for charged in whole:
        sums.update(charged)
    billed, _ = oracle.rate(
        case.tariff, case.usage, persons=case.persons, households=case.households
    )
    places = oracle.PLACES[case.tariff["currency"]]
    exact = {item: Fraction(total) for item, total in billed["items"].items()}
    for item, total in exact.items():
        # items of the bill are rounded to six places, which may lift an amount to the half fen
        assert abs(sums[item] - total * 10**places) <= Fraction(1, 2) + Fraction(1, 10**4)


@fewer
@given(cases(longest=5), st.data())
def test_charges_by_the_meters_own_bands_are_what_the_oracle_says(case: Case, data: st.DataObject):
    named = [{rule["band"] for rule in one.get("bands", [])} for one in case.tariff["versions"]]
    bands = sorted(set.intersection(*named))
    assume(bands)
    tariff = parse(case.tariff)
    point = replace(
        POINT, persons=case.persons, households=case.households, trusts_meter_bands=True
    )
    account = oracle.open_account(
        case.tariff,
        case.usage[0],
        persons=case.persons,
        households=case.households,
        multiplier="1",
    )
    shown = {band: Decimal(data.draw(st.integers(0, 10**6))).scaleb(-2) for band in bands}
    first, *later = readings(case)
    first = replace(first, total=sum(shown.values(), Decimal(0)), bands=shown)
    position = rating.open_position(point, tariff, first)

    for reading in later:
        moves = {band: Decimal(data.draw(st.integers(0, 30000))).scaleb(-2) for band in bands}
        after = {band: shown[band] + moves[band] for band in bands}
        moved = sum(moves.values(), Decimal(0))
        read = replace(reading, total=position.reading.total + moved, bands=after)
        position, found = rating.rate(point, tariff, position, read, moved=moved)
        expected = account.settle_by_bands(reading.at, _fractions(shown), _fractions(after))

        assert {charge.item: charge.amount.fen for charge in found} == expected
        assert {one.item: Fraction(one.cost) for one in position.running} == account.items()
        shown = after


def _fractions(registers: Mapping[str, Decimal]) -> dict[str, Fraction]:
    return {band: Fraction(register) for band, register in registers.items()}
