"""Migrations, and whose rows a transaction sees."""

from __future__ import annotations

import re
from contextlib import suppress

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from cloud.db import (
    Database,
    begin_again,
    check_role,
    connect_args,
    is_away,
    is_entrys_fault,
    is_migrated,
    migrate,
    notify,
    place,
)
from cloud.errors import CannotStart
from cloud.services.readings import partitions
from cloud.tables import metadata

pytestmark = pytest.mark.processes

SHARED = {"organizations": "id"}  # table: the column that says whose the row is
SYSTEM_ONLY = {"login_failures", "job_runs", "telemetry_cursors", "heartbeats"}
KEPT = {"transfers", "audit_entries"}  # a change is refused before anybody asks whose row it is


def test_migrations_lead_from_an_empty_database_to_exactly_the_tables_in_the_code(database_url):
    migrate(database_url)
    migrate(database_url)  # and find nothing more to do

    database = Database(database_url, connections=1)
    assert is_migrated(database)
    database.close()
    engine = create_engine("postgresql+psycopg://", connect_args=connect_args(database_url))
    with engine.connect() as connection:
        differences = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_server_default": True}), metadata
        )
    engine.dispose()
    assert differences == []


def test_every_table_forces_row_level_security(database):
    with database.system() as session:
        secured = session.execute(
            text(
                "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relkind IN ('r', 'p')"
            )
        ).all()
    by_name = dict(map(tuple, secured))
    assert [name for name in metadata.tables if not by_name[name]] == []


def test_whose_rows_a_statement_sees_is_asked_once_and_not_for_each_row(database):
    with database.system() as session:
        partitions.make_month(session, year=2031, month=3)  # as the scheduler does
        policies = session.execute(
            text("SELECT tablename, qual, with_check FROM pg_policies WHERE policyname = 'whose'")
        ).all()
        session.rollback()

    assert "readings_2031_03" in {table for table, *_ in policies}
    in_a_subquery = re.compile(r"\( SELECT [^;]*?current_setting\(")
    asked = [
        (table, len(in_a_subquery.findall(condition)), condition.count("current_setting("))
        for table, *conditions in policies
        for condition in conditions
    ]
    assert [each for each in asked if each[1] != each[2]] == []


@pytest.fixture
def two_estates(database, build):
    """Two organizations with at least one row in every table that is somebody's."""
    ours, theirs = build("ours"), build("theirs")
    for each in (ours, theirs):
        with database.system() as session:
            for statement in FILL:
                session.execute(
                    text(statement),
                    {
                        "organization": each.organization_id,
                        "user": each.user_id,
                        "point": each.electricity,
                        "purse": each.electricity_purse,
                        "gateway": each.gateway_id,
                    },
                )
    return ours, theirs


