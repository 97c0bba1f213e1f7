"""Withdrawal 支取: the cloud asks for money out of a purse, and gets it only where it is really there.

What a purse holds is known here alone: the cloud hears of it late. So the cloud asks, this gateway books the
transfer or refuses it for good, and tells which (prepaid.wire.uplog.Withdrawn) in the same transaction; only what was
booked is paid out.
"""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID

from edge.ledger.store import Store
from prepaid.ledger import Transfer, TransferIdReused
from prepaid.money import ZERO
from prepaid.reading import Supply
from prepaid.wire.downlog import Withdraw
from prepaid.wire.uplog import UNREAD, Refusal, Withdrawn

log = logging.getLogger(__name__)


def withdraw(store: Store, asked: Withdraw, purse: UUID, now: datetime) -> Withdrawn:
    """Books what is asked for, or refuses it, and tells the cloud; asked again, the answer is the same.

    Inside a transaction. Raises TransferIdReused if the transfer was booked, or answered, with other content.
    """
    transfer = asked.transfer
    known = store.withdrawn(transfer.id)
    if known is None:
        refusal = None if _is_booked(store, transfer) else _refusal(store, asked, purse)
        if refusal is None:
            store.post(transfer)
        known = Withdrawn(purse, transfer, refusal, store.balance(purse), now)
        store.save_withdrawn(known)
        said = "are booked" if refusal is None else f"are refused: {refusal}"
        log.info("%s out of purse %s %s", transfer.amount, purse, said)
    elif known.transfer != transfer:
        raise TransferIdReused(f"withdrawal {transfer.id} was answered with other content")
    store.append(known)
    return known


def _is_booked(store: Store, transfer: Transfer) -> bool:
    """Whether another store had booked it, from which this one took over. Raises TransferIdReused."""
    booked = store.booked(transfer.id)
    if booked not in (None, transfer):
        raise TransferIdReused(f"transfer {transfer.id} was booked with other content")
    return booked is not None


def _refusal(store: Store, asked: Withdraw, purse: UUID) -> Refusal | None:
    # What is lent is no money: the purse must hold the amount itself.
    if store.balance(purse) - asked.transfer.amount < ZERO:
        return Refusal.SHORT
    if not asked.is_unread_too and any(
        _may_draw_unread(store, point.id)
        for point in store.points().values()
        if point.purse == purse
    ):
        return Refusal.UNREAD
    return None


def _may_draw_unread(store: Store, point: UUID) -> bool:
    """Whether more may flow than is charged: it does not answer or is held, and was not off when it was last seen."""
    row = store.supply(point)
    if row is not None and row.seen is Supply.OFF:
        return False
    is_unread = any(store.alarm_since(point, kind) is not None for kind in UNREAD)
    return is_unread or store.history(point).is_held
