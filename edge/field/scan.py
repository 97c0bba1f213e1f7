"""Finding meters on a line that is served meanwhile: one question at a time, where nobody is due.

A line without slack is asked all the same, but seldom: its meters and its cuts come first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge.field.job import Job, Kind
from edge.field.room import LineAtHand, MeterRoom
from edge.field.said import Said, Tone, said
from edge.lines.bus import REPLY_S, Bus, Decoders
from edge.lines.place import ModbusTcpAt, Place, SerialAt, checked_baud
from edge.technician import scan as scanning
from edge.technician.answers import Protocol
from edge.technician.search.found import Found, Note, Progress
from edge.technician.search.search import Asking, Wanted
from protocols.exchange import Exchange

F = TypeVar("F")
T = TypeVar("T")

BAUDS = (2400, 9600, 4800, 1200, 19200)
WAIT_MOST_S = 5.0  # for slack before one question
LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a technician looks for. Without bauds or protocols: all that are usual, or the line can carry."""

    bauds: tuple[int, ...] = ()
    protocols: tuple[Protocol, ...] = ()
    known: tuple[str, ...] = ()
    units: Sequence[int] = range(1, 33)
    by_pairs: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a rate that no meter is set to."""
        for baud in self.bauds:
            checked_baud(baud)


def begin(room: MeterRoom, name: str, asked: Asked, *, by: str) -> Job:
    """Raises CannotDo where there is no such line, or it is being scanned."""
    line = room.line(name)
    return room.jobs.start(
        Kind.SCAN,
        name,
        title=name,
        by=by,
        work=lambda job: _scan(room, name, line, asked, job),
    )


async def _scan(room: MeterRoom, name: str, line: LineAtHand, asked: Asked, job: Job) -> None:
    place = line.place
    protocols = asked.protocols or tuple(Protocol)
    if isinstance(place.at, ModbusTcpAt):
        protocols = (Protocol.MODBUS_RTU,)
    elif not isinstance(place.at, SerialAt):
        job.say(
            said(
                "The rate of a serial server is set in the server: only what speaks at %(baud)s is found.",
                baud=place.at.baud,
            )
        )
    bauds = asked.bauds or tuple(dict.fromkeys((place.at.baud, *BAUDS)))
    visits = scanning.visits(place, bauds=bauds, formats=(), protocols=protocols)
    wanted = Wanted(asked.known, asked.units, reply_s=0.5, units_s=0.1, by_pairs=asked.by_pairs)

    def open_bus(at: Place) -> Asking:
        return Meanwhile(lambda: room.agent.has_slack(name), line, at)

    async for event in scanning.scan(visits, open_bus, wanted):
        match event:
            case Progress(what, done, total):
                job.do(Said(what.message, values=what.values), done=done, total=total)
            case Found():
                job.add(event)
            case Note(message, values):
                job.say(Said(message, Tone.WARN, values))
    if not job.found:
        job.say(
            said(
                "Nothing answers. Check A and B (exchanged?), power, rate and parity of the meters, and that "
                "no other master talks on this line.",
                Tone.BAD,
            )
        )
    else:
        job.say(said("%(count)s found.", Tone.GOOD, count=len(job.found)))


class Meanwhile:
    """A line at one rate, asked while it is served at its own."""

    def __init__(self, has_slack: Callable[[], bool], line: LineAtHand, place: Place) -> None:
        self._has_slack = has_slack
        self._line = line
        # How the line is reached does not matter, only whether its rate or format is another.
        self._is_other = isinstance(place.at, SerialAt) and place.at != line.place.at
        self._other: Bus | None = line.open_bus(place) if self._is_other else None

    async def hear(self, request: bytes, *, reply_s: float = REPLY_S) -> bytes:
        await self._slack()
        if self._other is None:
            return await self._line.bus.hear(request, reply_s=reply_s)
        async with self._line.bus.lent():
            try:
                return await self._other.hear(request, reply_s=reply_s)
            finally:
                self._other.close()

    async def run(self, start: Callable[[], Exchange[F, T]], decoder: Decoders[F]) -> T:
        await self._slack()
        if self._other is None:
            return await self._line.bus.run(start, decoder)
        async with self._line.bus.lent():
            try:
                return await self._other.run(start, decoder)
            finally:
                self._other.close()

    def close(self) -> None:
        if self._other is not None:
            self._other.close()

    async def _slack(self) -> None:
        for _ in range(int(WAIT_MOST_S / LOOK_S)):
            if self._has_slack():
                return
            await asyncio.sleep(LOOK_S)
