"""A running gateway renews its credentials, is revoked, and is enrolled again, with a real broker and cloud."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text

from cloud.auth import SignedIn
from cloud.db import Database
from cloud.services import enrolment
from cloud.tables import utc_now
from edge.uplink import credentials as files
from edge.uplink.credentials import Credentials
from wattwell import seed
from wattwell.programs import Programs, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def numbers(programs: Programs) -> list[int]:
    """The numbers of the gateway's credentials that are good now."""
    with psycopg.connect(programs.postgres.admin_dsn, dbname="wattwell") as database:
        found = database.execute(
            "SELECT number FROM gateway_credentials WHERE ended_at IS NULL ORDER BY number"
        )
        return [number for (number,) in found]


def heard(programs: Programs) -> object:
    with psycopg.connect(programs.postgres.admin_dsn, dbname="wattwell") as database:
        return database.execute("SELECT heard_at FROM gateways").fetchone()


def said(programs: Programs) -> str:
    return programs.installation.log("gateway").read_text()


def kept(programs: Programs) -> Credentials:
    found = files.read(programs.installation.gateway)
    assert found is not None
    return found


def test_a_gateway_renews_its_credentials_is_revoked_and_is_enrolled_again(programs: Programs):
    folder = programs.installation.gateway
    wait_for(lambda: heard(programs) != (None,), 60, "the gateway's first word")
    first = kept(programs)

    # Their time is nearly over: the gateway is to get others, and the first end once they are used.
    files.write(folder, replace(first, issued_at=first.issued_at - timedelta(days=300)))
    wait_for(lambda: numbers(programs) == [2], 60, "credentials that renew themselves")
    assert kept(programs).number == 2
    before = heard(programs)
    wait_for(lambda: heard(programs) != before, 60, "a word by the new credentials")

    database = Database(programs.postgres.dsn(), connections=1)
    token = seed.issue_token(database, programs.settings)  # which the revocation is to end
    with database.system() as session:
        organization, gateway, user = session.execute(
            text("SELECT g.organization_id, g.id, u.id FROM gateways g, users u")
        ).one()
    manager = SignedIn(user, organization, seed.MANAGER, seed.MANAGER)
    with database.system() as session:
        enrolment.revoke(session, gateway, by=manager, now=utc_now())
    wait_for(lambda: "is gone" in said(programs), 60, "the end of its connection")
    silent = heard(programs)
    wait_for(lambda: "GW-0001 were revoked" in said(programs), 60, "what the gateway says of it")
    assert said(programs).count("GW-0001 were revoked") == 1
    assert not [program.name for program in programs.ended()]  # it goes on metering
    assert heard(programs) == silent

    again = seed.issue_token(database, programs.settings)
    database.close()
    command = [sys.executable, "-m", "wattwell", "edge", "enrol", "--plain-http"]
    config = ["--config", str(folder / "gateway.toml")]
    old = subprocess.run(
        [*command, token.text, *config], capture_output=True, text=True, check=False
    )
    assert (old.returncode, "no longer good" in old.stderr) == (1, True)
    new = subprocess.run(
        [*command, again.text, *config], capture_output=True, text=True, check=False
    )
    assert new.returncode == 0, new.stderr
    assert "Gateway GW-0001 is enrolled" in new.stdout
    wait_for(lambda: heard(programs) != silent, 60, "its word by the credentials it was given")
    assert numbers(programs) == [3]
