"""Closing 销户: the supply is no longer this customer's from a register on; then what is left is settled.

First closed: every meter falls vacant, the rooms are free, the customer's link ends. The gateways say up to which
register the customer pays, by their own reading or the one that a person typed. Then settled: what a purse lacks
becomes a debt, debts are paid from what other purses hold, what was paid for is refunded, what was given lapses.
Money leaves a purse only when its gateway has booked it (services.money.withdrawals).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy import select, text, update
from sqlmodel import Session, col

from cloud import events
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, ledger, scopes
from cloud.services.accounts import acts, listing, opening, tenures
from cloud.services.accounts.acts import Act
from cloud.services.accounts.tenures import Typed
from cloud.services.money import moves, purses, refunds, withdrawals
from cloud.services.money.refunds import How
from cloud.services.money.withdrawals import Asked, Kind
from cloud.tables import Account, Gateway, Occupancy, Purse, ServicePoint
from prepaid.ledger import Book, Reason, Transfer, expenses, prepaid, receivable
from prepaid.money import ZERO, Money

LAPSED = expenses("subsidy")  # a gift that was not used up goes back to where it came from


class AlreadyClosed(CloudError):
    status = 409
    sentence = "This account was closed on {day}. Nothing was changed."


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


def close(
    session: Session,
    by: SignedIn,
    account_id: UUID,
    *,
    typed: Mapping[UUID, Typed],
    why: str,
    now: datetime,
    other: UUID | None = None,
    act: Act = Act.CLOSED,
    to: Mapping[UUID, Purse] | None = None,
) -> Account:
    """Closes an account. typed are the last registers, where a person has read them; with to, somebody else's purse
    pays for these points from there on (services.accounts.moving), and for the others nobody.

    Raises scopes.NoSuchAccount, AlreadyClosed, purses.BadReason or tenures.BadReading.
    """
    account = locked(session, by, account_id)
    why = purses.reason(why)
    rooms = open_rooms(session, account_id)
    opening.lock_rooms(session, rooms)
    points = points_of(session, account_id)
    gateways = lock_gateways(session, account_id, points)
    for point in points:
        purse = to.get(point.id) if to else None
        gateway = gateways[point.gateway_id]
        tenures.begin(session, gateway, point, purse, typed=typed.get(point.id), now=now)
    session.execute(
        update(Occupancy)
        .where(col(Occupancy.account_id) == account_id, col(Occupancy.ended_at).is_(None))
        .values(ended_at=now)
    )
    account.closed_at = now
    session.add(account)
    session.flush()
    detail = {
        "why": why,
        "meters": [point.meter_no for point in points],
        "balance_fen": balance_of(session, account_id).fen,
    }
    acts.note(session, by, account, act, detail, other=other, now=now)
    audit.record(
        session, by, f"account.{act.value}", of="account", id=account_id, after=detail, now=now
    )
    for room_id in rooms:
        events.changed(session, account.organization_id, room_id=room_id, account_id=account_id)
    return account


def locked(session: Session, by: SignedIn, account_id: UUID) -> Account:
    """An open account, locked until the end of the transaction. Raises scopes.NoSuchAccount or AlreadyClosed."""
    scopes.check_account(session, by, account_id)
    account = session.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    if account.closed_at is not None:
        raise AlreadyClosed(day=f"{account.closed_at:%Y-%m-%d}")
    return account


def open_rooms(session: Session, account_id: UUID) -> tuple[UUID, ...]:
    return tuple(
        session.execute(
            select(col(Occupancy.room_id))
            .where(col(Occupancy.account_id) == account_id, col(Occupancy.ended_at).is_(None))
            .order_by(col(Occupancy.room_id))
        ).scalars()
    )


def points_of(session: Session, account_id: UUID) -> list[ServicePoint]:
    """What the account pays for, by name."""
    return list(
        session.execute(
            select(ServicePoint)
            .join(Purse, col(Purse.id) == col(ServicePoint.purse_id))
            .where(col(Purse.account_id) == account_id)
            .order_by(col(ServicePoint.name), col(ServicePoint.id))
        ).scalars()
    )


def lock_gateways(
    session: Session, account_id: UUID, points: list[ServicePoint]
) -> dict[UUID, Gateway]:
    """The gateways of points, locked after the account's purses, as all lock in one order."""
    session.execute(
        select(col(Purse.id))
        .where(col(Purse.account_id) == account_id)
        .order_by(col(Purse.id))
        .with_for_update(key_share=True)
    ).all()
    return {g.id: g for g in downlog.lock(session, {p.gateway_id for p in points})}


