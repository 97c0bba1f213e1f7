"""Our own time: dated by the best source that is known, and measured by a clock that does not jump."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from edge.clocks.trust import Rules, Source, Told, weigh
from prepaid.record import record

log = logging.getLogger(__name__)

CloudTime = Callable[[datetime, timedelta], None]
"""Takes the cloud's time, out of an answer of its own that verified, and how long that answer was under way."""

AWAY = timedelta(days=1)
"""How long we take to have been away where nothing tells: the clock went back over a restart. A day of full
load is as much as may then be charged on two equal reads, and few stay without power for longer."""

WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
"""This program did not exist before: a clock without battery, or several of them, cannot make it earlier."""

AHEAD = timedelta(days=31)
"""How far ahead of the latest trusted time a clock that nobody keeps may be and still date what is told."""

LONGEST_TRIP = timedelta(seconds=30)  # of an answer of the cloud by which a clock can be set
CLOUD_ERROR = timedelta(seconds=1)  # beside half of that
LOOK_S = 1.0  # between two looks at the machine's clock, unless it jumps
NOTEWORTHY = timedelta(seconds=1)  # a clock is put back by less than this without a word


@record
@dataclass(frozen=True, slots=True)
class Moment:
    """One instant: at is our own time (UTC), tick the seconds of the clock that does not jump.

    is_trusted says whether at can decide anything.
    """

    at: datetime
    tick: float
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class KeptTime:
    """The last trusted time, as it is kept over a restart: told on the machine's start called boot."""

    told: Told
    boot: UUID | None


def loop_time() -> float:
    return asyncio.get_running_loop().time()


def keeps_time() -> timedelta:
    """Says of a machine's clock that it is right, whatever the kernel thinks of it."""
    return timedelta(0)


def unkept() -> None:
    """Says of a machine's clock that nobody keeps it."""
    return


