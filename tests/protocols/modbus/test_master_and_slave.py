import asyncio
from contextlib import asynccontextmanager
from struct import pack

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from protocols.exchange import Refused, Unexpected
from protocols.modbus import master, profile, tcp
from protocols.modbus.frame import Decoder, Frame, ReplyDecoder, decode, encode
from protocols.modbus.slave import Declined, Fault, Registers, Table, answer


@pytest.fixture
def device():
    return Registers(
        unit=7,
        tables={
            Table.COILS: dict.fromkeys(range(2100), 0),
            Table.DISCRETE: {at: at % 3 == 0 for at in range(20)},
            Table.HOLDING: {at: at * 257 & 0xFFFF for at in range(200)},
            Table.INPUT: {at: 0xFFFF - at for at in range(200)},
        },
    )


@pytest.fixture
def ask(converse, device):
    def run(exchange):
        return converse(
            exchange,
            decoder=lambda: Decoder(requests=True),
            answer=lambda frame: answer(device, frame),
        )

    return run


def test_registers_are_read(ask):
    assert ask(master.read_holding(7, address=1, count=3)) == (257, 514, 771)
    assert ask(master.read_input(7, address=10, count=2)) == (0xFFF5, 0xFFF4)
    assert len(ask(master.read_holding(7, address=0, count=125))) == 125


def test_bits_are_read(ask):
    inputs = ask(master.read_discrete(7, address=0, count=10))
    assert inputs == (True, False, False) * 3 + (True,)
    assert len(ask(master.read_coils(7, address=0, count=2000))) == 2000


def test_registers_are_written(ask, device):
    ask(master.write_single_register(7, address=5, value=0xBEEF))
    ask(master.write_registers(7, address=6, values=range(123)))

    assert [device.tables[Table.HOLDING][at] for at in (5, 6, 128)] == [0xBEEF, 0, 122]


def test_coils_are_written(ask, device):
    ask(master.write_single_coil(7, address=3, on=True))
    ask(master.write_coils(7, address=100, values=[True, False] * 984))
    ask(master.write_single_coil(7, address=100, on=False))

    coils = device.tables[Table.COILS]
    assert [coils[at] for at in (3, 100, 101, 102, 2066)] == [1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "exchange",
    [
        master.read_holding(7, address=0, count=126),
        master.read_input(7, address=0, count=0),
        master.read_coils(7, address=0, count=2001),
        master.write_registers(7, address=0, values=[0] * 124),
        master.write_coils(7, address=0, values=[True] * 1969),
        master.write_registers(7, address=0, values=[0x10000]),
        master.write_single_register(7, address=-1, value=0),
        master.read_holding(7, address=0xFFFF, count=2),
        master.read_holding(0, address=0, count=1),
    ],
)
def test_what_the_protocol_does_not_allow_is_not_sent(exchange):
    with pytest.raises(ValueError):
        next(exchange)


def test_the_device_refuses_with_the_exception_that_fits(ask, device):
    device.functions = {0x03, 0x10}
    with pytest.raises(Refused) as function:
        ask(master.write_single_register(7, address=0, value=1))
    with pytest.raises(Refused) as address:
        ask(master.read_holding(7, address=199, count=2))

    assert (function.value.code, function.value.reasons) == (1, ("illegal function",))
    assert (address.value.code, address.value.reasons) == (2, ("illegal data address",))


@pytest.mark.parametrize(
    ("function", "data"),
    [
        (0x03, "0000 007E"),
        (0x03, "0000 0000"),
        (0x01, "0000 07D1"),
        (0x05, "0000 0001"),
        (0x10, "0000 0002 03 000000"),
        (0x10, "0000 0002 04 000000"),
        (0x0F, "0000 0009 01 FF"),
        (0x06, "0000"),
    ],
)
def test_a_request_that_makes_no_sense_is_an_illegal_value(device, function, data):
    reply = answer(device, Frame(7, function, bytes.fromhex(data)))
    assert reply == Frame(7, function | 0x80, b"\3")


def test_a_failing_device_answers_with_exception_4():
    class Broken(Registers):
        def read(self, table, address, count):
            raise Declined(Fault.FAILURE)

    assert answer(Broken(1), Frame(1, 3, pack(">HH", 0, 1))) == Frame(1, 0x83, b"\4")


def test_a_broadcast_is_obeyed_in_silence(device):
    write = Frame(0, 0x06, pack(">HH", 9, 42))

    assert answer(device, write) is None
    assert device.tables[Table.HOLDING][9] == 42
    assert answer(device, Frame(0, 0x03, pack(">HH", 0, 1))) is None
    assert answer(device, Frame(0, 0x63, b"")) is None


def test_other_units_are_met_with_silence(ask):
    with pytest.raises(TimeoutError):
        ask(master.read_holding(8, address=0, count=1))


@pytest.mark.parametrize(
    "reply",
    [
        Frame(8, 0x03, b"\4\0\0\0\0"),
        Frame(7, 0x04, b"\4\0\0\0\0"),
        Frame(7, 0x03, b"\2\0\0"),
        Frame(7, 0x03, b"\2\0\0\0\0"),
        Frame(7, 0x03, b""),
        Frame(7, 0x83, b""),
    ],
)
def test_an_answer_to_some_other_question_is_unexpected(reply):
    exchange = master.read_holding(7, address=0, count=2)
    next(exchange)
    with pytest.raises(Unexpected):
        exchange.send(reply)


