"""Whom a broker admits follows the database, also a NATS server that others run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import bcrypt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud.auth import SignedIn
from cloud.db import Database
from cloud.errors import CannotStart
from cloud.services import enrolment
from cloud.settings import Settings
from cloud.tables import utc_now
from prepaid.enrolment import Enrol
from tests.cloud.conftest import build_estate, keys, settings_file
from wattwell import broker_users
from wattwell.broker_users import Follower
from wattwell.programs import wait_for

pytestmark = pytest.mark.processes

__all__ = ["keys", "settings_file"]  # fixtures


@pytest.fixture
def settings(settings_file: Path, migrated_url: str) -> Settings:
    secrets = settings_file.parent / "secrets"
    (secrets / "database_url").write_text(migrated_url)
    (secrets / "nats_url").write_text("nats://cloud:p%2Fw@127.0.0.1:1")
    return Settings.load(settings_file)


class Office:
    """An estate whose gateway is enrolled and revoked."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url, connections=1)
        self.home = build_estate(self.database, "home")
        self.by = SignedIn(self.home.user_id, self.home.organization_id, "home", "home")

    def enrol(self) -> None:
        id, now = self.home.gateway_id, utc_now()
        with self.database.system() as session:
            token = enrolment.issue_token(session, self.settings, id, by=self.by, now=now)
        with self.database.system() as session:
            key = Ed25519PrivateKey.generate()
            asked = Enrol.by(token, key, gateway_no=self.home.gateway_no)
            enrolment.enrol(session, self.settings, asked, now=utc_now())

    def revoke(self) -> None:
        with self.database.system() as session:
            enrolment.revoke(session, self.home.gateway_id, by=self.by, now=utc_now())


@pytest.fixture
def office(settings):
    opened = Office(settings)
    yield opened
    opened.database.close()


def test_the_file_for_a_nats_server_admits_the_cloud_and_each_gateway_to_its_own(
    office, settings, tmp_path
):
    office.enrol()
    to = tmp_path / "users.conf"
    broker_users.write(settings, to, follow=False, then=None)

    assert to.stat().st_mode & 0o777 == 0o600
    cloud, gateway = json.loads(to.read_text().removeprefix("users:"))
    assert cloud["user"] == "cloud"
    assert bcrypt.checkpw(b"p/w", cloud["password"].encode())
    assert gateway["user"] == "GW-home.1"
    assert gateway["permissions"] == {
        "publish": ["wattwell.GW-home.up"],
        "subscribe": ["wattwell.GW-home.down", "$MQTT.sub.>"],
    }


def test_users_are_told_at_the_start_and_at_each_change_and_after_the_database_was_away(
    office, settings, postgres
):
    told: list[list[str]] = []
    follower = Follower(settings.database_url, lambda users: told.append(list(users)))
    follower.start()
    try:
        wait_for(lambda: told == [[]], 60, "the first users")
        office.enrol()
        wait_for(lambda: told[-1] == ["GW-home.1"], 60, "the gateway that was enrolled")
        with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%broker%'"
            )
        office.revoke()
        wait_for(lambda: told[-1] == [], 60, "nobody, as it was revoked")
    finally:
        follower.stop()


def test_a_command_is_run_after_each_change(office, settings, tmp_path):
    to, count = tmp_path / "users.conf", tmp_path / "count"
    broker_users.write(settings, to, follow=False, then=f"wc -l < {shlex.quote(str(to))} > {count}")
    assert int(count.read_text()) == len(to.read_text().splitlines())


def test_a_database_that_is_away_is_one_sentence(settings, tmp_path):
    away = settings.model_copy(update={"database_url": "postgresql://x:x@127.0.0.1:1/x"})
    with pytest.raises(CannotStart, match="The database does not answer"):
        broker_users.write(away, tmp_path / "users.conf", follow=False, then=None)
    assert not (tmp_path / "users.conf").exists()
