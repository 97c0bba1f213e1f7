"""Shift 收费员班次: a cashier opens a drawer, takes and pays out, counts it and hands it over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, paging
from cloud.tables import Shift
from prepaid.money import ZERO, Money

CASH = "cash"


class NoShift(CloudError):
    status = 409
    sentence = "Open your shift first: say what is in the drawer, then take money."


class NoSuchShift(CloudError):
    status = 404
    sentence = "There is no such shift."


class BadCount(CloudError):
    status = 422
    sentence = "What is in a drawer is not below ¥0."


@dataclass(frozen=True, slots=True)
class Taken:
    """What a shift took and gave out by one way of paying; taken includes the service fees."""

    way: str
    count: int
    taken: Money
    fees: Money
    reversed_: Money
    paid_out: Money

    @property
    def net(self) -> Money:
        return self.taken - self.reversed_ - self.paid_out


@dataclass(frozen=True, slots=True)
class Summary:
    """A shift 收费员结账: what its drawer should hold by its books, and what was counted once it was closed."""

    id: UUID
    cashier_id: UUID
    cashier: str
    opened_at: datetime
    float_: Money
    taken: tuple[Taken, ...]
    expected: Money
    closed_at: datetime | None
    counted: Money | None
    handed_to: str
    note: str

    @property
    def difference(self) -> Money | None:
        """长款 above nothing, 短款 below; None until it is counted."""
        return None if self.counted is None else self.counted - self.expected


def open_(session: Session, by: SignedIn, float_: Money, *, now: datetime) -> Shift:
    """The shift of by that is open, a new one if there is none. Raises BadCount."""
    if float_ < ZERO:
        raise BadCount(field="float")
    is_new = session.execute(
        insert(Shift)
        .values(
            organization_id=by.organization_id,
            created_at=now,
            user_id=by.user_id,
            float_fen=float_.fen,
            handed_to="",
            note="",
        )
        .on_conflict_do_nothing(
            index_elements=[col(Shift.user_id)], index_where=col(Shift.closed_at).is_(None)
        )
        .returning(col(Shift.id))
    ).first()
    shift = mine(session, by)
    if is_new:
        said = {"float_fen": float_.fen}
        audit.record(session, by, "open", of="shift", id=shift.id, after=said, now=now)
    return shift


def mine(session: Session, by: SignedIn) -> Shift:
    """The open shift of by; it is not closed before the end of the transaction. Raises NoShift."""
    found: Shift | None = session.execute(
        select(Shift)
        .where(col(Shift.user_id) == by.user_id, col(Shift.closed_at).is_(None))
        .with_for_update(key_share=True, read=True)
    ).scalar_one_or_none()
    if found is None:
        raise NoShift
    return found


def has_open(session: Session, by: SignedIn) -> Shift | None:
    """The open shift of by, if there is one."""
    found: Shift | None = session.execute(
        select(Shift).where(col(Shift.user_id) == by.user_id, col(Shift.closed_at).is_(None))
    ).scalar_one_or_none()
    return found


def close(
    session: Session,
    by: SignedIn,
    *,
    counted: Money,
    handed_to: str,
    note: str,
    now: datetime,
) -> Summary:
    """Counts the drawer and hands it over; the difference stays on record. Raises NoShift or BadCount."""
    if counted < ZERO:
        raise BadCount(field="counted")
    shift: Shift | None = session.execute(
        select(Shift)
        .where(col(Shift.user_id) == by.user_id, col(Shift.closed_at).is_(None))
        .with_for_update()  # whoever is taking money into it now is waited for
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if shift is None:
        raise NoShift
    expected = one(session, by.organization_id, shift.id).expected
    shift.closed_at, shift.counted_fen, shift.expected_fen = now, counted.fen, expected.fen
    shift.handed_to, shift.note = handed_to.strip()[:100], note.strip()[:200]
    session.add(shift)
    session.flush()
    said = {"expected_fen": expected.fen, "counted_fen": counted.fen, "handed_to": shift.handed_to}
    audit.record(session, by, "close", of="shift", id=shift.id, after=said, now=now)
    return one(session, by.organization_id, shift.id)


# A reversal counts once its gateway has booked it: before, the money is still the customer's.
_TAKEN = text("""
    SELECT way, sum(count) AS orders, sum(taken) AS taken, sum(fees) AS fees, sum(reversed) AS reversed,
           sum(paid_out) AS paid_out
    FROM (
        SELECT channel AS way, 1 AS count, amount_fen AS taken, fee_fen AS fees, 0 AS reversed, 0 AS paid_out
        FROM topups WHERE shift_id = :shift AND credited_at IS NOT NULL
        UNION ALL
        SELECT t.channel, 0, 0, 0, w.amount_fen + w.fee_fen, 0
        FROM withdrawals w JOIN topups t ON t.id = w.topup_id
        WHERE w.kind = 'reversal' AND w.shift_id = :shift AND w.booked_at IS NOT NULL AND w.undone_at IS NULL
          AND w.cancelled_at IS NULL
        UNION ALL
        SELECT way, 0, 0, 0, 0, amount_fen + fee_fen FROM withdrawal_parts
        WHERE shift_id = :shift AND done_at IS NOT NULL
    ) AS moved GROUP BY way ORDER BY way = 'cash' DESC, way
