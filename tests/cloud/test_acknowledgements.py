"""Seeing to alarms: one, several or all that are shown, with one reason; who may, and what is kept of it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from sqlmodel import col, select

from cloud import auth, tables
from cloud.auth import Scope
from cloud.permissions import Role
from cloud.services import acknowledgements, alarms, estate
from cloud.services.acknowledgements import Chosen, NoneIsOn, NothingChosen
from cloud.tables import utc_now
from cloud.web import COOKIE
from prepaid.wire.uplog import AlarmKind, Trouble
from tests.cloud.test_overrides import HEADERS

pytestmark = pytest.mark.processes

SINCE = utc_now().replace(microsecond=123456) - timedelta(hours=1)
SILENT, STUCK = AlarmKind.SILENT, AlarmKind.STUCK


def begin(
    office, point_id, kind: AlarmKind, at: datetime = SINCE, *, is_over: bool = False
) -> None:
    with office.database.organization(office.home.organization_id) as session:
        session.add(
            tables.Alarm(
                organization_id=office.home.organization_id,
                point_id=point_id,
                kind=kind.value,
                at=at,
                is_over=is_over,
                text="x",
            )
        )


@pytest.fixture
def on(office):
    """Three alarms, which nobody has seen to; and who is signed in as administrator."""
    home = office.home
    with office.database.system() as session:
        for table in (
            tables.AlarmAcknowledgement,
            tables.Alarm,
            tables.TroubleAcknowledgement,
            tables.GatewayAlarm,
        ):
            for row in session.exec(select(table)):
                session.delete(row)
        token = auth.login(session, "home", "correct horse", now=utc_now())
    office.web.cookies.set(COOKIE, str(token))
    office.web.headers.update(HEADERS)
    for point_id, kind in (
        (home.electricity, SILENT),
        (home.electricity, STUCK),
        (home.water, SILENT),
    ):
        begin(office, point_id, kind)
    return home


@pytest.fixture
def see(office, on):
    """Sees to alarms as somebody of these roles and this scope; by name, what is then seen."""

    def see(*chosen: Chosen, why: str = "已派工", scope: Scope | None = None) -> dict[str, str]:
        with office.database.organization(on.organization_id) as session:
            user = session.get_one(tables.User, on.user_id)
            by = auth.of_user(session, user)
            if scope is not None:
                by = auth.SignedIn(by.user_id, by.organization_id, "x", "x", by.roles, scope)
            acknowledgements.acknowledge(session, by, chosen, why=why, now=utc_now())
        return seen(office)

    return see


def seen(office) -> dict[str, str]:
    with office.database.organization(office.home.organization_id) as session:
        found = alarms.of_points(session, office.home.organization_id, rooms=None)
        return {f"{a.point} {a.kind}": a.seen.why for a in found if a.seen is not None}


def test_what_is_seen_to_keeps_who_and_why_until_the_alarm_comes_again(office, on, see):
    assert see(Chosen(on.electricity, SILENT, SINCE)) == {"0301 电 silent": "已派工"}

    begin(office, on.electricity, SILENT, SINCE + timedelta(minutes=5), is_over=True)
    assert seen(office) == {}
    begin(office, on.electricity, SILENT, SINCE + timedelta(minutes=9))
    assert seen(office) == {}  # another alarm, which nobody has seen to


def test_only_what_is_on_and_in_scope_can_be_seen_to_and_once(office, on, see):
    nowhere = Scope(is_everywhere=False)
    with pytest.raises(NoneIsOn):
        see(Chosen(on.electricity, SILENT, SINCE), scope=nowhere)
    with pytest.raises(NoneIsOn):
        see(Chosen(on.electricity, SILENT, SINCE + timedelta(seconds=1)))
    with pytest.raises(NothingChosen):
        see()
    assert seen(office) == {}

    first = Chosen(on.water, SILENT, SINCE)
    see(first, why="第一次")
    assert see(first, Chosen(on.electricity, STUCK, SINCE), why="第二次") == {
        "0301 水 silent": "第一次",
        "0301 电 stuck": "第二次",
    }


def test_all_that_are_shown_are_acknowledged_with_one_reason_and_each_is_in_the_audit_log(
    office, on
):
    shown = office.web.get("/alarms?kind=silent").text
    boxes = re.findall(r'name="alarm" value="([^"]+)"', shown)

    answer = office.web.post(
        "/alarms/acknowledge", data={"alarm": boxes, "why": "停电检修", "kind": "silent"}
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/alarms?kind=silent")
    assert seen(office) == {"0301 电 silent": "停电检修", "0301 水 silent": "停电检修"}
    after = office.web.get("/alarms").text
    assert len(re.findall(r'name="alarm"', after)) == 1
    assert after.count("停电检修") == 2
    assert "停电检修" in office.web.get(f"/rooms/{on.room_id}").text
    assert office.web.get("/audit").text.count("确认告警") >= 2
    board = office.web.get("/rooms").text
    assert len(re.findall(r'class="alarm tone', board)) == 1  # what still waits for somebody


def test_without_a_reason_or_a_choice_it_is_told_at_the_field_and_what_was_chosen_stays(office, on):
    box = f"{on.water} silent {SINCE.isoformat()}"

    missing = office.web.post("/alarms/acknowledge", data={"alarm": [box], "why": " "})
    assert missing.status_code == 422
    assert 'aria-describedby="fault-why"' in missing.text
    assert f'value="{box}" checked' in missing.text

    for sent in ([], ["x"], [f"{on.water} silent 2026-01-01T00:00:00"]):
        nothing = office.web.post("/alarms/acknowledge", data={"alarm": sent, "why": "看过"})
        assert nothing.status_code == 422
        assert 'id="fault-alarm"' in nothing.text
        assert 'value="看过"' in nothing.text
    assert seen(office) == {}


def test_who_may_only_look_is_shown_no_boxes_and_refused(office, on):
    with office.database.system() as session:
        user = session.get_one(tables.User, on.user_id)
        user.roles = [Role.CASHIER.value]
    try:
        assert 'name="alarm"' not in office.web.get("/alarms").text
        sent = {"alarm": [f"{on.water} silent {SINCE.isoformat()}"], "why": "看过"}
        assert office.web.post("/alarms/acknowledge", data=sent).status_code == 403
        assert seen(office) == {}
    finally:
        with office.database.system() as session:
            session.get_one(tables.User, on.user_id).roles = [Role.ADMINISTRATOR.value]


def begin_trouble(office) -> None:
    """The gateway's clock is in doubt."""
    home = office.home
    with office.database.system() as session:
        session.add(
            tables.GatewayAlarm(
                organization_id=home.organization_id,
                gateway_id=home.gateway_id,
                kind=Trouble.CLOCK.value,
                at=SINCE,
                is_over=False,
                text="x",
            )
        )


