"""Who may what, on every route; and what of an organization somebody sees."""

from __future__ import annotations

from uuid import uuid4

import pytest
from fastapi.routing import APIRoute

from cloud import auth, tables
from cloud.app import create_app
from cloud.auth import Scope, SignedIn
from cloud.permissions import ALLOWED, MOVES_MONEY, Permission, Role
from cloud.services import estate, scopes
from cloud.web import COOKIE

pytestmark = pytest.mark.processes

OPEN = (
    ("/api/health", "nobody is signed in where it is asked"),
    ("/health/", "nobody is signed in where it is asked"),
    ("/api/channels/{channel}/notify", "signed by the payment channel"),
    ("/api/notices/", "signed by the company that sends messages"),
    ("/api/docs", "describes the API"),
    ("/api/enrol", "gateways, by a token"),
    ("/api/notices/{provider}", "signed by the provider of messages"),
    ("/api/gateways/challenge", "gateways"),
    ("/api/gateways/renew", "gateways, by their key"),
    ("/t/", "tenants, by their link"),
    ("/setup/begin/", "an installation without staff, by its one-time token"),
    ("/login", "to sign in"),
    ("/login/", "the code of the second factor"),
    ("/password/", "to set a password, by the secret in the link"),
    ("/logout", "to sign out"),
    ("/language", "a choice in a cookie"),
    ("/static/", "style sheets and scripts"),
    ("/", "leads to /rooms"),
)
"""Where no member of staff is asked for, and why. Every other route declares a permission."""


def permission_of(route: APIRoute) -> Permission | None:
    """The one that web.allowed(...) was given, in the route's dependencies and in theirs."""
    asked = list(route.dependant.dependencies)
    for each in asked:
        asked += each.dependencies
    found = [each.call.permission for each in asked if hasattr(each.call, "permission")]
    assert len(found) < 2, f"{route.path} declares two"
    return found[0] if found else None


def is_open(path: str) -> bool:
    return any(
        path == known or (known.endswith("/") != (known == "/") and path.startswith(known))
        for known, _ in OPEN
    )


def routes_of(routes):
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from routes_of(route.original_router.routes)


def test_every_route_of_staff_declares_a_permission(settings):
    routes = list(routes_of(create_app(settings).routes))

    undeclared = [r.path for r in routes if permission_of(r) is None and not is_open(r.path)]

    assert undeclared == []
    assert len([r for r in routes if permission_of(r)]) > 20  # the walk has found them


def test_the_administrator_may_everything_and_everybody_sees_to_his_own_account():
    assert ALLOWED[Role.ADMINISTRATOR] == frozenset(Permission)
    for role in Role:
        assert {Permission.OWN_ACCOUNT, Permission.SEE_ROOMS} <= ALLOWED[role]


def test_a_viewer_and_an_auditor_move_no_money_and_switch_nothing():
    for role in (Role.VIEWER, Role.AUDITOR):
        assert not ALLOWED[role] & (MOVES_MONEY | {Permission.SWITCH_SUPPLY, Permission.CUT_MANY})


@pytest.fixture
def signed_in_as(database, home, web):
    """A new member of staff with these roles, whose browser `web` is."""

    def signed_in_as(*roles: Role) -> None:
        with database.system() as session:
            name = f"u{uuid4().hex}"
            user = estate.add_user(session, home.organization_id, name, "correct horse", name)
            user.roles = [role.value for role in roles]
            session.flush()
            token = auth.login(session, name, "correct horse", now=tables.utc_now())
        web.cookies.set(COOKIE, token)

    return signed_in_as


def test_what_the_roles_do_not_allow_is_refused_with_a_sentence(web, home, signed_in_as):
    signed_in_as(Role.VIEWER)
    headers = {"Origin": "http://cloud.test"}

    page = web.post(f"/gateways/{home.gateway_id}/token", headers=headers)
    api = web.post(
        "/api/topups",
        headers=headers,
        json={
            "purse_id": str(home.water_purse),
            "amount_fen": 100,
            "idempotency_key": str(uuid4()),
        },
    )

    assert (page.status_code, api.status_code) == (403, 403)
    assert "不在您的角色权限之内" in page.text
    assert api.json()["code"] == "NotAllowed"
    assert web.get("/rooms").status_code == 200


