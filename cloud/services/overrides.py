"""Override: an operator pins a supply until an instant, OFF 强制拉闸 or ON 保电, ends it, or releases a brake."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlmodel import Session

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import alarms, audit, downlog, scopes
from cloud.services.scopes import NoSuchGateway, NoSuchPoint
from prepaid import supply as rules
from prepaid.point import Meter, Policy
from prepaid.reading import Supply
from prepaid.wire.downlog import BrakeReleased, Pinned
from prepaid.wire.uplog import Trouble

log = logging.getLogger(__name__)

LONGEST_REASON = 200
REMEMBERED = 5  # of a point's overrides, on its room's page

_METER = TypeAdapter(Meter)
_POLICY = TypeAdapter(Policy)


class Protected(CloudError):
    status = 409
    sentence = "{point} is protected, so nobody can cut it off. End its protection first."


class NoSwitch(CloudError):
    status = 409
    sentence = "The meter of {point} has no switch, so its supply can be neither cut nor kept."


class BadEnd(CloudError):
    status = 422
    field = "until"
    sentence = "An override needs an end that is yet to come, at most {days} days from now."


class BadReason(CloudError):
    status = 422
    field = "why"
    sentence = (
        "Please give the reason, in up to {most} characters. Whoever comes after you will read it."
    )


class PinnedMeanwhile(CloudError):
    status = 409
    sentence = "Somebody has changed this meanwhile, so nothing was done. Look again who pinned what, and why."


class NotBraked(CloudError):
    status = 409
    sentence = "The cuts of gateway {gateway_no} are not held back, so there is nothing to release."


@dataclass(frozen=True, slots=True)
class Pin:
    """What a supply was pinned to, by whom and why.

    ended_at and ended_by are None until somebody ends it before its time. is_delivered: the gateway has been
    told the last of it.
    """

    id: UUID
    point_id: UUID
    supply: Supply
    at: datetime
    until: datetime
    by: str
    why: str
    ended_at: datetime | None
    ended_by: str | None
    is_delivered: bool

    def is_in_force(self, now: datetime) -> bool:
        return self.ended_at is None and now < self.until


def pin(
    session: Session,
    point_id: UUID,
    *,
    supply: Supply,
    until: datetime,
    why: str,
    instead_of: UUID | None,
    by: SignedIn,
    longest: timedelta,
    now: datetime,
) -> Pin:
    """Pins the supply in place of the override that is in force, which instead_of names (None: there is none).

    Two operators do not overrule each other unseen: one may have cut a line off to work on it. The same
    again changes nothing. supply is ON or OFF.

    Raises NoSuchPoint, BadEnd, BadReason, NoSwitch, Protected or PinnedMeanwhile.
    """
    _, gateway = _locked(session, point_id, by)
    point, why, standing = _checked(
        session,
        point_id,
        supply=supply,
        until=until,
        why=why,
        by=by,
        longest=longest,
        now=now,
    )
    asked = (supply, until, why, by.name)
    if standing and asked == (standing.supply, standing.until, standing.why, standing.by):
        return standing
    if (standing.id if standing else None) != instead_of:
        raise PinnedMeanwhile
    message = Pinned(point.id, rules.Override(supply, until, by.name, why))
    seq = downlog.append(session, gateway, [message])
    if standing is not None:
        _end(session, standing.id, by=by, seq=seq, now=now)
    row = tables.Override(
        organization_id=by.organization_id,
        created_at=now,
        point_id=point.id,
        supply=supply.value,
        until=until,
        why=why,
        pinned_by=by.user_id,
        gateway_id=gateway.id,
        down_seq=seq,
    )
    session.add(row)
    session.flush()
    after = {"supply": supply.value, "until": until.isoformat(), "why": why}
    before = None if standing is None else {"supply": standing.supply.value, "why": standing.why}
    audit.record(session, by, "pin", of="point", id=point.id, before=before, after=after, now=now)
    log.info("%s pinned %s to %s until %s: %s", by.login, point.name, supply, until, why)
    events.changed(session, by.organization_id, room_id=point.room_id)
    return _pins(session, [point.id])[point.id][0]


def check(
    session: Session,
    point_id: UUID,
    *,
    supply: Supply,
    until: datetime,
    why: str,
    instead_of: UUID | None,
    by: SignedIn,
    longest: timedelta,
    now: datetime,
) -> None:
    """Raises what pin would now raise, so that nobody is asked to confirm what cannot be."""
    _, _, standing = _checked(
        session, point_id, supply=supply, until=until, why=why, by=by, longest=longest, now=now
    )
    if (standing.id if standing else None) != instead_of:
        raise PinnedMeanwhile


def end(
    session: Session, point_id: UUID, override_id: UUID, *, by: SignedIn, now: datetime
) -> None:
    """Ends an override that is in force; one that has ended already is left as it is.

    Raises NoSuchPoint, or PinnedMeanwhile where another is in force.
    """
    point, gateway = _locked(session, point_id, by)
    standing = in_force(session, point_id, now=now)
    if standing is None:
        return
    if standing.id != override_id:
        raise PinnedMeanwhile
    seq = downlog.append(session, gateway, [Pinned(point.id, None)])
    _end(session, standing.id, by=by, seq=seq, now=now)
    before = {"supply": standing.supply.value, "by": standing.by, "why": standing.why}
    audit.record(session, by, "unpin", of="point", id=point.id, before=before, now=now)
    log.info("%s ended what %s was pinned to", by.login, point.name)
    events.changed(session, by.organization_id, room_id=point.room_id)


def release_brake(session: Session, gateway_id: UUID, *, by: SignedIn, now: datetime) -> None:
    """Lets a gateway cut again that holds back its cuts because too many came at once.

    Once is enough: while a release is on its way another changes nothing. Raises NoSuchGateway or NotBraked.
    """
    scopes.check_gateway(session, by, gateway_id, whole=True)
    gateway = _lock_gateway(session, gateway_id, by)
    troubles = alarms.of_gateways(session, by.organization_id)
    brake = next(
        (t for t in troubles if t.gateway_id == gateway.id and t.kind is Trouble.BRAKED), None
    )
    if brake is None:
        raise NotBraked(gateway_no=gateway.gateway_no)
    if brake.released_by is None:
        downlog.append(session, gateway, [BrakeReleased(by.name)])
        audit.record(session, by, "release-brake", of="gateway", id=gateway.id, now=now)
        log.info("%s released the brake of gateway %s", by.login, gateway.gateway_no)
        events.changed(session, by.organization_id)


def in_force(session: Session, point_id: UUID, *, now: datetime) -> Pin | None:
    """What the point is pinned to now. Raises NoSuchPoint."""
    if session.get(tables.ServicePoint, point_id) is None:
        raise NoSuchPoint
    return next((pin for pin in _pins(session, [point_id])[point_id] if pin.is_in_force(now)), None)


def all_in_force(session: Session, points: Iterable[UUID], *, now: datetime) -> dict[UUID, Pin]:
    """What these points are pinned to now; no entry for the others."""
    found = session.execute(_IN_FORCE, {"points": list(points), "now": now})
    return {row.point_id: _pin(row) for row in found}


def of_points(session: Session, points: Iterable[UUID]) -> defaultdict[UUID, list[Pin]]:
    """The last overrides of each point, the newest first."""
    return _pins(session, points)


def is_protected(policy: Policy, now: datetime) -> bool:
    """Whether nobody can cut the point off. A gateway whose clock is in doubt ends no protection either."""
    until = policy.protected_until
    return policy.is_protected and (until is None or now < until)


_COLUMNS = """
    SELECT o.id, o.point_id, o.supply, o.created_at, o.until, o.why, o.ended_at,
           pinned.name AS by, ended.name AS ended_by, o.down_seq <= g.down_acked AS is_delivered
