"""The rehearsal 预演 of a draft: past days of an estate, as they were charged and as they would have been.

Both are rated alike, over registers at every whole hour: the first reading of each hour, and the straight line
between them. So the two differ by nothing but their prices. Of each tariff only the version that counts is taken,
as if it had held all the time; tiers are filled by what was used since their month or year began, as far as it was
read.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.db import Database
from cloud.errors import CloudError, first_line
from cloud.said import Faults
from cloud.services import audit, pointsets, scopes
from cloud.services.tariffs import drafts
from prepaid import ledger
from prepaid.batch import rate_many
from prepaid.batch_steps import from_steps
from prepaid.credit import cut_level
from prepaid.point import ServicePoint
from prepaid.rating import open_position
from prepaid.reading import Reading
from prepaid.tariff import Tariff
from prepaid.tariff_document import parse

log = logging.getLogger(__name__)

PLACES = 3  # decimals of a register at an hour
AT_ONCE = 100
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOST_DAYS = 400
EDGES = (-20, -10, -5, 0, 5, 10, 20)  # percent, between the bars of the chart


class NothingToRehearse(CloudError):
    status = 422
    sentence = "This draft has faults, so nothing can be worked out with it yet: {faults}"


class BadSpan(CloudError):
    status = 422
    field = "since"
    sentence = "Choose days of the past, at most {most} of them, the first before the last."


class NoSuchRehearsal(CloudError):
    status = 404
    sentence = "There is no such rehearsal."


@dataclass(slots=True)
class Drawn:
    """What the draft would have taken out of a purse beside what was taken: more by the end of each day, over all the
    points that it pays for, whose places in Outcome.points these are. floor is in fen, the highest of theirs."""

    more: npt.NDArray[np.int64]
    floor: int
    places: list[int]


@dataclass(slots=True)
class Outcome:
    """What a rehearsal comes to, on its way. All amounts in fen; months and changes as the page draws them."""

    points: list[dict[str, Any]]
    months: defaultdict[str, list[int]]
    unread: int = 0
    purses: dict[UUID, Drawn] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        old = sum(point["old"] for point in self.points)
        new = sum(point["new"] for point in self.points)
        return {
            "old": old,
            "new": new,
            "unread": self.unread,
            "months": [
                {"month": month, "old": a, "new": b}
                for month, (a, b) in sorted(self.months.items())
            ],
            "points": sorted(self.points, key=lambda each: each["old"] - each["new"]),
        }


def request(
    session: Session,
    by: SignedIn,
    draft_id: UUID,
    *,
    site_id: UUID | None,
    since: date,
    until: date,
    now: datetime,
) -> tables.Rehearsal:
    """Asks for the rehearsal of a draft as it is now; the scheduler works it out.

    Raises drafts.NoSuchDraft, NothingToRehearse, BadSpan or scopes.NoSuchSite.
    """
    draft = drafts.one(session, by, draft_id, now=now)
    wrong = [fault for fault in draft.faults if "must lie in the future" not in fault]
    if wrong:
        raise NothingToRehearse(faults=Faults(tuple(wrong[:3])))
    if not since < until <= now.date() or (until - since).days > MOST_DAYS:
        raise BadSpan(most=MOST_DAYS)
    if site_id is not None:
        scopes.check_site(session, by, site_id)
    row = tables.Rehearsal(
        organization_id=by.organization_id,
        draft_id=draft_id,
        document=dict(draft.document),
        site_id=site_id,
        since=since,
        until=until,
        requested_by=by.user_id,
    )
    session.add(row)
    session.flush()
    audit.record(
        session,
        by,
        "rehearse",
        of="tariff",
        id=draft_id,
        after={"since": since.isoformat(), "until": until.isoformat(), "site": str(site_id or "")},
        now=now,
    )
    return row


def one(session: Session, rehearsal_id: UUID) -> tables.Rehearsal:
    """Raises NoSuchRehearsal."""
    row = session.get(tables.Rehearsal, rehearsal_id)
    if row is None:
        raise NoSuchRehearsal
    return row


def of_draft(session: Session, draft_id: UUID) -> list[tables.Rehearsal]:
    """The newest first."""
    row = tables.Rehearsal
    found = session.execute(
        select(row)
        .where(col(row.draft_id) == draft_id)
        .order_by(col(row.created_at).desc())
        .limit(5)
    )
    return list(found.scalars())


def work(database: Database, *, now: datetime, is_stopping: Callable[[], bool]) -> int:
    """Works out the rehearsals that are asked for, one by one; how many. An interrupted one is done anew."""
    done = 0
    while not is_stopping():
        with database.system() as session:
            row = tables.Rehearsal
            found = session.execute(
                select(row)
                .where(col(row.ended_at).is_(None))
                .order_by(col(row.created_at))
                .limit(1)
            ).scalar_one_or_none()
        if found is None:
            break
        try:
            if not _work_out(database, found, now, is_stopping):
                break
        except OperationalError:
            raise  # it is worked out again once the database answers
        except Exception as error:
            log.exception("rehearsal %s failed", found.id)
            with database.organization(found.organization_id) as session:
                failed = session.get_one(tables.Rehearsal, found.id)
                failed.ended_at, failed.error = now, f"{type(error).__name__}: {first_line(error)}"
        done += 1
    return done


def _work_out(
    database: Database, asked: tables.Rehearsal, now: datetime, is_stopping: Callable[[], bool]
) -> bool:
    draft = _as_if_always(parse(asked.document), now=None)
    with database.organization(asked.organization_id) as session:
        ids = _points(session, asked, draft)
        _note(session, asked.id, total=len(ids), done=0)
    outcome = Outcome([], defaultdict(lambda: [0, 0]))
    for first in range(0, len(ids), AT_ONCE):
        if is_stopping():
            return False
        with database.organization(asked.organization_id) as session:
            _rehearse(session, asked, draft, ids[first : first + AT_ONCE], outcome, now)
            _note(session, asked.id, done=min(first + AT_ONCE, len(ids)))
    with database.organization(asked.organization_id) as session:
        for purse_id, drawn in outcome.purses.items():
            cut_on = _cut_on(session, purse_id, drawn, asked.since)
            for place in drawn.places:
                outcome.points[place]["cut_on"] = cut_on and cut_on.isoformat()
        row = session.get_one(tables.Rehearsal, asked.id)
        row.result, row.ended_at = outcome.as_json(), now
    return True


def _note(session: Session, rehearsal_id: UUID, **values: int) -> None:
    row = session.get_one(tables.Rehearsal, rehearsal_id)
    for name, value in values.items():
        setattr(row, name, value)


def _as_if_always(tariff: Tariff, *, now: datetime | None) -> Tariff:
    """The tariff with one version only: the newest, or the one that holds now. It holds before its time, too."""
    version = tariff.versions[-1] if now is None else tariff.versions[tariff.terms(now).version]
    return Tariff(
        tariff.code, tariff.commodity, tariff.unit, tariff.currency, tariff.timezone, (version,)
    )


def _points(session: Session, asked: tables.Rehearsal, draft: Tariff) -> list[UUID]:
    """Those that the tariff prices; of a code that prices none yet, all of its commodity."""
    rows = session.execute(
        text("""
            SELECT p.id, d.code = :code AS is_ours FROM points p
            JOIN tariffs d ON d.id = p.tariff_id
            JOIN rooms r ON r.id = p.room_id JOIN buildings b ON b.id = r.building_id
            WHERE p.commodity = :commodity AND (CAST(:site AS uuid) IS NULL OR b.site_id = :site)
            ORDER BY b.name, r.name, p.name
        """),
        {"code": draft.code, "commodity": draft.commodity, "site": asked.site_id},
    ).all()
    ours = [row.id for row in rows if row.is_ours]
    is_used = session.execute(
        text(
            "SELECT EXISTS (SELECT FROM points p JOIN tariffs d ON d.id = p.tariff_id WHERE d.code = :code)"
        ),
        {"code": draft.code},
    ).scalar_one()
    return ours if is_used else [row.id for row in rows]


_FIRST_OF_EACH = text("""
    SELECT DISTINCT ON (r.point_id, date_trunc(:each, r.at, :zone)) r.point_id, r.at, r.total, r.meter_no
    FROM readings r
    WHERE r.point_id = ANY(:points) AND r.at >= :since AND r.at < :until
      AND NOT EXISTS (SELECT FROM evidence e WHERE e.point_id = r.point_id AND e.at = r.at AND e.effect = 'held')
    ORDER BY r.point_id, date_trunc(:each, r.at, :zone), r.at
