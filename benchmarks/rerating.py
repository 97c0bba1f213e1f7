"""The night's re-rating: a day's readings with their charges, rated again from what is stored and compared.

POINTS points are read every quarter of an hour and charged by the rules that gateways use, and told to the cloud as
gateways tell it. Each round rates all of it again, in one process. From the time of a reading follows how long the
day of an estate of ROOMS rooms with two meters each takes; it must be over before the day begins.

    python -m benchmarks --only rerating
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from benchmarks.cloud import GATEWAY_NO, TARIFF, Cloud, opened
from benchmarks.figure import Figure
from cloud.services import downlog, uplog
from cloud.services.readings import rerating
from prepaid import rating, wire
from prepaid.point import ServicePoint
from prepaid.reading import Reading, Supply
from prepaid.tariff_document import parse
from prepaid.wire import Charged, PointSet, Read, Up

POINTS = 40
DAY = 96  # readings of a point
ROOMS, METERS = 10_000, 2  # of the estate, and of a room
NIGHT_MIN = 180  # from ten past three on


def _points(cloud: Cloud) -> tuple[dict[UUID, ServicePoint], int]:
    """As the gateway was told of them, and up to which entry."""
    with cloud.database.system() as session:
        gateway = uplog.gateway_of(session, GATEWAY_NO)
        assert gateway is not None
        entries = downlog.after(session, gateway, 0)
    told = [wire.read_down(entry.body) for entry in entries]
    return {m.point.id: m.point for m in told if isinstance(m, PointSet)}, entries[-1].seq


def _said(point: ServicePoint, began: datetime, known: int) -> Iterator[list[Up]]:
    """What is told of a point at each of its readings: 0.12 kWh a quarter, and what it is charged."""
    tariff, position = parse(TARIFF), None
    for number in range(DAY):
        at = began + number * timedelta(minutes=15)
        reading = Reading(point.meter.meter_no, at, Decimal(12 * number).scaleb(-2), Supply.ON)
        read = Read(point.id, reading, known=known)
        if position is None:
            position = rating.open_position(point, tariff, reading)
            yield [read, Charged(point.id, position, (), is_start=True, known=known)]
            continue
        moved = reading.total - position.reading.total
        position, charges = rating.rate(point, tariff, position, reading, moved=moved)
        transfers = rating.transfers(point, position, charges)
        yield [read, Charged(point.id, position, transfers, known=known)]


def _fill(cloud: Cloud) -> None:
    """Tells the cloud a day of all points, one message a quarter of an hour."""
    points, known = _points(cloud)
    now = datetime.now(UTC)
    began = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
    log, seq, before = uuid4(), 0, wire.NO_ENTRY
    for quarter in zip(*(_said(point, began, known) for point in points.values()), strict=True):
        entries = []
        for message in (message for told in quarter for message in told):
            seq += 1
            entries.append(wire.Entry(log, seq, wire.write_up(message), previous=before))
            before = entries[-1].hash()
        with cloud.database.system() as session:
            gateway = uplog.gateway_of(session, GATEWAY_NO)
            assert gateway is not None
            assert uplog.receive(session, gateway, wire.Envelope(tuple(entries)), now=now) is None
            assert gateway.up_seq == seq


def figures(rounds: int) -> list[Figure]:
    each, day = [], []
    with opened(POINTS) as cloud:
        _fill(cloud)
        for _ in range(rounds):
            began = time.perf_counter()
            found = rerating.rerate(
                cloud.database,
                cloud.organization_id,
                now=datetime.now(UTC),
                is_stopping=lambda: False,
                from_the_first=True,
            )
            took = time.perf_counter() - began
            assert found.readings == POINTS * (DAY - 1)  # the newest of each waits
            assert found.differences == 0
            assert found.charges > 0
            each.append(took / found.readings * 1e6)
            day.append(took / found.readings * ROOMS * METERS * DAY / 60)
    name = f"re-rating a day of {ROOMS:,} rooms"
    return [
        Figure("cloud", name, tuple(day), "the night", NIGHT_MIN, is_most=True, unit=" min"),
        Figure("cloud", "re-rating, a reading", tuple(each), "", unit=" µs"),
    ]
