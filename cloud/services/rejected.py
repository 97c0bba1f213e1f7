"""Entries of gateways that are not applied: kept with the reason, for a person to look at."""

from __future__ import annotations

import logging

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from prepaid.wire import Entry

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
    """Keeps an entry that is not applied, once."""
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
    if is_new and entry.log == gateway.up_log:
        log.warning("gateway %s entry %d rejected: %s", gateway.gateway_no, entry.seq, reason)


def _storable(text: str) -> str:
    return text.replace("\x00", "\\u0000")  # PostgreSQL keeps no NUL