def test_the_menu_shows_what_one_may_open(web, signed_in_as):
    signed_in_as(Role.CASHIER)
    assert 'href="/alarms"' in web.get("/rooms").text
    assert 'href="/gateways"' not in web.get("/rooms").text
    signed_in_as(Role.ENGINEER)
    assert 'href="/gateways" aria-current="page"' in web.get("/gateways").text


def somebody(home, scope: Scope) -> SignedIn:
    return SignedIn(home.user_id, home.organization_id, "x", "x", frozenset(), scope)


CHECKS = {
    "site_id": scopes.check_site,
    "room_id": scopes.check_room,
    "account_id": scopes.check_account,
    "gateway_id": scopes.check_gateway,
    "water_purse": scopes.check_purse,
    "electricity": scopes.check_point,
}


NOT_THERE = (
    scopes.NoSuchSite,
    scopes.NoSuchRoom,
    scopes.NoSuchAccount,
    scopes.NoSuchGateway,
    scopes.NoSuchPurse,
    scopes.NoSuchPoint,
)


def seen(session, user: SignedIn, home) -> set[str]:
    found = set()
    for name, check in CHECKS.items():
        try:
            check(session, user, getattr(home, name))
        except NOT_THERE:
            continue
        found.add(name)
    return found


def test_a_scope_shows_what_is_in_its_sites_and_buildings(database, home, build):
    other = build("other")
    with database.system() as session:
        building = session.get_one(tables.Room, home.room_id).building_id
        nothing = Scope(is_everywhere=False)
        site = Scope(is_everywhere=False, sites=frozenset({home.site_id}))
        house = Scope(is_everywhere=False, buildings=frozenset({building}))

        assert seen(session, somebody(home, auth.EVERYWHERE), home) == set(CHECKS)
        assert seen(session, somebody(home, site), home) == set(CHECKS)
        assert seen(session, somebody(home, house), home) == set(CHECKS)
        assert seen(session, somebody(home, nothing), home) == set()
        assert seen(session, somebody(other, auth.EVERYWHERE), home) == set()


def test_whoever_sees_a_building_sees_nothing_of_the_one_beside_it(database, home):
    with database.system() as session:
        site = session.get_one(tables.Site, home.site_id)
        beside = estate.add_building(session, site, "B")
        user = somebody(home, Scope(is_everywhere=False, buildings=frozenset({beside.id})))

        assert scopes.check_building(session, user, beside.id).name == "B"
        assert seen(session, user, home) == {"site_id"}  # it has a name, that is all
        with pytest.raises(scopes.NoSuchSite):
            scopes.check_site(session, user, home.site_id, whole=True)


def test_a_gateway_of_two_buildings_is_changed_by_those_who_see_both(database, home):
    with database.system() as session:
        site = session.get_one(tables.Site, home.site_id)
        room = estate.add_room(session, estate.add_building(session, site, "B"), "1", 1)
        account = estate.open_account(session, room, "李四")
        purse = estate.add_purse(session, account, "electricity")
        point = session.get_one(tables.ServicePoint, home.electricity)
        session.add(
            tables.ServicePoint(
                **point.model_dump(exclude={"id"})
                | {"room_id": room.id, "purse_id": purse.id, "meter_no": "B-1", "address": "9"}
            )
        )
        session.flush()
        house = Scope(is_everywhere=False, buildings=frozenset({room.building_id}))
        both = Scope(is_everywhere=False, sites=frozenset({site.id}))

        scopes.check_gateway(session, somebody(home, house), home.gateway_id)
        scopes.check_gateway(session, somebody(home, both), home.gateway_id, whole=True)
        with pytest.raises(scopes.NoSuchGateway):
            scopes.check_gateway(session, somebody(home, house), home.gateway_id, whole=True)
