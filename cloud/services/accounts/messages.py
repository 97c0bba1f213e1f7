"""Text messages to customers 短信记录 as staff see them: to whom, when, how far, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.services import scopes
from cloud.services.money.counter import masked

A_PAGE = 50
STATES = ("waits", "sent", "delivered", "failed")
State = Literal["waits", "sent", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class Message:
    """phone is masked. at is when its state was reached; said the provider's last word; cost None: not known."""

    id: UUID
    account_id: UUID
    holder: str
    rooms: str
    phone: str
    event: str
    body: str
    written_at: datetime
    state: State
    at: datetime
    said: str | None
    segments: int | None
    cost: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of messages (from 1), of how many, and what all of them cost by currency, as far as it is known."""

    messages: tuple[Message, ...]
    page: int
    count: int
    costs: tuple[tuple[str, Decimal], ...]

    @property
    def pages(self) -> int:
        return max(1, -(-self.count // A_PAGE))


_WANTED = f"""
    WITH wanted AS (
        SELECT n.*, a.holder, r.names AS rooms,
               CASE WHEN n.delivered_at IS NOT NULL THEN 'delivered' WHEN n.failed_at IS NOT NULL THEN 'failed'
                    WHEN n.sent_at IS NOT NULL THEN 'sent' ELSE 'waits' END AS state
        FROM notices n
        JOIN accounts a ON a.id = n.account_id
        LEFT JOIN LATERAL (
            SELECT string_agg(DISTINCT b.name || ' ' || r.name, '、') AS names, count(*) AS count
            FROM occupancies o JOIN rooms r ON r.id = o.room_id JOIN buildings b ON b.id = r.building_id
            WHERE o.account_id = a.id AND {scopes.BUILDING}
        ) r ON true
        WHERE n.organization_id = :organization AND (:is_everywhere OR r.count > 0)
          AND (
            SELECT bool_and(strpos(lower(concat_ws(' ', a.holder, r.names)), w) > 0
                            OR w ~ '^[+0-9 -]{{4,}}$'
                               AND right(n.phone, length(ltrim(w, '+0'))) = ltrim(w, '+0'))
            FROM unnest(CAST(:words AS text[])) AS w
          ) IS NOT FALSE
    )
"""
_PAGE = text(
    _WANTED
    + """
    SELECT * FROM wanted WHERE :state = '' OR state = :state
    ORDER BY created_at DESC, id LIMIT :most OFFSET :skip
"""
)
_SUMS = text(
    _WANTED
    + """
    SELECT currency, count(*) AS messages, sum(cost) AS cost FROM wanted
    WHERE :state = '' OR state = :state GROUP BY currency ORDER BY currency
"""
)


def listed(
    session: Session, user: SignedIn, *, q: str = "", state: str = "", page: int = 1
) -> Listed:
    """The newest first. Each word of q is in the name or the room, or is how the phone number ends."""
    given = {
        "organization": user.organization_id,
        "words": q.lower().split()[:10],
        "state": state if state in STATES else "",
        **scopes.given(user.scope),
    }
    sums = session.execute(_SUMS, given).all()
    count = sum(row.messages for row in sums)
    page = min(max(page, 1), max(1, -(-count // A_PAGE)))
    rows = session.execute(_PAGE, {**given, "most": A_PAGE, "skip": (page - 1) * A_PAGE})
    costs = tuple((row.currency, row.cost) for row in sums if row.currency and row.cost is not None)
    return Listed(tuple(map(_message, rows)), page, count, costs)


def _message(row: Any) -> Message:
    values = row._mapping
    at = {
        "waits": values["due_at"],
        "sent": values["sent_at"],
        "delivered": values["delivered_at"],
        "failed": values["failed_at"],
    }[values["state"]]
    return Message(
        id=values["id"],
        account_id=values["account_id"],
        holder=values["holder"],
        rooms=values["rooms"] or "",
        phone=masked(values["phone"].removeprefix("+86")),
        event=values["event"],
        body=values["body"],
        written_at=values["created_at"],
        state=values["state"],
        at=at,
        said=values["said"],
        segments=values["segments"],
        cost=values["cost"],
        currency=values["currency"],
    )
