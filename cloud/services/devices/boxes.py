"""Gateways as things that hang somewhere: added, with their lines, replaced by another machine, and ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, enrolment, estate, scopes
from cloud.services.devices import decisions
from cloud.services.places import tree
from cloud.settings import Settings
from prepaid.enrolment import Token

REPLACED = "gateway-changed"  # 换网关
LONGEST_PLACE = 120


class BadPlace(CloudError):
    status = 422
    field = "place"
    sentence = "The place has at most {most} characters."


class LineTaken(CloudError):
    status = 409
    field = "line"
    sentence = "This gateway has a line {name} already."


class StillServes(CloudError):
    status = 409
    sentence = "Gateway {gateway_no} still serves {count} meters. Take those down first, or change the gateway."


class GatewayIsEnded(CloudError):
    status = 409
    sentence = "Gateway {gateway_no} was ended. Add a new one under another number."


@dataclass(frozen=True, slots=True)
class LineCard:
    name: str
    note: str
    meters: int
    silent: int


def add(
    session: Session, site_id: UUID, gateway_no: str, *, place: str, by: SignedIn, now: datetime
) -> tables.Gateway:
    """A gateway, which is yet to be enrolled. Only for who sees the whole site.

    Raises scopes.NoSuchSite, BadPlace, estate.Taken or estate.BadValue.
    """
    site = scopes.check_site(session, by, site_id, whole=True)
    gateway = estate.add_gateway(session, site, gateway_no.strip())
    gateway.place = _place(place)
    session.flush()
    after = {"gateway_no": gateway.gateway_no, "site": site.name, "place": gateway.place}
    audit.record(session, by, "gateway-added", of="gateway", id=gateway.id, after=after, now=now)
    events.changed(session, by.organization_id)
    return gateway


def move(session: Session, gateway_id: UUID, *, place: str, by: SignedIn, now: datetime) -> None:
    """Where it hangs, in words. Raises scopes.NoSuchGateway or BadPlace."""
    gateway = scopes.check_gateway(session, by, gateway_id)
    before, gateway.place = gateway.place, _place(place)
    audit.record(
        session,
        by,
        "gateway-moved",
        of="gateway",
        id=gateway.id,
        before={"place": before},
        after={"place": gateway.place},
        now=now,
    )
    session.flush()


def add_line(
    session: Session, gateway_id: UUID, *, name: str, note: str, by: SignedIn, now: datetime
) -> tables.Line:
    """A line by the name that gateway.toml gives it. Raises scopes.NoSuchGateway, tree.BadName or LineTaken."""
    gateway = scopes.check_gateway(session, by, gateway_id)
    name, row = tree.named(name), tables.Line
    known = session.execute(
        select(col(row.id)).where(col(row.gateway_id) == gateway.id, col(row.name) == name)
    ).scalar_one_or_none()
    if known is not None:
        raise LineTaken(name=name)
    line = row(
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        name=name,
        note=_place(note),
    )
    session.add(line)
    session.flush()
    after = {"line": name, "note": line.note}
    audit.record(session, by, "line-added", of="gateway", id=gateway.id, after=after, now=now)
    return line


def lines(session: Session, gateway_id: UUID) -> list[LineCard]:
    """The lines of a gateway, with how many meters hang on each and how many of them do not answer."""
    line, point, state = tables.Line, tables.ServicePoint, tables.PointState
    found = session.execute(
        select(
            col(line.name),
            col(line.note),
            func.count(col(point.id)),
            func.count(col(state.silent_since)),
        )
        .outerjoin(
            point,
            (col(point.gateway_id) == col(line.gateway_id))
            & (col(point.line) == col(line.name))
            & col(point.ended_at).is_(None),
        )
        .outerjoin(state, col(state.point_id) == col(point.id))
        .where(col(line.gateway_id) == gateway_id, col(line.ended_at).is_(None))
        .group_by(col(line.id))
        .order_by(col(line.name))
    )
    return [LineCard(*row) for row in found]


def replace(
    session: Session,
    settings: Settings,
    gateway_id: UUID,
    *,
    why: str,
    by: SignedIn,
    now: datetime,
) -> Token:
    """换网关: another machine is to go on in its place, with its number, meters and books; the token that enrols it.

    Raises scopes.NoSuchGateway, GatewayIsEnded or BadReason.
    """
    gateway = scopes.check_gateway(session, by, gateway_id, whole=True)
    if gateway.ended_at is not None:
        raise GatewayIsEnded(gateway_no=gateway.gateway_no)
    event = tables.DeviceEvent(
        organization_id=gateway.organization_id,
        kind=REPLACED,
        at=now,
        gateway_id=gateway.id,
        done_by=by.user_id,
        why=decisions.reason(why),
        detail={
            "gateway_no": gateway.gateway_no,
            "up_log": str(gateway.up_log),
            "up_seq": gateway.up_seq,
        },
    )
    session.add(event)
    session.flush()
    audit.record(
        session, by, REPLACED, of="gateway", id=gateway.id, after=decisions.told(event), now=now
    )
    return enrolment.issue_token(session, settings, gateway.id, by=by, now=now)


def changes_of(session: Session, gateway_id: UUID) -> list[tuple[tables.DeviceEvent, str]]:
    """When the gateway's machine was changed, and by whom; the latest first."""
    event, user = tables.DeviceEvent, tables.User
    found = session.execute(
        select(event, col(user.name))
        .join(user, col(user.id) == col(event.done_by))
        .where(col(event.gateway_id) == gateway_id, col(event.kind) == REPLACED)
        .order_by(col(event.created_at).desc())
    )
    return [(row[0], row[1]) for row in found]


def end(session: Session, gateway_id: UUID, *, by: SignedIn, now: datetime) -> None:
    """It serves nothing any more: its credentials end, its books stay. Twice is as once.

    Raises scopes.NoSuchGateway or StillServes.
    """
    gateway = scopes.check_gateway(session, by, gateway_id, whole=True)
    if gateway.ended_at is not None:
        return
    point = tables.ServicePoint
    count = session.execute(
        select(func.count())
        .select_from(point)
        .where(col(point.gateway_id) == gateway.id, col(point.ended_at).is_(None))
    ).scalar_one()
    if count:
        raise StillServes(gateway_no=gateway.gateway_no, count=count)
    enrolment.revoke(session, gateway.id, by=by, now=now)
    gateway.ended_at = now
    session.flush()
    before = {"gateway_no": gateway.gateway_no, "place": gateway.place}
    audit.record(session, by, "gateway-ended", of="gateway", id=gateway.id, before=before, now=now)


def _place(text: str) -> str:
    text = " ".join(text.split())
    if len(text) > LONGEST_PLACE or (text and not text.isprintable()):
        raise BadPlace(most=LONGEST_PLACE)
    return text
