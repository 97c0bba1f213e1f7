"""What the gateway's systemd unit allows it, and what it does not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "docker" / "systemd" / "wattwell-gateway.service"
MOST_EXPOSED = 25  # tenths; systemd calls less than 5.0 OK


def said(key: str) -> list[str]:
    """What the unit says under a key, in its order."""
    lines = (line.partition("=") for line in UNIT.read_text().splitlines())
    return [value.strip() for name, _, value in lines if name == key]


def test_the_service_may_ask_the_kernel_whether_its_clock_is_kept_and_may_not_set_it():
    filters = said("SystemCallFilter")
    allowed = filters.index("adjtimex clock_adjtime clock_adjtime64")

    # ProtectClock= and @privileged both forbid what edge/clocks/system_clock.py asks; what is said last holds.
    assert said("ProtectClock") in ([], ["no"])
    assert allowed > max(at for at, each in enumerate(filters) if each.startswith("~"))
    assert said("CapabilityBoundingSet") == [""]
    assert said("AmbientCapabilities") == [""]


def test_the_service_is_started_anew_without_end_and_watched():
    assert said("Restart") == ["always"]
    assert said("StartLimitIntervalSec") == ["0"]
    assert said("Type") == ["notify"]
    assert int(said("WatchdogSec")[0]) >= 60


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_the_service_hardened():
    looked = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            *(f"--threshold={MOST_EXPOSED}", UNIT),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 0, looked.stdout[-200:] + looked.stderr
