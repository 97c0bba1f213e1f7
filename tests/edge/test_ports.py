"""Real bytes: a pseudo-terminal and TCP."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Iterator

import pytest

from edge.place import SerialAt, TcpAt
from edge.ports import LineAway, serial_port, tcp_port


class Pty:
    """A pseudo-terminal: device is what a gateway opens."""

    def __init__(self) -> None:
        self.ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.device = os.ttyname(self._theirs)

    def close(self) -> None:
        os.close(self.ours)
        os.close(self._theirs)


@pytest.fixture
def pty() -> Iterator[Pty]:
    pty = Pty()
    yield pty
    pty.close()


async def test_bytes_go_both_ways_through_a_serial_device(pty: Pty):
    port = serial_port(SerialAt(pty.device, 2400, "8N1"))

    await port.write(b"ask")
    asked = await asyncio.to_thread(os.read, pty.ours, 100)
    os.write(pty.ours, b"answer")

    assert asked == b"ask"
    async with asyncio.timeout(5):
        assert await port.read() == b"answer"
    port.close()


async def test_a_line_is_opened_to_listen_without_sending(
    pty: Pty, caplog: pytest.LogCaptureFixture
):
    port = serial_port(SerialAt(pty.device, 2400, "8N1"))

    await port.write(b"")
    os.write(pty.ours, b"babble")

    async with asyncio.timeout(5):
        assert await port.read() == b"babble"
    assert caplog.records == []
    port.close()


async def test_a_serial_device_that_is_missing_is_named():
    port = serial_port(SerialAt("/dev/ttyWattwell9", 2400, "8E1"))

    with pytest.raises(LineAway, match="serial device /dev/ttyWattwell9 cannot be opened: No such"):
        await port.write(b"ask")


async def test_a_device_without_the_parity_that_is_configured_is_said(pty: Pty):
    with pytest.raises(LineAway, match="a pseudo-terminal has no parity, give it 8N1"):
        await serial_port(SerialAt(pty.device, 2400, "8E1")).write(b"ask")


async def test_a_serial_device_that_another_program_has_open_is_said(pty: Pty):
    first = serial_port(SerialAt(pty.device, 2400, "8N1"))
    await first.write(b"ask")

    with pytest.raises(LineAway, match="another program has it open"):
        await serial_port(SerialAt(pty.device, 2400, "8N1")).write(b"ask")
    first.close()


async def test_reading_can_be_given_up_without_losing_what_comes_after(pty: Pty):
    port = serial_port(SerialAt(pty.device, 2400, "8N1"))
    await port.write(b"ask")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await port.read()

    os.write(pty.ours, b"late")

    async with asyncio.timeout(5):
        assert await port.read() == b"late"
    port.close()


async def test_a_serial_server_that_closes_is_said_and_opened_again():
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    port = tcp_port(TcpAt("127.0.0.1", server.sockets[0].getsockname()[1], 2400))

    async with asyncio.timeout(5):
        await port.write(b"one")
        assert await port.read() == b"one"
        with pytest.raises(LineAway, match="closed by the other side"):
            await port.read()
        await port.write(b"two")
        assert await port.read() == b"two"
    port.close()
    server.close()


async def test_a_serial_server_that_refuses_is_named():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    number = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    port = tcp_port(TcpAt("127.0.0.1", number, 2400))

    with pytest.raises(LineAway, match=f"127.0.0.1:{number} cannot be opened: Connection refused"):
        await port.write(b"ask")


async def test_what_nobody_read_can_be_thrown_away(pty: Pty):
    port = serial_port(SerialAt(pty.device, 2400, "8N1"))
    await port.write(b"ask")
    os.write(pty.ours, b"stale")
    async with asyncio.timeout(5):
        assert await port.read() == b"stale"

    os.write(pty.ours, b"more")
    dropped = b""
    async with asyncio.timeout(5):
        while dropped != b"more":
            await asyncio.sleep(0)
            dropped += port.drain()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await port.read()
    port.close()


async def test_a_serial_device_that_is_pulled_out_is_a_line_that_is_away():
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    port = serial_port(SerialAt(os.ttyname(theirs), 2400, "8N1"))
    await port.write(b"ask")

    os.close(ours)
    os.close(theirs)

    async with asyncio.timeout(5):
        with pytest.raises(LineAway, match="closed by the other side"):
            await port.read()
        with pytest.raises(LineAway, match="cannot be opened"):
            await port.write(b"ask again")
    port.close()
