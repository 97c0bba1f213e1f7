"""API keys: what a program may ask by one, how often, and until when."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from cloud import auth, tables
from cloud.auth import EVERYWHERE, Scope, SignedIn
from cloud.permissions import Role
from cloud.services import estate, scopes
from cloud.services.integration import keys
from cloud.tables import utc_now

pytestmark = pytest.mark.processes


@pytest.fixture
def by(home) -> SignedIn:
    roles = frozenset({Role.ADMINISTRATOR})
    return SignedIn(home.user_id, home.organization_id, "home", "home", roles)


@pytest.fixture
def make(database, by):
    """A key of a viewer who sees everything, but for what is given."""

    def make(**changes: object) -> str:
        values = {
            "name": "campus app",
            "roles": {Role.VIEWER},
            "scope": EVERYWHERE,
            "days": 90,
            "per_minute": 600,
            "by": by,
            "now": utc_now(),
        }
        with database.organization(by.organization_id) as session:
            return keys.make(session, **values | changes)

    return make


@pytest.fixture
def ask(web):
    """Asks by a key; no cookie and no Origin are sent."""

    def ask(key: str, method: str = "GET", path: str = "/api/rooms", **more: object):
        headers = {"Authorization": f"Bearer {key}".encode()} | more.pop("headers", {})
        return web.request(method, path, headers=headers, **more)

    return ask


def cards(database, by, after=timedelta(0)):
    with database.organization(by.organization_id) as session:
        return keys.of_organization(session, by, now=utc_now() + after)


def test_a_key_is_shown_once_and_kept_as_its_hash(database, by, make):
    key = make()
    assert re.fullmatch(r"ww_[a-z2-7]{8}_[A-Za-z0-9_-]{43}", key)
    (card,) = cards(database, by)
    assert key.startswith(card.prefix)
    assert (card.name, card.roles, card.made_by, card.places) == (
        "campus app",
        (Role.VIEWER,),
        "home",
        (),
    )
    with database.system() as session:
        kept = str(session.execute(text("SELECT to_jsonb(k) FROM api_keys k")).scalars().all())
        audited = str(
            session.execute(
                text("SELECT act, after FROM audit_entries WHERE act = 'make-api-key'")
            ).all()
        )
    secret = key.removeprefix(card.prefix)
    assert secret not in kept
    assert secret not in audited
    assert card.prefix in audited


def test_a_program_asks_by_its_key_for_what_its_roles_allow(make, ask, home):
    viewer, cashier = make(), make(roles={Role.CASHIER})
    cash = {
        "purse_id": str(home.electricity_purse),
        "amount_fen": 2000,
        "idempotency_key": str(uuid4()),
    }
    assert [room["name"] for room in ask(viewer).json()] == ["0301"]
    assert ask(viewer, "POST", "/api/topups", json=cash).status_code == 403
    taken = ask(cashier, "POST", "/api/topups", json=cash)
    assert taken.status_code == 200
    assert taken.json()["credited_at"] is not None


def test_what_a_program_does_is_written_down_as_its_own(make, ask, home, database):
    ask(
        make(roles={Role.OPERATOR}),
        "PUT",
        f"/api/points/{home.electricity}/override",
        json={
            "supply": "on",
            "until": (utc_now() + timedelta(hours=1)).isoformat(),
            "why": "exam week",
        },
    )
    with database.system() as session:
        override = session.execute(select(tables.Override)).scalar_one()
        assert session.get_one(tables.User, override.pinned_by).name == "campus app"


def test_a_program_has_the_scope_of_its_key(database, make, home, by):
    with database.system() as session:
        site = session.get_one(tables.Site, home.site_id)
        beside = estate.add_building(session, site, "B").id
    building = Scope(is_everywhere=False, buildings=frozenset({beside}))
    whole = Scope(is_everywhere=False, sites=frozenset({home.site_id}))
    for scope in (building, whole, EVERYWHERE):
        key = make(scope=scope)
        with database.system() as session:
            asking = keys.asking(session, key, address="", now=utc_now())
        assert asking.user.scope == scope
    shown = {card.places for card in cards(database, by)}
    assert shown == {("home",), ("home B",), ()}


def test_no_key_reaches_into_another_organization(database, build, make, ask):
    theirs = build("theirs")
    for scope in (
        Scope(is_everywhere=False, sites=frozenset({theirs.site_id})),
        Scope(is_everywhere=False),
    ):
        with pytest.raises(scopes.NoSuchSite):
            make(scope=scope)
    assert ask(make(), path=f"/api/rooms/{theirs.room_id}").status_code == 404


def test_an_unknown_expired_or_revoked_key_opens_nothing_and_all_are_answered_alike(
    database, by, make, ask
):
    revoked, expired = make(), make(now=utc_now() - timedelta(days=91))
    assert ask(revoked).status_code == 200
    (card,) = [card for card in cards(database, by) if revoked.startswith(card.prefix)]
    for _ in range(2):
        with database.organization(by.organization_id) as session:
            keys.revoke(session, card.key_id, by=by, now=utc_now())
    wrong = [revoked, expired, "", "ww_aaaaaaaa_" + "x" * 43, make()[:-1] + "!", "é"]
    answers = [ask(key) for key in wrong]
    assert {(a.status_code, a.json()["code"]) for a in answers} == {(401, "BadKey")}
    assert answers[0].headers["www-authenticate"] == "Bearer"
    used = [card for card in cards(database, by) if card.last_used_at is not None]
    assert [card.key_id for card in used] == [card.key_id]
    assert [card.is_over for card in cards(database, by)] == [False, True, True]


def test_a_key_is_no_cookie_and_a_cookie_does_not_help_a_wrong_key(database, make, ask, web):
    key = make()
    assert ask(key, path="/rooms").status_code == 303  # to sign in: pages are for people
    with database.system() as session:
        token = auth.login(session, "home", "correct horse", now=utc_now())
    cookie = {"Cookie": f"wattwell_session={token}"}
    assert ask("wrong", headers=cookie).status_code == 401
    basic = web.get("/api/rooms", headers={"Authorization": "Basic x", **cookie})
    assert basic.status_code == 401
    # Nor does a key's presence let a foreign page use the cookie.
    assert ask("wrong", "POST", "/api/topups", headers=cookie, json={}).status_code == 401


def test_nobody_signs_in_as_the_user_of_a_key(database, make, by):
    make()
    (card,) = cards(database, by)
    with database.system() as session:
        assert auth.login(session, card.prefix, "", now=utc_now()) is None


def test_a_key_asks_no_more_often_than_it_may_and_is_told_when_again(make, ask):
    slow, other = make(per_minute=3), make()
    assert [ask(slow).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = ask(slow)
    assert refused.json()["code"] == "TooManyOfKey"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert ask(other).status_code == 200


def test_a_key_that_cannot_be_is_refused_with_its_field(make):
    for changes, error in (
        ({"name": " "}, keys.BadKeyName),
        ({"name": "x" * 61}, keys.BadKeyName),
        ({"roles": set()}, keys.NoRoles),
        ({"roles": {Role.ADMINISTRATOR}}, keys.NoRoles),
        ({"roles": {Role.VIEWER, Role.APPROVER}}, keys.NoRoles),
        ({"days": 0}, keys.BadDays),
        ({"per_minute": 0}, keys.BadRate),
    ):
        with pytest.raises(error) as refused:
            make(**changes)
        assert refused.value.field == next(iter(changes))


def test_a_key_of_another_organization_is_not_there_to_be_revoked(database, build, make, by):
    make()
    (card,) = cards(database, by)
    theirs = build("theirs")
    stranger = SignedIn(theirs.user_id, theirs.organization_id, "x", "x")
    for key_id in (card.key_id, UUID(int=0)):
        with (
            database.organization(theirs.organization_id) as session,
            pytest.raises(keys.NoSuchKey),
        ):
            keys.revoke(session, key_id, by=stranger, now=utc_now())
    assert not cards(database, by)[0].is_over
