"""A last reading stated 人工认定末次示数: a gateway does not come back, so two people say where the use ends.

What was used up to there is rated here, as the gateway would have, and taken out of the purse as an adjustment; from
then on what leaves the purse is booked here. Its gateway is told all of it (prepaid.wire.downlog.Debited), and where
the use ended, in case it comes back after all: then its own charges count, and the adjustment is taken back. What
they are beyond what was stated a customer who was settled with does not owe: it is a loss.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import approvals, audit, downlog, ledger, pointsets, scopes
from cloud.services.accounts import acts, settlement, tenures
from cloud.services.accounts.acts import Act
from cloud.services.accounts.tenures import Typed
from cloud.services.approvals import Approval
from cloud.services.devices import decisions
from cloud.services.money import purses, withdrawal_answers
from cloud.tables import Account, Gateway, Purse, ServicePoint, Tenure
from prepaid import rating
from prepaid.ledger import Book, Reason, Transfer, expenses, income, prepaid
from prepaid.money import ZERO, Money
from prepaid.rating import Position
from prepaid.reading import Reading
from prepaid.register.reach import ahead_of
from prepaid.tariff_document import parse
from prepaid.wire.downlog import Debited

log = logging.getLogger(__name__)

KIND = "last-readings"  # of the approval
LOSS = expenses("loss")  # what a gateway that came back charged beyond what was stated


class NothingWaits(CloudError):
    status = 409
    sentence = "No last reading of this account waits for a gateway."


class GatewayIsThere(CloudError):
    status = 409
    sentence = (
        "Gateway {gateway_no} is online: it says itself up to which register the customer pays."
    )


class NotStated(CloudError):
    status = 422
    sentence = "State the last reading of each meter that waits: {meters}."


class Behind(CloudError):
    status = 422
    sentence = "{meter} cannot have ended at {total}: up to {charged} is charged already."


def waiting(session: Session, account_id: UUID) -> list[tuple[Tenure, ServicePoint]]:
    """What of an account waits for its gateway to say where it ended, and was not stated; by name."""
    rows = session.execute(
        select(Tenure, ServicePoint)
        .join(Purse, col(Purse.id) == col(Tenure.purse_id))
        .join(ServicePoint, col(ServicePoint.id) == col(Tenure.point_id))
        .where(
            col(Purse.account_id) == account_id,
            col(Tenure.ended_at).is_not(None),
            col(Tenure.closed_at).is_(None),
            col(Tenure.stated_at).is_(None),
        )
        .order_by(col(ServicePoint.name), col(Tenure.created_at))
    )
    return [(row[0], row[1]) for row in rows]


def propose(
    session: Session,
    by: SignedIn,
    account_id: UUID,
    stated: Mapping[UUID, Typed],
    *,
    why: str,
    now: datetime,
) -> Approval:
    """Asks a second person to let the account end at these registers, by service point.

    Raises scopes.NoSuchAccount, NothingWaits, GatewayIsThere, NotStated, tenures.BadReading, Behind,
    approvals.AlreadyProposed or BadReason.
    """
    account = scopes.check_account(session, by, account_id)
    found = waiting(session, account_id)
    if not found:
        raise NothingWaits
    missing = [point for _, point in found if point.id not in stated]
    if missing:
        names = ", ".join(point.name for point in missing)
        raise NotStated(field=f"points.{missing[0].id}", meters=names)
    for tenure, point in found:
        gateway = session.get_one(Gateway, tenure.gateway_id)
        if gateway.heard_at is not None and gateway.heard_at > now - downlog.ONLINE:
            raise GatewayIsThere(gateway_no=gateway.gateway_no)
        typed = stated[point.id]
        tenures.check(point, typed, now=now)
        position = _position(session, tenure, point)
        if position is not None and typed.total < position.reading.total:
            raise Behind(
                field=f"points.{point.id}",
                meter=point.name,
                total=typed.total,
                charged=position.reading.total,
            )
    return approvals.propose(
        session,
        by,
        KIND,
        subject=account_id,
        detail={
            "holder": account.holder,
            "meters": "、".join(f"{point.name} {stated[point.id].total}" for _, point in found),
            "readings": {str(tenure.id): str(stated[point.id].total) for tenure, point in found},
            "photos": [str(each.photo) for each in stated.values() if each.photo is not None],
        },
        why=why,
        now=now,
    )


def carry_out(session: Session, approval: Approval, by: SignedIn, now: datetime) -> None:
    """The executor of KIND. What a gateway has said meanwhile stays as it said it. Raises scopes.NoSuchAccount."""
    account = session.get(Account, approval.subject, with_for_update=True, populate_existing=True)
    if account is None or account.organization_id != by.organization_id:
        raise scopes.NoSuchAccount
    readings: Mapping[str, str] = approval.detail["readings"]
    found = [each for each in waiting(session, account.id) if str(each[0].id) in readings]
    for purse_id in sorted({t.purse_id for t, _ in found if t.purse_id is not None}):
        purse = purses.locked(session, by.organization_id, purse_id)
        withdrawal_answers.give_up(session, purse, now=now)
    said: dict[str, Any] = {}
    for tenure, point in found:
        total = Decimal(readings[str(tenure.id)])
        charged = _charge(session, tenure, point, total, now=now)
        _tell(session, tenure, point, total, now=now)
        tenure.stated_total, tenure.stated_at, tenure.stated_by = total, now, by.user_id
        session.add(tenure)
        said[point.meter_no] = {"total": str(total), "charged_fen": charged.fen}
    session.flush()
    detail = {
        "why": approval.why,
        "proposed_by": approval.proposed_by_name,
        "meters": list(said),
        "photos": approval.detail["photos"],
    }
    acts.note(session, by, account, Act.STATED, detail, now=now)
    audit.record(session, by, "account.stated", of="account", id=account.id, after=said, now=now)


def _charge(
    session: Session, tenure: Tenure, point: ServicePoint, total: Decimal, *, now: datetime
) -> Money:
    """Takes out of the purse what was used from the last reading that its gateway charged up to total; how much."""
    position = _position(session, tenure, point)
    if position is None or tenure.purse_id is None:
        return Money(0)  # nobody knows where its use began
    value = replace(pointsets.value(session, point), purse=tenure.purse_id)
    document = session.get_one(tables.TariffDocument, point.tariff_id).document
    reading = Reading(value.meter.meter_no, max(now, position.reading.at), total, None)
    _, charges = rating.rate(
        value,
        parse(document),
        replace(position, payer=tenure.purse_id),
        reading,
        moved=ahead_of(position.reading, reading, value.meter),
    )
    transfers = [
        Transfer(
            debit=prepaid(tenure.purse_id),
            credit=income(charge.item),
            amount=charge.amount,
            reason=Reason.ADJUSTMENT,
            cause=f"stated:{tenure.id}:{charge.item}",
            at=now,
        )
        for charge in charges
    ]
    ledger.post(session, tenure.organization_id, transfers)
    (gateway,) = downlog.lock(session, [tenure.gateway_id])
    downlog.append(session, gateway, [Debited(None, transfer) for transfer in transfers])
    return Money(sum(transfer.amount.fen for transfer in transfers))


def _tell(
    session: Session, tenure: Tenure, point: ServicePoint, total: Decimal, *, now: datetime
) -> None:
    """Its gateway hears where the use ended, as long as nobody pays for the point since and no register was read off
    at its end: the next customer's use begins at his own register."""
    after = session.execute(
        select(Tenure)
        .where(col(Tenure.point_id) == point.id, col(Tenure.ended_at).is_(None))
        .with_for_update()
    ).scalar_one()
    if after.purse_id is not None or after.typed_total is not None or after.opened_at is not None:
        return
    after.typed_total, after.typed_at = total, now
    session.add(after)
    (gateway,) = downlog.lock(session, [tenure.gateway_id])
    after.down_seq = pointsets.publish(session, gateway, point)


