"""GET /api/audit: who did what, the newest first, each entry with its place in the chain of hashes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel

from cloud import web
from cloud.api.paging import AfterNumber, Most, cut
from cloud.auth import NotAllowed, SignedIn
from cloud.permissions import Permission
from cloud.services import audit
from cloud.services.audit import Wanted
from cloud.web import UserSession

router = APIRouter(prefix="/api/audit")

Filter = Annotated[str | None, Query(max_length=200)]


class Entry(BaseModel):
    """What somebody did to the thing `of` with `id`; user_id is null where the program did it by itself. hash: of
    the entry and the hash before, in hexadecimal, as `wattwell audit verify` makes it."""

    number: int
    at: datetime
    user_id: UUID | None
    name: str
    act: str
    of: str
    id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str


class Log(BaseModel):
    entries: list[Entry]
    next: int | None


@router.get("")
def read_log(
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_AUDIT))],
    session: UserSession,
    user_id: UUID | None = None,
    act: Filter = None,
    thing: Filter = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    after: AfterNumber = None,
    most: Most = 100,
) -> Log:
    """Entries of the audit log: of a person, an act, a thing (its id), between two instants. Only for who sees
    everything."""
    if not user.scope.is_everywhere:
        raise NotAllowed
    wanted = Wanted(user_id, act, thing, since, until, after)
    found = audit.entries(session, user.organization_id, wanted, most=most + 1)
    page, following = cut(found, most, lambda row: row.number)
    return Log(
        entries=[
            Entry(
                number=row.number,
                at=row.at,
                user_id=row.user_id,
                name=row.user_name,
                act=row.act,
                of=row.subject,
                id=row.subject_id,
                before=row.before,
                after=row.after,
                hash=row.hash.hex(),
            )
            for row in page
        ],
        next=following,
    )
