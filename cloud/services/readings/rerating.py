"""The nightly re-rating 计费复核: all readings that have come are rated once more and compared with what is booked.

Each point goes on from the position that came of the night before; so a night costs what its readings cost, and
what was interrupted goes on where it was. Rating from the first reading on is asked for by from_the_first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlmodel import Session, col

from cloud import tables
from cloud.db import Database
from cloud.services.readings import rated_points
from cloud.services.readings.comparison import Taken, compare
from cloud.services.readings.rated_points import CLOCKS_APART, RatedPoint
from cloud.services.readings.settings import Told
from prepaid.point import ServicePoint
from prepaid.reading import Reading
from prepaid.register.evidence import Effect, Kind
from prepaid.rerating import Read, Step, charged, in_order, steps
from prepaid.tariff import Tariff

AT_ONCE = 50  # points
WINDOW = timedelta(days=31)  # of their readings


@dataclass(slots=True)
class Found:
    """What a re-rating comes to."""

    points: int = 0
    readings: int = 0
    charges: int = 0
    differences: int = 0


def rerate(
    database: Database,
    organization_id: UUID,
    *,
    now: datetime,
    is_stopping: Callable[[], bool],
    from_the_first: bool = False,
) -> Found:
    """Rates what has come since it was last done; with from_the_first everything. Keeps each difference it finds.

    The newest reading of each point waits for the next time, as the charge for it may not have come yet.
    """
    with database.organization(organization_id) as session:
        ids = list(
            session.execute(
                select(col(tables.ServicePoint.id)).order_by(col(tables.ServicePoint.id))
            ).scalars()
        )
        if from_the_first:
            session.execute(delete(tables.Rated))
    found = Found()
    for first in range(0, len(ids), AT_ONCE):
        if is_stopping():
            break
        _rerate_some(database, organization_id, ids[first : first + AT_ONCE], found, now)
    return found


def _rerate_some(
    database: Database, organization_id: UUID, ids: Sequence[UUID], found: Found, now: datetime
) -> None:
    with database.organization(organization_id) as session:
        points = rated_points.of(session, ids)
        told = Told(session, {point.gateway_id for point in points.values()})
        since, until = rated_points.first(session, points), rated_points.last(session, ids)
    while since is not None and until is not None and since <= until:
        with database.organization(organization_id) as session:
            _window(session, organization_id, points, told, since, since + WINDOW, found, now)
        since += WINDOW
    found.points += len(points)


_READINGS = text("""
    SELECT point_id, at, meter_no, total, bands, number, known,
           number = max(number) OVER (PARTITION BY point_id) AND NOT EXISTS (
               SELECT FROM readings later WHERE later.point_id = r.point_id AND later.number > r.number
                  AND later.at > r.at - CAST(:apart AS interval)
           ) AS is_newest
    FROM readings r WHERE point_id = ANY(:points) AND at >= :since AND at < :until
    ORDER BY point_id, at
""")
_EVIDENCE = text("""
    SELECT point_id, at, kind, effect, moved FROM evidence
    WHERE point_id = ANY(:points) AND at >= :since AND at < :until
""")


def _window(
    session: Session,
    organization_id: UUID,
    points: dict[UUID, RatedPoint],
    told: Told,
    since: datetime,
    until: datetime,
    found: Found,
    now: datetime,
) -> None:
    """Rates the readings of a time, compares and keeps what came of it, in one transaction."""
    span = {"points": list(points), "since": since, "until": until}
    evidence: defaultdict[tuple[UUID, datetime], list[Any]] = defaultdict(list)
    for row in session.execute(_EVIDENCE, span):
        evidence[row.point_id, row.at].append(row)
    reads: defaultdict[UUID, list[Read]] = defaultdict(list)
    for row in session.execute(_READINGS, {**span, "apart": CLOCKS_APART}):
        point = points[row.point_id]
        if row.is_newest:
            point.waits_at = row.at
        elif (row.number or 0) > point.number or (row.number is None and _is_after(row.at, point)):
            reads[row.point_id].append(_read(row, evidence[row.point_id, row.at]))
    rated = []
    for point in points.values():
        mine = [read for read in in_order(reads[point.id]) if point.has_tariff(read.reading.at)]
        found.readings += len(mine)
        if mine:
            rated.append(_take(point, mine, told))
    charges, differences = compare(session, organization_id, rated, now)
    found.charges += charges
    found.differences += differences


def _is_after(at: datetime, point: RatedPoint) -> bool:
    return point.at is None or at > point.at


def _read(row: Any, evidence: Iterable[Any]) -> Read:
    bands = None if row.bands is None else {band: Decimal(n) for band, n in row.bands.items()}
    told = {Kind(each.kind): Effect(each.effect) for each in evidence}
    offset = next((each.moved for each in evidence if each.kind == Kind.OFFSET), None)
    reading = Reading(row.meter_no, row.at, row.total, None, bands)
    return Read(reading, row.number or 0, row.known, told, offset or Decimal(0))


def _take(point: RatedPoint, mine: list[Read], told: Told) -> Taken:
    def settings(read: Read) -> tuple[ServicePoint, Tariff] | None:
        known = told.at(point.gateway_id, point.id, read.known)
        if known is not None and point.has_wrong_hours(read.reading.at):
            # Its bands are of wrong hours.
            return replace(known[0], trusts_meter_bands=False), known[1]
        return known

    times = [read.reading.at for read in mine]
    numbers = {}
    if point.position is not None:
        numbers[point.position.opened_at] = point.position.number
    taken: list[Step] = []
    reads = charged(mine, point.starts)
    for position, step in steps(point.position, reads, point.starts, settings):
        point.position = position
        numbers.setdefault(position.opened_at, 0)
        taken.append(step)
    last = max(mine, key=lambda read: read.number)
    point.at, point.number = last.reading.at, last.number
    return Taken(point, min(times), max(times), numbers, taken)
