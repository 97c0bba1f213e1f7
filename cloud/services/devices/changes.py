"""What is done to meters at a service point: 换表, other transformers, taking one away.

The gateway charges what the old meter counted up to its closing reading, and counts on from the opening reading of
the new one; the purse, its balance and its tiers stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import TypeAdapter
from sqlmodel import Session

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import downlog, estate
from cloud.services.devices import decisions, examinations, exchanges, mountings
from cloud.services.devices.decisions import point_of, reason
from cloud.services.devices.exchanges import Registers
from cloud.services.devices.photos import Picture
from prepaid.point import Meter
from prepaid.reading import Reading
from prepaid.resolution import Accepted
from prepaid.wire.downlog import PointEnded

CHANGED = "meter-changed"  # 换表
TRANSFORMERS = "transformers-changed"  # 换互感器
TAKEN_DOWN = "taken-down"  # 拆表

_METER = TypeAdapter(Meter)


class SameMeter(CloudError):
    status = 422
    field = "meter_no"
    sentence = (
        "Meter {meter_no} is the one that is mounted there now. Enter the number of the new one."
    )


class BadMultiplier(CloudError):
    status = 422
    field = "multiplier"
    sentence = "The multiplier must be a number above 0."


class SameMultiplier(CloudError):
    status = 422
    field = "multiplier"
    sentence = "The multiplier is {multiplier} now. Enter that of the new transformers."


class NotRefused(CloudError):
    status = 409
    sentence = "The gateway has not refused this, so there is nothing to mend."


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

    Raises what decisions.point_of, mountings.mount, estate.check_meter, exchanges.check and photos.keep raise,
    SameMeter, BadReason, or estate.Taken for the number or the address.
    """
    given = tuple(pictures)
    point = point_of(session, point_id, by)
    old = _METER.validate_python(point.meter)
    if new.meter_no == old.meter_no:
        raise SameMeter(meter_no=new.meter_no)
    estate.check_meter(new)
    mounting = mountings.now_at(session, point.id)
    exchanges.check(session, point, old, new, mounting, registers, given, now)
    exchanges.remount(session, point, mounting, new, registers, model=model)
    detail = exchanges.said(old, new, registers)
    return exchanges.exchange(
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
    exchanges.check(session, point, old, new, mounting, registers, given, now)
    exchanges.remount(session, point, mounting, new, registers, model=None)
    detail = exchanges.said(old, new, registers)
    return exchanges.exchange(
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
    event = examinations.event_of(session, event_id, by)
    if event.refused is None or event.kind not in (CHANGED, TRANSFORMERS) or event.point_id is None:
        raise NotRefused
    point = point_of(session, event.point_id, by)
    after, before = mountings.of_point(session, point.id)[:2]
    if event.ended_at is not None or event.detail["new"] != after.device:
        raise NotRefused
    old, new = (_METER.validate_python(each.device) for each in (before, after))
    exchanges.check(session, point, old, new, before, registers, given, now)
    before.removed_at, before.closing = registers.closed_at, registers.closing
    after.mounted_at, after.opening = registers.opened_at, registers.opening
    event.ended_at, event.ended_by, event.ended_why = now, by.user_id, reason(why)
    session.flush()
    detail = exchanges.said(old, new, registers)
    return exchanges.exchange(
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
    was_read: bool = False,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """拆表: the service point ends. It is charged up to the closing reading, and read no more. was_read as in
    exchanges.Registers.

    Raises what decisions.point_of, exchanges.check and photos.keep raise, or BadReason.
    """
    given = tuple(pictures)
    point = point_of(session, point_id, by)
    meter = _METER.validate_python(point.meter)
    mounting = mountings.now_at(session, point.id)
    registers = Registers(closing, at, closing, at, rounds, was_read=was_read)
    exchanges.check(session, point, meter, meter, mounting, registers, given, now)
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