class Clock:
    """What time it is, and whether that is trusted.

    wall is the machine's clock: aware UTC, and it may jump. tick never jumps; system says how far off the
    wall can be, None while no time service keeps it. With believes_wall the wall counts whatever else is
    known. boot names the machine's start that tick counts from (None: it counts from no such start); kept
    is what was saved before (kept_time()), latest the last time that was told by a program before this one.
    """

    def __init__(
        self,
        wall: Callable[[], datetime],
        *,
        tick: Callable[[], float],
        system: Callable[[], timedelta | None],
        rules: Rules,
        believes_wall: bool,
        boot: UUID | None,
        kept: KeptTime | None,
        latest: datetime | None,
    ) -> None:
        self._wall = wall
        self.tick = tick
        self._system = system
        self._rules = rules
        self._believes_wall = believes_wall
        self._boot = boot
        self._latest = latest
        self._is_back = False
        self._began = tick()
        self._known: Told | None = None
        self._floor: datetime | None = None
        self._remarked: set[Source] = set()
        if kept is not None:
            self._floor = kept.told.at
            if boot is not None and kept.boot == boot and kept.told.tick <= self._began:
                self._known = kept.told
        self._since = self._began  # since when it is as trusted as it is
        self._is_trusted = False
        self._is_dated = True
        self._look(wall(), self._began)

    @classmethod
    def of_wall(cls, wall: Callable[[], datetime], *, latest: datetime | None = None) -> Clock:
        """A clock that takes the wall's time for right, for benches and simulated time."""
        return cls(
            wall,
            tick=loop_time,
            system=keeps_time,
            rules=Rules(),
            believes_wall=True,
            boot=None,
            kept=None,
            latest=latest,
        )

    def now(self) -> Moment:
        wall, tick = self._wall(), self.tick()
        elapsed_s = tick - self._looked
        if elapsed_s >= LOOK_S or abs(wall - self._saw - _seconds(elapsed_s)) > NOTEWORTHY:
            self._look(wall, tick)
        at = wall + self._offset
        self._note(at)
        return Moment(at, tick, self._is_trusted)

    def since(self, at: datetime, tick: float | None) -> timedelta:
        """The time that has passed since a moment; its tick is None if it was before this program began."""
        if tick is not None:
            return _seconds(self.tick() - tick)
        passed = self.now().at - at
        running = _seconds(self.tick() - self._began)
        return max(passed if passed >= timedelta(0) and self._is_dated else AWAY, running)

    @property
    def machine_s(self) -> float | None:
        """How long the machine had run when this program began; None where that is not known."""
        return self._began if self._boot is not None else None

    @property
    def running(self) -> timedelta:
        """How long this program has run."""
        return _seconds(self.tick() - self._began)

    def known(self) -> Told | None:
        """What our time rests on, said of now; None where no source has told any."""
        now = self.now()
        return None if self._known is None else self._known.moved_to(now.tick, self._rules)

    def trusted_for(self) -> timedelta | None:
        """How long the clock has been trusted without a break; None while it is not."""
        now = self.now()
        return _seconds(now.tick - self._since) if now.is_trusted else None

    def doubted_for(self) -> timedelta | None:
        """How long the clock has not been trusted; None while it is."""
        now = self.now()
        return None if now.is_trusted else _seconds(now.tick - self._since)

    def kept_time(self) -> KeptTime | None:
        """What is to be saved; None while the clock is not trusted."""
        now = self.now()
        if not now.is_trusted or self._known is None:
            return None
        return KeptTime(self._known.moved_to(now.tick, self._rules), self._boot)

    # What sources tell.

    def hear_cloud(self, at: datetime, round_trip: timedelta) -> None:
        """The cloud's time has just come in an answer that was so long under way (a CloudTime)."""
        if not timedelta(0) <= round_trip <= LONGEST_TRIP:
            return
        told = Told(Source.CLOUD, at + round_trip / 2, self.tick(), round_trip / 2 + CLOUD_ERROR)
        self._hear(told)
        self._look(self._wall(), told.tick)

    def hear_meters(self, told: Told) -> None:
        """Several meters agree on a time."""
        self._hear(told)
        self._look(self._wall(), self.tick())

    def _look(self, wall: datetime, tick: float) -> None:
        """See what the machine's clock is worth now, and how far our own time is from it."""
        self._saw, self._looked = wall, tick
        error = self._system()
        is_kept = error is not None
        if error is not None and self._believes_wall:
            self._known = Told(Source.SYSTEM, wall, tick, error)
        elif error is not None:
            self._hear(Told(Source.SYSTEM, wall, tick, error))
        known = self._known
        is_trusted = known is not None and known.error_at(tick, self._rules) <= (
            self._rules.most_error
        )
        if known is None:
            self._offset = self._guessed(wall, tick) - wall
        elif is_kept and known.source is Source.SYSTEM and known.tick == tick:
            self._offset = timedelta(0)
        else:
            self._offset = known.at_tick(tick) - wall
        self._is_dated = known is not None or self._offset == timedelta(0)
        at = wall + self._offset
        if is_trusted:
            self._floor = at if self._floor is None else max(self._floor, at)
        if is_trusted is not self._is_trusted:
            self._is_trusted, self._since = is_trusted, tick

    def _hear(self, told: Told) -> None:
        weighed = weigh(self._known, told, floor=self._floor or WRITTEN, rules=self._rules)
        if weighed.remark is None:
            self._remarked.discard(told.source)
        elif told.source not in self._remarked:
            log.warning("the clock: %s", weighed.remark)
            self._remarked.add(told.source)
        if weighed.known is told and weighed.remark is not None and self._floor is not None:
            self._floor = min(self._floor, told.at)  # less has passed than was thought
        self._known = weighed.known

    def _guessed(self, wall: datetime, tick: float) -> datetime:
        """Where no source has told the time: what the wall shows, if that can be; else what must have passed."""
        if self._floor is None:
            return wall
        if self._floor - self._rules.most_back <= wall <= self._floor + AHEAD:
            return wall
        return self._floor + _seconds(tick - self._began)

    def _note(self, at: datetime) -> None:
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


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
