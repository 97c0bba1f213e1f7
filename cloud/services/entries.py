"""What an entry of a gateway's log says, checked: whether it is a message of the gateway's points, to be kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from cloud import tables
from cloud.db import execute
from cloud.errors import first_line
from cloud.services import fieldwork
from cloud.services.accounts import tenures
from cloud.services.rejected import LONGEST_TEXT
from prepaid.ledger import Reason, prepaid
from prepaid.reading import Reading
from prepaid.wire.entry import Entry
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
    read_up,
)

LARGEST_CURSOR = 2**62  # there is room after it
LONGEST_NAME = 200
MOST_IN_PLACE = 40
_LARGEST_NUMBER = 2**31 - 1
_MOST_BANDS = 63
_MOST_RECALLED = 100
_MOST_POINTS = 10_000
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


def parsed(entry: Entry) -> Up | BadMessage:
    """Its message, or why it is none."""
    try:
        return read_up(entry.body)
    except BadMessage as error:
        return error


def checked(message: Up | BadMessage, points: dict[UUID, Point]) -> Up:
    """Raises Inapplicable for what is no message of this gateway's points, or cannot be kept."""
    if isinstance(message, BadMessage):
        raise Inapplicable(f"not a message: {first_line(message)}") from message
    if isinstance(message, GatewayAlarm):
        _check_time(message.at)
        _check_text(message.text, most=LONGEST_TEXT)
        return message
    if isinstance(message, CodeEntered | EmergencyTaken | EmergencyRepaid):
        _check_time(message.at)
        if not of(message, points):
            raise Inapplicable(f"no service point of purse {message.purse} at this gateway")
        if isinstance(message, CodeEntered) and not 0 < message.number <= _LARGEST_NUMBER:
            raise Inapplicable(f"a credit number that cannot be: {message.number}")
        return message
    if isinstance(message, Withdrawn):  # it may be of a purse that pays for nothing here any more
        _check_time(message.at)
        return message
    if isinstance(message, Recalled):  # also of a purse that the database does not know any more
        _check_recalled(message)
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
            0 <= message.known <= LARGEST_CURSOR
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
            if len(message.place or ()) > MOST_IN_PLACE:
                raise Inapplicable("a place of more parts than any meter has")
            for part in message.place or ():
                _check_text(part, most=LONGEST_NAME)
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


def of(message: Up, points: dict[UUID, Point]) -> list[Point]:
    """The service points that a message is about: those of its purse, one, or none."""
    match message:
        case GatewayAlarm() | FieldWork(point=None) | Recalled():
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


def _check_recalled(message: Recalled) -> None:
    book = prepaid(message.purse)
    most = max(len(message.credits), len(message.debits))
    if most > _MOST_RECALLED or len(message.points) > _MOST_POINTS:
        raise Inapplicable("more transfers or points than a gateway tells at once")
    if not 0 <= message.number <= _LARGEST_NUMBER:
        raise Inapplicable(f"a credit number that cannot be: {message.number}")
    for transfer in (*message.credits, *message.debits):
        _check_time(transfer.at)
        for name in (transfer.debit, transfer.credit, transfer.cause):
            _check_text(name, most=LONGEST_NAME)
    for transfer in message.credits:
        if transfer.credit != book:
            raise Inapplicable(f"a credit of purse {message.purse} credits {transfer.credit}")
    for transfer in message.debits:
        if transfer.debit != book or transfer.reason is Reason.CHARGE:
            raise Inapplicable(f"a debit of purse {message.purse} debits {transfer.debit}")


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


_POINTS = f"""
    WITH past AS ({tenures.PAST_PAYERS})
    SELECT p.id, p.organization_id, p.room_id, p.purse_id, u.account_id, past.purses
    FROM points p LEFT JOIN purses u ON u.id = p.purse_id
    LEFT JOIN past ON past.point_id = p.id AND %(is_about_money)s
    WHERE p.gateway_id = %(gateway)s AND (%(all)s OR p.id = ANY(CAST(%(points)s AS uuid[])))
"""


def points_of(
    session: Session, gateway: tables.Gateway, messages: Iterable[Up]
) -> dict[UUID, Point]:
    """The gateway's service points that these messages are about; all of them where one is about a purse."""
    asked = set[UUID]()
    is_about_money = is_about_a_purse = False
    for message in messages:
        match message:
            case CodeEntered() | EmergencyTaken() | EmergencyRepaid() | Withdrawn():
                is_about_a_purse = is_about_money = True
            case GatewayAlarm() | FieldWork(point=None) | Recalled():
                pass
            case _:
                assert message.point is not None
                asked.add(message.point)
                is_about_money = is_about_money or isinstance(message, Charged)
    if not asked and not is_about_a_purse:
        return {}
    points = f"{{{','.join(map(str, asked))}}}"  # as PostgreSQL writes an array
    found = execute(
        session,
        _POINTS,
        gateway=gateway.id,
        points=points,
        all=is_about_a_purse,
        is_about_money=is_about_money,
    )
    return {
        id: Point(id, organization, room, purse, account, frozenset(past or ()))
        for id, organization, room, purse, account, past in found
    }
