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

from pydantic import TypeAdapter
from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.db import Database
from cloud.services.readings.settings import Told
from prepaid import ledger
from prepaid.point import ServicePoint
from prepaid.rating import Position
from prepaid.reading import Reading
from prepaid.register.evidence import Effect, Kind
from prepaid.rerating import Read, Start, Step, charged, in_order, steps
from prepaid.tariff import Tariff

AT_ONCE = 50  # points
WINDOW = timedelta(days=31)  # of their readings
CLOCKS_APART = timedelta(days=62)  # a clock that was put back further is told of as differences

_POSITION = TypeAdapter(Position)


@dataclass(frozen=True, slots=True)
class Difference:
    """A charge of an item, booked otherwise than expected; None where no reading leads to it."""

    point_id: UUID
    item: str
    at: datetime
    booked_fen: int
    expected_fen: int
    step: Step | None


@dataclass(slots=True)
class Found:
    """What a re-rating comes to."""

    points: int = 0
    readings: int = 0
    charges: int = 0
    differences: int = 0


@dataclass(slots=True)
class _Point:
    """A point on its way."""

    id: UUID
    gateway_id: UUID
    purses: set[UUID]
    starts: dict[datetime, Start]
    wrong_hours: list[tuple[datetime, datetime | None]]
    without_tariff: list[tuple[datetime, datetime | None]]
    position: Position | None = None
    at: datetime | None = None  # of the reading rated last
    number: int = 0  # and its number
    since: datetime | None = None  # from when on there may be readings that are not rated
    waits_at: datetime | None = None  # of the newest reading, which is rated the next time


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
        points, told = _points(session, ids)
        _go_back(session, points)
        until = _last(session, ids)
        since = _first(session, points)
    while since is not None and until is not None and since <= until:
        with database.organization(organization_id) as session:
            _window(session, organization_id, points, told, since, since + WINDOW, found, now)
        since += WINDOW
    found.points += len(points)


