"""Values that the tests of the rules share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from prepaid import rating
from prepaid.point import Meter, Policy, ServicePoint
from prepaid.rating import Charge, Position
from prepaid.reading import Reading, Supply
from prepaid.tariff import Tariff, parse

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
    tariff: Tariff, position: Position, reading: Reading, *, elapsed: timedelta | None = None
) -> tuple[Position, tuple[Charge, ...]]:
    """The reading rated for POINT; by default the clock did not jump."""
    usual = reading.at - position.reading.at
    return rating.rate(
        POINT, tariff, position, reading, elapsed=usual if elapsed is None else elapsed
    )
