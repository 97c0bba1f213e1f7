"""Our log for each gateway: what the cloud decided, in order, sent until the gateway's cursor has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, bindparam, or_, select, text
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, col

from cloud import tables
from cloud.db import execute
from prepaid.wire.downlog import Down, write_down
from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.envelope import Follow, Halt

CHANNEL = "wattwell_down"  # PostgreSQL's NOTIFY: a gateway has something to be sent
ONLINE = timedelta(seconds=90)  # since the gateway was last heard
RESEND = timedelta(seconds=5)
MOST_ENTRIES = 200
MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries to be signed and sent, our cursor in the gateway's log, and why we apply nothing of it, if so.

    nonce is that of the gateway's envelope which this answers, None if it answers none. follow tells it of the new
    name of our log.
    """

    gateway_no: str
    entries: tuple[Entry, ...]
    cursor: Cursor | None
    halt: Halt | None = None
    nonce: str | None = None
    follow: Follow | None = None


def answer(gateway: tables.Gateway, halt: Halt | None) -> Batch:
    """What is to be said to the gateway where no entries are to be sent."""
    return Batch(gateway.gateway_no, (), _cursor(gateway), halt)


def _cursor(gateway: tables.Gateway) -> Cursor | None:
    if gateway.up_log is None:
        return None
    return Cursor(gateway.up_log, gateway.up_seq, gateway.up_hash)


def lock(session: Session, gateway_ids: Iterable[UUID]) -> list[tables.Gateway]:
    """The gateways, locked until the end of the transaction, in id order.

    Services and workers never wait for each other in a circle, because all lock in one order: a purse, its
    gateway, its top-ups, balances.
    """
    gateway = tables.Gateway
    return list(
        session.execute(
            select(gateway)
            .where(col(gateway.id).in_(set(gateway_ids)))
            .order_by(col(gateway.id))
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        ).scalars()
    )


def append(session: Session, gateway: tables.Gateway, messages: Sequence[Down]) -> int:
    """Appends messages to the log of a locked gateway and wakes the workers; the sequence number of the last."""
    session.flush()
    last = append_to(session, gateway.id, messages)
    set_committed_value(gateway, "down_seq", last)
    return last


APPENDED = """
    appended AS (
        UPDATE gateways SET down_seq = down_seq + cardinality(CAST(%(bodies)s AS text[])) WHERE id = %(gateway)s
        RETURNING organization_id, id, down_seq, pg_notify(%(down_channel)s, to_json(id)::text)
    ), written AS (
        INSERT INTO down_entries (organization_id, gateway_id, seq, body, created_at)
        SELECT organization_id, id, down_seq - cardinality(CAST(%(bodies)s AS text[])) + place, body, %(now)s
        FROM appended, unnest(CAST(%(bodies)s AS text[])) WITH ORDINALITY AS b (body, place)
    )
"""
"""append_to as part of a statement, with appended_values: down_seq is that of the last."""


def append_to(session: Session, gateway_id: UUID, messages: Sequence[Down]) -> int:
    """As append, for a gateway of which no more is known than that it is locked."""
    values = appended_values(gateway_id, messages, now=tables.utc_now())
    last: int = execute(
        session, f"WITH {APPENDED} SELECT down_seq FROM appended", **values
    ).scalar_one()
    return last


def appended_values(
    gateway_id: UUID | None, messages: Sequence[Down], *, now: datetime
) -> dict[str, object]:
    """Nothing is appended where there is no gateway."""
    bodies = [write_down(message) for message in messages]
    return {"gateway": gateway_id, "bodies": bodies, "now": now, "down_channel": CHANNEL}


_APPEND_AGAIN = text("""
    WITH moved AS (
        SELECT seq, body, :beyond + row_number() OVER (ORDER BY seq) AS new_seq
        FROM down_entries WHERE gateway_id = :gateway AND seq > :acked
    ), written AS (
        INSERT INTO down_entries (organization_id, gateway_id, seq, body, created_at)
        SELECT :organization, :gateway, new_seq, body, now() FROM moved
    ), follow AS (
        UPDATE topups t SET down_seq = moved.new_seq
        FROM moved WHERE t.gateway_id = :gateway AND t.down_seq = moved.seq
    ), follow_too AS (
        UPDATE overrides o SET down_seq = moved.new_seq
        FROM moved WHERE o.gateway_id = :gateway AND o.down_seq = moved.seq
    ), follow_tariffs AS (
        UPDATE tariff_deliveries d SET down_seq = moved.new_seq
        FROM moved WHERE d.gateway_id = :gateway AND d.down_seq = moved.seq
    ), follow_as_well AS (
        UPDATE emergency_credits e SET down_seq = moved.new_seq
        FROM moved WHERE e.gateway_id = :gateway AND e.down_seq = moved.seq
    ), follow_codes AS (
        UPDATE unknown_codes c SET down_seq = moved.new_seq
        FROM moved WHERE c.gateway_id = :gateway AND c.down_seq = moved.seq
    ), follow_withdrawals AS (
        UPDATE withdrawals w SET down_seq = moved.new_seq
        FROM moved WHERE w.gateway_id = :gateway AND w.down_seq = moved.seq
    ), follow_corrections AS (
        UPDATE device_events e SET down_seq = moved.new_seq
        FROM moved WHERE e.gateway_id = :gateway AND e.down_seq = moved.seq
    )
    SELECT count(*) FROM moved
""")


