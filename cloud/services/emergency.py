"""Emergency credit 应急额度, taken for a purse: on the customer's page or at the gateway, until it is paid back."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import events, tables
from cloud.errors import CloudError
from cloud.services import downlog, ledger
from cloud.services.scopes import NoSuchPurse
from prepaid.credit import CreditState, credit_state
from prepaid.money import Money
from prepaid.point import Policy
from prepaid.wire.uplog import EmergencyRepaid, EmergencyTaken

log = logging.getLogger(__name__)

_POLICY = TypeAdapter(Policy)


class By(StrEnum):
    """Where emergency credit was taken."""

    CUSTOMER = "customer"  # on the customer's page
    STAFF = "staff"  # by a member of staff, for the customer
    GATEWAY = "gateway"  # at the gateway


class NotOffered(CloudError):
    status = 409
    sentence = "Emergency credit is not offered for this balance."


@dataclass(frozen=True, slots=True)
class Loan:
    """Emergency credit that is taken and not paid back. is_delivered: the gateway knows of it."""

    purse_id: UUID
    taken_at: datetime
    by: By
    is_delivered: bool


def take(
    session: Session,
    purse_id: UUID,
    *,
    by: By,
    now: datetime,
    account_id: UUID | None = None,
    organization_id: UUID | None = None,
) -> Loan:
    """Lends what the policy of the purse's service points offers, and tells the gateway. Again changes nothing.

    With account_id or organization_id, only if the purse is theirs. Raises NoSuchPurse or NotOffered.
    """
    purse = session.get(tables.Purse, purse_id)
    if purse is None or account_id not in (None, purse.account_id):
        raise NoSuchPurse
    if organization_id not in (None, purse.organization_id):
        raise NoSuchPurse
    if purse.gateway_id is None:
        raise NotOffered
    (gateway,) = downlog.lock(session, [purse.gateway_id])  # who takes it at the same time waits
    if (known := open_loans(session, [purse_id]).get(purse_id)) is not None:
        return known
    if not _is_offered(session, purse_id):
        raise NotOffered
    seq = downlog.append(session, gateway, [EmergencyTaken(purse_id, now, by.value)])
    session.add(
        tables.EmergencyCredit(
            organization_id=purse.organization_id,
            purse_id=purse_id,
            gateway_id=gateway.id,
            taken_at=now,
            by=by.value,
            down_seq=seq,
        )
    )
    session.flush()
    log.info("emergency credit is taken for purse %s by the %s", purse_id, by)
    _changed(session, purse)
    return Loan(purse_id, now, by, is_delivered=False)


def open_loans(session: Session, purses: Iterable[UUID]) -> dict[UUID, Loan]:
    """What is taken and not paid back, by purse; no entry for the others."""
    row, gateway = tables.EmergencyCredit, tables.Gateway
    found = session.execute(
        select(row, col(gateway.down_acked))
        .join(gateway, col(gateway.id) == col(row.gateway_id))
        .where(col(row.purse_id).in_(set(purses)), col(row.repaid_at).is_(None))
    )
    return {
        loan.purse_id: Loan(
            purse_id=loan.purse_id,
            taken_at=loan.taken_at,
            by=By(loan.by),
            is_delivered=loan.down_seq is None or loan.down_seq <= acked,
        )
        for loan, acked in found
    }


def taken_at_gateway(
    session: Session, gateway: tables.Gateway, purse: tables.Purse, message: EmergencyTaken
) -> None:
    """Notes what was taken at the gateway itself; nothing if we know of it. Needs the gateway locked."""
    row = tables.EmergencyCredit
    session.execute(
        insert(row)
        .values(
            organization_id=gateway.organization_id,
            purse_id=purse.id,
            gateway_id=gateway.id,
            taken_at=message.at,
            by=By.GATEWAY.value,
        )
        .on_conflict_do_nothing(
            index_elements=[col(row.purse_id)], index_where=col(row.repaid_at).is_(None)
        )
    )
    _changed(session, purse)


def repaid(session: Session, purse: tables.Purse, message: EmergencyRepaid) -> None:
    """Notes that the gateway has seen it paid back. Needs the gateway locked."""
    row = tables.EmergencyCredit
    session.execute(
        update(row)
        .where(col(row.purse_id) == purse.id, col(row.repaid_at).is_(None))
        .values(repaid_at=message.at)
    )
    _changed(session, purse)


def _is_offered(session: Session, purse_id: UUID) -> bool:
    available = ledger.balance(session, purse_id)
    return any(
        credit_state(policy, available, is_emergency_taken=False) is CreditState.EC_OFFERED
        for policy in _policies(session, purse_id)
    )


def lends(policy: Policy, available: Money) -> Money | None:
    """What emergency credit would bring a customer who takes it now, None where none is offered."""
    if credit_state(policy, available, is_emergency_taken=False) is not CreditState.EC_OFFERED:
        return None
    assert policy.emergency is not None
    return policy.emergency.amount


def _policies(session: Session, purse_id: UUID) -> list[Policy]:
    row = tables.ServicePoint
    found = session.execute(
        select(col(row.policy)).where(col(row.purse_id) == purse_id, col(row.ended_at).is_(None))
    ).scalars()
    return [_POLICY.validate_python(policy) for policy in found]


def _changed(session: Session, purse: tables.Purse) -> None:
    rooms = session.execute(
        select(col(tables.ServicePoint.room_id))
        .where(col(tables.ServicePoint.purse_id) == purse.id)
        .distinct()
    ).scalars()
    for room_id in rooms:
        events.changed(session, purse.organization_id, room_id=room_id, account_id=purse.account_id)
