"""`wattwell demo`, as a newcomer runs it: played whole, killed, started again, and ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.ledger.onlooker import read_log
from wattwell.programs import wait_for
from wattwell.supervise import free_port

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

DEMO = [sys.executable, "-m", "wattwell", "demo"]


@dataclass(frozen=True, slots=True)
class Played:
    """A data folder in which the story was played once, and what it printed."""

    folder: Path
    status: int
    output: str
    answer: dict[str, Any]
    left_running: list[str]


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    folder = Path(tempfile.mkdtemp(prefix="wattwell-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user, who must reach its folder
    run = subprocess.run(
        [*DEMO, "--once", "--data", str(folder), "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("JSON:")]
    answer = json.loads(lines[0].removeprefix("JSON:")) if lines else {}
    yield Played(folder, run.returncode, run.stdout + run.stderr, answer, left_running(folder))
    shutil.rmtree(folder, ignore_errors=True)


def left_running(folder: Path) -> list[str]:
    """The command lines of living processes that name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in command and int(process.name) != os.getpid():
            found.append(command)
    return found


def start(folder: Path) -> subprocess.Popen[str]:
    """The demo, once its rooms have been read and its pages are up."""
    demo = subprocess.Popen(
        [*DEMO, "--data", str(folder), "--port", str(free_port())],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    assert any("Room board" in line for line in demo.stdout)
    return demo


def test_the_story_is_played_to_its_end(played: Played):
    assert played.status == 0, played.output
    stages = ["cut_at", "cut_verified_at", "paid_at", "credited_at", "delivered_at", "restored_at"]
    times = [played.answer[name] for name in stages]
    assert None not in times
    assert times == sorted(times)
    assert played.answer["read_back"] == ["off", "armed", "on"]


def test_both_ledgers_agree_to_the_fen(played: Played):
    assert played.answer["purses"] == 20
    assert played.answer["purses_that_differ"] == 0
    assert played.answer["balance_cloud_fen"] == played.answer["balance_gateway_fen"]


def test_nothing_is_left_running_after_the_story(played: Played):
    assert played.left_running == []


def test_nothing_is_left_running_even_after_kill_9(played: Played):
    demo = start(played.folder)
    assert len(left_running(played.folder)) > 5

    demo.kill()
    demo.wait()

    wait_for(lambda: left_running(played.folder) == [], 60, "the end of all programs")


def test_a_second_start_goes_on_and_ctrl_c_ends_it(played: Played):
    ledger = played.folder / "gateway" / "ledger.sqlite"
    before = read_log(ledger)

    demo = start(played.folder)
    demo.send_signal(signal.SIGINT)

    assert demo.wait(60) == 0
    assert left_running(played.folder) == []
    assert read_log(ledger)[: len(before)] == before
    assert len(read_log(ledger)) > len(before)


def test_a_taken_port_is_named_and_nothing_is_started(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = subprocess.run(
            [*DEMO, "--data", str(folder), "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert refused.returncode == 1
    assert f"port {port}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert left_running(folder) == []
