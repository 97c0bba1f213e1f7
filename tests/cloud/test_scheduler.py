"""What happens by the clock, and that one scheduler leads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

SOON_S = 120.0  # for a program to start and say something, on a machine with other work
PROGRAM = (
    "import logging, sys; from pathlib import Path; from cloud import scheduler;"
    "from cloud.settings import Settings;"
    "logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s');"
    "scheduler.run(Settings.load(Path(sys.argv[1])))"
)


class Running:
    """A scheduler in a process of its own, and what it has said."""

    def __init__(self, settings_file: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", PROGRAM, str(settings_file)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.leads = threading.Event()
        self.waits = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "this scheduler leads":
                self.leads.set()
            if line.strip() == "another scheduler leads; this one waits":
                self.waits.set()


@pytest.fixture
def start(settings, settings_file) -> Iterator[object]:
    started: list[Running] = []

    def start() -> Running:
        started.append(Running(settings_file))
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()


def test_one_scheduler_leads_and_another_follows_when_it_is_killed(start):
    first = start()
    assert first.leads.wait(SOON_S)
    second = start()
    assert second.waits.wait(SOON_S)
    assert not second.leads.is_set()

    os.kill(first.process.pid, signal.SIGKILL)
    assert second.leads.wait(SOON_S)

    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(SOON_S) == 0


def test_a_scheduler_whose_role_sees_everybodys_rows_does_not_start(
    start, settings_file, all_seeing
):
    (settings_file.parent / "secrets" / "database_url").write_text(all_seeing)
    refused = start()
    assert refused.process.wait(SOON_S) == 1
    assert not refused.leads.is_set()
