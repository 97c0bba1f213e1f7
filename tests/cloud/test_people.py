"""Staff: added without a password, changed, ended; their links, second factors, sessions and limits."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pyotp
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from cloud import auth, tables
from cloud.auth import EVERYWHERE, Scope, SignedIn
from cloud.permissions import Role
from cloud.services import topups
from cloud.services.people import limits, passwords, second_factor, users
from cloud.services.people.users import Work
from cloud.tables import utc_now
from prepaid.money import Money
from tests.cloud.conftest import NOON

pytestmark = pytest.mark.processes

ORIGIN = {"Origin": "http://cloud.test"}
PASSWORD = "a sentence is good"
STEP = timedelta(seconds=30)


@pytest.fixture
def boss(home) -> SignedIn:
    roles = frozenset({Role.ADMINISTRATOR})
    return SignedIn(home.user_id, home.organization_id, "home", "home", roles)


def work(*roles: Role, scope: Scope = EVERYWHERE, name: str = "小李", **limit: Money) -> Work:
    return Work(name, frozenset(roles), scope, limit.get("most_topup"), limit.get("most_a_day"))


@pytest.fixture
def add(database, boss):
    def add(login: str, asked: Work, by: SignedIn = boss):
        with database.system() as session:
            return users.add(session, by, login, asked, now=NOON)

    return add


@pytest.fixture
def person(database, home, add):
    """Adds somebody who has set his password; he, as one who asks."""

    def person(login: str, asked: Work) -> SignedIn:
        id, secret = add(login, asked)
        with database.system() as session:
            passwords.set_by_link(session, secret, PASSWORD, now=NOON)
        with database.system() as session:
            return auth.of_user(session, session.get_one(tables.User, id))

    return person


def sign_in(web: TestClient, login: str, password: str = PASSWORD):
    return web.post("/login", data={"login": login, "password": password}, headers=ORIGIN)


def test_somebody_is_added_on_the_page_and_sets_the_password_by_a_link_that_serves_once(web):
    sign_in(web, "home", "correct horse")
    form = {"name": "小李", "login": "li", "role": ["cashier"], "sees": "everything"}
    added = web.post("/people/new", data=form, headers=ORIGIN)
    link = re.search(r"http://cloud\.test(/password/[\w-]+)", added.text)[1]
    assert "小李" in web.get("/people").text
    web.cookies.clear()

    assert "小李" in web.get(link).text
    new = {"password": PASSWORD, "again": PASSWORD}
    differs = web.post(link, data=new | {"again": "x"}, headers=ORIGIN)
    short = web.post(link, data={"password": "short", "again": "short"}, headers=ORIGIN)
    done = web.post(link, data=new, headers=ORIGIN)

    assert (differs.status_code, short.status_code, done.status_code) == (422, 422, 303)
    assert web.get("/rooms").status_code == 200  # signed in
    assert web.get("/people").status_code == 403  # as a cashier
    assert web.post(link, data=new, headers=ORIGIN).status_code == 404
    web.cookies.clear()
    assert sign_in(web, "li").headers["location"] == "/rooms"


def test_by_the_api_somebody_is_added_by_a_link_and_given_other_roles_and_another_scope(
    database, web, home
):
    sign_in(web, "home", "correct horse")

    def ask(method: str, path: str, status: int, body: dict[str, object] | None = None):
        headers = ORIGIN | {"Accept-Language": "en"}
        answer = web.request(method, f"/api/users{path}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    everywhere = {"is_everywhere": True}
    new = {"login": "li", "name": "小李", "roles": ["cashier"], "scope": everywhere}
    added = ask("POST", "", 201, new | {"most_topup_fen": 50_000})
    at = f"/{added['user_id']}"
    again = ask("POST", "", 409, new)
    assert [each["field"] for each in again["fields"]] == ["login"]
    nothing = {"is_everywhere": False, "sites": [], "buildings": []}
    assert ask("PATCH", at, 422, {"scope": nothing})["code"] == "NoScope"
    assert ask("PATCH", at, 422, {"roles": []})["code"] == "BadInput"
    assert ask("PATCH", at, 404, {"scope": nothing | {"sites": [str(uuid4())]}})

    here = nothing | {"sites": [str(home.site_id)]}
    changed = ask("PATCH", at, 200, {"roles": ["viewer", "cashier"], "scope": here})
    assert (changed["roles"], changed["scope"]) == (["viewer", "cashier"], here)
    assert (changed["name"], changed["most_topup_fen"]) == ("小李", 50_000)
    assert ask("PATCH", at, 200, {"most_topup_fen": None})["most_topup_fen"] is None
    anew = ask("POST", f"{at}/link", 201)
    last = ask("PATCH", f"/{home.user_id}", 409, {"roles": ["viewer"]})
    assert last["code"] == "LastAdministrator"

    new = {"password": PASSWORD, "again": PASSWORD}
    paths = [each["url"].removeprefix("http://cloud.test") for each in (added, anew)]
    assert [web.post(path, data=new, headers=ORIGIN).status_code for path in paths] == [404, 303]
    assert ask("POST", "", 403, {"login": "a", "name": "a", "roles": ["viewer"], "scope": here})
    with database.system() as session:
        acts = session.execute(
            select(tables.AuditEntry.act)
            .where(tables.AuditEntry.subject_id == added["user_id"])
            .order_by(tables.AuditEntry.number)
        )
        kept = ["add", "change", "change", "give-link", "set-password"]
        assert acts.scalars().all() == kept


def test_a_link_ends_with_time_and_by_the_next_one(database, boss, add):
    id, first = add("li", work(Role.VIEWER))
    with database.system() as session:
        second = users.new_link(session, boss, id, now=NOON)
    for secret, now in ((first, NOON), (second, NOON + passwords.LINK_LIVES), ("x", NOON)):
        with database.system() as session, pytest.raises(passwords.LinkEnded):
            passwords.set_by_link(session, secret, PASSWORD, now=now)
    with database.system() as session:
        passwords.set_by_link(session, second, PASSWORD, now=NOON)


@pytest.mark.parametrize(
    ("login", "asked", "error"),
    [
        ("home", work(Role.VIEWER), users.LoginTaken),
        ("two words", work(Role.VIEWER), users.BadLogin),
        ("li", work(Role.VIEWER, name=" "), users.BadName),
        ("li", work(), users.NoRole),
        ("li", work(Role.VIEWER, scope=Scope(is_everywhere=False)), users.NoScope),
        ("li", work(Role.CASHIER, most_topup=Money(0)), users.BadLimit),
    ],
)
def test_what_cannot_be_is_refused(database, add, login, asked, error):
    with pytest.raises(error):
        add(login, asked)


def test_an_administrator_of_a_site_gives_no_more_than_he_sees(database, home, boss, add, person):
    here = Scope(is_everywhere=False, sites=frozenset({home.site_id}))
    local = person("local", work(Role.ADMINISTRATOR, scope=here))

    with pytest.raises(users.BeyondScope):
        add("li", work(Role.VIEWER), by=local)
    id, _ = add("li", work(Role.VIEWER, scope=here), by=local)
    with database.system() as session:
        assert {p.login for p in users.listed(session, local)} == {"local", "li"}
        users.change(session, local, id, work(Role.CASHIER, scope=here), now=NOON)
        with pytest.raises(users.NoSuchUser):
            users.new_link(session, local, home.user_id, now=NOON)


def test_the_last_administrator_stays_one(database, home, boss, person):
    with database.system() as session:
        for attempt in (
            lambda: users.end(session, boss, home.user_id, now=NOON),
            lambda: users.change(session, boss, home.user_id, work(Role.VIEWER), now=NOON),
        ):
            with pytest.raises(users.LastAdministrator):
                attempt()
    second = person("second", work(Role.ADMINISTRATOR))
    with database.system() as session:
        users.end(session, second, home.user_id, now=NOON)


def test_who_has_ended_is_signed_out_and_stays_in_the_log(database, web, boss, person):
    li = person("li", work(Role.VIEWER))
    sign_in(web, "li")
    assert web.get("/rooms").status_code == 200

    with database.system() as session:
        users.end(session, boss, li.user_id, now=NOON)

    assert web.get("/rooms").headers["location"] == "/login"
    assert sign_in(web, "li").status_code == 401
    with database.system() as session:
        acts = session.execute(
            select(tables.AuditEntry.act)
            .where(tables.AuditEntry.subject_id == str(li.user_id))
            .order_by(tables.AuditEntry.number)
        )
        assert acts.scalars().all() == ["add", "set-password", "end"]


def test_a_role_that_is_taken_away_is_gone_with_the_next_request(database, web, boss, person):
    li = person("li", work(Role.ENGINEER))
    sign_in(web, "li")
    assert web.get("/gateways").status_code == 200
    with database.system() as session:
        users.change(session, boss, li.user_id, work(Role.CASHIER), now=NOON)
    assert web.get("/gateways").status_code == 403


def test_a_session_is_ended_by_its_owner_and_by_the_administrator(settings, web, home, person):
    li = person("li", work(Role.VIEWER))
    sign_in(web, "li")
    shown = web.get("/me").text
    assert "testclient" in shown

    other = TestClient(web.app, follow_redirects=False)
    sign_in(other, "home", "correct horse")
    page = other.get(f"/people/{li.user_id}").text
    end = re.search(rf"/people/{li.user_id}/sessions/[\w-]+/end", page)[0]
    assert other.post(end, headers=ORIGIN).status_code == 303
    assert web.get("/rooms").headers["location"] == "/login"
    assert other.post(end, headers=ORIGIN).status_code == 404


def test_the_password_is_changed_by_who_knows_the_old_one_and_ends_other_sessions(web, person):
    person("li", work(Role.VIEWER))
    other = TestClient(web.app, follow_redirects=False)
    for browser in (web, other):
        sign_in(browser, "li")
    new = {"password": "another sentence", "again": "another sentence"}
    assert web.post("/me/password", data=new | {"old": "x"}, headers=ORIGIN).status_code == 422
    assert web.post("/me/password", data=new | {"old": PASSWORD}, headers=ORIGIN).status_code == 200
    assert web.get("/rooms").status_code == 200
    assert other.get("/rooms").headers["location"] == "/login"
    assert sign_in(other, "li", "another sentence").status_code == 303


# The second factor.


@pytest.fixture
def phone(database, settings, person):
    """Somebody with a second factor, what his phone shows, and his recovery codes."""
    li = person("li", work(Role.CASHIER))
    with database.system() as session:
        setup = second_factor.begin(session, settings, li)
        totp = pyotp.TOTP(setup.secret)
        with pytest.raises(second_factor.WrongCode):
            second_factor.confirm(session, settings, li, "000", now=NOON)
        codes = second_factor.confirm(session, settings, li, totp.at(NOON), now=NOON)
    return li, totp, codes


def test_the_codes_are_those_of_rfc_6238():
    # RFC 6238, appendix B, SHA1: at 59 s the eight digits are 94287082, of which six are 287082.
    assert pyotp.TOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").at(59) == "287082"


def test_with_a_second_factor_the_password_alone_opens_nothing(web, phone):
    _, totp, _ = phone
    assert sign_in(web, "li").headers["location"] == "/login/code"
    assert web.get("/rooms").headers["location"] == "/login"
    assert web.post("/login/code", data={"code": "12"}, headers=ORIGIN).status_code == 422
    done = web.post("/login/code", data={"code": totp.at(utc_now())}, headers=ORIGIN)
    assert done.headers["location"] == "/rooms"
    assert web.get("/rooms").status_code == 200


def test_a_code_is_good_once_and_a_recovery_code_too(database, settings, phone):
    li, totp, codes = phone

    def check(code: str, after_s: int) -> bool:
        with database.system() as session:
            now = NOON + timedelta(seconds=after_s)
            return second_factor.check(session, settings, li.user_id, code, now=now)

    assert not check(totp.at(NOON), 0)  # confirmed with it
    assert check(totp.at(NOON + 1 * STEP), 30)
    assert not check(totp.at(NOON + 1 * STEP), 31)
    assert check(totp.at(NOON + 3 * STEP), 60)  # of a phone that is half a minute ahead
    assert not check(totp.at(NOON + 2 * STEP), 60)  # and never back
    assert check(codes[0].upper(), 60)
    assert not check(codes[0], 60)
    assert check(codes[1].replace("-", ""), 60)
    assert len(codes) == second_factor.RECOVERY_CODES


def test_the_secret_is_sealed_and_another_installation_cannot_open_it(database, settings, phone):
    li, totp, codes = phone
    other = settings.model_copy(update={"session_secret": "t" * 43})
    with database.system() as session:
        row = session.get_one(tables.User, li.user_id)
        assert totp.secret.encode() not in row.totp_sealed
        now = NOON + timedelta(minutes=5)
        assert not second_factor.check(session, other, li.user_id, totp.at(now), now=now)
        assert second_factor.check(session, other, li.user_id, codes[0], now=now)


def test_an_organization_asks_those_who_move_money_for_a_second_factor(database, web, boss, person):
    person("li", work(Role.CASHIER))
    person("kan", work(Role.VIEWER))
    with database.system() as session:
        users.ask_second_factor(session, boss, asks=True, now=NOON)

    sign_in(web, "li")
    assert web.get("/rooms").headers["location"] == "/me"
    assert web.get("/api/rooms").json()["code"] == "SecondFactorNeeded"
    assert web.post("/me/second-factor", headers=ORIGIN).status_code == 303
    page = web.get("/me/second-factor").text
    secret = re.search(r"secret=(\w+)", page)[1]
    code = {"code": pyotp.TOTP(secret).at(utc_now())}
    shown = web.post("/me/second-factor/confirm", data=code, headers=ORIGIN).text
    assert len(re.findall(r"\b\w{4}-\w{4}-\w{4}-\w{4}\b", shown)) == 10
    assert web.get("/rooms").status_code == 200

    web.cookies.clear()
    sign_in(web, "kan")
    assert web.get("/rooms").status_code == 200


# Limits.


def test_a_cashier_takes_no_more_than_his_limits(database, home, person):
    # At once 100.00, a day 150.00: 100.00 and 50.00 are taken, 100.01 and a further 0.01 are not.
    li = person("li", work(Role.CASHIER, most_topup=Money(10000), most_a_day=Money(15000)))

    def take(fen: int) -> None:
        with database.organization(home.organization_id) as session:
            topups.record_cash(
                session,
                purse_id=home.water_purse,
                amount=Money(fen),
                by=li,
                idempotency_key=uuid4(),
            )

    with pytest.raises(limits.AboveLimit, match=r"at most 100\.00 yuan"):
        take(10001)
    take(10000)
    take(5000)
    with pytest.raises(limits.AboveDailyLimit, match=r"taken 150\.00 yuan"):
        take(1)
