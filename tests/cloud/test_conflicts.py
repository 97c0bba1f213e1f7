"""Two people at once, and a commit that fails: both are told the truth."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from cloud.services import ledger
from cloud.tables import utc_now
from cloud.web import COOKIE
from prepaid.money import Money
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture

AT_ONCE = 8


def together(do, count: int = AT_ONCE) -> list[int]:
    """The statuses of so many answers, asked for at once."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda number: do(number).status_code, range(count)))


def cash(home, key, fen: int = 2000) -> dict[str, object]:
    return {
        "purse_id": str(home.electricity_purse),
        "amount_fen": fen,
        "idempotency_key": str(key),
    }


def balance(database, home) -> Money:
    with database.system() as session:
        return ledger.balance(session, home.electricity_purse)


def test_the_same_cash_sent_many_times_at_once_is_credited_once(staff, database, home):
    key = uuid4()
    answers = together(lambda _: staff.post("/api/topups", json=cash(home, key)))
    assert answers == [200] * AT_ONCE
    assert balance(database, home) == Money.yuan("20")


def test_one_key_for_two_amounts_at_once_credits_one_and_says_so_to_the_other(
    staff, database, home
):
    key = uuid4()
    answers = together(lambda n: staff.post("/api/topups", json=cash(home, key, 1000 + n)))
    assert sorted(answers) == [200] + [409] * (AT_ONCE - 1)
    assert Money.yuan("10") <= balance(database, home) < Money.yuan("10.08")


def test_cash_of_many_cashiers_on_one_purse_adds_up(staff, database, home):
    answers = together(lambda _: staff.post("/api/topups", json=cash(home, uuid4())))
    assert answers == [200] * AT_ONCE
    assert balance(database, home) == Money.yuan("160")  # 8 × ¥20
    with database.system() as session:
        numbers = session.execute(text("SELECT number FROM credits ORDER BY number")).scalars()
        assert list(numbers) == list(range(1, AT_ONCE + 1))


def test_two_operators_pin_one_supply_and_the_second_is_told_to_look_again(staff, database, home):
    until = (utc_now() + timedelta(hours=1)).isoformat()

    def pin(number: int):
        asked = {"supply": "on", "until": until, "why": f"operator {number}"}
        return staff.put(f"/api/points/{home.electricity}/override", json=asked)

    answers = together(pin)
    assert sorted(answers) == [200] + [409] * (AT_ONCE - 1)
    with database.system() as session:
        assert session.execute(text("SELECT count(*) FROM overrides")).scalar_one() == 1


@contextmanager
def failing(all_seeing: str, table: str):
    """Until the block ends, each transaction that writes to the table fails as it commits."""
    with psycopg.connect(all_seeing, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100'; END $$"
        )
        connection.execute(
            f"CREATE CONSTRAINT TRIGGER no AFTER INSERT OR UPDATE ON {table}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()"
        )
        try:
            yield
        finally:
            connection.execute(f"DROP TRIGGER no ON {table}")


def test_a_commit_that_fails_is_never_answered_as_done(staff, database, home, all_seeing):
    """By the API and by a form of each kind: with money, with supply, with a secret that is shown once."""
    until = (utc_now() + timedelta(hours=1)).isoformat()
    point = f"/rooms/{home.room_id}/points/{home.electricity}/override"
    form = {"supply": "on", "lasts": "4", "why": "exam week"}
    key = {"name": "x", "roles": "viewer", "days": "30", "per_minute": "60"}
    pin = {"supply": "on", "until": until, "why": "x"}
    attempts = [
        ("transfers", lambda: staff.post("/api/topups", json=cash(home, uuid4()))),
        ("overrides", lambda: staff.put(f"/api/points/{home.electricity}/override", json=pin)),
        ("overrides", lambda: staff.post(point, data=form)),
        ("enrolment_tokens", lambda: staff.post(f"/gateways/{home.gateway_id}/token")),
        ("api_keys", lambda: staff.post("/api-keys", data=key)),
        ("sign_ins", lambda: sign_in(staff)),
    ]
    for table, attempt in attempts:
        with failing(all_seeing, table):
            answer = attempt()
        assert answer.status_code == 503, (table, answer.status_code)
        assert "ww_" not in answer.text
        assert COOKIE not in answer.headers.get("set-cookie", "")
        with database.system() as session:
            kept = session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        assert kept == (1 if table == "sign_ins" else 0), table  # the session of this test's own
    assert balance(database, home) == Money.yuan("0")


def sign_in(staff: TestClient):
    return staff.post("/login", data={"login": "home", "password": "correct horse"})
