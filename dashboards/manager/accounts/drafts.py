"""Drafts that wait: chosen and opened together, with progress room by room; and taken in from Excel."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import RedirectResponse, Response

from cloud.errors import CloudError
from cloud.services import sheets
from cloud.services.accounts import bulk, drafts, sheet
from cloud.services.sheets import Report
from cloud.tables import Room, utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.accounts import asked
from dashboards.manager.accounts.asked import Form, OpenAccounts
from dashboards.manager.top import top

router = APIRouter(prefix="/accounts")


@router.get("/drafts")
def waiting(request: Request, user: OpenAccounts, session: UserSession) -> Response:
    return _page(request, session, user)


@router.post("/drafts/open")
def open_many(request: Request, form: Form, user: OpenAccounts, session: UserSession) -> Response:
    """Those that are chosen; the page that follows opens them a few at a time."""
    chosen = []
    for text in form.getlist("draft"):
        try:
            chosen.append(UUID(str(text)))
        except ValueError:
            continue
    try:
        batch = bulk.begin(session, user, chosen, now=utc_now())
    except bulk.NothingChosen as error:
        return _page(request, session, user, error=error)
    return RedirectResponse(f"/accounts/batches/{batch}", status_code=303)


@router.get("/batches/{batch:uuid}")
def progress(request: Request, batch: UUID, user: OpenAccounts, session: UserSession) -> Response:
    return page.render(
        request,
        "manager/accounts/batch.html",
        progress=bulk.progress(session, user, batch),
        **top(session, user),
    )


@router.post("/batches/{batch:uuid}")
def step(request: Request, batch: UUID, user: OpenAccounts, session: UserSession) -> Response:
    """Opens the next few; the list as it is then."""
    found = bulk.step(session, user, batch, now=utc_now())
    if request.headers.get("hx-request") is None:
        return RedirectResponse(f"/accounts/batches/{batch}", status_code=303)
    return page.render(request, "manager/accounts/batch_now.html", progress=found)


@router.get("/import")
def template(user: OpenAccounts) -> Response:
    """The empty sheet to fill in."""
    headers = {"Content-Disposition": 'attachment; filename="accounts.xlsx"'}
    content = sheets.template(sheet.COLUMNS, title="开户")
    return Response(content, media_type=sheets.MEDIA_TYPE, headers=headers)


@router.post("/import")
def take(request: Request, form: Form, user: OpenAccounts, session: UserSession) -> Response:
    upload = form.get("sheet")
    content = upload.file.read(sheets.MOST_BYTES + 1) if isinstance(upload, UploadFile) else b""
    do = asked.text(form, "do")
    try:
        report = sheet.take(
            session,
            user,
            content,
            opens=do == "open",
            only_check=do == "check",
            now=utc_now(),
        )
    except CloudError as error:
        return _page(request, session, user, error=error)
    return _page(request, session, user, report=report)


def _page(
    request: Request,
    session: UserSession,
    user: OpenAccounts,
    *,
    error: CloudError | None = None,
    report: Report | None = None,
) -> Response:
    rows = drafts.waiting(session, user)
    return page.render(
        request,
        "manager/accounts/drafts.html",
        status=error.status if error else 200,
        drafts=[(row, drafts.read(row), session.get_one(Room, row.room_id)) for row in rows],
        report=report,
        said=lambda told: errors.sentence(request, told),
        mistake=errors.mistake(request, error),
        at="/accounts/drafts",
        **top(session, user),
    )
