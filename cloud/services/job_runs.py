"""The runs of jobs: what began, how it ended, and what a person asked for. All need a system session."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select, text, update
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.said import Said, said_again

KEPT = timedelta(days=90)
SHOWN = 10  # of the past runs of a job


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was asked for (started_at None), goes on (ended_at None) or has ended; by names a person."""

    id: UUID
    job: str
    organization_id: UUID | None
    by: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    said: Said | None
    error: str | None


INTERRUPTED = "the scheduler ended before it was done; it is done again"


def begin(session: Session, job: str, organization_id: UUID | None, *, now: datetime) -> UUID:
    """Notes that a job begins; the run's id."""
    run = tables.JobRun(job=job, organization_id=organization_id, started_at=now)
    session.add(run)
    session.flush()
    return run.id


def end(
    session: Session, run_id: UUID, *, now: datetime, said: Said | None, error: str | None
) -> None:
    """Notes how a run ended. Of runs that had nothing to do and nobody asked for, only the last is kept."""
    row = tables.JobRun
    run = session.get_one(row, run_id)
    run.ended_at, run.error = now, error
    run.result = None if said is None else said.as_json()
    session.flush()
    is_idle = and_(
        col(row.result).is_(None), col(row.error).is_(None), col(row.requested_by).is_(None)
    )
    session.execute(
        delete(row).where(
            col(row.job) == run.job,
            col(row.organization_id).is_not_distinct_from(run.organization_id),
            col(row.id) != run.id,
            col(row.ended_at).is_not(None),
            or_(is_idle, col(row.ended_at) < now - KEPT),
        )
    )


def note_interrupted(session: Session, *, now: datetime) -> list[str]:
    """Ends the runs that a scheduler left behind when it was killed; the names of their jobs."""
    row = tables.JobRun
    found = session.execute(
        update(row)
        .where(col(row.started_at).is_not(None), col(row.ended_at).is_(None))
        .values(ended_at=now, error=INTERRUPTED)
        .returning(col(row.job))
    ).scalars()
    return sorted(set(found))


def request(
    session: Session, job: str, organization_id: UUID | None, *, by: SignedIn, now: datetime
) -> None:
    """Asks for a run; nothing if one is asked for already."""
    row = tables.JobRun
    waiting = session.execute(
        select(col(row.id)).where(
            col(row.job) == job,
            col(row.organization_id).is_not_distinct_from(organization_id),
            col(row.started_at).is_(None),
        )
    ).first()
    if waiting is None:
        session.add(
            row(job=job, organization_id=organization_id, requested_by=by.user_id, created_at=now)
        )


def take(session: Session, *, now: datetime) -> list[Run]:
    """The runs that people have asked for, marked as started."""
    row = tables.JobRun
    found = session.execute(
        update(row).where(col(row.started_at).is_(None)).values(started_at=now).returning(row)
    ).scalars()
    return [_run(each, None) for each in found]


def succeeded(session: Session, job: str) -> dict[UUID | None, datetime]:
    """By organization: when the last run of a job that did not fail was started."""
    row = tables.JobRun
    found = session.execute(
        select(col(row.organization_id), func.max(row.started_at).label("at"))
        .where(col(row.job) == job, col(row.ended_at).is_not(None), col(row.error).is_(None))
        .group_by(col(row.organization_id))
    )
    return {each.organization_id: each.at for each in found}


def last(session: Session, organization_id: UUID) -> dict[str, list[Run]]:
    """By job the runs that concern an organization, the newest first."""
    found = session.execute(
        text("""
            SELECT r.*, u.name AS by FROM (
                SELECT *, row_number() OVER (PARTITION BY job ORDER BY created_at DESC) AS place
                FROM job_runs WHERE organization_id IS NULL OR organization_id = :organization
            ) r LEFT JOIN users u ON u.id = r.requested_by AND u.organization_id = :organization
            WHERE place <= :most ORDER BY r.job, place
        """),
        {"organization": organization_id, "most": SHOWN},
    )
    runs: defaultdict[str, list[Run]] = defaultdict(list)
    for row in found:
        runs[row.job].append(_run(row, row.by))
    return runs


def _run(row: Any, by: str | None) -> Run:
    return Run(
        row.id,
        row.job,
        row.organization_id,
        by,
        row.created_at,
        row.started_at,
        row.ended_at,
        None if row.result is None else said_again(row.result),
        row.error,
    )
