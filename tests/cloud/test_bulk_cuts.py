"""Cutting off many at once: nothing happens before a second person has said so, then all of it or nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.permissions import Role
from cloud.services import approvals, bulk_cuts, estate, overrides
from cloud.services.scopes import NoSuchPoint
from cloud.tables import utc_now
from cloud.web import COOKIE
from prepaid.reading import Supply
from tests.cloud.conftest import NOON

pytestmark = pytest.mark.processes

UNTIL = NOON + timedelta(hours=4)
LONGEST = timedelta(days=31)


@pytest.fixture
def people(database, home) -> tuple[SignedIn, SignedIn]:
    """Who proposes, and who decides."""
    found = []
    with database.system() as session:
        for name, roles in (("maker", [Role.OPERATOR]), ("checker", [Role.APPROVER])):
            user = estate.add_user(session, home.organization_id, name, "correct horse", name)
            user.roles = [role.value for role in roles]
            session.flush()
            found.append(auth.of_user(session, user))
    return found[0], found[1]


@pytest.fixture
def propose(database, home, people):
    def propose(*points, by=people[0]):
        with database.organization(home.organization_id) as session:
            return bulk_cuts.propose(
                session, by, points, until=UNTIL, why="配电房检修", longest=LONGEST, now=NOON
            )

    return propose


@pytest.fixture
def decide(database, home, people):
    def decide(asked) -> None:
        with database.organization(home.organization_id) as session:
            approvals.decide(session, people[1], asked.id, approved=True, why="", now=NOON)

    return decide


def pins(database, home) -> dict:
    with database.system() as session:
        points = [home.electricity, home.water]
        return overrides.all_in_force(session, points, now=NOON)


def test_what_another_approves_is_cut_off_and_not_before(database, home, propose, decide):
    asked = propose(home.electricity, home.water, home.water)
    assert (asked.detail["count"], asked.detail["rooms"]) == (2, "A 0301")
    assert pins(database, home) == {}

    decide(asked)

    found = pins(database, home)
    assert {(pin.supply, pin.until, pin.by, pin.why) for pin in found.values()} == {
        (Supply.OFF, UNTIL, "checker", "配电房检修")
    }
    assert set(found) == {home.electricity, home.water}


def test_all_are_cut_off_or_none(database, home, propose, decide):
    asked = propose(home.electricity, home.water)
    with database.system() as session:  # meanwhile
        point = session.get_one(tables.ServicePoint, home.water)
        point.policy = point.policy | {"is_protected": True}
    with pytest.raises(overrides.Protected):
        decide(asked)
    assert pins(database, home) == {}
    with pytest.raises(overrides.Protected):
        propose(home.electricity, home.water)


def test_who_may_no_longer_propose_it_cuts_nobody_off(database, home, people, propose, decide):
    asked = propose(home.water)
    with database.system() as session:
        session.get_one(tables.User, people[0].user_id).roles = ["viewer"]
    with pytest.raises(auth.NotAllowed):
        decide(asked)


def test_nothing_and_what_is_not_seen_is_not_proposed(home, build, propose):
    with pytest.raises(bulk_cuts.NothingToCut):
        propose()
    with pytest.raises(NoSuchPoint):
        propose(build("other").water)


def test_the_page_proposes_and_shows_who_has_to_decide(database, web, home, people):
    with database.system() as session:
        web.cookies.set(COOKIE, auth.login(session, "maker", "correct horse", now=utc_now()))
    assert str(home.water) in web.get("/cuts").text
    form = {"point": [str(home.water)], "lasts": "4", "why": "检修"}
    headers = {"Origin": "http://cloud.test"}
    assert web.post("/cuts", data=form | {"point": []}, headers=headers).status_code == 422
    sent = web.post("/cuts", data=form, headers=headers)
    assert sent.status_code == 303
    assert "批量拉闸" in web.get(sent.headers["location"]).text
    with database.system() as session:
        assert session.execute(select(tables.Override)).all() == []
