"""The list of accounts, with search; a purse's statement; a photo of a meter."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from cloud.services.accounts import drafts, listing, photos
from cloud.tables import Account, Purse, utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.accounts.asked import SeeAccounts
from dashboards.manager.top import top

router = APIRouter()


@router.get("/accounts")
def accounts(
    request: Request,
    user: SeeAccounts,
    session: UserSession,
    q: Annotated[str, Query(max_length=200)] = "",
    closed: bool = False,
    p: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Response:
    lines, found = listing.find(session, user, q, with_closed=closed, page=p)
    return page.render(
        request,
        "manager/accounts/list.html",
        lines=lines,
        found=found,
        q=q,
        closed=closed,
        p=p,
        pages=-(-found // listing.A_PAGE),
        waiting=len(drafts.waiting(session, user)),
        **top(session, user),
    )


@router.get("/accounts/purses/{purse_id:uuid}")
def purse(request: Request, purse_id: UUID, user: SeeAccounts, session: UserSession) -> Response:
    """The purse's statement."""
    found, lines = listing.statement_of(session, user, purse_id)
    row = session.get_one(Purse, purse_id)
    return page.render(
        request,
        "manager/accounts/statement.html",
        statement=found,
        lines=lines,
        purse=row,
        account=session.get_one(Account, row.account_id),
        now=utc_now(),
        **top(session, user),
    )


@router.get("/accounts/photos/{photo_id:uuid}")
def photo(photo_id: UUID, user: SeeAccounts, session: UserSession) -> Response:
    found = photos.one(session, user, photo_id)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=86400"}
    return Response(found.content, media_type=found.media_type, headers=headers)
