"""USB serial adapters hand on what they hear at once, where the system lets us say so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)

SYSTEM = Path("/sys/class/tty")


class Device(Protocol):
    """What pyserial offers: the flag ASYNC_LOW_LATENCY of the driver."""

    def set_low_latency_mode(self, low_latency_settings: bool) -> None:
        """Raises ValueError where the driver has no such flag."""
        ...


def hasten(name: str, device: Device, *, system: Path = SYSTEM) -> None:
    """Ask for low latency in both ways that Linux knows; a device that cannot works as it did.

    The flag is known to most drivers. FTDI's also shows its timer, 16 ms where nobody has set it, as
    latency_timer in milliseconds.
    """
    try:
        device.set_low_latency_mode(True)
    except (ValueError, OSError, NotImplementedError) as error:
        log.debug("%s: no low latency by its flag: %s", name, error)
    timer = system / Path(name).resolve().name / "device" / "latency_timer"
    if not timer.exists():
        return
    try:
        if timer.read_text().strip() != "1":
            timer.write_text("1")
    except OSError as error:
        log.debug("%s: %s cannot be set: %s", name, timer, error.strerror)
