"""What a person has found out about a register, on its way to the gateway that charges by it, and its answer."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID, uuid4

from pydantic import TypeAdapter
from sqlalchemy import exists, select
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, pointsets, scopes
from cloud.services.devices import photos
from cloud.services.devices.photos import Picture
from prepaid.decimals import EXACT
from prepaid.point import KEYS, Meter
from prepaid.rating import Position
from prepaid.reading import Reading
from prepaid.register.evidence import Kind
from prepaid.register.reach import can_pass
from prepaid.resolution import (
    Accepted,
    Decision,
    Dismissed,
    Estimated,
    Restarted,
)
from prepaid.wire.downlog import Decided
from prepaid.wire.uplog import DecisionTaken

log = logging.getLogger(__name__)

LONGEST_REASON = 200
_POSITION = TypeAdapter(Position)
_DECIDED = TypeAdapter(Decided)
_METER = TypeAdapter(Meter)


class PointIsEnded(CloudError):
    status = 409
    sentence = "{point} was ended, its meter is taken away. Nothing can be done with it any more."


class BadReason(CloudError):
    status = 422
    field = "why"
    sentence = (
        "Please give the reason, in up to {most} characters. Whoever comes after you will read it."
    )


class BadRegister(CloudError):
    status = 422
    field = "register"
    sentence = "A register of {digits} digits cannot show {total}. Look at the photograph again."


class NotHeld(CloudError):
    status = 409
    sentence = "No reading of {point} is in doubt, so there is nothing to decide."


class NothingCharged(CloudError):
    status = 409
    sentence = "Nothing was charged at {point} yet, so there is no reading to go on from."


class ReadMeanwhile(CloudError):
    status = 409
    sentence = "Meanwhile {total} was read. Look at that first, then decide."


class BehindCharged(CloudError):
    status = 422
    field = "rounds"
    sentence = (
        "{seen} is less than {charged}, which is charged. Say how often the register went round, that it was reset,"
        " or that the meter was changed."
    )


class NotBetween(CloudError):
    status = 422
    field = "closing"
    sentence = (
        "A register that showed {charged} when it was charged, and {seen} after it was set, cannot have been set from"
        " {closing} to {opening}."
    )


class BadEstimate(CloudError):
    status = 422
    field = "moved"
    sentence = "An estimate is a number above 0."


@dataclass(frozen=True, slots=True)
class Doubt:
    """A point that is held: since when, the reading charged last, and the last that was read; is_elsewhere where this
    was read at another place (prepaid.register.evidence.Kind.ELSEWHERE)."""

    since: datetime
    charged: Reading
    seen: Reading
    is_elsewhere: bool


def point_of(session: Session, point_id: UUID, by: SignedIn) -> tables.ServicePoint:
    """A point in use, its gateway locked: what is done to it is done one after another.

    Raises scopes.NoSuchPoint or PointIsEnded.
    """
    found = scopes.check_point(session, by, point_id)
    downlog.lock(session, [found.gateway_id])
    session.refresh(found)
    if found.ended_at is not None:
        raise PointIsEnded(point=found.name)
    return found


def reason(why: str) -> str:
    """The reason as it is kept. Raises BadReason."""
    text = " ".join(why.split())
    if not text or len(text) > LONGEST_REASON or not text.isprintable():
        raise BadReason(most=LONGEST_REASON)
    return text


def check_register(total: Decimal, meter: Meter) -> None:
    """Raises BadRegister if such a meter cannot show it."""
    if not total.is_finite() or not 0 <= total < Decimal(1).scaleb(meter.digits):
        raise BadRegister(digits=meter.digits, total=total)


def last_charged(session: Session, point: tables.ServicePoint) -> Position | None:
    """Where the gateway last said that the point's account of its meter stands."""
    state = session.get_one(tables.PointState, point.id)
    return _POSITION.validate_python(state.position) if state.position is not None else None


