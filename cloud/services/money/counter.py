"""The counter 柜台: finding the customer, taking money, the numbered receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import ledger, scopes, topups
from cloud.services.ledger import BOOKS_ZONE
from cloud.services.money import shifts
from cloud.tables import Receipt, TopUp
from prepaid.money import Money

MOST_FOUND = 30


class NoVoucher(CloudError):
    status = 422
    field = "voucher"
    sentence = "Enter the number of the slip, by which the money is found at the bank."


class VoucherUsed(CloudError):
    status = 409
    field = "voucher"
    sentence = "Slip {voucher} was entered before, with ¥{amount} on {day}. Is it the same money?"


class NotCredited(CloudError):
    status = 409
    sentence = "A receipt is given for money that has been credited."


@dataclass(frozen=True, slots=True)
class Found:
    """A purse of a customer who was looked for; phone is masked but for its beginning and end."""

    purse_id: UUID
    purpose: str
    account_id: UUID
    holder: str
    rooms: str
    balance: Money
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Printed:
    """A receipt as it is printed: copy 1 is the first, later ones say that they are copies."""

    number: int
    copy: int
    issued_at: datetime


_FIND = text(
    f"""
    SELECT p.id AS purse_id, p.purpose, a.id AS account_id, a.holder, a.phone, coalesce(b.balance_fen, 0) AS fen,
           r.names AS rooms
    FROM purses p
    JOIN accounts a ON a.id = p.account_id
    LEFT JOIN balances b ON b.purse_id = p.id
    JOIN LATERAL (
        SELECT string_agg(b.name || ' ' || r.name, '、' ORDER BY b.name, r.name) AS names
        FROM occupancies o JOIN rooms r ON r.id = o.room_id JOIN buildings b ON b.id = r.building_id
        WHERE o.account_id = a.id AND o.ended_at IS NULL AND {scopes.BUILDING}
    ) r ON r.names IS NOT NULL
    WHERE p.organization_id = :organization AND a.closed_at IS NULL
      AND (CAST(:purse AS uuid) IS NULL OR p.id = :purse)
      AND (CAST(:account AS uuid) IS NULL OR a.id = :account)
      AND (
        SELECT bool_and(
            strpos(lower(a.holder || ' ' || r.names), w) > 0
            OR EXISTS (SELECT FROM points s WHERE s.purse_id = p.id AND strpos(lower(s.meter_no), w) > 0)
            OR w ~ '^[0-9]{{4,}}$'
               AND right(regexp_replace(coalesce(a.phone, ''), '[^0-9]', '', 'g'), length(w)) = w
        ) FROM unnest(CAST(:words AS text[])) AS w
      ) IS NOT FALSE
    ORDER BY r.names, p.purpose LIMIT :most
"""
)


_ROOMS_OF = text("""
    SELECT string_agg(DISTINCT b.name || ' ' || r.name, '、')
    FROM occupancies o JOIN rooms r ON r.id = o.room_id JOIN buildings b ON b.id = r.building_id
    WHERE o.account_id = :account AND (o.ended_at IS NULL OR NOT EXISTS (
        SELECT FROM occupancies s WHERE s.account_id = :account AND s.ended_at IS NULL))
