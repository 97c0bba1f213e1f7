"""systemd hears that the gateway is alive only while its lines are served."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from edge import watchdog
from tests.edge.simulated import simulated

SERVICE = {"NOTIFY_SOCKET": "/run/there", "WATCHDOG_USEC": "60000000"}


async def fed(stuck: list[str], environ: dict[str, str], *, seconds: float) -> list[str]:
    """What systemd hears within so long."""
    said: list[str] = []

    def say(word: str) -> bool:
        said.append(word)
        return "NOTIFY_SOCKET" in environ

    task = asyncio.create_task(watchdog.feed(lambda: stuck, environ=environ, say=say))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return said


@simulated
async def test_it_is_said_twice_as_often_as_asked_for():
    # Asked for every 60 s: at 0, 30, 60 and 90 s.
    assert await fed([], SERVICE, seconds=100) == ["READY=1", *["WATCHDOG=1"] * 4]


@simulated
async def test_a_line_that_is_no_longer_served_starves_the_watchdog():
    stuck: list[str] = []
    task = asyncio.create_task(fed(stuck, SERVICE, seconds=200))
    await asyncio.sleep(45)
    stuck.append("L1")
    assert await task == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]


@simulated
async def test_without_a_watchdog_it_is_only_said_that_the_gateway_is_ready():
    assert await fed([], {"NOTIFY_SOCKET": "/run/there"}, seconds=100) == ["READY=1"]


def test_a_word_reaches_whoever_started_the_service(tmp_path: Path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        assert watchdog.notify("WATCHDOG=1", {"NOTIFY_SOCKET": path})
        assert systemd.recv(100) == b"WATCHDOG=1"
    assert not watchdog.notify("WATCHDOG=1", {})
