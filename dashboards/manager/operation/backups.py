"""The page of backups 备份: which there are, how the last run went, and "back up now"."""

from __future__ import annotations

import shutil
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cloud import web
from cloud.auth import SignedIn
from cloud.backups import folder
from cloud.permissions import Permission
from cloud.services import job_runs
from cloud.web import SystemSession
from dashboards import page
from dashboards.manager.top import top

router = APIRouter(include_in_schema=False, prefix="/backups")

JOB = "back-up"


@router.get("")
def all_backups(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_BACKUPS))],
    session: SystemSession,
) -> Response:
    settings = request.app.state.settings
    where = settings.backup_folder
    runs = job_runs.last(session, _everybody(user)).get(JOB, [])
    return page.render(
        request,
        "manager/backups.html",
        folder=where,
        backups=folder.kept(where) if where is not None else [],
        keep=settings.backup_keep,
        is_sealed=settings.backup_passphrase is not None,
        free_gb=shutil.disk_usage(where).free / 1e9
        if where is not None and where.exists()
        else None,
        last=runs[0] if runs else None,
        may_run=user.may(Permission.RUN_JOBS),
        **top(session, user),
    )


def _everybody(user: SignedIn) -> UUID:
    """Whose runs are looked for: those for all organizations are among those of each."""
    return user.organization_id
