"""One exchange at a time on a line: the gap before a request, the wait for a reply, asking again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from edge.ports import Port
from protocols.exchange import Exchange, FrameDecoder, Unexpected

log = logging.getLogger(__name__)

F = TypeVar("F")
T = TypeVar("T")

BITS_PER_BYTE = 11  # start, eight data, parity, stop
REPLY_S = 0.5  # the longest a meter takes to start its reply (DL/T 645-2007, response delay Td)
PAUSE_S = 0.5  # the longest pause between two bytes of a frame (DL/T 645-2007, Tb)
GAP_S = 0.03  # between a reply and the next request; 20 to 50 ms let transceivers turn round
GAP_BITS = 33
LONGEST_FRAME = 300
TRIES = 3


class NoReply(Exception):
    """Nothing answered. Try again at the next round; the line may be cut."""


class Bus:
    """A line and the one conversation on it.

    delay_s is what adapter and network may add to each wait.
    """

    def __init__(self, name: str, port: Port, *, baud: int, delay_s: float) -> None:
        self.name = name
        self._port = port
        self._byte_s = BITS_PER_BYTE / baud
        self._delay_s = delay_s
        self._gap_s = max(GAP_S, GAP_BITS / baud)
        self._free_at = 0.0
        self._lock = asyncio.Lock()

    async def run(
        self, start: Callable[[], Exchange[F, T]], decoder: Callable[[], FrameDecoder[F]]
    ) -> T:
        """What the exchange returns. A request without reply is sent three times; an answer to some
        other question starts the exchange again, twice at most.

        Raises NoReply, LineAway, and any ProtocolError of the exchange.
        """
        async with self._lock:
            for left in reversed(range(TRIES)):
                try:
                    return await self._converse(start(), decoder)
                except Unexpected as error:
                    if not left:
                        raise
                    log.debug("%s: %s; asking again", self.name, error)
                    await self._hush()
            raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        self._port.close()

    async def _converse(
        self, exchange: Exchange[F, T], decoder: Callable[[], FrameDecoder[F]]
    ) -> T:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(await self._ask(request, decoder))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            exchange.close()

    async def _ask(self, request: bytes, decoder: Callable[[], FrameDecoder[F]]) -> F:
        for _ in range(TRIES):
            frames = await self._attempt(request, decoder())
            if frames:
                return frames[0]
        raise NoReply(f"no reply on line {self.name} to {TRIES} requests")

    async def _attempt(self, request: bytes, decoder: FrameDecoder[F]) -> list[F]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._free_at - loop.time()))
        stale = self._port.drain()
        if stale:
            log.debug("%s: dropped %s", self.name, stale.hex())
        log.debug("%s > %s", self.name, request.hex())
        await self._port.write(request)
        until = loop.time() + len(request) * self._byte_s + REPLY_S + self._delay_s
        # Noise must not hold the line for ever, so the whole attempt has an end of its own.
        last = until + LONGEST_FRAME * self._byte_s + self._delay_s
        try:
            while True:
                async with asyncio.timeout_at(min(until, last)):
                    data = await self._port.read()
                log.debug("%s < %s", self.name, data.hex())
                frames = decoder.feed(data)
                if frames:
                    return frames
                until = loop.time() + PAUSE_S + self._delay_s
        except TimeoutError:
            return []
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
