"""Setting up an estate: organization, staff, buildings, gateways, tariffs, accounts, purses, service points."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg.errors import UniqueViolation
from pydantic import TypeAdapter
from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel, col

from cloud import auth, events, said
from cloud.errors import CloudError
from cloud.permissions import Role
from cloud.said import Said
from cloud.services import downlog, pointsets
from cloud.services.accounts import tenures
from cloud.services.devices import driver_settings, mountings
from cloud.tables import (
    Account,
    Building,
    Gateway,
    Occupancy,
    Organization,
    PointState,
    Purse,
    Room,
    ServicePoint,
    Site,
    TariffDocument,
    TariffPublication,
    User,
    utc_now,
)
from prepaid import tariff_document
from prepaid.point import PROTOCOLS, Meter, Policy
from prepaid.purse import Purpose, pays_for

SHORTEST_PASSWORD = 10
LONGEST_TEXT = 200
CURRENCY = "CNY"
_GATEWAY_NO = re.compile(r"[A-Za-z0-9_-]{1,40}")  # part of MQTT topics and NATS subjects
_BROKERS_OWN = "cloud"  # the user by which we ourselves sign in to the broker

Row = TypeVar("Row", bound=SQLModel)

_METER = TypeAdapter(Meter)
_POLICY = TypeAdapter(Policy)


class Taken(CloudError):
    status = 409
    sentence = "There is already {what}."

    def __init__(self, *, what: Said, field: str | None = None) -> None:
        super().__init__(field=field, what=what)


class BadValue(CloudError):
    status = 422
    sentence = "{what} cannot be used: {reason}."

    def __init__(self, *, what: Said, reason: Said, field: str | None = None) -> None:
        super().__init__(field=field, what=what, reason=reason)


class TariffPublished(CloudError):
    status = 409
    sentence = "Tariff {code} is published and cannot be changed. Publish the new prices under another code."


class NoSuchTariff(CloudError):
    status = 404
    field = "tariff"
    sentence = "There is no tariff {code}."


class NoDriver(CloudError):
    status = 422
    field = "protocol"
    sentence = (
        "No gateway can read meter {meter_no} by {protocol}."
        " Choose its model from the list, or one of {protocols}."
    )


class WrongPurse(CloudError):
    status = 409
    sentence = "This purse cannot pay for {point}: {reason}."


def add_organization(session: Session, name: str) -> Organization:
    """Needs a system session. Raises Taken or BadValue."""
    return _added(
        session, Organization(name=_name(name)), Said("an organization {name}", name=name)
    )


def add_user(session: Session, organization_id: UUID, login: str, password: str, name: str) -> User:
    """An administrator of the whole organization, as its first member of staff has to be.

    Raises Taken (logins are unique over all organizations) or BadValue.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise BadValue(
            field="password",
            what=Said("the password"),
            reason=Said("it needs at least {least} characters", least=SHORTEST_PASSWORD),
        )
    user = User(
        organization_id=organization_id,
        login=_text(Said("the login name"), login, field="login"),
        name=_name(name),
        password_hash=auth.hash_password(password),
        roles=[Role.ADMINISTRATOR.value],
        is_everywhere=True,
    )
    return _added(
        session, user, Said("somebody who signs in as {login}", login=login), field="login"
    )


def add_site(
    session: Session, organization_id: UUID, name: str, timezone: str = "Asia/Shanghai"
) -> Site:
    """Raises Taken or BadValue."""
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Asia" is a folder of them
        raise BadValue(
            field="timezone",
            what=Said("the time zone"),
            reason=Said("there is none called {name}", name=timezone[:60]),
        ) from None
    site = Site(organization_id=organization_id, name=_name(name), timezone=timezone)
    return _added(session, site, Said("a site {name}", name=name), field="name")


def add_building(session: Session, site: Site, name: str) -> Building:
    """Raises Taken or BadValue."""
    building = Building(organization_id=site.organization_id, site_id=site.id, name=_name(name))
    return _added(session, building, Said("a building {name}", name=name), field="name")


def add_room(session: Session, building: Building, name: str, floor: int) -> Room:
    """Raises Taken or BadValue."""
    room = Room(
        organization_id=building.organization_id,
        building_id=building.id,
        name=_name(name),
        floor=floor,
    )
    return _added(
        session,
        room,
        Said("a room {name} in {building}", name=name, building=building.name),
        field="name",
    )


