"""The pages of approvals 审批: what waits for a decision, what was decided, and the decision itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import approvals
from cloud.services.approvals import Approval
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.people import fact_words
from dashboards.manager.people.act_words import DETAILS, KINDS
from dashboards.manager.top import top
from dashboards.words import N_

router = APIRouter(include_in_schema=False, prefix="/approvals")


@router.get("")
def all_approvals(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_APPROVALS))],
    session: UserSession,
) -> Response:
    return page.render(
        request,
        "manager/people/approvals.html",
        waiting=approvals.listed(session, user, is_open=True),
        decided=approvals.listed(session, user, is_open=False, most=50),
        kinds=KINDS,
        summary=_summary(page.say(request)),
        me=user.user_id,
        **top(session, user),
    )


@router.get("/{approval_id:uuid}")
def one(
    request: Request,
    approval_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_APPROVALS))],
    session: UserSession,
) -> Response:
    return _page(request, session, user, approvals.one(session, user, approval_id))


@router.post("/{approval_id:uuid}/decide")
def decide(
    request: Request,
    approval_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.APPROVE))],
    session: UserSession,
    decision: Annotated[str, Form()] = "",
    why: Annotated[str, Form()] = "",
) -> Response:
    """Decides; what can no longer be done stays undecided, and the page says why."""
    approval = approvals.one(session, user, approval_id)
    if decision not in ("approve", "refuse"):
        return _page(request, session, user, approval, error=NothingDecided(), why=why)
    try:
        with session.begin_nested():
            is_approved = decision == "approve"
            approvals.decide(
                session, user, approval_id, approved=is_approved, why=why, now=utc_now()
            )
    except CloudError as error:
        approval = approvals.one(session, user, approval_id)
        return _page(request, session, user, approval, error=error, why=why)
    return RedirectResponse("/approvals", status_code=303)


@router.post("/{approval_id:uuid}/withdraw")
def withdraw(
    approval_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_APPROVALS))],
    session: UserSession,
) -> Response:
    approvals.withdraw(session, user, approval_id, now=utc_now())
    return RedirectResponse("/approvals", status_code=303)


class NothingDecided(CloudError):
    status = 422
    sentence = "Choose whether to approve or to refuse."


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    approval: Approval,
    *,
    error: CloudError | None = None,
    why: str = "",
) -> Response:
    say = page.say(request)
    detail = [
        (word, told)
        for key, word in DETAILS.items()
        if (told := _told(key, approval.detail, say)) is not None
    ]
    return page.render(
        request,
        "manager/people/approval.html",
        status=error.status if error else 200,
        approval=approval,
        detail=detail,
        about=_about(approval),
        kinds=KINDS,
        is_mine=approval.proposed_by == user.user_id,
        may_decide=user.may(Permission.APPROVE),
        mistake=errors.mistake(request, error, {"why": why}),
        at=f"/approvals/{approval.id}",
        **top(session, user),
    )


def _told(key: str, detail: Mapping[str, Any], say: Callable[[str], str]) -> str | None:
    """A fact of a proposal; its amount exactly, with its sign of currency."""
    if key == "amount" and "amount_fen" in detail:
        key = "amount_fen"
    return fact_words.written(key, detail.get(key), say)


def _about(approval: Approval) -> str | None:
    """Where what is proposed can be looked at."""
    match approval.kind:
        case "withdrawal":
            return f"/withdrawals/{approval.subject}"
        case "tariff" if approval.is_open:
            return f"/tariffs/drafts/{approval.subject}"
        case _:
            return None


def _summary(say: Callable[[str], str]) -> Callable[[Approval], str]:
    """What a proposal of the list comes to, in a few words: who, how much, how many."""

    def told(approval: Approval) -> str:
        facts = (_told(key, approval.detail, say) for key in ("holder", "amount", "code", "month"))
        found = [fact for fact in facts if fact is not None]
        if "count" in approval.detail:
            found.append(say(N_("{count} supplies")).format(count=approval.detail["count"]))
        return " · ".join(found)

    return told
