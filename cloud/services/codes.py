"""Offline code 离线充值码: a paid top-up that has not reached its gateway, as twenty digits to be typed there."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlmodel import Session, col

from cloud import events, tables
from cloud.errors import CloudError
from cloud.services import crediting, downlog, unknown_codes
from cloud.services.gateway_keys import code_key
from cloud.services.scopes import NoSuchTopUp
from cloud.tables import TopUp
from prepaid import offline_code
from prepaid.money import Money
from prepaid.offline_code import WINDOW, Credit
from prepaid.wire.uplog import CodeEntered

log = logging.getLogger(__name__)


class NotPaid(CloudError):
    status = 409
    sentence = "This top-up is not paid yet, so there is no code for it."


class NoGateway(CloudError):
    status = 409
    sentence = "No meter is connected to this purse yet, so there is nowhere to type a code."


class NotEnrolled(CloudError):
    status = 409
    sentence = "Gateway {gateway_no} is not enrolled, so it cannot check codes. Enrol it first."


class HasArrived(CloudError):
    status = 409
    sentence = "This top-up has reached the gateway already. A code is not needed."


class TooFarAhead(CloudError):
    status = 409
    sentence = (
        "More than {most} top-ups before this one have not reached the gateway. "
        "Wait until it is online again."
    )


@dataclass(frozen=True, slots=True)
class Issued:
    """A code of twenty digits and what it is for. issued_at is when it was first shown to anybody."""

    topup_id: UUID
    purse_id: UUID
    gateway_no: str
    amount: Money
    code: str
    issued_at: datetime


# Enrolment gave it the key by which it checks codes.
_IS_ENROLLED = exists().where(
    col(tables.GatewayCredential.gateway_id) == col(tables.Gateway.id),
    col(tables.GatewayCredential.ended_at).is_(None),
)


def issue(
    session: Session,
    topup_id: UUID,
    *,
    code_secret: str,
    now: datetime,
    organization_id: UUID | None = None,
    account_id: UUID | None = None,
) -> Issued:
    """The code of a top-up that is paid and has not reached its gateway; the same top-up always has the same.

    With organization_id or account_id, only if it is theirs. Raises NoSuchTopUp, NotPaid, NoGateway,
    NotEnrolled, HasArrived or TooFarAhead.
    """
    found = session.execute(
        select(TopUp, col(tables.Purse.account_id), col(tables.Gateway.gateway_no), _IS_ENROLLED)
        .join(tables.Purse, col(tables.Purse.id) == col(TopUp.purse_id))
        .join(tables.Gateway, col(tables.Gateway.id) == col(TopUp.gateway_id), isouter=True)
        .where(col(TopUp.id) == topup_id)
    ).one_or_none()
    if found is None:
        raise NoSuchTopUp
    topup, owner, gateway_no, is_enrolled = found
    if organization_id not in (None, topup.organization_id) or account_id not in (None, owner):
        raise NoSuchTopUp
    if topup.credited_at is None or topup.credit_number is None:
        raise NotPaid
    if gateway_no is None:
        raise NoGateway
    if topup.delivered_at is not None:
        raise HasArrived
    if not is_enrolled:
        raise NotEnrolled(gateway_no=gateway_no)
    if topup.credit_number > _last_arrived(session, topup.purse_id) + WINDOW:
        raise TooFarAhead(most=WINDOW)
    if topup.code_issued_at is None:
        topup.code_issued_at = now
        session.add(topup)
        session.flush()
        log.info("an offline code was issued for top-up %s", topup.id)
    code = offline_code.make(
        code_key(code_secret, gateway_no=gateway_no),
        purse=topup.purse_id,
        credit=Credit(topup.credit_number, crediting.credited(topup)),
    )
    return Issued(
        topup_id=topup.id,
        purse_id=topup.purse_id,
        gateway_no=gateway_no,
        amount=crediting.credited(topup),
        code=code,
        issued_at=topup.code_issued_at,
    )


def waiting(
    session: Session,
    purses: Iterable[UUID],
    *,
    code_secret: str,
    now: datetime,
) -> tuple[Issued, ...]:
    """The codes of all that was paid into these purses while their gateway is silent, each purse's in order."""
    heard = col(tables.Gateway.heard_at)
    found = session.execute(
        select(col(TopUp.id))
        .join(tables.Gateway, col(tables.Gateway.id) == col(TopUp.gateway_id))
        .where(
            col(TopUp.purse_id).in_(set(purses)),
            col(TopUp.credit_number).is_not(None),
            col(TopUp.delivered_at).is_(None),
            heard.is_(None) | (heard <= now - downlog.ONLINE),
            _IS_ENROLLED,
        )
        .order_by(col(TopUp.purse_id), col(TopUp.credit_number))
        .limit(WINDOW)
    ).scalars()
    issued: list[Issued] = []
    for id in found.all():
        with suppress(TooFarAhead):  # its turn comes when the codes before it have been typed
            issued.append(issue(session, id, code_secret=code_secret, now=now))
    return tuple(issued)


def entered(
    session: Session, gateway: tables.Gateway, message: CodeEntered, *, now: datetime
) -> None:
    """Notes that a code was typed at its gateway: the top-up has reached it by that.

    A person is told where the gateway gave credit for a code that we know otherwise, or not at all. Needs a
    system session and the gateway locked.
    """
    credit, transfer = tables.Credit, tables.Transfer
    fen = session.execute(
        select(col(transfer.amount_fen))
        .join(credit, col(credit.transfer_id) == col(transfer.id))
        .where(col(credit.purse_id) == message.purse, col(credit.number) == message.number)
    ).scalar_one_or_none()
    if fen != message.amount.fen:
        ours = None if fen is None else Money(fen)
        unknown_codes.note(session, gateway, message, ours=ours, now=now)
        return
    topup: TopUp | None = session.execute(
        select(TopUp)
        .where(col(TopUp.purse_id) == message.purse, col(TopUp.credit_number) == message.number)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if topup is None or topup.code_entered_at is not None:
        return
    topup.code_entered_at = message.at
    if topup.delivered_at is None:
        # The gateway's clock may be wrong; the top-up came neither before it was credited nor after now.
        assert topup.credited_at is not None
        topup.delivered_at = max(topup.credited_at, min(message.at, now))
    session.add(topup)
    session.flush()
    events.changed(session, gateway.organization_id, topup_id=topup.id)


def _last_arrived(session: Session, purse_id: UUID) -> int:
    """The number of the last top-up that the gateway has from our log, as far as we know."""
    last: int | None = session.execute(
        select(func.max(col(TopUp.credit_number)))
        .join(tables.Gateway, col(tables.Gateway.id) == col(TopUp.gateway_id))
        .where(
            col(TopUp.purse_id) == purse_id,
            col(TopUp.down_seq) <= col(tables.Gateway.down_acked),
        )
    ).scalar_one()
    return last or 0
