"""Rooms in Excel: site, building, floor and name, a row each; sites and buildings that are not there are made."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.said import Said
from cloud.services import estate, scopes, sheets
from cloud.services.places import tree
from cloud.services.sheets import CellWrong, Column, Report, Row
from cloud.tables import Building, Room, Site

COLUMNS = (
    Column("site", "项目", "哪个小区或园区", "阳光小区", also=("Site",)),
    Column("building", "楼栋", "楼栋名称", "1号楼", also=("Building",)),
    Column("floor", "楼层", "整数，地下为负数", "3", also=("Floor",)),
    Column("name", "房间", "房间号，如门牌", "0301", also=("Room", "房号", "房间号")),
)
LOWEST, HIGHEST = -9, 200


def take(
    session: Session, content: bytes, *, only_check: bool, by: SignedIn, now: datetime
) -> Report:
    """Makes the rooms of a workbook, row by row. Raises what sheets.read raises."""
    rows = sheets.read(content, COLUMNS)

    def add(row: Row) -> str:
        building = _building(
            session, _site(session, row["site"], by, now), row["building"], by, now
        )
        room = tree.add_room(session, building.id, row["name"], floor=_floor(row), by=by, now=now)
        return f"{building.name} {room.name}"

    return sheets.take(session, rows, COLUMNS, add, is_known=(estate.Taken,), only_check=only_check)


def write(session: Session, *, by: SignedIn) -> bytes:
    """A workbook of all rooms in use that the user sees, which take reads again."""
    found = session.execute(
        select(
            col(Site.name).label("site"),
            col(Building.name).label("building"),
            col(Room.floor),
            col(Room.name),
        )
        .join(Building, col(Building.id) == col(Room.building_id))
        .join(Site, col(Site.id) == col(Building.site_id))
        .where(scopes.rooms_of(by), col(Room.ended_at).is_(None))
        .order_by(col(Site.name), col(Building.name), col(Room.floor), col(Room.name))
    ).all()
    rows = [
        {"site": r.site, "building": r.building, "floor": str(r.floor), "name": r.name}
        for r in found
    ]
    return sheets.write(COLUMNS, rows, title="房间")


def _floor(row: Row) -> int:
    try:
        floor = int(row["floor"])
    except ValueError:
        floor = HIGHEST + 1
    if not LOWEST <= floor <= HIGHEST:
        raise CellWrong(
            column="楼层",
            value=row["floor"],
            reason=Said("it is a whole number from {least} to {most}", least=LOWEST, most=HIGHEST),
        )
    return floor


def _site(session: Session, name: str, by: SignedIn, now: datetime) -> Site:
    found: Site | None = session.execute(
        select(Site).where(scopes.sites_of(by), col(Site.name) == tree.named(name))
    ).scalar_one_or_none()
    return found or tree.add_site(session, name, timezone="Asia/Shanghai", by=by, now=now)


def _building(session: Session, site: Site, name: str, by: SignedIn, now: datetime) -> Building:
    found: Building | None = session.execute(
        select(Building).where(
            scopes.buildings_of(by),
            col(Building.site_id) == site.id,
            col(Building.name) == tree.named(name),
        )
    ).scalar_one_or_none()
    return found or tree.add_building(session, site.id, name, by=by, now=now)
