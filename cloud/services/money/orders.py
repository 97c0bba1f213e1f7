"""Orders 订单流水: every top-up, refund, reversal, adjustment, gift and move in one list, filtered and summed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.services import scopes
from prepaid.money import ZERO, Money

PAGE = 50
MOST_EXPORTED = 50_000
KINDS = ("topup", "refund", "reversal", "adjustment", "subsidy", "gift", "move")
STATES = (
    *("pending", "paid", "credited", "delivered", "closed"),
    *("waits", "sent", "booked", "done", "refused", "cancelled", "undone"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the list is wanted; what is None or empty does not matter. until is exclusive."""

    q: str = ""
    kind: str = ""
    way: str = ""
    state: str = ""
    purpose: str = ""
    user_id: UUID | None = None
    shift_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """amount is what was paid or, below nothing, paid out; fee of it is the service fee; net reaches the purse.

    after is what the purse held when it was booked, as the cloud knew it then; None where it is not booked, or was
    before that was kept.
    """

    id: UUID
    kind: str
    state: str
    number: str
    channel_no: str | None
    voucher: str | None
    purse_id: UUID
    purpose: str
    holder: str
    rooms: str
    way: str
    amount: Money
    fee: Money
    net: Money
    by: str | None
    why: str | None
    created_at: datetime
    paid_at: datetime | None
    booked_at: datetime | None
    delivered_at: datetime | None
    after: Money | None = None

    @property
    def before(self) -> Money | None:
        return None if self.after is None else self.after - self.net


@dataclass(frozen=True, slots=True)
class Sums:
    """count counts all; the money is of what moved a purse."""

    count: int
    amount: Money
    fee: Money
    net: Money


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of the list, its sums, and those of all that is wanted."""

    orders: tuple[Order, ...]
    page: int
    here: Sums
    all: Sums

    @property
    def pages(self) -> int:
        return max(1, -(-self.all.count // PAGE))


_ORDERS = f"""
    WITH orders AS (
        SELECT t.id, 'topup' AS kind,
               CASE WHEN t.delivered_at IS NOT NULL THEN 'delivered'
                    WHEN t.credited_at IS NOT NULL THEN 'credited'
                    WHEN t.paid_at IS NOT NULL THEN 'paid'
                    WHEN t.closed_at IS NOT NULL OR t.refunded_at IS NOT NULL THEN 'closed'
                    ELSE 'pending' END AS state,
               t.out_trade_no AS number, t.transaction_id AS channel_no, t.voucher, t.purse_id, t.channel AS way,
               t.amount_fen AS amount, t.fee_fen AS fee, t.amount_fen - t.fee_fen AS net, t.taken_by AS user_id,
               t.shift_id, t.remark AS why, t.created_at, t.paid_at, t.credited_at AS booked_at, t.delivered_at,
               t.balance_after_fen AS after
        FROM topups t WHERE t.organization_id = :organization
        UNION ALL
        SELECT w.id, w.kind,
               CASE WHEN w.undone_at IS NOT NULL THEN 'undone' WHEN w.done_at IS NOT NULL THEN 'done'
                    WHEN w.cancelled_at IS NOT NULL THEN 'cancelled' WHEN w.refused_at IS NOT NULL THEN 'refused'
                    WHEN w.booked_at IS NOT NULL THEN 'booked' WHEN w.sent_at IS NOT NULL THEN 'sent'
                    ELSE 'waits' END,
               replace(CAST(w.id AS text), '-', ''), NULL, NULL, w.purse_id, coalesce(w.how, ''),
               -w.amount_fen - w.fee_fen, -w.fee_fen, -w.amount_fen, w.asked_by, NULL, w.why, w.created_at,
               NULL, CASE WHEN w.undone_at IS NULL AND w.cancelled_at IS NULL THEN w.booked_at END, w.done_at,
               w.balance_after_fen
        FROM withdrawals w WHERE w.organization_id = :organization
        UNION ALL
        SELECT g.id, g.kind, 'credited', replace(CAST(g.id AS text), '-', ''), NULL, NULL, g.purse_id, '',
               g.amount_fen, 0, g.amount_fen, g.given_by, NULL, g.why, g.created_at, NULL, g.created_at, NULL,
               g.balance_after_fen
        FROM grants g WHERE g.organization_id = :organization
    ), wanted AS (
        SELECT o.*, p.purpose, a.holder, r.names AS rooms, u.name AS by
        FROM orders o
        JOIN purses p ON p.id = o.purse_id
        JOIN accounts a ON a.id = p.account_id
        LEFT JOIN users u ON u.id = o.user_id
        LEFT JOIN LATERAL (
            SELECT string_agg(DISTINCT b.name || ' ' || r.name, '、') AS names, count(*) AS count
            FROM occupancies c JOIN rooms r ON r.id = c.room_id JOIN buildings b ON b.id = r.building_id
            WHERE c.account_id = a.id AND {scopes.BUILDING}
        ) r ON true
        WHERE (:is_everywhere OR r.count > 0)
          AND (:kind = '' OR o.kind = :kind) AND (:state = '' OR o.state = :state)
          AND (:way = '' OR o.way = :way) AND (:purpose = '' OR p.purpose = :purpose)
          AND (CAST(:user AS uuid) IS NULL OR o.user_id = :user)
          AND (CAST(:shift AS uuid) IS NULL OR o.shift_id = :shift)
          AND (CAST(:since AS timestamptz) IS NULL OR o.created_at >= :since)
          AND (CAST(:until AS timestamptz) IS NULL OR o.created_at < :until)
          AND (
            SELECT bool_and(
                strpos(lower(concat_ws(' ', a.holder, r.names, o.number, o.channel_no, o.voucher)), w) > 0)
            FROM unnest(CAST(:words AS text[])) AS w
          ) IS NOT FALSE
    )
