"""Period close 结账: a month's books are closed, in order, and nothing is booked in it any more.

What comes late from a gateway or a payment channel is booked in the open month and marked (services.ledger.post).
A closed month is opened again by two people, the last one first, and that stays on record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit
from cloud.services.ledger import BOOKS_ZONE
from cloud.tables import PeriodClosing


class NotYet(CloudError):
    status = 409
    sentence = "{month} is not over yet. It can be closed from the first day of the next month on."


class NotNext(CloudError):
    status = 409
    sentence = "Months are closed in order: the next one is {month}."


class ShiftsOpen(CloudError):
    status = 409
    sentence = (
        "{count} shifts of {month} are still open. Close them first, so that its cash is counted."
    )


class NotClosed(CloudError):
    status = 409
    sentence = "Only the month that was closed last can be opened again: {month}."


class BadReason(CloudError):
    status = 422
    field = "why"
    sentence = "Please say why, in up to 200 characters. Whoever comes after you will read it."


@dataclass(frozen=True, slots=True)
class Checked:
    """What is still under way of a month that is to be closed. Only open shifts keep it from being closed."""

    open_shifts: int
    open_withdrawals: int
    open_channel_refunds: int
    silent_gateways: int


@dataclass(frozen=True, slots=True)
class Closing:
    """A month that was closed, and if it was opened again, by which two people and why."""

    id: UUID
    month: date
    closed_at: datetime
    closed_by: str
    reopened_at: datetime | None
    reopen_asked_by: str | None
    reopened_by: str | None
    why: str | None


def begin_of(month: date) -> datetime:
    """The instant (UTC) at which a month of the books begins."""
    return datetime.combine(month.replace(day=1), time(), BOOKS_ZONE).astimezone(UTC)


def after(month: date) -> date:
    """The first day of the next month."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def month_of(at: datetime) -> date:
    """The first day of the month, in the books' own time."""
    return at.astimezone(BOOKS_ZONE).date().replace(day=1)


def closed_through(session: Session, organization_id: UUID) -> date | None:
    """The last month that is closed, None before the first."""
    organization = tables.Organization
    found: date | None = session.execute(
        select(col(organization.closed_through)).where(col(organization.id) == organization_id)
    ).scalar_one()
    return found


def next_to_close(session: Session, organization_id: UUID, *, now: datetime) -> date:
    """The month whose turn it is; before the first closing the one before this. It may not be over yet."""
    closed = closed_through(session, organization_id)
    if closed is not None:
        return after(closed)
    return month_of(begin_of(month_of(now)) - timedelta(days=1))


def check(session: Session, organization_id: UUID, month: date) -> Checked:
    """What is still under way that began before the month's end."""
    end = begin_of(after(month))
    shift, withdrawal = tables.Shift, tables.Withdrawal
    refund, gateway = tables.ChannelRefund, tables.Gateway

    def count(*wanted: object) -> int:
        return int(session.execute(select(func.count()).where(*wanted)).scalar_one())  # type: ignore[arg-type]

    return Checked(
        open_shifts=count(
            col(shift.organization_id) == organization_id,
            col(shift.closed_at).is_(None),
            col(shift.created_at) < end,
        ),
        open_withdrawals=count(
            col(withdrawal.organization_id) == organization_id,
            col(withdrawal.created_at) < end,
            col(withdrawal.booked_at).is_(None),
            col(withdrawal.refused_at).is_(None),
            col(withdrawal.cancelled_at).is_(None),
        ),
        open_channel_refunds=count(
            col(refund.organization_id) == organization_id,
            col(refund.created_at) < end,
            col(refund.done_at).is_(None),
        ),
        silent_gateways=count(
            col(gateway.organization_id) == organization_id,
            col(gateway.silent_since).is_not(None),
            col(gateway.revoked_at).is_(None),
        ),
    )


_KEEP = text("""
    INSERT INTO closed_balances (organization_id, month, book, balance_fen)
    SELECT :organization, :month, book, sum(fen) FROM (
        SELECT book, balance_fen AS fen FROM closed_balances
        WHERE organization_id = :organization AND month = :before
        UNION ALL
        SELECT credit, amount_fen FROM transfers
        WHERE organization_id = :organization AND (
            (carried_at IS NULL AND at >= :since AND at < :until)
            OR (carried_at >= :since AND carried_at < :until))
        UNION ALL
        SELECT debit, -amount_fen FROM transfers
        WHERE organization_id = :organization AND (
            (carried_at IS NULL AND at >= :since AND at < :until)
            OR (carried_at >= :since AND carried_at < :until))
    ) AS moved GROUP BY book HAVING sum(fen) <> 0
""")


