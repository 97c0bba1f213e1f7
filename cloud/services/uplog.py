"""A gateway's log, applied once: readings, charges, supply and alarms, each entry in order after the cursor.

The log is a chain (prepaid.wire): of an entry that does not follow the one applied before it, or is another
than the one applied under its number, nothing is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from cloud import events, tables
from cloud.db import is_entrys_fault
from cloud.errors import first_line
from cloud.services import (
    chain,
    codes,
    downlog,
    emergency,
    fieldwork,
    gateways,
    ledger,
    measurements,
    rejected,
    takeover,
)
from cloud.services.accounts import tenures
from cloud.services.integration import outbox
from cloud.services.integration.outbox import Event, Happened
from cloud.services.rejected import LONGEST_TEXT
from prepaid.ledger import Reason, Transfer, TransferIdReused, prepaid
from prepaid.momentary import Momentary
from prepaid.rating import Position
from prepaid.reading import Reading, Supply
from prepaid.register import Evidence, Kind
from prepaid.wire import (
    Alarm,
    AlarmKind,
    BadMessage,
    Charged,
    CodeEntered,
    Cursor,
    EmergencyRepaid,
    EmergencyTaken,
    Entry,
    Envelope,
    FieldWork,
    GatewayAlarm,
    Halt,
    Measured,
    MeterLinked,
    Read,
    SupplyChanged,
    Up,
    read_up,
)

log = logging.getLogger(__name__)

_POSITION = TypeAdapter(Position)
_LARGEST_CURSOR = 2**62  # there is room after it
LONGEST_NAME = 200
_LARGEST_NUMBER = 2**31 - 1
_MOST_BANDS = 63
_LARGEST_TOTAL = Decimal(10) ** 30


class Inapplicable(Exception):
    """An entry that can never be applied. Keep it with the reason, and move on."""


@dataclass(frozen=True, slots=True)
class Point:
    """What must be known of a service point to apply its entries."""

    id: UUID
    organization_id: UUID
    room_id: UUID
    purse_id: UUID | None
    account_id: UUID | None
    past_payers: frozenset[UUID] = frozenset()

    @property
    def payers(self) -> frozenset[UUID]:
        """The purses that pay or paid for it: the last charges of one that no longer pays may come late."""
        return self.past_payers | {self.purse_id} if self.purse_id else self.past_payers


@dataclass(slots=True)
class _Work:
    """What a run of entries comes to, so that it takes a few statements however many there are."""

    readings: dict[tuple[UUID, datetime], Reading] = field(default_factory=dict)
    evidence: dict[tuple[UUID, datetime, Kind], Evidence] = field(default_factory=dict)
    transfers: list[Transfer] = field(default_factory=list)
    latest: dict[UUID, Reading] = field(default_factory=dict)
    first: dict[UUID, datetime] = field(default_factory=dict)
    positions: dict[UUID, Position] = field(default_factory=dict)
    supplies: dict[UUID, SupplyChanged] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    measured: dict[tuple[UUID, datetime], Momentary] = field(default_factory=dict)


def gateway_of(session: Session, gateway_no: str) -> tables.Gateway | None:
    """The gateway, locked until the end of the transaction."""
    return session.execute(
        select(tables.Gateway)
        .where(col(tables.Gateway.gateway_no) == gateway_no)
        .with_for_update(key_share=True)
    ).scalar_one_or_none()


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
        _note_supply(session, switched)
        return Halt.FORKED
    delivered = _take_cursor(session, gateway, envelope.cursor, now)
    _note_supply(session, switched | delivered)
    return None


def _apply_new(
    session: Session, gateway: tables.Gateway, new: list[Entry], now: datetime
) -> set[UUID]:
    """The purses whose supply may have changed."""
    if not new:
        return set()
    points = _points(session, gateway)
    try:
        with session.begin_nested():
            messages = [_read(entry, points) for entry in new]
            _apply(session, gateway, points, messages, now)
    except (Inapplicable, TransferIdReused):
        messages = _apply_each(session, gateway, points, new, now)
    except DBAPIError as error:
        if not is_entrys_fault(error):
            raise
        messages = _apply_each(session, gateway, points, new, now)
    touched = {point for message in messages for point in _of(message, points)}
    for point in touched:
        events.changed(
            session, point.organization_id, room_id=point.room_id, account_id=point.account_id
        )
    return {
        point.purse_id
        for message in messages
        if isinstance(message, SupplyChanged | CodeEntered)
        for point in _of(message, points)
        if point.purse_id is not None
    }


def _apply_each(
    session: Session,
    gateway: tables.Gateway,
    points: dict[UUID, Point],
    entries: list[Entry],
    now: datetime,
) -> list[Up]:
    """Applies entries one by one; those that cannot be go to rejected.

    Raises DBAPIError where the database fails for a reason that is not in the entry.
    """
    applied: list[Up] = []
    for entry in entries:
        try:
            with session.begin_nested():
                message = _read(entry, points)
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


def _read(entry: Entry, points: dict[UUID, Point]) -> Up:
    try:
        message = read_up(entry.body)
    except BadMessage as error:
        raise Inapplicable(f"not a message: {first_line(error)}") from error
    if isinstance(message, GatewayAlarm):
        _check_time(message.at)
        _check_text(message.text, most=LONGEST_TEXT)
        return message
    if isinstance(message, CodeEntered | EmergencyTaken | EmergencyRepaid):
        _check_time(message.at)
        if not _of(message, points):
            raise Inapplicable(f"no service point of purse {message.purse} at this gateway")
        if isinstance(message, CodeEntered) and not 0 < message.number <= _LARGEST_NUMBER:
            raise Inapplicable(f"a credit number that cannot be: {message.number}")
        return message
    if isinstance(message, FieldWork):
        _check_time(message.at)
        _check_text(message.by, most=LONGEST_NAME)
        _check_text(message.text, most=LONGEST_TEXT)
        if message.point is None:
            return message
    assert message.point is not None
    point = points.get(message.point)
    if point is None:
        raise Inapplicable(f"no service point {message.point} at this gateway")
    match message:
        case Read():
            _check_reading(message.reading)
            for each in message.evidence:
                _check_text(each.text, most=LONGEST_TEXT)
                _check_total(each.moved or Decimal(0))
                _check_total(each.limit or Decimal(0))
        case Measured(momentary=momentary):
            _check_time(momentary.at)
            _check_text(momentary.meter_no, most=LONGEST_NAME)
            for value in momentary.values.values():
                _check_total(value)
        case Charged():
            _check_reading(message.position.reading)
            _check_time(message.position.opened_at)
            _check_charges(message, point)
        case SupplyChanged():
            _check_time(message.at)
            if message.commanded_at is not None:
                _check_time(message.commanded_at)
        case Alarm():
            _check_time(message.at)
            _check_text(message.text, most=LONGEST_TEXT)
        case MeterLinked():
            _check_time(message.at)
            _check_text(message.by, most=LONGEST_NAME)
            if fault := fieldwork.fault_of(message.meter):
                raise Inapplicable(fault)
    return message


def _of(message: Up, points: dict[UUID, Point]) -> list[Point]:
    """The service points that a message is about: those of its purse, one, or none."""
    match message:
        case GatewayAlarm() | FieldWork(point=None):
            return []
        case CodeEntered(purse=purse) | EmergencyTaken(purse=purse) | EmergencyRepaid(purse=purse):
            return [point for point in points.values() if purse in point.payers]
        case _:
            assert message.point is not None
            return [points[message.point]]


def _check_reading(reading: Reading) -> None:
    _check_time(reading.at)
    _check_text(reading.meter_no, most=LONGEST_NAME)
    _check_total(reading.total)
    bands = reading.bands or {}
    if len(bands) > _MOST_BANDS:
        raise Inapplicable(f"{len(bands)} bands, more than a meter has")
    for band, total in bands.items():
        _check_text(band, most=LONGEST_NAME)
        _check_total(total)


def _check_total(total: Decimal) -> None:
    if abs(total) >= _LARGEST_TOTAL:
        raise Inapplicable("a total that no register shows")


def _check_text(text: str, *, most: int) -> None:
    if len(text) > most:
        raise Inapplicable(f"a text of {len(text)} characters, more than {most}: {text[:20]!r}…")


def _check_time(at: datetime) -> None:
    if at.tzinfo is None:
        raise Inapplicable(f"a time without a time zone: {at}")
    if not 1970 <= at.year <= 9000:
        raise Inapplicable(f"a time that cannot be kept: {at}")


def _check_charges(message: Charged, point: Point) -> None:
    """A gateway writes charges to the purses that pay or paid for its points, and no other transfers."""
    for transfer in message.transfers:
        _check_time(transfer.at)
        for name in (transfer.debit, transfer.credit, transfer.cause):
            _check_text(name, most=LONGEST_NAME)
        if transfer.reason is not Reason.CHARGE:
            raise Inapplicable(f"a gateway does not write a {transfer.reason}")
        if transfer.debit not in map(prepaid, point.payers):
            raise Inapplicable(f"a charge of service point {point.id} debits {transfer.debit}")
        if not transfer.credit.startswith("Income:"):
            raise Inapplicable(f"a charge credits income, not {transfer.credit}")


def _apply(
    session: Session,
    gateway: tables.Gateway,
    points: dict[UUID, Point],
    messages: Iterable[Up],
    now: datetime,
) -> None:
    work = _Work()
    for message in messages:
        match message:
            case Read():
                _add_reading(work, message.point, message.reading)
                for each in message.evidence:
                    work.evidence[message.point, message.reading.at, each.kind] = each
            case Measured():
                work.measured.setdefault((message.point, message.momentary.at), message.momentary)
            case Charged():
                _add_reading(work, message.point, message.position.reading)
                work.positions[message.point] = message.position
                work.transfers += message.transfers
                if _is_opened(message.position):
                    tenures.opened(session, message.point, message.position)
            case SupplyChanged():
                work.supplies[message.point] = message
            case Alarm():
                work.alarms.append(message)
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
            case EmergencyRepaid():
                emergency.repaid(session, session.get_one(tables.Purse, message.purse), message)
    if work.transfers:
        ledger.post(session, gateway.organization_id, work.transfers)
    if work.readings:
        session.execute(
            insert(tables.Reading).on_conflict_do_nothing(),
            [
                {
                    "organization_id": gateway.organization_id,
                    "point_id": point,
                    "at": at,
                    "meter_no": reading.meter_no,
                    "total": reading.total,
                    "supply": _text_of(reading.supply),
                    "bands": _texts(reading.bands),
                }
                for (point, at), reading in work.readings.items()
            ],
        )
    if work.evidence:
        _save_evidence(session, gateway, work)
    if work.measured:
        measurements.keep(session, gateway.organization_id, work.measured)
    for point in work.latest:
        _save_reading(session, point, work)
    for point, supply in work.supplies.items():
        _save_supply(session, point, supply)
    alarms = [alarm for alarm in work.alarms if _save_alarm(session, points[alarm.point], alarm)]
    outbox.tell(
        session,
        gateway.organization_id,
        [_supply_changed(points[point], change) for point, change in work.supplies.items()]
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
            "supply": _text_of(change.supply),
            "wanted": _text_of(change.wanted),
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


def _add_reading(work: _Work, point: UUID, reading: Reading) -> None:
    work.readings.setdefault((point, reading.at), reading)
    work.latest[point] = reading  # by the order of the log, not by a clock that may be set
    work.first[point] = min(work.first.get(point, reading.at), reading.at)


def _save_evidence(session: Session, gateway: tables.Gateway, work: _Work) -> None:
    session.execute(
        insert(tables.Evidence).on_conflict_do_nothing(),
        [
            {
                "organization_id": gateway.organization_id,
                "point_id": point,
                "at": at,
                "kind": kind.value,
                "confidence": evidence.confidence.value,
                "effect": evidence.effect.value,
                "moved": evidence.moved,
                "against": evidence.limit,
                "text": evidence.text,
            }
            for (point, at, kind), evidence in work.evidence.items()
        ],
    )


def _save_reading(session: Session, point: UUID, work: _Work) -> None:
    state = tables.PointState
    reading = work.latest[point]
    values: dict[str, Any] = {
        "total": reading.total,
        "read_at": reading.at,
        "bands": _texts(reading.bands),
        "first_read_at": func.least(col(state.first_read_at), work.first[point]),
    }
    if point in work.positions:
        values["position"] = _POSITION.dump_python(work.positions[point], mode="json")
    session.execute(update(state).where(col(state.point_id) == point).values(values))


def _save_supply(session: Session, point: UUID, change: SupplyChanged) -> None:
    state = tables.PointState
    session.execute(
        update(state)
        .where(col(state.point_id) == point)
        .values(
            supply=_text_of(change.supply),
            wanted=_text_of(change.wanted),
            why=change.why.value,
            supply_at=change.at,
            commanded_at=func.coalesce(change.commanded_at, col(state.commanded_at)),
        )
    )


def _texts(bands: Mapping[str, Decimal] | None) -> dict[str, str] | None:
    return {band: str(total) for band, total in bands.items()} if bands is not None else None


def _text_of(supply: Supply | None) -> str | None:
    return supply.value if supply is not None else None


def _save_alarm(session: Session, point: Point, alarm: Alarm) -> bool:
    """Whether it is new."""
    kept = session.execute(
        insert(tables.Alarm)
        .values(
            organization_id=point.organization_id,
            point_id=point.id,
            kind=alarm.alarm.value,
            at=alarm.at,
            is_over=alarm.is_over,
            text=alarm.text,
        )
        .on_conflict_do_nothing()
        .returning(col(tables.Alarm.point_id))
    ).first()
    since = None if alarm.is_over else alarm.at
    state = tables.PointState
    change = update(state).where(col(state.point_id) == point.id)
    match alarm.alarm:
        case AlarmKind.SILENT:
            session.execute(change.values(silent_since=since))
        case AlarmKind.IMPLAUSIBLE:
            session.execute(change.values(held_since=since))
        case (
            AlarmKind.STUCK
            | AlarmKind.SWITCH_FAILED
            | AlarmKind.NO_TARIFF
            | AlarmKind.CUT_WAITS
            | AlarmKind.CLOCK_WRONG
            | AlarmKind.FINAL_BALANCE
            | AlarmKind.LOW_BALANCE
        ):
            pass  # kept in alarms; the state itself shows in supply and balance
        case _:
            raise AssertionError(f"not a kind of alarm: {alarm.alarm}")
    return kept is not None


def _take_cursor(
    session: Session, gateway: tables.Gateway, cursor: Cursor | None, now: datetime
) -> set[UUID]:
    """Takes the gateway's cursor in our log, whichever way it moves; the purses whose top-ups it delivers.

    It goes back where the gateway's store was put back from a backup, or where messages overtook each
    other, which costs no more than sending again. It is beyond our log where the database was put back.
    """
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
    session.flush()
    tenures.delivered(session, gateway, now=now)
    topup = tables.TopUp
    delivered = session.execute(
        update(topup)
        .where(
            col(topup.gateway_id) == gateway.id,
            col(topup.down_seq) <= cursor.seq,
            col(topup.delivered_at).is_(None),
        )
        .values(delivered_at=now)
        .returning(col(topup.id), col(topup.purse_id))
    ).all()
    for topup_id, _ in delivered:
        events.changed(session, gateway.organization_id, topup_id=topup_id)
    return {purse_id for _, purse_id in delivered}


def _fault_of(gateway: tables.Gateway, cursor: Cursor | None) -> str | None:
    """Why the gateway's cursor is none in our log, as the rest of a sentence about the gateway."""
    if cursor is None:
        if gateway.down_acked == 0:
            return None
        return f"knows nothing of our log, of which it had {gateway.down_acked} entries: has its store been replaced?"
    if cursor.log != gateway.down_log:
        return f"follows log {cursor.log}, which is not ours for it"
    if not 0 <= cursor.seq <= _LARGEST_CURSOR:
        return f"says it has entry {cursor.seq} of our log, which cannot be"
    return None