"""
_NAMES = """
    JOIN gateways g ON g.id = o.gateway_id
    JOIN users pinned ON pinned.id = o.pinned_by
    LEFT JOIN users ended ON ended.id = o.ended_by
"""
_PINS = text(f"""
    {_COLUMNS}
    FROM unnest(CAST(:points AS uuid[])) AS p(id)
    CROSS JOIN LATERAL (
        SELECT * FROM overrides WHERE point_id = p.id ORDER BY created_at DESC LIMIT :most
    ) o
    {_NAMES}
    ORDER BY o.created_at DESC
""")
_IN_FORCE = text(f"""
    {_COLUMNS}
    FROM overrides o
    {_NAMES}
    WHERE o.point_id = ANY(:points) AND o.ended_at IS NULL AND o.until > :now
""")


def _pins(session: Session, points: Iterable[UUID]) -> defaultdict[UUID, list[Pin]]:
    found: defaultdict[UUID, list[Pin]] = defaultdict(list)
    for row in session.execute(_PINS, {"points": list(points), "most": REMEMBERED}):
        found[row.point_id].append(_pin(row))
    return found


def _pin(row: Any) -> Pin:
    return Pin(
        id=row.id,
        point_id=row.point_id,
        supply=Supply(row.supply),
        at=row.created_at,
        until=row.until,
        by=row.by,
        why=row.why,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        is_delivered=row.is_delivered,
    )


def _checked(
    session: Session,
    point_id: UUID,
    *,
    supply: Supply,
    until: datetime,
    why: str,
    by: SignedIn,
    longest: timedelta,
    now: datetime,
) -> tuple[tables.ServicePoint, str, Pin | None]:
    """The point, the reason as it is kept, and what is in force now."""
    point = scopes.check_point(session, by, point_id)
    why = _reason(why)
    if until.tzinfo is None or not now < until <= now + longest:
        raise BadEnd(days=longest.days)
    if not _METER.validate_python(point.meter).has_switch:
        raise NoSwitch(point=point.name)
    if supply is Supply.OFF and is_protected(_POLICY.validate_python(point.policy), now):
        raise Protected(point=point.name)
    return point, why, in_force(session, point_id, now=now)


def _locked(
    session: Session, point_id: UUID, by: SignedIn
) -> tuple[tables.ServicePoint, tables.Gateway]:
    """The point and its gateway, which is locked: overrides of a point are given one after another."""
    point = scopes.check_point(session, by, point_id)
    return point, _lock_gateway(session, point.gateway_id, by)


def _lock_gateway(session: Session, gateway_id: UUID, by: SignedIn) -> tables.Gateway:
    found = [
        g for g in downlog.lock(session, [gateway_id]) if g.organization_id == by.organization_id
    ]
    if not found:
        raise NoSuchGateway
    return found[0]


def _end(session: Session, override_id: UUID, *, by: SignedIn, seq: int, now: datetime) -> None:
    row = session.get_one(tables.Override, override_id)
    row.ended_at, row.ended_by, row.down_seq = now, by.user_id, seq
    session.flush()


def _reason(why: str) -> str:
    why = " ".join(why.split())
    if not why or len(why) > LONGEST_REASON or not why.isprintable():
        raise BadReason(most=LONGEST_REASON)
    return why
