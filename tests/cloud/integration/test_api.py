"""What a property company's other programs do by the API: set up an estate, and fetch the books."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text

from cloud import tables
from cloud.auth import EVERYWHERE, Scope, of_user
from cloud.permissions import Role
from cloud.services.integration import keys
from cloud.services.people import users
from cloud.tables import utc_now

pytestmark = pytest.mark.processes


class Program:
    """A program of somebody else's, with a key of these roles."""

    def __init__(self, office, *roles: Role, scope: Scope = EVERYWHERE) -> None:
        self._web = office.web
        with office.database.organization(office.home.organization_id) as session:
            boss = of_user(session, session.get_one(tables.User, office.home.user_id))
            key = keys.make(
                session,
                name=f"program {uuid4().hex[:6]}",
                roles=roles,
                scope=scope,
                days=None,
                per_minute=6000,
                by=boss,
                now=utc_now(),
            )
        self._headers = {"Authorization": f"Bearer {key}", "Accept-Language": "en"}

    def ask(self, method: str, path: str, status: int = 200, **given):
        answer = self._web.request(method, f"/api{path}", headers=self._headers, **given)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, **query):
        return self.ask("GET", path, params=query)

    def post(self, path: str, body=None, status: int = 201):
        return self.ask("POST", path, status, json=body)


@pytest.fixture(scope="module")
def engineer(office) -> Program:
    return Program(office, Role.ENGINEER, Role.OPERATOR)


@pytest.fixture(scope="module")
def auditor(office) -> Program:
    return Program(office, Role.AUDITOR)


@pytest.fixture(scope="module")
def building(engineer) -> dict:
    """A site of its own, with a building."""
    site = engineer.post("/sites", {"name": "新区"})
    return engineer.post(f"/sites/{site['id']}/buildings", {"name": "7 号楼"}) | {"site": site}


def test_a_program_sets_up_an_estate_to_its_meters(engineer, building):
    by_rule = {"floors": "1-2", "rooms": "1-3"}
    planned = engineer.post(
        f"/buildings/{building['id']}/rooms/by-rule", by_rule | {"only_plan": True}, 200
    )
    assert [each["name"] for each in planned][:4] == ["0101", "0102", "0103", "0201"]
    at = f"/buildings/{building['id']}/rooms"
    assert engineer.get(at) == {"rooms": [], "next": None}
    engineer.post(f"{at}/by-rule", by_rule, 200)
    # Six rooms, from the top down, four on a page.
    page = engineer.get(at, most=4)
    rest = engineer.get(at, most=4, after=page["next"])
    rooms = page["rooms"] + rest["rooms"]
    assert [r["name"] for r in rooms] == ["0201", "0202", "0203", "0101", "0102", "0103"]
    assert (len(page["rooms"]), rest["next"]) == (4, None)
    elsewhere = engineer.post(f"/sites/{building['site']['id']}/buildings", {"name": "8 号楼"})
    at = f"/buildings/{elsewhere['id']}/rooms"
    assert engineer.get(at, after=rooms[0]["id"]) == {"rooms": [], "next": None}

    number = f"GW-{uuid4().hex[:8]}"
    gateway = engineer.post(
        "/gateways", {"site_id": building["site"]["id"], "gateway_no": number, "place": "弱电间"}
    )
    lined = engineer.post(f"/gateways/{gateway['id']}/lines", {"name": "L2", "note": "地下"})
    assert [(line["name"], line["meters"]) for line in lined["lines"]] == [("L2", 0)]
    token = engineer.post(f"/gateways/{gateway['id']}/token")
    assert len(token["token"]) > 20
    meters = [
        engineer.post(
            "/points",
            {
                "room_id": room["id"],
                "gateway_id": gateway["id"],
                "name": f"{room['name']} 电",
                "tariff_code": "power",
                "meter": {
                    "model": "dlt645-2007-1p",
                    "meter_no": f"{uuid4().int % 10**12:012}",
                    "line": "L1",
                },
            },
        )
        for room in rooms[:3]
    ]
    assert {each["purse_id"] for each in meters} == {None}  # nobody has these rooms yet

    # Of the three meters two are on the first page, one on the second; and the same once more in one.
    first = engineer.get("/meters", q=number, most=2)
    second = engineer.get("/meters", q=number, most=2, after=first["next"])
    assert (len(first["meters"]), len(second["meters"]), second["next"]) == (2, 1, None)
    assert first["meters"] + second["meters"] == engineer.get("/meters", q=number)["meters"]
    engineer.ask("POST", f"/points/{meters[0]['id']}/read", 204)
    refused = engineer.post(f"/gateways/{gateway['id']}/end", status=409)
    assert refused["code"] == "StillServes"


