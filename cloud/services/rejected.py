"""Entries of gateways that are not applied: kept with the reason, for a person to look at."""

from __future__ import annotations

import logging

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.services import takeover
from prepaid.money import Money
from prepaid.wire.entry import Entry
from prepaid.wire.message import BadMessage
from prepaid.wire.uplog import Trouble, Withdrawn, read_up

log = logging.getLogger(__name__)

LONGEST_TEXT = 2000
_LARGEST_SEQ = 2**63 - 1


def reject_log(session: Session, gateway: tables.Gateway, entry: Entry) -> None:
    fault = f"log {entry.log} is not the one we follow, {gateway.up_log}"
    reject(session, gateway, entry, fault)
    if gateway.up_fault != fault:
        log.error(
            "gateway %s sends log %s, but its log is %s: has its store been replaced?",
            *(gateway.gateway_no, entry.log, gateway.up_log),
        )
        gateway.up_fault = fault


def reject(session: Session, gateway: tables.Gateway, entry: Entry, reason: str) -> None:
    """Keeps an entry that is not applied, once. Where money has left a purse by it, a person is told."""
    if not 0 < entry.seq <= _LARGEST_SEQ:
        return
    reason = _storable(reason)[:LONGEST_TEXT]
    row = insert(tables.Rejected).values(
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        log=entry.log,
        seq=entry.seq,
        body=_storable(entry.body),
        reason=reason,
    )
    is_new = session.execute(
        row.on_conflict_do_nothing().returning(col(tables.Rejected.id))
    ).first()
    if not is_new or entry.log != gateway.up_log:
        return
    log.warning("gateway %s entry %d rejected: %s", gateway.gateway_no, entry.seq, reason)
    if (amount := _taken_out(entry)) is not None:
        takeover.alarm(
            session,
            gateway,
            Trouble.DEBIT_UNKNOWN,
            at=tables.utc_now(),
            is_over=False,
            text=f"entry {entry.seq} takes ¥{amount} out of a purse: {reason}"[:LONGEST_TEXT],
        )


def _taken_out(entry: Entry) -> Money | None:
    """What the gateway says that it has taken out of a purse."""
    try:
        message = read_up(entry.body)
    except BadMessage:
        return None
    if isinstance(message, Withdrawn) and message.refusal is None:
        return message.transfer.amount
    return None


def _storable(text: str) -> str:
    return text.replace("\x00", "\\u0000")  # PostgreSQL keeps no NUL