""")


def _rehearse(
    session: Session,
    asked: tables.Rehearsal,
    draft: Tariff,
    ids: Sequence[UUID],
    outcome: Outcome,
    now: datetime,
) -> None:
    zone = ZoneInfo(draft.timezone)
    since, until = (
        datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
        for day in (asked.since, asked.until)
    )
    grid = [since + n * HOUR for n in range(int((until - since) / HOUR) + 1)]
    info = {row.id: row for row in session.execute(_INFO, {"points": list(ids)})}
    old_ones = {
        id: _as_if_always(
            parse(session.get_one(tables.TariffDocument, id).document),
            now=now,
        )
        for id in {row.tariff_id for row in info.values()}
    }
    first = min(begin for each in (draft, *old_ones.values()) for begin in _lead(each, since))
    readings = _readings(session, ids, first, grid, zone)
    by_tariff: defaultdict[UUID, list[tuple[ServicePoint, list[Any]]]] = defaultdict(list)
    for id in ids:
        if sum(row.at >= since - DAY for row in readings[id]) < 2:
            outcome.unread += 1
            continue
        point = pointsets.value(session, session.get_one(tables.ServicePoint, id))
        by_tariff[info[id].tariff_id].append((point, readings[id]))
    months = [at.astimezone(zone).strftime("%Y-%m") for at in grid[:-1]]
    for tariff_id, found in by_tariff.items():
        points = [point for point, _ in found]
        before = _costs(found, old_ones[tariff_id], grid)
        after = _costs(found, draft, grid)
        for n, month in enumerate(months):
            outcome.months[month][0] += int(before[:, n].sum())
            outcome.months[month][1] += int(after[:, n].sum())
        daily = _daily(before, after, grid, zone)
        for n, point in enumerate(points):
            each = info[point.id]
            if point.purse is not None:
                floor = cut_level(point.policy, is_emergency_taken=False).fen
                drawn = outcome.purses.setdefault(
                    point.purse, Drawn(np.zeros_like(daily[n]), floor, [])
                )
                drawn.more = drawn.more + daily[n]
                drawn.floor = max(drawn.floor, floor)
                drawn.places.append(len(outcome.points))
            outcome.points.append(
                {
                    "point": each.name,
                    "room": each.room,
                    "building": each.building,
                    "room_id": str(each.room_id),
                    "old": int(before[n].sum()),
                    "new": int(after[n].sum()),
                    "cut_on": None,
                }
            )


def _readings(
    session: Session,
    ids: Sequence[UUID],
    first: datetime,
    grid: Sequence[datetime],
    zone: ZoneInfo,
) -> defaultdict[UUID, list[Any]]:
    """By point, by time: the first of each day up to the grid, whose usage only fills tiers; then of each hour."""
    found: defaultdict[UUID, list[Any]] = defaultdict(list)
    for each, since, until in (
        ("day", first - DAY, grid[0] - DAY),
        ("hour", grid[0] - DAY, grid[-1] + DAY),
    ):
        given = {"points": list(ids), "each": each, "zone": zone.key}
        for row in session.execute(_FIRST_OF_EACH, {**given, "since": since, "until": until}):
            found[row.point_id].append(row)
    return found


_INFO = text("""
    SELECT p.id, p.name, p.tariff_id, r.id AS room_id, r.name AS room, b.name AS building FROM points p
    JOIN rooms r ON r.id = p.room_id JOIN buildings b ON b.id = r.building_id WHERE p.id = ANY(:points)
