"""Vacant rooms 空置: what their meters show, since when nobody pays, how much was used that nobody is billed for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.services import audit, downlog, pointsets, scopes
from cloud.tables import Gateway, ServicePoint, Site
from prepaid.point import Meter
from prepaid.reading import Reading, Supply
from prepaid.register.reach import ahead_of

_METER = TypeAdapter(Meter)


@dataclass(frozen=True, slots=True)
class VacantPoint:
    """A service point that nobody pays for. began_total is its register when that began, by the gateway, total the
    last one read; used what went through it in between, in unit (None: not known yet). is_waiting: the gateway has
    not been heard to know. left_by is who had it before."""

    point_id: UUID
    room_id: UUID
    room: str
    building: str
    site: str
    name: str
    commodity: str
    meter_no: str
    since: datetime
    left_by: str | None
    began_total: Decimal | None
    total: Decimal | None
    used: Decimal | None
    unit: str
    read_at: datetime | None
    supply: Supply | None
    while_vacant: Supply
    is_waiting: bool
    is_silent: bool


_VACANT = text(f"""
    SELECT p.id, r.id AS room_id, r.name AS room, b.name AS building, s.name AS site, p.name,
           p.commodity, p.meter_no, p.meter, d.unit, t.began_at, t.opened_total, t.delivered_at,
           x.total, x.read_at, x.supply, x.silent_since, s.vacant_supply,
           (SELECT a.holder FROM tenures w JOIN purses u ON u.id = w.purse_id
              JOIN accounts a ON a.id = u.account_id
             WHERE w.point_id = p.id AND w.ended_at IS NOT NULL
             ORDER BY w.ended_at DESC, w.created_at DESC LIMIT 1) AS left_by
    FROM points p
    JOIN tenures t ON t.point_id = p.id AND t.ended_at IS NULL
    JOIN point_states x ON x.point_id = p.id
    JOIN tariffs d ON d.id = p.tariff_id
    JOIN rooms r ON r.id = p.room_id
    JOIN buildings b ON b.id = r.building_id
    JOIN sites s ON s.id = b.site_id
    WHERE p.organization_id = :organization AND p.purse_id IS NULL AND {scopes.BUILDING}
    ORDER BY s.name, b.name, r.floor, r.name, p.name
""")


def points(session: Session, by: SignedIn) -> list[VacantPoint]:
    """All that nobody pays for, by room."""
    given = {**scopes.given(by.scope), "organization": by.organization_id}
    return [
        VacantPoint(
            point_id=row.id,
            room_id=row.room_id,
            room=row.room,
            building=row.building,
            site=row.site,
            name=row.name,
            commodity=row.commodity,
            meter_no=row.meter_no,
            since=row.began_at,
            left_by=row.left_by,
            began_total=row.opened_total,
            total=row.total,
            used=_used(
                _METER.validate_python(row.meter), row.opened_total, row.total, row.began_at
            ),
            unit=row.unit,
            read_at=row.read_at,
            supply=Supply(row.supply) if row.supply else None,
            while_vacant=Supply(row.vacant_supply),
            is_waiting=row.delivered_at is None,
            is_silent=row.silent_since is not None,
        )
        for row in session.execute(_VACANT, given)
    ]


def _used(
    meter: Meter, began: Decimal | None, total: Decimal | None, at: datetime
) -> Decimal | None:
    if began is None or total is None:
        return None
    before, after = (Reading(meter.meter_no, at, register, None) for register in (began, total))
    return ahead_of(before, after, meter) * meter.multiplier


def supply_while_vacant(
    session: Session, by: SignedIn, site_id: UUID, supply: Supply, *, now: datetime
) -> int:
    """From now on the site's vacant rooms are supplied so; the number of service points that are told.

    Raises scopes.NoSuchSite.
    """
    site = scopes.check_site(session, by, site_id, whole=True)
    session.refresh(site, with_for_update=True)
    before = site.vacant_supply
    if before == supply.value:
        return 0
    site.vacant_supply = supply.value
    session.add(site)
    session.flush()
    audit.record(
        session,
        by,
        "site.vacant-supply",
        of="site",
        id=site_id,
        before={"vacant_supply": before},
        after={"vacant_supply": supply.value},
        now=now,
    )
    return _tell(session, site)


def _tell(session: Session, site: Site) -> int:
    """All points of the site: those that fall vacant later are to be kept so as well."""
    rows = session.execute(_OF_SITE, {"site": site.id}).all()
    gateways: dict[UUID, Gateway] = {
        gateway.id: gateway for gateway in downlog.lock(session, {row.gateway_id for row in rows})
    }
    for row in rows:
        point = session.get_one(ServicePoint, row.id, populate_existing=True)
        pointsets.publish(session, gateways[row.gateway_id], point)
    return len(rows)


# Only those that are vacant: of the others the gateway hears when they fall vacant.
_OF_SITE = text("""
    SELECT p.id, p.gateway_id FROM points p
    JOIN rooms r ON r.id = p.room_id
    JOIN buildings b ON b.id = r.building_id
    WHERE b.site_id = :site AND p.purse_id IS NULL
    ORDER BY p.gateway_id, p.id
""")
