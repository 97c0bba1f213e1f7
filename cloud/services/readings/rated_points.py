"""The points that are rated again, each where it goes on: after the night before, or from a start before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import select, text
from sqlmodel import Session, col

from cloud import tables
from prepaid.rating import Position
from prepaid.rerating import Start

CLOCKS_APART = timedelta(days=62)  # a clock that was put back further is told of as differences

POSITION = TypeAdapter(Position)

Spans = list[tuple[datetime, datetime | None]]
"""From when to when something was so; None: it still is."""


@dataclass(slots=True)
class RatedPoint:
    """A point on its way through its readings."""

    id: UUID
    gateway_id: UUID
    purses: set[UUID]
    starts: dict[datetime, Start]
    wrong_hours: Spans
    without_tariff: Spans
    position: Position | None = None
    at: datetime | None = None  # of the reading rated last
    number: int = 0  # and its number
    since: datetime | None = None  # from when on there may be readings that are not rated
    waits_at: datetime | None = None  # of the newest reading, which is rated the next time

    def has_wrong_hours(self, at: datetime) -> bool:
        return _is_within(self.wrong_hours, at)

    def has_tariff(self, at: datetime) -> bool:
        return not _is_within(self.without_tariff, at)


def _is_within(spans: Spans, at: datetime) -> bool:
    return any(since <= at and (until is None or at < until) for since, until in spans)


def of(session: Session, ids: Sequence[UUID]) -> dict[UUID, RatedPoint]:
    """The points with these ids; back at a start where readings came late or were given up."""
    row, rated, start = tables.ServicePoint, tables.Rated, tables.RatingStart
    rows = session.execute(select(row).where(col(row.id).in_(ids))).scalars().all()
    alarms = _alarms(session, ids)
    points = {
        each.id: RatedPoint(
            each.id,
            each.gateway_id,
            {purse for purse in (each.purse_id,) if purse is not None},
            {},
            alarms[each.id, "clock-wrong"],
            alarms[each.id, "no-tariff"],
        )
        for each in rows
    }
    for each in session.execute(select(start).where(col(start.point_id).in_(ids))).scalars():
        position = POSITION.validate_python(each.position)
        points[each.point_id].starts[each.at] = Start(position, each.until)
    for each in session.execute(select(rated).where(col(rated.point_id).in_(ids))).scalars():
        point = points[each.point_id]
        point.position = POSITION.validate_python(each.position)
        point.at, point.number, point.since = each.at, each.number or 0, each.at
    _go_back(session, points)
    return points


def _alarms(session: Session, ids: Sequence[UUID]) -> defaultdict[tuple[UUID, str], Spans]:
    """By point and kind, from when to when an alarm was on that says by what a point was rated."""
    row = tables.Alarm
    rows = session.execute(
        select(col(row.point_id), col(row.kind), col(row.at), col(row.is_over))
        .where(col(row.point_id).in_(ids), col(row.kind).in_(["clock-wrong", "no-tariff"]))
        .order_by(col(row.at), col(row.is_over))
    )
    found: defaultdict[tuple[UUID, str], Spans] = defaultdict(list)
    for point, kind, at, is_over in rows:
        spans = found[point, kind]
        if not is_over:
            spans.append((at, None))
        elif spans and spans[-1][1] is None:
            spans[-1] = (spans[-1][0], at)
    return found


_LATE = text("""
    SELECT d.point_id, min(r.at) AS at FROM rated d JOIN readings r ON r.point_id = d.point_id
    WHERE d.point_id = ANY(:points) AND r.number > d.number
      AND r.at <= d.at AND r.at > d.at - CAST(:apart AS interval)
    GROUP BY d.point_id
""")
_NUMBERS = text("""
    SELECT s.point_id, s.at, r.number FROM rating_starts s
    JOIN readings r ON r.point_id = s.point_id AND r.at = s.at
    WHERE s.point_id = ANY(:points)
""")


def _go_back(session: Session, points: dict[UUID, RatedPoint]) -> None:
    """Of points for which a reading came late, or a store gave up what it had read, back to the last start before."""
    if all(point.at is None for point in points.values()):
        return
    rows = session.execute(_LATE, {"points": list(points), "apart": CLOCKS_APART})
    late = {row.point_id: row.at for row in rows}
    numbers: defaultdict[UUID, dict[datetime, int]] = defaultdict(dict)
    for point_id, at, number in session.execute(_NUMBERS, {"points": list(points)}):
        numbers[point_id][at] = number or 0
    for point in points.values():
        if point.at is None:
            continue
        given_up = [
            at
            for at, start in point.starts.items()
            if start.until is not None and start.until >= point.number and at < point.at
        ]
        if point.id not in late and not given_up:
            continue
        known = numbers[point.id]
        before = [at for at in known if known[at] < point.number and at not in given_up]
        if given_up:
            before = [at for at in before if known[at] < min(known.get(at, 0) for at in given_up)]
        if before:
            at = max(before, key=lambda at: known[at])
            point.position, point.at, point.number = point.starts[at].position, at, known[at]
            point.since = min(at, late.get(point.id, at))
        else:
            point.position, point.at, point.number, point.since = None, None, 0, None


def last(session: Session, ids: Sequence[UUID]) -> datetime | None:
    row = tables.Reading
    return session.execute(
        select(col(row.at)).where(col(row.point_id).in_(ids)).order_by(col(row.at).desc()).limit(1)
    ).scalar_one_or_none()


def first(session: Session, points: dict[UUID, RatedPoint]) -> datetime | None:
    """From when on there is something to be rated."""
    times = [point.since for point in points.values() if point.since is not None]
    new = [point.id for point in points.values() if point.since is None]
    row = tables.Reading
    first = session.execute(
        select(col(row.at)).where(col(row.point_id).in_(new)).order_by(col(row.at)).limit(1)
    ).scalar_one_or_none()
    return min([*times, *([first] if first is not None else [])], default=None)