def test_a_meter_is_changed_with_the_photo_of_its_register(engineer, building):
    room = engineer.post(f"/buildings/{building['id']}/rooms", {"name": "0301", "floor": 3})
    gateway = engineer.post(
        "/gateways", {"site_id": building["site"]["id"], "gateway_no": f"GW-{uuid4().hex[:8]}"}
    )
    device = {"model": "dlt645-2007-1p", "line": "L1"}
    old, new = (f"{uuid4().int % 10**12:012}" for _ in range(2))
    point = engineer.post(
        "/points",
        {
            "room_id": room["id"],
            "gateway_id": gateway["id"],
            "name": "0301 电",
            "tariff_code": "power",
            "meter": device | {"meter_no": old},
            "opening": "3.20",
        },
    )
    photo = engineer.ask(
        "POST",
        f"/points/{point['id']}/photos",
        201,
        files={"photo": ("a.jpg", b"\xff\xd8\xff" + bytes(20), "image/jpeg")},
    )
    at = utc_now().isoformat()
    changed = engineer.post(
        f"/points/{point['id']}/meter",
        {
            "meter": device | {"meter_no": new},
            "closing": "17.40",
            "closed_at": at,
            "opening": "0.00",
            "opened_at": at,
            "closing_photo_id": photo["id"],
            "why": "到期轮换",
        },
    )
    assert (changed["kind"], changed["taken_at"]) == ("meter-changed", None)
    mounted = engineer.get(f"/points/{point['id']}")["mountings"]
    assert [(each["meter_no"], each["opening"], each["closing"]) for each in mounted] == [
        (new, "0.00", None),
        (old, "3.20", "17.40"),
    ]
    nobody = engineer.ask("POST", f"/points/{point['id']}/disputes", 409, json={"why": "偏大"})
    assert nobody["code"] == "NothingCharged"


def test_a_place_is_named_otherwise_and_ended_and_one_that_never_had_anything_is_gone(
    engineer, building
):
    room = engineer.post(f"/buildings/{building['id']}/rooms", {"name": "0901", "floor": 9})
    named = engineer.ask("PATCH", f"/rooms/{room['id']}", json={"name": "0901A"})
    assert named["name"] == "0901A"
    assert engineer.ask("PATCH", f"/rooms/{room['id']}", json={"ended": True})["is_deleted"]
    engineer.ask("PATCH", f"/rooms/{room['id']}", 404, json={"name": "0901B"})
    site = building["site"]["id"]
    refused = engineer.ask("PATCH", f"/sites/{site}", 409, json={"ended": True})
    assert refused["code"] == "StillInUse"


def test_the_books_are_fetched_page_by_page_and_add_up(office, auditor):
    cashier = Program(office, Role.CASHIER)
    purse = office.home.electricity_purse
    for fen in (5000, 700, 30):
        body = {"purse_id": str(purse), "amount_fen": fen, "idempotency_key": str(uuid4())}
        cashier.post("/topups", body, 200)
    days = {"since": "2026-01-01", "until": "2027-01-31"}

    statement = auditor.get(f"/purses/{purse}/statement", **days)
    assert [line["amount_fen"] for line in statement["lines"]] == [5000, 700, 30]
    assert statement["closing_fen"] == 5730
    first = auditor.get("/books/journal", **days, most=2)
    second = auditor.get("/books/journal", **days, most=2, after=first["next"])
    booked = first["transfers"] + second["transfers"]
    assert sum(each["amount_fen"] for each in booked) == 5730
    assert len({each["id"] for each in booked}) == 3
    assert second["next"] is None
    balance = auditor.get("/books/trial-balance", **days)
    assert balance["is_balanced"]
    assert {row["item"]: row["closing_fen"] for row in balance["rows"]} == {
        "Assets:Clearing:cash": -5730,
        "Liabilities:Prepaid": 5730,
    }
    refused = auditor.ask("GET", "/books/journal", 422, params={**days, "until": "2025-01-01"})
    assert refused["fields"][0]["field"] == "until"