def close(session: Session, by: SignedIn, month: date, *, now: datetime) -> Closing:
    """Closes the books of a month, and all before it if it is the first. Again changes nothing.

    Raises NotYet, NotNext or ShiftsOpen.
    """
    organization = _locked(session, by.organization_id)
    month = month.replace(day=1)
    if organization.closed_through is not None and month <= organization.closed_through:
        return next(each for each in closings(session, by.organization_id) if each.month == month)
    if begin_of(after(month)) > now:
        raise NotYet(month=f"{month:%Y-%m}")
    if organization.closed_through is not None and month != after(organization.closed_through):
        raise NotNext(month=f"{after(organization.closed_through):%Y-%m}")
    if shifts := check(session, by.organization_id, month).open_shifts:
        raise ShiftsOpen(count=shifts, month=f"{month:%Y-%m}")
    before = organization.closed_through
    session.execute(
        _KEEP,
        {
            "organization": by.organization_id,
            "month": month,
            "before": before,
            "since": begin_of(after(before)) if before else datetime(1970, 1, 1, tzinfo=UTC),
            "until": begin_of(after(month)),
        },
    )
    organization.closed_through = month
    row = PeriodClosing(
        organization_id=by.organization_id, created_at=now, month=month, closed_by=by.user_id
    )
    session.add_all([organization, row])
    session.flush()
    audit.record(session, by, "close", of="month", id=f"{month:%Y-%m}", now=now)
    return _one(session, row.id)


def reopen(
    session: Session,
    by: SignedIn,
    month: date,
    *,
    asked_by: UUID,
    why: str,
    now: datetime,
) -> Closing:
    """Opens the month that was closed last, which asked_by, another person, has asked for.

    Raises NotClosed or BadReason.
    """
    organization = _locked(session, by.organization_id)
    closed = organization.closed_through
    if closed is None or closed != month.replace(day=1):
        raise NotClosed(month=f"{closed:%Y-%m}" if closed else "-")
    if not 0 < len(why.strip()) <= 200:
        raise BadReason
    if asked_by == by.user_id:
        raise ValueError("a closed month is opened by two people")
    row = standing(session, by.organization_id, closed)
    row.reopened_at, row.reopened_by, row.reopen_asked_by = now, by.user_id, asked_by
    row.why = why.strip()
    kept = tables.ClosedBalance
    session.execute(
        delete(kept).where(
            col(kept.organization_id) == by.organization_id, col(kept.month) == closed
        )
    )
    organization.closed_through = _before(session, by.organization_id, closed)
    session.add_all([organization, row])
    session.flush()
    said = {"asked_by": str(asked_by), "why": row.why}
    audit.record(session, by, "reopen", of="month", id=f"{closed:%Y-%m}", after=said, now=now)
    return _one(session, row.id)


def standing(session: Session, organization_id: UUID, month: date) -> PeriodClosing:
    """The closing of a month that is not opened again; locked. Raises NotClosed."""
    found: PeriodClosing | None = session.execute(
        select(PeriodClosing)
        .where(
            col(PeriodClosing.organization_id) == organization_id,
            col(PeriodClosing.month) == month.replace(day=1),
            col(PeriodClosing.reopened_at).is_(None),
        )
        .with_for_update()
    ).scalar_one_or_none()
    if found is None:
        closed = closed_through(session, organization_id)
        raise NotClosed(month=f"{closed:%Y-%m}" if closed else "-")
    return found


def closings(session: Session, organization_id: UUID) -> list[Closing]:
    """All that were ever closed, the newest first; opened again or not."""
    return _found(session, col(PeriodClosing.organization_id) == organization_id)


def _before(session: Session, organization_id: UUID, month: date) -> date | None:
    """The month that was closed before this one and still is."""
    found: date | None = session.execute(
        select(func.max(col(PeriodClosing.month))).where(
            col(PeriodClosing.organization_id) == organization_id,
            col(PeriodClosing.reopened_at).is_(None),
            col(PeriodClosing.month) < month,
        )
    ).scalar_one()
    return found


def _locked(session: Session, organization_id: UUID) -> tables.Organization:
    """Until the end of the transaction nobody books anything for the organization."""
    organization: tables.Organization = session.execute(
        select(tables.Organization)
        .where(col(tables.Organization.id) == organization_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()
    return organization


def _one(session: Session, id: UUID) -> Closing:
    return _found(session, col(PeriodClosing.id) == id)[0]


def _found(session: Session, wanted: object) -> list[Closing]:
    closer, asker, opener = (aliased(tables.User) for _ in range(3))
    rows = session.execute(
        select(PeriodClosing, col(closer.name), col(asker.name), col(opener.name))
        .join(closer, col(closer.id) == col(PeriodClosing.closed_by))
        .outerjoin(asker, col(asker.id) == col(PeriodClosing.reopen_asked_by))
        .outerjoin(opener, col(opener.id) == col(PeriodClosing.reopened_by))
        .where(wanted)  # type: ignore[arg-type]
        .order_by(col(PeriodClosing.month).desc(), col(PeriodClosing.created_at).desc())
    )
    return [
        Closing(
            id=row.id,
            month=row.month,
            closed_at=row.created_at,
            closed_by=closed_by,
            reopened_at=row.reopened_at,
            reopen_asked_by=asked_by,
            reopened_by=reopened_by,
            why=row.why,
        )
        for row, closed_by, asked_by, reopened_by in rows
    ]
