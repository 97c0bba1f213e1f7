"""Maker-checker 复核: what one member of staff proposes, another approves or refuses; never he himself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from cloud import auth, events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import audit, paging

LONGEST_REASON = 200


class NoSuchApproval(CloudError):
    status = 404
    sentence = "There is no such proposal."


class OwnProposal(CloudError):
    status = 403
    sentence = "You have proposed this yourself, so somebody else has to decide on it."


class AlreadyDecided(CloudError):
    status = 409
    sentence = "This proposal is no longer open: {by} has decided on it, or it was withdrawn."


class AlreadyProposed(CloudError):
    status = 409
    sentence = "This is already proposed and waits for a decision. See the page of approvals."


class NotYours(CloudError):
    status = 403
    sentence = "Only who has proposed this can withdraw it."


class BadReason(CloudError):
    status = 422
    field = "why"
    sentence = (
        "Please give the reason, in up to {most} characters. Whoever comes after you will read it."
    )


@dataclass(frozen=True, slots=True)
class Approval:
    """A proposal of a kind (services.approved) about a subject. It is open while none of the three dates is set."""

    id: UUID
    organization_id: UUID
    kind: str
    subject: UUID
    site_id: UUID | None
    detail: Mapping[str, Any]
    why: str
    proposed_by: UUID
    proposed_by_name: str
    proposed_at: datetime
    decided_by_name: str | None
    decided_why: str | None
    approved_at: datetime | None
    refused_at: datetime | None
    withdrawn_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.approved_at is None and self.refused_at is None and self.withdrawn_at is None


def propose(
    session: Session,
    by: SignedIn,
    kind: str,
    *,
    subject: UUID,
    detail: Mapping[str, Any],
    why: str,
    now: datetime,
    site_id: UUID | None = None,
) -> Approval:
    """Asks for a second person's decision. detail is what the kind's executor needs and the page shows: text and
    whole numbers. With site_id those who see all of that site may decide, without it those who see everything.

    Raises AlreadyProposed while one of this kind and subject is open, BadReason, or TypeError for a detail that
    the audit log could not keep.
    """
    row = tables.Approval(
        organization_id=by.organization_id,
        created_at=now,
        kind=kind,
        subject=subject,
        site_id=site_id,
        detail=dict(detail),
        why=_reason(why),
        proposed_by=by.user_id,
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            raise AlreadyProposed from None
        raise
    said = {"kind": kind, "subject": str(subject), "why": row.why, **detail}
    audit.record(session, by, "propose", of="approval", id=row.id, after=said, now=now)
    events.changed(session, by.organization_id)
    return one(session, by, row.id)


def decide(
    session: Session,
    by: SignedIn,
    approval_id: UUID,
    *,
    approved: bool,
    why: str,
    now: datetime,
) -> Approval:
    """Decides; what is approved is carried out in this transaction, by the kind's executor, and what was held for it
    is let go if it is refused.

    why may be empty where it is approved. Raises NoSuchApproval (also for one of a site that is not the
    user's), OwnProposal, AlreadyDecided, BadReason, auth.NotAllowed, or what the executor raises: then nothing
    is decided.
    """
    from cloud.services.approved import EXECUTORS, LET_GO  # the executors themselves propose

    auth.require(by, Permission.APPROVE)
    row = _locked(session, by, approval_id)
    if row.proposed_by == by.user_id:
        raise OwnProposal
    if approved:
        row.approved_at = now
        row.decided_why = _reason(why) if why.strip() else None
    else:
        row.refused_at, row.decided_why = now, _reason(why)
    row.decided_by = by.user_id
    session.flush()
    decided = one(session, by, approval_id)
    act = "approve" if approved else "refuse"
    audit.record(
        session,
        by,
        act,
        of="approval",
        id=row.id,
        before={
            "kind": row.kind,
            "subject": str(row.subject),
            "proposed_by": decided.proposed_by_name,
        },
        after={"why": row.decided_why},
        now=now,
    )
    if approved:
        EXECUTORS[row.kind](session, decided, by, now)
    elif row.kind in LET_GO:
        LET_GO[row.kind](session, decided, by, now)
    events.changed(session, by.organization_id)
    return decided


def withdraw(session: Session, by: SignedIn, approval_id: UUID, *, now: datetime) -> Approval:
    """Takes one's own proposal back, and lets go what was held for it. Raises NoSuchApproval, NotYours or
    AlreadyDecided."""
    from cloud.services.approved import LET_GO

    row = _locked(session, by, approval_id)
    if row.proposed_by != by.user_id:
        raise NotYours
    row.withdrawn_at = now
    session.flush()
    audit.record(
        session, by, "withdraw", of="approval", id=row.id, after={"kind": row.kind}, now=now
    )
    withdrawn = one(session, by, approval_id)
    if row.kind in LET_GO:
        LET_GO[row.kind](session, withdrawn, by, now)
    events.changed(session, by.organization_id)
    return withdrawn


def one(session: Session, user: SignedIn, approval_id: UUID) -> Approval:
    """Raises NoSuchApproval."""
    found = _approvals(session, user, col(tables.Approval.id) == approval_id, most=1)
    if not found:
        raise NoSuchApproval
    return found[0]


def listed(
    session: Session,
    user: SignedIn,
    *,
    is_open: bool,
    kind: str | None = None,
    most: int = 200,
    after: UUID | None = None,
) -> list[Approval]:
    """Those that the user sees, the newest first: open ones, or those that are decided or withdrawn.

    after: only what follows this one.
    """
    row = tables.Approval
    done = or_(
        col(row.approved_at).is_not(None),
        col(row.refused_at).is_not(None),
        col(row.withdrawn_at).is_not(None),
    )
    wanted = and_(
        ~done if is_open else done,
        true() if kind is None else col(row.kind) == kind,
        paging.follows(row, after),
    )
    return _approvals(session, user, wanted, most=most)


def seen_by(user: SignedIn) -> ColumnElement[bool]:
    """Of tables.Approval: one's own proposals, and those of sites that the user sees whole."""
    row = tables.Approval
    ours = col(row.organization_id) == user.organization_id
    if user.scope.is_everywhere:
        return ours
    mine = col(row.proposed_by) == user.user_id
    return and_(ours, or_(mine, col(row.site_id).in_(user.scope.sites)))


def _approvals(
    session: Session, user: SignedIn, wanted: ColumnElement[bool], *, most: int
) -> list[Approval]:
    row, maker, checker = tables.Approval, aliased(tables.User), aliased(tables.User)
    found = session.execute(
        select(row, col(maker.name), col(checker.name))
        .join(maker, col(maker.id) == col(row.proposed_by))
        .outerjoin(checker, col(checker.id) == col(row.decided_by))
        .where(seen_by(user), wanted)
        .order_by(col(row.created_at).desc(), col(row.id).desc())
        .limit(most)
    )
    return [_approval(*each) for each in found]


def _approval(row: tables.Approval, maker: str, checker: str | None) -> Approval:
    return Approval(
        id=row.id,
        organization_id=row.organization_id,
        kind=row.kind,
        subject=row.subject,
        site_id=row.site_id,
        detail=row.detail,
        why=row.why,
        proposed_by=row.proposed_by,
        proposed_by_name=maker,
        proposed_at=row.created_at,
        decided_by_name=checker,
        decided_why=row.decided_why,
        approved_at=row.approved_at,
        refused_at=row.refused_at,
        withdrawn_at=row.withdrawn_at,
    )


def _locked(session: Session, by: SignedIn, approval_id: UUID) -> tables.Approval:
    """The open proposal: two who decide at once do so one after the other."""
    row: tables.Approval | None = session.execute(
        select(tables.Approval)
        .where(col(tables.Approval.id) == approval_id, seen_by(by))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if row is None:
        raise NoSuchApproval
    known = one(session, by, approval_id)
    if not known.is_open:
        raise AlreadyDecided(by=known.decided_by_name or known.proposed_by_name)
    return row


def _reason(why: str) -> str:
    why = " ".join(why.split())
    if not why or len(why) > LONGEST_REASON or not why.isprintable():
        raise BadReason(most=LONGEST_REASON)
    return why
