"""The first steps 首次设置: from an empty database to the first room, each by what is there already."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import exists, func, select, text
from sqlmodel import Session, col

from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.said import Said
from cloud.services import audit, estate
from cloud.settings import Settings
from prepaid.point import Meter, Policy, Restore
from prepaid.tariff_document import BadTariff

MOST_FLOORS, MOST_ROOMS = (
    60,
    40,
)  # of one building, by the rule of this page; Excel knows no such bounds
_ONE_AT_A_TIME = 4714  # an advisory lock
STEP, MAX_KW = Decimal("0.01"), Decimal(60)


class NoSetup(CloudError):
    status = 404
    sentence = "This setup link is not valid, or was used. Sign in instead, or restart Wattwell to see the link."


class BadRule(CloudError):
    status = 422
    sentence = "This cannot be used: {reason}."

    def __init__(self, *, reason: Said, field: str | None = None) -> None:
        super().__init__(field=field, reason=reason)


@dataclass(frozen=True, slots=True)
class Begun:
    """What there is already; the first of each. None: not yet."""

    site: tables.Site | None
    building: tables.Building | None
    rooms: int
    tariff: tables.TariffDocument | None
    gateway: tables.Gateway | None
    is_room_open: bool

    @property
    def step(self) -> Literal["site", "rooms", "tariff", "gateway", "room", "done"]:
        """The first that is still to be done."""
        if self.site is None:
            return "site"
        if not self.rooms:
            return "rooms"
        if self.tariff is None:
            return "tariff"
        if self.gateway is None:
            return "gateway"
        return "done" if self.is_room_open else "room"


def check(session: Session, settings: Settings, token: str) -> None:
    """Whether the link still sets up. Needs a system session. Raises NoSetup."""
    known = settings.setup_token
    if known is None or not hmac.compare_digest(known.encode(), token.encode()):
        raise NoSetup
    if session.execute(select(exists().where(col(tables.User.id).is_not(None)))).scalar_one():
        raise NoSetup


def begin(
    session: Session,
    settings: Settings,
    token: str,
    *,
    organization: str,
    name: str,
    login: str,
    password: str,
    now: datetime,
) -> str:
    """The organization and its administrator, who is signed in: the token for the cookie. Once.

    Needs a system session. Raises NoSetup, estate.Taken or estate.BadValue.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    check(session, settings, token)
    made = estate.add_organization(session, organization)
    user = estate.add_user(session, made.id, login, password, name)
    session.flush()
    audit.record(
        session,
        None,
        "set up",
        of="organization",
        id=made.id,
        after={"name": made.name, "login": user.login},
        now=now,
        organization_id=made.id,
    )
    cookie = auth.login(session, login, password, now=now)
    assert cookie is not None
    return cookie


def begun(session: Session, organization_id: UUID) -> Begun:
    """How far the organization is."""
    return Begun(
        site=_first(session, tables.Site, organization_id),
        building=_first(session, tables.Building, organization_id),
        rooms=session.execute(
            select(func.count())
            .select_from(tables.Room)
            .where(col(tables.Room.organization_id) == organization_id)
        ).scalar_one(),
        tariff=_first(session, tables.TariffDocument, organization_id),
        gateway=_first(session, tables.Gateway, organization_id),
        is_room_open=session.execute(
            select(exists().where(col(tables.ServicePoint.organization_id) == organization_id))
        ).scalar_one(),
    )


def add_site(session: Session, by: SignedIn, *, name: str, timezone: str, now: datetime) -> None:
    """Raises estate.Taken or estate.BadValue."""
    site = estate.add_site(session, by.organization_id, name, timezone)
    after = {"name": site.name, "timezone": site.timezone}
    audit.record(session, by, "added", of="site", id=site.id, after=after, now=now)


