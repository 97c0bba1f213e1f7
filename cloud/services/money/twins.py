"""Twins 同款订单: orders for the same money at several channels; whichever is paid first is credited."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from cloud.tables import TopUp


def is_twin_credited() -> ColumnElement[bool]:
    """Of a TopUp in a query: another order for the same money is credited."""
    twin = aliased(TopUp)
    first = func.coalesce(col(TopUp.twin_of), col(TopUp.id))
    return exists().where(
        or_(col(twin.id) == first, col(twin.twin_of) == first),
        col(twin.id) != col(TopUp.id),
        col(twin.credited_at).is_not(None),
    )


def credited_twin(session: Session, topup: TopUp) -> TopUp | None:
    """The other order by which the money of this one, not paid, was credited."""
    if topup.paid_at is not None:
        return None
    return next((twin for twin in _twins(session, topup) if twin.credited_at is not None), None)


def _twins(session: Session, topup: TopUp) -> list[TopUp]:
    """The other orders for the same money."""
    first = topup.twin_of or topup.id
    found = session.execute(
        select(TopUp).where(
            or_(col(TopUp.id) == first, col(TopUp.twin_of) == first), col(TopUp.id) != topup.id
        )
    )
    return list(found.scalars())
