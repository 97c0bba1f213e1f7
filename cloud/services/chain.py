"""The chain that a gateway's log is (prepaid.wire): what of it follows from what we have, and what does not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.services import rejected, takeover
from prepaid.wire import NO_ENTRY, Entry, Trouble

log = logging.getLogger(__name__)

KEPT_HASHES = 10_000
"""Of so many entries the hash is kept, by which a store is recognised that was put back and sends them again."""


def take(
    session: Session, gateway: tables.Gateway, entries: Sequence[Entry], now: datetime
) -> tuple[list[Entry], Entry | None]:
    """The entries to apply, behind which our cursor is put, and the first that is of another chain.

    Needs the gateway locked. Entries of a log that we do not follow are rejected.
    """
    new: list[Entry] = []
    hashes = _hashes(session, gateway, entries)
    fork = None
    for entry in entries:
        if gateway.up_log is None and entry.seq == 1:
            gateway.up_log = entry.log
        if entry.log != gateway.up_log:
            if gateway.up_log is not None:
                rejected.reject_log(session, gateway, entry)
            continue
        if _is_fork(gateway, entry, hashes):
            fork = entry
            break
        if gateway.up_fault is not None and entry.seq >= gateway.up_seq:
            log.info("gateway %s sends the log again that we follow", gateway.gateway_no)
            gateway.up_fault = None
            takeover.end_alarm(session, gateway, Trouble.FORKED, at=now, text="it follows again")
        if entry.seq == gateway.up_seq + 1:
            gateway.up_seq = entry.seq
            if entry.previous is not None:
                gateway.up_hash = hashes[entry.seq] = entry.hash()
            new.append(entry)
    session.flush()
    _keep_hashes(session, gateway, {e.seq: hashes[e.seq] for e in new if e.seq in hashes})
    return new, fork


def _is_fork(gateway: tables.Gateway, entry: Entry, hashes: dict[int, str]) -> bool:
    """Whether an entry of the log we follow contradicts what we have of it."""
    if entry.seq <= gateway.up_seq:
        known = hashes.get(entry.seq)
        return known is not None and entry.previous is not None and entry.hash() != known
    if entry.seq != gateway.up_seq + 1:
        return False
    if gateway.up_hash is not None:
        return entry.previous != gateway.up_hash
    # The log has no chain yet: it begins now, or a gateway of version 0.1.0 has just been upgraded.
    return gateway.up_seq == 0 and entry.previous not in (None, NO_ENTRY)


def _hashes(session: Session, gateway: tables.Gateway, entries: Sequence[Entry]) -> dict[int, str]:
    """Those we have of entries that are sent again, by their numbers."""
    again = [entry.seq for entry in entries if 0 < entry.seq <= gateway.up_seq]
    if not again or gateway.up_hash is None:
        return {}
    row = tables.UpHash
    found = session.execute(
        select(col(row.seq), col(row.hash)).where(
            col(row.gateway_id) == gateway.id, col(row.seq).in_(again)
        )
    )
    return {row.seq: row.hash for row in found}


def _keep_hashes(session: Session, gateway: tables.Gateway, hashes: dict[int, str]) -> None:
    if not hashes:
        return
    row = tables.UpHash
    session.execute(
        insert(row).on_conflict_do_nothing(),
        [
            {
                "organization_id": gateway.organization_id,
                "gateway_id": gateway.id,
                "seq": seq,
                "hash": hash,
            }
            for seq, hash in hashes.items()
        ],
    )
    session.execute(
        delete(row).where(
            col(row.gateway_id) == gateway.id, col(row.seq) <= gateway.up_seq - KEPT_HASHES
        )
    )


def refuse(session: Session, gateway: tables.Gateway, entry: Entry, now: datetime) -> None:
    """Records and alarms an entry of another chain, once."""
    fault = f"entry {entry.seq} of log {entry.log} is another than the one that follows from what we have"
    rejected.reject(session, gateway, entry, fault)
    if gateway.up_fault != fault:
        log.error(
            "gateway %s: %s: has an old copy of its store been put back? Nothing of it is applied",
            *(gateway.gateway_no, fault),
        )
        takeover.alarm(session, gateway, Trouble.FORKED, at=now, is_over=False, text=fault)
        gateway.up_fault = fault