def add_rooms(
    session: Session,
    by: SignedIn,
    *,
    building: str,
    first_floor: int,
    last_floor: int,
    on_each: int,
    now: datetime,
) -> None:
    """A building with rooms by rule: floor and number in two digits each, 0101, 0102, …

    Raises BadRule, estate.Taken or estate.BadValue.
    """
    if not 1 <= first_floor <= last_floor <= MOST_FLOORS:
        raise BadRule(
            field="last_floor",
            reason=Said(
                "floors go from 1 to {most}, and the first is not above the last", most=MOST_FLOORS
            ),
        )
    if not 1 <= on_each <= MOST_ROOMS:
        raise BadRule(
            field="on_each", reason=Said("a floor has 1 to {most} rooms", most=MOST_ROOMS)
        )
    site = _first(session, tables.Site, by.organization_id)
    if site is None:
        raise BadRule(reason=Said("the site is yet to be added"))
    made = estate.add_building(session, site, building)
    for floor in range(first_floor, last_floor + 1):
        for number in range(1, on_each + 1):
            estate.add_room(session, made, f"{floor:02}{number:02}", floor)
    rooms = (last_floor - first_floor + 1) * on_each
    after = {"name": made.name, "rooms": rooms}
    audit.record(session, by, "added", of="building", id=made.id, after=after, now=now)


def publish_tariff(session: Session, by: SignedIn, *, price: str, now: datetime) -> None:
    """A flat price for electricity, in yuan a kWh, in force from now on. Raises BadRule."""
    site = _first(session, tables.Site, by.organization_id)
    if site is None:
        raise BadRule(reason=Said("the site is yet to be added"))
    document: dict[str, Any] = {
        "code": "electricity",
        "commodity": "electricity",
        "unit": "kWh",
        "currency": estate.CURRENCY,
        "timezone": site.timezone,
        "versions": [
            {
                "effective_from": now.replace(microsecond=0).isoformat(),
                "components": [{"item": "energy", "kind": "rate", "price": price.strip()}],
            }
        ],
    }
    try:
        made = estate.publish_tariff(session, by.organization_id, document)
    except BadTariff:
        raise BadRule(
            field="price", reason=Said("“{typed}” is no price in yuan", typed=price.strip()[:40])
        ) from None
    after = {"code": made.code, "price": price.strip()}
    audit.record(session, by, "published", of="tariff", id=made.id, after=after, now=now)


def add_gateway(session: Session, by: SignedIn, *, gateway_no: str, now: datetime) -> UUID:
    """Its id. Raises BadRule, estate.Taken or estate.BadValue."""
    site = _first(session, tables.Site, by.organization_id)
    if site is None:
        raise BadRule(reason=Said("the site is yet to be added"))
    made = estate.add_gateway(session, site, gateway_no.strip())
    after = {"gateway_no": made.gateway_no}
    audit.record(session, by, "added", of="gateway", id=made.id, after=after, now=now)
    return made.id


def open_room(
    session: Session,
    by: SignedIn,
    *,
    room: str,
    holder: str,
    meter_no: str,
    protocol: str,
    line: str,
    address: str,
    now: datetime,
) -> UUID:
    """An account for the room, with a purse and an electricity meter at the gateway; the room's id.

    Raises BadRule, estate.Taken or estate.BadValue.
    """
    state = begun(session, by.organization_id)
    row = tables.Room
    found = session.execute(
        select(row)
        .where(col(row.organization_id) == by.organization_id, col(row.name) == room.strip())
        .order_by(col(row.created_at))
        .limit(1)
    ).scalar_one_or_none()
    if found is None:
        raise BadRule(field="room", reason=Said("there is no room {room}", room=room[:40]))
    if state.gateway is None or state.tariff is None:
        raise BadRule(reason=Said("tariff and gateway are yet to be added"))
    account = estate.open_account(session, found, holder)
    purse = estate.add_purse(session, account, "electricity")
    digits = 6  # before the point, as of nearly all household meters; changed on the meter's page
    meter = Meter(meter_no.strip(), protocol, line.strip(), address.strip(), digits, STEP, MAX_KW)
    point = estate.add_point(
        session,
        room=found,
        gateway=state.gateway,
        purse=purse,
        name=f"{found.name} 电",
        commodity="electricity",
        meter=meter,
        tariff_code=state.tariff.code,
        policy=Policy(restore=Restore.ALLOW_CLOSE),
    )
    after = {"room": found.name, "holder": account.holder, "meter_no": point.meter_no}
    audit.record(session, by, "opened", of="account", id=account.id, after=after, now=now)
    return UUID(str(found.id))


def _first(session: Session, row: Any, organization_id: UUID) -> Any:
    return session.execute(
        select(row)
        .where(col(row.organization_id) == organization_id)
        .order_by(col(row.created_at))
        .limit(1)
    ).scalar_one_or_none()