def add_gateway(session: Session, site: Site, gateway_no: str) -> Gateway:
    """A gateway, which is yet to be enrolled (services.enrolment). Raises Taken or BadValue."""
    if not _GATEWAY_NO.fullmatch(gateway_no):
        raise BadValue(
            field="gateway_no",
            what=Said("the gateway's number"),
            reason=Said("it has 1 to 40 letters, digits, hyphens or underscores"),
        )
    if gateway_no.lower() == _BROKERS_OWN:
        raise BadValue(
            field="gateway_no",
            what=Said("the gateway's number"),
            reason=Said(
                "{number} is the name by which the cloud signs in to the broker", number=gateway_no
            ),
        )
    gateway = Gateway(
        organization_id=site.organization_id,
        site_id=site.id,
        gateway_no=gateway_no,
        down_log=uuid4(),
    )
    return _added(
        session, gateway, Said("a gateway {number}", number=gateway_no), field="gateway_no"
    )


def publish_tariff(
    session: Session, organization_id: UUID, document: Mapping[str, Any]
) -> TariffDocument:
    """The tariff, checked and kept for good. Publishing the same document again changes nothing.

    Raises prepaid.tariff_document.BadTariff with every fault, or TariffPublished for other content under a code.
    """
    tariff = tariff_document.parse(document)
    if tariff.currency != CURRENCY:
        raise tariff_document.BadTariff([f"currency: must be {CURRENCY}, as purses are kept in it"])
    known: TariffDocument | None = session.execute(
        select(TariffDocument).where(
            col(TariffDocument.organization_id) == organization_id,
            col(TariffDocument.code) == tariff.code,
        )
    ).scalar_one_or_none()
    if known is not None:
        if known.document != dict(document):
            raise TariffPublished(code=tariff.code)
        return known
    row = TariffDocument(
        organization_id=organization_id,
        code=tariff.code,
        commodity=tariff.commodity,
        unit=tariff.unit,
        document=dict(document),
    )
    row = _added(session, row, Said("a tariff {code}", code=tariff.code), field="code")
    session.add(
        TariffPublication(
            organization_id=organization_id, tariff_id=row.id, number=1, document=row.document
        )
    )
    session.flush()
    return row


def open_account(session: Session, room: Room, holder: str) -> Account:
    """开户. Raises Taken if the room has an account, or BadValue."""
    account = Account(
        organization_id=room.organization_id,
        holder=_text(Said("the holder"), holder, field="holder"),
    )
    session.add(account)
    session.flush()
    occupancy = Occupancy(
        organization_id=room.organization_id, account_id=account.id, room_id=room.id
    )
    _added(session, occupancy, Said("an account for room {room}", room=room.name), field="room")
    events.changed(session, room.organization_id, room_id=room.id, account_id=account.id)
    return account


def add_purse(
    session: Session, account: Account, purpose: str, *, at_another_gateway: bool = False
) -> Purse:
    """purpose is a prepaid.purse.Purpose. An account has one for each, and where it has rooms that another gateway
    supplies one there beside it (at_another_gateway). Raises Taken if it has one already, or BadValue."""
    if purpose not in set(Purpose):
        raise BadValue(
            field="purpose",
            what=Said("the purpose of the purse"),
            reason=Said("it is one of {purposes}", purposes=", ".join(Purpose)),
        )
    row = Purse
    has_one = session.execute(
        select(
            exists().where(
                col(row.account_id) == account.id,
                col(row.purpose) == purpose,
                col(row.ended_at).is_(None),
            )
        )
    ).scalar_one()
    if has_one and not at_another_gateway:
        raise Taken(what=Said("a purse for {purpose}", purpose=said.purpose(purpose)))
    purse = Purse(organization_id=account.organization_id, account_id=account.id, purpose=purpose)
    return _added(session, purse, Said("a purse for {purpose}", purpose=said.purpose(purpose)))


