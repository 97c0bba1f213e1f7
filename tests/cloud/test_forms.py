"""Forms of staff: what cannot be is told beside the field that it is about, and what was typed is kept."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from cloud.tables import utc_now
from tests.cloud.money.office import Office
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture


@pytest.fixture
def office(database, home) -> Office:
    office = Office.of(database, home)
    office.now = utc_now()
    return office


def value(html: str, name: str, form: str = "") -> str:
    """What stands in a field, of the form whose action ends so."""
    within = html[html.index(f'{form}"') :] if form else html
    (field,) = re.findall(rf'<input[^>]*name="{name}"[^>]*>', within)[:1]
    found = re.search(r'value="([^"]*)"', field)
    return found[1] if found else ""


def wrong(html: str) -> list[str]:
    """The names of the fields that are marked as wrong; each has its sentence."""
    marked = re.findall(r'aria-invalid="true" aria-describedby="(fault-[^"]+)"', html)
    assert all(f'id="{mark}"' in html for mark in marked)
    return [mark.removeprefix("fault-") for mark in marked]


def test_an_amount_that_is_none_is_told_at_the_field_and_slip_and_note_are_kept(
    staff: TestClient, office: Office
):
    staff.post("/shifts", data={"float": "0"})

    typed = {"way": "pos", "typed": "1oo", "voucher": "S-1", "remark": "两个月"}
    answer = staff.post(f"/counter/{office.purse}", data=typed)

    assert answer.status_code == 422
    assert wrong(answer.text) == ["typed"]
    assert "“1oo”不是金额" in answer.text
    assert [value(answer.text, name) for name in ("typed", "voucher", "remark")] == [
        "1oo",
        "S-1",
        "两个月",
    ]
    assert 'value="pos" checked' in answer.text


def test_a_slip_that_is_missing_is_asked_for_at_its_field(staff: TestClient, office: Office):
    staff.post("/shifts", data={"float": "0"})

    answer = staff.post(f"/counter/{office.purse}", data={"way": "bank", "typed": "100"})

    assert wrong(answer.text) == ["voucher"]
    assert value(answer.text, "typed") == "100"


def test_a_drawer_that_cannot_be_counted_so_keeps_to_whom_it_was_handed(
    staff: TestClient, office: Office
):
    staff.post("/shifts", data={"float": "100"})

    typed = {"counted": "一百", "handed_to": "王经理", "note": "少五元"}
    answer = staff.post("/shifts/close", data=typed)

    assert (answer.status_code, wrong(answer.text)) == (422, ["counted"])
    assert {name: value(answer.text, name) for name in typed} == typed


def test_a_refund_of_more_than_there_is_keeps_reason_and_way(staff: TestClient, office: Office):
    office.open_shift()
    office.take("20")
    asked = staff.get(f"/purses/{office.purse}/refund").text
    key = value(asked, "key")

    answer = staff.post(
        f"/purses/{office.purse}/refund",
        data={"key": key, "typed": "9999", "why": "退租", "how": "cash"},
    )

    assert wrong(answer.text) == ["typed"]
    assert (value(answer.text, "typed"), value(answer.text, "why")) == ("9999", "退租")
    assert value(answer.text, "key") == key  # still the same request
    assert 'value="cash" checked' in answer.text


def test_a_number_in_the_change_of_a_meter_is_told_in_that_form_alone_and_the_rest_kept(
    staff: TestClient, home
):
    at = f"{utc_now():%Y-%m-%dT%H:%M}"
    typed = {
        "meter_no": "20261122",
        "model": "dlt645-2007-plain",
        "line": "L1",
        "closing": "12O",
        "closed_at": at,
        "opening": "0",
        "opened_at": at,
        "why": "显示屏坏",
    }

    answer = staff.post(f"/meters/points/{home.electricity}/change", data=typed)

    assert (answer.status_code, wrong(answer.text)) == (422, ["closing"])
    assert "“12O”不是数字" in answer.text
    assert value(answer.text, "closing", form="/change") == "12O"
    assert value(answer.text, "meter_no", form="/change") == "20261122"
    assert value(answer.text, "closing", form="/take-down") != "12O"


def test_a_gateway_number_that_cannot_be_keeps_the_place(staff: TestClient, home):
    typed = {"site": str(home.site_id), "gateway_no": "网关 1", "place": "1 号楼配电间"}

    answer = staff.post("/gateways/new", data=typed)

    assert wrong(answer.text) == ["gateway_no"]
    assert "网关编号不能使用：应为 1 至 40 个字母、数字、连字符或下划线。" in answer.text
    assert (value(answer.text, "gateway_no"), value(answer.text, "place")) == (
        "网关 1",
        "1 号楼配电间",
    )


def test_what_a_proposal_is_about_is_told_in_the_sites_time_and_in_words(
    staff: TestClient, database, home
):
    staff.post("/cuts", data={"point": [str(home.electricity)], "lasts": "24", "why": "欠费"})

    listed = staff.get("/approvals").text
    (path,) = set(re.findall(r'href="(/approvals/[^"]+)"', listed))
    shown = staff.get(path).text

    assert "1 个用能点" in listed
    assert "涉及房间" in shown
    assert re.search(r"<dt>截止时间</dt><dd>20\d\d-\d\d-\d\d \d\d:\d\d</dd>", shown)


def test_the_audit_log_says_what_was_done_and_to_what_in_the_readers_words(
    staff: TestClient, office: Office
):
    staff.post("/shifts", data={"float": "200"})
    staff.post("/estate/sites", data={"name": "西区"})

    log = staff.get("/audit").text

    assert "新增项目" in log
    assert "开班" in log
    assert "<ins>¥200.00</ins>" in log
    assert "float_fen" not in log


def test_alarms_can_be_narrowed_to_a_kind_and_say_in_which_building(staff: TestClient, home):
    assert staff.get("/alarms?kind=silent").status_code == 200
    assert staff.get("/alarms?kind=none-such").status_code == 200
