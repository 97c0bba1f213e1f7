"""Openings by Excel 导入开户: a row for each room, which becomes a draft or is opened, and says what became of it."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from decimal import Decimal, InvalidOperation

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.said import Said
from cloud.services import scopes, sheets
from cloud.services.accounts import drafts, opening
from cloud.services.accounts.drafts import (
    Draft,
    DraftTaken,
    FirstMoney,
    Holder,
    HolderKind,
    Persons,
    PointDraft,
)
from cloud.services.accounts.opening import RoomTaken
from cloud.services.sheets import CellWrong, Column, Report, Row
from cloud.tables import Building, Room, Site
from prepaid.money import Money
from prepaid.purse import Purpose

COLUMNS = (
    Column("site", "项目", "the site, as it is called here", "阳光花园", is_needed=False),
    Column("building", "楼栋", "the building", "1栋"),
    Column("room", "房间", "the room", "0301"),
    Column("holder", "户名", "the customer's name", "张三"),
    Column("kind", "类型", "个人 or 企业; 个人 if empty", "个人", is_needed=False),
    Column("phone", "手机", "6 to 20 digits", "13800138000", is_needed=False),
    Column("persons", "人数", "how many live there", "3", is_needed=False),
    Column("from", "合同开始", "a day, YYYY-MM-DD", "2026-03-01", is_needed=False),
    Column("until", "合同结束", "a day, YYYY-MM-DD", "2027-02-28", is_needed=False),
    Column(
        "together", "合并缴费", "是: one purse for electricity and water", "否", is_needed=False
    ),
    Column(
        "power_read", "电表底度", "read off the meter now; empty: by the gateway", "1234.56", False
    ),
    Column(
        "water_read", "水表底度", "read off the meter now; empty: by the gateway", "78.90", False
    ),
    Column("power_topup", "电费首充", "cash taken, in yuan", "100.00", is_needed=False),
    Column("water_topup", "水费首充", "cash taken, in yuan", "", is_needed=False),
    Column("power_old", "电费老表余额", "in yuan; below nothing: owed", "23.40", is_needed=False),
    Column("water_old", "水费老表余额", "in yuan; below nothing: owed", "-8.00", is_needed=False),
)
_YES = frozenset({"是", "yes", "y", "1", "true"})
_KINDS = {"": HolderKind.PERSON, "个人": HolderKind.PERSON, "企业": HolderKind.COMPANY}


def take(
    session: Session,
    by: SignedIn,
    content: bytes,
    *,
    opens: bool,
    only_check: bool,
    now: datetime,
) -> Report:
    """What became of each row; opens: the accounts are opened, else their drafts are saved.

    A room that has an account or a draft already is told as a duplicate. Raises what sheets.read raises.
    """
    rows = sheets.read(content, COLUMNS)

    def do(row: Row) -> str:
        draft = _draft(session, by, row, now=now)
        saved = drafts.save(session, by, draft, draft_id=None, now=now)
        opening.check_free(session, draft.room_ids)
        if opens:
            opening.open_draft(session, by, saved.id, now=now)
        return f"{row['building']} {row['room']} {row['holder']}"

    return sheets.take(
        session, rows, COLUMNS, do, is_known=(DraftTaken, RoomTaken), only_check=only_check
    )


def _draft(session: Session, by: SignedIn, row: Row, *, now: datetime) -> Draft:
    room = _room(session, by, row)
    if row["kind"] not in _KINDS and row["kind"] not in set(HolderKind):
        raise _wrong("kind", row["kind"], Said("it is 个人 or 企业"))
    together = row["together"].lower() in _YES
    points = []
    used: dict[str, Purpose] = {}
    read = {"electricity": "power_read", "cold_water": "water_read"}
    for point in drafts.points_of(session, [room.id]):
        purpose = Purpose.UTILITY if together else drafts.usual_purpose(point.commodity)
        used.setdefault("power" if point.commodity == "electricity" else "water", purpose)
        key = read.pop(point.commodity, None)  # a second meter of a kind is read by the gateway
        total = _number(row, key) if key is not None else None
        points.append(
            PointDraft(
                point.id, purpose, typed_total=total, typed_at=now if total is not None else None
            )
        )
    return Draft(
        room_ids=(room.id,),
        holder=Holder(
            name=row["holder"],
            kind=_KINDS.get(row["kind"]) or HolderKind(row["kind"]),
            phone=row["phone"],
            contract_from=_day(row, "from"),
            contract_until=_day(row, "until"),
            persons=_persons(row, now),
        ),
        points=tuple(points),
        money=_money(row, used),
    )


def _money(row: Row, used: dict[str, Purpose]) -> tuple[FirstMoney, ...]:
    found: dict[Purpose, FirstMoney] = {}
    for what in ("power", "water"):
        topup, old = _amount(row, f"{what}_topup"), _amount(row, f"{what}_old")
        if topup == old == Money(0):
            continue
        if what not in used:
            raise _wrong(f"{what}_topup", row[f"{what}_topup"], Said("the room has no such meter"))
        before = found.get(used[what], FirstMoney(used[what]))
        found[used[what]] = FirstMoney(used[what], before.topup + topup, before.old_balance + old)
    return tuple(found.values())


def _persons(row: Row, now: datetime) -> tuple[Persons, ...]:
    if not row["persons"]:
        return ()
    if not row["persons"].isdecimal():
        raise _wrong("persons", row["persons"], Said("it is a whole number"))
    since = _day(row, "from") or now.date()
    return (Persons(since, int(row["persons"])),)


def _room(session: Session, by: SignedIn, row: Row) -> tables.Room:
    wanted = [
        col(Building.name) == row["building"],
        col(Room.name) == row["room"],
        scopes.rooms_of(by),
    ]
    if row["site"]:
        wanted.append(col(Site.name) == row["site"])
    found: list[tables.Room] = list(
        session.execute(
            select(Room)
            .join(Building, col(Building.id) == col(Room.building_id))
            .join(Site, col(Site.id) == col(Building.site_id))
            .where(*wanted)
        ).scalars()
    )
    if not found:
        raise _wrong("room", f"{row['building']} {row['room']}", Said("there is no such room"))
    if len(found) > 1:
        raise _wrong("site", row["site"], Said("several sites have such a room: name the site"))
    return found[0]


def _number(row: Row, key: str) -> Decimal | None:
    if not row[key]:
        return None
    try:
        number = Decimal(row[key])
    except InvalidOperation:
        raise _wrong(key, row[key], Said("it is a number, as 1234.56")) from None
    if not number.is_finite() or abs(number) >= Decimal(10) ** 12:
        raise _wrong(key, row[key], Said("it is a number, as 1234.56"))
    return number


def _amount(row: Row, key: str) -> Money:
    number = _number(row, key)
    if number is None:
        return Money(0)
    fen = number * 100
    if fen != fen.to_integral_value():
        raise _wrong(key, row[key], Said("it is an amount in yuan with at most two decimals"))
    return Money(int(fen))


def _day(row: Row, key: str) -> dt.date | None:
    if not row[key]:
        return None
    try:
        return dt.date.fromisoformat(row[key][:10])
    except ValueError:
        raise _wrong(key, row[key], Said("it is a day, as 2026-03-01")) from None


def _wrong(key: str, value: str, reason: Said) -> CellWrong:
    heading = next(column.heading for column in COLUMNS if column.key == key)
    return CellWrong(column=heading, value=value, reason=reason)
