"""Serial adapters are asked for low latency, and one that cannot works as it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.lines.latency import hasten


class Adapter:
    def __init__(self, *, knows_the_flag: bool) -> None:
        self.is_low = False
        self._knows_the_flag = knows_the_flag

    def set_low_latency_mode(self, low_latency_settings: bool) -> None:
        if not self._knows_the_flag:
            raise ValueError("Failed to update ASYNC_LOW_LATENCY flag")
        self.is_low = low_latency_settings


def timer_of(system: Path, text: str) -> Path:
    timer = system / "ttyUSB0" / "device" / "latency_timer"
    timer.parent.mkdir(parents=True)
    timer.write_text(text)
    return timer


def test_flag_and_timer_are_both_set(tmp_path: Path):
    adapter, timer = Adapter(knows_the_flag=True), timer_of(tmp_path, "16\n")

    hasten("/dev/ttyUSB0", adapter, system=tmp_path)

    assert adapter.is_low
    assert timer.read_text() == "1"


def test_a_device_that_cannot_is_said_for_debugging_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")

    hasten("/dev/ttyUSB0", Adapter(knows_the_flag=False), system=tmp_path)

    assert [(r.levelname, "no low latency" in r.getMessage()) for r in caplog.records] == [
        ("DEBUG", True)
    ]


def test_a_timer_that_cannot_be_set_is_said_for_debugging_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    (tmp_path / "ttyUSB0" / "device" / "latency_timer").mkdir(parents=True)

    hasten("/dev/ttyUSB0", Adapter(knows_the_flag=True), system=tmp_path)

    assert [r.levelname for r in caplog.records] == ["DEBUG"]
    assert "latency_timer cannot be set: Is a directory" in caplog.text
