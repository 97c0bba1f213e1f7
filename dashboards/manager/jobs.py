"""The page of jobs 定时任务: what happens by the clock, how it last went, and "run now"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlalchemy import func, select
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.jobs import BY_NAME, JOBS, Job
from cloud.permissions import Permission
from cloud.services import job_runs
from cloud.services.job_runs import Run
from cloud.tables import Organization, utc_now
from cloud.web import SystemSession
from dashboards import page
from dashboards.manager.top import top

router = APIRouter(include_in_schema=False, prefix="/jobs")

SOON = timedelta(minutes=1)  # what is run so often shows that the scheduler runs
LATE = timedelta(minutes=5)


class NoSuchJob(CloudError):
    status = 404
    sentence = "There is no such job."


class State(StrEnum):
    WAITS = "waits"  # asked for, not begun
    RUNS = "runs"
    FAILED = "failed"
    WELL = "well"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Row:
    """A job and its runs, the newest first; state is that of the newest. said is None where it is not shown."""

    job: Job
    state: State
    runs: tuple[Run, ...]
    is_said: bool

    @property
    def last(self) -> Run | None:
        return self.runs[0] if self.runs else None


@router.get("")
def all_jobs(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_JOBS))],
    session: SystemSession,
) -> Response:
    """What is said of a job that is run for all organizations at once is shown where there is but one."""
    now = utc_now()
    is_only = session.execute(select(func.count()).select_from(Organization)).scalar_one() == 1
    runs = job_runs.last(session, user.organization_id)
    rows = [_row(job, runs.get(job.name, []), is_said=is_only or job.for_each) for job in JOBS]
    return page.render(
        request,
        "manager/jobs.html",
        rows=rows,
        is_running=is_running(rows, now),
        is_waiting=any(row.state in (State.WAITS, State.RUNS) for row in rows),
        **top(session, user),
    )


@router.post("/{name}")
def run_now(
    name: str,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.RUN_JOBS))],
    session: SystemSession,
) -> Response:
    """Asks for a run, which the scheduler begins within a second."""
    job = BY_NAME.get(name)
    if job is None:
        raise NoSuchJob
    whose: UUID | None = user.organization_id if job.for_each else None
    job_runs.request(session, job.name, whose, by=user, now=utc_now())
    return RedirectResponse("/jobs", status_code=303)


def is_running(rows: list[Row], now: datetime) -> bool:
    """Whether the scheduler has lately begun a job that is to be begun every minute."""
    times = [
        run.started_at
        for row in rows
        if row.job.every is not None and row.job.every <= SOON
        for run in row.runs
        if run.started_at is not None
    ]
    return bool(times) and max(times) > now - LATE


def _row(job: Job, runs: list[Run], *, is_said: bool) -> Row:
    return Row(job, _state(runs[0] if runs else None), tuple(runs), is_said)


def _state(last: Run | None) -> State:
    if last is None:
        return State.NEVER
    if last.started_at is None:
        return State.WAITS
    if last.ended_at is None:
        return State.RUNS
    return State.WELL if last.error is None else State.FAILED
