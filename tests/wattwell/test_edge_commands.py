"""`wattwell edge backup`, `restore`, `check` and `takeover`, as a technician runs them."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from edge.ledger.store import Hold, Store
from prepaid.money import Money
from prepaid.wire.uplog import Read
from tests.edge.simulated import ELECTRICITY, PURSE, top_up
from tests.prepaid.values import read
from wattwell.cli import app


@pytest.fixture
def config(tmp_path: Path) -> Path:
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    path = tmp_path / "gateway.toml"
    path.write_text(
        'gateway_no = "GW-0001"\n[cloud]\nbroker = "127.0.0.1:1"\n'
        f'key = "{base64.b64encode(key).decode()}"\n'
        '[[line]]\nname = "L1"\nport = "tcp:127.0.0.1:1"\n'
    )
    return path


@pytest.fixture
def ledger(config: Path) -> Path:
    return config.with_name("ledger.sqlite")


@pytest.fixture
def store(ledger: Path) -> Iterator[Store]:
    store = Store(ledger, "GW-0001")
    with store.transaction():
        store.post(top_up("20.00"))
        store.append(Read(ELECTRICITY.id, read("1.00")))
    yield store
    store.close()


@pytest.fixture
def edge(config: Path) -> Callable[..., Result]:
    def run(*words: object) -> Result:
        result = CliRunner().invoke(
            app, ["edge", *map(str, words), "--config", str(config)], env={"NO_COLOR": "1"}
        )
        assert "Traceback" not in result.output
        return result

    return run


def test_a_backup_is_taken_while_the_gateway_runs_and_put_back_once_it_is_stopped(
    store: Store, edge: Callable[..., Result], ledger: Path, tmp_path: Path
):
    copy = tmp_path / "monday.sqlite"
    taken = edge("backup", copy)
    assert (taken.exit_code, "is a sound copy" in taken.output) == (0, True)
    with store.transaction():
        store.post(top_up("5.00", cause="sandbox:2"))

    running = edge("restore", copy)
    assert running.exit_code == 1
    assert "in use by another gateway program; stop it first" in running.output
    store.close()
    stopped = edge("restore", copy)

    assert stopped.exit_code == 0
    assert "is kept as" in stopped.output
    assert "leaves every supply as it is until the cloud has said" in stopped.output
    again = Store(ledger, "GW-0001")
    assert (again.hold, again.balance(PURSE)) == (Hold.RESTORED, Money.yuan("20.00"))
    again.close()


def test_a_sound_ledger_is_said_to_be_sound_and_a_damaged_one_what_is_wrong(
    store: Store, edge: Callable[..., Result], ledger: Path
):
    assert edge("check").output.endswith("is sound.\n")
    db = sqlite3.connect(ledger)
    db.execute("UPDATE balance SET fen = 7")
    db.commit()
    db.close()

    damaged = edge("check")

    assert damaged.exit_code == 1
    assert "does not add up" in damaged.output


def test_where_there_is_no_ledger_it_is_said_in_a_sentence(
    edge: Callable[..., Result], ledger: Path
):
    for words in (("check",), ("backup", ledger.with_name("copy.sqlite"))):
        missing = edge(*words)
        assert missing.exit_code == 1
        assert f"there is no ledger {ledger}" in missing.output
        assert "`wattwell edge run`" in missing.output


def test_who_enrols_is_told_that_the_address_of_the_cloud_is_wanted(tmp_path: Path):
    config = tmp_path / "gateway.toml"
    config.write_text('gateway_no = "GW-0001"\n[[line]]\nname = "L1"\nport = "tcp:127.0.0.1:1"\n')
    refused = CliRunner().invoke(app, ["edge", "enrol", "any", "--config", str(config)])
    assert refused.exit_code == 1
    assert "say --cloud https://" in refused.output


def test_a_takeover_without_a_cloud_keeps_the_old_ledger_and_asks_on_at_the_next_start(
    store: Store, edge: Callable[..., Result], ledger: Path, config: Path
):
    assert edge("takeover").exit_code == 2  # the broker's password is not at hand
    config.write_text(config.read_text().replace("[cloud]", '[cloud]\npassword_file = "password"'))
    config.with_name("password").write_text("secret")
    assert "in use by another gateway program" in edge("takeover").output
    store.close()

    waited = edge("takeover", "--within-s", 1)

    assert waited.exit_code == 1
    assert "has not told everything within 1 s" in waited.output
    (aside,) = ledger.parent.glob("ledger.sqlite.set-aside-*")
    old = Store(aside, "GW-0001")
    assert old.balance(PURSE) == Money.yuan("20.00")
    old.close()
    new = Store(ledger, "GW-0001")
    assert (new.hold, new.instead_of()) == (Hold.REBUILDING, None)
    new.close()
