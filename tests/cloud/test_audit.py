"""The audit log: what is written, in which order, and how a change of the past is found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import audit
from cloud.tables import AuditEntry
from tests.cloud.conftest import NOON

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
