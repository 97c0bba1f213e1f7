"""Reconciliation 对账: a channel's bill of a day against what the cloud has booked; what differs, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from cloud.channels import BillLine
from cloud.tables import ChannelRefund, TopUp
from prepaid.money import ZERO, Money

BEIJING = ZoneInfo("Asia/Shanghai")  # the days of channels' bills
# A refund is of the day on which the channel took it, by its clock; ours may say another near midnight.
NEAR_MIDNIGHT = timedelta(minutes=15)


class Kind(StrEnum):
    """What differs, by what is to be done about it."""

    OURS_ONLY = "ours-only"  # booked, and not in the bill: ask the channel, it was not paid
    THEIRS_ONLY = "theirs-only"  # paid, and not booked: the notice was lost, book it
    AMOUNT = "amount"  # two amounts for one payment or refund: stop, a person must look
    REFUND_OURS_ONLY = "refund-ours-only"  # given back by our books, and not in the bill
    REFUND_THEIRS_ONLY = "refund-theirs-only"  # given back at the channel, not by us
    NOT_DELIVERED = "not-delivered"  # booked here a day ago, and its gateway has not booked it


@dataclass(frozen=True, slots=True)
class Difference:
    """ours and theirs are the amounts of the payment or refund; None where that side has none."""

    kind: Kind
    out_trade_no: str
    transaction_id: str
    out_refund_no: str | None
    ours: Money | None
    theirs: Money | None


@dataclass(frozen=True, slots=True)
class Booked:
    """A payment, or with out_refund_no a refund, in our books."""

    organization_id: UUID
    out_trade_no: str
    transaction_id: str
    out_refund_no: str | None
    amount: Money


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A channel's day. paid, refunded and fee are the bill's; fee is in yuan, as exact as the bill. booked is what
    our books have of the day, or the bill names."""

    channel: str
    day: date
    booked: tuple[Booked, ...]
    paid: Money
    refunded: Money
    fee: Decimal
    differences: tuple[Difference, ...]


def reconcile(session: Session, *, channel: str, day: date, bill: Iterable[BillLine]) -> Reconciled:
    """Compares the bill of a day (Beijing's) with our books, both ways. Needs a system session."""
    lines = tuple(bill)
    payments = {line.transaction_id: line for line in lines if line.out_refund_no is None}
    refunds = {line.out_refund_no: line for line in lines if line.out_refund_no is not None}
    begin = datetime.combine(day, time(), BEIJING).astimezone(UTC)
    end = begin + timedelta(days=1)
    our_payments = _payments(session, channel, set(payments), begin, end)
    our_refunds = _refunds(session, channel, set(refunds), begin, end)
    returned = _returned(lines, our_payments, our_refunds)
    found = [
        *(
            _compared(our_payments.get(n), line, Kind.THEIRS_ONLY)
            for n, line in payments.items()
            if n not in returned
        ),
        *(
            _compared(our_refunds.get(n), line, Kind.REFUND_THEIRS_ONLY)
            for n, line in refunds.items()
            if line.transaction_id not in returned
        ),
        *(_ours(one, Kind.OURS_ONLY) for n, one in our_payments.items() if n not in payments),
        *(_ours(one, Kind.REFUND_OURS_ONLY) for n, one in our_refunds.items() if n not in refunds),
    ]
    return Reconciled(
        channel=channel,
        day=day,
        booked=(*our_payments.values(), *our_refunds.values()),
        paid=sum((line.amount for line in payments.values()), ZERO),
        refunded=sum((line.amount for line in refunds.values()), ZERO),
        fee=sum((line.fee for line in lines), Decimal(0)),
        differences=tuple(difference for difference in found if difference is not None),
    )


def _returned(
    lines: Iterable[BillLine], our_payments: Mapping[str, Booked], our_refunds: Mapping[str, Booked]
) -> set[str]:
    """The payments that we never booked and that the channel gave back whole that day: nobody owes anything."""
    left: dict[str, Money] = {}
    for line in lines:
        if line.transaction_id in our_payments or line.out_refund_no in our_refunds:
            continue
        amount = line.amount if line.out_refund_no is None else -line.amount
        left[line.transaction_id] = left.get(line.transaction_id, ZERO) + amount
    return {number for number, amount in left.items() if amount == ZERO}


def _payments(
    session: Session, channel: str, numbers: set[str], begin: datetime, end: datetime
) -> dict[str, Booked]:
    """Our payments of the day, and those that the bill names, by the channel's number."""
    found: dict[str, Booked] = {}
    for table in (TopUp, ChannelRefund):  # a second payment of one order is in the second only
        paid_at, number = col(table.paid_at), col(table.transaction_id)
        rows = session.execute(
            select(table).where(
                col(table.channel) == channel,
                ((paid_at >= begin) & (paid_at < end)) | number.in_(numbers),
                number.is_not(None),
            )
        ).scalars()
        for row in rows:
            fen = row.payment_fen if isinstance(row, ChannelRefund) else row.amount_fen
            found[row.transaction_id] = Booked(
                row.organization_id,
                row.out_trade_no,
                row.transaction_id,
                None,
                Money(fen),
            )
    return found


def _refunds(
    session: Session, channel: str, numbers: set[str], begin: datetime, end: datetime
) -> dict[str, Booked]:
    """Our refunds that the channel took on the day, and those that the bill names, by our number."""
    taken, number = col(ChannelRefund.accepted_at), col(ChannelRefund.out_refund_no)
    rows = session.execute(
        select(ChannelRefund).where(
            col(ChannelRefund.channel) == channel,
            ((taken >= begin + NEAR_MIDNIGHT) & (taken < end - NEAR_MIDNIGHT))
            | number.in_(numbers),
        )
    ).scalars()
    return {
        row.out_refund_no: Booked(
            row.organization_id,
            row.out_trade_no,
            row.transaction_id,
            row.out_refund_no,
            Money(row.amount_fen),
        )
        for row in rows
    }


def _compared(ours: Booked | None, theirs: BillLine, missing: Kind) -> Difference | None:
    if ours is not None and ours.amount == theirs.amount:
        return None
    return Difference(
        kind=missing if ours is None else Kind.AMOUNT,
        out_trade_no=theirs.out_trade_no,
        transaction_id=theirs.transaction_id,
        out_refund_no=theirs.out_refund_no,
        ours=ours.amount if ours is not None else None,
        theirs=theirs.amount,
    )


def _ours(one: Booked, kind: Kind) -> Difference:
    return Difference(
        kind=kind,
        out_trade_no=one.out_trade_no,
        transaction_id=one.transaction_id,
        out_refund_no=one.out_refund_no,
        ours=one.amount,
        theirs=None,
    )
