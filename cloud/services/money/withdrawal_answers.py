"""What gateways answer to withdrawals, once each; what follows from it, is asked of another store, or given up."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from cloud.db import Database
from cloud.services import downlog, ledger
from cloud.services.money import moves, purses, withdrawals
from cloud.services.money.withdrawals import Kind
from cloud.tables import Gateway, Purse, Withdrawal
from prepaid.ledger import Transfer, TransferIdReused, prepaid
from prepaid.wire.uplog import Withdrawn


class Unknown(Exception):
    """A gateway answers for a withdrawal that we did not ask for, or not so."""


def answered(session: Session, gateway: Gateway, answer: Withdrawn, *, now: datetime) -> None:
    """Takes the gateway's answer, once. Needs a system session and the gateway locked.

    Raises Unknown if we have not asked this gateway for this.
    """
    row = _of_transfer(session, answer.transfer)
    if (
        row is None
        or row.gateway_id != gateway.id
        or row.sent_at is None
        or withdrawals.transfer_of(row) != answer.transfer
    ):
        raise Unknown(
            f"the gateway answers for a withdrawal of ¥{answer.transfer.amount} from purse {answer.purse} "
            "that we have not asked for: was the database set back?"
        )
    if row.booked_at is not None:
        return
    if answer.refusal is None:
        # Also where we had given up waiting for it: then it goes back, see follow_up.
        row.refused_at = row.refusal = None
        withdrawals.book(session, row, now=now)
    elif row.refused_at is None:
        withdrawals.refuse(session, row, answer.refusal, answer.left, now=now)
    session.flush()
    withdrawals.changed(session, row)


def follow_up(database: Database, *, now: datetime) -> int:
    """What a gateway's answer asks for and must not be done while its log is applied; how many were.

    What was booked though it had been cancelled goes back to its purse, and what was moved arrives in the other.
    """
    row = Withdrawal
    with database.system() as session:
        waiting = session.execute(
            select(col(row.id), col(row.organization_id))
            .where(
                col(row.booked_at).is_not(None),
                col(row.done_at).is_(None),
                col(row.undone_at).is_(None),
                col(row.cancelled_at).is_not(None) | (col(row.kind) == Kind.MOVE.value),
            )
            .limit(200)
        ).all()
    for id, organization_id in waiting:
        with database.organization(organization_id) as session:
            _follow_up(session, organization_id, id, now=now)
    return len(waiting)


def _follow_up(session: Session, organization_id: UUID, id: UUID, *, now: datetime) -> None:
    known = session.get_one(Withdrawal, id)
    both = sorted({known.purse_id, known.to_purse_id or known.purse_id})
    for purse_id in both:
        purses.locked(session, organization_id, purse_id)
    # Gateways after purses and in the order of their ids, so that nobody waits for another in a circle.
    found = session.execute(select(col(Purse.gateway_id)).where(col(Purse.id).in_(both))).scalars()
    downlog.lock(session, [gateway_id for gateway_id in found if gateway_id is not None])
    row = withdrawals.locked(session, organization_id, id)
    if row.done_at is not None or row.undone_at is not None or row.booked_at is None:
        return
    if row.cancelled_at is not None:
        withdrawals.undo(session, row, now=now)
    else:
        moves.arrive(session, row, now=now)


def ask_again(session: Session, gateway: Gateway) -> None:
    """Asks a locked gateway once more for all that it has not answered: another store of it serves now."""
    row = Withdrawal
    found = session.execute(
        select(row)
        .where(
            col(row.gateway_id) == gateway.id,
            col(row.booked_at).is_(None),
            col(row.refused_at).is_(None),
            col(row.cancelled_at).is_(None),
        )
        .order_by(col(row.down_seq))
        .with_for_update()
    )
    rows = list(found.scalars())
    if not rows:
        return
    last = downlog.append(session, gateway, [withdrawals.message(row) for row in rows])
    for seq, row in enumerate(rows, last - len(rows) + 1):
        row.down_seq = seq
        session.add(row)
    session.flush()


def booked_at(session: Session, gateway: Gateway) -> list[Transfer]:
    """The transfers of all that has left purses of this gateway, but for charges, whoever booked them."""
    ids = session.execute(
        select(col(Purse.id)).where(col(Purse.gateway_id) == gateway.id)
    ).scalars()
    return ledger.taken_out(session, [prepaid(id) for id in ids])


def adopt(
    session: Session, purse: Purse, transfer: Transfer, *, gateway_id: UUID, now: datetime
) -> bool:
    """A gateway has booked this out of a locked purse, and our database, which was put back to a backup, does not
    know that it had asked for it: whether there is a withdrawal of this transfer, which then is booked."""
    row = _of_transfer(session, transfer)
    if row is None:
        return False
    if row.number is None:
        purse.debits += 1
        row.number = purse.debits
    # As it was sent then; sent again since, it has another time, and the gateway keeps to the first.
    row.sent_at, row.gateway_id = transfer.at, gateway_id
    row.refused_at = row.refusal = None
    session.add_all([purse, row])
    session.flush()
    if withdrawals.transfer_of(row) != transfer:
        raise TransferIdReused(f"withdrawal {row.id} is booked at the gateway with other content")
    withdrawals.book(session, row, now=now)
    withdrawals.changed(session, row)
    return True


def give_up(session: Session, purse: Purse, *, now: datetime) -> None:
    """The gateway of a locked purse does not come back: what it was asked for and has not answered is cancelled, and
    from now on what leaves the purse is booked here. If it answers after all, that goes back to the purse."""
    row = Withdrawal
    waiting = session.execute(
        select(row)
        .where(
            col(row.purse_id) == purse.id,
            col(row.sent_at).is_not(None),
            col(row.booked_at).is_(None),
            col(row.refused_at).is_(None),
            col(row.cancelled_at).is_(None),
        )
        .with_for_update()
    ).scalars()
    for each in waiting:
        each.cancelled_at = now
        session.add(each)
    purse.given_up_at = purse.given_up_at or now
    session.add(purse)
    session.flush()


def _of_transfer(session: Session, transfer: Transfer) -> Withdrawal | None:
    """The withdrawal that a transfer is of, locked."""
    found: Withdrawal | None = session.execute(
        select(Withdrawal)
        .where(col(Withdrawal.transfer_id) == transfer.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    return found
