"""Two clocks: the wall clock dates what is told, and one that does not jump measures how long things took."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

log = logging.getLogger(__name__)

AWAY = timedelta(days=1)
"""How long we take to have been away where nothing tells: the clock went back over a restart. A day of full
load is as much as may then be charged on two equal reads, and few stay without power for longer."""

NOTEWORTHY = timedelta(seconds=1)  # a clock is put back by less than this without a word


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant by both clocks: at by the wall's (UTC), tick in seconds of the event loop's."""

    at: datetime
    tick: float


class Clock:
    """wall gives aware UTC and may jump. latest is the last time that was told before this program began."""

    def __init__(self, wall: Callable[[], datetime], latest: datetime | None) -> None:
        self._wall = wall
        self._latest = latest
        self._is_back = False
        self._began = self.tick()

    def tick(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> Moment:
        at = self._wall()
        if self._latest is None or at >= self._latest:
            if self._is_back:
                log.info("the clock is past %s again", self._latest)
            self._is_back = False
            self._latest = at
        elif not self._is_back and self._latest - at > NOTEWORTHY:
            log.warning(
                "the clock went back from %s to %s; times that are told overlap, metering goes on",
                self._latest,
                at,
            )
            self._is_back = True
        return Moment(at, self.tick())

    def since(self, at: datetime, tick: float | None) -> timedelta:
        """The time that has passed since a moment; its tick is None if it was before this program began."""
        if tick is not None:
            return timedelta(seconds=self.tick() - tick)
        passed = self.now().at - at
        running = timedelta(seconds=self.tick() - self._began)
        return max(passed if passed >= timedelta(0) else AWAY, running)
