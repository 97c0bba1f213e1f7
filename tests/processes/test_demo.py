"""`wattwell demo`, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from wattwell.programs import wait_for

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

DEMO = [sys.executable, "-m", "wattwell", "demo"]


def play(folder: Path) -> dict[str, Any]:
    """The demo's JSON, from a run that ended well."""
    played = subprocess.run(
        [*DEMO, "--once", "--data", str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    line = next(line for line in played.stdout.splitlines() if line.startswith("JSON:"))
    answer: dict[str, Any] = json.loads(line.removeprefix("JSON:"))
    return answer


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


def test_the_story_is_played_to_its_end_and_a_second_start_goes_on(folder: Path):
    first = play(folder)

    stages = ["cut_at", "cut_verified_at", "paid_at", "credited_at", "delivered_at", "restored_at"]
    assert [name for name in stages if first[name] is None] == []
    assert first["purses_that_differ"] == 0
    assert first["balance_cloud_fen"] == first["balance_gateway_fen"]
    assert first["read_back"] == ["off", "armed", "on"]
    assert left_running(folder) == []

    second = play(folder)

    assert datetime.fromisoformat(second["cut_at"]) > datetime.fromisoformat(first["restored_at"])
    assert second["purses"] == first["purses"]
    assert second["purses_that_differ"] == 0


def test_nothing_is_left_running_even_after_kill_9(folder: Path):
    demo = subprocess.Popen(
        [*DEMO, "--data", str(folder)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert demo.stdout is not None
    assert any("Room board" in line for line in demo.stdout)
    assert len(left_running(folder)) > 5

    demo.kill()
    demo.wait()

    wait_for(lambda: left_running(folder) == [], 30, "the end of all programs")


def test_ctrl_c_ends_everything(folder: Path):
    demo = subprocess.Popen(
        [*DEMO, "--data", str(folder)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert demo.stdout is not None
    assert any("Room board" in line for line in demo.stdout)

    demo.send_signal(signal.SIGINT)

    assert demo.wait(60) == 0
    assert left_running(folder) == []


def test_two_on_one_folder_are_refused_and_a_taken_port_is_named(folder: Path):
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
