"""The pages of money, walked through as a cashier and an administrator do."""

from __future__ import annotations

import csv
import io
import re
from uuid import UUID

import openpyxl
import pytest
from starlette.testclient import TestClient

from cloud import tables
from cloud.services.money import rules
from cloud.services.money.rules import Rules
from cloud.tables import utc_now
from tests.cloud.money.office import Office, yuan
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture

FIELD = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


def hidden(html: str) -> dict[str, str]:
    return dict(FIELD.findall(html))


def at(reply) -> str:
    assert reply.status_code == 303, reply.text
    return reply.headers["location"]


@pytest.fixture
def office(database, home) -> Office:
    """The office in which the signed-in administrator is the boss."""
    office = Office.of(database, home)
    office.now = utc_now()
    return office


def test_a_day_at_the_counter_from_opening_the_drawer_to_handing_it_over(
    staff: TestClient, office: Office
):
    with office.session() as session:
        rules.save(
            session, office.boss, Rules(fee_basis_points=100, alone=yuan("500")), now=office.now
        )
    take = f"/counter/{office.purse}"
    assert "先开班" in staff.get("/counter").text
    assert "先开班" in staff.post(take, data={"quick": "100"}).text
    assert at(staff.post("/shifts", data={"float": "200"})) == "/counter"

    # The customer is found by room and name, and ¥100 are asked for once more.
    assert str(office.purse) in staff.get("/counter?q=0301 张三").text
    assert "找不到" in staff.get("/counter?q=9999").text
    assert "不是金额" in staff.post(take, data={"typed": "abc"}).text
    assert staff.post(take, data={"typed": "99999"}).status_code == 422
    question = staff.post(take, data={"quick": "100", "way": "cash"}).text
    assert "¥99.00" in question  # without 1 % of service fee
    assert office.books() == {}
    answer = hidden(question)
    topup = at(staff.post(take, data=answer))
    assert at(staff.post(take, data=answer)) == topup  # pressed twice
    assert str(office.balance()) == "99.00"
    page = staff.get(topup).text
    assert "已入账" in page
    id = UUID(topup.rpartition("/")[2])

    # The receipt is numbered, and the second print says that it is a copy.
    first = staff.post(f"/counter/receipts/{id}").text
    assert "00000001" in first
    assert "第 2 联" in staff.post(f"/counter/receipts/{id}").text

    # ¥30 go back in cash; before the gateway has booked them nothing is paid out.
    ask = f"/purses/{office.purse}/refund"
    assert staff.get(ask).status_code == 200
    given = {"typed": "30", "how": "cash", "why": "搬走", **hidden(staff.get(ask).text)}
    assert "最多可退 ¥99.00" in staff.post(ask, data={**given, "typed": "1000"}).text
    refund = at(staff.post(ask, data=hidden(staff.post(ask, data=given).text)))
    assert "待网关确认" in staff.get(refund).text
    assert "/withdrawals/parts/" not in staff.get(refund).text
    assert office.gateway() == ["booked"]
    part = re.search(r"/withdrawals/parts/[0-9a-f-]+", staff.get(refund).text)
    assert part is not None
    assert at(staff.post(part[0], data={"way": "cash"})) == refund
    assert "已完成" in staff.get(refund).text

    # 200 + 100 - 30 = 270 should be there.
    assert "¥270.00" in staff.get("/shifts").text
    closed = at(staff.post("/shifts/close", data={"counted": "¥269.50", "handed_to": "王会计"}))
    assert "−¥0.50" in staff.get(closed).text

    # The list has all of it, with its sums; Excel and CSV have the same rows.
    listed = staff.get("/orders").text
    assert "¥70.00" in listed  # 100 - 30
    assert "¥69.00" in listed  # 99 - 30
    assert "没有符合条件" in staff.get("/orders?kind=gift").text
    sheet = openpyxl.load_workbook(io.BytesIO(staff.get("/orders/export.xlsx").content)).active
    rows = list(
        csv.reader(io.StringIO(staff.get("/orders/export.csv").content.decode("utf-8-sig")))
    )
    assert sheet.max_row == len(rows) == 3
    assert [row[9] for row in rows[1:]] == ["-30.00", "100.00"]


def test_gifts_moves_reversals_and_the_books_have_their_pages(
    staff: TestClient, office: Office, database, home
):
    purse, other = office.purse, home.water_purse
    staff.post("/shifts", data={"float": "0"})
    answer = hidden(staff.post(f"/counter/{purse}", data={"typed": "50"}).text)
    topup = at(staff.post(f"/counter/{purse}", data=answer)).rpartition("/")[2]

    def ask(act: str, **given: str) -> str:
        path = f"/purses/{purse}/{act}"
        form = hidden(staff.get(path, params={"topup": given.get("topup", topup)}).text)
        if "topup" not in given:
            form.pop("topup", None)
        return at(staff.post(path, data=hidden(staff.post(path, data={**form, **given}).text)))

    assert ask("give", typed="10", kind="gift", why="春节") == f"/purses/{purse}"
    moved = ask("move", typed="5", to=str(other), customer="张三 电话", why="水费")
    assert "张三 电话" in staff.get(moved).text
    assert at(staff.post(f"{moved}/cancel")) == moved
    assert "已取消" in staff.get(moved).text
    reversal = ask("reversal", topup=topup, why="多收")
    assert "待网关确认" in staff.get(reversal).text
    against = ask("give", typed="1", kind="against", why="表慢")
    assert "待他人审批" in staff.get(against).text
    for page in (f"/purses/{purse}", "/books", f"/books?day={utc_now():%Y-%m-%d}", "/months"):
        assert staff.get(page).status_code == 200, page
    assert "借贷平衡" in staff.get("/books").text
    assert "¥60.00" in staff.get(f"/purses/{purse}").text
    assert at(
        staff.post("/months/rules", data={"fee": "1.5", "alone": "200", "refunded": "yes"})
    ) == ("/months")
    with office.session() as session:
        assert rules.of(session, home.organization_id) == Rules(150, True, yuan("200"))
    assert "2026" in staff.get("/months").text
    assert staff.post("/months/close", data={"month": "2099-01"}).status_code == 409
    assert staff.post("/months/reopen", data={"month": "x", "why": "y"}).status_code == 409
    staff.post("/language", data={"language": "en"})


def test_another_organizations_money_is_not_there(staff: TestClient, build, database):
    theirs = build("theirs")
    with database.system() as session:
        topup = tables.TopUp(
            organization_id=theirs.organization_id,
            purse_id=theirs.electricity_purse,
            amount_fen=100,
            channel="cash",
            idempotency_key=theirs.room_id,
            out_trade_no="theirs",
        )
        session.add(topup)
        session.flush()
        id = topup.id
    for path in (
        f"/counter/{theirs.electricity_purse}",
        f"/purses/{theirs.electricity_purse}",
        f"/purses/{theirs.electricity_purse}/refund",
        f"/orders/topups/{id}",
        f"/withdrawals/{id}",
        f"/shifts/{id}",
    ):
        assert staff.get(path).status_code == 404, path
    assert "theirs" not in staff.get("/orders").text