def test_a_trouble_of_a_gateway_is_acknowledged_beside_alarms_and_leaves_the_board(office, on):
    begin_trouble(office)
    assert "时钟不可信" in office.web.get("/rooms").text
    boxes = re.findall(
        r'name="alarm" value="([^"]+ (?:clock|stuck) [^"]+)"', office.web.get("/alarms").text
    )
    assert len(boxes) == 2

    assert (
        office.web.post("/alarms/acknowledge", data={"alarm": boxes, "why": "等换电池"}).status_code
        == 303
    )

    assert "时钟不可信" not in office.web.get("/rooms").text
    shown = office.web.get("/alarms").text
    assert "时钟不可信" in shown
    assert shown.count("等换电池") == 2
    assert len(re.findall(r'name="alarm"', shown)) == 2  # the two silent meters
    with office.database.system() as session:
        session.add(tables.GatewayAlarm(
            organization_id=on.organization_id, gateway_id=on.gateway_id, kind="clock",
            at=SINCE + timedelta(minutes=5), is_over=False, text="again",
        ))  # fmt: skip
    assert "时钟不可信" in office.web.get("/rooms").text


def test_programs_read_alarms_in_pages_and_acknowledge_them_once(office, on):
    begin_trouble(office)
    read, after = [], {}
    while True:
        page = office.web.get("/api/alarms", params={"most": 3, **after}).json()
        read += page["alarms"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert sorted((each["of"], each["kind"]) for each in read) == [
        ("gateway", "clock"),
        ("point", "silent"),
        ("point", "silent"),
        ("point", "stuck"),
    ]
    assert {each["acknowledged"] for each in read} == {None}
    chosen = [{name: each[name] for name in ("of", "id", "kind", "at")} for each in read[:3]]

    sent = {"alarms": chosen, "why": "已派工"}
    answer = office.web.post("/api/alarms/acknowledge", json=sent)
    assert (answer.status_code, answer.json()) == (200, {"acknowledged": 3})
    assert office.web.post("/api/alarms/acknowledge", json=sent).status_code == 409
    left = [
        each for each in office.web.get("/api/alarms").json()["alarms"] if not each["acknowledged"]
    ]
    assert [each["id"] for each in left] == [read[3]["id"]]
    strange = [{**chosen[0], "kind": "silent", "of": "gateway"}]
    refused = office.web.post("/api/alarms/acknowledge", json={"alarms": strange, "why": "x"})
    assert refused.status_code == 422


def test_rooms_come_in_pages_where_a_program_asks_for_them_and_else_in_one_list(office, on):
    with office.database.system() as session:
        first = session.get_one(tables.Room, on.room_id)
        building = session.get_one(tables.Building, first.building_id)
        for name in ("0302", "0303"):
            estate.add_room(session, building, name, 3)
    every = [room["name"] for room in office.web.get("/api/rooms").json()]

    page = office.web.get("/api/rooms?most=2").json()
    rest = office.web.get(f"/api/rooms?most=2&after={page['next']}").json()

    assert every == ["0301", "0302", "0303"]
    assert [[room["name"] for room in each["rooms"]] for each in (page, rest)] == [
        every[:2],
        every[2:],
    ]
    assert rest["next"] is None
    assert office.web.get("/api/rooms?most=0").status_code == 422
    with office.database.system() as session:
        for room in session.exec(select(tables.Room).where(col(tables.Room.name) != "0301")):
            session.delete(room)
