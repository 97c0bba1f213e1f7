"""The pages of sites, rooms, meters and gateways: what they make, show, refuse, and keep from others."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from io import BytesIO

import openpyxl
import pytest
from sqlalchemy import func, select
from sqlmodel import col

from cloud import tables
from cloud.services import estate, sheets
from cloud.services.devices import mountings
from cloud.services.places.sheet import COLUMNS
from cloud.tables import utc_now
from prepaid.wire.downlog import Decided, read_down
from tests.cloud.test_meter_changes import PHOTO
from tests.cloud.test_overrides import staff
from tests.cloud.test_particulars import charged
from tests.cloud.test_sheets import sheet

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture

HERE = utc_now() - timedelta(minutes=5)
RULE = {"floors": "3-4", "rooms": "1-2", "pattern": "{FF}{RR}"}


@pytest.fixture
def building(database, home) -> str:
    with database.system() as session:
        room = session.get(tables.Room, home.room_id)
        for point in (home.electricity, home.water):  # they were there before today
            mountings.now_at(session, point).mounted_at = utc_now() - timedelta(days=30)
        return str(room.building_id)


def names(database, home) -> list[str]:
    with database.system() as session:
        rows = session.execute(
            select(col(tables.Room.name))
            .where(
                col(tables.Room.organization_id) == home.organization_id,
                col(tables.Room.ended_at).is_(None),
            )
            .order_by(col(tables.Room.name))
        )
        return list(rows.scalars())


def test_rooms_are_made_by_a_rule_after_they_were_looked_at_and_only_once(
    staff, database, home, building
):
    page = f"/estate/buildings/{building}"

    shown = staff.post(f"{page}/plan", data=RULE)
    assert names(database, home) == ["0301"]
    made = staff.post(f"{page}/rooms", data=RULE)
    again = staff.post(f"{page}/rooms", data=RULE)

    assert "3 间新房间" in shown.text
    assert "1 间已有" in shown.text
    assert (made.status_code, again.status_code) == (303, 303)
    assert names(database, home) == ["0301", "0302", "0401", "0402"]
    assert "0402" in staff.get(page).text


def test_a_rule_that_cannot_be_used_is_refused_with_what_to_do(staff, database, home, building):
    for change, said in (
        ({"floors": "x"}, "不是楼层或房号列表"),
        ({"floors": "6-1"}, "不是楼层或房号列表"),
        ({"floors": "1-99", "rooms": "1-99"}, "超过 3000 间"),
        ({"pattern": "{RR}"}, "重名"),
        ({"pattern": "\x07"}, "重名"),
    ):
        for path in ("plan", "rooms"):
            answer = staff.post(f"/estate/buildings/{building}/{path}", data={**RULE, **change})
            assert answer.status_code == 422
            assert said in answer.text
    assert names(database, home) == ["0301"]


def test_a_room_without_books_is_deleted_and_one_with_books_is_not(staff, database, home, building):
    staff.post(f"/estate/buildings/{building}/room", data={"name": "0909", "floor": "9"})
    with database.system() as session:
        new = session.execute(
            select(tables.Room).where(col(tables.Room.name) == "0909")
        ).scalar_one()

    refused = staff.post(f"/estate/rooms/{home.room_id}/end")
    done = staff.post(f"/estate/rooms/{new.id}/end")

    assert refused.status_code == 409
    assert "0301 仍在使用" in refused.text
    assert done.status_code == 303
    with database.system() as session:
        assert session.get(tables.Room, new.id) is None
        assert session.get(tables.Room, home.room_id).ended_at is None


def test_a_room_whose_customer_and_meters_are_gone_is_ended_and_can_be_used_again(
    staff, database, home, building
):
    with database.system() as session:
        for point in (home.electricity, home.water):
            session.get(tables.ServicePoint, point).ended_at = utc_now()
        occupancy = session.execute(
            select(tables.Occupancy).where(col(tables.Occupancy.room_id) == home.room_id)
        ).scalar_one()
        occupancy.ended_at = utc_now()

    staff.post(f"/estate/rooms/{home.room_id}/end")
    assert names(database, home) == []
    assert "0301" not in staff.get("/rooms").text
    assert "已停用" in staff.get(f"/estate/buildings/{building}").text
    staff.post(f"/estate/rooms/{home.room_id}/again")

    assert names(database, home) == ["0301"]


def test_names_are_changed_and_two_of_one_name_are_refused(staff, database, home, building):
    staff.post(f"/estate/buildings/{building}/room", data={"name": "0302", "floor": "3"})

    taken = staff.post(f"/estate/rooms/{home.room_id}/name", data={"name": "0302"})
    empty = staff.post(f"/estate/rooms/{home.room_id}/name", data={"name": "  "})
    done = staff.post(f"/estate/rooms/{home.room_id}/name", data={"name": "0301A"})

    assert (taken.status_code, empty.status_code, done.status_code) == (409, 422, 303)
    assert "这里已有 0302" in taken.text
    assert names(database, home) == ["0301A", "0302"]


def upload(client, path: str, content: bytes, **fields: str):
    return client.post(
        path, data=fields, files={"file": ("rooms.xlsx", content, sheets.MEDIA_TYPE)}
    )


def test_rooms_are_imported_from_excel_with_a_report_of_each_row(staff, database, home):
    content = sheet(
        ("项目", "楼栋", "楼层", "房间"),
        ("home", "A", 3, "0301"),
        ("home", "B", 1, "0101"),
        ("新区", "1号楼", "地下", "B101"),
    )

    checked = upload(staff, "/estate/import", content, only_check="yes")
    assert names(database, home) == ["0301"]
    done = upload(staff, "/estate/import", content)

    for page in (checked, done):
        assert "成功 1" in page.text
        assert "重复 1" in page.text
        assert "错误 1" in page.text
        assert "“楼层”不能是“地下”" in page.text
    assert "没有改动" in checked.text
    assert names(database, home) == ["0101", "0301"]
    with database.system() as session:
        sites = session.execute(select(func.count()).select_from(tables.Site)).scalar_one()
    assert sites == 1  # the site of the row that was wrong is not there
    exported = staff.get("/estate/rooms.xlsx")
    assert [row["name"] for row in sheets.read(exported.content, COLUMNS)] == ["0301", "0101"]


def test_a_file_that_is_no_workbook_is_told_so(staff):
    answer = upload(staff, "/estate/import", b"<html>")
    assert answer.status_code == 422
    assert ".xlsx" in answer.text
    assert staff.post("/estate/import", data={}).status_code == 422


def test_meters_are_imported_and_exported(staff, database, home):
    heads = (
        "楼栋",
        "房间",
        "用能点",
        "表号",
        "型号",
        "网关",
        "总线",
        "通信地址",
        "价格方案",
        "底度",
        "password",
    )
    content = sheet(
        heads,
        ("A", "0301", "0301 热水器", 202300000001, "dlt645-2007-plain", "GW-home", "L1", None, "power", 0.5, None),
        ("A", "0301", "0301 二", "202300000001", "dlt645-2007-plain", "GW-home", "L1", None, "power", None, None),
        ("A", "0301", "0301 三", "M3", "no-such-model", "GW-home", "L1", None, "power", None, None),
        ("A", "0999", "0999 电", "M4", "dlt645-2007-plain", "GW-home", "L1", None, "power", None, None),
        ("A", "0301", "0301 四", "M5", "dlt645-2007-plain", "GW-9", "L1", None, "power", None, None),
    )  # fmt: skip

    report = upload(staff, "/meters/import", content)

    assert "成功 1" in report.text
    assert "重复 1" in report.text
    assert "错误 3" in report.text
    assert "没有型号“no-such-model”" in report.text
    with database.system() as session:
        point = session.execute(
            select(tables.ServicePoint).where(col(tables.ServicePoint.name) == "0301 热水器")
        ).scalar_one()
        assert point.purse_id == home.electricity_purse
        assert mountings.now_at(session, point.id).opening == Decimal("0.5")
        assert point.address == "202300000001"
    exported = openpyxl.load_workbook(BytesIO(staff.get("/meters.xlsx?q=2023").content))
    assert exported.worksheets[0]["D2"].value == "202300000001"
    assert "202300000001" in staff.get("/meters?q=热水").text
    assert "202300000001" not in staff.get("/meters?which=silent").text


def form(**changes: str) -> dict[str, str]:
    at = HERE.isoformat(timespec="seconds")
    asked = {
        "meter_no": "202400000009",
        "model": "dlt645-2007-plain",
        "line": "L1",
        "closing": "0",
        "closed_at": at,
        "opening": "0.20",
        "opened_at": at,
        "why": "表屏坏",
    }
    return {**asked, **changes}


def test_a_meter_is_changed_on_its_page_and_its_whole_life_is_shown(
    staff, database, home, building
):
    page = f"/meters/points/{home.electricity}"
    assert "home-电" in staff.get(page).text

    done = staff.post(
        f"{page}/change",
        data=form(),
        files={"closing_photo": ("x.jpg", PHOTO.content, "image/jpeg")},
    )

    assert done.status_code == 303
    shown = staff.get(page).text
    assert "202400000009" in shown
    assert "home-电" in shown
    assert "表屏坏" in shown
    photo = re.search(r'src="(/photos/[0-9a-f-]+)"', shown)
    assert photo is not None
    picture = staff.get(photo[1])
    assert picture.content == PHOTO.content
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["x-content-type-options"] == "nosniff"
    with database.system() as session:
        row = tables.DownEntry
        last = session.execute(
            select(col(row.body))
            .where(col(row.gateway_id) == home.gateway_id)
            .order_by(col(row.seq).desc())
            .limit(1)
        ).scalar_one()
    said = read_down(last)
    assert isinstance(said, Decided)
    assert (said.was.meter_no, said.point.meter.meter_no) == ("home-电", "202400000009")


def test_a_change_that_cannot_be_is_refused_with_a_sentence_and_changes_nothing(
    staff, database, home, building
):
    for change, status, said in (
        ({"closing": "x"}, 422, "“x”不是数字"),
        ({"closing": "10000000"}, 422, "6 位的表不可能显示"),
        ({"meter_no": "home-电"}, 422, "就是现在装着的表"),
        ({"meter_no": "home-水", "address": "000000000777"}, 409, "正装在 0301 水"),
        ({"meter_no": "202400000010", "address": "302"}, 422, "通信地址应为十二位数字"),
        ({"model": "x"}, 422, "没有型号"),
        ({"why": ""}, 422, "原因"),
        ({"opened_at": "2099-01-01T00:00"}, 422, "时间顺序"),
        ({"closed_at": "yesterday"}, 422, "不是日期时间"),
        ({"address": "000000000302"}, 409, "总线 L1 上的地址 000000000302"),
    ):
        answer = staff.post(f"/meters/points/{home.electricity}/change", data=form(**change))
        assert answer.status_code == status, change
        assert said in answer.text
        assert 'value="0.20"' in answer.text  # what was typed is still there
    with database.system() as session:
        assert len(mountings.of_point(session, home.electricity)) == 1
        events = session.execute(select(func.count()).select_from(tables.DeviceEvent)).scalar_one()
    assert events == 0


def test_a_closing_reading_that_went_stale_while_the_form_was_open_is_asked_again(
    staff, database, home, building
):
    charged(database, home)  # up to 104.00, which the page shows
    page = f"/meters/points/{home.electricity}"
    assert 'name="shown_closing" value="104.00"' in staff.get(page).text
    with database.system() as session:
        state = session.get(tables.PointState, home.electricity)
        state.total = Decimal("104.70")  # read since
    sent = form(closing="104.00", shown_closing="104.00")

    asked = staff.post(f"{page}/change", data=sent)

    assert asked.status_code == 409
    assert "现在是 104.70，不再是 104.00" in asked.text
    assert 'name="closing" value="104.70"' in asked.text
    assert 'name="shown_closing" value="104.70"' in asked.text
    assert (
        staff.post(f"{page}/take-down", data={**sent, "at": sent["closed_at"]}).status_code == 409
    )
    done = staff.post(
        f"{page}/change", data={**sent, "closing": "104.70", "shown_closing": "104.70"}
    )
    assert done.status_code == 303


def test_a_dispute_is_marked_listed_and_decided(staff, database, home, building):
    with database.system() as session:
        state = session.get(tables.PointState, home.electricity)
        state.total, state.read_at = Decimal("104.00"), utc_now()
    page = f"/meters/points/{home.electricity}"

    staff.post(f"{page}/dispute", data={"why": "住户说太多"})
    assert "home-电" in staff.get("/meters?which=disputed").text
    shown = staff.get(page).text
    settle = re.search(r'action="([^"]+/settle)"', shown)
    assert settle is not None
    staff.post(settle[1], data={"upheld": "no", "why": "检定合格"})

    assert "检定合格" in staff.get(page).text
    assert "home-电" not in staff.get("/meters?which=disputed").text
    assert staff.post(settle[1], data={"why": "again"}).status_code == 409


def test_a_calibration_says_when_the_next_is_due(staff, home, building):
    page = f"/meters/points/{home.electricity}"
    today = utc_now().date()
    asked = {"on": today.isoformat(), "passed": "yes", "certificate": "JD-2026-7", "why": "到期"}

    wrong = staff.post(f"{page}/calibrate", data={**asked, "due": today.isoformat()})
    done = staff.post(
        f"{page}/calibrate", data={**asked, "due": (today + timedelta(days=30)).isoformat()}
    )

    assert (wrong.status_code, done.status_code) == (422, 303)
    assert "JD-2026-7" in staff.get(page).text
    assert "home-电" in staff.get("/meters?which=due").text
    assert "home-水" not in staff.get("/meters?which=due").text


def test_a_gateway_is_added_with_its_place_and_lines_and_ended_when_it_serves_nothing(
    staff, database, home
):
    asked = {"site": str(home.site_id), "gateway_no": "GW-0007", "place": "1号楼配电间"}

    added = staff.post("/gateways/new", data=asked)
    twice = staff.post("/gateways/new", data=asked)
    bad = staff.post("/gateways/new", data={**asked, "gateway_no": "GW 8"})

    assert (added.status_code, twice.status_code, bad.status_code) == (303, 409, 422)
    page = added.headers["location"]
    staff.post(f"{page}/lines", data={"name": "L2", "note": "2-4 层"})
    shown = staff.get(page).text
    assert "1号楼配电间" in shown
    assert "2-4 层" in shown
    assert "GW-0007" in staff.get("/gateways").text
    assert staff.post(f"{page}/end").status_code == 303
    assert "GW-0007" not in staff.get("/gateways").text
    served = staff.post(f"/gateways/{home.gateway_id}/end")
    assert served.status_code == 409
    assert "还带着 2 块表" in served.text


def test_another_machine_goes_on_as_the_gateway_by_a_token_and_a_reason(staff, home):
    page = f"/gateways/{home.gateway_id}"

    refused = staff.post(f"{page}/replace", data={"why": " "})
    shown = staff.post(f"{page}/replace", data={"why": "进水"})

    assert refused.status_code == 422
    assert "wattwell edge takeover" in shown.text
    assert 'class="groups"' in shown.text
    again = staff.get(page).text
    assert "进水" in again
    assert 'class="groups"' not in again


def test_a_meter_is_added_to_a_room_and_a_protocol_is_never_typed(staff, database, home, building):
    page = staff.get(f"/meters/new?room={home.room_id}").text
    assert 'value="eastron_sdm120"' in page
    asked = {
        "room": str(home.room_id),
        "gateway": str(home.gateway_id),
        "name": "0301 空调",
        "model": "eastron_sdm120",
        "meter_no": "S1",
        "line": "L3",
        "address": "7",
        "tariff": "power",
    }

    none = staff.post("/meters/new", data={**asked, "tariff": ""})
    done = staff.post("/meters/new", data=asked)

    assert none.status_code == 404
    assert 'value="S1"' in none.text  # what was typed is still there
    assert done.status_code == 303
    with database.system() as session:
        point = session.execute(
            select(tables.ServicePoint).where(col(tables.ServicePoint.name) == "0301 空调")
        ).scalar_one()
    assert point.meter["protocol"] == "modbus"
    assert point.meter["settings"] == {"profile": "eastron_sdm120"}
    assert "L3" in staff.get(f"/gateways/{home.gateway_id}").text


def test_what_belongs_to_others_is_as_if_it_were_not_there(staff, database, home, build):
    theirs = build("theirs")
    with database.system() as session:
        building = session.get(tables.Room, theirs.room_id).building_id
        estate.add_site(session, theirs.organization_id, "another")

    assert "theirs" not in staff.get("/estate").text
    assert "theirs" not in staff.get("/meters").text
    for path in (f"/estate/buildings/{building}", f"/meters/points/{theirs.electricity}"):
        assert staff.get(path).status_code == 404
    for path, data in (
        (f"/estate/sites/{theirs.site_id}/buildings", {"name": "x"}),
        (f"/estate/rooms/{theirs.room_id}/end", {}),
        (f"/estate/rooms/{theirs.room_id}/name", {"name": "x"}),
        (f"/gateways/{theirs.gateway_id}/lines", {"name": "x"}),
        (f"/meters/points/{theirs.electricity}/change", form()),
        (f"/meters/points/{theirs.electricity}/decide", {"what": "dismiss", "why": "x"}),
    ):
        assert staff.post(path, data=data).status_code == 404, path
