"""The audit log is walked every night, and an administrator is told where it is not as it was written."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import events
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import audit
from cloud.services.audit import Head, Verified
from cloud.tables import AuditHead

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """When an organization's log was last found whole, and since when it is not; fault is in English."""

    verified_at: datetime | None
    broken_since: datetime | None
    fault: str | None


def check(session: Session, organization_id: UUID, *, now: datetime) -> Verified | None:
    """Walks the log from its first entry, also against the head that it had when it was last whole; None where there
    is no log yet. What is found is kept, and shown by of. An alarm ends by itself when the log is whole again.

    Each head goes into the program's own log too, which whoever changes the database does not reach.
    """
    found = _verified(session, organization_id)
    if not found.entries and found.fault is None:
        return None
    head = _locked(session, organization_id)
    if found.fault is not None:
        # Somebody may have written while we read: look again while nobody can.
        found = _verified(session, organization_id)
    if found.fault is None:
        if head.broken_since is not None:
            log.warning("the audit log of %s is whole again", found.organization)
            events.changed(session, organization_id)
        head.verified_at, head.verified_number, head.verified_hash = now, found.entries, found.head
        head.broken_since = head.fault = None
        log.info("the audit log of %s is whole: %s", found.organization, found.last)
    else:
        if head.broken_since is None:
            head.broken_since = now
            events.changed(session, organization_id)
        head.fault = found.fault
        log.error("the audit log of %s is broken: %s", found.organization, found.fault)
    session.add(head)
    session.flush()
    return found


def of(session: Session, user: SignedIn) -> Checked | None:
    """What was last found, for those who see the audit log, and everything; None for others."""
    if not user.may(Permission.SEE_AUDIT) or not user.scope.is_everywhere:
        return None
    head = session.get(AuditHead, user.organization_id)
    return Checked(head.verified_at, head.broken_since, head.fault) if head is not None else None


def _verified(session: Session, organization_id: UUID) -> Verified:
    head = session.get(AuditHead, organization_id, populate_existing=True)
    known: tuple[Head, ...] = ()
    if head is not None and head.verified_number is not None and head.verified_hash is not None:
        known = (Head(organization_id, head.verified_number, head.verified_hash),)
    (found,) = audit.verify(session, organization_id=organization_id, heads=known)
    return found


def _locked(session: Session, organization_id: UUID) -> AuditHead:
    """Also where somebody has taken it away: as the next entry would begin it again."""
    session.execute(
        insert(AuditHead)
        .values(organization_id=organization_id, number=0, hash=audit.GENESIS)
        .on_conflict_do_nothing()
    )
    head: AuditHead = session.execute(
        select(AuditHead)
        .where(col(AuditHead.organization_id) == organization_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()
    return head
