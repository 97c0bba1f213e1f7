"""/api/drafts: openings prepared and opened later, one or many. For staff."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cloud.api.accounts import shapes
from cloud.api.accounts.accounts import OpenAccounts, SeeAccounts
from cloud.said import said_again
from cloud.services.accounts import bulk, drafts, opening
from cloud.tables import Draft, utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api/drafts")


class Saved(BaseModel):
    """refused says why it could not be opened the last time, in English."""

    id: UUID
    room_id: UUID
    holder: str
    saved_at: datetime
    refused: str | None


class Opened(BaseModel):
    account_id: UUID
    meters: list[shapes.Meter]


class Chosen(BaseModel):
    drafts: Annotated[list[UUID], Field(min_length=1, max_length=bulk.MOST)]


class Result(BaseModel):
    draft_id: UUID
    room: str
    holder: str
    account_id: UUID | None
    refused: str | None


class Batch(BaseModel):
    """How far it has come: POST /api/drafts/batches/{id} goes on with it until left is 0."""

    id: UUID
    done: int
    refused: int
    left: int
    rooms: list[Result]


@router.get("")
def waiting(user: SeeAccounts, session: UserSession) -> list[Saved]:
    """The drafts that are still to be opened."""
    return [_saved(row) for row in drafts.waiting(session, user)]


@router.post("", status_code=201)
def save(given: shapes.Opening, user: OpenAccounts, session: UserSession) -> Saved:
    """Keeps a draft of an opening. 409 where the room has another."""
    return _saved(drafts.save(session, user, given.value(), draft_id=None, now=utc_now()))


@router.put("/{draft_id}")
def change(
    draft_id: UUID, given: shapes.Opening, user: OpenAccounts, session: UserSession
) -> Saved:
    """Keeps it in the place of what the draft was."""
    return _saved(drafts.save(session, user, given.value(), draft_id=draft_id, now=utc_now()))


@router.delete("/{draft_id}", status_code=204)
def discard(draft_id: UUID, user: OpenAccounts, session: UserSession) -> None:
    """Throws the draft away; that there was one stays in the books."""
    drafts.discard(session, user, draft_id, now=utc_now())


@router.post("/{draft_id}/open")
def open_draft(draft_id: UUID, user: OpenAccounts, session: UserSession) -> Opened:
    """Opens the account. Of two who do so at the same time one is answered 404 or 409."""
    now = utc_now()
    account = opening.open_draft(session, user, draft_id, now=now)
    found = opening.meters(session, account.id, now=now)
    return Opened(account_id=account.id, meters=[shapes.meter(m) for m in found])


@router.post("/batches", status_code=201)
def begin(given: Chosen, user: OpenAccounts, session: UserSession) -> Batch:
    """Chooses drafts to be opened together; none is yet."""
    batch = bulk.begin(session, user, given.drafts, now=utc_now())
    return _batch(bulk.progress(session, user, batch))


@router.get("/batches/{batch}")
def progress(batch: UUID, user: SeeAccounts, session: UserSession) -> Batch:
    """How far a batch of openings has come."""
    return _batch(bulk.progress(session, user, batch))


@router.post("/batches/{batch}")
def step(batch: UUID, user: OpenAccounts, session: UserSession) -> Batch:
    """Opens the next ten."""
    return _batch(bulk.step(session, user, batch, now=utc_now()))


def _saved(row: Draft) -> Saved:
    return Saved(
        id=row.id,
        room_id=row.room_id,
        holder=drafts.read(row).holder.name,
        saved_at=row.saved_at,
        refused=None if row.refused is None else str(said_again(row.refused)),
    )


def _batch(found: bulk.Progress) -> Batch:
    return Batch(
        id=found.batch,
        done=found.done,
        refused=found.refused,
        left=found.left,
        rooms=[
            Result(
                draft_id=each.draft_id,
                room=each.room,
                holder=each.holder,
                account_id=each.account_id,
                refused=None if each.refused is None else str(each.refused),
            )
            for each in found.openings
        ],
    )