def _position(session: Session, tenure: Tenure, point: ServicePoint) -> Position | None:
    """From where on the customer's use is still to be charged; None where neither gateway nor person has said so."""
    position = decisions.last_charged(session, point)
    meter_no = point.meter_no
    is_known = position is not None and position.reading.meter_no == meter_no
    if is_known and position is not None and position.payer in (None, tenure.purse_id):
        return position
    if tenure.typed_total is None or tenure.typed_at is None or tenure.opened_at is not None:
        return None
    value = replace(pointsets.value(session, point), purse=tenure.purse_id)
    document = session.get_one(tables.TariffDocument, point.tariff_id).document
    began = Reading(meter_no, tenure.typed_at, tenure.typed_total, None)
    return rating.open_position(value, parse(document), began)


def take_back(session: Session, organization_id: UUID, *, now: datetime) -> int:
    """Where a gateway has come back and said itself where a customer's use ended, what was charged for the stated
    readings goes back to the purse, as its own charges stand there now; of how many points.

    What they come to beyond that, a customer who was settled with does not owe; where they come to less, the account
    is to be settled again.
    """
    rows = session.execute(
        select(Tenure)
        .where(
            col(Tenure.organization_id) == organization_id,
            col(Tenure.stated_at).is_not(None),
            col(Tenure.superseded_at).is_(None),
        )
        .order_by(col(Tenure.purse_id), col(Tenure.id))
    ).scalars()
    done = 0
    for purse_id in sorted({each.purse_id for each in rows if each.purse_id is not None}):
        purse = purses.locked(session, organization_id, purse_id)
        stated = [
            each
            for each in tenures.of_purses(session, [purse_id])
            if each.stated_at is not None and each.superseded_at is None
        ]
        if any(each.closed_at is None for each in stated):
            continue
        _take_back(session, purse, stated, now=now)
        done += len(stated)
    return done


def _take_back(session: Session, purse: Purse, stated: Sequence[Tenure], *, now: datetime) -> None:
    back = [
        Transfer(
            debit=Book(row.credit),
            credit=Book(row.debit),
            amount=Money(row.amount_fen),
            reason=Reason.CORRECTION,
            cause=f"{row.id}:heard",
            at=now,
        )
        for tenure in stated
        for row in _adjustments(session, tenure)
    ]
    lacking = ZERO - ledger.balance(session, purse.id) - sum((each.amount for each in back), ZERO)
    if purse.ended_at is not None and lacking > ZERO:  # the account was settled
        cause = f"{stated[0].id}:late"
        book = prepaid(purse.id)
        back.append(Transfer(LOSS, book, lacking, Reason.ADJUSTMENT, cause, now))
    if back:
        purses.credit(session, purse, back, carry_to=now)
    account = session.get_one(Account, purse.account_id)
    account.settled_at = purse.given_up_at = None  # the gateway is asked again for what leaves it
    for tenure in stated:
        tenure.superseded_at = now
    session.add_all([*stated, account, purse])
    session.flush()
    if not settlement.finish(session, account, now=now):
        log.warning(
            "account %s: the gateway has said where a use ended that was stated; settle it again",
            account.id,
        )


def _adjustments(session: Session, tenure: Tenure) -> list[tables.Transfer]:
    row = tables.Transfer
    assert tenure.purse_id is not None
    found = session.execute(
        select(row).where(
            col(row.debit) == prepaid(tenure.purse_id),
            col(row.reason) == Reason.ADJUSTMENT.value,
            col(row.cause).startswith(f"stated:{tenure.id}:"),
        )
    )
    return list(found.scalars())