def test_a_cashier_sees_his_own_shifts_and_an_auditor_everybodys(office, auditor):
    with office.database.organization(office.home.organization_id) as session:
        for ago in range(3):
            session.execute(
                text(
                    "INSERT INTO shifts (organization_id, id, created_at, user_id, float_fen, closed_at, counted_fen,"
                    " expected_fen, handed_to, note) VALUES (:organization, :id, now() - make_interval(days => :ago),"
                    " :user, 20000, now(), 20000, 20000, '', '')"
                ),
                {
                    "organization": office.home.organization_id,
                    "id": uuid4(),
                    "user": office.home.user_id,
                    "ago": ago,
                },
            )
    first = auditor.get("/shifts", most=2)
    rest = auditor.get("/shifts", most=2, after=first["next"])
    assert [len(first["shifts"]), len(rest["shifts"]), rest["next"]] == [2, 1, None]
    one = auditor.get(f"/shifts/{first['shifts'][0]['id']}")
    assert (one["expected_fen"], one["difference_fen"]) == (20000, 0)
    cashier = Program(office, Role.CASHIER)
    assert cashier.get("/shifts")["shifts"] == []
    cashier.ask("GET", f"/shifts/{one['id']}", 404)


def test_staff_are_told_of_without_secrets_and_programs_are_not_among_them(office, auditor):
    listed = auditor.get("/users")
    assert [(each["login"], each["roles"]) for each in listed] == [("home", ["administrator"])]
    assert not [name for name in listed[0] if "password" in name or "hash" in name]
    roles = {each["role"]: each["permissions"] for each in auditor.get("/roles")}
    assert "see-books" in roles["auditor"]
    assert "approve" not in roles["auditor"]
    # An administrator's page shows no program among the staff either, and manages none as a person.
    with office.database.organization(office.home.organization_id) as session:
        boss = of_user(session, session.get_one(tables.User, office.home.user_id))
        assert [person.login for person in users.listed(session, boss)] == ["home"]
        program = session.execute(text("SELECT user_id FROM api_keys LIMIT 1")).scalar_one()
        with pytest.raises(users.NoSuchUser):
            users.one(session, boss, program)
    auditor.ask("POST", f"/users/{office.home.user_id}/end", 403)


def test_the_audit_log_is_fetched_page_by_page_and_only_by_who_sees_everything(office, auditor):
    first = auditor.get("/audit", act="make-api-key", most=1)
    second = auditor.get("/audit", act="make-api-key", most=1, after=first["next"])
    assert second["entries"][0]["number"] < first["entries"][0]["number"]
    assert len(bytes.fromhex(first["entries"][0]["hash"])) == 32
    here = Scope(is_everywhere=False, sites=frozenset({office.home.site_id}))
    local = Program(office, Role.AUDITOR, scope=here)
    local.ask("GET", "/audit", 403)
    local.ask(
        "GET", "/books/trial-balance", 403, params={"since": "2026-01-01", "until": "2026-01-31"}
    )
    assert local.get("/shifts")["shifts"] == []


def test_a_program_proposes_and_sees_what_waits_and_decides_nothing(office, auditor):
    with office.database.organization(office.home.organization_id) as session:
        session.execute(
            text(
                "INSERT INTO approvals (organization_id, id, created_at, kind, subject, detail, why, proposed_by)"
                " VALUES (:organization, :id, now(), 'bulk-cut', :id, '{}', '检修', :user)"
            ),
            {
                "organization": office.home.organization_id,
                "id": uuid4(),
                "user": office.home.user_id,
            },
        )
    (waiting,) = auditor.get("/approvals")["approvals"]
    assert (waiting["why"], waiting["proposed_by"]) == ("检修", "home")
    assert auditor.get("/approvals", is_open=False)["approvals"] == []
    auditor.ask("POST", f"/approvals/{waiting['id']}/decide", 403, json={"approved": True})
    mine = auditor.ask("POST", f"/approvals/{waiting['id']}/withdraw", 403)
    assert mine["code"] == "NotYours"
