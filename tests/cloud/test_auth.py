"""Signing in, tenants' links, and where a request comes from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from cloud import auth, login_waits, tables
from cloud.browsers import NOBODYS, Browser, Known, known_token, read_known_token
from cloud.errors import NoSuchLink, TooManyAttempts
from cloud.web import COOKIE

pytestmark = pytest.mark.processes


@pytest.fixture
def login(database):
    def login(
        name: str, password: str, *, after_s: float = 0, browser: Browser = NOBODYS
    ) -> str | None:
        """after_s later than the test began; only what is said to take time takes any."""
        with database.system() as session:
            now = began + timedelta(seconds=after_s)
            return auth.login(session, name, password, now=now, browser=browser)

    began = tables.utc_now()

    return login


def test_the_right_password_gives_a_token_of_which_only_the_hash_is_kept(database, home, login):
    token = login("home", "correct horse")
    assert token is not None
    with database.system() as session:
        (kept,) = session.execute(select(tables.SignIn)).scalars()
    assert kept.user_id == home.user_id
    assert token.encode() not in kept.token_hash


def test_an_unknown_login_and_a_wrong_password_are_answered_alike(home, login):
    assert login("home", "wrong") is None
    assert login("nobody", "wrong") is None
    assert login("nobody\x00", "wrong") is None


@pytest.mark.parametrize("name", ["home", "nobody"])
def test_after_five_wrong_passwords_further_tries_wait(home, login, name):
    for _ in range(login_waits.FREE):
        assert login(name, "wrong") is None
    with pytest.raises(TooManyAttempts, match="Try again in 1 second"):
        login(name, "correct horse")
    assert login("other", "wrong") is None  # nobody else waits

    # The wait doubles with each failure: after the next one it is 2 s.
    assert login(name, "wrong", after_s=1) is None
    with pytest.raises(TooManyAttempts, match="in 2 seconds"):
        login(name, "wrong", after_s=1)


STRANGER = Browser("203.0.113.9", "", None)
OWN = Browser("198.51.100.7", "", None)


def test_a_stranger_who_guesses_makes_only_himself_wait(home, login):
    # Twelve failures: five are free, each further one doubles the wait.
    for n in range(12):
        login("home", "wrong", browser=STRANGER, after_s=2000 * n)
    with pytest.raises(TooManyAttempts):
        login("home", "wrong", browser=STRANGER, after_s=22001)
    assert login("home", "correct horse", browser=OWN, after_s=22001) is not None


def test_a_browser_that_was_here_before_does_not_wait_for_the_strangers_beside_it(
    settings, home, login
):
    known = read_known_token(settings, known_token(settings, "home"))
    beside = Browser(STRANGER.address, "", known)
    for n in range(12):
        login("home", "wrong", browser=STRANGER, after_s=2000 * n)
    assert login("home", "correct horse", browser=beside, after_s=22001) is not None

    # The cookie is for one login, and cannot be made up.
    other = Browser(STRANGER.address, "", Known("other", "x"))
    with pytest.raises(TooManyAttempts):
        login("home", "correct horse", browser=other, after_s=22001)
    assert read_known_token(settings, known_token(settings, "home")[:-1] + "?") is None


def test_an_address_that_tries_many_logins_waits(database, home, login):
    # Each sign-in costs as much as a password should; so all but the last are counted as it counts them.
    before = tables.utc_now() - timedelta(minutes=1)
    with database.system() as session:
        for n in range(login_waits.FREE_OF_ADDRESS - 1):
            counted = login_waits.counts(f"name {n}", address=STRANGER.address, browser=None)
            login_waits.fail(session, login_waits.check(session, counted, now=before), now=before)
    assert login("the last", "wrong", browser=STRANGER) is None
    with pytest.raises(TooManyAttempts):
        login("yet another", "wrong", browser=STRANGER)
    assert login("yet another", "wrong", browser=OWN) is None


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:9:9:9:9", "2001:db8:1:2::"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_counted_by_what_one_customer_of_a_network_has(address, counted):
    assert login_waits.network_of(address) == counted


def test_the_right_password_after_the_wait_clears_the_count(home, login):
    for _ in range(login_waits.FREE):
        login("home", "wrong")
    assert login("home", "correct horse", after_s=5) is not None
    assert login("home", "wrong", after_s=6) is None
    assert login("home", "correct horse", after_s=6) is not None


def test_many_tries_at_once_are_counted_one_by_one(home, login):
    def attempt(_: int) -> str:
        try:
            login("home", "wrong")
        except TooManyAttempts:
            return "wait"
        return "wrong"

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(attempt, range(10)))
    assert answers.count("wrong") == login_waits.FREE
    assert answers.count("wait") == 10 - login_waits.FREE


def test_a_page_of_staff_is_for_those_signed_in(web, login):
    assert web.get("/api/rooms").status_code == 401
    web.cookies.set(COOKIE, "made-up")
    assert web.get("/api/rooms").status_code == 401
    web.cookies.clear()
    web.cookies.set(COOKIE, login("home", "correct horse"))
    assert [room["name"] for room in web.get("/api/rooms").json()] == ["0301"]


def test_a_sign_in_ends_by_signing_out_or_by_time(database, web, login):
    for end in (
        lambda token: _system(database, lambda s: auth.logout(s, token)),
        lambda _: _system(
            database,
            lambda s: s.execute(
                text("UPDATE sign_ins SET expires_at = :at"),
                {"at": tables.utc_now() - timedelta(seconds=1)},
            ),
        ),
    ):
        token = login("home", "correct horse")
        web.cookies.clear()
        web.cookies.set(COOKIE, token)
        assert web.get("/api/rooms").status_code == 200
        end(token)
        assert web.get("/api/rooms").status_code == 401


def _system(database, work) -> None:
    with database.system() as session:
        work(session)


def test_a_user_sees_the_rooms_of_the_own_organization_only(build, web, login):
    other = build("other")
    web.cookies.set(COOKIE, login("home", "correct horse"))
    assert len(web.get("/api/rooms").json()) == 1
    assert web.get(f"/api/rooms/{other.room_id}").status_code == 404


def test_a_tenants_link_opens_its_account_and_cannot_be_made_up(settings, home):
    token = auth.tenant_token(settings, home.account_id)
    assert auth.read_tenant_token(settings, token) == (home.account_id, 1)
    other = settings.model_copy(update={"session_secret": "t" * 43})
    for wrong in (
        *(token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(40)),
        auth.tenant_token(other, home.account_id),
        home.account_id.hex,
        "",
        "é.x",
    ):
        with pytest.raises(NoSuchLink):
            auth.read_tenant_token(settings, wrong)


def test_the_link_of_a_closed_or_unknown_account_opens_nothing(database, settings, web, home):
    link = f"/t/{auth.tenant_token(settings, home.account_id)}"
    assert web.get(link).status_code == 200
    with database.system() as session:
        session.execute(text("UPDATE accounts SET closed_at = now()"))
    assert web.get(link).status_code == 404
    assert web.get(f"/t/{auth.tenant_token(settings, uuid4())}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({"Origin": "http://cloud.test"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://cloud.test"}, True),
        ({"Origin": "http://testserver"}, True),  # the address the browser used
        ({}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://evil.test"}, False),
        ({"Origin": "http://cloud.test.evil.test"}, False),
        ({"Origin": "https://cloud.test"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://cloud.test"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://cloud.test"}, False),
    ],
)
def test_a_change_is_taken_from_our_own_pages_only(web, headers, is_taken):
    answer = web.post("/login", data={"login": "x", "password": "y"}, headers=headers)
    assert answer.status_code == (401 if is_taken else 403)
