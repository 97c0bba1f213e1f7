"""Lines whose DTU dials in: real connections on 127.0.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge.lines.dial_in import DialInPort
from edge.lines.place import ListenAt
from edge.lines.port import LineAway


@asynccontextmanager
async def line(*, registration: bytes = b"", heartbeat: bytes = b"") -> AsyncIterator[DialInPort]:
    """Listening: the first write has opened it, and waits for a DTU in `asking`."""
    port = DialInPort(ListenAt("127.0.0.1", 0, 9600, registration, heartbeat))
    try:
        async with asyncio.timeout(20):
            yield port
    finally:
        port.close()


async def listening(port: DialInPort) -> asyncio.Task[None]:
    """A request under way to whoever dials in."""
    await port.listen()
    return asyncio.create_task(port.write(b"ask"))


async def dial(port: DialInPort) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port.port)


def soon() -> float:
    return asyncio.get_running_loop().time() + 30


async def test_bytes_go_both_ways_once_a_dtu_has_dialled_in():
    async with line() as port:
        asking = await listening(port)
        reader, writer = await dial(port)
        await asking
        writer.write(b"answer")

        assert await reader.readexactly(3) == b"ask"
        assert await port.read(soon()) == b"answer"
        writer.close()


async def test_a_new_connection_replaces_the_one_before():
    async with line() as port:
        asking = await listening(port)
        old_reader, old_writer = await dial(port)
        await asking
        reading = asyncio.create_task(port.read(soon()))
        await old_reader.readexactly(3)
        new_reader, new_writer = await dial(port)

        with pytest.raises(LineAway, match="is gone"):
            await reading
        await port.write(b"again")
        new_writer.write(b"answer")

        assert await new_reader.readexactly(5) == b"again"
        assert await port.read(soon()) == b"answer"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await old_reader.readexactly(1)
        old_writer.close()
        new_writer.close()


async def test_registration_and_heartbeats_are_no_answers():
    async with line(registration=b"DTU-0001", heartbeat=b"\x7e\x01") as port:
        asking = await listening(port)
        reader, writer = await dial(port)
        writer.write(b"DTU-")
        await writer.drain()
        writer.write(b"0001\x7e\x01\x7e\x01")
        await asking
        assert await reader.readexactly(3) == b"ask"
        writer.write(b"\x7e\x01answer")

        assert await port.read(soon()) == b"answer"
        writer.close()


async def test_who_does_not_say_the_registration_does_not_replace_who_has():
    async with line(registration=b"DTU-0001") as port:
        asking = await listening(port)
        reader, writer = await dial(port)
        writer.write(b"DTU-0001")
        await asking
        await reader.readexactly(3)
        stranger, strange_writer = await dial(port)
        strange_writer.write(b"GET / HTTP/1.0\r\n\r\n")

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await stranger.readexactly(1)
        writer.write(b"answer")
        assert await port.read(soon()) == b"answer"
        strange_writer.close()
        writer.close()


async def test_a_port_that_is_taken_is_said():
    async with line() as first:
        asking = await listening(first)
        assert first.port is not None
        with pytest.raises(LineAway, match=f"{first.port} cannot be listened to: .*in use"):
            await DialInPort(ListenAt("127.0.0.1", first.port, 9600)).write(b"ask")
        asking.cancel()


async def test_a_line_that_is_closed_hangs_up_and_listens_no_more():
    async with line() as port:
        asking = await listening(port)
        number = port.port
        reader, writer = await dial(port)
        await asking
        await reader.readexactly(3)

        port.close()

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", number)
        with pytest.raises(LineAway, match="no DTU has dialled in"):
            await port.read(soon())
        writer.close()