""")


def one(session: Session, organization_id: UUID, shift_id: UUID) -> Summary:
    """Raises NoSuchShift."""
    shift = session.get(Shift, shift_id)
    if shift is None or shift.organization_id != organization_id:
        raise NoSuchShift
    taken = tuple(
        Taken(
            way=row.way,
            count=int(row.orders),
            taken=Money(int(row.taken)),
            fees=Money(int(row.fees)),
            reversed_=Money(int(row.reversed)),
            paid_out=Money(int(row.paid_out)),
        )
        for row in session.execute(_TAKEN, {"shift": shift_id})
    )
    cash = sum((each.net for each in taken if each.way == CASH), ZERO)
    now_there = Money(shift.float_fen) + cash
    return Summary(
        id=shift.id,
        cashier_id=shift.user_id,
        cashier=session.get_one(tables.User, shift.user_id).name,
        opened_at=shift.created_at,
        float_=Money(shift.float_fen),
        taken=taken,
        expected=now_there if shift.expected_fen is None else Money(shift.expected_fen),
        closed_at=shift.closed_at,
        counted=None if shift.counted_fen is None else Money(shift.counted_fen),
        handed_to=shift.handed_to,
        note=shift.note,
    )


def drawer(session: Session, *, shift_id: UUID | None, user_id: UUID) -> UUID | None:
    """The shift in whose drawer something moves: this one while it is open, else the open one of the user, None where
    there is none. It is not closed before the end of the transaction."""
    shift = Shift
    found: UUID | None = session.execute(
        select(col(shift.id))
        .where(
            (col(shift.id) == shift_id) | (col(shift.user_id) == user_id),
            col(shift.closed_at).is_(None),
        )
        .order_by((col(shift.id) == shift_id).desc().nulls_last())
        .limit(1)
        .with_for_update(key_share=True, read=True)
    ).scalar_one_or_none()
    return found


def listed(
    session: Session,
    organization_id: UUID,
    *,
    user_id: UUID | None = None,
    most: int = 60,
    after: UUID | None = None,
) -> list[Summary]:
    """The newest first; of one cashier, or of all. after: only what follows this shift."""
    found = session.execute(
        select(col(Shift.id))
        .where(
            col(Shift.organization_id) == organization_id,
            paging.follows(Shift, after),
            *([col(Shift.user_id) == user_id] if user_id is not None else []),
        )
        .order_by(col(Shift.created_at).desc(), col(Shift.id).desc())
        .limit(most)
    ).scalars()
    return [one(session, organization_id, id) for id in found.all()]
