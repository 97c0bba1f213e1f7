"""Maker-checker: proposed by one, decided by another, done in the deciding transaction."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import select

from cloud import auth, tables
from cloud.auth import Scope, SignedIn
from cloud.permissions import Role
from cloud.services import approvals, approved, estate
from cloud.services.approvals import AlreadyDecided, AlreadyProposed, NoSuchApproval, OwnProposal
from cloud.tables import utc_now
from cloud.web import COOKIE
from tests.cloud.conftest import NOON

pytestmark = pytest.mark.processes

ORIGIN = {"Origin": "http://cloud.test"}
KIND = "rename-site"  # a kind of this test: what it does is seen in a table


class TooLate(Exception):
    """What was proposed can no longer be done."""


def rename(session, approval, by, now) -> None:
    if approval.detail["name"] == "gone":
        raise TooLate
    session.get_one(tables.Site, approval.subject).name = approval.detail["name"]


@pytest.fixture(autouse=True)
def kind():
    approved.EXECUTORS[KIND] = rename
    yield
    del approved.EXECUTORS[KIND]


@pytest.fixture
def people(database, home) -> dict[str, SignedIn]:
    with database.system() as session:
        found = {}
        for name, roles in (
            ("maker", [Role.OPERATOR, Role.APPROVER]),
            ("checker", [Role.APPROVER]),
            ("viewer", [Role.VIEWER]),
        ):
            user = estate.add_user(session, home.organization_id, name, "correct horse", name)
            user.roles = [role.value for role in roles]
            session.flush()
            found[name] = auth.of_user(session, user)
        return found


@pytest.fixture
def propose(database, home, people):
    def propose(name: str = "新名", **more):
        with database.organization(home.organization_id) as session:
            return approvals.propose(
                session,
                people["maker"],
                KIND,
                subject=home.site_id,
                detail={"name": name},
                why="门牌改了",
                now=NOON,
                **more,
            )

    return propose


@pytest.fixture
def decide(database, home):
    def decide(by, approval, *, approved=True, why="同意"):
        with database.organization(home.organization_id) as session:
            return approvals.decide(session, by, approval.id, approved=approved, why=why, now=NOON)

    return decide


def name_of(database, home) -> str:
    with database.system() as session:
        return session.get_one(tables.Site, home.site_id).name


def test_what_another_approves_is_done_with_the_decision(database, home, people, propose, decide):
    asked = propose()
    assert asked.is_open
    assert name_of(database, home) == "home"

    done = decide(people["checker"], asked)

    assert name_of(database, home) == "新名"
    assert (done.proposed_by_name, done.decided_by_name, done.approved_at) == (
        "maker",
        "checker",
        NOON,
    )
    with database.system() as session:
        entries = select(tables.AuditEntry.act).order_by(tables.AuditEntry.number)
        acts = session.execute(entries).scalars().all()
    assert acts == ["propose", "approve"]


def test_nobody_decides_on_what_he_proposed_himself(database, home, people, propose, decide):
    asked = propose()
    with pytest.raises(OwnProposal):
        decide(people["maker"], asked)
    with pytest.raises(auth.NotAllowed):
        decide(people["viewer"], asked)
    assert name_of(database, home) == "home"


def test_what_is_refused_needs_a_reason_and_changes_nothing(
    database, home, people, propose, decide
):
    asked = propose()
    with pytest.raises(approvals.BadReason):
        decide(people["checker"], asked, approved=False, why=" ")
    refused = decide(people["checker"], asked, approved=False, why="不必")
    assert (refused.refused_at, refused.decided_why) == (NOON, "不必")
    assert name_of(database, home) == "home"
    with pytest.raises(AlreadyDecided, match="checker"):
        decide(people["checker"], asked)


def test_what_can_no_longer_be_done_stays_undecided(database, home, people, propose, decide):
    asked = propose("gone")
    with pytest.raises(TooLate):
        decide(people["checker"], asked)
    with database.organization(home.organization_id) as session:
        assert approvals.one(session, people["checker"], asked.id).is_open


def test_one_thing_is_proposed_once_at_a_time(database, home, people, propose):
    asked = propose()
    with pytest.raises(AlreadyProposed):
        propose("x")
    with database.organization(home.organization_id) as session:
        with pytest.raises(approvals.NotYours):
            approvals.withdraw(session, people["checker"], asked.id, now=NOON)
        approvals.withdraw(session, people["maker"], asked.id, now=NOON)
    propose("x")


def test_two_who_decide_at_once_do_it_once(people, propose, decide):
    asked = propose()

    def attempt(_: int) -> str:
        try:
            decide(people["checker"], asked)
        except AlreadyDecided:
            return "late"
        return "done"

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(attempt, range(4))) == ["done", "late", "late", "late"]


def test_a_proposal_is_seen_by_those_who_see_its_site_and_by_who_made_it(
    database, home, people, propose
):
    checker = people["checker"]

    def sees(scope: Scope, user_id=checker.user_id) -> bool:
        user = SignedIn(user_id, checker.organization_id, "c", "c", checker.roles, scope)
        with database.organization(home.organization_id) as session:
            return bool(approvals.listed(session, user, is_open=True))

    here = Scope(is_everywhere=False, sites=frozenset({home.site_id}))
    elsewhere = Scope(is_everywhere=False, sites=frozenset({uuid4()}))
    asked = propose(site_id=home.site_id)
    assert (sees(auth.EVERYWHERE), sees(here), sees(elsewhere)) == (True, True, False)
    assert sees(elsewhere, people["maker"].user_id)

    user = SignedIn(checker.user_id, checker.organization_id, "c", "c", checker.roles, elsewhere)
    with database.organization(home.organization_id) as session, pytest.raises(NoSuchApproval):
        approvals.decide(session, user, asked.id, approved=True, why="", now=NOON)


def test_the_pages_let_another_decide_and_say_why_it_cannot_be(
    database, web, home, people, propose
):
    def as_(name: str) -> None:
        with database.system() as session:
            web.cookies.set(COOKIE, auth.login(session, name, "correct horse", now=utc_now()))

    def decide(id, decision: str, why: str = "") -> int:
        form = {"decision": decision, "why": why}
        return web.post(f"/approvals/{id}/decide", data=form, headers=ORIGIN).status_code

    asked = propose()
    as_("maker")
    assert "门牌改了" in web.get("/approvals").text
    assert "须由他人审批" in web.get(f"/approvals/{asked.id}").text
    assert decide(asked.id, "approve") == 403
    as_("viewer")
    assert web.get("/approvals").status_code == 403
    as_("checker")
    assert decide(asked.id, "refuse") == 422  # without a reason
    assert decide(asked.id, "neither") == 422
    assert name_of(database, home) == "home"
    assert decide(asked.id, "approve") == 303
    assert name_of(database, home) == "新名"
    assert decide(asked.id, "refuse", "x") == 409
