"""Codes, emergency credit and taps by the API and the tenant's page: who may, and what is refused."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import select, text

from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.services import codes, emergency, scopes, topups
from cloud.services.gateway_keys import code_key
from prepaid import offline_code
from prepaid.money import Money
from prepaid.offline_code import Credit
from prepaid.supply import Why
from prepaid.wire.downlog import TapsClosed, read_down
from prepaid.wire.uplog import EmergencyTaken
from tests.cloud.conftest import enrol
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture


def pay(database, estate, yuan: str = "50") -> str:
    with database.organization(estate.organization_id) as session:
        return str(
            topups.record_cash(
                session,
                purse_id=estate.electricity_purse,
                amount=Money.yuan(yuan),
                by=SignedIn(estate.user_id, estate.organization_id, "x", "x"),
                idempotency_key=uuid4(),
            ).id
        )


def told(database, kind: type) -> list[object]:
    with database.system() as session:
        bodies = session.execute(
            select(tables.DownEntry.body).order_by(tables.DownEntry.seq)
        ).scalars()
        return [m for m in map(read_down, bodies) if isinstance(m, kind)]


def lend(database, estate) -> None:
    """The policy of the electricity lends ¥10 at ¥0 or less."""
    with database.system() as session:
        session.execute(
            text(
                'UPDATE points SET policy = policy || \'{"emergency": {"amount": {"fen": 1000},'
                ' "offered_at": {"fen": 0}, "is_automatic": false}}\'::jsonb WHERE id = :id'
            ),
            {"id": estate.electricity},
        )


def wait_for_taps(database, point, *, why: Why = Why.TAPS) -> None:
    with database.system() as session:
        session.get_one(tables.PointState, point).why = why.value


def test_staff_ask_for_a_code_and_get_the_same_again(database, home, staff, settings):
    enrol(database, home.organization_id, home.gateway_id)
    topup = pay(database, home)

    first, again = (staff.post(f"/api/topups/{topup}/code").json() for _ in range(2))

    assert first == again
    assert (first["amount_fen"], first["gateway_no"]) == (5000, home.gateway_no)
    key = code_key(settings.code_secret, gateway_no=home.gateway_no)
    opened = offline_code.check(key, first["code"], purse=home.electricity_purse, last=0)
    assert opened == Credit(1, Money.yuan("50"))


def test_nobody_who_is_not_signed_in_and_no_other_organization_gets_a_code(
    database, home, staff, web, build
):
    theirs = build("theirs")
    enrol(database, theirs.organization_id, theirs.gateway_id)
    topup = pay(database, theirs)
    assert staff.post(f"/api/topups/{topup}/code").status_code == 404
    assert staff.post(f"/api/purses/{theirs.electricity_purse}/emergency").status_code == 404
    assert staff.post(f"/api/points/{theirs.electricity}/taps-closed").status_code == 404
    web.cookies.clear()
    assert web.post(f"/api/topups/{topup}/code").status_code == 401


def test_a_request_from_a_foreign_page_gets_no_code(database, home, staff):
    enrol(database, home.organization_id, home.gateway_id)
    topup = pay(database, home)
    answer = staff.post(f"/api/topups/{topup}/code", headers={"origin": "http://elsewhere.test"})
    assert answer.status_code == 403


def test_staff_take_emergency_credit_for_a_customer_once(database, home, staff):
    url = f"/api/purses/{home.electricity_purse}/emergency"
    refused = staff.post(url)
    assert (refused.status_code, refused.json()["code"]) == (409, "NotOffered")
    lend(database, home)

    loans = [staff.post(url).json() for _ in range(2)]

    assert loans[0] == loans[1]
    assert (loans[0]["by"], loans[0]["is_delivered"]) == ("staff", False)
    (sent,) = told(database, EmergencyTaken)
    assert (sent.purse, sent.by) == (home.electricity_purse, "staff")


def test_a_customer_takes_emergency_credit_and_closes_the_taps_only_of_the_own_account(
    database, home, web, build, settings
):
    theirs = build("theirs")
    for each in (home, theirs):
        lend(database, each)
        wait_for_taps(database, each.water, why=Why.LEAK)  # as after a long cut
    link = f"/t/{auth.tenant_token(settings, home.account_id)}"
    ours = {"origin": settings.public_url}

    refused = web.post(f"{link}/purses/{theirs.electricity_purse}/emergency", headers=ours)
    nothing = web.post(f"{link}/purses/{theirs.water_purse}/taps", headers=ours)
    assert (refused.status_code, nothing.status_code) == (404, 303)
    assert told(database, EmergencyTaken) == told(database, TapsClosed) == []

    for _ in range(2):
        assert web.post(f"{link}/purses/{home.electricity_purse}/emergency", headers=ours)
        assert web.post(f"{link}/purses/{home.water_purse}/taps", headers=ours).status_code == 303
    assert [sent.by for sent in told(database, EmergencyTaken)] == ["customer"]
    assert [sent.point for sent in told(database, TapsClosed)] == [home.water]


def test_what_is_not_offered_is_said_on_the_page(home, web, settings):
    link = f"/t/{auth.tenant_token(settings, home.account_id)}"
    answer = web.post(
        f"{link}/purses/{home.electricity_purse}/emergency",
        headers={"origin": settings.public_url, "accept-language": "zh"},
    )
    assert answer.status_code == 409
    assert "当前余额不能申请应急额度" in answer.text


def test_a_page_that_shows_a_code_keeps_when_it_was_first_shown(database, home, web, settings):
    enrol(database, home.organization_id, home.gateway_id)
    topup = pay(database, home)
    page = web.get(f"/t/{auth.tenant_token(settings, home.account_id)}/topups/{topup}")

    with database.system() as session:
        kept = session.get_one(tables.TopUp, topup)
        assert kept.code_issued_at is not None
        (shown,) = codes.waiting(
            session,
            [home.electricity_purse],
            code_secret=settings.code_secret,
            now=kept.code_issued_at,
        )
    for group in offline_code.shown(shown.code).split():
        assert f"<span>{group}</span>" in page.text


def test_nobody_takes_emergency_credit_for_a_purse_that_is_not_there(database, home):
    with database.system() as session, pytest.raises(scopes.NoSuchPurse):
        emergency.take(session, uuid4(), by=emergency.By.STAFF, now=tables.utc_now())
