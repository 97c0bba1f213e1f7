"""A gateway's log, applied once: readings, charges, supply and alarms, each entry in order after the cursor.

The log is a chain (prepaid.wire): of an entry that does not follow the one applied before it, or is another
than the one applied under its number, nothing is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from cloud import events, tables
from cloud.db import execute, is_entrys_fault
from cloud.errors import first_line
from cloud.services import (
    arrivals,
    chain,
    codes,
    downlog,
    emergency,
    fieldwork,
    gateways,
    ledger,
    rejected,
    restored,
    takeover,
    unknown_codes,
)
from cloud.services.accounts import tenures
from cloud.services.arrivals import Arrivals
from cloud.services.devices import decisions
from cloud.services.integration import outbox
from cloud.services.integration.outbox import Event, Happened
from cloud.services.money import withdrawals
from cloud.services.rejected import LONGEST_TEXT
from cloud.services.tariffs import publication
from prepaid.ledger import Reason, Transfer, TransferIdReused, prepaid
from prepaid.rating import Position
from prepaid.reading import Reading
from prepaid.wire import (
    Alarm,
    BadMessage,
    Charged,
    CodeEntered,
    Cursor,
    DecisionTaken,
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
    Withdrawn,
    read_up,
)

log = logging.getLogger(__name__)

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
    parsed = {entry.seq: _parsed(entry) for entry in new}
    points = _points(
        session, gateway, [m for m in parsed.values() if not isinstance(m, BadMessage)]
    )
    try:
        messages = [_checked(parsed[entry.seq], points) for entry in new]
        with session.begin_nested():
            _apply(session, gateway, points, messages, now)
    except (Inapplicable, TransferIdReused):
        messages = _apply_each(session, gateway, points, new, parsed, now)
    except DBAPIError as error:
        if not is_entrys_fault(error):
            raise
        messages = _apply_each(session, gateway, points, new, parsed, now)
    touched = {point.id: point for message in messages for point in _of(message, points)}
    events.rooms_changed(
        session,
        gateway.organization_id,
        [(point.room_id, point.account_id) for point in touched.values()],
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
    parsed: Mapping[int, Up | BadMessage],
    now: datetime,
) -> list[Up]:
    """Applies entries one by one; those that cannot be go to rejected.

    Raises DBAPIError where the database fails for a reason that is not in the entry.
    """
    applied: list[Up] = []
    for entry in entries:
        try:
            message = _checked(parsed[entry.seq], points)
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


def _parsed(entry: Entry) -> Up | BadMessage:
    try:
        return read_up(entry.body)
    except BadMessage as error:
        return error


def _checked(message: Up | BadMessage, points: dict[UUID, Point]) -> Up:
    """Raises Inapplicable for what is no message of this gateway's points, or cannot be kept."""
    if isinstance(message, BadMessage):
        raise Inapplicable(f"not a message: {first_line(message)}") from message
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
    if isinstance(message, Withdrawn):  # it may be of a purse that pays for nothing here any more
        _check_time(message.at)
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
        case Read() | Charged() if message.known is not None and not (
            0 <= message.known <= _LARGEST_CURSOR
        ):
            raise Inapplicable(f"an entry of our log that cannot be: {message.known}")
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
        case DecisionTaken():
            _check_time(message.at)
            _check_text(message.refused or "", most=LONGEST_TEXT)
    return message


def _of(message: Up, points: dict[UUID, Point]) -> list[Point]:
    """The service points that a message is about: those of its purse, one, or none."""
    match message:
        case GatewayAlarm() | FieldWork(point=None):
            return []
        case (
            CodeEntered(purse=purse)
            | EmergencyTaken(purse=purse)
            | EmergencyRepaid(purse=purse)
            | Withdrawn(purse=purse)
        ):
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
                    withdrawals.answered(session, gateway, message, now=now)
                except withdrawals.Unknown as error:
                    raise Inapplicable(str(error)) from error
            case DecisionTaken():
                decisions.taken(session, gateway, message)
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


def _take_cursor(
    session: Session, gateway: tables.Gateway, cursor: Cursor | None, now: datetime
) -> set[UUID]:
    """Takes the gateway's cursor in our log, whichever way it moves; the purses whose top-ups it delivers.

    It goes back where the gateway's store was put back from a backup, or where messages overtook each
    other, which costs no more than sending again. It is beyond our log where the database was put back.
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
    session.flush()
    unknown_codes.settle(session, gateway, now=now)
    tenures.delivered(session, gateway, now=now)
    topup = tables.TopUp
    publication.note_delivered(session, gateway, now=now)
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
        WHERE p.purse_id = ANY(:purses) AND p.ended_at IS NULL AND s.supply IS NOT NULL
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


_POINTS = """
    SELECT p.id, p.organization_id, p.room_id, p.purse_id, u.account_id
    FROM points p LEFT JOIN purses u ON u.id = p.purse_id
    WHERE p.gateway_id = %(gateway)s AND (%(all)s OR p.id = ANY(CAST(%(points)s AS uuid[])))
"""


def _points(session: Session, gateway: tables.Gateway, messages: Iterable[Up]) -> dict[UUID, Point]:
    """The gateway's service points that these messages are about; all of them where one is about a purse."""
    asked = set[UUID]()
    is_about_money = is_about_a_purse = False
    for message in messages:
        match message:
            case CodeEntered() | EmergencyTaken() | EmergencyRepaid() | Withdrawn():
                is_about_a_purse = is_about_money = True
            case GatewayAlarm() | FieldWork(point=None):
                pass
            case _:
                assert message.point is not None
                asked.add(message.point)
                is_about_money = is_about_money or isinstance(message, Charged)
    if not asked and not is_about_a_purse:
        return {}
    points = f"{{{','.join(map(str, asked))}}}"  # as PostgreSQL writes an array
    found = execute(session, _POINTS, gateway=gateway.id, points=points, all=is_about_a_purse)
    past = tenures.past_payers(session, gateway.id) if is_about_money else {}
    return {
        id: Point(id, organization, room, purse, account, past.get(id, frozenset()))
        for id, organization, room, purse, account in found
    }