_NOTE_SUPPLY = text("""
    WITH now_supplied AS (
        SELECT p.purse_id,
               bool_and(s.supply = 'on') AS is_on,
               bool_and(s.supply IN ('on', 'armed')) AND bool_or(s.supply = 'armed') AS is_armed,
               max(s.supply_at) AS at
        FROM points p JOIN point_states s ON s.point_id = p.id
        WHERE p.purse_id = ANY(:purses) AND s.supply IS NOT NULL
        GROUP BY p.purse_id
    )
    UPDATE topups t
    SET armed_at = CASE WHEN s.is_armed THEN coalesce(t.armed_at, greatest(t.delivered_at, s.at))
                        ELSE t.armed_at END,
        restored_at = CASE WHEN s.is_on THEN greatest(t.delivered_at, s.at) END
    FROM now_supplied s JOIN purses p ON p.id = s.purse_id
    WHERE s.purse_id = t.purse_id AND t.delivered_at IS NOT NULL AND t.restored_at IS NULL
    RETURNING t.id AS topup_id, t.organization_id, p.account_id
""")


def _note_supply(session: Session, purses: set[UUID]) -> None:
    """Delivered top-ups are restored once all that their purse pays for is on, armed once only buttons are left."""
    if purses:
        for row in session.execute(_NOTE_SUPPLY, {"purses": list(purses)}):
            events.changed(
                session, row.organization_id, account_id=row.account_id, topup_id=row.topup_id
            )


def _points(session: Session, gateway: tables.Gateway) -> dict[UUID, Point]:
    point, purse = tables.ServicePoint, tables.Purse
    found = session.execute(
        select(
            col(point.id),
            col(point.organization_id),
            col(point.room_id),
            col(point.purse_id),
            col(purse.account_id),
        )
        .outerjoin(purse, col(purse.id) == col(point.purse_id))
        .where(col(point.gateway_id) == gateway.id)
    )
    past = tenures.past_payers(session, gateway.id)
    return {
        row.id: Point(
            row.id,
            row.organization_id,
            row.room_id,
            row.purse_id,
            row.account_id,
            past.get(row.id, frozenset()),
        )
        for row in found
    }
