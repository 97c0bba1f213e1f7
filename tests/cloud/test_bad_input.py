"""What is wrong with a request is said with the field, in the asker's language, and changes nothing."""

from __future__ import annotations

from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import DataError

from cloud import auth
from cloud.app import create_app
from cloud.db import is_unkeepable
from cloud.intake import LONGEST, LONGEST_UPLOAD
from cloud.tables import utc_now
from cloud.web import COOKIE

pytestmark = pytest.mark.processes

HEADERS = {"Origin": "http://cloud.test"}
JSON = {"Content-Type": "application/json"}
ID = "6f1c2b1e-0d5a-4a36-9f0e-2c1f5f0b7a11"


@pytest.fixture(scope="module")
def home(office):
    return office.home


@pytest.fixture(scope="module")
def staff(office):
    """A client that is signed in; what it asks for changes nothing."""
    with office.database.system() as session:
        token = auth.login(session, "home", "correct horse", now=utc_now())
    office.web.cookies.set(COOKIE, str(token))
    office.web.headers.update(HEADERS)
    return office.web


@pytest.fixture
def cash(home):
    """What takes ¥20 of cash, but for what is given."""

    def cash(**changes: object) -> dict[str, object]:
        asked = {
            "purse_id": str(home.electricity_purse),
            "amount_fen": 2000,
            "idempotency_key": str(uuid4()),
        }
        return asked | changes

    return cash