def _points(session: Session, ids: Sequence[UUID]) -> tuple[dict[UUID, _Point], Told]:
    row, rated, start = tables.ServicePoint, tables.Rated, tables.RatingStart
    rows = session.execute(select(row).where(col(row.id).in_(ids))).scalars().all()
    told = Told(session, {each.gateway_id for each in rows})
    alarms = _alarms(session, ids)
    points = {
        each.id: _Point(
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
        position = _POSITION.validate_python(each.position)
        points[each.point_id].starts[each.at] = Start(position, each.until)
    for each in session.execute(select(rated).where(col(rated.point_id).in_(ids))).scalars():
        point = points[each.point_id]
        point.position = _POSITION.validate_python(each.position)
        point.at, point.number, point.since = each.at, each.number or 0, each.at
    return points, told


def _alarms(
    session: Session, ids: Sequence[UUID]
) -> defaultdict[tuple[UUID, str], list[tuple[datetime, datetime | None]]]:
    """By point and kind, from when to when an alarm was on that says by what a point was rated."""
    row = tables.Alarm
    rows = session.execute(
        select(col(row.point_id), col(row.kind), col(row.at), col(row.is_over))
        .where(col(row.point_id).in_(ids), col(row.kind).in_(["clock-wrong", "no-tariff"]))
        .order_by(col(row.at), col(row.is_over))
    )
    found: defaultdict[tuple[UUID, str], list[tuple[datetime, datetime | None]]] = defaultdict(list)
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


def _go_back(session: Session, points: dict[UUID, _Point]) -> None:
    """Of points for which a reading came late, or a store gave up what it had read, back to the last start before."""
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


def _last(session: Session, ids: Sequence[UUID]) -> datetime | None:
    row = tables.Reading
    return session.execute(
        select(col(row.at)).where(col(row.point_id).in_(ids)).order_by(col(row.at).desc()).limit(1)
    ).scalar_one_or_none()


def _first(session: Session, points: dict[UUID, _Point]) -> datetime | None:
    """From when on there is something to be rated."""
    times = [point.since for point in points.values() if point.since is not None]
    new = [point.id for point in points.values() if point.since is None]
    row = tables.Reading
    first = session.execute(
        select(col(row.at)).where(col(row.point_id).in_(new)).order_by(col(row.at)).limit(1)
    ).scalar_one_or_none()
    return min([*times, *([first] if first is not None else [])], default=None)


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
_BOOKED = text("""
    SELECT debit, credit, amount_fen, cause, at FROM transfers
    WHERE reason = 'charge' AND debit = ANY(:books) AND at >= :since AND at <= :until
""")


def _window(
    session: Session,
    organization_id: UUID,
    points: dict[UUID, _Point],
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
        mine = [read for read in in_order(reads[point.id]) if _had_tariff(point, read)]
        found.readings += len(mine)
        if mine:
            rated.append(_take(point, mine, told))
    _compare(session, organization_id, rated, found, now)


def _is_after(at: datetime, point: _Point) -> bool:
    return point.at is None or at > point.at


def _read(row: Any, evidence: Iterable[Any]) -> Read:
    bands = None if row.bands is None else {band: Decimal(n) for band, n in row.bands.items()}
    told = {Kind(each.kind): Effect(each.effect) for each in evidence}
    offset = next((each.moved for each in evidence if each.kind == Kind.OFFSET), None)
    reading = Reading(row.meter_no, row.at, row.total, None, bands)
    return Read(reading, row.number or 0, row.known, told, offset or Decimal(0))


def _had_tariff(point: _Point, read: Read) -> bool:
    return not _is_within(point.without_tariff, read.reading.at)


def _is_within(spans: list[tuple[datetime, datetime | None]], at: datetime) -> bool:
    return any(since <= at and (until is None or at < until) for since, until in spans)


@dataclass(slots=True)
class _Taken:
    """What rating the readings of a point in a window has come to.

    since and until are the times of the first and last reading; numbers says of each opening of the point's account
    up to which charge it had been rated before.
    """

    point: _Point
    since: datetime
    until: datetime
    numbers: dict[datetime, int]
    steps: list[Step]


def _take(point: _Point, mine: list[Read], told: Told) -> _Taken:
    def settings(read: Read) -> tuple[ServicePoint, Tariff] | None:
        known = told.at(point.gateway_id, point.id, read.known)
        if known is not None and _is_within(point.wrong_hours, read.reading.at):
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
    return _Taken(point, min(times), max(times), numbers, taken)


def _compare(
    session: Session,
    organization_id: UUID,
    rated: list[_Taken],
    found: Found,
    now: datetime,
) -> None:
    """Keeps the differences of the points in their times, in the place of those found there before."""
    booked = _booked(session, rated)
    for taken in rated:
        expected: defaultdict[_Key, int] = defaultdict(int)
        by_time = {step.after.at: step for step in taken.steps}
        for step in taken.steps:
            for transfer in step.transfers:
                expected[transfer.debit, transfer.credit, transfer.at] += transfer.amount.fen
        there = booked[taken.point.id]
        found.charges += len(expected)
        differences = {
            (credit.partition(":")[2], at): Difference(
                taken.point.id,
                credit.partition(":")[2],
                at,
                there.get((debit, credit, at), 0),
                expected.get((debit, credit, at), 0),
                by_time.get(at),
            )
            for debit, credit, at in sorted({*there, *expected}, key=lambda key: key[2])
            if there.get((debit, credit, at), 0) != expected.get((debit, credit, at), 0)
        }
        found.differences += len(differences)
        _keep(session, organization_id, taken, list(differences.values()), now)


_Key = tuple[str, str, datetime]  # debit, credit, at


def _booked(session: Session, rated: list[_Taken]) -> defaultdict[UUID, dict[_Key, int]]:
    """By point the charges booked in its time that have not been compared before.

    A charge that names no point of ours is put to the first one that its purse pays for.
    """
    found: defaultdict[UUID, dict[_Key, int]] = defaultdict(dict)
    if not rated:
        return found
    by_point = {str(taken.point.id): taken for taken in rated}
    whose: dict[str, _Taken] = {}
    for taken in rated:
        for purse in taken.point.purses | _payers(taken):
            whose.setdefault(ledger.prepaid(purse), taken)
    known = {str(id) for id in session.execute(select(col(tables.ServicePoint.id))).scalars()}
    rows = session.execute(
        _BOOKED,
        {
            "books": list(whose),
            "since": min(taken.since for taken in rated),
            "until": max(taken.until for taken in rated),
        },
    )
    for row in rows:
        point, _, rest = row.cause.partition(":")
        whole = by_point if point in known else {point: whose[row.debit]}
        if point not in whole or not whole[point].since <= row.at <= whole[point].until:
            continue
        taken = whole[point]
        if row.at == taken.point.waits_at:
            continue  # a clock that was ahead had dated others later
        opened, number = _named(rest)
        if opened is not None and point in by_point:
            before = taken.numbers.get(opened)
            if number <= (before or 0) or (before is None and opened < min(taken.numbers)):
                continue
        there = found[taken.point.id]
        key = (row.debit, row.credit, row.at)
        there[key] = there.get(key, 0) + row.amount_fen
    return found


def _payers(taken: _Taken) -> set[UUID]:
    debits = {transfer.debit for step in taken.steps for transfer in step.transfers}
    purses = {ledger.purse_of(debit) for debit in debits}
    started = {start.position.payer for start in taken.point.starts.values()}
    return {purse for purse in purses | started if isinstance(purse, UUID)}


def _named(rest: str) -> tuple[datetime | None, int]:
    """The opening and the number in the name of a charge; None in one that has no such name."""
    opened, _, number = rest.partition(":")[2].rpartition(":")
    try:
        return datetime.fromisoformat(opened), int(number)
    except ValueError:
        return None, 0


def _keep(
    session: Session,
    organization_id: UUID,
    taken: _Taken,
    differences: list[Difference],
    now: datetime,
) -> None:
    row, point = tables.RatingDifference, taken.point
    session.execute(
        delete(row).where(
            col(row.point_id) == point.id, col(row.at).between(taken.since, taken.until)
        )
    )
    if differences:
        session.execute(
            insert(row).on_conflict_do_nothing(),
            [
                {
                    "organization_id": organization_id,
                    "point_id": each.point_id,
                    "item": each.item,
                    "at": each.at,
                    "booked_fen": each.booked_fen,
                    "expected_fen": each.expected_fen,
                    "before_at": _before(each.step, "at"),
                    "before_total": _before(each.step, "total"),
                    "after_total": None if each.step is None else each.step.after.total,
                    "found_at": now,
                }
                for each in differences
            ],
        )
    if point.position is not None:
        values = {
            "at": point.at,
            "number": point.number,
            "position": _POSITION.dump_python(point.position, mode="json"),
        }
        kept = insert(tables.Rated).values(
            organization_id=organization_id, point_id=point.id, **values
        )
        session.execute(kept.on_conflict_do_update(index_elements=["point_id"], set_=values))


def _before(step: Step | None, name: str) -> Any:
    return None if step is None or step.before is None else getattr(step.before, name)
