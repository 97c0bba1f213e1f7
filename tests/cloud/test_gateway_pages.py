"""The gateways' pages: whose they show, a token that is shown once, and revocation after a second look."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud.services import enrolment
from cloud.tables import UnknownCode, utc_now
from prepaid.enrolment import Enrol, Token
from prepaid.wire.downlog import CodeVoided
from tests.cloud.test_credit_api import told
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture

GROUPS = re.compile(r'<p class="groups">(.*?)</p>')


def token_on(html: str) -> Token | None:
    found = GROUPS.search(html)
    return Token.read(re.sub(r"<[^>]+>", "", found[1])) if found else None


@pytest.fixture
def enrol(database, settings, home):
    def enrol(token: Token) -> None:
        asked = Enrol.by(token, Ed25519PrivateKey.generate(), gateway_no=home.gateway_no)
        with database.system() as session:
            enrolment.enrol(session, settings, asked, now=utc_now())

    return enrol


def test_a_token_is_shown_once_and_enrols_the_gateway(staff, home, enrol):
    page = f"/gateways/{home.gateway_id}"
    assert "未注册" in staff.get("/gateways").text
    assert token_on(staff.get(page).text) is None

    shown = staff.post(f"{page}/token")

    token = token_on(shown.text)
    assert token is not None
    assert f"wattwell edge enrol {token.text}" in shown.text
    assert "--cloud http://cloud.test --plain-http" in shown.text
    assert "<svg" in shown.text
    assert shown.headers["cache-control"] == "no-store"
    again = staff.get(page).text
    assert token_on(again) is None
    assert "注册码有效至" in again
    enrol(token)
    assert "自动续期" in staff.get(page).text


def test_a_gateway_is_revoked_after_a_second_look_and_who_did_it_is_shown(
    staff, home, enrol, database
):
    page = f"/gateways/{home.gateway_id}"
    token = token_on(staff.post(f"{page}/token").text)
    assert token is not None
    enrol(token)

    asked = staff.get(f"{page}/revoke")
    assert "收不到任何充值" in asked.text
    with database.system() as session:
        assert len(enrolment.broker_users(session, now=utc_now())) == 1
    done = staff.post(f"{page}/revoke")

    assert (done.status_code, done.headers["location"]) == (303, page)
    assert re.search(r"已吊销</dt><dd>[^<]* · home<", staff.get(page).text)
    with database.system() as session:
        assert enrolment.broker_users(session, now=utc_now()) == {}
    assert staff.get(f"{page}/revoke").headers["location"] == page  # nothing to do any more


def test_staff_see_no_gateway_of_another_organization(staff, build):
    theirs = build("theirs")
    assert "GW-theirs" not in staff.get("/gateways").text
    for method, path in (
        (staff.get, ""),
        (staff.post, "/token"),
        (staff.get, "/revoke"),
        (staff.post, "/revoke"),
    ):
        assert method(f"/gateways/{theirs.gateway_id}{path}").status_code == 404


def test_nobody_issues_tokens_or_revokes_without_signing_in(web, home):
    web.headers.update({"Origin": "http://cloud.test"})
    for path in ("token", "revoke"):
        answer = web.post(f"/gateways/{home.gateway_id}/{path}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_a_code_that_is_not_known_is_taken_back_on_the_gateways_page(staff, home, database):
    page = f"/gateways/{home.gateway_id}"
    void = f"{page}/codes/{home.electricity_purse}/7/void"
    assert staff.post(void).status_code == 404
    with database.system() as session:
        session.add(
            UnknownCode(
                organization_id=home.organization_id,
                purse_id=home.electricity_purse,
                number=7,
                gateway_id=home.gateway_id,
                amount_fen=5000,
                at=utc_now(),
            )
        )
    assert "撤回 ¥50.00" in staff.get(page).text

    assert staff.post(void).headers["location"] == page

    assert told(database, CodeVoided) == [CodeVoided(home.electricity_purse, 7)]
    shown = staff.get(page).text
    assert "撤回 ¥50.00" not in shown
    assert "已撤回，正在下发到网关" in shown