@pytest.fixture
def nothing_changes(office):
    def written() -> list[int]:
        with office.database.system() as session:
            tables = ("topups", "transfers", "down_entries", "overrides", "users")
            return [
                session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
                for table in tables
            ]

    before = written()
    yield
    assert written() == before


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize(
    ("changes", "field", "english", "chinese"),
    [
        ({"amount_fen": "many"}, "amount_fen", "must be a whole number", "应为整数"),
        ({"amount_fen": 20.5}, "amount_fen", "must be a whole number", "应为整数"),
        ({"amount_fen": None}, "amount_fen", "must be a whole number", "应为整数"),
        (
            {"amount_fen": 10**30},
            "amount_fen",
            "An amount to top up is more than ¥0 and at most ¥10000.",
            "充值金额须大于 ¥0，且不超过 ¥10000。",
        ),
        ({"purse_id": "mine"}, "purse_id", f"must be an id, as in {ID}", f"应为编号，如 {ID}"),
        (
            {"idempotency_key": "a\x00b"},
            "idempotency_key",
            "holds a character that cannot be kept",
            "含有无法保存的字符",
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_it_must_be(staff, cash, changes, field, english, chinese):
    for language, said in (("en", english), ("zh-CN,zh;q=0.9", chinese)):
        answer = staff.post(
            "/api/topups", json=cash(**changes), headers={"Accept-Language": language}
        )
        assert answer.status_code == 422
        assert answer.json()["fields"] == [{"field": field, "message": said}]


@pytest.mark.usefixtures("nothing_changes")
def test_every_wrong_field_is_named_at_once(staff, home):
    answer = staff.post("/api/topups", json={"amount_fen": True})
    assert answer.json() == {
        "code": "BadInput",
        "message": "Something in this request is not as it should be, so nothing was done.",
        "fields": [
            {"field": "purse_id", "message": "is needed"},
            {"field": "amount_fen", "message": "must be a whole number"},
            {"field": "idempotency_key", "message": "is needed"},
        ],
    }


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "BadJson"),
        (b"", JSON, 422, "BadInput"),
        (b"\xff\xfe", JSON, 400, "BadJson"),
        (b"[" * 100_000, JSON, 400, "BadJson"),
        (b'{"amount_fen": ' + b"9" * 5000 + b"}", JSON, 400, "BadJson"),
        (b"[]", JSON, 422, "BadInput"),
        (b"amount_fen=2000", {"Content-Type": "text/plain"}, 415, "NotJson"),
        (b"amount_fen=2000", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "NotJson"),
        (b" " * (LONGEST + 1), JSON, 413, "TooLong"),
        (b'{"purse_id": "\\ud800"}', JSON, 422, "BadCharacter"),
        (b'{"\\u0000": 1}', JSON, 422, "BadCharacter"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_a_sentence(staff, body, headers, status, code):
    answer = staff.post("/api/topups", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"].endswith((".", "application/json."))


def test_a_body_that_comes_in_pieces_is_no_longer_than_one_that_says_its_length(staff):
    pieces = (b" " * 65_536 for _ in range(LONGEST // 65_536 + 1))
    assert staff.post("/api/topups", content=pieces, headers=JSON).status_code == 413


def test_a_form_with_files_may_be_longer_but_not_endless(staff):
    kind = {"Content-Type": "multipart/form-data; boundary=x"} | HEADERS
    longer = {"Content-Length": str(LONGEST_UPLOAD + 1)} | kind
    assert staff.post("/login", content=b"--x--", headers=longer).status_code == 413
    pieces = (b" " * 1_048_576 for _ in range(LONGEST_UPLOAD // 1_048_576 + 1))
    endless = staff.post("/login", content=pieces, headers=kind)
    assert endless.status_code == 413
    assert endless.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("emoji", ["\\ud83d\\udd0c", "🔌", "\\\\u0000 is written so"])
def test_a_character_of_any_plane_can_be_kept(staff, home, emoji):
    point = f"/api/points/{home.electricity}/override"
    said = f'"{emoji}"'
    body = f'{{"supply": "on", "until": "2999-01-01T00:00:00Z", "why": {said}}}'
    answer = staff.put(point, content=body.encode(), headers=JSON)
    assert answer.json()["fields"][0]["field"] == "until"  # and nothing is said of the reason


def test_an_unknown_address_or_method_is_said_in_our_own_shape(staff):
    unknown = staff.get("/api/nowhere", headers={"Accept-Language": "zh"})
    assert unknown.status_code == 404
    assert unknown.json() == {"code": "NoSuchPage", "message": "这个地址没有内容。", "fields": []}
    method = staff.delete("/api/rooms")
    assert (method.status_code, method.headers["allow"]) == (405, "GET")
    assert method.json()["message"] == "This address does not take DELETE."


def test_a_field_of_a_page_is_told_beside_it(staff, home):
    page = staff.post(
        f"/rooms/{home.room_id}/points/{home.electricity}/override",
        data={"supply": "off", "lasts": "4", "why": " "},
        headers={"Accept-Language": "en"},
    )
    assert page.status_code == 422
    assert 'aria-describedby="fault-why"' in page.text
    assert "Please give the reason, in up to 200 characters." in page.text


@pytest.mark.usefixtures("nothing_changes")
def test_what_no_browser_sends_from_a_form_is_a_page_that_names_the_field(staff, home):
    page = staff.post(
        f"/rooms/{home.room_id}/points/{home.electricity}/override/end",
        data={"override_id": "1"},
        headers={"Accept-Language": "zh"},
    )
    assert page.status_code == 422
    assert page.headers["content-type"].startswith("text/html")
    assert "<b>override_id</b> 应为编号" in page.text
    nul = staff.post("/login", data={"login": "a\x00", "password": "x"})
    assert nul.status_code == 422
    assert staff.get("/rooms?q=%00").status_code == 422
    assert staff.get("/api/rooms/%00").status_code == 422


def test_a_value_that_only_the_database_refuses_is_the_askers_and_a_wrong_query_is_ours(office):
    database = office.database
    with pytest.raises(DataError) as large, database.system() as session:
        session.execute(text("SELECT CAST(:n AS bigint)"), {"n": 2**64})
    assert is_unkeepable(large.value)
    with pytest.raises(DataError) as nul, database.system() as session:
        session.execute(text("SELECT CAST(:t AS text)"), {"t": "\x00"})
    assert is_unkeepable(nul.value)
    with pytest.raises(DataError) as mistake, database.system() as session:
        session.execute(text("SELECT 1 / CAST(:n AS int)"), {"n": 0})
    assert not is_unkeepable(mistake.value)


def test_a_mistake_of_the_program_is_told_without_its_inside(office):
    app = create_app(office.settings)

    @app.get("/api/broken")
    def broken() -> None:
        raise RuntimeError("the password is 1234")

    with TestClient(app, raise_server_exceptions=False) as web:
        answer = web.get("/api/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "OurFault")
    assert "1234" not in answer.text
