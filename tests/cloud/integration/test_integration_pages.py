"""The pages of API keys and webhooks, as an administrator and as others see them."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_network

import pytest
from sqlalchemy import text

from cloud import auth
from cloud.permissions import Role
from cloud.services import estate
from cloud.services.integration import deliveries
from cloud.tables import utc_now
from cloud.web import COOKIE
from simulators.webhook_receiver import receiving

pytestmark = pytest.mark.processes


@pytest.fixture
def staff(database, home, web):
    """A browser of an administrator, in Chinese."""
    _sign_in(database, web, "home", {Role.ADMINISTRATOR})
    web.headers.update({"Origin": "http://cloud.test", "Accept-Language": "zh"})
    return web


def _sign_in(database, web, login: str, roles: set[Role]) -> None:
    with database.system() as session:
        session.execute(
            text("UPDATE users SET roles = CAST(:roles AS jsonb) WHERE login = :login"),
            {"roles": str([role.value for role in roles]).replace("'", '"'), "login": login},
        )
        token = auth.login(session, login, "correct horse", now=utc_now())
    web.cookies.set(COOKIE, str(token))


def test_a_key_is_made_shown_once_used_and_revoked(staff, database, home):
    asked = {"name": "一卡通", "roles": ["viewer", "cashier"], "where": "everywhere", "days": "90"}
    wrong = staff.post("/api-keys", data=asked | {"per_minute": "many"})
    assert wrong.status_code == 422
    assert 'aria-describedby="fault-per_minute"' in wrong.text
    assert 'value="一卡通"' in wrong.text  # what was typed stays

    made = staff.post("/api-keys", data=asked | {"per_minute": "60"})
    (key,) = set(re.findall(r"ww_[a-z2-7]{8}_[A-Za-z0-9_-]{43}", made.text))
    assert made.headers["cache-control"] == "no-store"
    listed = staff.get("/api-keys").text
    assert key not in listed
    assert "收费员" in listed
    asking = {"Authorization": f"Bearer {key}"}
    assert staff.get("/api/rooms", headers=asking).status_code == 200

    (ask,) = re.findall(r'href="(/api-keys/[^"]+/revoke)"', listed)
    assert "一卡通" in staff.get(ask).text
    assert staff.post(ask).status_code == 303
    assert staff.get("/api/rooms", headers=asking).status_code == 401
    assert staff.get(ask).status_code == 303  # nothing is left to ask
    assert "已吊销" in staff.get("/api-keys").text


def test_a_key_for_sites_names_them(staff, home):
    asked = {"name": "x", "roles": "viewer", "where": "sites", "days": "0", "per_minute": "60"}
    for sites in ([], ["no id"]):
        assert 'id="fault-sites"' in staff.post("/api-keys", data=asked | {"sites": sites}).text
    made = staff.post("/api-keys", data=asked | {"sites": [str(home.site_id)]})
    assert made.status_code == 200
    assert "长期有效" in made.text


def test_a_webhook_is_added_tried_changed_and_ended(staff, database, settings):
    with receiving() as receiver:
        wrong = staff.post("/webhooks", data={"url": "example.com", "events": "topup.credited"})
        assert 'aria-describedby="fault-url"' in wrong.text
        none = staff.post("/webhooks", data={"url": receiver.url})
        assert 'id="fault-events"' in none.text
        added = staff.post("/webhooks", data={"url": receiver.url, "events": "topup.credited"})
        place = added.headers["location"]
        (secret,) = re.findall(r"whsec_[A-Za-z0-9+/=]+", staff.get(place).text)

        staff.post(f"{place}/test")
        assert "即将推送" in staff.get(place).text
        allowed = settings.model_copy(update={"webhook_networks": (ip_network("127.0.0.0/8"),)})
        receiver.answers[:] = [500]
        now = utc_now()
        deliveries.deliver(database, allowed, now=now, is_stopping=lambda: False)
        assert "接收方返回 500。" in staff.get(place).text
        later = now + timedelta(minutes=1)
        deliveries.deliver(database, allowed, now=later, is_stopping=lambda: False)
        assert receiver.heard[-1].is_signed_by(secret, now=later.timestamp())
        shown = staff.get(place).text
        assert "已送达" in shown
        assert "正常" in staff.get("/webhooks").text

        (again,) = re.findall(r'action="(/webhooks/[^"]+/deliveries/[^"]+)"', shown)
        assert staff.post(again).status_code == 303
        deliveries.deliver(database, allowed, now=utc_now(), is_stopping=lambda: False)
        assert len({heard.id for heard in receiver.heard}) == 1
        assert len(receiver.heard) == 3

    staff.post(place, data={"url": "https://example.com/x", "events": "alarm.raised"})
    staff.post(f"{place}/secret")
    changed = staff.get(place).text
    assert "https://example.com/x" in changed
    assert secret not in changed
    assert staff.get(f"{place}/end").status_code == 200
    assert staff.post(f"{place}/end").headers["location"] == "/webhooks"
    assert staff.post(f"{place}/test").status_code == 409
    assert staff.get(f"{place}/end").status_code == 303


def test_nobody_but_an_administrator_opens_them_or_sees_them_in_the_menu(staff, database):
    assert 'href="/webhooks"' in staff.get("/rooms").text
    others = set(Role) - {Role.ADMINISTRATOR}
    with database.system() as session:
        mine = session.execute(text("SELECT organization_id FROM users LIMIT 1")).scalar_one()
        estate.add_user(session, mine, "other", "correct horse", "other")
    _sign_in(database, staff, "other", others)
    for path in ("/api-keys", "/webhooks"):
        assert staff.get(path).status_code == 403
        assert f'href="{path}"' not in staff.get("/rooms").text
