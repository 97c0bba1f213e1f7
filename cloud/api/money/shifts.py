"""/api/shifts: cashiers' drawers, what each took and should hold. For those who see the books."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from cloud.api.money.books import SeeBooks
from cloud.api.paging import After, Most, cut
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.money import shifts
from cloud.web import UserSession

router = APIRouter(prefix="/api/shifts")


class Taken(BaseModel):
    """By one way of paying; taken_fen includes the service fees."""

    way: str
    count: int
    taken_fen: int
    fees_fen: int
    reversed_fen: int
    paid_out_fen: int


class Shift(BaseModel):
    """expected_fen is what the drawer should hold; counted_fen and difference_fen are null until it is closed."""

    id: UUID
    cashier_id: UUID
    cashier: str
    opened_at: datetime
    float_fen: int
    taken: list[Taken]
    expected_fen: int
    closed_at: datetime | None
    counted_fen: int | None
    difference_fen: int | None
    handed_to: str
    note: str


class Shifts(BaseModel):
    shifts: list[Shift]
    next: UUID | None


@router.get("")
def list_shifts(
    user: SeeBooks, session: UserSession, after: After = None, most: Most = 50
) -> Shifts:
    """Shifts, the newest first: a cashier's own, all of them for others who see the books."""
    found = shifts.listed(
        session,
        user.organization_id,
        user_id=_only(user),
        after=after,
        most=most + 1,
    )
    page, following = cut(found, most, lambda each: each.id)
    return Shifts(shifts=[_shift(each) for each in page], next=following)


@router.get("/{shift_id}")
def get_shift(shift_id: UUID, user: SeeBooks, session: UserSession) -> Shift:
    """One shift; another's only for those who do not take money themselves, or close the books."""
    found = shifts.one(session, user.organization_id, shift_id)
    if _only(user) not in (None, found.cashier_id):
        raise shifts.NoSuchShift
    return _shift(found)


def _only(user: SignedIn) -> UUID | None:
    """Whose shifts the user sees alone; None: everybody's."""
    is_cashier = user.may(Permission.TAKE_TOPUPS) and not user.may(Permission.CLOSE_BOOKS)
    return user.user_id if is_cashier or not user.scope.is_everywhere else None


def _shift(found: shifts.Summary) -> Shift:
    return Shift(
        id=found.id,
        cashier_id=found.cashier_id,
        cashier=found.cashier,
        opened_at=found.opened_at,
        float_fen=found.float_.fen,
        taken=[
            Taken(
                way=each.way,
                count=each.count,
                taken_fen=each.taken.fen,
                fees_fen=each.fees.fen,
                reversed_fen=each.reversed_.fen,
                paid_out_fen=each.paid_out.fen,
            )
            for each in found.taken
        ],
        expected_fen=found.expected.fen,
        closed_at=found.closed_at,
        counted_fen=None if found.counted is None else found.counted.fen,
        difference_fen=None if found.difference is None else found.difference.fen,
        handed_to=found.handed_to,
        note=found.note,
    )
