"""The first steps 首次设置: from an empty database to the first room, each by what is there already."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import exists, func, select, text
from sqlmodel import Session, col

from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.said import Said
from cloud.services import audit, estate, ledger
from cloud.services.devices import models, points
from cloud.services.devices.points import NewPoint
from cloud.services.money import counter, shifts
from cloud.services.people import users
from cloud.settings import Settings
from prepaid.money import Money
from prepaid.point import Restore
from prepaid.reading import Supply

MOST_FLOORS, MOST_ROOMS = (
    60,
    40,
)  # of one building, by the rule of this page; Excel knows no such bounds
_ONE_AT_A_TIME = 4714  # an advisory lock


class NoSetup(CloudError):
    status = 404
    sentence = "This setup link is not valid, or was used. Sign in instead, or restart Wattwell to see the link."


class BadRule(CloudError):
    status = 422
    sentence = "This cannot be used: {reason}."

    def __init__(self, *, reason: Said, field: str | None = None) -> None:
        super().__init__(field=field, reason=reason)


Step = Literal["site", "rooms", "tariff", "gateway", "room", "money", "done"]


@dataclass(frozen=True, slots=True)
class Begun:
    """What there is already; the first of each. None: not yet."""

    site: tables.Site | None
    building: tables.Building | None
    rooms: int
    tariff: tables.TariffDocument | None
    gateway: tables.Gateway | None
    is_room_open: bool
    has_money: bool

    @property
    def step(self) -> Step:
        """The first that is still to be done."""
        if self.site is None:
            return "site"
        if not self.rooms:
            return "rooms"
        if self.tariff is None:
            return "tariff"
        if self.gateway is None:
            return "gateway"
        if not self.is_room_open:
            return "room"
        return "done" if self.has_money else "money"


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

    Needs a system session. Raises NoSetup, estate.Taken, estate.BadValue or users.BadLogin.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    check(session, settings, token)
    login = users.login_of(login)
    made = estate.add_organization(session, organization)
    user = estate.add_user(session, made.id, login, password, name)
    session.flush()
    audit.record(
        session,
        None,
        "set-up",
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
        has_money=session.execute(
            select(
                exists().where(
                    col(tables.Credit.organization_id) == organization_id,
                )
            )
        ).scalar_one(),
    )


def add_site(session: Session, by: SignedIn, *, name: str, timezone: str, now: datetime) -> None:
    """Raises estate.Taken or estate.BadValue."""
    site = estate.add_site(session, by.organization_id, name, timezone)
    after = {"name": site.name, "timezone": site.timezone}
    audit.record(session, by, "site-added", of="site", id=site.id, after=after, now=now)


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
    audit.record(session, by, "building-added", of="building", id=made.id, after=after, now=now)


def publish_tariff(
    session: Session, by: SignedIn, document: Mapping[str, Any], *, now: datetime
) -> None:
    """The price of electricity, in force from now on: there is nobody yet whom it could surprise.

    Raises prepaid.tariff_document.BadTariff with each fault, estate.TariffPublished, or BadRule.
    """
    if not isinstance(document.get("versions"), list) or document.get("commodity") != "electricity":
        raise BadRule(reason=Said("it prices no electricity"))
    made = estate.publish_tariff(session, by.organization_id, document)
    after = {"code": made.code, "document": made.document}
    audit.record(session, by, "publish", of="tariff", id=made.id, after=after, now=now)


def add_gateway(session: Session, by: SignedIn, *, gateway_no: str, now: datetime) -> UUID:
    """Its id. Raises BadRule, estate.Taken or estate.BadValue."""
    site = _first(session, tables.Site, by.organization_id)
    if site is None:
        raise BadRule(reason=Said("the site is yet to be added"))
    made = estate.add_gateway(session, site, gateway_no.strip())
    after = {"gateway_no": made.gateway_no}
    audit.record(session, by, "gateway-added", of="gateway", id=made.id, after=after, now=now)
    return made.id


def open_room(
    session: Session,
    by: SignedIn,
    *,
    room: str,
    holder: str,
    model: str,
    meter_no: str,
    line: str,
    address: str,
    settings: Mapping[str, str],
    now: datetime,
) -> UUID:
    """An account for the room, with a purse and an electricity meter at the gateway; the room's id.

    settings are what only the owner of the meter knows, by the names that its model asks for. The address is the
    meter's number where none is given.

    Raises BadRule, models.NoSuchModel, estate.Taken or estate.BadValue.
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
    kind = models.of_key(model)
    if kind.commodity != "electricity":
        raise BadRule(field="model", reason=Said("the first meter measures electricity"))
    account = estate.open_account(session, found, holder)
    estate.add_purse(session, account, "electricity")
    number = meter_no.strip()
    new = NewPoint(
        name=f"{found.name} 电",
        model=kind.key,
        meter=kind.meter(
            meter_no=number,
            line=line.strip(),
            address=address.strip() or number,
            settings={key: value for key, value in settings.items() if key in kind.asks and value},
        ),
        tariff_code=state.tariff.code,
        restore=Restore.ALLOW_CLOSE,
        opening=None,
    )
    points.put(session, found, state.gateway, new, by=by, now=now)
    after = {"room": found.name, "holder": account.holder}
    audit.record(session, by, "account.opened", of="account", id=account.id, after=after, now=now)
    return UUID(str(found.id))


