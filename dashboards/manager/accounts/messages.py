"""The page of text messages 短信记录: what customers were told, and whether it reached them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from cloud.services.accounts import messages
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.accounts.asked import SeeAccounts
from dashboards.manager.top import top
from dashboards.words import N_

router = APIRouter()

EVENTS = {
    "low-balance": N_("Balance is low"),
    "final-balance": N_("Balance nearly used up"),
    "cut-off": N_("Cut off"),
    "topped-up": N_("Top-up arrived"),
}
STATES = {  # what is said, its tone, and its icon
    "waits": (N_("to be sent"), "busy", "hourglass"),
    "sent": (N_("sent, no report yet"), "busy", "send"),
    "delivered": (N_("delivered"), "good", "circle-check"),
    "failed": (N_("not delivered"), "bad", "alert-triangle"),
}


@router.get("/notices")
def all_messages(
    request: Request,
    user: SeeAccounts,
    session: UserSession,
    q: Annotated[str, Query(max_length=100)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    p: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    return page.render(
        request,
        "manager/accounts/messages.html",
        listed=messages.listed(session, user, q=q, state=state, page=p),
        q=q,
        state=state,
        query=urlencode({"q": q, "state": state}),
        events=EVENTS,
        states=STATES,
        is_configured=request.app.state.notices is not None,
        **top(session, user),
    )
