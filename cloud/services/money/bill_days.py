"""Daily reconciliation 对账: channels' bills, compared with books and gateways, and the work list of what differs.

A channel's merchant account may serve several organizations: each sees what concerns its own orders. A line
of a bill that names no order of ours is shown to the oldest organization, whose account it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.channels import Billed, BillLine, Channel, ChannelAway, ChannelRefused
from cloud.db import Database
from cloud.errors import CloudError
from cloud.services import reconciliation, topups
from cloud.services.reconciliation import BEIJING, Difference, Kind, Reconciled
from cloud.tables import BillDay, BillDifference, Organization, TopUp, User
from prepaid.money import ZERO, Money

log = logging.getLogger(__name__)

LOOKS_BACK = timedelta(days=7)  # a day that was not got, or still differs, is compared again
DELIVERED_WITHIN = timedelta(
    days=1
)  # then a credit that its gateway has not booked is a difference
EMPTY_FOR = timedelta(days=2)  # until then a bill without lines may be one that was not made yet
LONGEST_NOTE = 500


class NoSuchDifference(CloudError):
    status = 404
    sentence = "There is no such difference, or it is settled already."


class NoteMissing(CloudError):
    status = 422
    field = "note"
    sentence = "Say in a few words how it was settled, at most {most} characters."


@dataclass(frozen=True, slots=True)
class Compared:
    """What compare_all did: days compared, payments booked whose notice was lost, and what still differs."""

    days: int
    booked: int
    open: int


def compare_all(
    database: Database,
    channels: Mapping[str, Channel],
    *,
    now: datetime,
    is_stopping: Callable[[], bool],
) -> Compared:
    """Gets and compares the bills of past days that are not yet without a difference.

    A payment that only the bill tells is booked, and its day compared again. Raises ChannelAway or
    ChannelRefused, after all others, if a bill could not be had.
    """
    days = booked = 0
    failed: CloudError | None = None
    for name, channel in channels.items():
        if not isinstance(channel, Billed):
            continue
        with database.system() as session:
            due = _due(session, name, now)
        for day in due:
            if is_stopping():
                break
            try:
                lines = channel.bill(day)
            except (ChannelAway, ChannelRefused) as error:
                log.warning("the bill of %s of %s could not be had: %s", name, day, error)
                failed = error
                continue
            with database.system() as session:
                lost = compare(session, channel=name, day=day, bill=lines, now=now)
            late = sum(_book(database, channel, number, now=now) for number in lost)
            if late:
                booked += late
                with database.system() as session:
                    compare(session, channel=name, day=day, bill=lines, now=now)
            days += 1
    if failed is not None:
        raise failed
    with database.system() as session:
        still = session.execute(select(func.count()).where(_IS_OPEN)).scalar_one()
    return Compared(days, booked, still)


def compare(
    session: Session, *, channel: str, day: date, bill: Iterable[BillLine], now: datetime
) -> tuple[str, ...]:
    """Keeps how the bill of a day and our books compare; the numbers of our orders paid there and not booked here.

    Compared again it replaces what was kept: what no longer differs is marked as gone. Needs a system session.
    """
    lines = tuple(bill)
    whole = reconciliation.reconcile(session, channel=channel, day=day, bill=lines)
    found = (*whole.differences, *_undelivered(session, channel, day, now))
    owners = _owners(session, whole, lines, found)
    for organization_id in sorted(set(owners.values()) or {_oldest(session)}):
        own = [line for line in lines if owners[line.out_trade_no] == organization_id]
        session.merge(_day(organization_id, whole, own, now))
    _keep(session, channel, day, [(owners[d.out_trade_no], d) for d in found], now)
    known = _known(session, [d.out_trade_no for d in found if d.kind is Kind.THEIRS_ONLY])
    return tuple(sorted(known))


def settle(
    session: Session, difference_id: UUID, *, by: SignedIn, note: str, now: datetime
) -> BillDifference:
    """A person has dealt with it. Raises NoSuchDifference or NoteMissing."""
    text = note.strip()
    if not text or len(text) > LONGEST_NOTE:
        raise NoteMissing(most=LONGEST_NOTE)
    row: BillDifference | None = session.execute(
        select(BillDifference)
        .where(
            col(BillDifference.organization_id) == by.organization_id,
            col(BillDifference.id) == difference_id,
            _IS_OPEN,
        )
        .with_for_update()
    ).scalar_one_or_none()
    if row is None:
        raise NoSuchDifference
    row.settled_at, row.settled_by, row.note = now, by.user_id, text
    session.flush()
    return row


def days(session: Session, organization_id: UUID, *, since: date) -> Sequence[BillDay]:
    """The newest first."""
    return (
        session.execute(
            select(BillDay)
            .where(col(BillDay.organization_id) == organization_id, col(BillDay.day) >= since)
            .order_by(col(BillDay.day).desc(), col(BillDay.channel))
        )
        .scalars()
        .all()
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """A difference; by is the name of who settled it."""

    difference: BillDifference
    by: str | None


def differences(session: Session, organization_id: UUID, *, since: date) -> list[Listed]:
    """Those that are open, however old, and what of the days since then was settled or has gone; the newest first."""
    rows = session.execute(
        select(BillDifference, col(User.name))
        .outerjoin(User, col(User.id) == col(BillDifference.settled_by))
        .where(
            col(BillDifference.organization_id) == organization_id,
            _IS_OPEN | (col(BillDifference.day) >= since),
        )
        .order_by(col(BillDifference.day).desc(), col(BillDifference.created_at))
    ).all()
    return [Listed(difference, by) for difference, by in rows]


_IS_OPEN = col(BillDifference.gone_at).is_(None) & col(BillDifference.settled_at).is_(None)


def _due(session: Session, channel: str, now: datetime) -> list[date]:
    """Past days with anything of this channel that were not compared, or on which something is open."""
    today = now.astimezone(BEIJING).date()
    first = today - LOOKS_BACK
    begin = datetime.combine(first, datetime.min.time(), BEIJING)
    used = session.execute(
        select(func.min(col(TopUp.created_at))).where(col(TopUp.channel) == channel)
    ).scalar_one()
    if used is None:
        return []
    begin = max(begin, used)
    all_days = [
        begin.astimezone(BEIJING).date() + timedelta(days=n)
        for n in range((today - begin.astimezone(BEIJING).date()).days)
    ]
    compared = {
        row.day
        for row in session.execute(
            select(BillDay).where(col(BillDay.channel) == channel, col(BillDay.day) >= first)
        ).scalars()
        if row.payments + row.refunds
        or row.compared_at.astimezone(BEIJING).date() - row.day >= EMPTY_FOR
    }
    still = set(
        session.execute(
            select(col(BillDifference.day)).where(col(BillDifference.channel) == channel, _IS_OPEN)
        ).scalars()
    )
    return sorted({day for day in all_days if day not in compared} | still)


def _book(database: Database, channel: Channel, out_trade_no: str, *, now: datetime) -> bool:
    """Asks the channel itself: what a bill says is enough to ask, not to credit."""
    try:
        payment = channel.payment(out_trade_no)
    except (ChannelAway, ChannelRefused) as error:
        log.warning("order %s is in a bill, and cannot be asked for: %s", out_trade_no, error)
        return False
    return payment is not None and topups.book(database, payment, channel=channel.name, now=now)


def _undelivered(session: Session, channel: str, day: date, now: datetime) -> list[Difference]:
    """Credits of the day that their gateway has not booked for so long."""
    begin = datetime.combine(day, datetime.min.time(), BEIJING)
    rows = session.execute(
        select(TopUp).where(
            col(TopUp.channel) == channel,
            col(TopUp.paid_at) >= begin,
            col(TopUp.paid_at) < begin + timedelta(days=1),
            col(TopUp.credited_at) < now - DELIVERED_WITHIN,
            col(TopUp.delivered_at).is_(None),
        )
    ).scalars()
    return [
        Difference(
            kind=Kind.NOT_DELIVERED,
            out_trade_no=row.out_trade_no,
            transaction_id=row.transaction_id or "",
            out_refund_no=None,
            ours=Money(row.amount_fen),
            theirs=None,
        )
        for row in rows
    ]


def _owners(
    session: Session,
    whole: Reconciled,
    lines: Iterable[BillLine],
    found: Iterable[Difference],
) -> dict[str, UUID]:
    """Whose each order is, by our number of it."""
    owners = {one.out_trade_no: one.organization_id for one in whole.booked}
    asked = {line.out_trade_no for line in lines} | {one.out_trade_no for one in found}
    owners |= _known(session, [number for number in asked if number not in owners])
    strange = asked - set(owners)
    if strange:
        owners |= dict.fromkeys(strange, _oldest(session))
    return owners


def _oldest(session: Session) -> UUID:
    found: UUID = session.execute(
        select(col(Organization.id))
        .order_by(col(Organization.created_at), col(Organization.id))
        .limit(1)
    ).scalar_one()
    return found


def _known(session: Session, numbers: Sequence[str]) -> dict[str, UUID]:
    """The organization of each of these orders that is ours."""
    if not numbers:
        return {}
    rows = session.execute(
        select(col(TopUp.out_trade_no), col(TopUp.organization_id)).where(
            col(TopUp.out_trade_no) == func.any(list(numbers))
        )
    )
    return dict(map(tuple, rows))


def _day(
    organization_id: UUID, whole: Reconciled, own: Sequence[BillLine], now: datetime
) -> BillDay:
    paid = [line.amount for line in own if line.out_refund_no is None]
    refunded = [line.amount for line in own if line.out_refund_no is not None]
    ours = [one for one in whole.booked if one.organization_id == organization_id]
    fee = sum((line.fee for line in own), Decimal(0))
    return BillDay(
        organization_id=organization_id,
        channel=whole.channel,
        day=whole.day,
        compared_at=now,
        payments=len(paid),
        paid_fen=sum(paid, ZERO).fen,
        refunds=len(refunded),
        refunded_fen=sum(refunded, ZERO).fen,
        fee_milli_fen=int(fee * 100_000),
        booked_fen=sum((one.amount for one in ours if one.out_refund_no is None), ZERO).fen,
        given_back_fen=sum((one.amount for one in ours if one.out_refund_no is not None), ZERO).fen,
    )


def _keep(
    session: Session,
    channel: str,
    day: date,
    found: Sequence[tuple[UUID, Difference]],
    now: datetime,
) -> None:
    """Differences of the day are now these: new ones are written, those that came back are open again."""
    row = BillDifference
    kept: list[UUID] = []
    for organization_id, one in found:
        values = {
            "ours_fen": one.ours.fen if one.ours is not None else None,
            "theirs_fen": one.theirs.fen if one.theirs is not None else None,
        }
        statement = insert(row).values(
            organization_id=organization_id,
            channel=channel,
            day=day,
            kind=one.kind.value,
            number=one.out_refund_no or one.transaction_id or one.out_trade_no,
            out_trade_no=one.out_trade_no,
            transaction_id=one.transaction_id,
            out_refund_no=one.out_refund_no,
            **values,
        )
        kept.append(
            session.execute(
                statement.on_conflict_do_update(
                    index_elements=["channel", "day", "kind", "number"],
                    set_={**values, "gone_at": None},
                ).returning(col(row.id))
            ).scalar_one()
        )
    session.execute(
        update(row)
        .where(
            col(row.channel) == channel,
            col(row.day) == day,
            col(row.gone_at).is_(None),
            col(row.settled_at).is_(None),
            col(row.id).not_in(kept),
        )
        .values(gone_at=now)
    )