def test_a_write_that_is_confirmed_otherwise_is_unexpected():
    exchange = master.write_single_register(7, address=1, value=2)
    next(exchange)
    with pytest.raises(Unexpected):
        exchange.send(Frame(7, 0x06, pack(">HH", 1, 3)))


@pytest.mark.parametrize("code", [10, 11])
def test_a_gateways_word_on_the_device_behind_it_is_told_from_the_devices_own(code):
    exchange = master.read_holding(7, address=0, count=2)
    next(exchange)
    with pytest.raises(master.NotReached, match="unit 7 does not answer: gateway"):
        exchange.send(Frame(7, 0x83, bytes([code])))


@pytest.mark.parametrize("code", [5, 6])
def test_a_busy_device_is_asked_again(code):
    exchange = master.read_holding(7, address=0, count=2)
    next(exchange)
    with pytest.raises(Unexpected, match="not now"):
        exchange.send(Frame(7, 0x83, bytes([code])))


def test_a_late_reply_over_tcp_is_unexpected():
    exchange = tcp.over_tcp(master.read_holding(7, address=0, count=1), 0x1FFFF)
    request = tcp.decode(next(exchange))
    assert request == Frame(7, 0x03, pack(">HH", 0, 1), 0xFFFF)
    with pytest.raises(Unexpected):
        exchange.send(Frame(7, 0x03, b"\2\0\0", 0xFFFE))


def test_the_reply_decoder_passes_every_answer_of_a_slave(device):
    exchanges = [
        master.read_coils(7, address=0, count=13),
        master.read_holding(7, address=0, count=125),
        master.write_single_coil(7, address=0, on=True),
        master.write_coils(7, address=0, values=[True] * 9),
        master.write_registers(7, address=0, values=[1]),
        master.read_input(7, address=500, count=1),
    ]
    for exchange in exchanges:
        request = next(exchange)
        reply = answer(device, decode(request))
        assert ReplyDecoder(request, echoes=False).feed(encode(reply)) == [reply]


# Over real sockets, against pymodbus.


@asynccontextmanager
async def pymodbus_server(registers):
    """A pymodbus server on a free port of 127.0.0.1 with these input registers from 0 on."""
    # Its data blocks count from 1.
    context = ModbusDeviceContext(ir=ModbusSequentialDataBlock(1, registers))
    server = ModbusTcpServer(
        ModbusServerContext(devices=context, single=True), address=("127.0.0.1", 0)
    )
    await server.listen()
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


async def run_over_socket(exchange, port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        request = next(exchange)
        while True:
            writer.write(request)
            decoder = tcp.Decoder()
            while not (frames := decoder.feed(await asyncio.wait_for(reader.read(300), 30))):
                pass
            request = exchange.send(frames[0])
    except StopIteration as end:
        return end.value
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_profile_is_read_from_a_pymodbus_server():
    # given an SDM120 with 230.5 V (43668000H) and 1234.5 kWh (449A5000H) at 0156H
    sdm120 = profile.load("eastron_sdm120")
    registers = [0] * 0x200
    registers[0:2] = 0x4366, 0x8000
    registers[0x156:0x158] = 0x449A, 0x5000

    async with pymodbus_server(registers) as port:
        exchange = profile.read_values(1, sdm120, ["voltage", "energy_total"], profile.DIRECT)
        values = await run_over_socket(tcp.over_tcp(exchange, 41), port)

    assert {name: str(value) for name, value in values.items()} == {
        "voltage": "230.5",
        "energy_total": "1234.5",
    }


async def test_a_pymodbus_client_is_served_by_our_slave(device):
    async def serve(reader, writer):
        decoder = tcp.Decoder()
        while data := await reader.read(300):
            for frame in decoder.feed(data):
                if (reply := answer(device, frame)) is not None:
                    writer.write(tcp.encode(reply))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=30)
    async with server:
        assert await client.connect()
        assert (await client.read_holding_registers(1, count=2, device_id=7)).registers == [
            257,
            514,
        ]
        assert (await client.read_input_registers(0, count=1, device_id=7)).registers == [0xFFFF]
        assert (await client.read_discrete_inputs(0, count=4, device_id=7)).bits[:4] == [1, 0, 0, 1]
        assert not (await client.write_coil(4, True, device_id=7)).isError()
        assert not (await client.write_coils(5, [True, False, True], device_id=7)).isError()
        assert (await client.read_coils(4, count=4, device_id=7)).bits[:4] == [1, 1, 0, 1]
        assert not (await client.write_register(0, 9, device_id=7)).isError()
        assert not (await client.write_registers(1, [8, 7], device_id=7)).isError()
        assert (await client.read_holding_registers(900, count=1, device_id=7)).exception_code == 2
        client.close()
    assert [device.tables[Table.HOLDING][at] for at in range(3)] == [9, 8, 7]