FILL = (
    "INSERT INTO sign_ins (organization_id, id, created_at, user_id, token_hash, expires_at, address, agent)"
    " VALUES (:organization, gen_random_uuid(), now(), :user, sha256(convert_to(CAST(:user AS text), 'UTF8')),"
    " now(), '', '')",
    "INSERT INTO user_sites SELECT :organization, :user, id FROM sites"
    " WHERE organization_id = :organization",
    "INSERT INTO user_buildings SELECT :organization, :user, id FROM buildings"
    " WHERE organization_id = :organization",
    "INSERT INTO approvals (organization_id, id, created_at, kind, subject, detail, why, proposed_by)"
    " VALUES (:organization, gen_random_uuid(), now(), 'k', :point, '{}', 'w', :user)",
    "INSERT INTO audit_entries VALUES"
    " (:organization, 1, now(), :user, 'n', 'a', 's', 'i', NULL, NULL, decode('00', 'hex'))",
    "INSERT INTO audit_heads VALUES (:organization, 1, decode('00', 'hex'))",
    "INSERT INTO readings (organization_id, point_id, at, meter_no, total)"
    " VALUES (:organization, :point, now(), 'M', 1)",
    "INSERT INTO tariff_drafts (organization_id, id, created_at, document, basis, written_by, changed_at)"
    " VALUES (:organization, :organization, now(), '{}', 0, :user, now())",
    "INSERT INTO tariff_deliveries SELECT organization_id, id, :gateway, 1, now(), NULL FROM tariff_publications"
    " WHERE organization_id = :organization LIMIT 1",
    "INSERT INTO tariff_assignments SELECT organization_id, gen_random_uuid(), now(), id, commodity, :point, NULL,"
    " NULL, now(), NULL, :user FROM tariffs WHERE organization_id = :organization LIMIT 1",
    "INSERT INTO point_classes VALUES (:organization, :point, 'shops')",
    "INSERT INTO rehearsals (organization_id, id, created_at, draft_id, document, since, until, requested_by, done,"
    " total) VALUES (:organization, gen_random_uuid(), now(), :organization, '{}', current_date, current_date,"
    " :user, 0, 0)",
    "INSERT INTO rating_starts VALUES (:organization, :point, now(), '{}', NULL)",
    "INSERT INTO rated VALUES (:organization, :point, now(), 1, '{}')",
    "INSERT INTO rating_differences VALUES (:organization, :point, 'energy', now(), 1, 2, NULL, NULL, NULL, now())",
    "INSERT INTO rating_acknowledgements VALUES (:organization, :point, 'energy', now(), 1, 2, 'w', :user, now())",
    "INSERT INTO measurements VALUES (:organization, :point, now(), 'M', '{}', NULL, NULL)",
    "INSERT INTO evidence VALUES"
    " (:organization, :point, now(), 'backwards', 'certain', 'held', NULL, NULL, 'x')",
    "INSERT INTO alarms VALUES (:organization, :point, 'silent', now(), false, 'x')",
    "INSERT INTO alarm_acknowledgements VALUES (:organization, :point, 'silent', now(), 'w', :user, now())",
    "INSERT INTO trouble_acknowledgements VALUES (:organization, :gateway, 'clock', now(), 'w', :user, now())",
    "INSERT INTO transfers VALUES (:organization, gen_random_uuid(), 'a', 'b', 1, 'top-up', 'c', now(), now())",
    "INSERT INTO balances VALUES (:organization, :purse, 1)",
    "INSERT INTO daily_charges VALUES (:organization, :purse, current_date, 1)",
    "INSERT INTO topups"
    " (organization_id, id, created_at, purse_id, amount_fen, channel, idempotency_key, out_trade_no)"
    " VALUES (:organization, :organization, now(), :purse, 1, 'cash', :organization, CAST(:organization AS text))",
    "INSERT INTO credits SELECT organization_id, :purse, 1, id FROM transfers"
    " WHERE organization_id = :organization LIMIT 1",
    "INSERT INTO unknown_codes VALUES (:organization, :purse, 1, :gateway, 1, now(), NULL, NULL)",
    "INSERT INTO emergency_credits VALUES"
    " (:organization, gen_random_uuid(), now(), :purse, :gateway, now(), 'customer', 1, NULL)",
    "INSERT INTO refused_notices VALUES (:organization, gen_random_uuid(), now(), :organization, 't', 1, 'r')",
    "INSERT INTO channel_refunds"
    " (organization_id, id, created_at, topup_id, channel, out_trade_no, transaction_id, out_refund_no,"
    " amount_fen, payment_fen, paid_at) VALUES (:organization, gen_random_uuid(), now(), :organization, 'wechat',"
    " 'o', CAST(:organization AS text), CAST(:organization AS text), 1, 1, now())",
    "INSERT INTO shifts (organization_id, id, created_at, user_id, float_fen, handed_to, note)"
    " VALUES (:organization, :organization, now(), :user, 0, '', '')",
    "INSERT INTO withdrawals (organization_id, id, created_at, kind, purse_id, amount_fen, fee_fen, why, asked_by,"
    " is_unread_too, transfer_id, credit, reason, cause) VALUES (:organization, :organization, now(), 'refund',"
    " :purse, 1, 0, 'w', :user, false, :organization, 'b', 'refund', 'c')",
    "INSERT INTO withdrawal_parts (organization_id, id, created_at, withdrawal_id, way, amount_fen, fee_fen)"
    " VALUES (:organization, gen_random_uuid(), now(), :organization, 'cash', 1, 0)",
    "INSERT INTO lost_transfers (organization_id, id, created_at, gateway_id, purse_id, debit, amount_fen, reason,"
    " cause, at, credit) VALUES (:organization, :organization, now(), :gateway, :purse, 'b', 1, 'top-up', 'lost',"
    " now(), 'c')",
    "INSERT INTO grants VALUES"
    " (:organization, gen_random_uuid(), now(), :purse, 'gift', 1, 'w', :user, :organization)",
    "INSERT INTO receipts VALUES (:organization, 1, :organization, now(), 1)",
    "INSERT INTO money_rules VALUES (:organization, 0, false, 0)",
    "INSERT INTO period_closings (organization_id, id, created_at, month, closed_by)"
    " VALUES (:organization, gen_random_uuid(), now(), '2026-01-01', :user)",
    "INSERT INTO closed_balances VALUES (:organization, '2026-01-01', 'b', 1)",
    "INSERT INTO up_hashes VALUES (:organization, :gateway, 1, '')",
    "INSERT INTO notices (organization_id, id, created_at, account_id, key, event, phone, body, due_at)"
    " SELECT organization_id, gen_random_uuid(), now(), id, 'k', 'cut-off', '+1', 'x', now() FROM accounts"
    " WHERE organization_id = :organization LIMIT 1",
    "INSERT INTO bill_days VALUES (:organization, 'wechat', current_date, now(), 1, 1, 0, 0, 1, 1, 0)",
    "INSERT INTO bill_differences VALUES (:organization, gen_random_uuid(), now(), 'wechat', current_date,"
    " 'amount', CAST(:organization AS text), 'o', 't', NULL, 1, 2)",
    "INSERT INTO gateway_logs VALUES (:organization, :gateway, :gateway, 1, 'h', :gateway, now())",
    "INSERT INTO gateway_alarms VALUES (:organization, :gateway, 'forked', now(), false, 'x')",
    "INSERT INTO overrides"
    " (organization_id, id, created_at, point_id, supply, until, why, pinned_by, gateway_id, down_seq)"
    " VALUES (:organization, gen_random_uuid(), now(), :point, 'off', now(), 'x', :user, :gateway, 1)",
    "INSERT INTO field_work VALUES"
    " (:organization, gen_random_uuid(), now(), :gateway, :point, now(), 'cut-test', false, 'x', 'x')",
    "INSERT INTO enrolment_tokens VALUES"
    " (:organization, gen_random_uuid(), :gateway, convert_to(CAST(:user AS text), 'UTF8'), :user, now(), now())",
    "INSERT INTO gateway_credentials VALUES (:organization, :gateway, 1, 'k', 'h', NULL, now(), now())",
    "INSERT INTO photos VALUES (:organization, :organization, now(), 'image/png', '', :user)",
    "INSERT INTO device_events (organization_id, id, created_at, kind, at, point_id, done_by, why, detail)"
    " VALUES (:organization, :organization, now(), 'disputed', now(), :point, :user, 'x', '{}')",
    "INSERT INTO event_photos VALUES (:organization, :organization, :organization, 'closing')",
    "INSERT INTO drafts (organization_id, id, created_at, room_id, content, saved_by, saved_at)"
    " SELECT organization_id, gen_random_uuid(), now(), room_id,"
    " jsonb_build_object('room_ids', jsonb_build_array(room_id), 'points', '[]'::jsonb,"
    " 'holder', jsonb_build_object('name', 'x')), :user, now() FROM points WHERE id = :point",
    "INSERT INTO households SELECT organization_id, account_id, current_date, now(), 2, :user FROM purses"
    " WHERE id = :purse",
    "INSERT INTO account_acts (organization_id, id, created_at, account_id, act, at, detail)"
    " SELECT organization_id, gen_random_uuid(), now(), account_id, 'opened', now(), '{}' FROM purses"
    " WHERE id = :purse",
    "INSERT INTO api_keys (organization_id, id, created_at, user_id, prefix, key_hash, per_minute, made_by)"
    " VALUES (:organization, gen_random_uuid(), now(), :user, CAST(:user AS text),"
    " sha256(convert_to(CAST(:user AS text), 'UTF8')), 1, :user)",
    "INSERT INTO webhooks (organization_id, id, created_at, url, events, secret_number, made_by)"
    " VALUES (:organization, :organization, now(), 'https://x', '[]', 1, :user)",
    "INSERT INTO webhook_deliveries (organization_id, id, created_at, webhook_id, event, body, attempts, due_at)"
    " VALUES (:organization, gen_random_uuid(), now(), :organization, 'webhook.test', '{}', 0, now())",
    "INSERT INTO rejected VALUES (:organization, gen_random_uuid(), now(), :gateway, :gateway, 1, 'b', 'r')",
)


