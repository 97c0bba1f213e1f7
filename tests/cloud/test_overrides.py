"""Pinning a supply, ending it, and releasing a brake: what is kept, what the gateway is told, what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import TypeAdapter
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.services import alarms, overrides, scopes, uplog
from cloud.tables import utc_now
from cloud.web import COOKIE
from prepaid.point import Meter, Policy
from prepaid.reading import Supply
from prepaid.register.evidence import Confidence, Effect, Evidence, Kind
from prepaid.supply import Override
from prepaid.wire.downlog import BrakeReleased, Pinned, read_down
from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.envelope import Envelope
from prepaid.wire.uplog import Alarm, AlarmKind, GatewayAlarm, Read, Trouble, write_up
from tests.cloud.conftest import NOON
from tests.cloud.test_uplog import LOG, at, read

pytestmark = pytest.mark.processes

MONTH = timedelta(days=31)
HEADERS = {"Origin": "http://cloud.test"}


@pytest.fixture
def by(home) -> SignedIn:
    return SignedIn(home.user_id, home.organization_id, "home", "home")


@pytest.fixture
def session(database, home):
    with database.organization(home.organization_id) as opened:
        yield opened


@pytest.fixture
def pin(session, home, by):
    """Cuts the electricity of 0301 off for an hour, but for what is given."""

    def pin(**changed):
        asked = {
            "point_id": home.electricity,
            "supply": Supply.OFF,
            "until": at(60),
            "why": "换线",
            "instead_of": None,
            "by": by,
            "longest": MONTH,
            "now": NOON,
            **changed,
        }
        return overrides.pin(session, asked.pop("point_id"), **asked)

    return pin


@pytest.fixture
def say(database, home):
    """The gateway sends these messages."""
    sent = []

    def say(*messages, cursor=None):
        entries = []
        for message in messages:
            sent.append(message)
            entries.append(Entry(LOG, len(sent), write_up(message)))
        with database.system() as system:
            gateway = uplog.gateway_of(system, home.gateway_no)
            uplog.receive(system, gateway, Envelope(tuple(entries), cursor), now=NOON)

    return say


@pytest.fixture
def staff(web, database, home):
    with database.system() as system:
        token = auth.login(system, "home", "correct horse", now=utc_now())
    web.cookies.set(COOKIE, str(token))
    web.headers.update(HEADERS)
    return web


def told(session, home) -> list[object]:
    """What the gateway was told after its points."""
    rows = session.execute(
        select(tables.DownEntry.body)
        .where(tables.DownEntry.gateway_id == home.gateway_id)
        .order_by(tables.DownEntry.seq)
    ).scalars()
    return [m for m in map(read_down, rows) if isinstance(m, Pinned | BrakeReleased)]


def test_a_pinned_supply_is_kept_with_who_and_why_and_the_gateway_is_told(session, home, pin):
    made = pin(why="  换线 ")

    override = Override(Supply.OFF, at(60), "home", "换线")
    assert told(session, home) == [Pinned(home.electricity, override)]
    assert (made.supply, made.until, made.by, made.why) == (Supply.OFF, at(60), "home", "换线")
    assert overrides.in_force(session, home.electricity, now=at(59)) == made
    assert overrides.in_force(session, home.electricity, now=at(60)) is None
    assert overrides.in_force(session, home.water, now=NOON) is None


def test_the_gateway_has_it_once_its_cursor_has(database, session, home, pin, say):
    assert pin().is_delivered is False
    session.commit()
    # Two tariffs and two points came before it.
    say(cursor=Cursor(home.down_log, 5))
    with database.organization(home.organization_id) as later:
        assert overrides.in_force(later, home.electricity, now=NOON).is_delivered is True


def test_an_override_that_is_ended_stays_in_the_history(session, home, pin, by):
    made = pin()
    for _ in range(2):  # ending it again changes nothing
        overrides.end(session, home.electricity, made.id, by=by, now=at(10))

    assert told(session, home)[1:] == [Pinned(home.electricity, None)]
    assert overrides.in_force(session, home.electricity, now=at(11)) is None
    (kept,) = overrides.of_points(session, [home.electricity])[home.electricity]
    assert (kept.id, kept.ended_at, kept.ended_by, kept.is_delivered) == (
        made.id,
        at(10),
        "home",
        False,
    )


def test_one_override_takes_the_place_of_another_only_by_its_name(session, home, pin, by):
    first = pin()
    with pytest.raises(overrides.PinnedMeanwhile):
        pin(supply=Supply.ON)
    with pytest.raises(overrides.PinnedMeanwhile):
        overrides.end(session, home.electricity, uuid4(), by=by, now=at(1))
    second = pin(supply=Supply.ON, instead_of=first.id, now=at(1))

    assert overrides.in_force(session, home.electricity, now=at(2)) == second
    assert [m.override.supply for m in told(session, home)] == [Supply.OFF, Supply.ON]
    newest, oldest = overrides.of_points(session, [home.electricity])[home.electricity]
    assert (newest.id, oldest.id, oldest.ended_at) == (second.id, first.id, at(1))


def test_the_same_again_changes_nothing(session, home, pin):
    assert pin() == pin(now=at(1))
    assert len(told(session, home)) == 1


def test_what_has_run_out_needs_no_end(session, home, pin):
    pin()
    again = pin(until=at(120), now=at(61))
    assert again.until == at(120)
    old = overrides.of_points(session, [home.electricity])[home.electricity][1]
    assert old.ended_at is None


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"until": NOON}, overrides.BadEnd, "at most 31 days from now"),
        ({"until": NOON + MONTH + timedelta(seconds=1)}, overrides.BadEnd, "at most 31 days"),
        ({"until": at(60).replace(tzinfo=None)}, overrides.BadEnd, "at most 31 days"),
        ({"why": "  "}, overrides.BadReason, "up to 200 characters"),
        ({"why": "x" * 201}, overrides.BadReason, "up to 200 characters"),
        ({"why": "a\x00b"}, overrides.BadReason, "up to 200 characters"),
        ({"point_id": uuid4()}, scopes.NoSuchPoint, "no such service point"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_nothing_is_told(
    session, home, pin, changed, error, said
):
    with pytest.raises(error, match=said):
        pin(**changed)
    assert told(session, home) == []


def test_a_protected_point_is_not_cut_until_its_protection_ends(session, home, pin):
    point = session.get_one(tables.ServicePoint, home.electricity)
    policy = replace(Policy(), is_protected=True, protected_until=at(30))
    point.policy = TypeAdapter(Policy).dump_python(policy, mode="json")
    session.flush()

    with pytest.raises(overrides.Protected, match="0301 电 is protected"):
        pin()
    kept = pin(supply=Supply.ON)
    assert pin(now=at(30), instead_of=kept.id).supply is Supply.OFF


def test_a_meter_without_a_switch_is_not_pinned(session, home, pin):
    point = session.get_one(tables.ServicePoint, home.water)
    meter = replace(TypeAdapter(Meter).validate_python(point.meter), has_switch=False)
    point.meter = TypeAdapter(Meter).dump_python(meter, mode="json")
    session.flush()

    for supply in (Supply.ON, Supply.OFF):
        with pytest.raises(overrides.NoSwitch, match="0301 水 has no switch"):
            pin(point_id=home.water, supply=supply)


def test_another_organization_finds_nothing(database, build, session, home, by, pin):
    other = build("other")
    mine = pin()
    session.commit()
    stranger = SignedIn(other.user_id, other.organization_id, "other", "other")
    with database.organization(other.organization_id) as theirs:
        with pytest.raises(scopes.NoSuchPoint):
            overrides.in_force(theirs, home.electricity, now=NOON)
        with pytest.raises(scopes.NoSuchPoint):
            overrides.end(theirs, home.electricity, mine.id, by=stranger, now=NOON)
        with pytest.raises(scopes.NoSuchGateway):
            overrides.release_brake(theirs, home.gateway_id, by=stranger, now=NOON)
        assert overrides.of_points(theirs, [home.electricity]) == {}
    # Nor where a session sees everything.
    with database.system() as everything:
        with pytest.raises(scopes.NoSuchPoint):
            overrides.end(everything, home.electricity, mine.id, by=stranger, now=NOON)
        with pytest.raises(scopes.NoSuchGateway):
            overrides.release_brake(everything, home.gateway_id, by=stranger, now=NOON)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM overrides", "UPDATE overrides SET why = 'because'"]
)
def test_an_override_is_never_changed_or_deleted(database, session, pin, statement):
    pin()
    session.commit()
    with (
        pytest.raises(DBAPIError, match="never changed or deleted"),
        database.system() as everything,
    ):
        everything.execute(text(statement))


def test_a_brake_is_released_once(database, home, by, say):
    def release():
        with database.organization(home.organization_id) as session:
            overrides.release_brake(session, home.gateway_id, by=by, now=NOON)

    with pytest.raises(overrides.NotBraked, match="GW-home are not held back"):
        release()
    say(GatewayAlarm(at(1), Trouble.BRAKED, False, "9 of 12 points"))
    release()
    release()

    with database.organization(home.organization_id) as session:
        assert told(session, home) == [BrakeReleased("home")]
        (trouble,) = alarms.of_gateways(session, home.organization_id)
    assert (trouble.kind, trouble.at, trouble.released_by) == (Trouble.BRAKED, at(1), "home")

    say(GatewayAlarm(at(2), Trouble.BRAKED, True, "released"), cursor=Cursor(home.down_log, 5))
    with database.organization(home.organization_id) as session:
        assert alarms.of_gateways(session, home.organization_id) == []


def test_alarms_that_are_on_are_listed_with_what_speaks_against_the_reading(
    database, build, home, say
):
    held = Evidence(
        Kind.BACKWARDS, Confidence.CERTAIN, Effect.HELD, None, None, "register went back"
    )
    say(
        Alarm(home.electricity, at(1), AlarmKind.SILENT, False, "no reply"),
        Alarm(home.electricity, at(2), AlarmKind.SILENT, True, "it answers"),
        Read(home.electricity, read(home.electricity, 3, "99").reading, (held,)),
        Alarm(home.electricity, at(3), AlarmKind.IMPLAUSIBLE, False, "register went back"),
        Alarm(home.water, at(4), AlarmKind.CUT_WAITS, False, "it waits"),
        Alarm(home.water, at(4), AlarmKind.LOW_BALANCE, False, "the purse holds 0"),
        Alarm(home.water, at(4), AlarmKind.FINAL_BALANCE, False, "the purse holds 0"),
    )
    other = build("other")
    with database.organization(home.organization_id) as session:
        found = alarms.of_points(session, home.organization_id, rooms=None)
        here = alarms.of_points(session, home.organization_id, rooms=[home.room_id])
    assert [(a.point_id, a.kind, a.at) for a in found] == [
        (home.water, AlarmKind.CUT_WAITS, at(4)),
        (home.electricity, AlarmKind.IMPLAUSIBLE, at(3)),
    ]
    assert [(f.kind, f.text) for f in found[1].findings] == [(Kind.BACKWARDS, "register went back")]
    assert here == found
    with database.organization(other.organization_id) as session:
        assert alarms.of_points(session, home.organization_id, rooms=None) == []


def test_an_unacknowledged_override_keeps_its_place_when_the_log_is_numbered_anew(
    database, session, home, pin, say
):
    pin()
    session.commit()
    # The gateway has 40 entries of our log, which ends at 5: the database was put back.
    say(cursor=Cursor(home.down_log, 40))
    with database.organization(home.organization_id) as later:
        assert overrides.in_force(later, home.electricity, now=NOON).is_delivered is False
    say(cursor=Cursor(home.down_log, 45))
    with database.organization(home.organization_id) as later:
        assert overrides.in_force(later, home.electricity, now=NOON).is_delivered is True


# The API


def test_staff_pin_and_unpin_through_the_api(database, staff, home):
    url = f"/api/points/{home.electricity}/override"
    asked = {
        "supply": "off",
        "until": (utc_now() + timedelta(hours=1)).isoformat(),
        "why": "换线",
    }
    made = staff.put(url, json=asked).json()
    assert made == staff.put(url, json=asked).json() == staff.get(url).json()
    assert (made["supply"], made["by"], made["why"]) == ("off", "home", "换线")
    assert staff.put(url, json={**asked, "supply": "on"}).json()["code"] == "PinnedMeanwhile"
    assert staff.put(url, json={**asked, "supply": "armed"}).status_code == 422
    assert staff.put(url, json={**asked, "until": "2026-03-02T12:00:00"}).status_code == 422
    late = {**asked, "until": (utc_now() + timedelta(days=32)).isoformat()}
    assert staff.put(url, json=late).json()["code"] == "BadEnd"

    ended = staff.delete(url, params={"override_id": made["id"]})
    assert (ended.status_code, staff.get(url).json()) == (204, None)


def test_the_api_releases_a_brake(staff, home, say):
    url = f"/api/gateways/{home.gateway_id}/brake/release"
    assert staff.post(url).status_code == 409
    say(GatewayAlarm(at(1), Trouble.BRAKED, False, "9 of 12 points"))
    assert staff.post(url).status_code == 204


def test_the_api_is_for_those_signed_in_of_this_organization_and_from_our_own_pages(
    staff, build, home
):
    other = build("other")
    until = (utc_now() + timedelta(hours=1)).isoformat()
    asked = {"supply": "off", "until": until, "why": "x"}
    calls = (
        lambda each: staff.put(f"/api/points/{each.electricity}/override", json=asked),
        lambda each: staff.get(f"/api/points/{each.electricity}/override"),
        lambda each: staff.delete(
            f"/api/points/{each.electricity}/override", params={"override_id": str(uuid4())}
        ),
        lambda each: staff.post(f"/api/gateways/{each.gateway_id}/brake/release"),
    )
    assert [call(other).status_code for call in calls] == [404] * 4
    staff.headers.pop("Origin")
    assert [call(home).status_code for call in calls] == [403, 200, 403, 403]
    staff.headers.update(HEADERS)
    staff.cookies.clear()
    assert [call(home).status_code for call in calls] == [401] * 4
