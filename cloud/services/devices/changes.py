"""What is done to meters at a service point: 换表, other transformers, taking one away, calibration, dispute.

The gateway charges what the old meter counted up to its closing reading, and counts on from the opening reading of
the new one; the purse, its balance and its tiers stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from psycopg.errors import UniqueViolation
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, estate, scopes
from cloud.services.devices import decisions, mountings, photos
from cloud.services.devices.decisions import check_register, point_of, reason
from cloud.services.devices.photos import Picture
from prepaid.point import Meter
from prepaid.reading import Reading
from prepaid.resolution import Accepted, Exchanged
from prepaid.wire import PointEnded

CHANGED = "meter-changed"  # 换表
TRANSFORMERS = "transformers-changed"  # 换互感器
TAKEN_DOWN = "taken-down"  # 拆表
CALIBRATED = "calibrated"  # 检定
DISPUTED = "disputed"  # 争议
LONGEST_NOTE = 500

_METER = TypeAdapter(Meter)


class SameMeter(CloudError):
    status = 422
    field = "meter_no"
    sentence = (
        "Meter {meter_no} is the one that is mounted there now. Enter the number of the new one."
    )


class ClosingBehind(CloudError):
    status = 422
    field = "closing"
    sentence = (
        "The closing reading {closing} is less than {charged}, which is charged already. Read the photograph again,"
        " or say how often the register went past its last digit."
    )


class BadTimes(CloudError):
    status = 422
    field = "closed_at"
    sentence = (
        "The times must follow each other: mounted {mounted_at}, taken down, the new one put up,"
        " and not later than now."
    )


class NeedsPhoto(CloudError):
    status = 422
    field = "photo"
    sentence = (
        "The closing reading was typed and is not the last that was read ({last})."
        " Add a photograph of the register."
    )


class BadQuantity(CloudError):
    status = 422
    field = "between"
    sentence = "What was used without a meter must be a number from 0 on."


class BadMultiplier(CloudError):
    status = 422
    field = "multiplier"
    sentence = "The multiplier must be a number above 0."


class SameMultiplier(CloudError):
    status = 422
    field = "multiplier"
    sentence = "The multiplier is {multiplier} now. Enter that of the new transformers."


class NoSuchMeter(CloudError):
    status = 404
    sentence = "There is no such meter."


class NoSuchEvent(CloudError):
    status = 404
    sentence = "There is no such entry."


class NotOpen(CloudError):
    status = 409
    sentence = "This dispute is decided already."


class NotRefused(CloudError):
    status = 409
    sentence = "The gateway has not refused this, so there is nothing to mend."


class BadDue(CloudError):
    status = 422
    field = "due"
    sentence = "The next calibration must be due after the one that was made."


@dataclass(frozen=True, slots=True)
class Registers:
    """What the old meter showed last and the new one first, and when (UTC), as a person has written down.

    rounds is how often the old register went past its last digit since it was charged. between is what was used while
    there was no meter, in the old register's unit, by agreement. estimate_stands: the old one was stuck and did not
    count what was charged as an estimate.
    """

    closing: Decimal
    closed_at: datetime
    opening: Decimal
    opened_at: datetime
    rounds: int = 0
    between: Decimal = Decimal(0)
    estimate_stands: bool = False


def change_meter(
    session: Session,
    point_id: UUID,
    new: Meter,
    registers: Registers,
    *,
    model: str | None,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """换表. The gateway is told; whether it could book it stands in the event once it answers.

    Raises what decisions.point_of, mountings.mount, estate.check_meter and photos.keep raise, SameMeter,
    ClosingBehind, BadRegister, BadTimes, BadQuantity, NeedsPhoto, BadReason, or estate.Taken for the number or the
    address.
    """
    given = tuple(pictures)
    point = point_of(session, point_id, by)
    old = _METER.validate_python(point.meter)
    if new.meter_no == old.meter_no:
        raise SameMeter(meter_no=new.meter_no)
    estate.check_meter(new)
    mounting = mountings.now_at(session, point.id)
    _check(session, point, old, new, mounting, registers, given, now)
    _remount(session, point, mounting, new, registers, model=model)
    detail = _said(old, new, registers)
    return _exchange(
        session,
        point,
        old,
        new,
        registers,
        kind=CHANGED,
        detail=detail,
        why=why,
        pictures=given,
        by=by,
        now=now,
    )


def change_transformers(
    session: Session,
    point_id: UUID,
    *,
    multiplier: Decimal,
    settings: dict[str, str],
    registers: Registers,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """换互感器: the same meter counts on, but what it counts is multiplied otherwise from this register on.

    settings are added to the meter's: a driver that multiplies by itself knows the ratio as "pt" and "ct", and then
    the register that it gives jumps from closing to opening.

    Raises as change_meter does, and BadMultiplier or SameMultiplier.
    """
    given = tuple(pictures)
    point = point_of(session, point_id, by)
    old = _METER.validate_python(point.meter)
    if not multiplier.is_finite() or multiplier <= 0:
        raise BadMultiplier
    new = replace(old, multiplier=multiplier, settings={**old.settings, **settings})
    if new == old:
        raise SameMultiplier(multiplier=multiplier)
    mounting = mountings.now_at(session, point.id)
    _check(session, point, old, new, mounting, registers, given, now)
    _remount(session, point, mounting, new, registers, model=None)
    detail = _said(old, new, registers)
    return _exchange(
        session,
        point,
        old,
        new,
        registers,
        kind=TRANSFORMERS,
        detail=detail,
        why=why,
        pictures=given,
        by=by,
        now=now,
    )


def mend(
    session: Session,
    event_id: UUID,
    registers: Registers,
    *,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """Decides a change anew that the gateway refused, with other readings. The devices are those of the change.

    Raises NoSuchEvent, NotRefused, and as change_meter does.
    """
    given = tuple(pictures)
    event = _event(session, event_id, by)
    if event.refused is None or event.kind not in (CHANGED, TRANSFORMERS) or event.point_id is None:
        raise NotRefused
    point = point_of(session, event.point_id, by)
    after, before = mountings.of_point(session, point.id)[:2]
    if event.ended_at is not None or event.detail["new"] != after.device:
        raise NotRefused
    old, new = (_METER.validate_python(each.device) for each in (before, after))
    _check(session, point, old, new, before, registers, given, now)
    before.removed_at, before.closing = registers.closed_at, registers.closing
    after.mounted_at, after.opening = registers.opened_at, registers.opening
    event.ended_at, event.ended_by, event.ended_why = now, by.user_id, reason(why)
    session.flush()
    detail = _said(old, new, registers)
    return _exchange(
        session,
        point,
        old,
        new,
        registers,
        kind=event.kind,
        detail=detail,
        why=why,
        pictures=given,
        by=by,
        now=now,
    )


def take_down(
    session: Session,
    point_id: UUID,
    *,
    closing: Decimal,
    at: datetime,
    rounds: int,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """拆表: the service point ends. It is charged up to the closing reading, and read no more.

    Raises what decisions.point_of and photos.keep raise, ClosingBehind, BadRegister, BadTimes, NeedsPhoto or
    BadReason.
    """
    given = tuple(pictures)
    point = point_of(session, point_id, by)
    meter = _METER.validate_python(point.meter)
    mounting = mountings.now_at(session, point.id)
    registers = Registers(closing, at, closing, at, rounds)
    _check(session, point, meter, meter, mounting, registers, given, now)
    mountings.take_down(session, mounting, at=at, closing=closing)
    point.ended_at = now
    detail = {"meter_no": meter.meter_no, "closing": str(closing)}
    event = decisions.decide(
        session,
        point,
        Accepted(rounds),
        Reading(meter.meter_no, at, closing, None),
        why=why,
        pictures=given,
        by=by,
        now=now,
        kind=TAKEN_DOWN,
        detail=detail,
        at=at,
        meter_id=mounting.meter_id,
    )
    (gateway,) = downlog.lock(session, [point.gateway_id])
    downlog.append(session, gateway, [PointEnded(point.id)])
    return event


def calibrate(
    session: Session,
    meter_id: UUID,
    *,
    on: date,
    passed: bool,
    certificate: str,
    due: date | None,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """检定: a meter was examined, with what result, by which certificate, and when the next is due.

    Raises NoSuchMeter, BadDue or BadReason, and what photos.keep raises.
    """
    row = tables.Meter
    meter: tables.Meter | None = session.execute(
        select(row)
        .where(col(row.id) == meter_id, col(row.organization_id) == by.organization_id)
        .with_for_update()
    ).scalar_one_or_none()
    if meter is None:
        raise NoSuchMeter
    if due is not None and due <= on:
        raise BadDue
    meter.calibration_due = due
    detail = {
        "on": on.isoformat(),
        "passed": passed,
        "certificate": certificate.strip()[:LONGEST_NOTE],
        "due": due.isoformat() if due else None,
    }
    return _note(session, CALIBRATED, meter_id, None, detail, why, pictures, by=by, now=now)


def dispute(
    session: Session,
    point_id: UUID,
    *,
    total: Decimal,
    read_at: datetime,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """争议: the customer does not believe a reading; a person must decide. Charging goes on meanwhile.

    Raises what decisions.point_of raises, BadReason, and what photos.keep raises.
    """
    point = point_of(session, point_id, by)
    mounting = mountings.now_at(session, point.id)
    detail = {"total": str(total), "read_at": read_at.isoformat(), "meter_no": point.meter_no}
    return _note(session, DISPUTED, mounting.meter_id, point, detail, why, pictures, by=by, now=now)


def dispute_last(
    session: Session,
    point_id: UUID,
    *,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """The same of the last reading. Raises decisions.NothingCharged where there is none."""
    point = point_of(session, point_id, by)
    state = session.get_one(tables.PointState, point.id)
    if state.total is None or state.read_at is None:
        raise decisions.NothingCharged(point=point.name)
    return dispute(
        session,
        point_id,
        total=state.total,
        read_at=state.read_at,
        why=why,
        pictures=pictures,
        by=by,
        now=now,
    )


def settle_dispute(
    session: Session, event_id: UUID, *, upheld: bool, why: str, by: SignedIn, now: datetime
) -> tables.DeviceEvent:
    """A dispute is decided. Money that is owed back is a correction, which is not made here.

    Raises NoSuchEvent, NotOpen or BadReason.
    """
    event = _event(session, event_id, by)
    if event.kind != DISPUTED:
        raise NoSuchEvent
    if event.ended_at is not None:
        raise NotOpen
    event.ended_at, event.ended_by, event.ended_why = now, by.user_id, reason(why)
    event.detail = {**event.detail, "upheld": upheld}
    session.flush()
    audit.record(
        session,
        by,
        "dispute-settled",
        of="point",
        id=str(event.point_id),
        after={**decisions.told(event), "decided": event.ended_why},
        now=now,
    )
    events.changed(session, by.organization_id)
    return event


def _check(
    session: Session,
    point: tables.ServicePoint,
    old: Meter,
    new: Meter,
    mounting: tables.Mounting,
    registers: Registers,
    pictures: tuple[Picture, ...],
    now: datetime,
) -> None:
    """That the readings can be, as far as the cloud knows. The gateway looks again: it may have charged more."""
    check_register(registers.closing, old)
    check_register(registers.opening, new)
    if not registers.between.is_finite() or registers.between < 0:
        raise BadQuantity
    in_order = mounting.mounted_at <= registers.closed_at <= registers.opened_at <= now
    if not in_order:
        raise BadTimes(mounted_at=mounting.mounted_at)
    position = decisions.last_charged(session, point)
    if position is None:
        return
    charged = position.reading
    if (
        charged.meter_no == old.meter_no
        and registers.closing < charged.total
        and not registers.rounds
    ):
        raise ClosingBehind(closing=registers.closing, charged=charged.total)
    last = session.get_one(tables.PointState, point.id).total
    is_proved = any(picture.of == "closing" for picture in pictures)
    if registers.closing != last and not is_proved:
        raise NeedsPhoto(last=last)


def _remount(
    session: Session,
    point: tables.ServicePoint,
    mounting: tables.Mounting,
    new: Meter,
    registers: Registers,
    *,
    model: str | None,
) -> None:
    """The meter of the point is another, in all tables."""
    mountings.take_down(session, mounting, at=registers.closed_at, closing=registers.closing)
    mountings.mount(
        session, point, new, at=registers.opened_at, opening=registers.opening, model=model
    )
    try:
        with session.begin_nested():
            point.meter = _METER.dump_python(new, mode="json")
            point.meter_no, point.line, point.address = new.meter_no, new.line, new.address
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            raise estate.Taken(what=estate.there_is(new), field="meter_no") from None
        raise


def _exchange(
    session: Session,
    point: tables.ServicePoint,
    old: Meter,
    new: Meter,
    registers: Registers,
    *,
    kind: str,
    detail: dict[str, Any],
    why: str,
    pictures: tuple[Picture, ...],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    decision = Exchanged(
        closing=Reading(old.meter_no, registers.closed_at, registers.closing, None),
        opening=Reading(new.meter_no, registers.opened_at, registers.opening, None),
        rounds=registers.rounds,
        between=registers.between,
        estimate_stands=registers.estimate_stands,
    )
    return decisions.decide(
        session,
        point,
        decision,
        None,
        why=why,
        pictures=pictures,
        by=by,
        now=now,
        kind=kind,
        was=old,
        detail=detail,
        at=registers.closed_at,
        meter_id=mountings.now_at(session, point.id).meter_id,
    )


def _said(old: Meter, new: Meter, registers: Registers) -> dict[str, Any]:
    return {
        "old": _METER.dump_python(old, mode="json"),
        "new": _METER.dump_python(new, mode="json"),
        "closing": str(registers.closing),
        "opening": str(registers.opening),
        "opened_at": registers.opened_at.isoformat(),
        "rounds": registers.rounds,
        "between": str(registers.between),
    }


def _note(
    session: Session,
    kind: str,
    meter_id: UUID,
    point: tables.ServicePoint | None,
    detail: dict[str, Any],
    why: str,
    pictures: Iterable[Picture],
    *,
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """An event that the gateway need not know of."""
    event = tables.DeviceEvent(
        id=uuid4(),
        organization_id=by.organization_id,
        kind=kind,
        at=now,
        point_id=point.id if point is not None else None,
        meter_id=meter_id,
        done_by=by.user_id,
        why=reason(why),
        detail=detail,
    )
    session.add(event)
    session.flush()
    photos.keep(session, event, pictures, by=by)
    audit.record(
        session,
        by,
        kind,
        of="point" if point is not None else "meter",
        id=point.id if point is not None else meter_id,
        after=decisions.told(event),
        now=now,
    )
    events.changed(session, by.organization_id, room_id=point.room_id if point else None)
    return event


def _event(session: Session, event_id: UUID, by: SignedIn) -> tables.DeviceEvent:
    row = tables.DeviceEvent
    found: tables.DeviceEvent | None = session.execute(
        select(row)
        .where(col(row.id) == event_id, col(row.organization_id) == by.organization_id)
        .with_for_update()
    ).scalar_one_or_none()
    if found is None:
        raise NoSuchEvent
    if found.point_id is not None:
        scopes.check_point(session, by, found.point_id)
    return found
