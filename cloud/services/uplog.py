"""A gateway's log, applied once: readings, charges, supply and alarms, each entry in order after the cursor.

The log is a chain (prepaid.wire.entry): of an entry that does not follow the one applied before it, or is another
than the one applied under its number, nothing is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from cloud import events, tables
from cloud.db import is_entrys_fault
from cloud.errors import first_line
from cloud.services import (
    arrivals,
    chain,
    codes,
    cursors,
    emergency,
    entries,
    fieldwork,
    gateways,
    ledger,
    rejected,
    takeover,
)
from cloud.services.accounts import tenures
from cloud.services.arrivals import Arrivals
from cloud.services.devices import decisions
from cloud.services.entries import Inapplicable, Point
from cloud.services.integration import outbox
from cloud.services.integration.outbox import Event, Happened
from cloud.services.money import lost_transfers, withdrawal_answers
from prepaid.ledger import Transfer, TransferIdReused
from prepaid.rating import Position
from prepaid.wire.entry import Entry
from prepaid.wire.envelope import Envelope, Halt
from prepaid.wire.message import BadMessage
from prepaid.wire.uplog import (
    Alarm,
    Charged,
    CodeEntered,
    DecisionTaken,
    EmergencyRepaid,
    EmergencyTaken,
    FieldWork,
    GatewayAlarm,
    Measured,
    MeterLinked,
    Read,
    Recalled,
    SupplyChanged,
    Up,
    Withdrawn,
)

log = logging.getLogger(__name__)


def gateway_of(session: Session, gateway_no: str) -> tables.Gateway | None:
    """The gateway, locked until the end of the transaction."""
    return session.execute(_BY_NUMBER, {"number": gateway_no}).scalar_one_or_none()


_BY_NUMBER = (  # made once: this is asked at each message
    select(tables.Gateway)
    .where(col(tables.Gateway.gateway_no) == bindparam("number"))
    .with_for_update(key_share=True)
)


def receive(
    session: Session, gateway: tables.Gateway, envelope: Envelope, *, now: datetime
) -> Halt | None:
    """Applies what the envelope has after our cursor in the gateway's log, and takes its cursor in ours.

    Needs a system session and the gateway locked. An entry that cannot be applied goes to rejected, with
    its reason, and the cursor moves past it. Nothing is taken from a store that we do not follow, nor from
    the place on where a log is no longer the one we know; the sender is to be told which it is.
    """
    if envelope.takeover is not None:
        halt = takeover.follow(session, gateway, envelope.takeover, now=now)
        if halt is not None:
            return halt
    if envelope.sender is not None and gateway.up_log not in (None, envelope.sender):
        for entry in envelope.entries:
            rejected.reject_log(session, gateway, entry)
        known = session.get(tables.GatewayLog, (gateway.id, envelope.sender))
        return Halt.REPLACED if known is not None else Halt.UNKNOWN
    if gateway.silent_since is not None:
        log.info(
            "gateway %s answers again, silent since %s", gateway.gateway_no, gateway.silent_since
        )
        gateway.silent_since = None
        events.changed(session, gateway.organization_id)
        gateways.tell_silence(
            session, gateway.organization_id, gateway.id, gateway.gateway_no, at=now, is_over=True
        )
    gateway.heard_at = now
    new, fork = chain.take(session, gateway, envelope.entries, now)
    switched = _apply_new(session, gateway, new, now)
    if fork is not None:
        chain.refuse(session, gateway, fork, now)
        cursors.note_supply(session, switched)
        return Halt.FORKED
    delivered = cursors.take(session, gateway, envelope.cursor, now)
    cursors.note_supply(session, switched | delivered)
    return None


def _apply_new(
    session: Session, gateway: tables.Gateway, new: list[Entry], now: datetime
) -> set[UUID]:
    """The purses whose supply may have changed."""
    if not new:
        return set()
    parsed = {entry.seq: entries.parsed(entry) for entry in new}
    points = entries.points_of(
        session, gateway, [m for m in parsed.values() if not isinstance(m, BadMessage)]
    )
    try:
        messages = [entries.checked(parsed[entry.seq], points) for entry in new]
        with session.begin_nested():
            _apply(session, gateway, points, messages, now)
    except (Inapplicable, TransferIdReused):
        messages = _apply_each(session, gateway, points, new, parsed, now)
    except DBAPIError as error:
        if not is_entrys_fault(error):
            raise
        messages = _apply_each(session, gateway, points, new, parsed, now)
    touched = {point.id: point for message in messages for point in entries.of(message, points)}
    events.rooms_changed(
        session,
        gateway.organization_id,
        [(point.room_id, point.account_id) for point in touched.values()],
    )
    return {
        point.purse_id
        for message in messages
        if isinstance(message, SupplyChanged | CodeEntered)
        for point in entries.of(message, points)
        if point.purse_id is not None
    }


def _apply_each(
    session: Session,
    gateway: tables.Gateway,
    points: dict[UUID, Point],
    sent: list[Entry],
    parsed: Mapping[int, Up | BadMessage],
    now: datetime,
) -> list[Up]:
    """Applies entries one by one; those that cannot be go to rejected.

    Raises DBAPIError where the database fails for a reason that is not in the entry.
    """
    applied: list[Up] = []
    for entry in sent:
        try:
            message = entries.checked(parsed[entry.seq], points)
            with session.begin_nested():
                _apply(session, gateway, points, [message], now)
        except (Inapplicable, TransferIdReused) as error:
            rejected.reject(session, gateway, entry, str(error))
        except DBAPIError as error:
            if not is_entrys_fault(error):
                raise
            rejected.reject(
                session, gateway, entry, f"the database refuses it: {first_line(error)}"
            )
        else:
            applied.append(message)
    return applied


def _apply(
    session: Session,
    gateway: tables.Gateway,
    points: dict[UUID, Point],
    messages: Iterable[Up],
    now: datetime,
) -> None:
    told, transfers = Arrivals(), list[Transfer]()
    for message in messages:
        match message:
            case Read():
                told.read(message.point, message.reading, known=message.known)
                for each in message.evidence:
                    told.evidence[message.point, message.reading.at, each.kind] = each
            case Measured():
                told.measured.setdefault((message.point, message.momentary.at), message.momentary)
            case Charged():
                told.read(message.point, message.position.reading, known=message.known)
                if message.is_start or not message.transfers:
                    told.starts[message.point, message.position.reading.at] = message.position
                if message.is_start:
                    told.places[message.point] = message.place
                told.positions[message.point] = message.position
                transfers += message.transfers
                if _is_opened(message.position):
                    tenures.opened(session, message.point, message.position)
            case SupplyChanged():
                told.supplies[message.point] = message
            case Alarm():
                told.alarms.append(message)
            case GatewayAlarm(at=at, alarm=kind, is_over=is_over, text=said):
                takeover.alarm(session, gateway, kind, at=at, is_over=is_over, text=said)
            case FieldWork():
                fieldwork.keep(session, gateway, message)
            case MeterLinked():
                fieldwork.link(session, gateway, message)
            case CodeEntered():
                codes.entered(session, gateway, message, now=now)
            case EmergencyTaken():
                purse = session.get_one(tables.Purse, message.purse)
                emergency.taken_at_gateway(session, gateway, purse, message)
            case Withdrawn():
                try:
                    withdrawal_answers.answered(session, gateway, message, now=now)
                except withdrawal_answers.Unknown as error:
                    raise Inapplicable(str(error)) from error
            case DecisionTaken():
                decisions.taken(session, gateway, message)
            case Recalled():
                try:
                    lost_transfers.told(session, gateway, message, now=now)
                except lost_transfers.NotAsked as error:
                    raise Inapplicable(str(error)) from error
            case EmergencyRepaid():
                emergency.repaid(session, session.get_one(tables.Purse, message.purse), message)
    if transfers:
        ledger.post(session, gateway.organization_id, transfers, carry_to=now)
    alarms = arrivals.save(session, gateway.organization_id, told)
    outbox.tell(
        session,
        gateway.organization_id,
        [_supply_changed(points[point], change) for point, change in told.supplies.items()]
        + [_alarm(points[alarm.point], alarm) for alarm in alarms],
    )


def _supply_changed(point: Point, change: SupplyChanged) -> Happened:
    return Happened(
        Event.SUPPLY_CHANGED,
        change.at,
        {
            "point_id": point.id,
            "room_id": point.room_id,
            "purse_id": point.purse_id,
            "supply": arrivals.text_of(change.supply),
            "wanted": arrivals.text_of(change.wanted),
            "why": change.why.value,
        },
    )


def _alarm(point: Point, alarm: Alarm) -> Happened:
    return Happened(
        Event.ALARM_ENDED if alarm.is_over else Event.ALARM_RAISED,
        alarm.at,
        {
            "kind": alarm.alarm.value,
            "point_id": point.id,
            "room_id": point.room_id,
            "gateway_id": None,
            "text": alarm.text,
        },
    )


def _is_opened(position: Position) -> bool:
    """Whether it stands at the reading that opened it."""
    return position.number == 0 and position.reading.at == position.opened_at