def balance_of(session: Session, account_id: UUID) -> Money:
    """What all purses of the account hold together."""
    found = session.execute(select(col(Purse.id)).where(col(Purse.account_id) == account_id))
    return Money(sum(ledger.balance(session, id).fen for id in found.scalars()))


# What is left.


@dataclass(frozen=True, slots=True)
class LastReading:
    """Up to which register the customer paid for a meter; total is None while its gateway has not said so.

    typed is what a person had read; stated what two people say, where the gateway does not come back (stating), and
    by whom. last_total is what the gateway read last, whoever paid for it.
    """

    point_id: UUID

    name: str
    meter_no: str
    unit: str
    total: Decimal | None
    at: datetime | None
    typed: Decimal | None
    gateway_no: str
    is_delivered: bool
    stated: Decimal | None
    stated_by: str | None
    last_total: Decimal | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a purse: its balance, and of it what was paid for and can be refunded, what was given, and what
    is asked for already and waits for the gateway."""

    purse_id: UUID
    purpose: str
    balance: Money
    refundable: Money
    given: Money
    held: Money


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the settlement of a closed account stands. owed is what the account owes beside its purses."""

    readings: tuple[LastReading, ...]
    left: tuple[Left, ...]
    owed: Money

    @property
    def waits_for(self) -> list[str]:
        return [each.name for each in self.readings if each.total is None and each.stated is None]

    @property
    def refundable(self) -> Money:
        """What would go back to the customer once the debts are paid."""
        paid = Money(sum(each.refundable.fen for each in self.left))
        lacking = Money(sum(each.balance.fen for each in self.left if each.balance < ZERO))
        return max(paid + lacking - max(self.owed, ZERO), ZERO)

    @property
    def is_nothing_left(self) -> bool:
        return self.owed == ZERO and all(each.balance == ZERO == each.held for each in self.left)


# The last time of each purse at each point; what began and ended before the gateway heard of it used nothing.
_LAST = text("""
    SELECT p.id, p.name, p.meter_no, d.unit, t.closed_total, t.closed_at, g.gateway_no,
           n.typed_total, n.delivered_at, t.stated_total, x.name AS stated_by,
           s.total AS last_total, s.read_at AS last_at
    FROM tenures t
    JOIN purses u ON u.id = t.purse_id
    JOIN points p ON p.id = t.point_id
    JOIN tariffs d ON d.id = p.tariff_id
    JOIN gateways g ON g.id = t.gateway_id
    LEFT JOIN users x ON x.id = t.stated_by
    LEFT JOIN point_states s ON s.point_id = p.id
    LEFT JOIN LATERAL (
        SELECT typed_total, delivered_at FROM tenures n
        WHERE n.point_id = t.point_id AND n.created_at > t.created_at
        ORDER BY n.created_at LIMIT 1
    ) n ON true
    WHERE u.account_id = :account AND t.ended_at IS NOT NULL
    ORDER BY p.name, t.created_at
""")


def standing(session: Session, by: SignedIn, account_id: UUID) -> Standing:
    """Raises scopes.NoSuchAccount."""
    scopes.check_account(session, by, account_id)
    readings = tuple(
        LastReading(
            point_id=row.id,
            name=row.name,
            meter_no=row.meter_no,
            unit=row.unit,
            total=row.closed_total,
            at=row.closed_at,
            typed=row.typed_total,
            gateway_no=row.gateway_no,
            is_delivered=row.delivered_at is not None,
            stated=row.stated_total,
            stated_by=row.stated_by,
            last_total=row.last_total,
            last_at=row.last_at,
        )
        for row in session.execute(_LAST, {"account": account_id})
    )
    found = session.execute(
        select(Purse).where(col(Purse.account_id) == account_id).order_by(col(Purse.created_at))
    ).scalars()
    return Standing(
        readings,
        tuple(_left(session, purse) for purse in found),
        listing.owed(session, account_id),
    )


def _left(session: Session, purse: Purse) -> Left:
    balance, held = ledger.balance(session, purse.id), purses.held(session, purse.id)
    paid = purses.refundable_now(session, purse.id)
    return Left(
        purse_id=purse.id,
        purpose=purse.purpose,
        balance=balance,
        refundable=paid,
        given=max(balance - held - paid, ZERO),
        held=held,
    )


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
    before = standing(session, by, account_id)
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
    after = standing(session, by, account_id)
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
    given = _left(session, purse).given
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
