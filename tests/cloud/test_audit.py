"""The audit log: what is written, in which order, and how a change of the past is found."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

import cloud
import dashboards
from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.permissions import Role
from cloud.services import audit
from cloud.services.accounts.acts import Act
from cloud.services.audit import Head
from cloud.services.devices import examinations
from cloud.services.money import grants, withdrawals
from cloud.services.people import audit_checks
from cloud.tables import AuditEntry, utc_now
from cloud.web import COOKIE
from dashboards.manager.estate.point import KINDS
from dashboards.manager.people import fact_words
from dashboards.manager.people.act_words import ACTS
from dashboards.words import CATALOGUES
from tests.cloud.conftest import NOON
from wattwell import cli

pytestmark = pytest.mark.processes


@pytest.fixture
def by(home) -> SignedIn:
    return SignedIn(home.user_id, home.organization_id, "home", "王经理")


def write(session, by, *amounts: int) -> None:
    for amount in amounts:
        audit.record(
            session,
            by,
            "set",
            of="limit",
            id=by.user_id,
            before={"fen": 0},
            after={"fen": amount, "说": ["é", None, True]},
            now=NOON,
        )


def entries(database, home):
    with database.organization(home.organization_id) as session:
        return session.execute(select(AuditEntry).order_by(AuditEntry.number)).scalars().all()


def verified(database, home):
    with database.system() as session:
        (found,) = audit.verify(session, organization_id=home.organization_id)
        return found


def test_entries_are_numbered_and_chained_in_the_transaction_they_are_about(database, home, by):
    with database.organization(home.organization_id) as session:
        write(session, by, 1, 2)
    with database.organization(home.organization_id) as session:
        write(session, by, 3)

    found = entries(database, home)
    assert [(e.number, e.after["fen"], e.user_name) for e in found] == [
        (1, 1, "王经理"),
        (2, 2, "王经理"),
        (3, 3, "王经理"),
    ]
    whole = verified(database, home)
    assert (whole.entries, whole.fault, whole.head) == (3, None, found[-1].hash)


def test_what_is_undone_is_not_in_the_log(database, home, by):
    with suppress(Undone), database.organization(home.organization_id) as session:
        write(session, by, 1)
        raise Undone
    with database.organization(home.organization_id) as session:
        write(session, by, 2)
        with suppress(Undone), session.begin_nested():
            write(session, by, 3)
            with session.begin_nested():
                write(session, by, 4)
            raise Undone
        with session.begin_nested():
            write(session, by, 5)

    assert [e.after["fen"] for e in entries(database, home)] == [2, 5]


class Undone(Exception):
    """What was done is taken back."""


def test_those_who_write_at_once_get_one_order(database, home, by):
    def one(amount: int) -> None:
        with database.organization(home.organization_id) as session:
            write(session, by, amount)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(24)))
    found = entries(database, home)
    assert [e.number for e in found] == list(range(1, 25))
    assert {e.after["fen"] for e in found} == set(range(24))
    assert verified(database, home).fault is None


def test_what_the_database_would_bring_back_as_another_is_not_taken(database, home, by):
    with database.organization(home.organization_id) as session:
        for wrong in (0.1, home.user_id, NOON, {"deep": [1.0]}):
            with pytest.raises(TypeError, match="audit log"):
                audit.record(session, by, "set", of="x", id="1", after={"v": wrong}, now=NOON)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_entries SET act = 'x'", "DELETE FROM audit_entries", "TRUNCATE audit_entries"],
)
def test_an_entry_is_never_changed(database, home, by, statement):
    with database.organization(home.organization_id) as session:
        write(session, by, 1)
    with pytest.raises(DBAPIError, match="never changed"), database.system() as session:
        session.execute(text(statement))


CHANGES = {
    "UPDATE audit_entries SET after = '{\"fen\": 9}' WHERE number = 2": (
        2,
        "not as it was written",
    ),
    "UPDATE audit_entries SET user_name = '李四' WHERE number = 3": (3, "not as it was written"),
    "UPDATE audit_entries SET at = at + interval '1 second' WHERE number = 1": (1, "not as it was"),
    "DELETE FROM audit_entries WHERE number = 2": (2, "entry 2 is missing"),
    "DELETE FROM audit_entries WHERE number >= 3": (3, "entry 3 is missing, and all after it"),
    "DELETE FROM audit_entries WHERE number = 4; UPDATE audit_heads SET number = 3": (
        3,
        "the end of the log is not the one",
    ),
    "DELETE FROM audit_entries": (1, "entry 1 is missing, and all after it"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_the_owner_of_the_database_is_found(database, home, by, all_seeing, change):
    with database.organization(home.organization_id) as session:
        write(session, by, 1, 2, 3, 4)
    with psycopg.connect(all_seeing) as owner:
        owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER ALL")
        for statement in change.split(";"):
            owner.execute(statement)

    found = verified(database, home)

    number, said = CHANGES[change]
    assert found.broken == number
    assert said in found.fault


def test_each_organization_has_a_chain_of_its_own(database, home, by, build):
    other = build("other")
    stranger = SignedIn(other.user_id, other.organization_id, "o", "o")
    with database.system() as session:
        write(session, by, 1)
        write(session, stranger, 2)
        write(session, by, 3)
    with database.system() as session:
        assert [(v.entries, v.fault) for v in audit.verify(session)] == [(2, None), (1, None)]
    with database.organization(other.organization_id) as session:
        assert session.execute(select(tables.AuditEntry)).scalar_one().after["fen"] == 2


def test_a_chain_made_anew_is_found_by_a_head_that_was_kept(database, home, by, all_seeing):
    with database.organization(home.organization_id) as session:
        write(session, by, 1, 2)
    kept = Head.read(str(verified(database, home).last))
    with database.organization(home.organization_id) as session:
        write(session, by, 3)

    def faults(*heads: Head) -> str | None:
        with database.system() as session:
            (found,) = audit.verify(session, organization_id=home.organization_id, heads=heads)
            return found.fault

    assert faults(kept) is None
    with psycopg.connect(all_seeing) as owner:  # who owns the database writes another past
        owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER ALL")
        owner.execute("DELETE FROM audit_entries")
        owner.execute("DELETE FROM audit_heads")
    assert faults(kept) == "entry 1 is missing, and all after it"
    with database.organization(home.organization_id) as session:
        write(session, by, 9, 2, 3)
    assert faults() is None
    assert faults(kept) == "entry 2, or one before it, was made anew"


def test_verify_names_the_first_entry_that_is_not_as_it_was(
    settings_file, settings, database, home, by, all_seeing
):
    with database.organization(home.organization_id) as session:
        write(session, by, 1, 2)

    def verify(*further: str):
        return CliRunner().invoke(cli.app, ["audit", "verify", "-c", str(settings_file), *further])

    well = verify()
    assert (well.exit_code, "home: 2 entries" in well.output) == (0, True)
    head = re.search(r"head (\S+)", well.output)[1]
    assert verify("--expect", head).exit_code == 0
    assert verify("--expect", "x").exit_code == 2
    with psycopg.connect(all_seeing) as owner:
        owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER ALL")
        owner.execute("UPDATE audit_entries SET user_name = 'x' WHERE number = 2")
    wrong = verify()
    assert (wrong.exit_code, "entry 2 is not as it was written" in wrong.output) == (1, True)


def test_the_page_shows_what_is_asked_for_and_only_to_those_who_see_everything(
    database, web, home, by
):
    with database.system() as session:
        write(session, by, 7)
        audit.record(session, by, "pin", of="point", id=home.water, now=NOON)
        web.cookies.set(COOKIE, auth.login(session, "home", "correct horse", now=utc_now()))

    whole, pins = web.get("/audit").text, web.get("/audit?act=pin&since=2026-03-02").text

    assert ("强制拉闸或保电" in whole, "limit: set" in whole) == (True, True)
    assert ("强制拉闸或保电" in pins, "limit: set" in pins) == (True, False)
    assert "limit: set" not in web.get("/audit?until=2026-03-01").text
    assert "limit: set" in web.get("/audit?since=nonsense&before=x").text
    with database.system() as session:
        session.get_one(tables.User, home.user_id).is_everywhere = False
    assert web.get("/audit").status_code == 403


def checked(database, home, *, now=NOON):
    with database.organization(home.organization_id) as session:
        return audit_checks.check(session, home.organization_id, now=now)


def test_the_nightly_check_alarms_the_administrator_until_the_log_is_whole_again(
    database, home, by, web, all_seeing
):
    with database.system() as session:
        cookie = auth.login(session, "home", "correct horse", now=utc_now())
    web.cookies.set(COOKIE, cookie)
    english = {"Accept-Language": "en"}
    assert checked(database, home) is None  # nothing was written yet
    with database.organization(home.organization_id) as session:
        write(session, by, 1, 2)
    assert checked(database, home).fault is None
    assert "The audit log is broken" not in web.get("/rooms", headers=english).text
    assert "Verified from the first entry on" in web.get("/audit", headers=english).text

    def as_owner(statement: str) -> None:
        with psycopg.connect(all_seeing) as owner:
            owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER ALL")
            owner.execute(statement)

    as_owner("UPDATE audit_entries SET user_name = '李四' WHERE number = 2")
    assert checked(database, home).broken == 2
    for path in ("/rooms", "/alarms", "/audit"):
        assert "entry 2 is not as it was written" in web.get(path, headers=english).text
    with database.organization(home.organization_id) as session:
        assert audit_checks.of(session, replace(by, roles=frozenset({Role.OPERATOR}))) is None
    as_owner("UPDATE audit_entries SET user_name = '王经理' WHERE number = 2")
    assert checked(database, home, now=NOON + timedelta(days=1)).fault is None
    assert "The audit log is broken" not in web.get("/rooms", headers=english).text

    # Another past, whole in itself, is not what was there when the log was last whole.
    as_owner(
        "DELETE FROM audit_entries; UPDATE audit_heads SET number = 0, hash = decode(repeat('00', 32), 'hex')"
    )
    with database.organization(home.organization_id) as session:
        write(session, by, 7, 8)
    assert "made anew" in checked(database, home).fault


def test_every_act_that_is_written_down_has_a_word_in_both_languages():
    """Those that the services name outright; the rest are put together of a kind and an act."""
    outright = set()
    for path in Path(cloud.__file__).parent.rglob("*.py"):
        for call in (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)):
            if ast.unparse(call.func) == "audit.record" and isinstance(call.args[2], ast.Constant):
                (of,) = (k.value for k in call.keywords if k.arg == "of")
                if isinstance(of, ast.Constant):
                    outright.add((of.value, call.args[2].value))
    together = {
        *((kind.value, act) for kind in withdrawals.Kind for act in ("ask", "cancel")),
        *((kind.value, "give") for kind in grants.Kind),
        *(
            (kind, f"{kind}-{act}")
            for kind in ("site", "building", "room")
            for act in ("added", "renamed", "ended", "deleted", "used-again")
        ),
        *(("account", f"account.{act}") for act in Act if act is not Act.HOUSEHOLD),
        *(("point", kind) for kind in KINDS if kind != examinations.CALIBRATED),
    }
    assert len(outright) > 40
    assert (outright | together) - set(ACTS) == set()
    chinese = CATALOGUES["zh"]
    assert [word for word in ACTS.values() if chinese.gettext(word) == word] == []


def test_every_fact_of_the_log_has_a_word():
    unknown = {
        f"{path.stem}: {key}"
        for program in (cloud, dashboards)
        for path in Path(str(program.__file__)).parent.rglob("*.py")
        for key in _facts(ast.parse(path.read_text("utf-8")))
        if key.removesuffix("_fen") not in fact_words.FACTS
        and key not in fact_words.FOR_PROGRAMS | fact_words.THINGS
    }

    assert unknown == set()


def _facts(tree: ast.Module) -> Iterator[str]:
    """The keys of what is given to the log as before and after, or to a proposal as its detail."""
    for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
        made = [each for each in ast.walk(function) if isinstance(each, ast.Assign)]
        for call in (each for each in ast.walk(function) if isinstance(each, ast.Call)):
            if ast.unparse(call.func) not in ("audit.record", "approvals.propose"):
                continue
            given = [one.value for one in call.keywords if one.arg in ("before", "after", "detail")]
            dicts = [one for one in given if isinstance(one, ast.Dict)]
            spread = [
                value
                for one in dicts
                for key, value in zip(one.keys, one.values, strict=True)
                if not key
            ]
            names = {one.id for one in (*given, *spread) if isinstance(one, ast.Name)}
            assigned = [one.value for one in made if ast.unparse(one.targets[0]) in names]
            for one in (*dicts, *assigned):
                if isinstance(one, ast.Dict):
                    yield from (key.value for key in one.keys if isinstance(key, ast.Constant))
