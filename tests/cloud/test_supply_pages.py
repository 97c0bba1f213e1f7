"""The pages where a supply is pinned and a brake released: what is asked twice, and what is refused."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from cloud import tables
from cloud.services import estate, overrides
from cloud.tables import utc_now
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.downlog import BrakeReleased, Pinned, TapsClosed, read_down
from prepaid.wire.uplog import EmergencyTaken, GatewayAlarm, Trouble
from tests.cloud import test_credit_api as credit
from tests.cloud.test_overrides import at, say, staff

pytestmark = pytest.mark.processes

__all__ = ["say", "staff"]  # fixtures


@pytest.fixture
def told(database, home):
    """What the gateway was told by operators."""

    def told():
        with database.system() as session:
            bodies = session.execute(
                select(tables.DownEntry.body).order_by(tables.DownEntry.seq)
            ).scalars()
            return [m for m in map(read_down, bodies) if isinstance(m, Pinned | BrakeReleased)]

    return told


@pytest.fixture
def in_force(database, home):
    def in_force():
        with database.organization(home.organization_id) as session:
            return overrides.in_force(session, home.electricity, now=utc_now())

    return in_force


def hidden(html: str) -> dict[str, str]:
    """The hidden fields of the page's last form."""
    form = html[html.rindex("<form") :]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))


CUT = {"supply": "off", "lasts": "4", "why": "换线"}
KEEP = {"supply": "on", "lasts": "24", "why": "住户卧床"}


def test_a_cut_is_asked_for_twice_and_a_supply_is_kept_at_once(staff, home, told, in_force):
    room = f"/rooms/{home.room_id}"
    url = f"{room}/points/{home.electricity}/override"
    asked = staff.post(url, data=CUT)
    assert asked.status_code == 200
    assert told() == []

    done = staff.post(url, data=hidden(asked.text))
    assert (done.status_code, done.headers["location"]) == (303, room)
    assert staff.post(url, data=hidden(asked.text)).status_code == 303  # pressed twice
    cut = in_force()
    assert (cut.supply, cut.why) == (Supply.OFF, "换线")
    left = cut.until - utc_now()
    assert timedelta(hours=4) - timedelta(minutes=1) < left <= timedelta(hours=4, minutes=1)

    # Somebody may be at work on what was cut, so to keep it on is asked for twice as well.
    keep = {**KEEP, "instead_of": str(cut.id)}
    asked = staff.post(url, data=keep)
    assert (asked.status_code, in_force()) == (200, cut)
    assert staff.post(url, data=hidden(asked.text)).status_code == 303
    assert [m.override.supply for m in told()] == [Supply.OFF, Supply.ON]

    kept = in_force()
    ended = staff.post(f"{url}/end", data={"override_id": str(kept.id)})
    assert (ended.status_code, in_force()) == (303, None)


def test_giving_back_what_was_cut_is_asked_for_twice(staff, home, in_force):
    url = f"/rooms/{home.room_id}/points/{home.electricity}/override"
    staff.post(url, data=hidden(staff.post(url, data=CUT).text))
    cut = in_force()

    asked = staff.post(f"{url}/end", data={"override_id": str(cut.id)})
    assert (asked.status_code, in_force()) == (200, cut)
    assert staff.post(f"{url}/end", data=hidden(asked.text)).status_code == 303
    assert in_force() is None


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"supply": ""}, 422, "请选择保电还是强制拉闸"),
        ({"lasts": "other", "until": "2020-01-01T08:00"}, 422, "截止时间须晚于现在"),
        ({"lasts": "other", "until": "2090-01-01T08:00"}, 422, "不超过 31 天"),
        ({"lasts": "other", "until": "soon"}, 422, "截止时间须晚于现在"),
        ({"lasts": "", "exactly": "2026-03-02T08:00:00"}, 422, "截止时间须晚于现在"),
        ({"why": " "}, 422, "请填写原因"),
        ({"instead_of": str(uuid4())}, 409, "其间已有人更改"),
    ],
)
def test_a_form_that_cannot_be_is_shown_again_with_what_is_wrong(
    staff, home, told, changed, status, said
):
    url = f"/rooms/{home.room_id}/points/{home.electricity}/override"
    answer = staff.post(url, data={**CUT, **changed})

    assert answer.status_code == status
    assert said in answer.text
    assert told() == []


def test_the_end_is_a_time_of_the_site(staff, home, in_force):
    local = (utc_now() + timedelta(hours=8 + 5)).replace(second=0, microsecond=0, tzinfo=None)
    url = f"/rooms/{home.room_id}/points/{home.electricity}/override"
    staff.post(url, data={**KEEP, "lasts": "other", "until": local.isoformat()})

    # 13 hours on by a clock in Shanghai, which is 8 hours ahead, are 5 hours from now.
    assert timedelta(hours=4, minutes=58) < in_force().until - utc_now() <= timedelta(hours=5)


def test_the_pages_show_nothing_of_another_organization_or_room(database, staff, build, home, told):
    other = build("other")
    with database.organization(home.organization_id) as session:
        building = session.execute(select(tables.Building)).scalars().first()
        empty = estate.add_room(session, building, "0399", 3)
    for answer in (
        staff.get(f"/rooms/{other.room_id}"),
        staff.get(f"/rooms/{other.room_id}/stream"),
        staff.post(f"/rooms/{other.room_id}/points/{other.electricity}/override", data=KEEP),
        staff.post(f"/rooms/{home.room_id}/points/{other.electricity}/override", data=KEEP),
        staff.post(f"/rooms/{empty.id}/points/{home.electricity}/override", data=KEEP),
        staff.post(f"/gateways/{other.gateway_id}/brake/release"),
    ):
        assert answer.status_code == 404
    assert told() == []
    assert staff.get(f"/rooms/{empty.id}").status_code == 200


def test_a_brake_is_released_from_its_page_once(staff, home, say, told):
    page = f"/gateways/{home.gateway_id}/brake"
    assert staff.get(page).headers["location"] == "/rooms"
    say(GatewayAlarm(at(1), Trouble.BRAKED, False, "9 of 12 points"))

    assert "9 of 12 points" in staff.get(page).text
    for _ in range(2):
        assert staff.post(f"{page}/release").status_code == 303
    assert told() == [BrakeReleased("home")]
    assert "home 已解除，正在下发" in staff.get("/alarms").text
    assert staff.get(page).status_code == 303


def test_staff_lend_and_confirm_taps_on_the_rooms_page(staff, home, database):
    page = f"/rooms/{home.room_id}"
    lend, taps = (
        f"{page}/points/{home.electricity}/emergency",
        f"{page}/points/{home.water}/taps-closed",
    )
    refused = [staff.post(lend), staff.post(taps)]
    assert [each.status_code for each in refused] == [409, 409]
    assert "当前余额不能申请应急额度" in refused[0].text
    credit.lend(database, home)
    credit.wait_for_taps(database, home.water, why=Why.LEAK)
    assert "恢复供水后流量过大" in staff.get(page).text
    credit.wait_for_taps(database, home.water)
    shown = staff.get(page).text
    assert f'action="{lend}"' in shown
    assert f'action="{taps}"' in shown

    for url in (lend, taps, lend, taps):
        assert staff.post(url).headers["location"] == page

    assert [sent.by for sent in credit.told(database, EmergencyTaken)] == ["staff"]
    assert [sent.point for sent in credit.told(database, TapsClosed)] == [home.water]
    shown = staff.get(page).text
    assert f'action="{lend}"' not in shown
    assert f'action="{taps}"' not in shown