def append_again(session: Session, gateway: tables.Gateway, *, beyond: int) -> None:
    """Gives every entry that a locked gateway has not acknowledged a new number above beyond.

    For a gateway that has entries up to beyond of a log that ends before it, as the database was put back
    from a backup: it would take what has a number it has seen for known. Their top-ups, overrides,
    emergency credits and withdrawals count as delivered with the new numbers only.
    """
    session.flush()
    count: int = session.execute(
        _APPEND_AGAIN,
        {
            "organization": gateway.organization_id,
            "gateway": gateway.id,
            "acked": gateway.down_acked,
            "beyond": beyond,
        },
    ).scalar_one()
    gateway.down_acked = gateway.down_sent_seq = beyond
    gateway.down_seq = beyond + count
    session.flush()


def claim(
    session: Session, *, now: datetime, gateway_id: UUID | None = None, most: int = 50
) -> list[Batch]:
    """What is to be sent now to gateways that are online, marked as sent: other workers leave it alone.

    That is entries never sent, and, when RESEND has passed without progress, all after the gateway's
    cursor again. With gateway_id, to that gateway only.
    """
    found = session.execute(
        _BEHIND if gateway_id is None else _IS_BEHIND,
        {"heard": now - ONLINE, "sent": _in_vain(now), "gateway": gateway_id, "most": most},
    ).scalars()
    return [_batch(session, each, now) for each in found]


def due(session: Session, gateway: tables.Gateway, *, now: datetime) -> Batch | None:
    """As claim, for a locked gateway that was heard just now; None where nothing is to be sent."""
    if gateway.down_acked >= gateway.down_seq or gateway.follow_from is not None:
        return None
    is_new = gateway.down_acked == gateway.down_sent_seq < gateway.down_seq
    if not is_new and gateway.down_sent_at is not None and gateway.down_sent_at > _in_vain(now):
        return None
    return _batch(session, gateway, now)


def _in_vain(now: datetime) -> datetime:
    """What was sent by then without progress is sent again."""
    return now - RESEND


_GATEWAY = tables.Gateway
_BEHIND = (  # made once: this is asked after each message
    select(_GATEWAY)
    .where(
        col(_GATEWAY.down_acked) < col(_GATEWAY.down_seq),
        col(_GATEWAY.heard_at) > bindparam("heard"),
        col(_GATEWAY.revoked_at).is_(None),
        col(_GATEWAY.follow_from).is_(None),
        or_(
            and_(
                col(_GATEWAY.down_sent_seq) < col(_GATEWAY.down_seq),
                col(_GATEWAY.down_sent_seq) == col(_GATEWAY.down_acked),
            ),
            col(_GATEWAY.down_sent_at).is_(None),
            col(_GATEWAY.down_sent_at) <= bindparam("sent"),
        ),
    )
    .limit(bindparam("most"))
    .with_for_update(key_share=True, skip_locked=True)
)
_IS_BEHIND = _BEHIND.where(col(_GATEWAY.id) == bindparam("gateway"))


def _batch(session: Session, gateway: tables.Gateway, now: datetime) -> Batch:
    entries = after(session, gateway, gateway.down_acked)
    gateway.down_sent_seq = entries[-1].seq
    gateway.down_sent_at = now
    return Batch(gateway.gateway_no, entries, _cursor(gateway))


def after(session: Session, gateway: tables.Gateway, seq: int) -> tuple[Entry, ...]:
    """The entries that follow seq, as many as one message may carry, at least one if there is one."""
    found = execute(session, _AFTER, gateway=gateway.id, seq=seq, most=MOST_ENTRIES).all()
    entries: list[Entry] = []
    size = 0
    for number, body in found:
        size += len(body.encode())
        if entries and size > MOST_BYTES:
            break
        entries.append(Entry(gateway.down_log, number, body))
    return tuple(entries)


_AFTER = """
    SELECT seq, body FROM down_entries WHERE gateway_id = %(gateway)s AND seq > %(seq)s ORDER BY seq LIMIT %(most)s
"""
