"""Values that the tests of the rules share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from prepaid import rating
from prepaid.point import Meter, Policy, ServicePoint
from prepaid.rating import Charge, Position
from prepaid.reading import Reading, Supply
from prepaid.tariff import Tariff
from prepaid.tariff_document import parse

EVENING = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
PURSE = UUID("00000000-0000-0000-0000-00000000000a")

METER = Meter(
    meter_no="201709320072",
    protocol="dlt645-2007",
    line="L1",
    address="201709320072",
    digits=6,
    step=Decimal("0.01"),
    max_per_hour=Decimal("13.2"),
)
POINT = ServicePoint(
    id=UUID("00000000-0000-0000-0000-000000000001"),
    name="0301 电",
    meter=METER,
    tariff="flat",
    purse=PURSE,
    policy=Policy(),
)


WATER: dict[str, Any] = {
    "code": "water-2026",
    "commodity": "cold_water",
    "unit": "m3",
    "currency": "CNY",
    "timezone": "Asia/Shanghai",
    "versions": [
        {
            "effective_from": "2026-01-01T00:00:00+08:00",
            "components": [
                {"item": "water", "kind": "rate", "price": "2.07"},
                {"item": "sewage", "kind": "rate", "price": "1.36"},
            ],
        }
    ],
}


def flat(price: str) -> Tariff:
    return parse(
        {
            "code": "flat",
            "commodity": "electricity",
            "unit": "kWh",
            "currency": "CNY",
            "timezone": "Asia/Shanghai",
            "versions": [
                {
                    "effective_from": "2026-01-01T00:00:00+08:00",
                    "components": [{"item": "energy", "kind": "rate", "price": price}],
                }
            ],
        }
    )


def read(total: str, *, after_s: float = 0, supply: Supply = Supply.ON) -> Reading:
    return Reading(METER.meter_no, EVENING + timedelta(seconds=after_s), Decimal(total), supply)


def rate(
    tariff: Tariff, position: Position, reading: Reading, *, point: ServicePoint = POINT
) -> tuple[Position, tuple[Charge, ...]]:
    """The reading rated for a point whose register did not roll over."""
    moved = reading.total - position.reading.total
    return rating.rate(point, tariff, position, reading, moved=moved)


def open_position(tariff: Tariff, reading: Reading) -> Position:
    return rating.open_position(POINT, tariff, reading)
