"""The systemd unit of an installation on one machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "docker" / "systemd"
MOST_EXPOSED = 20  # tenths; systemd calls less than 5.0 OK


def said(unit: str, key: str) -> list[str]:
    """What a unit says under a key, in its order."""
    lines = (line.partition("=") for line in (UNITS / unit).read_text().splitlines())
    return [value.strip() for name, _, value in lines if name == key]


def test_both_services_start_the_program_that_make_setup_installed():
    programs = [
        said(unit, "ExecStart")[0].split()[:2]
        for unit in ("wattwell.service", "wattwell-gateway.service")
    ]

    assert programs == [
        ["/opt/wattwell/.venv/bin/wattwell", "serve"],
        ["/opt/wattwell/.venv/bin/wattwell", "edge"],
    ]


def test_the_service_is_started_anew_without_end():
    assert said("wattwell.service", "Restart") == ["always"]
    assert said("wattwell.service", "StartLimitIntervalSec") == ["0"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_the_service_hardened():
    looked = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            *(f"--threshold={MOST_EXPOSED}", UNITS / "wattwell.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 0, looked.stdout[-200:] + looked.stderr
