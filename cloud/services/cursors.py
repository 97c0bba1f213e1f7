"""A gateway's cursor in our log for it: what it says it has, what that delivers, and when it cannot be."""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from cloud import events, tables
from cloud.db import execute
from cloud.services import downlog, restored, unknown_codes
from cloud.services.accounts import tenures
from cloud.services.entries import LARGEST_CURSOR
from cloud.services.tariffs import publication
from prepaid.wire.entry import Cursor

log = logging.getLogger(__name__)


def take(
    session: Session, gateway: tables.Gateway, cursor: Cursor | None, now: datetime
) -> set[UUID]:
    """Takes the gateway's cursor in our log, whichever way it moves; the purses whose top-ups it delivers.

    It goes back where the gateway's store was put back from a backup, or where messages overtook each
    other, which costs no more than sending again. It is beyond our log where the database was put back.
    Needs what was applied written: the gateway's row alone is written later, once.
    """
    if restored.is_to_follow(session, gateway, cursor, now=now):
        return set()
    fault = _fault_of(gateway, cursor)
    if fault != gateway.down_fault:
        if fault is None:
            log.info("gateway %s follows our log for it again", gateway.gateway_no)
        else:
            log.error("gateway %s %s", gateway.gateway_no, fault)
        gateway.down_fault = fault
    if fault is not None or cursor is None or cursor.seq == gateway.down_acked:
        return set()
    if cursor.seq < gateway.down_acked:
        log.warning(
            "gateway %s went back in our log from entry %d to %d, what follows is sent again",
            *(gateway.gateway_no, gateway.down_acked, cursor.seq),
        )
        gateway.down_acked = gateway.down_sent_seq = cursor.seq
        return set()
    if cursor.seq > gateway.down_seq:
        log.error(
            "gateway %s has entry %d of our log, which ends at %d: the database was set back."
            " What it may not have is sent again; look for what was decided since the backup",
            *(gateway.gateway_no, cursor.seq, gateway.down_seq),
        )
        downlog.append_again(session, gateway, beyond=cursor.seq)
        return set()
    gateway.down_acked = cursor.seq
    gateway.down_sent_seq = max(gateway.down_sent_seq, cursor.seq)
    found = execute(session, _DELIVERED, gateway=gateway.id, acked=cursor.seq, now=now).all()
    if found[0].is_code_unknown:
        unknown_codes.settle(session, gateway, now=now)
    delivered = [row for row in found if row.topup_id is not None]
    for row in delivered:
        events.changed(session, gateway.organization_id, topup_id=row.topup_id)
    return {row.purse_id for row in delivered}


_DELIVERED = f"""
    WITH payers AS ({tenures.DELIVERED}), tariffs AS ({publication.DELIVERED}), delivered AS (
        UPDATE topups SET delivered_at = %(now)s
        WHERE gateway_id = %(gateway)s AND down_seq <= %(acked)s AND delivered_at IS NULL
        RETURNING id, purse_id
    )
    SELECT d.id AS topup_id, d.purse_id, u.is_code_unknown
    FROM (
        SELECT EXISTS (
            SELECT FROM unknown_codes WHERE gateway_id = %(gateway)s AND settled_at IS NULL
        ) AS is_code_unknown
    ) AS u LEFT JOIN delivered d ON true
"""


def _fault_of(gateway: tables.Gateway, cursor: Cursor | None) -> str | None:
    """Why the gateway's cursor is none in our log, as the rest of a sentence about the gateway."""
    if cursor is None:
        if gateway.down_acked == 0:
            return None
        return f"knows nothing of our log, of which it had {gateway.down_acked} entries: has its store been replaced?"
    if cursor.log != gateway.down_log:
        return f"follows log {cursor.log}, which is not ours for it"
    if not 0 <= cursor.seq <= LARGEST_CURSOR:
        return f"says it has entry {cursor.seq} of our log, which cannot be"
    return None


_NOTE_SUPPLY = """
    WITH now_supplied AS (
        SELECT p.purse_id,
               bool_and(s.supply = 'on') AS is_on,
               bool_and(s.supply IN ('on', 'armed')) AND bool_or(s.supply = 'armed') AS is_armed,
               max(s.supply_at) AS at
        FROM points p JOIN point_states s ON s.point_id = p.id
        WHERE p.purse_id = ANY(%(purses)s) AND p.ended_at IS NULL AND s.supply IS NOT NULL
        GROUP BY p.purse_id
    )
    UPDATE topups t
    SET armed_at = CASE WHEN s.is_armed THEN coalesce(t.armed_at, greatest(t.delivered_at, s.at))
                        ELSE t.armed_at END,
        restored_at = CASE WHEN s.is_on THEN greatest(t.delivered_at, s.at) END
    FROM now_supplied s JOIN purses p ON p.id = s.purse_id
    WHERE s.purse_id = t.purse_id AND t.delivered_at IS NOT NULL AND t.restored_at IS NULL
      AND (s.is_on OR s.is_armed AND t.armed_at IS NULL)
    RETURNING t.id AS topup_id, t.organization_id, p.account_id
"""


def note_supply(session: Session, purses: set[UUID]) -> None:
    """Delivered top-ups are restored once all that their purse pays for is on, armed once only buttons are left."""
    if purses:
        for row in execute(session, _NOTE_SUPPLY, purses=list(purses)).all():
            events.changed(
                session, row.organization_id, account_id=row.account_id, topup_id=row.topup_id
            )
