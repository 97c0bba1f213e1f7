"""Real bytes: a pseudo-terminal and TCP."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from edge.drivers import dlt645, modbus
from edge.lines.bus import Bus, NoReply
from edge.lines.place import ModbusTcpAt, SerialAt, TcpAt
from edge.lines.ports import LineAway, NotModbus, port_to, serial_port, tcp_port
from prepaid.point import Restore
from prepaid.reading import Supply
from protocols.exchange import Unexpected
from protocols.modbus import frame as rtu
from protocols.modbus import master, slave, tcp
from tests.edge.simulated import ELECTRICITY, EVENING, ModbusMeter


class Pty:
    """A pseudo-terminal: device is what a gateway opens."""

    def __init__(self) -> None:
        self.ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.device = os.ttyname(self._theirs)

    def close(self) -> None:
        os.close(self.ours)
        os.close(self._theirs)


def in_s(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


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
    async with asyncio.timeout(30):
        assert await port.read(in_s(30)) == b"answer"
    port.close()


async def test_a_line_is_opened_to_listen_without_sending(
    pty: Pty, caplog: pytest.LogCaptureFixture
):
    port = serial_port(SerialAt(pty.device, 2400, "8N1"))

    await port.write(b"")
    os.write(pty.ours, b"babble")

    async with asyncio.timeout(30):
        assert await port.read(in_s(30)) == b"babble"
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
            await port.read(in_s(30))

    os.write(pty.ours, b"late")

    async with asyncio.timeout(30):
        assert await port.read(in_s(30)) == b"late"
    port.close()


async def test_a_serial_server_that_closes_is_said_and_opened_again():
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    port = tcp_port(TcpAt("127.0.0.1", server.sockets[0].getsockname()[1], 2400))

    async with asyncio.timeout(30):
        await port.write(b"one")
        assert await port.read(in_s(30)) == b"one"
        with pytest.raises(LineAway, match="closed by the other side"):
            await port.read(in_s(30))
        await port.write(b"two")
        assert await port.read(in_s(30)) == b"two"
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
    async with asyncio.timeout(30):
        assert await port.read(in_s(30)) == b"stale"

    os.write(pty.ours, b"more")
    dropped = b""
    async with asyncio.timeout(30):
        while dropped != b"more":
            await asyncio.sleep(0)
            dropped += port.drain()

    assert await port.read(in_s(0.05)) == b""
    port.close()


async def test_a_serial_device_that_is_pulled_out_is_a_line_that_is_away():
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    port = serial_port(SerialAt(os.ttyname(theirs), 2400, "8N1"))
    await port.write(b"ask")

    os.close(ours)
    os.close(theirs)

    async with asyncio.timeout(30):
        with pytest.raises(LineAway, match="closed by the other side"):
            await port.read(in_s(30))
        with pytest.raises(LineAway, match="cannot be opened"):
            await port.write(b"ask again")
    port.close()


class Gateway:
    """A Modbus TCP gateway with one meter behind it. `before` is sent before each reply."""

    def __init__(self, meter: ModbusMeter) -> None:
        self.meter = meter
        self.connections = 0
        self.before: Callable[[rtu.Frame], bytes] = lambda request: b""
        self.ends_within_a_reply = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        decoder = tcp.Decoder()
        while data := await reader.read(1000):
            for request in decoder.feed(data):
                reply = slave.answer(self.meter, request)
                assert reply is not None
                whole = self.before(request) + tcp.encode(reply)
                writer.write(whole[:-3] if self.ends_within_a_reply else whole)
        writer.close()


@asynccontextmanager
async def gateway_line(meter: ModbusMeter) -> AsyncIterator[tuple[Gateway, Bus]]:
    gateway = Gateway(meter)
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
    at = ModbusTcpAt("127.0.0.1", server.sockets[0].getsockname()[1], 115200)
    bus = Bus("L1", port_to(at), baud=at.baud, delay_s=0)
    try:
        yield gateway, bus
    finally:
        bus.close()
        server.close()


def relay_meter() -> ModbusMeter:
    """1234.56 kWh: 0001E240H = 123456."""
    meter = ModbusMeter("hiking_dds238_2")
    meter.show("energy_total", "0001 E240")
    meter.show("relay", "0001")
    return meter


DDS238 = replace(
    ELECTRICITY.meter,
    protocol="modbus",
    address="1",
    settings={"profile": "hiking_dds238_2"},
)


async def test_a_meter_behind_modbus_tcp_is_asked_as_on_a_serial_line():
    async with gateway_line(relay_meter()) as (gateway, bus):
        seen = await bus.run(lambda: modbus.read(DDS238), modbus.decoder)
        await bus.run(
            lambda: modbus.switch(DDS238, Supply.OFF, Restore.DIRECT, EVENING), modbus.decoder
        )
        after = await bus.run(lambda: modbus.state(DDS238), modbus.decoder)

    assert (seen.total, seen.supply, after) == (Decimal("1234.56"), Supply.ON, Supply.OFF)
    assert gateway.connections == 1


async def test_a_late_reply_of_modbus_tcp_is_known_by_its_number_and_dropped():
    def the_one_before(request: rtu.Frame) -> bytes:
        stale = rtu.Frame(1, 3, b"\x02\x00\x63", request.transaction - 1)
        return tcp.encode(stale)

    async with gateway_line(relay_meter()) as (gateway, bus):
        gateway.before = the_one_before
        words = await bus.run(lambda: master.read_holding(1, address=0x1A, count=1), modbus.decoder)

    assert words == (1,)


async def test_after_half_a_reply_of_modbus_tcp_a_new_connection_is_opened():
    async with gateway_line(relay_meter()) as (gateway, bus):
        gateway.ends_within_a_reply = True
        with pytest.raises(NoReply):
            await bus.run(lambda: modbus.read(DDS238), modbus.decoder)
        gateway.ends_within_a_reply = False
        seen = await bus.run(lambda: modbus.read(DDS238), modbus.decoder)

    assert seen.total == Decimal("1234.56")
    assert gateway.connections == 4  # three tries, each cut short, and one that worked


async def test_a_gateways_word_that_nobody_answers_behind_it_is_not_the_meters_refusal():
    def nobody(request: rtu.Frame) -> bytes:
        return tcp.encode(rtu.Frame(1, request.function | 0x80, b"\x0b", request.transaction))

    async with gateway_line(relay_meter()) as (gateway, bus):
        gateway.before = nobody
        with pytest.raises(Unexpected, match="gateway target did not respond"):
            await bus.run(lambda: modbus.read(DDS238), modbus.decoder)


async def test_another_protocol_on_a_line_of_modbus_tcp_is_said_and_not_sent():
    async with gateway_line(relay_meter()) as (gateway, bus):
        with pytest.raises(
            NoReply, match="line L1: only Modbus meters can be on a line of modbus-tcp"
        ):
            await bus.run(lambda: dlt645.read(ELECTRICITY.meter), dlt645.decoder)
        assert gateway.connections == 0
    port = port_to(ModbusTcpAt("127.0.0.1", 1, 115200))
    with pytest.raises(NotModbus):
        await port.write(b"?")
