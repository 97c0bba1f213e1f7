"""/api/approvals: what waits for a second person, what was decided, and the decision. For staff, not for keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from cloud import web
from cloud.api.paging import After, Most, cut
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import approvals
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api/approvals")

SeeApprovals = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_APPROVALS))]
Approve = Annotated[SignedIn, Depends(web.allowed(Permission.APPROVE))]


class Approval(BaseModel):
    """A proposal; it waits while approved_at, refused_at and withdrawn_at are null."""

    id: UUID
    kind: str
    subject: UUID
    site_id: UUID | None
    detail: dict[str, Any]
    why: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    decided_why: str | None
    approved_at: datetime | None
    refused_at: datetime | None
    withdrawn_at: datetime | None


class Approvals(BaseModel):
    approvals: list[Approval]
    next: UUID | None


class Decision(BaseModel):
    """why may be empty where it is approved."""

    approved: bool
    why: Annotated[str, Field(max_length=approvals.LONGEST_REASON)] = ""


@router.get("")
def list_approvals(
    user: SeeApprovals,
    session: UserSession,
    is_open: bool = True,
    kind: Annotated[str | None, Query(max_length=60)] = None,
    after: After = None,
    most: Most = 100,
) -> Approvals:
    """What waits, or (is_open false) what was decided or withdrawn; the newest first."""
    found = approvals.listed(session, user, is_open=is_open, kind=kind, after=after, most=most + 1)
    page, following = cut(found, most, lambda each: each.id)
    return Approvals(approvals=[_approval(each) for each in page], next=following)


@router.get("/{approval_id}")
def get_approval(approval_id: UUID, user: SeeApprovals, session: UserSession) -> Approval:
    """One proposal."""
    return _approval(approvals.one(session, user, approval_id))


@router.post("/{approval_id}/decide")
def decide(approval_id: UUID, given: Decision, user: Approve, session: UserSession) -> Approval:
    """Approves a proposal, which is then carried out, or refuses it. Never by whoever proposed it."""
    return _approval(
        approvals.decide(
            session, user, approval_id, approved=given.approved, why=given.why, now=utc_now()
        )
    )


@router.post("/{approval_id}/withdraw")
def withdraw(approval_id: UUID, user: SeeApprovals, session: UserSession) -> Approval:
    """Takes one's own proposal back."""
    return _approval(approvals.withdraw(session, user, approval_id, now=utc_now()))


def _approval(found: approvals.Approval) -> Approval:
    return Approval(
        id=found.id,
        kind=found.kind,
        subject=found.subject,
        site_id=found.site_id,
        detail=dict(found.detail),
        why=found.why,
        proposed_by=found.proposed_by_name,
        proposed_at=found.proposed_at,
        decided_by=found.decided_by_name,
        decided_why=found.decided_why,
        approved_at=found.approved_at,
        refused_at=found.refused_at,
        withdrawn_at=found.withdrawn_at,
    )