"""

_PAGE = text(
    _ORDERS + " SELECT * FROM wanted ORDER BY created_at DESC, id LIMIT :most OFFSET :skip"
)
_SUMS = text(
    _ORDERS
    + """
    SELECT count(*) AS orders, coalesce(sum(amount) FILTER (WHERE booked_at IS NOT NULL), 0) AS amount,
           coalesce(sum(fee) FILTER (WHERE booked_at IS NOT NULL), 0) AS fee,
           coalesce(sum(net) FILTER (WHERE booked_at IS NOT NULL), 0) AS net
    FROM wanted
"""
)


def listed(session: Session, user: SignedIn, wanted: Wanted, *, page: int = 1) -> Listed:
    """A page of what is wanted and seen by the user, the newest first, with the sums of page and filter."""
    given = _given(user, wanted)
    row = session.execute(_SUMS, given).one()
    whole = Sums(row.orders, Money(int(row.amount)), Money(int(row.fee)), Money(int(row.net)))
    page = min(max(page, 1), max(1, -(-whole.count // PAGE)))
    orders = tuple(_orders(session, given, skip=(page - 1) * PAGE, most=PAGE))
    booked = [order for order in orders if order.booked_at is not None]
    here = Sums(
        count=len(orders),
        amount=sum((order.amount for order in booked), ZERO),
        fee=sum((order.fee for order in booked), ZERO),
        net=sum((order.net for order in booked), ZERO),
    )
    return Listed(orders, page, here, whole)


def exported(session: Session, user: SignedIn, wanted: Wanted) -> Iterator[Order]:
    """All that is wanted, up to MOST_EXPORTED."""
    return _orders(session, _given(user, wanted), skip=0, most=MOST_EXPORTED)


def _given(user: SignedIn, wanted: Wanted) -> dict[str, object]:
    return {
        "organization": user.organization_id,
        "kind": wanted.kind,
        "state": wanted.state,
        "way": wanted.way,
        "purpose": wanted.purpose,
        "user": wanted.user_id,
        "shift": wanted.shift_id,
        "since": wanted.since,
        "until": wanted.until,
        "words": wanted.q.lower().split(),
        **scopes.given(user.scope),
    }


def _orders(session: Session, given: dict[str, object], *, skip: int, most: int) -> Iterator[Order]:
    for row in session.execute(_PAGE, {**given, "skip": skip, "most": most}):
        yield Order(
            id=row.id,
            kind=row.kind,
            state=row.state,
            number=row.number,
            channel_no=row.channel_no,
            voucher=row.voucher,
            purse_id=row.purse_id,
            purpose=row.purpose,
            holder=row.holder,
            rooms=row.rooms or "",
            way=row.way,
            amount=Money(row.amount),
            fee=Money(row.fee),
            net=Money(row.net),
            by=row.by,
            why=row.why,
            created_at=row.created_at,
            paid_at=row.paid_at,
            booked_at=row.booked_at,
            delivered_at=row.delivered_at,
            after=None if row.after is None or row.booked_at is None else Money(row.after),
        )
