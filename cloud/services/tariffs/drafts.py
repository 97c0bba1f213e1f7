"""Drafts 价格草案: written, changed, dropped, and proposed for publication by a second person."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.said import Faults
from cloud.services import approvals, audit
from cloud.services.approvals import Approval
from cloud.services.tariffs import checks

KIND = "tariff"  # of the approval
LARGEST = 200_000  # characters of a document


class NoSuchDraft(CloudError):
    status = 404
    sentence = "There is no such draft. It may have been published or dropped."


class DraftProposed(CloudError):
    status = 409
    sentence = "This draft waits for approval and cannot be changed. Withdraw the proposal first."


class DraftFaulty(CloudError):
    status = 422
    sentence = "This draft has faults and cannot be published: {faults}"


class DraftTooLarge(CloudError):
    status = 422
    sentence = "The document is too large, or is no JSON object."


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft with what is published under its code (None: nothing), what is wrong with it, and its open proposal."""

    id: UUID
    document: Mapping[str, Any]
    published: Mapping[str, Any] | None
    faults: tuple[str, ...]
    proposal: Approval | None
    written_by: str
    changed_at: datetime

    @property
    def code(self) -> str:
        return str(self.document.get("code", ""))


def begin(
    session: Session, by: SignedIn, document: Mapping[str, Any], *, now: datetime
) -> tables.TariffDraft:
    """A new draft; of a code that is published, in place of its newest version."""
    row = tables.TariffDraft(
        organization_id=by.organization_id,
        document=_checked(document),
        basis=_number(session, document.get("code")),
        written_by=by.user_id,
        changed_at=now,
    )
    session.add(row)
    session.flush()
    audit.record(
        session, by, "draft", of="tariff", id=row.id, after={"document": row.document}, now=now
    )
    return row


def change(
    session: Session, by: SignedIn, draft_id: UUID, document: Mapping[str, Any], *, now: datetime
) -> None:
    """Writes the document anew. Raises NoSuchDraft, DraftProposed while it is proposed, DraftTooLarge."""
    row = _open(session, draft_id)
    if _proposal(session, by, draft_id) is not None:
        raise DraftProposed
    before = row.document
    row.document, row.changed_at, row.written_by = _checked(document), now, by.user_id
    row.basis = _number(session, document.get("code"))
    session.flush()
    audit.record(
        session,
        by,
        "change",
        of="tariff",
        id=row.id,
        before={"document": before},
        after={"document": row.document},
        now=now,
    )


def drop(session: Session, by: SignedIn, draft_id: UUID, *, now: datetime) -> None:
    """Raises NoSuchDraft, or DraftProposed."""
    row = _open(session, draft_id)
    if _proposal(session, by, draft_id) is not None:
        raise DraftProposed
    row.dropped_at = now
    audit.record(session, by, "drop", of="tariff", id=row.id, now=now)


def propose(session: Session, by: SignedIn, draft_id: UUID, *, why: str, now: datetime) -> Approval:
    """Asks another to publish it. Raises NoSuchDraft, DraftFaulty, approvals.AlreadyProposed or BadReason."""
    draft = one(session, by, draft_id, now=now)
    if draft.faults:
        raise DraftFaulty(faults=Faults(draft.faults[:3]))
    detail = {
        "code": draft.code,
        "effective_from": str(draft.document["versions"][-1]["effective_from"]),
    }
    return approvals.propose(session, by, KIND, subject=draft_id, detail=detail, why=why, now=now)


def one(session: Session, user: SignedIn, draft_id: UUID, *, now: datetime) -> Draft:
    """Raises NoSuchDraft."""
    row = _open(session, draft_id)
    return _draft(session, user, row, now)


def listed(session: Session, user: SignedIn, *, now: datetime) -> list[Draft]:
    """The open drafts, the last changed first."""
    row = tables.TariffDraft
    rows = session.execute(
        select(row)
        .where(col(row.published_at).is_(None), col(row.dropped_at).is_(None))
        .order_by(col(row.changed_at).desc())
    ).scalars()
    return [_draft(session, user, each, now) for each in rows]


def document_of(session: Session, code: object) -> dict[str, Any] | None:
    """What is published under a code."""
    row = tables.TariffDocument
    found: dict[str, Any] | None = session.execute(
        select(col(row.document)).where(col(row.code) == str(code))
    ).scalar_one_or_none()
    return found


def _draft(session: Session, user: SignedIn, row: tables.TariffDraft, now: datetime) -> Draft:
    published = document_of(session, row.document.get("code"))
    writer = session.get_one(tables.User, row.written_by)
    return Draft(
        row.id,
        row.document,
        published,
        tuple(checks.faults(row.document, published, now=now)),
        _proposal(session, user, row.id),
        writer.name,
        row.changed_at,
    )


def _proposal(session: Session, user: SignedIn, draft_id: UUID) -> Approval | None:
    found = approvals.listed(session, user, is_open=True, kind=KIND)
    return next((each for each in found if each.subject == draft_id), None)


def _open(session: Session, draft_id: UUID) -> tables.TariffDraft:
    row = session.get(tables.TariffDraft, draft_id)
    if row is None or row.published_at is not None or row.dropped_at is not None:
        raise NoSuchDraft
    return row


def _number(session: Session, code: object) -> int:
    """Of the newest publication under a code."""
    tariff, publication = tables.TariffDocument, tables.TariffPublication
    return (
        session.execute(
            select(col(publication.number))
            .join(tariff, col(tariff.id) == col(publication.tariff_id))
            .where(col(tariff.code) == str(code))
            .order_by(col(publication.number).desc())
            .limit(1)
        ).scalar_one_or_none()
        or 0
    )


def _checked(document: Mapping[str, Any]) -> dict[str, Any]:
    if (
        not isinstance(document, dict)
        or len(str(document)) > LARGEST
        or "\\u0000" in repr(document)
    ):
        raise DraftTooLarge
    return deepcopy(document)
