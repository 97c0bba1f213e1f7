"""One exchange at a time on a line: the gap before a request, the wait for a reply, asking again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from edge.lines.metrics import LineMetrics
from edge.lines.patience import Patience
from edge.lines.place import Place
from edge.lines.ports import NotModbus, Port, port_to
from edge.lines.turns import Turns
from protocols.exchange import Exchange, FrameDecoder, Unexpected

log = logging.getLogger(__name__)

F = TypeVar("F")
T = TypeVar("T")

BITS_PER_BYTE = 11  # start, eight data, parity, stop
REPLY_S = 0.5  # the longest a meter takes to start its reply (DL/T 645-2007, response delay Td)
PAUSE_S = 0.5  # the longest pause between two bytes of a frame (DL/T 645-2007, Tb)
GAP_S = 0.03  # between a reply and the next request; 20 to 50 ms let transceivers turn round
GAP_BITS = 38.5  # three and a half bytes, as Modbus wants between two frames
LONGEST_FRAME = 300
SHORTEST_FRAME = 4
ADAPTER_BYTES = 16  # what an adapter may gather before it hands the first of them on
ADAPTER_S = 0.02  # and how long it may wait for more of them
TRIES = 3


class NoReply(Exception):
    """Nothing answered. Try again at the next round; the line may be cut."""


class Garbled(NoReply):
    """Bytes came that are no answer: noise, another rate or parity, or two meters on one address."""


class Unwanted(Exception):
    """What was asked to be sent is wanted no longer. Decide anew; some of it may have been sent."""


Decoders = Callable[[bytes], FrameDecoder[F]]
"""The decoder for what answers a request as it was sent; a new one for each attempt."""


class Bus:
    """A line and the one conversation on it.

    delay_s is what adapter and network may add to each wait. gap_s is the silence before a request, never less
    than three and a half bytes. Whether the adapter sends our own bytes back (echoes) is learned from what it does
    where nobody says it, since a Modbus meter acknowledges some writes by the same bytes. How long a meter is waited
    for is learned from its own answers, where run() is told whom it asks.
    """

    def __init__(
        self,
        name: str,
        port: Port,
        *,
        baud: int,
        delay_s: float,
        gap_s: float = GAP_S,
        echoes: bool | None = None,
    ) -> None:
        self.name = name
        self._port = port
        self._byte_s = BITS_PER_BYTE / baud
        self._delay_s = delay_s
        self._gap_s = max(gap_s, GAP_BITS / baud)
        self._free_at = 0.0
        self._echoes = bool(echoes)
        self._learns_echo = echoes is None
        self._turns = Turns()
        self._habits: dict[str, _Habits] = {}
        self._count = _Count()

    async def run(
        self,
        start: Callable[[], Exchange[F, T]],
        decoder: Decoders[F],
        *,
        whom: str | None = None,
        reply_s: float = REPLY_S,
        tries: int = TRIES,
        still: Callable[[], bool] = lambda: True,
    ) -> T:
        """What the exchange returns. A request without reply is sent tries times; an answer to some
        other question starts the exchange again, twice at most. still says, before each request is sent,
        whether it is still wanted.

        whom names the meter that is asked, to wait as long as its own answers take; at the first meeting, and
        where it is not named, the wait is reply_s: the longest that its standard lets it take to begin.

        Raises Unwanted, NoReply (Garbled where bytes came, but no frame), LineAway, and any ProtocolError
        of the exchange.
        """
        asking = _Asking(whom, reply_s, tries)
        asking.since = asyncio.get_running_loop().time()
        async with self._turns:
            for left in reversed(range(TRIES)):
                try:
                    return await self._converse(start(), decoder, asking, still)
                except Unexpected as error:
                    if not left:
                        raise
                    log.debug("%s: %s; asking again", self.name, error)
                    await self._hush()
            raise AssertionError("the last try returns or raises")

    async def hear(self, request: bytes, *, reply_s: float = REPLY_S) -> bytes:
        """All that is heard after one request, its echo too, until the line has been quiet for reply_s.

        For who looks for meters: several may answer at once, and that is no frame. An empty request
        only listens. Raises LineAway.
        """
        async with self._turns:
            listening = _Listening[object](None, echo=b"")
            await self._next()
            wait_s = reply_s + self._delay_s
            await self._attempt(request, listening, wait_s=wait_s, pause_s=wait_s)
            return listening.heard

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """The line is the caller's alone, to be opened by him at another rate; our port is closed meanwhile."""
        async with self._turns:
            self._port.close()
            await asyncio.sleep(
                self._gap_s
            )  # a serial device is let go of a turn of the loop later
            try:
                yield
            finally:
                await asyncio.sleep(self._gap_s)

    def urgently(self) -> AbstractContextManager[None]:
        """What the present task asks for in this block goes before what others ask: between two requests of
        theirs, never between a request and its answer."""
        return self._turns.urgency()

    async def tell(self, said: Callable[[], bytes]) -> None:
        """Send what nobody answers. said gives the bytes once the line is ours: a time is told as it is then.

        Raises LineAway.
        """
        async with self._turns:
            await self._next()
            wait_s = self._gap_s + self._delay_s
            listening = _Listening[object](None, echo=b"")
            await self._attempt(said(), listening, wait_s=wait_s, pause_s=wait_s)

    def remember(self, whom: Iterable[str]) -> None:
        """Only these are on the line: how others used to answer is forgotten."""
        kept = set(whom)
        self._habits = {name: habits for name, habits in self._habits.items() if name in kept}

    @property
    def byte_s(self) -> float:
        """What a byte takes on the line."""
        return self._byte_s

    def turn_s(self, whom: str) -> float:
        """What a request to a meter takes beside its bytes: the gap, and its delay as it was learned."""
        habits = self._habits.get(whom)
        usual_s = habits.reply.usual_s if habits is not None else 0.0
        return self._gap_s + (usual_s or GAP_S)

    def metrics(self) -> LineMetrics:
        """What the line has done since it was first asked for something."""
        count, habits = self._count, self._habits
        began = asyncio.get_running_loop().time() if count.began is None else count.began
        return LineMetrics(
            self.name,
            since_s=asyncio.get_running_loop().time() - began,
            useful_s=count.useful_s,
            busy_s=count.busy_s,
            gap_s=self._gap_s,
            requests=count.requests,
            answers=count.answers,
            garbled=count.garbled,
            timeouts=count.timeouts,
            retries=count.retries,
            silent=tuple(name for name, known in habits.items() if known.is_silent),
            delays=tuple(
                (name, known.reply.usual_s)
                for name, known in habits.items()
                if known.reply.has_answered
            ),
            waited_s=count.waited_s,
        )

    def close(self) -> None:
        self._port.close()

    async def _converse(
        self,
        exchange: Exchange[F, T],
        decoder: Decoders[F],
        asking: _Asking,
        still: Callable[[], bool],
    ) -> T:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(await self._ask(request, decoder, asking, still))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            exchange.close()

    async def _ask(
        self, request: bytes, decoder: Decoders[F], asking: _Asking, still: Callable[[], bool]
    ) -> F:
        garbled = False
        loop, habits, count = asyncio.get_running_loop(), self._habits_of(asking), self._count
        for attempt in range(asking.tries):
            await self._next()
            if self._turns.is_urgent():
                count.waited_s = max(count.waited_s, loop.time() - asking.since)
            listening = _Listening(decoder(request), echo=request if self._echoes else b"")
            if not still():
                raise Unwanted(f"a request on line {self.name} is wanted no longer")
            count.retries += attempt > 0
            await self._attempt(
                request, listening, wait_s=habits.reply.wait_s, pause_s=habits.pause.wait_s
            )
            asking.since = loop.time()
            heard = listening.heard
            if listening.frames:
                if heard.startswith(request) and not listening.echoed:
                    listening.delay_s = None  # an echo that we did not know of came first
                habits.note_answer(listening, is_first=not attempt)
                count.answers += 1
                count.useful_s += self._useful_s(listening)
                if self._learns_echo:
                    self._learn(request, heard)
                return listening.frames[0]
            is_noise = bool(heard.removeprefix(request))
            habits.note_failure(is_noise=is_noise)
            count.garbled += is_noise
            count.timeouts += not is_noise
            garbled = garbled or is_noise
        times = "a request" if asking.tries == 1 else f"{asking.tries} requests"
        if garbled:
            raise Garbled(f"no frame in what line {self.name} answered to {times}")
        raise NoReply(f"no reply on line {self.name} to {times}")

    def _habits_of(self, asking: _Asking) -> _Habits:
        """What is known of whom is asked; nothing, and nothing kept, where that is not said."""
        habits = self._habits.get(asking.whom) if asking.whom is not None else None
        if habits is None:
            least_s = ADAPTER_BYTES * self._byte_s + ADAPTER_S + self._delay_s
            reply_s, pause_s = asking.reply_s + self._delay_s, PAUSE_S + self._delay_s
            habits = _Habits(
                Patience(least_s=min(least_s, reply_s), most_s=reply_s),
                Patience(least_s=min(least_s, pause_s), most_s=pause_s),
            )
            if asking.whom is not None:
                self._habits[asking.whom] = habits
        return habits

    def _useful_s(self, listening: _Listening[F]) -> float:
        """What an answered request needed: our bytes, the delay, its bytes, and the gap behind them.

        The first bytes have taken their own time on the line before they came.
        """
        delay_s = max(0.0, (listening.delay_s or 0.0) - listening.first * self._byte_s)
        heard_s = (len(listening.heard) - len(listening.echoed)) * self._byte_s
        return listening.sent_s + delay_s + heard_s + self._gap_s

    def _learn(self, request: bytes, answered: bytes) -> None:
        """Whether this line echoes. The same bytes with nothing behind them may be echo or reply."""
        if not answered.startswith(request):
            self._echoes = False
        elif len(answered) >= len(request) + SHORTEST_FRAME:
            self._echoes = True

    async def _next(self) -> None:
        """Wait until the next request may be sent: the gap is over, and nobody urgent waits to go first."""
        while True:
            await self._rest()
            if not self._turns.must_yield():
                return
            self._turns.give()
            await self._turns.take()

    async def _rest(self) -> None:
        """Wait for the gap before a request. What still comes meanwhile, of an answer that was given up or from
        somebody else, has the gap begin anew, for as long as a frame may last."""
        loop = asyncio.get_running_loop()
        last = max(self._free_at, loop.time()) + LONGEST_FRAME * self._byte_s + self._delay_s
        while True:
            if (left_s := self._free_at - loop.time()) > 0:
                await asyncio.sleep(left_s)
            late = self._port.drain()
            if not late or loop.time() >= last:
                return
            log.debug("%s: late %s", self.name, late.hex())
            self._free_at = loop.time() + self._gap_s

    async def _attempt(
        self, request: bytes, listening: _Listening[F], *, wait_s: float, pause_s: float
    ) -> None:
        """Send, and listen until it is enough, or nothing begins within wait_s of the last byte sent, or goes on
        within pause_s."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        log.debug("%s > %s", self.name, request.hex())
        try:
            await self._port.write(request)
        except NotModbus as error:
            raise NoReply(f"line {self.name}: {error}") from error
        listening.sent_s = len(request) * self._byte_s
        listening.since = loop.time() + listening.sent_s
        self._count.begin(began, is_asked=listening.is_asked)
        until = listening.since + wait_s
        # Noise must not hold the line for ever, so the whole attempt has an end of its own.
        last = until + LONGEST_FRAME * self._byte_s + self._delay_s
        try:
            while True:
                data = await self._port.read(min(until, last))
                if not data:
                    return
                log.debug("%s < %s", self.name, data.hex())
                if listening.take(data, at=loop.time()) or loop.time() >= last:
                    return
                until = loop.time() + (pause_s if listening.has_begun else wait_s)
        finally:
            self._free_at = loop.time() + self._gap_s
            self._count.busy_s += self._free_at - began

    async def _hush(self) -> None:
        """Wait until the line is quiet, so that an answer still under way is not taken for the next."""
        loop = asyncio.get_running_loop()
        last = loop.time() + LONGEST_FRAME * self._byte_s + self._delay_s
        while (now := loop.time()) < last and await self._port.read(min(now + REPLY_S, last)):
            pass


def bus_at(place: Place, *, name: str | None = None, port: Port | None = None) -> Bus:
    """The bus of a line, called as its place where it has no other name; through another port where one is given."""
    return Bus(
        name or str(place),
        port or port_to(place.at),
        baud=place.at.baud,
        delay_s=place.delay_s,
        gap_s=GAP_S if place.gap_s is None else place.gap_s,
        echoes=place.echoes,
    )


@dataclass(slots=True)
class _Asking:
    """Who is asked, how long its standard lets it take to begin, how often it is asked, and since when the next
    request waits for the line."""

    whom: str | None
    reply_s: float
    tries: int
    since: float = 0.0


class _Habits:
    """How one meter answers: how soon it begins, and how long it pauses within an answer."""

    def __init__(self, reply: Patience, pause: Patience) -> None:
        self.reply = reply
        self.pause = pause
        self.is_silent = False

    def note_answer(self, listening: _Listening[F], *, is_first: bool) -> None:
        """Learn from an answer. What begins after a request that was repeated may answer either."""
        self.is_silent = False
        if is_first and listening.delay_s is not None:
            self.reply.note_answer(listening.delay_s)
            self.pause.note_answer(listening.paused_s)

    def note_failure(self, *, is_noise: bool) -> None:
        """Learn from an attempt without an answer."""
        if is_noise:
            # It may have begun in time and been cut short by our own hurry.
            self.pause.note_silence()
        else:
            self.is_silent = True
            self.reply.note_silence()


@dataclass(slots=True)
class _Count:
    """What is counted on a line."""

    began: float | None = None
    useful_s: float = 0.0
    busy_s: float = 0.0
    requests: int = 0
    answers: int = 0
    garbled: int = 0
    timeouts: int = 0
    retries: int = 0
    waited_s: float = 0.0

    def begin(self, now: float, *, is_asked: bool) -> None:
        self.began = now if self.began is None else self.began
        self.requests += is_asked


class _Listening(Generic[F]):
    """What one attempt has heard. echo is what comes first, if it comes, and is no answer.

    delay_s is from since, the end of the request, to the first of the answer; None where that is not known.
    """

    def __init__(self, decoder: FrameDecoder[F] | None, *, echo: bytes) -> None:
        self._decoder = decoder
        self._echo = echo
        self._last: float | None = None
        self.echoed = b""
        self.heard = b""
        self.frames: list[F] = []
        self.sent_s = 0.0
        self.since = 0.0
        self.first = 0
        self.delay_s: float | None = None
        self.paused_s = 0.0

    @property
    def is_asked(self) -> bool:
        """Whether somebody is to answer: not where a time is told, or where it is heard who is there."""
        return self._decoder is not None

    @property
    def has_begun(self) -> bool:
        """Whether more than our own echo has been heard."""
        return self._last is not None

    def take(self, data: bytes, *, at: float) -> bool:
        """Whether it is enough: there is a frame. at is when it came."""
        self.heard += data
        if self._decoder is None:
            self._note(data, at)
            return False
        if self._echo:
            if self._echo.startswith(self.heard):
                return False
            data = self.heard.removeprefix(self._echo)
            if len(data) < len(self.heard):
                self.echoed = self._echo
            self._echo = b""
        if data:
            self._note(data, at)
        self.frames += self._decoder.feed(data)
        return bool(self.frames)

    def _note(self, data: bytes, at: float) -> None:
        if self._last is None:
            self.delay_s = max(0.0, at - self.since)
            self.first = len(data)
        else:
            self.paused_s = max(self.paused_s, at - self._last)
        self._last = at