""")


def registers(readings: Sequence[Any], grid: Sequence[datetime]) -> npt.NDArray[np.int64]:
    """What a point has used in all at each instant of the grid, in steps of PLACES decimals, from nothing.

    readings have at, total and meter_no, by time. Between two readings of one meter it is the straight line, rounded
    down; a register that goes back, and a change of meters, count nothing.
    """
    began = grid[0]
    times = np.array([int((row.at - began).total_seconds()) for row in readings], dtype=np.int64)
    steps = [int(row.total.scaleb(PLACES)) for row in readings]
    moved = [0]
    for before, after, a, b in zip(readings, readings[1:], steps, steps[1:], strict=False):
        is_same = before.meter_no == after.meter_no
        moved.append(moved[-1] + (max(b - a, 0) if is_same else 0))
    used = np.array(moved, dtype=np.int64)
    wanted = np.array([int((at - began).total_seconds()) for at in grid], dtype=np.int64)
    right = np.clip(np.searchsorted(times, wanted, side="right"), 1, len(times) - 1)
    left = right - 1
    span = np.maximum(times[right] - times[left], 1)
    gone = np.clip(wanted - times[left], 0, span)
    line: npt.NDArray[np.int64] = used[left] + (used[right] - used[left]) * gone // span
    from_nothing: npt.NDArray[np.int64] = line - line[0]
    return from_nothing


def _lead(tariff: Tariff, at: datetime) -> list[datetime]:
    """Where the tier periods began that an instant lies in, by time, and last the instant itself."""
    begun = {period.since for period in tariff.terms(at).periods if period is not None}
    return sorted({at, *begun})


def _costs(
    found: Sequence[tuple[ServicePoint, Sequence[Any]]], tariff: Tariff, grid: Sequence[datetime]
) -> npt.NDArray[np.int64]:
    """By point and hour of the grid what a tariff charges for its readings, in fen."""
    lead = _lead(tariff, grid[0])
    instants = [*lead, *grid[1:]]
    points = [point for point, _ in found]
    matrix = np.stack([registers(readings, instants) for _, readings in found])
    opened = [
        open_position(
            point,
            tariff,
            Reading(point.meter.meter_no, instants[0], from_steps(int(line[0]), PLACES), None),
        )
        for point, line in zip(points, matrix, strict=True)
    ]
    rated = rate_many(
        points, tariff, opened, instants[1:], np.ascontiguousarray(matrix[:, 1:]), places=PLACES
    )
    total: npt.NDArray[np.int64] = np.sum(list(rated.charges.values()), axis=0)
    hours: npt.NDArray[np.int64] = total[:, len(lead) - 1 :]
    return hours


def _daily(
    before: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    grid: Sequence[datetime],
    zone: ZoneInfo,
) -> npt.NDArray[np.int64]:
    """By point and day how much more it has cost up to the end of the day."""
    first = grid[0].astimezone(zone).date()
    days = np.array([(at.astimezone(zone).date() - first).days for at in grid[:-1]])
    starts = np.flatnonzero(np.diff(days, prepend=-1))
    more: npt.NDArray[np.int64] = np.cumsum(np.add.reduceat(after - before, starts, axis=1), axis=1)
    return more


_MOVED = text("""
    SELECT CAST(at AT TIME ZONE 'Asia/Shanghai' AS date) AS day,
           sum(CASE WHEN credit = :book THEN amount_fen ELSE -amount_fen END) AS fen
    FROM transfers WHERE (credit = :book OR debit = :book) AND at >= :since GROUP BY day
""")


def _cut_on(session: Session, purse_id: UUID, drawn: Drawn, since: date) -> date | None:
    """The first day on which a purse would have been empty by the draft alone, with the money it really got."""
    balance = session.get(tables.Balance, purse_id)
    left = 0 if balance is None else balance.balance_fen
    began = datetime.combine(since, time(), tzinfo=UTC) - timedelta(days=1)
    rows = session.execute(_MOVED, {"book": ledger.prepaid(purse_id), "since": began})
    moved = {row.day: int(row.fen) for row in rows}
    days = [since + timedelta(days=n) for n in range(len(drawn.more))]
    really = left - sum(fen for day, fen in moved.items() if day >= since)
    for day, further in zip(days, drawn.more.tolist(), strict=True):
        really += moved.get(day, 0)
        if really > drawn.floor >= really - further:
            return day
    return None