def test_an_organization_sees_its_own_rows_in_every_table_and_no_others(database, two_estates):
    ours, _ = two_estates
    for name in sorted(set(metadata.tables) - SYSTEM_ONLY):
        whose = SHARED.get(name, "organization_id")
        with database.organization(ours.organization_id) as session:
            seen = set(session.execute(text(f"SELECT {whose} FROM {name}")).scalars())
        assert seen == {ours.organization_id}, name


def test_an_organization_changes_and_deletes_no_row_of_another(database, two_estates):
    ours, theirs = two_estates
    for name in sorted(set(metadata.tables) - SYSTEM_ONLY - KEPT):
        whose = SHARED.get(name, "organization_id")
        for statement in (
            f"UPDATE {name} SET {whose} = {whose} WHERE {whose} = :theirs",
            f"DELETE FROM {name} WHERE {whose} = :theirs",
        ):
            with database.organization(ours.organization_id) as session:
                done = session.execute(text(statement), {"theirs": theirs.organization_id})
                assert done.rowcount == 0, statement


def test_an_organization_writes_no_row_for_another(database, two_estates):
    ours, theirs = two_estates
    for name in sorted(set(metadata.tables) - SYSTEM_ONLY):
        columns = metadata.tables[name].columns.keys()
        whose = SHARED.get(name, "organization_id")
        copied = ", ".join(f"'{theirs.organization_id}'" if c == whose else c for c in columns)
        with (
            pytest.raises(ProgrammingError, match="row-level security"),
            database.organization(ours.organization_id) as session,
        ):
            session.execute(
                text(
                    f"INSERT INTO {name} ({', '.join(columns)}) SELECT {copied} FROM {name} LIMIT 1"
                )
            )


