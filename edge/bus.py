"""One exchange at a time on a line: the gap before a request, the wait for a reply, asking again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from edge.ports import NotModbus, Port
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
HELD_S = 0.01  # a wait that ends so much too late was spent elsewhere
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

    delay_s is what adapter and network may add to each wait. Whether the adapter sends our own bytes
    back is learned from what it does, since a Modbus meter acknowledges some writes by the same bytes.
    """

    def __init__(self, name: str, port: Port, *, baud: int, delay_s: float) -> None:
        self.name = name
        self._port = port
        self._byte_s = BITS_PER_BYTE / baud
        self._delay_s = delay_s
        self._gap_s = max(GAP_S, GAP_BITS / baud)
        self._free_at = 0.0
        self._echoes = False
        self._lock = asyncio.Lock()

    async def run(
        self,
        start: Callable[[], Exchange[F, T]],
        decoder: Decoders[F],
        *,
        still: Callable[[], bool] = lambda: True,
    ) -> T:
        """What the exchange returns. A request without reply is sent three times; an answer to some
        other question starts the exchange again, twice at most. still says, before each request is sent,
        whether it is still wanted.

        Raises Unwanted, NoReply (Garbled where bytes came, but no frame), LineAway, and any ProtocolError
        of the exchange.
        """
        async with self._lock:
            for left in reversed(range(TRIES)):
                try:
                    return await self._converse(start(), decoder, still)
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
        async with self._lock:
            listening = _Listening[object](None, echo=b"")
            await self._rest()
            await self._attempt(request, listening.take, reply_s=reply_s, pause_s=reply_s)
            return bytes(listening.heard)

    def close(self) -> None:
        self._port.close()

    async def _converse(
        self,
        exchange: Exchange[F, T],
        decoder: Decoders[F],
        still: Callable[[], bool],
    ) -> T:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(await self._ask(request, decoder, still))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            exchange.close()

    async def _ask(self, request: bytes, decoder: Decoders[F], still: Callable[[], bool]) -> F:
        garbled = False
        for _ in range(TRIES):
            listening = _Listening(decoder(request), echo=request if self._echoes else b"")
            await self._rest()
            if not still():
                raise Unwanted(f"a request on line {self.name} is wanted no longer")
            await self._attempt(request, listening.take, reply_s=REPLY_S, pause_s=PAUSE_S)
            if listening.frames:
                self._learn(request, bytes(listening.heard))
                return listening.frames[0]
            garbled = garbled or bool(listening.heard.removeprefix(request))
        if garbled:
            raise Garbled(f"no frame in what line {self.name} answered to {TRIES} requests")
        raise NoReply(f"no reply on line {self.name} to {TRIES} requests")

    def _learn(self, request: bytes, answered: bytes) -> None:
        """Whether this line echoes. The same bytes with nothing behind them may be echo or reply."""
        if not answered.startswith(request):
            self._echoes = False
        elif len(answered) >= len(request) + SHORTEST_FRAME:
            self._echoes = True

    async def _rest(self) -> None:
        """Wait for the gap before a request."""
        await asyncio.sleep(max(0.0, self._free_at - asyncio.get_running_loop().time()))

    async def _attempt(
        self, request: bytes, take: Callable[[bytes], bool], *, reply_s: float, pause_s: float
    ) -> None:
        """Send, and hand over what arrives until it is enough, or nothing begins or goes on in time."""
        loop = asyncio.get_running_loop()
        stale = self._port.drain()
        if stale:
            log.debug("%s: dropped %s", self.name, stale.hex())
        log.debug("%s > %s", self.name, request.hex())
        try:
            await self._port.write(request)
        except NotModbus as error:
            raise NoReply(f"line {self.name}: {error}") from error
        until = loop.time() + len(request) * self._byte_s + reply_s + self._delay_s
        # Noise must not hold the line for ever, so the whole attempt has an end of its own.
        last = until + LONGEST_FRAME * self._byte_s + self._delay_s
        try:
            while True:
                end = min(until, last)
                try:
                    async with asyncio.timeout_at(end):
                        data = await self._port.read()
                except TimeoutError:
                    # A loop that was held, by a slow disk, may not have got round to what came in time.
                    data = self._port.drain() if loop.time() > end + HELD_S else b""
                    if not data:
                        return
                log.debug("%s < %s", self.name, data.hex())
                if take(data) or loop.time() >= last:
                    return
                until = loop.time() + pause_s + self._delay_s
        finally:
            self._free_at = loop.time() + self._gap_s

    async def _hush(self) -> None:
        """Wait until the line is quiet, so that an answer still under way is not taken for the next."""
        loop = asyncio.get_running_loop()
        last = loop.time() + LONGEST_FRAME * self._byte_s + self._delay_s
        try:
            while True:
                async with asyncio.timeout_at(min(loop.time() + REPLY_S, last)):
                    await self._port.read()
        except TimeoutError:
            return


class _Listening(Generic[F]):
    """What one attempt has heard. echo is what comes first, if it comes, and is no answer."""

    def __init__(self, decoder: FrameDecoder[F] | None, *, echo: bytes) -> None:
        self._decoder = decoder
        self._echo = echo
        self.heard = bytearray()
        self.frames: list[F] = []

    def take(self, data: bytes) -> bool:
        """Whether it is enough: there is a frame."""
        self.heard += data
        if self._decoder is None:
            return False
        if self._echo:
            if self._echo.startswith(self.heard):
                return False
            data = bytes(self.heard).removeprefix(self._echo)
            self._echo = b""
        self.frames += self._decoder.feed(data)
        return bool(self.frames)