""")


def find(session: Session, user: SignedIn, q: str) -> list[Found]:
    """The purses of customers of whom each word of q is in the room, the name or a meter's number, or is how the
    phone number ends, at least its last four digits."""
    words = q.lower().split()
    return _found(session, user, words=words) if words else []


def purse(session: Session, user: SignedIn, purse_id: UUID) -> Found:
    """Raises scopes.NoSuchPurse."""
    found = _found(session, user, purse=purse_id)
    if not found:
        raise scopes.NoSuchPurse
    return found[0]


def purse_seen(session: Session, user: SignedIn, purse_id: UUID) -> Found:
    """A purse that the user sees, also of an account that is closed. Raises scopes.NoSuchPurse."""
    row = scopes.check_purse(session, user, purse_id)
    account = session.get_one(tables.Account, row.account_id)
    names = session.execute(_ROOMS_OF, {"account": row.account_id}).scalar_one()
    return Found(
        purse_id=row.id,
        purpose=row.purpose,
        account_id=account.id,
        holder=account.holder,
        rooms=names or "",
        balance=ledger.balance(session, row.id),
    )


def of_account(session: Session, user: SignedIn, account_id: UUID) -> list[Found]:
    """All purses of a customer."""
    return _found(session, user, account=account_id)


def _found(
    session: Session,
    user: SignedIn,
    *,
    words: list[str] | None = None,
    purse: UUID | None = None,
    account: UUID | None = None,
) -> list[Found]:
    rows = session.execute(
        _FIND,
        {
            "organization": user.organization_id,
            "words": words or [],
            "purse": purse,
            "account": account,
            "most": MOST_FOUND,
            **scopes.given(user.scope),
        },
    )
    return [
        Found(
            purse_id=row.purse_id,
            purpose=row.purpose,
            account_id=row.account_id,
            holder=row.holder,
            rooms=row.rooms,
            balance=Money(int(row.fen)),
            phone=masked(row.phone),
        )
        for row in rows
    ]


def masked(phone: str | None) -> str:
    """A phone number as it may be shown to whoever stands by: 138****8000."""
    if not phone or len(phone) < 8:
        return ""
    return f"{phone.strip()[:3]}****{phone.strip()[-4:]}"


def take(
    session: Session,
    by: SignedIn,
    purse_id: UUID,
    *,
    amount: Money,
    way: str,
    voucher: str = "",
    remark: str = "",
    idempotency_key: UUID,
) -> TopUp:
    """Takes money in by's open shift, credited at once; with the same key once.

    Raises scopes.NoSuchPurse, topups.BadAmount, topups.KeyReused, shifts.NoShift, NoVoucher, VoucherUsed,
    or what people.limits raises for this cashier.
    """
    if way not in topups.COUNTER:
        raise ValueError(f"nobody takes money by {way} at the counter")
    told = voucher.strip()[:100]
    if way != topups.CASH and not told:
        raise NoVoucher
    shift = shifts.mine(session, by)
    known = session.execute(
        select(col(TopUp.id)).where(
            col(TopUp.organization_id) == by.organization_id,
            col(TopUp.idempotency_key) == idempotency_key,
        )
    ).scalar_one_or_none()
    if known is None and told:
        _check_voucher(session, by, way, told)
    return topups.record_taken(
        session,
        purse_id=purse_id,
        amount=amount,
        by=by,
        idempotency_key=idempotency_key,
        way=way,
        shift_id=shift.id,
        voucher=told or None,
        remark=remark.strip()[:200] or None,
    )


def _check_voucher(session: Session, by: SignedIn, way: str, voucher: str) -> None:
    other: TopUp | None = session.execute(
        select(TopUp)
        .where(
            col(TopUp.organization_id) == by.organization_id,
            col(TopUp.channel) == way,
            col(TopUp.voucher) == voucher,
            col(TopUp.credited_at).is_not(None),
        )
        .limit(1)
    ).scalar_one_or_none()
    if other is not None:
        day = other.created_at.astimezone(BOOKS_ZONE)
        raise VoucherUsed(voucher=voucher, amount=Money(other.amount_fen), day=f"{day:%Y-%m-%d}")


def print_receipt(session: Session, by: SignedIn, topup: TopUp, *, now: datetime) -> Printed:
    """The receipt of a credited top-up, counted as printed; its number is given with the first print.

    Numbers are in a row for each organization, so whoever prints at the same time waits. Raises NotCredited.
    """
    if topup.credited_at is None:
        raise NotCredited
    again = session.execute(
        update(Receipt)
        .where(col(Receipt.topup_id) == topup.id)
        .values(copies=col(Receipt.copies) + 1)
        .returning(col(Receipt.number), col(Receipt.copies), col(Receipt.issued_at))
    ).one_or_none()
    if again is not None:
        return Printed(again.number, again.copies, again.issued_at)
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:whose, 0))"),
        {"whose": f"receipts {by.organization_id}"},
    )
    last = session.execute(
        select(func.coalesce(func.max(col(Receipt.number)), 0)).where(
            col(Receipt.organization_id) == by.organization_id
        )
    ).scalar_one()
    session.execute(
        insert(Receipt)
        .values(
            organization_id=by.organization_id,
            number=last + 1,
            topup_id=topup.id,
            issued_at=now,
            copies=0,
        )
        .on_conflict_do_nothing(index_elements=["organization_id", "topup_id"])
    )
    return print_receipt(session, by, topup, now=now)
