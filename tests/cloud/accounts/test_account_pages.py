"""The pages and the API of accounts, as a person or a program walks through them."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID, uuid4

import openpyxl
import pytest
from sqlalchemy import select
from sqlmodel import col

from cloud.services.accounts import bulk, drafts, opening, sheet
from cloud.tables import Account, User
from tests.cloud.accounts.conftest import NOW, add_vacant

pytestmark = pytest.mark.processes

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
OURS = {"Origin": "http://cloud.test"}


@pytest.fixture
def staff(web):
    """The web program, asked by the administrator in Chinese."""
    web.headers.update({**OURS, "Accept-Language": "zh"})
    answer = web.post("/login", data={"login": "home", "password": "correct horse"})
    assert answer.status_code == 303
    return web


@pytest.fixture
def room(database, home):
    with database.organization(home.organization_id) as session:
        return add_vacant(session, home, "0401")


def form_of(room, **changed):
    return {
        "room": str(room.room_id),
        "holder": "李四",
        "kind": "person",
        "phone": "13800138000",
        "persons-0": "3",
        "since-0": "2026-01-01",
        f"purpose-{room.electricity}": "electricity",
        f"purpose-{room.water}": "water",
        f"total-{room.electricity}": "1234.56",
        "topup-electricity": "100",
        "old-electricity": "23.40",
        "do": "save",
        **changed,
    }


def test_a_manager_opens_an_account_from_the_list_of_vacant_rooms(staff, room):
    vacant = staff.get("/vacant")
    assert "0401 电" in vacant.text
    assert f"/accounts/new?room={room.room_id}" in vacant.text
    form = staff.get("/accounts/new", params={"room": str(room.room_id)})
    assert "底度" in form.text

    photo = {f"photo-{room.electricity}": ("meter.png", PNG, "image/png")}
    saved = staff.post("/accounts/new", data=form_of(room), files=photo)
    assert saved.status_code == 303, saved.text
    draft = staff.get(saved.headers["location"])
    for said in ("李四", "1234.56 kWh", "¥100.00", "¥23.40", "/accounts/photos/"):
        assert said in draft.text
    picture = draft.text.split('src="/accounts/photos/')[1].split('"')[0]
    assert staff.get(f"/accounts/photos/{picture}").content == PNG

    opened = staff.post(saved.headers["location"] + "/open")
    account = staff.get(opened.headers["location"])
    assert "已开户。" in account.text
    assert account.text.count("待网关上线") == 2
    assert "¥123.40" in account.text
    found = staff.get("/accounts", params={"q": "李四 0401"})
    assert "13800138000" in found.text
    assert "0401" in staff.get("/accounts", params={"q": "13800138000"}).text
    assert "没有找到住户" in staff.get("/accounts", params={"q": "李四 0999"}).text


def test_what_was_typed_stays_beside_what_is_wrong_with_it(staff, room):
    wrong = staff.post("/accounts/new", data=form_of(room, **{"topup-electricity": "a lot"}))
    assert wrong.status_code == 422
    assert "a lot" in wrong.text
    assert 'value="李四"' in wrong.text
    wrong = staff.post("/accounts/new", data=form_of(room, holder=" "))
    assert wrong.status_code == 422


def test_an_account_is_closed_and_handed_over_on_its_pages(staff, room, home):
    saved = staff.post("/accounts/new", data=form_of(room))
    account = staff.post(saved.headers["location"] + "/open").headers["location"].split("?")[0]
    purse = staff.get(account).text.split("/accounts/purses/")[1].split('"')[0]
    assert "期初转入" in staff.get(f"/accounts/purses/{purse}").text
    for what in ("transfer", "room", "close"):
        assert staff.get(f"{account}/{what}").status_code == 200

    handed = staff.post(
        f"{account}/transfer",
        data={"holder": "王五", "balance": "with-room", "why": "亲属过户"},
    )
    next_one = handed.headers["location"].split("?")[0]
    assert "王五" in staff.get(next_one).text
    assert "已销户并结清" in staff.get(account).text
    refused = staff.post(f"{next_one}/close", data={"why": ""})
    assert refused.status_code == 422
    assert staff.post(f"{next_one}/close", data={"why": "搬走"}).status_code == 303
    page = staff.get(next_one)
    assert "已销户，待结算" in page.text
    assert "待网关" in page.text
    assert staff.post(f"{next_one}/settle", data={"why": "x", "how": "cash"}).status_code == 409


def test_the_customers_link_is_renewed_and_ended_by_the_manager(staff, home):
    page = f"/accounts/{home.account_id}"

    def link():
        return (
            staff.get(page)
            .text.split('link-text">')[1]
            .split("<")[0]
            .removeprefix("http://cloud.test")
        )

    first = link()
    assert staff.get(first).status_code == 200
    assert (
        staff.post(f"{page}/link", data={"do": "renew", "until": "2099-12-31"}).status_code == 303
    )
    assert "2099-12-31" in staff.get(page).text or "2100-01-01" in staff.get(page).text
    assert staff.post(f"{page}/link", data={"do": "revoke"}).status_code == 303
    second = link()
    assert first != second
    assert staff.get(first).status_code == 404
    assert staff.get(second).status_code == 200
    gone = staff.post(f"{page}/link", data={"do": "renew", "until": "2020-01-01"})
    assert gone.status_code == 422


def test_many_rooms_are_opened_together_with_a_result_for_each(database, home, by, staff):
    with database.organization(home.organization_id) as session:
        rooms = [add_vacant(session, home, f"05{n:02}") for n in range(12)]
        rows = [
            drafts.save(session, by, each.draft(f"户 {n}"), draft_id=None, now=NOW)
            for n, each in enumerate(rooms)
        ]
    batch = staff.post("/accounts/drafts/open", data={"draft": [str(row.id) for row in rows]})
    where = batch.headers["location"]
    # One of them is opened by somebody else before its turn comes.
    with database.organization(home.organization_id) as session:
        opening.open_account(session, by, rooms[3].draft("先到"), key=uuid4(), now=NOW)

    first = staff.post(where, headers={"HX-Request": "true"})
    assert 'hx-trigger="load"' in first.text  # ten of twelve: it goes on by itself
    last = staff.post(where, headers={"HX-Request": "true"})

    assert "hx-trigger" not in last.text
    with database.organization(home.organization_id) as session:
        found = bulk.progress(session, by, UUID(where.rsplit("/", 1)[1]))
    assert (found.done, found.refused, found.left) == (11, 1, 0)
    (refused,) = [each for each in found.openings if each.refused]
    assert refused.room == "0503"
    assert "先到" in str(refused.refused)
    assert "已开户" in staff.get(where).text


def workbook(*rows):
    book = openpyxl.Workbook()
    book.active.append([column.heading for column in sheet.COLUMNS])
    for row in rows:
        book.active.append([row.get(column.key) for column in sheet.COLUMNS])
    written = BytesIO()
    book.save(written)
    return written.getvalue()


def test_rooms_are_opened_from_excel_and_each_row_says_what_became_of_it(
    database, home, staff, room
):
    content = workbook(
        {
            "building": "A",
            "room": "0401",
            "holder": "李四",
            "power_read": "88.5",
            "water_old": "-8",
        },
        {"building": "A", "room": "0301", "holder": "王五"},
        {"building": "A", "room": "0999", "holder": "赵六"},
        {"building": "A", "room": "0401", "holder": ""},
    )
    sent = {"sheet": ("rooms.xlsx", content)}

    checked = staff.post("/accounts/import", data={"do": "check"}, files=sent)
    with database.organization(home.organization_id) as session:
        assert len(session.execute(select(Account)).all()) == 1  # nothing was opened by that
    done = staff.post("/accounts/import", data={"do": "open"}, files=sent)

    for page in (checked, done):
        text = " ".join(page.text.split())
        for said in ("A 0401 李四", "张三", "A 0999"):
            assert said in text, said
    with database.organization(home.organization_id) as session:
        assert set(session.execute(select(col(Account.holder))).scalars()) == {"张三", "李四"}
    assert staff.get("/accounts/import").content[:2] == b"PK"


def test_programs_open_and_close_accounts_by_the_api(staff, room, home):
    body = {
        "room_ids": [str(room.room_id)],
        "holder": {"name": "李四", "persons": [{"since": "2026-01-01", "persons": 3}]},
        "points": [
            {"point_id": str(room.electricity), "purpose": "electricity"},
            {"point_id": str(room.water), "purpose": "water"},
        ],
        "money": [{"purpose": "water", "topup_fen": 3000}],
    }
    draft = staff.post("/api/drafts", json=body)
    assert draft.status_code == 201
    assert staff.post("/api/drafts", json=body).status_code == 409
    opened = staff.post(f"/api/drafts/{draft.json()['id']}/open").json()
    assert {m["delivery"] for m in opened["meters"]} == {"waits"}
    account = f"/api/accounts/{opened['account_id']}"
    assert staff.post("/api/accounts", json=body).status_code == 409
    assert staff.post(f"/api/drafts/{draft.json()['id']}/open").status_code == 404
    assert staff.get("/api/accounts", params={"q": "0401"}).json()["found"] == 1
    said = {"since": "2026-02-01", "persons": 4}
    assert staff.post(f"{account}/household", json=said).json()["persons"][0] == said
    assert "url" in staff.post(f"{account}/link/revoke").json()
    closed = staff.post(f"{account}/close", json={"why": "搬走"}).json()
    assert closed["waits_for"] == ["0401 水", "0401 电"]
    assert staff.post(f"{account}/settle", json={"why": "x", "how": "cash"}).status_code == 409
    assert len(staff.get("/api/vacant").json()) == 2
    assert staff.post(f"/api/sites/{home.site_id}/vacant", json={"supply": "on"}).json() == {
        "points": 2
    }
    assert staff.post("/api/photos", files={"photo": ("x.txt", b"text")}).status_code == 422
    assert staff.get(f"/api/accounts/{home.site_id}").status_code == 404


def test_a_viewer_sees_accounts_and_changes_none(database, home, staff, room):
    with database.system() as session:
        user = session.get_one(User, home.user_id)
        user.roles = ["viewer"]
        session.add(user)
    assert staff.get("/accounts").status_code == 200
    assert staff.get(f"/accounts/{home.account_id}").status_code == 200
    for path in ("/accounts/new", f"/accounts/{home.account_id}/close", "/accounts/drafts"):
        assert staff.get(path).status_code == 403, path
    assert staff.post("/accounts/new", data=form_of(room)).status_code == 403
