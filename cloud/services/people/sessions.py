"""Sessions 登录会话: the browsers that somebody is signed in with, and ending them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit
from cloud.tables import SignIn


class NoSuchSession(CloudError):
    status = 404
    sentence = "There is no such session. It may have ended meanwhile."


@dataclass(frozen=True, slots=True)
class OpenSession:
    """agent is what the browser says of itself; is_this: the one that asks."""

    sign_in_id: UUID
    since: datetime
    seen_at: datetime | None
    address: str
    agent: str
    is_this: bool


def listed(session: Session, by: SignedIn, user_id: UUID, *, now: datetime) -> list[OpenSession]:
    """The sessions of a user whom by is or manages, the last used first."""
    rows = session.execute(
        select(SignIn)
        .where(
            col(SignIn.user_id) == user_id,
            col(SignIn.organization_id) == by.organization_id,
            col(SignIn.expires_at) > now,
            col(SignIn.verified_at).is_not(None),
        )
        .order_by(col(SignIn.seen_at).desc().nulls_last())
    ).scalars()
    return [
        OpenSession(
            sign_in_id=row.id,
            since=row.created_at,
            seen_at=row.seen_at,
            address=row.address,
            agent=row.agent,
            is_this=row.id == by.sign_in_id,
        )
        for row in rows
    ]


def revoke(
    session: Session, by: SignedIn, user_id: UUID, sign_in_id: UUID, *, now: datetime
) -> None:
    """Ends a session of a user whom by is or manages: its next request is asked to sign in. Raises NoSuchSession."""
    gone = session.execute(
        delete(SignIn)
        .where(
            col(SignIn.id) == sign_in_id,
            col(SignIn.user_id) == user_id,
            col(SignIn.organization_id) == by.organization_id,
        )
        .returning(col(SignIn.address))
    ).scalar_one_or_none()
    if gone is None:
        raise NoSuchSession
    before = {"address": gone}
    audit.record(session, by, "end-session", of="user", id=user_id, before=before, now=now)
