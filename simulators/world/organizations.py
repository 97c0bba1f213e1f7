"""The organizations of the world, each with one estate; its tariffs and points are made by the services pages use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlmodel import Session

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import estate
from prepaid.point import Meter, ServicePoint
from simulators.world.plan import MOST_L, MOST_W, ZONE, EstatePlan, PointPlan

if TYPE_CHECKING:
    from simulators.world.cloud import Cloud

ALONE_FEN = 10**9  # a refund needs no second person


@dataclass(frozen=True, slots=True)
class Estate:
    """One organization as the cloud knows it."""

    number: int
    organization_id: UUID
    operator: SignedIn
    gateway_id: UUID
    gateway_no: str
    accounts: tuple[UUID, ...]
    purses: tuple[UUID, ...]
    points: tuple[ServicePoint, ...]
    commodities: tuple[str, ...]


def build(cloud: Cloud, number: int, plan: EstatePlan) -> Estate:
    """An organization with all that the plan says."""
    name = f"{cloud.plan.seed}-{number}-{uuid4().hex[:8]}"
    organization = tables.Organization(name=name)
    own = organization.id
    user = tables.User(organization_id=own, login=name, name="王工", password_hash="none")
    site = tables.Site(organization_id=own, name=name, timezone=ZONE)
    building = tables.Building(organization_id=own, site_id=site.id, name="A")
    room = tables.Room(organization_id=own, building_id=building.id, name="0301", floor=3)
    gateway = tables.Gateway(
        organization_id=own, site_id=site.id, gateway_no=f"GW-{name}", down_log=uuid4()
    )
    account = tables.Account(organization_id=own, holder="张三")
    occupancy = tables.Occupancy(organization_id=own, account_id=account.id, room_id=room.id)
    purses = [
        tables.Purse(organization_id=own, account_id=account.id, purpose=purpose)
        for purpose in plan.purposes
    ]
    with cloud.database.system() as session:
        for rows in ([organization], [user, site, account], [building, *purses], [room, gateway]):
            session.add_all(rows)
            session.flush()
        session.add(occupancy)
        for commodity in dict.fromkeys(point.commodity for point in plan.points):
            publish_tariff(session, organization.id, cloud.plan.tariffs[commodity])
        points = []
        for place, point in enumerate(plan.points):
            row = estate.add_point(
                session,
                room=room,
                gateway=gateway,
                purse=purses[point.purse],
                name=f"{number}.{place} {point.commodity}",
                commodity=point.commodity,
                meter=meter_of(number, place, point),
                tariff_code=point.commodity,
                policy=point.policy,
                id=UUID(int=cloud.dice.getrandbits(128), version=4),
                now=cloud.now(),
            )
            points.append(
                ServicePoint(
                    row.id,
                    row.name,
                    meter_of(number, place, point),
                    point.commodity,
                    purses[point.purse].id,
                    point.policy,
                )
            )
        session.add(
            tables.MoneyRules(
                organization_id=organization.id,
                fee_basis_points=0,
                is_fee_refunded=False,
                alone_fen=ALONE_FEN,
            )
        )
        session.add(
            tables.GatewayCredential(
                organization_id=organization.id,
                gateway_id=gateway.id,
                number=1,
                public_key="none",
                password_hash="none",
                issued_at=cloud.now(),
                expires_at=cloud.now() + timedelta(days=365),
            )
        )
        session.flush()
        return Estate(
            number=number,
            organization_id=organization.id,
            operator=SignedIn(user.id, organization.id, user.login, user.name),
            gateway_id=gateway.id,
            gateway_no=gateway.gateway_no,
            accounts=(account.id,),
            purses=tuple(purse.id for purse in purses),
            points=tuple(points),
            commodities=tuple(point.commodity for point in plan.points),
        )


def publish_tariff(session: Session, organization_id: UUID, document: Any) -> Any:
    return estate.publish_tariff(session, organization_id, document)


def meter_of(number: int, place: int, point: PointPlan) -> Meter:
    """The meter as the estate's books have it."""
    is_water = point.commodity == "cold_water"
    address = f"{7833 if is_water else 2017:04}{number:04}{place:04}" + "00" * is_water
    most = Decimal(MOST_L if is_water else MOST_W) / 1000
    settings = (
        {"meter_type": "10"}
        if is_water
        else {"password": "123456", "level": "4", "operator": "00000001"}
    )
    return Meter(
        meter_no=address,
        protocol="cjt188-2004" if is_water else "dlt645-2007",
        line="L1",
        address=address,
        digits=6,
        step=Decimal("0.01"),
        max_per_hour=most,
        settings=settings,
    )
