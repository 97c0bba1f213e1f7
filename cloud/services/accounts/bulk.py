"""Many openings at once 批量开户: drafts that are chosen together, opened a few at a time, each with its result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.said import Said, said_again
from cloud.services import audit, scopes
from cloud.services.accounts import drafts, opening
from cloud.tables import Draft

AT_ONCE = 10  # so many in one transaction, so that a page hears of it every second or so
MOST = 1_000


class NothingChosen(CloudError):
    status = 422
    sentence = "Choose the rooms to open, at most {most} at once."


class NoSuchBatch(CloudError):
    status = 404
    sentence = "There is no such batch of openings."


@dataclass(frozen=True, slots=True)
class Opening:
    """What became of one draft: opened (account_id), refused (why), or neither yet."""

    draft_id: UUID
    room: str
    holder: str
    account_id: UUID | None
    refused: Said | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch has come."""

    batch: UUID
    openings: tuple[Opening, ...]

    @property
    def done(self) -> int:
        return sum(opening.account_id is not None for opening in self.openings)

    @property
    def refused(self) -> int:
        return sum(opening.refused is not None for opening in self.openings)

    @property
    def left(self) -> int:
        return len(self.openings) - self.done - self.refused


def begin(session: Session, by: SignedIn, draft_ids: Iterable[UUID], *, now: datetime) -> UUID:
    """The batch of these drafts, of which nothing is opened yet: step does it. One that is refused may be
    tried again.

    Raises NothingChosen or drafts.NoSuchDraft.
    """
    chosen = sorted(set(draft_ids))
    if not 1 <= len(chosen) <= MOST:
        raise NothingChosen(most=MOST)
    batch = uuid4()
    for draft_id in chosen:
        row = drafts.lock(session, by, draft_id)
        row.batch, row.refused, row.refused_at = batch, None, None
        session.add(row)
    session.flush()
    audit.record(
        session,
        by,
        "drafts.opened-together",
        of="batch",
        id=batch,
        after={"drafts": [str(draft_id) for draft_id in chosen]},
        now=now,
    )
    return batch


def step(session: Session, by: SignedIn, batch: UUID, *, now: datetime) -> Progress:
    """Opens the next few of a batch; how far it has come. Whoever asks again goes on where it stopped.

    One that cannot be opened is refused with its reason, and keeps no other from being opened. Raises NoSuchBatch.
    """
    waiting = session.execute(
        select(col(Draft.id))
        .where(
            col(Draft.organization_id) == by.organization_id,
            col(Draft.batch) == batch,
            col(Draft.opened_at).is_(None),
            col(Draft.ended_at).is_(None),
            col(Draft.refused_at).is_(None),
        )
        .order_by(col(Draft.id))
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).scalars()
    for draft_id in list(waiting):
        try:
            with session.begin_nested():
                opening.open_draft(session, by, draft_id, now=now)
        except CloudError as error:
            row = session.get_one(Draft, draft_id, populate_existing=True)
            row.refused, row.refused_at = error.said.as_json(), now
            session.add(row)
            session.flush()
    return progress(session, by, batch)


def progress(session: Session, by: SignedIn, batch: UUID) -> Progress:
    """Raises NoSuchBatch."""
    room = tables.Room
    rows = session.execute(
        select(Draft, col(room.name))
        .join(room, col(room.id) == col(Draft.room_id))
        .where(col(Draft.batch) == batch, scopes.rooms_of(by))
        .order_by(col(room.name), col(Draft.id))
    ).all()
    if not rows:
        raise NoSuchBatch
    return Progress(
        batch,
        tuple(
            Opening(
                draft_id=row.id,
                room=name,
                holder=drafts.read(row).holder.name,
                account_id=row.account_id,
                refused=said_again(row.refused) if row.refused is not None else None,
            )
            for row, name in rows
        ),
    )
