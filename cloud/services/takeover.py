"""A gateway's new store takes over from another: it is followed, and told all that it needs to go on."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlmodel import Session, col

from cloud import events, tables
from cloud.services import downlog, emergency
from cloud.services.devices import decisions
from cloud.services.integration import outbox
from cloud.services.money import withdrawal_answers
from prepaid.money import Money
from prepaid.rating import Position
from prepaid.reading import Reading, Supply
from prepaid.supply import Why
from prepaid.wire.downlog import (
    BrakeReleased,
    Carried,
    Debited,
    Down,
    Lent,
    PointEnded,
    PointSet,
    Resumed,
    Standing,
    read_down,
)
from prepaid.wire.entry import NO_ENTRY
from prepaid.wire.envelope import Halt, Takeover
from prepaid.wire.uplog import AlarmKind, Trouble

log = logging.getLogger(__name__)

_POSITION = TypeAdapter(Position)


_OF_THE_OLD = (
    Trouble.DISK_FULL,
    Trouble.CLOCK,
    Trouble.FORKED,
    Trouble.CODES_TRIED,
    Trouble.ENTRY_REFUSED,
    Trouble.CODE_UNKNOWN,
    Trouble.DEBIT_UNKNOWN,
    Trouble.CLOUD_RESTORED,
)


def follow(
    session: Session, gateway: tables.Gateway, asked: Takeover, *, now: datetime
) -> Halt | None:
    """Follows the store that asks, from its first entry on; None if it is followed, before or now.

    It must name the store that we follow now, so that of two stores only one takes over from it; and one
    that was replaced is never followed again. All that we ever sent is sent again, then where each point
    stands, what was charged to each purse and what was taken out; what no store has answered is asked again.
    Needs a system session and the gateway locked.
    """
    if asked.log == gateway.up_log:
        return None
    if session.get(tables.GatewayLog, (gateway.id, asked.log)) is not None:
        return Halt.REPLACED
    if gateway.up_log is not None and asked.instead_of != gateway.up_log:
        return Halt.UNKNOWN
    if gateway.up_log is not None:
        session.add(
            tables.GatewayLog(
                organization_id=gateway.organization_id,
                gateway_id=gateway.id,
                log=gateway.up_log,
                up_seq=gateway.up_seq,
                up_hash=gateway.up_hash,
                replaced_by=asked.log,
                replaced_at=now,
            )
        )
    text = f"log {asked.log} takes over from {gateway.up_log}, of which we have {gateway.up_seq} entries"
    log.warning("gateway %s: %s", gateway.gateway_no, text)
    # What an old store lacked or did wrong, it takes with it: also credit that it gave for a code we do not know. A
    # brake that nobody has released is the new one's, too.
    braked_at = _braked_at(session, gateway)
    if braked_at is None:
        end_alarm(session, gateway, Trouble.BRAKED, at=now, text=text)
    for trouble in _OF_THE_OLD:
        end_alarm(session, gateway, trouble, at=now, text=text)
    code = tables.UnknownCode
    session.execute(
        update(code)
        .where(col(code.gateway_id) == gateway.id, col(code.settled_at).is_(None))
        .values(settled_at=now)
    )
    alarm(session, gateway, Trouble.TAKEN_OVER, at=now, is_over=False, text=text)
    session.execute(delete(tables.UpHash).where(col(tables.UpHash.gateway_id) == gateway.id))
    gateway.up_log, gateway.up_seq, gateway.up_hash = asked.log, 0, NO_ENTRY
    gateway.up_fault = gateway.down_fault = None
    gateway.down_acked = gateway.down_sent_seq = 0
    gateway.follow_from = None  # a new store follows whatever our log is called
    gateway.down_sent_at = None
    downlog.append(session, gateway, list(_told(session, gateway, asked.log, braked_at)))
    withdrawal_answers.ask_again(session, gateway)
    return None


def alarm(
    session: Session,
    gateway: tables.Gateway,
    kind: Trouble,
    *,
    at: datetime,
    is_over: bool,
    text: str,
) -> None:
    """Keeps that a trouble of a gateway began or ended, and tells open pages and webhooks."""
    kept = session.execute(
        insert(tables.GatewayAlarm)
        .values(
            organization_id=gateway.organization_id,
            gateway_id=gateway.id,
            kind=kind.value,
            at=at,
            is_over=is_over,
            text=text,
        )
        .on_conflict_do_nothing()
        .returning(col(tables.GatewayAlarm.gateway_id))
    ).first()
    events.changed(session, gateway.organization_id)
    if kept is not None:
        outbox.tell(
            session,
            gateway.organization_id,
            [outbox.gateway_alarm(gateway.id, kind.value, at=at, is_over=is_over, text=text)],
        )


def end_alarm(
    session: Session, gateway: tables.Gateway, kind: Trouble, *, at: datetime, text: str
) -> None:
    """Keeps that a trouble ended, if it was on."""
    row = tables.GatewayAlarm
    last = session.execute(
        select(col(row.is_over))
        .where(col(row.gateway_id) == gateway.id, col(row.kind) == kind.value)
        .order_by(col(row.at).desc(), col(row.is_over).desc())
        .limit(1)
    ).scalar_one_or_none()
    if last is False:
        alarm(session, gateway, kind, at=at, is_over=True, text=text)


def _braked_at(session: Session, gateway: tables.Gateway) -> datetime | None:
    """Since when the gateway cuts nobody of itself, None where it does or a person has said that it shall."""
    row, entry = tables.GatewayAlarm, tables.DownEntry
    last: tables.GatewayAlarm | None = session.execute(
        select(row)
        .where(col(row.gateway_id) == gateway.id, col(row.kind) == Trouble.BRAKED.value)
        .order_by(col(row.at).desc(), col(row.is_over).desc())
        .limit(1)
    ).scalar_one_or_none()
    if last is None or last.is_over:
        return None
    unheard = session.execute(
        select(col(entry.body)).where(
            col(entry.gateway_id) == gateway.id,
            col(entry.seq) > gateway.down_acked,
            col(entry.body).contains("brake-released"),  # a name may say so, too
        )
    ).scalars()
    if any(isinstance(read_down(body), BrakeReleased) for body in unheard):
        return None
    return last.at


def _told(
    session: Session, gateway: tables.Gateway, to: UUID, braked_at: datetime | None
) -> Iterator[Down]:
    point, state = tables.ServicePoint, tables.PointState
    states = session.execute(
        select(state)
        .join(point, col(point.id) == col(state.point_id))
        .where(col(point.gateway_id) == gateway.id)
        .order_by(col(state.point_id))
    ).scalars()
    alarms = _alarms(session, gateway)
    for found in states:
        _note_start(session, found)
        yield _standing(session, found, to, alarms[found.point_id])
    purse, charged = tables.Purse, tables.DailyCharge
    sums = session.execute(
        select(col(charged.purse_id), func.sum(col(charged.charged_fen)))
        .join(purse, col(purse.id) == col(charged.purse_id))
        .where(col(purse.gateway_id) == gateway.id)
        .group_by(col(charged.purse_id))
        .order_by(col(charged.purse_id))
    )
    for purse_id, fen in sums:
        yield Carried(to, purse_id, Money(int(fen)))
    for transfer in withdrawal_answers.booked_at(session, gateway):
        yield Debited(to, transfer)
    purses = session.execute(
        select(col(purse.id)).where(col(purse.gateway_id) == gateway.id)
    ).scalars()
    for loan in emergency.open_loans(session, purses).values():
        yield Lent(to, loan.purse_id, loan.taken_at, loan.by.value)
    waiting = decisions.waiting(session, gateway)
    # Until it has booked what was decided, it serves the meters that were there before.
    for decided in reversed(waiting):
        yield PointSet(replace(decided.point, meter=decided.was))
    yield Resumed(to, braked_at=braked_at)
    for decided in waiting:
        yield replace(decided, log=to)
        if session.get_one(point, decided.point.id).ended_at is not None:
            yield PointEnded(decided.point.id)


def _note_start(session: Session, state: tables.PointState) -> None:
    """The new store goes on from the last position that was told: what was read after it was never charged."""
    if state.position is None:
        return
    reading, start = tables.Reading, tables.RatingStart
    told = select(func.max(reading.number)).where(col(reading.point_id) == state.point_id)
    row = insert(start).values(
        organization_id=state.organization_id,
        point_id=state.point_id,
        at=_POSITION.validate_python(state.position).reading.at,
        position=state.position,
        until=told.scalar_subquery(),
    )
    session.execute(
        row.on_conflict_do_update(
            index_elements=["point_id", "at"],
            set_={"position": row.excluded.position, "until": row.excluded.until},
        )
    )


def _standing(
    session: Session, state: tables.PointState, to: UUID, alarms: dict[AlarmKind, datetime]
) -> Standing:
    return Standing(
        log=to,
        point=state.point_id,
        position=_POSITION.validate_python(state.position) if state.position else None,
        doubt=_doubt(session, state),
        supply=Supply(state.supply) if state.supply else None,
        wanted=Supply(state.wanted) if state.wanted else None,
        why=Why(state.why) if state.why else None,
        commanded_at=state.commanded_at,
        alarms=alarms,
        place=tuple(state.place) if state.place else None,
    )


def _doubt(session: Session, state: tables.PointState) -> Reading | None:
    """The reading that holds a point: the one that was told at the time of the alarm."""
    if state.held_since is None:
        return None
    row = session.get(tables.Reading, (state.point_id, state.held_since))
    if row is None:
        return None
    supply = Supply(row.supply) if row.supply else None
    return Reading(row.meter_no, row.at, row.total, supply)


def _alarms(
    session: Session, gateway: tables.Gateway
) -> defaultdict[UUID, dict[AlarmKind, datetime]]:
    """Since when which alarms of each point are on: those whose last word is not that they are over."""
    point, alarm = tables.ServicePoint, tables.Alarm
    rows = session.execute(
        select(alarm)
        .join(point, col(point.id) == col(alarm.point_id))
        .where(col(point.gateway_id) == gateway.id)
        .ext(distinct_on(col(alarm.point_id), col(alarm.kind)))
        .order_by(
            col(alarm.point_id), col(alarm.kind), col(alarm.at).desc(), col(alarm.is_over).desc()
        )
    ).scalars()
    found: defaultdict[UUID, dict[AlarmKind, datetime]] = defaultdict(dict)
    for row in rows:
        if not row.is_over:
            found[row.point_id][AlarmKind(row.kind)] = row.at
    return found
