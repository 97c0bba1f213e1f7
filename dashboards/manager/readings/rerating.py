"""The report of the nightly re-rating 计费复核: what is booked otherwise than the readings say."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.db import Database
from cloud.permissions import Permission
from cloud.services import job_runs
from cloud.services.readings import differences
from cloud.tables import utc_now
from cloud.web import UserSession, database
from dashboards import page
from dashboards.manager.top import top
from prepaid.money import Money

router = APIRouter(include_in_schema=False, prefix="/rerating")

JOBS = ("rerate", "rerate-everything")


@router.get("")
def report(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_RERATING))],
    session: UserSession,
    database: Annotated[Database, Depends(database)],
) -> Response:
    found = differences.found(session, user)
    waiting = [each for each in found if each.why is None]
    with database.system() as system:
        runs = job_runs.last(system, user.organization_id)
    ended = [run for job in JOBS for run in runs.get(job, []) if run.ended_at and run.said]
    last = max(ended, key=lambda run: run.created_at, default=None)
    return page.render(
        request,
        "manager/rerating.html",
        differences=waiting,
        explained=[each for each in found if each.why is not None],
        may_explain=user.may(Permission.EXPLAIN_RERATING),
        last=last,
        points=differences.rated_points(session),
        too_much=sum((each.too_much for each in waiting), Money(0)),
        may_run=user.may(Permission.RUN_JOBS),
        **top(session, user),
    )


@router.post("/{point_id:uuid}")
def explain(
    point_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.EXPLAIN_RERATING))],
    session: UserSession,
    item: Annotated[str, Form()] = "",
    at: Annotated[str, Form()] = "",
    why: Annotated[str, Form()] = "",
) -> Response:
    """Somebody has looked into a difference and says what it is."""
    differences.acknowledge(
        session, user, point_id, item=item, at=_instant(at), why=why, now=utc_now()
    )
    return RedirectResponse("/rerating", status_code=303)


def _instant(text: str) -> datetime:
    """Raises differences.NoSuchDifference."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise differences.NoSuchDifference from None
    if at.tzinfo is None:
        raise differences.NoSuchDifference
    return at
