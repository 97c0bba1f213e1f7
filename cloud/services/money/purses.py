"""What every act on a purse does first: lock it, know what it can give, and credit it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlmodel import Session, col

from cloud import events
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import credits, downlog, ledger, scopes
from cloud.services.scopes import NoSuchPurse
from cloud.tables import Purse, Withdrawal
from prepaid.ledger import Book, Reason, Transfer, prepaid, refundable
from prepaid.money import ZERO, Money

SUBSIDIES_FIRST = True
"""A gift is used up before the customer's own money: what is left to be refunded is the most it can be."""


class ChangedMeanwhile(CloudError):
    status = 409
    sentence = "Somebody else has changed this purse since you opened the page. Look at it again, then decide."


class BadReason(CloudError):
    status = 422
    field = "why"
    sentence = (
        "Please give the reason, in up to {most} characters. Whoever comes after you will read it."
    )


LONGEST_REASON = 200


def locked(
    session: Session, organization_id: UUID, purse_id: UUID, *, seen: str | None = None
) -> Purse:
    """The purse, locked until the end of the transaction. seen is its version when the person last looked.

    Raises NoSuchPurse or ChangedMeanwhile.
    """
    purse = session.get(
        Purse, purse_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if purse is None or purse.organization_id != organization_id:
        raise NoSuchPurse
    if seen is not None and seen != version(session, purse):
        raise ChangedMeanwhile
    return purse


def locked_by(session: Session, by: SignedIn, purse_id: UUID, *, seen: str | None = None) -> Purse:
    """The purse, which by may see, locked. Raises NoSuchPurse or ChangedMeanwhile."""
    scopes.check_purse(session, by, purse_id)
    return locked(session, by.organization_id, purse_id, seen=seen)


def version(session: Session, purse: Purse) -> str:
    """Another one after each credit of the purse and each withdrawal that somebody has asked for."""
    asked = session.execute(
        select(func.count()).where(col(Withdrawal.purse_id) == purse.id)
    ).scalar_one()
    return f"{purse.credits}.{asked}"


def held(session: Session, purse_id: UUID) -> Money:
    """待扣: what is asked for and neither booked, refused nor cancelled."""
    found = session.execute(
        select(func.coalesce(func.sum(col(Withdrawal.amount_fen)), 0)).where(
            col(Withdrawal.purse_id) == purse_id,
            col(Withdrawal.booked_at).is_(None),
            col(Withdrawal.refused_at).is_(None),
            col(Withdrawal.cancelled_at).is_(None),
        )
    ).scalar_one()
    return Money(int(found))


def available(session: Session, purse_id: UUID) -> Money:
    """What can still be taken out: the balance as the cloud knows it, less what is held; never below nothing."""
    left = ledger.balance(session, purse_id) - held(session, purse_id)
    return max(left, ZERO)


def refundable_now(session: Session, purse_id: UUID) -> Money:
    """可退金额: what is unspent and was paid for, less what is held."""
    paid = refundable(
        prepaid(purse_id), _folded(session, purse_id), subsidies_first=SUBSIDIES_FIRST
    )
    left = min(paid, ledger.balance(session, purse_id)) - held(session, purse_id)
    return max(left, ZERO)


# Charges that follow each other use up money one after the other, so their sum does the same; only one that is
# itself taken back must be known for itself.
_FOLDED = text("""
    WITH mine AS (
        SELECT *, coalesce(carried_at, at) AS booked_at,
               reason = 'charge' AND id NOT IN (
                   SELECT CAST(split_part(cause, ':', 1) AS uuid) FROM transfers
                   WHERE reason = 'correction' AND :book IN (debit, credit)
               ) AS is_plain
        FROM transfers WHERE :book IN (debit, credit)
    ), islands AS (
        SELECT *, count(*) FILTER (WHERE NOT is_plain) OVER (ORDER BY at, id) AS island FROM mine
    )
    SELECT CAST(NULL AS text) AS cause, 'charge' AS reason, min(debit) AS debit, 'Income:all' AS credit,
           sum(amount_fen) AS fen, max(at) AS at, island
    FROM islands WHERE is_plain GROUP BY island
    UNION ALL
    SELECT cause, reason, debit, credit, amount_fen, at, island FROM islands WHERE NOT is_plain
    ORDER BY island, cause NULLS LAST
""")


def _folded(session: Session, purse_id: UUID) -> list[Transfer]:
    """All transfers of a purse, charges between two others in one sum."""
    rows = session.execute(_FOLDED, {"book": prepaid(purse_id)}).all()
    return [
        Transfer(
            debit=Book(row.debit),
            credit=Book(row.credit),
            amount=Money(int(row.fen)),
            reason=Reason(row.reason),
            cause=row.cause if row.cause is not None else f"charges:{row.island}",
            at=row.at,
        )
        for row in rows
    ]


def credit(
    session: Session, purse: Purse, transfers: Sequence[Transfer], *, carry_to: datetime | None
) -> None:
    """Books what fills a locked purse, numbers it, and tells the purse's gateway."""
    gateways = downlog.lock(session, [purse.gateway_id] if purse.gateway_id else [])
    ledger.post(session, purse.organization_id, transfers, carry_to=carry_to)
    numbered = credits.number(session, purse, transfers)
    for gateway in gateways:
        downlog.append(session, gateway, list(numbered))
    events.changed(session, purse.organization_id, account_id=purse.account_id)


def reason(why: str) -> str:
    """The reason that a person gave. Raises BadReason."""
    told = " ".join(why.split())
    if not 0 < len(told) <= LONGEST_REASON:
        raise BadReason(most=LONGEST_REASON)
    return told


def purse_of(session: Session, by: SignedIn, purse_id: UUID) -> Purse:
    """The purse, not locked. Raises NoSuchPurse."""
    return scopes.check_purse(session, by, purse_id)
