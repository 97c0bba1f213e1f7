"""Tells systemd that the gateway is ready and alive: alive is that its lines are served, not that it runs."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


def notify(word: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Says a word (sd_notify) to whoever started us as a service; False where nobody did."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as there:
        there.connect(address)
        there.sendall(word.encode())
    return True


async def feed(
    stuck: Callable[[], list[str]],
    *,
    environ: Mapping[str, str] = os.environ,
    say: Callable[[str], bool] = notify,
) -> None:
    """READY once, then WATCHDOG twice as often as asked for while stuck() names no line. Until cancelled.

    Once it stays out, systemd kills and starts us anew (WatchdogSec).
    """
    if not say("READY=1"):
        return
    every_us = environ.get("WATCHDOG_USEC", "")
    if not every_us.isdecimal():
        return
    was: list[str] = []
    while True:
        now = stuck()
        if not now:
            say("WATCHDOG=1")
        elif now != was:
            log.critical(
                "line %s is no longer served: the service is to be started anew", ", ".join(now)
            )
        was = now
        await asyncio.sleep(int(every_us) / 2_000_000)
