"""`wattwell edge status`, `scan`, `read`, `pin` and `check-config`, with a gateway that runs and without."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from edge.ledger.store import Store
from edge.page.app import create_api
from edge.page.server import listen_beside, serve, socket_beside
from prepaid.wire.uplog import AlarmKind, Trouble
from tests.edge.field.rooms import FieldRoom
from tests.edge.page.gateways import DIRECT, PIN, desk_of
from tests.edge.simulated import ELECTRICITY, EVENING, POWER_TARIFF, WATER, until
from wattwell.cli import app
from wattwell.gateway_screen import needs_somebody


def write(path: Path, more: str = "", port: str = "tcp:127.0.0.1:1") -> Path:
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    path.write_text(
        'gateway_no = "GW-0001"\n[cloud]\nbroker = "127.0.0.1:1"\n'
        f'key = "{base64.b64encode(key).decode()}"\n'
        f'{more}[[line]]\nname = "L1"\nport = "{port}"\n'
    )
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path / "gateway.toml")


@pytest.fixture
def edge(config: Path) -> Callable[..., Result]:
    def run(*words: object, **options: object) -> Result:
        result = CliRunner().invoke(
            app,
            ["edge", *map(str, words), "--config", str(config)],
            env={"NO_COLOR": "1", "COLUMNS": "200"},
            **options,  # type: ignore[arg-type]
        )
        assert "Traceback" not in result.output
        return result

    return run


@contextmanager
def running(folder: Path) -> Iterator[FieldRoom]:
    """A gateway with the socket beside its ledger, in a thread and a loop of its own."""
    is_ready, is_over = threading.Event(), threading.Event()
    rooms: list[FieldRoom] = []

    async def run() -> None:
        at = FieldRoom(folder, (DIRECT, WATER))
        listening = listen_beside(socket_beside(folder / "ledger.sqlite"))
        assert listening is not None
        tasks = [
            asyncio.create_task(at.agent.run()),
            asyncio.create_task(serve(create_api(desk_of(at, folder)), listening)),
        ]
        await until(lambda: all(at.store.supply(id) for id in at.store.points()), within_s=30)
        rooms.append(at)
        is_ready.set()
        await asyncio.to_thread(is_over.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        at.store.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert is_ready.wait(30)
        yield rooms[0]
    finally:
        is_over.set()
        thread.join(30)


def test_a_gateway_that_runs_tells_how_it_is(edge: Callable[..., Result], tmp_path: Path):
    with running(tmp_path):
        shown = edge("status")
        told = json.loads(edge("status", "--json").output)

    assert shown.exit_code == 0, shown.output
    for word in ("GW-0001", "trusted", "L1", "away", "entries wait"):
        assert word in shown.output
    counts = {"silent": 0, "wrong": 0, "held": 0, "off": 0, "waiting": 0}
    assert told["counts"] == {"points": 2, **counts}
    assert [point["name"] for point in told["points"]] == ["0301 电", "0301 水"]


def test_a_silent_meter_is_no_error_of_the_gateway_and_a_trouble_is(
    edge: Callable[..., Result], tmp_path: Path
):
    with running(tmp_path):
        told = json.loads(edge("status", "--json").output)

    counts = {**told["counts"], "silent": 1, "held": 1, "waiting": 1}
    assert not needs_somebody({**told, "counts": counts})
    assert needs_somebody({**told, "troubles": {Trouble.DISK_FULL: EVENING.isoformat()}})


def test_a_running_gateway_reads_a_meter_and_shows_its_frames(
    edge: Callable[..., Result], tmp_path: Path
):
    with running(tmp_path):
        for wanted in ("0301 电", "201709320072", "https://maker.example/?m=201709320072"):
            seen = edge("read", wanted)
            assert (seen.exit_code, "100.00 kWh, supply on" in seen.output) == (0, True), (
                seen.output
            )
            assert "→ FE FE FE FE 68 72 00 32 09 17 20 68 11" in seen.output
        missing = edge("read", "0999 电")
    assert (missing.exit_code, "is called '0999 电'" in missing.output) == (1, True)


def test_a_running_gateway_scans_a_line_while_it_serves_it(
    edge: Callable[..., Result], tmp_path: Path
):
    with running(tmp_path):
        found = edge("scan", "L1", "--protocol", "cjt188", "--baud", "115200")
        wrong = edge("scan", "L9")
    assert (found.exit_code, "cjt188       78330011223344" in found.output) == (0, True)
    assert "1 found." in found.output
    assert (wrong.exit_code, "There is no line L9; there are L1." in wrong.output) == (2, True)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--protocol", "klingon", "no protocol is called klingon; there are dlt645-2007, "),
        ("--baud", "fast", "a rate is a number like 2400, and fast is not"),
        ("--baud", "9601", "the baud rate must be one of 300, 600"),
    ],
)
def test_a_scan_that_cannot_be_says_what_there_is(
    edge: Callable[..., Result], option: str, value: str, sentence: str
):
    wrong = edge("scan", "L1", option, value)
    assert (wrong.exit_code, sentence in wrong.output) == (2, True), wrong.output


def test_the_socket_is_for_the_owner_of_the_ledger_alone(tmp_path: Path):
    with running(tmp_path):
        mode = stat.S_IMODE(os.stat(socket_beside(tmp_path / "ledger.sqlite")).st_mode)
    assert mode == 0o600


def test_where_no_gateway_runs_the_ledger_tells(edge: Callable[..., Result], config: Path):
    store = Store(config.with_name("ledger.sqlite"), "GW-0001")
    with store.transaction():
        store.save_tariff(POWER_TARIFF)
        store.save_point(ELECTRICITY)
        store.save_alarm(ELECTRICITY.id, AlarmKind.SILENT, EVENING)
    store.close()
    socket_beside(config.with_name("ledger.sqlite")).touch()  # left by one that was killed

    shown = edge("status")

    assert shown.exit_code == 1
    for word in ("not running", "1; 1 silent", "0301 电", "silent"):
        assert word in shown.output


def test_without_ledger_or_gateway_nothing_can_be_told(edge: Callable[..., Result]):
    shown = edge("status")
    assert (shown.exit_code, "No gateway runs here" in shown.output) == (2, True)


def test_without_a_gateway_the_line_is_opened_from_here(edge: Callable[..., Result], config: Path):
    store = Store(config.with_name("ledger.sqlite"), "GW-0001")
    with store.transaction():
        store.save_point(ELECTRICITY)
    store.close()
    read = edge("read", "201709320072")
    assert read.exit_code == 1
    assert "The line cannot be used: serial server 127.0.0.1:1 cannot be opened" in read.output
    scanned = edge("scan", "L1", "--protocol", "dlt645-2007")
    assert scanned.exit_code == 1
    assert "serial server 127.0.0.1:1 cannot be opened" in scanned.output


def test_without_a_gateway_what_cannot_be_read_is_said_in_a_sentence(
    edge: Callable[..., Result], config: Path
):
    missing = edge("read", "0301 电")
    store = Store(config.with_name("ledger.sqlite"), "GW-0001")
    with store.transaction():
        store.save_point(replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, protocol="other")))
    store.close()
    strange = edge("read", "0301 电")

    assert (missing.exit_code, "there is no ledger" in missing.output) == (1, True), missing.output
    assert strange.exit_code == 1, strange.output
    assert "There is no driver for other" in strange.output


def test_a_pin_is_kept_as_a_hash_for_the_owner_alone(edge: Callable[..., Result], tmp_path: Path):
    assert edge("pin", input=f"{PIN}\n").exit_code == 0
    kept = tmp_path / "page.pin"
    assert kept.read_text().startswith("$argon2id$")
    assert PIN not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_no_pin_is_left_beside_a_settings_file_that_is_not_there(
    edge: Callable[..., Result], config: Path, tmp_path: Path
):
    config.unlink()

    result = edge("pin", input=f"{PIN}\n")

    assert (result.exit_code, f"there is no {config}" in result.output) == (2, True), result.output
    assert not (tmp_path / "page.pin").exists()


@pytest.mark.parametrize("pin", ["12345", "", "123456", "654321", "111111", "121212"])
def test_a_pin_that_is_guessed_first_is_not_taken(edge: Callable[..., Result], tmp_path: Path, pin):
    result = edge("pin", input=f"{pin}\n")
    assert (result.exit_code, "Not set" in result.output) == (2, True)
    assert not (tmp_path / "page.pin").exists()


def test_settings_are_looked_through_with_the_line_to_mend(
    edge: Callable[..., Result], config: Path
):
    write(config, '[page]\nlisten = "0.0.0.0:8089"\n[log]\nfile = "gateway.log"\n')
    env = {"WATTWELL_GATEWAY_PASSWORD": "x"}
    right = CliRunner().invoke(app, ["edge", "check-config", "-c", str(config)], env=env)
    assert (right.exit_code, "page: https://0.0.0.0:8089" in right.output) == (0, True)

    write(config, '[page]\nlisten = "8089"\nhtps = false\n[log]\nfile = ""\n')
    wrong = edge("check-config")
    assert wrong.exit_code == 2
    assert 'gateway.toml, line 6: page.listen: must be "host:port"' in wrong.output
    assert "gateway.toml, line 7: page.htps: is not a setting" in wrong.output
    assert "gateway.toml, line 9: log.file" in wrong.output