def test_a_row_refers_to_no_row_of_another_organization(database, two_estates):
    ours, theirs = two_estates
    with (
        pytest.raises(DBAPIError, match="foreign key"),
        database.organization(ours.organization_id) as session,
    ):
        session.execute(
            text("INSERT INTO buildings VALUES (:ours, gen_random_uuid(), now(), :site, 'x')"),
            {"ours": ours.organization_id, "site": theirs.site_id},
        )


def test_a_connection_that_says_nothing_sees_nothing(url, home):
    engine = create_engine("postgresql+psycopg://", connect_args=connect_args(url))
    with engine.connect() as connection:
        for name in metadata.tables:
            assert connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() == 0, name
    engine.dispose()


def test_a_transaction_leaves_nothing_behind_for_the_next_on_its_connection(url, home):
    database = Database(url, connections=1)
    with database.system():
        pass
    with database.organization(home.user_id) as session:  # nobody's organization
        assert session.execute(text("SELECT count(*) FROM rooms")).scalar_one() == 0
    database.close()


def test_what_is_notified_is_said_once_and_only_if_its_transaction_commits(url, database):
    with psycopg.connect(url, autocommit=True) as listening:
        listening.execute("LISTEN heard")

        with suppress(ZeroDivisionError), database.system() as session:
            notify(session, "heard", "undone")
            raise ZeroDivisionError
        with database.system() as session:
            notify(session, "heard", "given up")
            begin_again(session)
            for payload in ("one", "other", "one"):
                notify(session, "heard", payload)

        said = [notified.payload for notified in listening.notifies(timeout=20, stop_after=2)]
    assert said == ["one", "other"]


def test_connections_that_broke_while_they_were_idle_are_replaced_unnoticed(postgres, url, home):
    database = Database(url, connections=2)
    with database.system(), database.system():
        pass  # two are in the pool
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (conninfo_to_dict(url)["dbname"],),
        )

    with database.organization(home.organization_id) as one, database.system() as other:
        counted = text("SELECT count(*) FROM sites")
        assert one.execute(counted).scalar_one() == 1
        assert other.execute(counted).scalar_one() >= 1
    database.close()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE transfers SET amount_fen = 2", "DELETE FROM transfers", "TRUNCATE transfers"],
)
def test_a_transfer_is_never_changed(database, two_estates, statement):
    with pytest.raises(DBAPIError, match="never changed"), database.system() as session:
        session.execute(text(statement))


def test_where_the_database_is_names_no_password():
    assert place("postgresql://wattwell:geheim@db.test:5433/books") == "db.test:5433/books"


@pytest.mark.parametrize(
    ("state", "away", "fault"),
    [
        ("08006", True, False),  # connection failure
        ("53300", True, False),  # too many connections
        ("57P01", True, False),  # admin shutdown
        ("40P01", False, False),  # deadlock detected
        ("42P01", False, False),  # undefined table
        ("54000", False, True),  # program limit exceeded: a value too long for an index
        ("22003", False, True),  # numeric value out of range
        ("23505", False, True),  # unique violation
    ],
)
def test_a_database_that_is_away_is_told_from_a_value_it_refuses(database, state, away, fault):
    with pytest.raises(DBAPIError) as raised, database.system() as session:
        session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$"))
    assert (is_away(raised.value), is_entrys_fault(raised.value)) == (away, fault)


def test_a_database_that_cannot_be_reached_is_away():
    nowhere = Database("postgresql://wattwell:x@127.0.0.1:1/wattwell")
    with pytest.raises(DBAPIError) as raised, nowhere.system():
        pass
    assert is_away(raised.value)
    assert not is_entrys_fault(raised.value)


def test_a_role_that_row_level_security_does_not_bind_is_refused(postgres, url, all_seeing):
    ours = Database(url)
    check_role(ours)
    ours.close()

    superuser = Database(all_seeing)
    with pytest.raises(CannotStart, match="role postgres is a superuser") as raised:
        check_role(superuser)
    assert "\n" not in str(raised.value)

    with superuser.system() as session:
        session.execute(text("CREATE ROLE passer LOGIN BYPASSRLS PASSWORD 'x'"))
    place = url.rpartition("@")[2]
    passer = Database(f"postgresql://passer:x@{place}")
    try:
        with pytest.raises(
            CannotStart, match="role passer is allowed to bypass row-level security"
        ):
            check_role(passer)
    finally:
        passer.close()
        with superuser.system() as session:
            session.execute(text("DROP ROLE passer"))
        superuser.close()
