"""`wattwell serve`, started as a property company does, and begun again from its backup."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import IO

import pytest

from wattwell.supervise import free_port

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

CLOUD = (sys.executable, "-m", "wattwell", "cloud")


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "wattwell",
        "serve",
        "--data",
        str(folder),
        "--host",
        "127.0.0.1",
    ]
    ports = ["--port", str(free_port()), "--mqtt-port", str(free_port())]
    return subprocess.Popen(
        [*command, *ports, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def line_with(output: IO[str], pattern: str) -> str:
    said = []
    for line in output:
        said.append(line)
        if found := re.search(pattern, line):
            return found[0]
    raise AssertionError("".join(said))


def test_one_command_serves_an_installation_and_another_goes_on_from_its_backup(tmp_path: Path):
    first = start(tmp_path / "first")
    try:
        assert first.stdout is not None
        link = line_with(first.stdout, r"http://\S+/setup/begin/\S+")
        with urllib.request.urlopen(link, timeout=30) as page:
            assert "organization" in page.read().decode()
        ready = link.partition("/setup")[0] + "/health/ready"
        with urllib.request.urlopen(ready, timeout=30) as answer:
            assert json.load(answer)["worker"]["ok"]
        config = tmp_path / "first" / "cloud.toml"
        backup = tmp_path / "backup"
        phrase = tmp_path / "first" / "secrets" / "backup_passphrase"
        made = subprocess.run(
            [
                *CLOUD,
                "backup",
                str(backup),
                "-c",
                str(config),
                "--secrets",
                "--passphrase-file",
                str(phrase),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        assert "files of settings and keys" in made.stdout
    finally:
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0

    again = start(tmp_path / "again", "--restore", str(backup), "--passphrase-file", str(phrase))
    try:
        assert again.stdout is not None
        # The secrets are those of the first: so is the link.
        found = line_with(again.stdout, r"/setup/begin/\S+")
        assert found == link[link.index("/setup") :]
    finally:
        again.send_signal(signal.SIGTERM)
        assert again.wait(60) == 0
