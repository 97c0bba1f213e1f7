"""What the machine itself knows of time: whether a time service keeps its clock, and how long it has run."""

from __future__ import annotations

import ctypes
import logging
import os
import time
from datetime import timedelta

log = logging.getLogger(__name__)

UNSYNCHRONISED = 0x40  # STA_UNSYNC in status
TIME_ERROR = 5  # what adjtimex returns of a clock that nobody keeps


class _Timex(ctypes.Structure):
    """struct timex of Linux, as far as it is needed; the rest is room for the kernel to write into."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # microseconds
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


class KernelClock:
    """Asks the kernel whether a time service (chrony, systemd-timesyncd, ntpd) keeps the machine's clock.

    The kernel takes its word back by itself: when somebody sets the clock by hand, and when the service
    has not been heard of for so long that the clock may be 16 s off.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._is_deaf = False

    def error(self) -> timedelta | None:
        """How far off the machine's clock can be, None where nobody keeps it or that cannot be asked.

        adjtimex(2) with modes 0, which everybody may ask.
        """
        asked = _Timex(modes=0)
        try:
            state = self._libc.adjtimex(ctypes.byref(asked))
        except AttributeError:
            self._cannot("this system has no adjtimex")
            return None
        if state < 0:
            self._cannot(os.strerror(ctypes.get_errno()))
            return None
        if state == TIME_ERROR or asked.status & UNSYNCHRONISED:
            return None
        return timedelta(microseconds=asked.maxerror)

    def _cannot(self, why: str) -> None:
        if not self._is_deaf:
            log.warning(
                "the kernel cannot be asked whether the clock is kept by a time service (%s); it is taken for "
                "one that is not. Under systemd, ProtectClock= must be off",
                why,
            )
        self._is_deaf = True


def since_boot() -> float:
    """Seconds since the machine was started, the time it slept too. Never jumps, and starts anew with it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