def take_money(
    session: Session,
    by: SignedIn,
    amount: Money,
    *,
    float_: Money,
    key: UUID,
    now: datetime,
) -> None:
    """Cash for the first room, into a shift that is opened with float_ in the drawer if none is open. Once per key.

    Raises BadRule, shifts.BadCount, and what counter.take raises.
    """
    home = first_home(session, by.organization_id)
    if home is None:
        raise BadRule(reason=Said("the first room is yet to be opened"))
    shifts.open_(session, by, float_, now=now)
    counter.take(session, by, home.purse_id, amount=amount, way=shifts.CASH, idempotency_key=key)


@dataclass(frozen=True, slots=True)
class Home:
    """The room that was opened first, and how near it is to light."""

    room_id: UUID
    room: str
    holder: str
    purse_id: UUID
    balance: Money
    gateway_id: UUID
    gateway_no: str
    is_heard: bool
    read_at: datetime | None
    supply: Supply | None


def first_home(session: Session, organization_id: UUID) -> Home | None:
    """None before it is opened."""
    point, room, account = tables.ServicePoint, tables.Room, tables.Account
    purse, gateway, state = tables.Purse, tables.Gateway, tables.PointState
    found = session.execute(
        select(
            col(room.id).label("room_id"),
            col(room.name).label("room"),
            col(account.holder),
            col(purse.id).label("purse_id"),
            col(gateway.id).label("gateway_id"),
            col(gateway.gateway_no),
            col(gateway.heard_at),
            col(state.read_at),
            col(state.supply),
        )
        .select_from(point)
        .join(room, col(room.id) == col(point.room_id))
        .join(purse, col(purse.id) == col(point.purse_id))
        .join(account, col(account.id) == col(purse.account_id))
        .join(gateway, col(gateway.id) == col(point.gateway_id))
        .join(state, col(state.point_id) == col(point.id))
        .where(
            col(point.organization_id) == organization_id,
            col(point.commodity) == "electricity",
            col(point.ended_at).is_(None),
        )
        .order_by(col(point.created_at))
        .limit(1)
    ).one_or_none()
    if found is None:
        return None
    return Home(
        room_id=found.room_id,
        room=found.room,
        holder=found.holder,
        purse_id=found.purse_id,
        balance=ledger.balance(session, found.purse_id),
        gateway_id=found.gateway_id,
        gateway_no=found.gateway_no,
        is_heard=found.heard_at is not None,
        read_at=found.read_at,
        supply=Supply(found.supply) if found.supply else None,
    )


def _first(session: Session, row: Any, organization_id: UUID) -> Any:
    return session.execute(
        select(row)
        .where(col(row.organization_id) == organization_id)
        .order_by(col(row.created_at))
        .limit(1)
    ).scalar_one_or_none()
