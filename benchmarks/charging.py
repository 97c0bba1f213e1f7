"""What a gateway tells of points whose every reading is charged, for figures that need it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from benchmarks.cloud import GATEWAY_NO, TARIFF, Cloud
from cloud.services import downlog, uplog
from prepaid import rating
from prepaid.point import ServicePoint
from prepaid.reading import Reading, Supply
from prepaid.tariff_document import parse
from prepaid.wire.downlog import PointSet, read_down
from prepaid.wire.uplog import Charged, Read


def points_of(cloud: Cloud) -> tuple[dict[UUID, ServicePoint], int]:
    """As the gateway was told of them, and up to which entry."""
    with cloud.database.system() as session:
        gateway = uplog.gateway_of(session, GATEWAY_NO)
        assert gateway is not None
        entries = downlog.after(session, gateway, 0)
    told = [read_down(entry.body) for entry in entries]
    return {m.point.id: m.point for m in told if isinstance(m, PointSet)}, entries[-1].seq


def visits(
    point: ServicePoint, *, began: datetime, every: timedelta, known: int
) -> Iterator[tuple[Read, Charged]]:
    """What is told of a point at each of its readings, without end: 0.12 kWh more, and what it is charged."""
    tariff, position, number = parse(TARIFF), None, 0
    while True:
        at = began + number * every
        reading = Reading(point.meter.meter_no, at, Decimal(12 * number).scaleb(-2), Supply.ON)
        read = Read(point.id, reading, known=known)
        if position is None:
            position = rating.open_position(point, tariff, reading)
            yield read, Charged(point.id, position, (), is_start=True, known=known)
        else:
            moved = reading.total - position.reading.total
            position, charges = rating.rate(point, tariff, position, reading, moved=moved)
            transfers = rating.transfers(point, position, charges)
            yield read, Charged(point.id, position, transfers, known=known)
        number += 1
