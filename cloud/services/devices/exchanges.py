"""The exchange of one register for another: what a person wrote down of both, checked, and told to the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter
from sqlmodel import Session

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import estate
from cloud.services.devices import decisions, mountings
from cloud.services.devices.decisions import check_register
from cloud.services.devices.photos import Picture
from prepaid.point import Meter
from prepaid.reading import Reading
from prepaid.resolution import Exchanged

_METER = TypeAdapter(Meter)


class ClosingBehind(CloudError):
    status = 422
    field = "closing"
    sentence = (
        "The closing reading {closing} is less than {charged}, which is charged already. Read the photograph again,"
        " or say how often the register went past its last digit."
    )


class ReadSince(CloudError):
    status = 409
    field = "closing"
    sentence = (
        "The meter was read again after you opened this page: it shows {last} now, no more {closing}. Look at both"
        " times, and send it again with the reading at which it was taken down."
    )

    def __init__(self, *, last: Decimal, closing: Decimal) -> None:
        super().__init__(last=last, closing=closing)
        self.last = last


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


@dataclass(frozen=True, slots=True)
class Registers:
    """What the old meter showed last and the new one first, and when (UTC), as a person has written down.

    rounds is how often the old register went past its last digit since it was charged. between is what was used while
    there was no meter, in the old register's unit, by agreement. estimate_stands: the old one was stuck and did not
    count what was charged as an estimate. was_read: closing is the last reading as the person was shown it, and none
    of his own.
    """

    closing: Decimal
    closed_at: datetime
    opening: Decimal
    opened_at: datetime
    rounds: int = 0
    between: Decimal = Decimal(0)
    estimate_stands: bool = False
    was_read: bool = False


def check(
    session: Session,
    point: tables.ServicePoint,
    old: Meter,
    new: Meter,
    mounting: tables.Mounting,
    registers: Registers,
    pictures: tuple[Picture, ...],
    now: datetime,
) -> None:
    """That the readings can be, as far as the cloud knows. The gateway looks again: it may have charged more.

    Raises BadRegister, BadQuantity, BadTimes, ReadSince, ClosingBehind or NeedsPhoto.
    """
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
    charged, last = position.reading, session.get_one(tables.PointState, point.id).total
    if registers.was_read and last is not None and registers.closing != last:
        raise ReadSince(last=last, closing=registers.closing)
    if (
        charged.meter_no == old.meter_no
        and registers.closing < charged.total
        and not registers.rounds
    ):
        raise ClosingBehind(closing=registers.closing, charged=charged.total)
    is_proved = any(picture.of == "closing" for picture in pictures)
    if registers.closing != last and not is_proved:
        raise NeedsPhoto(last=last)


def remount(
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
    estate.put(session, point, new, field="meter_no")


def exchange(
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
    position = decisions.last_charged(session, point)
    is_charged = position is not None and position.reading.meter_no == old.meter_no
    decision = Exchanged(
        closing=Reading(old.meter_no, registers.closed_at, registers.closing, None),
        opening=Reading(new.meter_no, registers.opened_at, registers.opening, None),
        rounds=registers.rounds,
        between=registers.between,
        estimate_stands=registers.estimate_stands,
        counted_from=position.reading.total if position is not None and is_charged else None,
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


def said(old: Meter, new: Meter, registers: Registers) -> dict[str, Any]:
    """What is kept of it for people."""
    return {
        "old": _METER.dump_python(old, mode="json"),
        "new": _METER.dump_python(new, mode="json"),
        "closing": str(registers.closing),
        "opening": str(registers.opening),
        "opened_at": registers.opened_at.isoformat(),
        "rounds": registers.rounds,
        "between": str(registers.between),
    }
