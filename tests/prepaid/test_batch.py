"""Rated together, meters come to the same fen and the same position as one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prepaid import rating
from prepaid.batch import NotInBatch, Rated, rate_many
from prepaid.point import ServicePoint
from prepaid.rating import Position
from prepaid.reading import Reading
from prepaid.tariff import Tariff
from prepaid.tariff_document import parse
from tests.prepaid.documents import Case, cases
from tests.prepaid.values import METER, POINT, flat

MIDNIGHT = datetime(2026, 4, 30, 16, tzinfo=UTC)  # 00:00 on 1 May in Shanghai
QUARTER = timedelta(minutes=15)

SHANGHAI = parse(
    {
        "code": "SH",
        "commodity": "electricity",
        "unit": "kWh",
        "currency": "CNY",
        "timezone": "Asia/Shanghai",
        "versions": [
            {
                "effective_from": "2020-01-01T00:00:00+08:00",
                "bands": [{"band": "valley", "from": "22:00", "to": "06:00"}, {"band": "peak"}],
                "components": [
                    {
                        "item": "energy",
                        "kind": "rate",
                        "price": [
                            {"peak": "0.617", "valley": "0.307"},
                            {"peak": "0.677", "valley": "0.337"},
                        ],
                        "tiers": {"period": "year", "bounds": ["40"]},
                    },
                    {"item": "service", "kind": "fixed", "amount": "5", "per": "month"},
                ],
            }
        ],
    }
)


def one_by_one(
    points: Sequence[ServicePoint],
    tariff: Tariff,
    positions: Sequence[Position],
    at: Sequence[datetime],
    registers: Sequence[Sequence[int]],
    *,
    places: int,
) -> tuple[list[list[dict[str, int]]], list[Position]]:
    """What rate gives: charges by meter and reading, and the last positions."""
    charged, after = [], []
    for point, position, row in zip(points, positions, registers, strict=True):
        charged.append([])
        for when, register in zip(at, row, strict=True):
            total = Decimal(int(register)).scaleb(-places)
            reading = Reading(position.reading.meter_no, when, total, None)
            moved = total - position.reading.total
            position, charges = rating.rate(point, tariff, position, reading, moved=moved)
            charged[-1].append({charge.item: charge.amount.fen for charge in charges})
        after.append(position)
    return charged, after


def told(rated: Rated) -> list[list[dict[str, int]]]:
    """As one_by_one tells it."""
    meters, readings = next(iter(rated.charges.values())).shape
    return [
        [
            {item: int(fen[row, at]) for item, fen in rated.charges.items() if fen[row, at]}
            for at in range(readings)
        ]
        for row in range(meters)
    ]


def opened(tariff: Tariff, totals: Sequence[str], *, at: datetime = MIDNIGHT) -> list[Position]:
    return [
        rating.open_position(POINT, tariff, Reading(str(row), at, Decimal(total), None))
        for row, total in enumerate(totals)
    ]


def test_two_days_in_quarters_of_an_hour_come_to_the_fen_and_position_of_single_ratings():
    # 0.25 kWh each quarter and 0.40: 48 and 76.8 kWh in two days, so both pass 40 kWh, at other times
    at = [MIDNIGHT + QUARTER * n for n in range(1, 193)]
    registers = np.array(
        [[100_00 + 25 * n for n in range(1, 193)], [40 * n for n in range(1, 193)]]
    )
    positions, points = opened(SHANGHAI, ["100.00", "0"]), [POINT, POINT]

    rated = rate_many(points, SHANGHAI, positions, at, registers, places=2)

    charged, after = one_by_one(points, SHANGHAI, positions, at, registers.tolist(), places=2)
    assert told(rated) == charged
    assert list(rated.positions) == after
    assert rated.slow == ()
    # The first, by hand: 1 kWh an hour; 8 h of valley each day, 22:00-06:00. Day 1: 8 × 0.307 + 16 × 0.617
    # = 2.456 + 9.872 = 12.328 for 24 kWh. Day 2: 6 kWh valley, then 10 of 16 peak to 40 kWh: 1.842 + 6.17
    # = 8.012; 6 peak × 0.677 = 4.062 and 2 valley × 0.337 = 0.674. Together 25.076
    assert rated.charges["energy"][0].sum() == 2508
    assert after[0].running[0].cost == Decimal("25.076")
    # Two of 31 days: 0.064516 × 5 = 0.32258
    assert rated.charges["service"].sum(axis=1).tolist() == [32, 32]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(longest=8), st.data())
def test_any_tariff_and_readings_come_to_the_fen_and_position_of_single_ratings(
    case: Case, data: st.DataObject
):
    tariff = parse(case.tariff)
    times = [datetime.fromisoformat(at).astimezone(UTC) for at, _ in case.usage]
    first = [Decimal(register).scaleb(6) for _, register in case.usage]
    rows = [[int(register) for register in first]]
    points = []
    for row in range(3):
        multiplier = data.draw(st.sampled_from(["1", "40", "0.1"]))
        persons, households = data.draw(st.none() | st.integers(1, 9)), data.draw(st.integers(1, 3))
        meter = replace(METER, multiplier=Decimal(multiplier))
        points.append(replace(POINT, meter=meter, persons=persons, households=households))
        if row:
            steps = st.integers(0, 400_000_000) | st.integers(0, 3)
            moves = [data.draw(steps) for _ in times]
            rows.append([sum(moves[: n + 1]) for n in range(len(times))])
    positions = [
        rating.open_position(point, tariff, Reading(str(n), times[0], _kwh(row[0]), None))
        for n, (point, row) in enumerate(zip(points, rows, strict=True))
    ]
    split = data.draw(st.integers(1, len(times) - 1))
    _, halfway = one_by_one(
        points, tariff, positions, times[1:split], [row[1:split] for row in rows], places=6
    )
    later = [row[split:] for row in rows]

    rated = rate_many(points, tariff, halfway, times[split:], np.array(later), places=6)

    charged, after = one_by_one(points, tariff, halfway, times[split:], later, places=6)
    assert told(rated) == charged
    assert list(rated.positions) == after


def _kwh(millionths: int) -> Decimal:
    return Decimal(millionths).scaleb(-6)


def test_numbers_beyond_64_bits_are_rated_as_exactly_and_said_to_be_slow():
    # 10^12 units at 18 decimals of price: 10^12 × 10^2 steps × 10^18 is far beyond 2^63 (about 10^19)
    tariff = flat("0.000000123456789012")
    at = [MIDNIGHT + QUARTER, MIDNIGHT + 2 * QUARTER]
    registers = np.array([[10**14, 10**14 + 1]])
    positions = opened(tariff, ["0"])

    rated = rate_many([POINT], tariff, positions, at, registers, places=2)

    # 10^12 × 0.000000123456789012 = 123456.789012
    assert rated.charges["energy"].tolist() == [[12345679, 0]]
    charged, after = one_by_one([POINT], tariff, positions, at, registers.tolist(), places=2)
    assert (told(rated), list(rated.positions)) == (charged, after)
    assert rated.slow == ("energy: its cost, exact to 20 decimals, does not fit 64 bits",)


def test_registers_that_cannot_be_cut_within_64_bits_are_cut_exactly():
    # 10^13 units in steps of a millionth, over a month cut to the microsecond
    at = [MIDNIGHT + timedelta(days=30, microseconds=1)]
    registers = np.array([[10**15]])
    positions = opened(SHANGHAI, ["0.01"])

    rated = rate_many([POINT], SHANGHAI, positions, at, registers, places=2)

    charged, after = one_by_one([POINT], SHANGHAI, positions, at, registers.tolist(), places=2)
    assert (told(rated), list(rated.positions)) == (charged, after)
    assert "the registers between the readings do not fit 64 bits" in rated.slow


def test_many_meters_are_rated_in_portions_without_a_difference():
    # 600 meters × 600 readings is more than is held at once
    at = [MIDNIGHT + QUARTER * n for n in range(1, 601)]
    registers = np.arange(1, 601)[None, :] * np.arange(600)[:, None]
    positions, points = opened(SHANGHAI, ["0"] * 600), [POINT] * 600

    rated = rate_many(points, SHANGHAI, positions, at, registers, places=2)

    for row in (0, 1, 435, 436, 437, 599):
        alone = rate_many(
            [POINT], SHANGHAI, positions[row : row + 1], at, registers[row : row + 1], places=2
        )
        assert rated.charges["energy"][row].tolist() == alone.charges["energy"][0].tolist()
        assert rated.positions[row] == alone.positions[0]


def test_a_meter_that_is_rated_by_its_own_bands_is_refused_by_name():
    point = replace(POINT, trusts_meter_bands=True)

    with pytest.raises(NotInBatch, match="meter 201709320072: its own bands are to be used"):
        rate_many(
            [point],
            SHANGHAI,
            opened(SHANGHAI, ["0"]),
            [MIDNIGHT + QUARTER],
            np.array([[1]]),
            places=2,
        )


@pytest.mark.parametrize(
    ("at", "registers", "places", "why"),
    [
        ([QUARTER, QUARTER], [5, 6], 2, "is not after the one before it"),
        ([timedelta(0)], [5], 2, "is not after the one before it"),
        (
            [QUARTER, 2 * QUARTER],
            [5, 4],
            2,
            "the register of meter 201709320072 goes back at 2026-04-30 16:30",
        ),
        ([QUARTER], [5], 7, "registers have 7 decimals"),
    ],
)
def test_readings_that_cannot_be_rated_together_are_refused_with_the_reason(
    at: list[timedelta], registers: list[int], places: int, why: str
):
    times = [MIDNIGHT + later for later in at]

    with pytest.raises(NotInBatch, match=why):
        rate_many(
            [POINT], SHANGHAI, opened(SHANGHAI, ["0"]), times, np.array([registers]), places=places
        )


def test_positions_of_different_instants_are_refused():
    positions = [*opened(SHANGHAI, ["0"]), *opened(SHANGHAI, ["0"], at=MIDNIGHT - QUARTER)]

    with pytest.raises(NotInBatch, match="stands at 2026-04-30 15:45"):
        rate_many(
            [POINT] * 2, SHANGHAI, positions, [MIDNIGHT + QUARTER], np.array([[1], [1]]), places=2
        )


def test_a_position_whose_clock_was_put_back_is_refused():
    ahead = replace(opened(SHANGHAI, ["0"])[0], fees_until=MIDNIGHT + 9 * QUARTER)

    with pytest.raises(NotInBatch, match="its fees are charged until 2026-04-30 18:15"):
        rate_many([POINT], SHANGHAI, [ahead], [MIDNIGHT + QUARTER], np.array([[1]]), places=2)


def test_floats_and_shapes_that_do_not_fit_are_mistakes():
    positions, at = opened(SHANGHAI, ["0"]), [MIDNIGHT + QUARTER]

    with pytest.raises(ValueError, match="int64, not float64"):
        rate_many([POINT], SHANGHAI, positions, at, np.array([[1.0]]), places=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="as many of each"):
        rate_many([POINT] * 2, SHANGHAI, positions, at, np.array([[1]]), places=2)
    with pytest.raises(ValueError, match="shape"):
        rate_many([POINT], SHANGHAI, positions, at, np.array([[1, 2]]), places=2)
