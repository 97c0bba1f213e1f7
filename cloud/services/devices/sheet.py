"""Meters in Excel: a row for each service point, made or told of."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation

from sqlalchemy import select
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.said import Said
from cloud.services import estate, scopes, sheets
from cloud.services.devices import models, points, register
from cloud.services.devices.points import NewPoint
from cloud.services.sheets import CellWrong, Column, Report, Row
from cloud.tables import Building, Gateway, Room, Site
from prepaid.point import Restore

SETTINGS = ("password", "level", "operator", "pt", "ct")
COLUMNS = (
    Column("building", "楼栋", "楼栋名称", "1号楼", also=("Building",)),
    Column("room", "房间", "房间号", "0301", also=("Room",)),
    Column("name", "用能点", "大家怎么叫它", "0301 电", also=("Point",)),
    Column("meter_no", "表号", "表盘上的号码", "202310450101", also=("Meter",)),
    Column("model", "型号", "型号名称或代号", "dlt645-2007-1p", also=("Model",)),
    Column("gateway", "网关", "网关编号", "GW-0001", also=("Gateway",)),
    Column("line", "总线", "gateway.toml 中的总线名", "L1", also=("Line",)),
    Column("address", "通信地址", "空则用表号", "202310450101", False, ("Address",)),
    Column("tariff", "价格方案", "方案代码", "resident-power", also=("Tariff",)),
    Column("multiplier", "倍率", "空则为 1", "1", False, ("Multiplier",)),
    Column("opening", "底度", "装表时的示数，可空", "0.00", False, ("Opening",)),
    Column(
        "restore", "合闸方式", "允许合闸或直接合闸，空则为允许合闸", "允许合闸", False, ("Restore",)
    ),
    *(Column(key, key, "驱动参数，可空", "", False) for key in SETTINGS),
)
_RESTORE = {
    "": Restore.ALLOW_CLOSE,
    "允许合闸": Restore.ALLOW_CLOSE,
    "allow-close": Restore.ALLOW_CLOSE,
    "直接合闸": Restore.DIRECT,
    "direct": Restore.DIRECT,
}


class NoSuchRoom(CloudError):
    status = 422
    sentence = "There is no room {name} that you see. Import the rooms first."


class NoSuchGateway(CloudError):
    status = 422
    sentence = "There is no gateway {name} that you see. Add it first."


class Ambiguous(CloudError):
    status = 409
    sentence = "There are {count} rooms {name}. Enter this meter on the page of its room."


def take(
    session: Session, content: bytes, *, only_check: bool, by: SignedIn, now: datetime
) -> Report:
    """Adds the service points of a workbook, row by row; the room's purse pays, or nobody where there is none.

    Raises what sheets.read raises.
    """
    rows = sheets.read(content, COLUMNS)

    def add(row: Row) -> str:
        room = _room(session, row, by)
        gateway = _gateway(session, row["gateway"], by)
        model = models.named(row["model"])
        settings = {key: row[key] for key in SETTINGS if row[key]}
        new = NewPoint(
            name=row["name"],
            model=model.key,
            meter=model.meter(
                meter_no=row["meter_no"],
                line=row["line"],
                address=row["address"] or row["meter_no"],
                multiplier=_number(row, "multiplier") or Decimal(1),
                settings=settings,
            ),
            tariff_code=row["tariff"],
            restore=_restore(row),
            opening=_number(row, "opening"),
        )
        points.put(session, room, gateway, new, by=by, now=now)
        return f"{row['name']} {row['meter_no']}"

    return sheets.take(session, rows, COLUMNS, add, is_known=(estate.Taken,), only_check=only_check)


def write(session: Session, *, q: str, which: str, by: SignedIn, now: datetime) -> bytes:
    """A workbook of the mounted meters that are listed so. What only the driver needs to know is left out."""
    columns = (
        *COLUMNS[:8],
        Column("multiplier", "倍率", "", "", False),
        Column("total", "示数", "", "", False),
        Column("unit", "单位", "", "", False),
        Column("read_at", "抄表时间", "UTC", "", False),
        Column("mounted_at", "装表时间", "UTC", "", False),
        Column("due", "检定到期", "", "", False),
    )
    found = register.meters(session, by, q=q, which=which, today=now.date(), most=sheets.MOST_ROWS)
    rows = [
        {
            "building": row.building,
            "room": row.room,
            "name": row.point,
            "meter_no": row.meter_no,
            "model": row.model or row.device.protocol,
            "gateway": row.gateway_no,
            "line": row.line,
            "address": row.address,
            "multiplier": row.device.multiplier,
            "total": row.total,
            "unit": row.unit,
            "read_at": f"{row.read_at:%Y-%m-%d %H:%M}" if row.read_at else "",
            "mounted_at": f"{row.mounted_at:%Y-%m-%d %H:%M}",
            "due": row.calibration_due.isoformat() if row.calibration_due else "",
        }
        for row in found
    ]
    return sheets.write(columns, rows, title="表计")


def _room(session: Session, row: Row, by: SignedIn) -> Room:
    found: list[Room] = list(
        session.execute(
            select(Room)
            .join(Building, col(Building.id) == col(Room.building_id))
            .join(Site, col(Site.id) == col(Building.site_id))
            .where(
                scopes.rooms_of(by),
                col(Building.name) == row["building"],
                col(Room.name) == row["room"],
                col(Room.ended_at).is_(None),
            )
        ).scalars()
    )
    name = f"{row['building']} {row['room']}"
    if not found:
        raise NoSuchRoom(name=name)
    if len(found) > 1:
        raise Ambiguous(count=len(found), name=name)
    return found[0]


def _gateway(session: Session, number: str, by: SignedIn) -> Gateway:
    found: Gateway | None = session.execute(
        select(Gateway).where(
            scopes.gateways_of(by),
            col(Gateway.gateway_no) == number,
            col(Gateway.ended_at).is_(None),
        )
    ).scalar_one_or_none()
    if found is None:
        raise NoSuchGateway(name=number)
    return found


def _number(row: Row, key: str) -> Decimal | None:
    if not row[key]:
        return None
    heading = next(column.heading for column in COLUMNS if column.key == key)
    try:
        number = Decimal(row[key])
    except InvalidOperation:
        raise CellWrong(
            column=heading,
            value=row[key],
            reason=Said("it is a number from 0 on, the multiplier above 0"),
        ) from None
    if not number.is_finite() or number < 0 or (key == "multiplier" and not number):
        raise CellWrong(
            column=heading,
            value=row[key],
            reason=Said("it is a number from 0 on, the multiplier above 0"),
        )
    return number


def _restore(row: Row) -> Restore:
    found = _RESTORE.get(row["restore"].lower())
    if found is None:
        raise CellWrong(
            column="合闸方式", value=row["restore"], reason=Said("it is 允许合闸 or 直接合闸")
        )
    return found