def doubt_of(session: Session, point: tables.ServicePoint) -> Doubt | None:
    """Why a point is held, as far as it was told; None if it is not."""
    state = session.get_one(tables.PointState, point.id)
    position = last_charged(session, point)
    if state.held_since is None or position is None or state.total is None or state.read_at is None:
        return None
    meter_no = session.execute(
        select(col(tables.Reading.meter_no)).where(
            col(tables.Reading.point_id) == point.id, col(tables.Reading.at) == state.read_at
        )
    ).scalar_one_or_none()
    seen = Reading(meter_no or point.meter_no, state.read_at, state.total, None)
    said = tables.Evidence
    is_elsewhere = session.execute(
        select(
            exists().where(
                col(said.point_id) == point.id,
                col(said.at) >= state.held_since,
                col(said.kind) == Kind.ELSEWHERE.value,
            )
        )
    ).scalar_one()
    return Doubt(state.held_since, position.reading, seen, is_elsewhere)


def accept(
    session: Session,
    point_id: UUID,
    *,
    seen_at: datetime,
    rounds: int,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """读数属实: what the person saw is true, and is charged. seen_at is when that was read.

    A meter goes on while he makes up his mind: what was read after it does not matter where it goes on from it.

    Raises scopes.NoSuchPoint, PointIsEnded, BadReason, NotHeld, ReadMeanwhile or BehindCharged, and what
    photos.keep raises.
    """
    point = point_of(session, point_id, by)
    doubt = _doubt(session, point)
    seen = _seen(session, point, doubt, seen_at)
    if seen.total < doubt.charged.total and not rounds:
        raise BehindCharged(seen=seen.total, charged=doubt.charged.total)
    return decide(
        session, point, Accepted(rounds), seen, why=why, pictures=pictures, by=by, now=now
    )


def _seen(session: Session, point: tables.ServicePoint, doubt: Doubt, at: datetime) -> Reading:
    """The reading that a person saw. Raises ReadMeanwhile where the last does not go on from it."""
    last = doubt.seen
    if last.at == at:
        return last
    row = session.get(tables.Reading, (point.id, at)) if doubt.charged.at < at < last.at else None
    if row is None or row.meter_no != last.meter_no:
        raise ReadMeanwhile(total=last.total)
    with localcontext(EXACT):
        most = can_pass(_METER.validate_python(point.meter), last.at - at)
        if not 0 <= last.total - row.total <= most:
            raise ReadMeanwhile(total=last.total)
    return Reading(row.meter_no, at, row.total, None)


def restarted(
    session: Session,
    point_id: UUID,
    *,
    closing: Decimal,
    opening: Decimal,
    at: datetime,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """清零: the register was set from closing to opening, at a time.

    Raises scopes.NoSuchPoint, PointIsEnded, BadReason, NotHeld, BadRegister or NotBetween, and what photos.keep
    raises.
    """
    point = point_of(session, point_id, by)
    doubt = _doubt(session, point)
    meter = _METER.validate_python(point.meter)
    check_register(closing, meter)
    check_register(opening, meter)
    if closing < doubt.charged.total or opening > doubt.seen.total:
        raise NotBetween(
            charged=doubt.charged.total, seen=doubt.seen.total, closing=closing, opening=opening
        )
    decision = Restarted(closing, opening, at)
    return decide(session, point, decision, doubt.seen, why=why, pictures=pictures, by=by, now=now)


def dismiss(
    session: Session, point_id: UUID, *, why: str, by: SignedIn, now: datetime
) -> tables.DeviceEvent:
    """误读: what was doubted was none of this register's; nothing is charged.

    Raises scopes.NoSuchPoint, PointIsEnded, BadReason or NotHeld.
    """
    point = point_of(session, point_id, by)
    doubt = _doubt(session, point)
    return decide(session, point, Dismissed(), doubt.seen, why=why, pictures=(), by=by, now=now)


def estimate(
    session: Session,
    point_id: UUID,
    *,
    moved: Decimal | None,
    why: str,
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """预估: charge what is usual, or moved (in the register's unit), for the time in which nothing could be read.

    Raises scopes.NoSuchPoint, PointIsEnded, BadReason, NothingCharged or BadEstimate.
    """
    point = point_of(session, point_id, by)
    position = last_charged(session, point)
    if position is None:
        raise NothingCharged(point=point.name)
    if moved is not None and moved <= 0:
        raise BadEstimate
    until = Reading(position.reading.meter_no, now, position.reading.total, None)
    return decide(session, point, Estimated(moved), until, why=why, pictures=(), by=by, now=now)


def decide(
    session: Session,
    point: tables.ServicePoint,
    decision: Decision,
    after: Reading | None,
    *,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
    kind: str | None = None,
    was: Meter | None = None,
    detail: dict[str, Any] | None = None,
    at: datetime | None = None,
    meter_id: UUID | None = None,
) -> tables.DeviceEvent:
    """Writes an event down and sends its decision to the gateway, which is locked. was is the meter that it is about,
    where that is not the one that the point has now; kind is the decision's where none is given.

    Raises BadReason, and what photos.keep raises.
    """
    (gateway,) = downlog.lock(session, [point.gateway_id])
    id = uuid4()
    said = Decided(
        id,
        pointsets.value(session, point),
        was or _METER.validate_python(point.meter),
        decision,
        after,
    )
    event = tables.DeviceEvent(
        id=id,
        organization_id=point.organization_id,
        kind=kind or decision.kind,
        at=at or now,
        point_id=point.id,
        meter_id=meter_id,
        gateway_id=gateway.id,
        done_by=by.user_id,
        why=reason(why),
        detail=detail or {},
        decided=_DECIDED.dump_python(said, mode="json"),
    )
    session.add(event)
    session.flush()
    photos.keep(session, event, pictures, by=by)
    audit.record(session, by, event.kind, of="point", id=point.id, after=told(event), now=now)
    downlog.append(session, gateway, [said])
    events.changed(session, point.organization_id, room_id=point.room_id)
    log.info("%s decided of %s: %s", by.login, point.name, event.kind)
    return event


def told(event: tables.DeviceEvent) -> dict[str, Any]:
    """An event as the audit log keeps it: without the keys of its meters."""
    detail = {name: without_keys(value) for name, value in event.detail.items()}
    return {"event": str(event.id), "at": event.at.isoformat(), "why": event.why, **detail}


def without_keys(value: Any) -> Any:
    """A meter as JSON, of whose keys only stays that it has them; anything else as it is."""
    if not isinstance(value, dict) or "settings" not in value:
        return value
    shown = {name: "•" if name in KEYS else text for name, text in value["settings"].items()}
    return {**value, "settings": shown}


def waiting(session: Session, gateway: tables.Gateway) -> list[Decided]:
    """What the gateway has not said to have booked or refused, in the order in which it was decided."""
    row = tables.DeviceEvent
    found = session.execute(
        select(col(row.decided))
        .where(
            col(row.gateway_id) == gateway.id,
            col(row.decided).is_not(None),
            col(row.taken_at).is_(None),
        )
        .order_by(col(row.created_at))
    ).scalars()
    return [_DECIDED.validate_python(said) for said in found]


def taken(session: Session, gateway: tables.Gateway, said: DecisionTaken) -> None:
    """The gateway has booked a decision, or says why it cannot. The first word counts."""
    event = session.get(tables.DeviceEvent, said.id)
    if event is None or event.gateway_id != gateway.id or event.taken_at is not None:
        return
    event.taken_at, event.refused = said.at, said.refused
    session.flush()
    if said.refused is not None:
        log.warning("gateway %s cannot book %s: %s", gateway.gateway_no, event.kind, said.refused)


def _doubt(session: Session, point: tables.ServicePoint) -> Doubt:
    doubt = doubt_of(session, point)
    if doubt is None:
        raise NotHeld(point=point.name)
    return doubt
