"""Settlement 结算: where what is left of a closed account goes, as far as it is known.

What a purse lacks becomes a debt, debts are paid from what other purses hold, what was paid for is refunded, what was
given lapses. Money leaves a purse only when its gateway has booked it (services.money.withdrawals).
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, ledger, scopes
from cloud.services.accounts import acts, listing, standings, tenures
from cloud.services.accounts.acts import Act
from cloud.services.accounts.standings import Standing, left_of
from cloud.services.money import moves, purses, refunds, withdrawals
from cloud.services.money.refunds import How
from cloud.services.money.withdrawals import Asked, Kind
from cloud.tables import Account, Purse
from prepaid.ledger import Book, Reason, Transfer, expenses, prepaid, receivable
from prepaid.money import ZERO, Money

LAPSED = expenses("subsidy")  # a gift that was not used up goes back to where it came from


class NotClosed(CloudError):
    status = 409
    sentence = "Close the account first: as long as it is supplied, it cannot be settled."


class NotFinal(CloudError):
    status = 409
    sentence = (
        "The last use is not known yet: {meters} wait for their gateway. As soon as it is heard and has read them, "
        "the account can be settled."
    )


class IsSettled(CloudError):
    status = 409
    sentence = "This account is settled: nothing is left, either way."


def settle(
    session: Session,
    by: SignedIn,
    account_id: UUID,
    *,
    how: How | None,
    to_purse_id: UUID | None = None,
    why: str,
    now: datetime,
) -> Standing:
    """Settles what is left, as far as it is known; asked again it goes on with what has come since.

    Money goes back to the customer (how), or to another purse (to_purse_id), as the customer has ordered.

    Raises scopes.NoSuchAccount, NotClosed, IsSettled, NotFinal, purses.BadReason, moves.SamePurse or
    topups.NoSuchPurse.
    """
    scopes.check_account(session, by, account_id)
    account = session.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    if account.closed_at is None:
        raise NotClosed
    if account.settled_at is not None:
        raise IsSettled
    why = purses.reason(why)
    before = standings.of(session, by, account_id)
    if before.waits_for:
        raise NotFinal(meters=", ".join(before.waits_for))
    ids = [left.purse_id for left in before.left]
    rows = [purses.locked(session, by.organization_id, purse_id) for purse_id in sorted(ids)]
    for purse in rows:
        lack_becomes_debt(session, account, purse, now=now)
    owed = listing.owed(session, account_id)
    for purse in rows:
        owed -= _pay_debt(session, by, account, purse, owed, why=why, now=now)
    for purse in rows:
        _give_back(session, by, account, purse, how, to_purse_id, why=why, now=now)
    after = standings.of(session, by, account_id)
    detail = {
        "why": why,
        "how": how.value if how else "purse",
        "refunded_fen": sum(left.held.fen for left in after.left),
        "owed_fen": after.owed.fen,
    }
    acts.note(session, by, account, Act.SETTLED, detail, other=None, now=now)
    audit.record(session, by, "account.settled", of="account", id=account_id, after=detail, now=now)
    finish(session, account, now=now)
    return after


def lack_becomes_debt(session: Session, account: Account, purse: Purse, *, now: datetime) -> None:
    """转欠: a purse that ends is not below nothing; the account owes it."""
    lacking = ZERO - ledger.balance(session, purse.id)
    if lacking <= ZERO:
        return
    transfer = Transfer(
        debit=receivable(account.id),
        credit=prepaid(purse.id),
        amount=lacking,
        reason=Reason.DEBT,
        cause=f"{purse.id}:{purse.credits}",
        at=now,
    )
    purses.credit(session, purse, [transfer], carry_to=None)


def _pay_debt(
    session: Session,
    by: SignedIn,
    account: Account,
    purse: Purse,
    owed: Money,
    *,
    why: str,
    now: datetime,
) -> Money:
    """还欠: what of a debt is to be paid from a purse."""
    amount = min(owed, purses.refundable_now(session, purse.id))
    if amount <= ZERO:
        return ZERO
    _take_out(
        session,
        by,
        purse,
        amount,
        credit=receivable(account.id),
        reason=Reason.REPAYMENT,
        why=why,
        now=now,
    )
    return amount


def _give_back(
    session: Session,
    by: SignedIn,
    account: Account,
    purse: Purse,
    how: How | None,
    to_purse_id: UUID | None,
    *,
    why: str,
    now: datetime,
) -> None:
    paid = purses.refundable_now(session, purse.id)
    if paid > ZERO and to_purse_id is not None:
        moves.move(
            session,
            by,
            purse.id,
            to_purse_id,
            amount=paid,
            customer=account.holder,
            why=why,
            now=now,
            is_unread_too=True,
        )
    elif paid > ZERO and how is not None:
        refunds.request(session, by, purse.id, paid, how, why, now, is_unread_too=True)
    given = left_of(session, purse).given
    if given > ZERO:
        _take_out(
            session, by, purse, given, credit=LAPSED, reason=Reason.WRITE_OFF, why=why, now=now
        )


def _take_out(
    session: Session,
    by: SignedIn,
    purse: Purse,
    amount: Money,
    *,
    credit: Book,
    reason: Reason,
    why: str,
    now: datetime,
) -> None:
    id = uuid4()
    asked = Asked(
        kind=Kind.ADJUSTMENT,
        amount=amount,
        credit=credit,
        reason=reason,
        cause=str(id),
        why=why,
        is_unread_too=True,
    )
    row = withdrawals.ask(session, by, purse, asked, id=id, now=now)
    withdrawals.send(session, purse, row, now=now)


def finish(session: Session, account: Account, *, now: datetime) -> bool:
    """Notes that a closed account is settled once nothing is left, either way: its purses end. Whether it is."""
    rows = list(session.execute(select(Purse).where(col(Purse.account_id) == account.id)).scalars())
    if account.settled_at is not None or listing.owed(session, account.id) != ZERO:
        return False
    if any(
        ledger.balance(session, purse.id) != ZERO or purses.held(session, purse.id) != ZERO
        for purse in rows
    ):
        return False
    told = tenures.of_purses(session, (p.id for p in rows))
    if any(t.closed_at is None and t.stated_at is None for t in told):
        return False
    for purse in rows:
        purse.ended_at = purse.ended_at or now
        session.add(purse)
    account.settled_at = now
    session.add(account)
    session.flush()
    return True


def finish_all(session: Session, organization_id: UUID, *, now: datetime) -> int:
    """Notes which closed accounts are settled by now; how many."""
    waiting = session.execute(
        select(Account)
        .where(
            col(Account.organization_id) == organization_id,
            col(Account.closed_at).is_not(None),
            col(Account.settled_at).is_(None),
        )
        .order_by(col(Account.id))
        .with_for_update(skip_locked=True)
    ).scalars()
    return sum(finish(session, account, now=now) for account in list(waiting))
