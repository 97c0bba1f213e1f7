"""更正资料: what was entered wrongly of a mounted meter is put right: where it is read, by which key, its limits.

Nothing that was charged changes by it. What would say that the past was charged wrongly, its number and its ratios,
is refused once something was charged: that is a change of meters or transformers, and a correction of money by two
people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import exists, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, estate, fieldwork, pointsets
from cloud.services.devices import changes, decisions, models, mountings
from cloud.services.devices.decisions import point_of, reason
from prepaid.point import KEYS, Meter
from prepaid.register.reach import round_of
from prepaid.wire.uplog import Work

CORRECTED = "corrected"
RATIOS = ("pt", "ct")

_METER = TypeAdapter(Meter)


class NothingCorrected(CloudError):
    status = 409
    sentence = "All of this is entered so already, so there is nothing to correct."


class WrongCommodity(CloudError):
    status = 422
    field = "model"
    sentence = "{point} is not metered by a {model}."


class ChargedUnderNumber(CloudError):
    status = 409
    field = "meter_no"
    sentence = (
        "{point} was charged under the number {meter_no}, which stands on its bills. If another meter hangs there,"
        " change the meter; if the number was mistyped, too: with the register that it shows as closing and opening"
        " reading."
    )


class ChargedByRatio(CloudError):
    status = 409
    sentence = (
        "{point} was charged by the ratio {ratio} up to {total}. Change the transformers, from what the register"
        " shows now; what was charged wrongly until then is made good by a correction of money, which a second person"
        " approves."
    )


class CannotShow(CloudError):
    status = 422
    field = "digits"
    sentence = "A register of {digits} digits cannot show {total}, which is charged."


class NoLink(CloudError):
    status = 409
    sentence = "{point} is not read where a technician has linked it, so there is no link to undo."


@dataclass(frozen=True, slots=True)
class Particulars:
    """What is put right; None, or no such setting: as it is entered. model is the key of one
    (services.devices.models), and brings protocol, limits and its own settings; what is given beside it goes before.
    """

    model: str | None = None
    meter_no: str | None = None
    line: str | None = None
    address: str | None = None
    digits: int | None = None
    step: Decimal | None = None
    max_per_hour: Decimal | None = None
    multiplier: Decimal | None = None
    has_switch: bool | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def correct(
    session: Session,
    point_id: UUID,
    given: Particulars,
    *,
    why: str,
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """Puts right what was entered of the meter that is mounted at a point, at once; its gateway is told.

    Where it is read at another place from now on (Meter.place) and was charged before, the gateway charges nothing of
    what it reads there until somebody has compared the registers.

    Raises what decisions.point_of and estate.check_meter raise, models.NoSuchModel, NothingCorrected, WrongCommodity,
    ChargedUnderNumber, ChargedByRatio, CannotShow, changes.BadMultiplier, BadReason, mountings.MeterEnded, or
    estate.Taken for the number or the address.
    """
    point = point_of(session, point_id, by)
    mounting = mountings.now_at(session, point.id)
    known = session.get_one(tables.Meter, mounting.meter_id)
    old = _METER.validate_python(point.meter)
    new = _meant(point, old, known.model, given)
    return _put_right(session, point, new, given.model or known.model, why=why, by=by, now=now)


def undo_link(
    session: Session, point_id: UUID, *, why: str, by: SignedIn, now: datetime
) -> tables.DeviceEvent:
    """The meter that a technician linked here by mistake is none of this point's: it is read where it was before.

    Raises what correct raises, and NoLink.
    """
    point = point_of(session, point_id, by)
    link = last_link(session, point)
    if link is None:
        raise NoLink(point=point.name)
    before = _METER.validate_python(link.instead_of)
    model = session.get_one(tables.Meter, mountings.now_at(session, point.id).meter_id).model
    return _put_right(session, point, before, model, why=why, by=by, now=now)


def last_link(session: Session, point: tables.ServicePoint) -> tables.FieldWork | None:
    """The technician's link by which the point has the meter that it has; None if it has it otherwise, as where he
    has undone one himself."""
    row, undone = tables.FieldWork, aliased(tables.FieldWork)
    found: tables.FieldWork | None = session.execute(
        select(row)
        .where(
            col(row.point_id) == point.id,
            col(row.work) == fieldwork.LINK,
            col(row.meter).is_not(None),
            ~exists().where(
                col(undone.point_id) == point.id,
                col(undone.work) == Work.UNLINK.value,
                col(undone.at) >= col(row.at),
            ),
        )
        .order_by(col(row.created_at).desc())
        .limit(1)
    ).scalar_one_or_none()
    return found if found is not None and found.meter == point.meter else None


def _meant(point: tables.ServicePoint, old: Meter, model: str | None, given: Particulars) -> Meter:
    new = old
    if given.model is not None and given.model != model:
        kind = models.of_key(given.model)
        if kind.commodity != point.commodity:
            raise WrongCommodity(point=point.name, model=kind.name)
        kept = {key: value for key, value in old.settings.items() if key in kind.asks}
        as_model = kind.meter(
            meter_no=old.meter_no,
            line=old.line,
            address=old.address,
            multiplier=old.multiplier,
            settings=kept,
        )
        new = replace(as_model, thresholds=old.thresholds)
    others: dict[str, Any] = {
        name: value
        for name in ("digits", "step", "max_per_hour", "multiplier", "has_switch")
        if (value := getattr(given, name)) is not None
    }
    for name in ("meter_no", "line", "address"):
        text = getattr(given, name)
        if text is not None:
            others[name] = text.strip()
    if given.multiplier is not None and not (given.multiplier.is_finite() and given.multiplier > 0):
        raise changes.BadMultiplier
    return replace(new, settings={**new.settings, **given.settings}, **others)


def _put_right(
    session: Session,
    point: tables.ServicePoint,
    new: Meter,
    model: str | None,
    *,
    why: str,
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    told = reason(why)
    old = _METER.validate_python(point.meter)
    mounting = mountings.now_at(session, point.id)
    was = session.get_one(tables.Meter, mounting.meter_id).model
    if (new, model) == (old, was):
        raise NothingCorrected
    estate.check_meter(new)
    position = decisions.last_charged(session, point)
    if position is not None:
        _check_past(point, old, new, position.reading.total)
    if new.meter_no != old.meter_no:
        mountings.check_usable(session, point.organization_id, new.meter_no)
    _tell_waiting(session, point, old, new)
    is_same = new.meter_no == old.meter_no
    estate.put(session, point, new, field="address" if is_same else "meter_no")
    mountings.corrected(session, point, new, model=model)
    (gateway,) = downlog.lock(session, [point.gateway_id])
    before, after = _changed((old, was), (new, model))
    asks = position is not None and new.place != old.place
    event = tables.DeviceEvent(
        organization_id=point.organization_id,
        kind=CORRECTED,
        at=now,
        point_id=point.id,
        meter_id=mounting.meter_id,
        gateway_id=gateway.id,
        done_by=by.user_id,
        why=told,
        detail={"before": before, "after": after, "asks": asks},
        down_seq=pointsets.publish(session, gateway, point),
    )
    session.add(event)
    session.flush()
    audit.record(
        session,
        by,
        CORRECTED,
        of="point",
        id=point.id,
        before=before,
        after={**after, "event": str(event.id), "why": told},
        now=now,
    )
    events.changed(session, point.organization_id, room_id=point.room_id)
    return event


def _check_past(point: tables.ServicePoint, old: Meter, new: Meter, total: Decimal) -> None:
    """What was charged was charged by this number and these ratios, up to a register that can be shown."""
    if new.meter_no != old.meter_no:
        raise ChargedUnderNumber(point=point.name, meter_no=old.meter_no)
    ratios = [("multiplier", str(old.multiplier), str(new.multiplier))]
    ratios += [(k, old.settings.get(k, ""), new.settings.get(k, "")) for k in RATIOS]
    for name, was, now in ratios:
        if was != now and (name != "multiplier" or old.multiplier != new.multiplier):
            raise ChargedByRatio(field=name, point=point.name, ratio=was or "—", total=total)
    if total >= round_of(new):
        raise CannotShow(digits=new.digits, total=total)


def _tell_waiting(session: Session, point: tables.ServicePoint, old: Meter, new: Meter) -> None:
    """What was decided and is on its way is about the corrected meter: a gateway that takes over is told it again."""
    row = tables.DeviceEvent
    entered, meant = (_METER.dump_python(each, mode="json") for each in (old, new))
    waiting = session.execute(
        select(row).where(
            col(row.point_id) == point.id,
            col(row.decided).is_not(None),
            col(row.taken_at).is_(None),
        )
    ).scalars()
    for event in waiting:
        said = dict(event.decided or {})
        if said["point"]["meter"] == entered:
            said["point"] = {**said["point"], "meter": meant}
        if said["was"] == entered:
            said["was"] = meant
        event.decided = said


def _changed(
    old: tuple[Meter, str | None], new: tuple[Meter, str | None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was and what is, of what differs; of a key only that it is another."""
    was, now = (_flat(*each) for each in (old, new))
    names = [name for name in was | now if was.get(name) != now.get(name)]
    return (
        {name: _shown(name, was.get(name)) for name in names},
        {name: _shown(name, now.get(name)) for name in names},
    )


def _flat(meter: Meter, model: str | None) -> dict[str, Any]:
    whole = _METER.dump_python(meter, mode="json")
    del whole["thresholds"]
    return {"model": model, **whole.pop("settings"), **whole}


def _shown(name: str, value: Any) -> Any:
    return "•" if name in KEYS and value else value