def add_point(
    session: Session,
    *,
    room: Room,
    gateway: Gateway,
    purse: Purse | None,
    name: str,
    commodity: str,
    meter: Meter,
    tariff_code: str,
    policy: Policy,
    id: UUID | None = None,
    model: str | None = None,
    opening: Decimal | None = None,
    now: datetime | None = None,
) -> ServicePoint:
    """A service point, sent down to its gateway after its tariff and what its purse was credited so far.

    Without a purse it is vacant: measured, and charged to nobody. It is given an id unless it brings one, as in a
    simulated world that is to be the same each time. model is the meter's (services.devices.models), opening what it
    showed when it was put up, where somebody wrote that down.

    Raises NoDriver, mountings.MountedElsewhere, mountings.MeterEnded, Taken (the meter, or its address on the line),
    NoSuchTariff, WrongPurse or BadValue.
    """
    # While we hold the purse nothing is credited to it, so that what is sent below is all there is.
    if purse is not None:
        session.refresh(purse, with_for_update={"key_share": True})
    (locked,) = downlog.lock(session, [gateway.id])
    tariff = session.execute(
        select(TariffDocument).where(
            col(TariffDocument.organization_id) == room.organization_id,
            col(TariffDocument.code) == tariff_code,
        )
    ).scalar_one_or_none()
    if tariff is None:
        raise NoSuchTariff(code=tariff_code)
    if tariff.commodity != commodity:
        raise BadValue(
            field="tariff",
            what=Said("tariff {code}", code=tariff_code),
            reason=Said("it prices {commodity}", commodity=said.commodity(tariff.commodity)),
        )
    if purse is not None:
        _check_purse(session, purse, room, locked, name, commodity)
    check_meter(meter)

    row = ServicePoint(
        id=id or uuid4(),
        organization_id=room.organization_id,
        room_id=room.id,
        gateway_id=locked.id,
        purse_id=purse.id if purse is not None else None,
        tariff_id=tariff.id,
        name=_name(name),
        commodity=commodity,
        meter_no=meter.meter_no,
        line=meter.line,
        address=meter.address,
        meter=_METER.dump_python(meter, mode="json"),
        policy=_POLICY.dump_python(policy, mode="json"),
    )
    _added(session, row, there_is(meter), field="meter_no")
    session.add(PointState(organization_id=room.organization_id, point_id=row.id))
    mountings.mount(session, row, meter, at=now or utc_now(), opening=opening, model=model)
    # A gateway must never know a point without its tariff, or without the money it has: it would cut it off.
    pointsets.send_tariff(session, locked, tariff, unless=row.id)
    tenures.begin(session, locked, row, purse, typed=None, now=utc_now())
    return row


def _check_purse(
    session: Session, purse: Purse, room: Room, gateway: Gateway, point: str, commodity: str
) -> None:
    wrong = partial(WrongPurse, point=point)
    if not pays_for(Purpose(purse.purpose), commodity):
        raise wrong(
            reason=Said(
                "it is for {purpose}, not for {commodity}",
                purpose=said.purpose(purse.purpose),
                commodity=said.commodity(commodity),
            )
        )
    if purse.gateway_id not in (None, gateway.id):
        raise wrong(reason=Said("it is charged by another gateway"))
    is_at_home = session.execute(
        select(
            exists().where(
                col(Occupancy.account_id) == purse.account_id,
                col(Occupancy.room_id) == room.id,
                col(Occupancy.ended_at).is_(None),
            )
        )
    ).scalar_one()
    if not is_at_home:
        raise wrong(reason=Said("its account is not that of the room"))


def check_meter(meter: Meter) -> None:
    """Raises BadValue, NoDriver or driver_settings.BadSetting where no gateway could read or switch it."""
    for what, value, field in (
        (Said("the meter's number"), meter.meter_no, "meter_no"),
        (Said("the meter's protocol"), meter.protocol, "protocol"),
        (Said("the meter's line"), meter.line, "line"),
        (Said("the meter's address"), meter.address, "address"),
    ):
        _text(what, value, field=field)
    wrong = [name for name in ("digits", "step", "max_per_hour") if getattr(meter, name) <= 0]
    if wrong:
        raise BadValue(
            field=wrong[0],
            what=Said("meter {meter_no}", meter_no=meter.meter_no),
            reason=Said("its digits, its step and what passes it in an hour must be above zero"),
        )
    if meter.protocol not in PROTOCOLS:
        raise NoDriver(
            meter_no=meter.meter_no,
            protocol=meter.protocol,
            protocols=", ".join(PROTOCOLS),
        )
    driver_settings.check(meter)


def put(session: Session, point: ServicePoint, meter: Meter, *, field: str) -> None:
    """The point is read by this meter now.

    Raises Taken, at the field, where the number or the address is of another point.
    """
    try:
        with session.begin_nested():
            point.meter = _METER.dump_python(meter, mode="json")
            point.meter_no, point.line, point.address = meter.meter_no, meter.line, meter.address
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            raise Taken(what=there_is(meter), field=field) from None
        raise


def there_is(meter: Meter) -> Said:
    """What is there already where a meter is mounted twice."""
    return Said(
        "meter {meter_no}, or address {address} on line {line}",
        meter_no=meter.meter_no,
        address=meter.address,
        line=meter.line,
    )


def _name(value: str) -> str:
    return _text(Said("the name"), value, field="name")


def _text(what: Said, value: str, *, field: str) -> str:
    if not value.strip() or "\x00" in value or len(value) > LONGEST_TEXT:
        reason = Said("it must be a text of 1 to {most} characters", most=LONGEST_TEXT)
        raise BadValue(field=field, what=what, reason=reason)
    return value.strip()


def _added(session: Session, row: Row, what: Said, *, field: str | None = None) -> Row:
    """The row, written; Taken if it would be there twice. The transaction goes on either way."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            raise Taken(what=what, field=field) from None
        raise
    return row
