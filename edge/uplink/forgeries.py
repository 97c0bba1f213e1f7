"""Messages on our topic that the cloud did not sign: dropped, and said once when it begins and once when it ends."""

from __future__ import annotations

import logging

from prepaid.seal import NotSigned

log = logging.getLogger(__name__)

QUIET_S = 300.0  # without one, and the cloud is heard: it has ended


class Forgeries:
    """How many have come since it began. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._count = 0
        self._last = 0.0

    def drop(self, error: NotSigned, *, at: float) -> None:
        if self._count == 0:
            log.error(
                "a message that the cloud did not sign came on this gateway's topic: %s. Such messages are dropped. "
                "If the cloud is not heard at all, this gateway has keys of another cloud: enrol it again; else "
                "somebody else writes to the broker",
                error,
            )
        self._count += 1
        self._last = at

    def heard(self, *, at: float) -> None:
        """The cloud is heard."""
        if self._count and at - self._last > QUIET_S:
            log.info(
                "no message but the cloud's for %.0f minutes; %s had been dropped",
                *((at - self._last) / 60, self._count),
            )
            self._count = 0
