"""The gateway's machine burns down; a spare takes over with one command, and the books do not notice."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys

import psycopg
import pytest

from wattwell.programs import Programs, wait_for
from wattwell.story import Story

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def charges(programs: Programs) -> int:
    """How many charges the cloud has booked."""
    with psycopg.connect(programs.postgres.admin_dsn, dbname="wattwell") as database:
        found = database.execute("SELECT count(*) FROM transfers WHERE reason = 'charge'")
        (count,) = found.fetchone() or (0,)
    return int(count)


def rejected(programs: Programs) -> list[str]:
    with psycopg.connect(programs.postgres.admin_dsn, dbname="wattwell") as database:
        return [reason for (reason,) in database.execute("SELECT reason FROM rejected")]


def test_a_spare_gateway_takes_over_with_one_command_and_every_purse_is_as_it_was(
    programs: Programs, story: Story
):
    wait_for(lambda: charges(programs) >= 5, 120, "the first charges")
    story.pay()
    programs.kill("gateway")
    folder = programs.installation.gateway
    burnt = folder / "burnt"
    burnt.mkdir()
    for file in folder.glob("ledger*"):
        shutil.move(file, burnt)
    before = charges(programs)

    command = [sys.executable, "-m", "wattwell", "edge", "takeover", "--within-s", "120"]
    taken = subprocess.run(
        [*command, "--config", str(folder / "gateway.toml")],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert taken.returncode == 0, taken.stderr
    assert "The ledger is rebuilt" in taken.stdout
    programs.launch("gateway")

    wait_for(lambda: charges(programs) > before, 120, "charges by the spare gateway")
    cloud, gateway = wait_for(
        story.balances, 60, "a moment at which both ledgers have all news of each other"
    )
    assert cloud == gateway
    assert len(cloud) == 20
    assert rejected(programs) == []
    ledger = sqlite3.connect(f"file:{programs.ledger}?mode=ro", uri=True)
    (hold,) = ledger.execute("SELECT hold FROM gateway").fetchone()
    ledger.close()
    assert hold is None
