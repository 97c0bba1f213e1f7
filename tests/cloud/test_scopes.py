"""A member of staff with a scope: what lies outside is on no page, and answered as if it did not exist."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from cloud import auth, tables
from cloud.services import estate
from cloud.web import COOKIE
from dashboards.manager.views import Board, _read
from prepaid.point import Policy
from tests.cloud.conftest import meter

pytestmark = pytest.mark.processes

ORIGIN = {"Origin": "http://cloud.test"}


@pytest.fixture
def beside(database, home) -> UUID:
    """Another building of the same site, with a room, a customer and a gateway of its own."""
    with database.system() as session:
        site = session.get_one(tables.Site, home.site_id)
        building = estate.add_building(session, site, "B")
        room = estate.add_room(session, building, "0999", 9)
        account = estate.open_account(session, room, "李四")
        estate.add_point(
            session,
            room=room,
            gateway=estate.add_gateway(session, site, "GW-beside"),
            purse=estate.add_purse(session, account, "electricity"),
            name="0999",
            commodity="electricity",
            meter=meter("beside", "000000000999"),
            tariff_code="power",
            policy=Policy(),
        )
        return building.id


@pytest.fixture
def watch(database, home, web):
    """Signs `web` in as an administrator of these buildings only."""

    def watch(*buildings: UUID) -> auth.SignedIn:
        with database.system() as session:
            name = f"u{uuid4().hex}"
            user = estate.add_user(session, home.organization_id, name, "correct horse", name)
            user.is_everywhere = False
            session.flush()
            for building in buildings:
                session.add(
                    tables.UserBuilding(
                        organization_id=home.organization_id,
                        user_id=user.id,
                        building_id=building,
                    )
                )
            token = auth.login(session, name, "correct horse", now=tables.utc_now())
            session.flush()
            web.cookies.set(COOKIE, token)
            return auth.of_user(session, user)

    return watch


def test_pages_show_the_own_building_only(web, home, beside, watch):
    watch(beside)

    assert [room["name"] for room in web.get("/api/rooms").json()] == ["0999"]
    board = web.get("/rooms").text
    assert ("0999" in board, "0301" in board) == (True, False)
    gateways = web.get("/gateways").text
    assert ("GW-beside" in gateways, "GW-home" in gateways) == (True, False)


def test_what_is_outside_is_answered_as_if_it_did_not_exist(database, web, home, beside, watch):
    watch(beside)
    room, point, gateway = home.room_id, home.electricity, home.gateway_id
    form = {"supply": "off", "lasts": "1", "why": "x", "confirmed": "yes"}
    pin = {"supply": "off", "until": "2099-01-01T00:00:00Z", "why": "x"}
    cash = {"purse_id": str(home.electricity_purse), "amount_fen": 100}

    answers = {
        "room": web.get(f"/rooms/{room}"),
        "stream": web.get(f"/rooms/{room}/stream"),
        "json": web.get(f"/api/rooms/{room}"),
        "cut": web.post(f"/rooms/{room}/points/{point}/override", data=form, headers=ORIGIN),
        "pin": web.put(f"/api/points/{point}/override", json=pin, headers=ORIGIN),
        "pinned": web.get(f"/api/points/{point}/override"),
        "taps": web.post(f"/api/points/{point}/taps-closed", headers=ORIGIN),
        "lend": web.post(f"/api/purses/{home.electricity_purse}/emergency", headers=ORIGIN),
        "cash": web.post(
            "/api/topups", json=cash | {"idempotency_key": str(uuid4())}, headers=ORIGIN
        ),
        "gateway": web.get(f"/gateways/{gateway}"),
        "token": web.post(f"/gateways/{gateway}/token", headers=ORIGIN),
        "revoke": web.post(f"/gateways/{gateway}/revoke", headers=ORIGIN),
        "brake": web.post(f"/api/gateways/{gateway}/brake/release", headers=ORIGIN),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        answers, 404
    )
    with database.system() as session:
        assert session.get_one(tables.Gateway, gateway).revoked_at is None


def test_nobody_without_a_scope_sees_anything(web, beside, watch):
    watch()
    assert web.get("/api/rooms").json() == []
    assert "GW-" not in web.get("/gateways").text


def test_an_open_board_is_told_of_the_own_building_only(database, home, beside, watch):
    from cloud.events import Change

    user = watch(beside)
    news = [Change(home.organization_id, room_id=home.room_id)]
    with database.organization(home.organization_id) as session:
        shown = _read(session, user, None, Board({}, {}, []))
        again = _read(session, user, news, shown)
    assert [card.name for card in again.cards.values()] == ["0999"]
