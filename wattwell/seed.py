"""The first contents of a demonstration's cloud: the building of simulators.estate and who may look at it."""

from __future__ import annotations

import secrets
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.db import Database
from cloud.services import enrolment, topups
from cloud.services import estate as cloud_estate
from cloud.settings import Settings
from cloud.tables import Account, Gateway, Occupancy, Organization, Purse, Room, User, utc_now
from prepaid.enrolment import Token
from prepaid.money import ZERO, Money
from prepaid.point import EmergencyCredit, Policy, Restore
from simulators import estate
from simulators.estate import ElectricityPlan, WaterPlan
from wattwell.installation import Installation

ORGANIZATION = "江南物业"
SITE = "听雨小区"
BUILDING = "1号楼"
GATEWAY_NO = "GW-0001"
MANAGER = "manager"
EMERGENCY = EmergencyCredit(Money.yuan("5"), offered_at=ZERO)


def seed(installation: Installation, database: Database) -> None:
    """Fills an empty database; one that has the organization is left as it is.

    Passwords go to the installation's secrets before the database keeps their hashes.
    """
    with database.system() as session:
        found = session.execute(
            select(Organization.id).where(Organization.name == ORGANIZATION)  # type: ignore[call-overload]
        ).scalar_one_or_none()
        if found is None:
            _fill(session, installation)


def _fill(session: Session, installation: Installation) -> None:
    organization = cloud_estate.add_organization(session, ORGANIZATION)
    password = secrets.token_urlsafe(9)
    installation.keep_secret("manager_password", password)
    user = cloud_estate.add_user(session, organization.id, MANAGER, password, "物业管理员")
    manager = SignedIn(user.id, organization.id, user.login, user.name)
    site = cloud_estate.add_site(session, organization.id, SITE)
    building = cloud_estate.add_building(session, site, BUILDING)
    gateway = cloud_estate.add_gateway(session, site, GATEWAY_NO)
    for document in (ELECTRICITY, WATER):
        cloud_estate.publish_tariff(session, organization.id, document)
    for plan in estate.ROOMS:
        room = cloud_estate.add_room(session, building, plan.name, plan.floor)
        account = cloud_estate.open_account(session, room, plan.holder)
        _supply(session, manager, gateway, room, account, plan.electricity)
        if plan.water is not None:
            _supply(session, manager, gateway, room, account, plan.water)


def _supply(
    session: Session,
    manager: SignedIn,
    gateway: Gateway,
    room: Room,
    account: Account,
    plan: ElectricityPlan | WaterPlan,
) -> None:
    """A service point with its purse, and what the customer has paid into it so far."""
    purpose: Literal["electricity", "water"]
    emergency: EmergencyCredit | None
    match plan:
        case ElectricityPlan():
            commodity, tariff, purpose, word = "electricity", ELECTRICITY, "electricity", "电"
            restore, emergency = Restore.ALLOW_CLOSE, EMERGENCY
        case WaterPlan():
            commodity, tariff, purpose, word = "cold_water", WATER, "water", "水"
            restore, emergency = Restore.DIRECT, None
    purse = cloud_estate.add_purse(session, account, purpose)
    # Paid first: the gateway learns of the money before the point, and never cuts off who has paid.
    topups.record_cash(
        session, purse_id=purse.id, amount=plan.balance, by=manager, idempotency_key=uuid4()
    )
    cloud_estate.add_point(
        session,
        room=room,
        gateway=gateway,
        purse=purse,
        name=f"{room.name} {word}",
        commodity=commodity,
        meter=estate.point_meter(plan),
        tariff_code=tariff["code"],
        policy=Policy(restore=restore, emergency=emergency),
    )


def issue_token(database: Database, settings: Settings) -> Token:
    """A token to enrol the demonstration's gateway, as its manager would issue it."""
    with database.system() as session:
        user = session.execute(select(User).where(User.login == MANAGER)).scalar_one()  # type: ignore[arg-type]
        gateway = session.execute(
            select(Gateway).where(Gateway.gateway_no == GATEWAY_NO)  # type: ignore[arg-type]
        ).scalar_one()
        manager = SignedIn(user.id, user.organization_id, user.login, user.name)
        return enrolment.issue_token(session, settings, gateway.id, by=manager, now=utc_now())


def find_purse(session: Session, room: str, purpose: str) -> tuple[UUID, UUID]:
    """The account and the purse of a room of the demonstration building."""
    account_id, purse_id = session.execute(
        select(Purse.account_id, Purse.id)  # type: ignore[call-overload]
        .join(Occupancy, Occupancy.account_id == Purse.account_id)
        .join(Room, Room.id == Occupancy.room_id)
        .where(Room.name == room, Purse.purpose == purpose, Occupancy.ended_at.is_(None))  # type: ignore[union-attr]
    ).one()
    return account_id, purse_id


def _flat(code: str, commodity: str, unit: str, item: str, price: str) -> dict[str, Any]:
    return {
        "code": code,
        "commodity": commodity,
        "unit": unit,
        "currency": "CNY",
        "timezone": estate.TIMEZONE,
        "versions": [
            {
                "effective_from": "2026-01-01T00:00:00+08:00",
                "components": [{"item": item, "kind": "rate", "price": price}],
            }
        ],
    }


ELECTRICITY = _flat("flat-electricity", "electricity", "kWh", "energy", "0.56")
WATER = _flat("flat-water", "cold_water", "m3", "water", "3.43")
