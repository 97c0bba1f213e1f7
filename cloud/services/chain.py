"""The chain that a gateway's log is (prepaid.wire.entry): what of it follows from what we have, and what does not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, col

from cloud import tables
from cloud.db import execute
from cloud.services import rejected, takeover
from prepaid.wire.entry import NO_ENTRY, Cursor, Entry, linked, opening_of
from prepaid.wire.uplog import Trouble

log = logging.getLogger(__name__)

KEPT_HASHES = 10_000
"""Of at least so many entries the hash is kept, by which a store that was put back is recognised."""
HASH_BYTES = 32
FORGET_EACH = 1000  # entries: older ones are not looked for at each message


def take(
    session: Session, gateway: tables.Gateway, entries: Sequence[Entry], now: datetime
) -> tuple[list[Entry], Entry | None]:
    """The entries to apply, behind which our cursor is put, and the first that is of another chain.

    Needs the gateway locked. Entries of a log that we do not follow are rejected.
    """
    new: list[Entry] = []
    hashes = _hashes(session, gateway, entries)
    fork = None
    # Of so many entries each costs: a row's attributes are set once, at the end.
    up_log, up_seq, up_hash = gateway.up_log, gateway.up_seq, gateway.up_hash
    for entry in entries:
        if up_log is None and entry.seq == 1:
            up_log = entry.log
        if entry.log != up_log:
            if up_log is not None:
                rejected.reject_log(session, gateway, entry)
            continue
        own_hash = entry.hash() if entry.previous is not None else None
        known = Cursor(entry.log, up_seq, up_hash)
        if _is_fork(entry, own_hash, known, hashes):
            fork = entry
            break
        if gateway.up_fault is not None and entry.seq >= up_seq:
            log.info("gateway %s sends the log again that we follow", gateway.gateway_no)
            gateway.up_fault = None
            takeover.end_alarm(session, gateway, Trouble.FORKED, at=now, text="it follows again")
        if entry.seq == up_seq + 1:
            up_seq = entry.seq
            if own_hash is not None:
                up_hash = hashes[entry.seq] = own_hash
            new.append(entry)
    if new:
        gateway.up_log, gateway.up_seq, gateway.up_hash = up_log, up_seq, up_hash
    _keep_hashes(session, gateway, [hashes[entry.seq] for entry in new if entry.seq in hashes], now)
    return new, fork


def _is_fork(entry: Entry, own_hash: str | None, known: Cursor, hashes: dict[int, str]) -> bool:
    """Whether an entry of the log we follow contradicts what we have of it, up to the cursor."""
    if entry.seq <= known.seq:
        kept = hashes.get(entry.seq)
        return kept is not None and own_hash is not None and own_hash != kept
    if entry.seq != known.seq + 1:
        return False
    if known.hash is not None:
        return entry.previous != known.hash
    # The log has no chain yet: it begins now, or a gateway of version 0.1.0 has just been upgraded.
    return known.seq == 0 and entry.previous not in (None, NO_ENTRY)


def _hashes(session: Session, gateway: tables.Gateway, entries: Sequence[Entry]) -> dict[int, str]:
    """Those we have of entries that are sent again, by their numbers."""
    again = [entry.seq for entry in entries if 0 < entry.seq <= gateway.up_seq]
    if not again or gateway.up_hash is None:
        return {}
    found = execute(session, _KNOWN, gateway=gateway.id, first=min(again), last=max(again))
    hashes: dict[int, str] = {}
    for last, packed in found:
        first = last - len(packed) // HASH_BYTES + 1
        for place in range(0, len(packed), HASH_BYTES):
            hashes[first + place // HASH_BYTES] = packed[place : place + HASH_BYTES].hex()
    return hashes


_KNOWN = """
    SELECT seq, hashes FROM up_hashes
    WHERE gateway_id = %(gateway)s AND seq >= %(first)s AND seq - length(hashes) / 32 < %(last)s
"""


def _keep_hashes(
    session: Session, gateway: tables.Gateway, hashes: Sequence[str], now: datetime
) -> None:
    """Of the entries up to our cursor, which are new; with them the cursor, and when the gateway was heard."""
    if not hashes:
        return
    moved = {
        "up_log": gateway.up_log,
        "up_seq": gateway.up_seq,
        "up_hash": gateway.up_hash,
        "heard_at": now,
    }
    packed = bytes.fromhex("".join(hashes))
    execute(session, _KEEP, gateway=gateway.id, hashes=packed, **moved)
    for name, value in moved.items():
        set_committed_value(gateway, name, value)
    forget(session, gateway.id, gateway.up_seq, new=len(hashes))


_KEEP = """
    WITH moved AS (
        UPDATE gateways SET up_log = %(up_log)s, up_seq = %(up_seq)s, up_hash = %(up_hash)s, heard_at = %(heard_at)s
        WHERE id = %(gateway)s
        RETURNING organization_id, id, up_seq
    )
    INSERT INTO up_hashes (organization_id, gateway_id, seq, hashes)
    SELECT organization_id, id, up_seq, %(hashes)s FROM moved ON CONFLICT DO NOTHING
"""


def forget(session: Session, gateway_id: UUID, seq: int, *, new: int) -> None:
    """Deletes hashes of entries long past, once in a while: new entries have brought our cursor to seq."""
    if seq // FORGET_EACH > (seq - new) // FORGET_EACH:
        row = tables.UpHash
        session.execute(
            delete(row).where(col(row.gateway_id) == gateway_id, col(row.seq) <= seq - KEPT_HASHES)
        )


def following(known: Cursor, entries: Sequence[Entry]) -> list[str] | None:
    """The hashes of entries that all are new and follow one another from a cursor; None if one does not."""
    hashes: list[str] = []
    before, opening = known.hash, opening_of(known.log)
    log_number = known.log.int  # of so many entries it costs to compare what wraps the number
    for seq, entry in enumerate(entries, known.seq + 1):
        if before is None or entry.previous != before:
            return None
        if entry.seq != seq or entry.log.int != log_number:
            return None
        before = linked(opening, seq, entry.body, previous=before)
        hashes.append(before)
    return hashes


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
