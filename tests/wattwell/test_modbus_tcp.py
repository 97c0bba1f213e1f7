"""`wattwell meter` on a line of Modbus TCP, as it is typed, against a gateway with one meter behind it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from typer.testing import CliRunner

from protocols.modbus import frame, slave, tcp
from tests.edge.simulated import ModbusMeter
from wattwell.technician.meter_commands import app

UNIT = 7


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """1234.56 kWh: 0001E240H = 123456. Of other units the gateway says that they do not answer."""
    meter = ModbusMeter("hiking_dds238_2", unit=UNIT)
    meter.show("energy_total", "0001 E240")
    meter.show("relay", "0001")
    decoder = tcp.Decoder()
    while data := await reader.read(1000):
        for request in decoder.feed(data):
            nobody = request._replace(function=request.function | frame.EXCEPTION, data=b"\x0b")
            writer.write(tcp.encode(slave.answer(meter, request) or nobody))
    writer.close()


@pytest.fixture(scope="module")
def line() -> Iterator[str]:
    opened: list[tuple[int, Callable[[], object]]] = []
    is_up = threading.Event()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        port = server.sockets[0].getsockname()[1]
        opened.append((port, lambda: loop.call_soon_threadsafe(stop.set)))
        is_up.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert is_up.wait(10)
    (port, stop), *_ = opened
    yield f"modbus-tcp:127.0.0.1:{port}"
    stop()
    thread.join(10)


def run(command: str, line: str, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, [command, "--line", line, "--delay", "0", *arguments], env={"COLUMNS": "100"}
    )


OF_PROFILE = ("-a", str(UNIT), "--profile", "hiking_dds238_2")


def test_a_register_is_read_and_the_bytes_shown_are_those_of_the_connection(line: str):
    result = run("read", line, *OF_PROFILE, "energy_total", "--json", "--bytes")

    assert json.loads(result.stdout)[0]["value"] == "1234.56"
    # Transaction 1, protocol 0, six bytes: unit 7, 03H, two registers from 0
    assert "→ 00 01 00 00 00 06 07 03 00 00 00 02" in result.stderr


def test_a_relay_is_switched_and_proved_by_reading_back(line: str):
    result = run("supply", line, *OF_PROFILE, "off", "--yes")

    assert "supply on 通." in result.stdout
    assert "Proved by reading back: supply off 断." in result.stdout


def test_scan_asks_only_for_modbus_and_finds_who_is_behind_the_gateway(line: str):
    result = run("scan", line, "--units", "6-8", "--json")

    assert [(one["protocol"], one["address"]) for one in json.loads(result.stdout)] == [
        ("modbus-rtu", "7")
    ]
    assert "set in the server" not in result.stderr


def test_a_unit_that_does_not_answer_behind_the_gateway_is_said(line: str):
    result = run("read", line, "-a", "9", "holding:0")

    said = " ".join(result.stderr.split())
    assert "says that unit 9 does not answer: gateway target did not respond." in said
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("read", "-a", "202310450101"),
        ("read", "-a", "78330023100101"),
        ("scan", "--protocol", "cjt188"),
        ("scan", "--protocol", "cjt188", "--protocol", "modbus-rtu"),
    ],
)
def test_other_protocols_do_not_go_over_modbus_tcp(line: str, arguments: tuple[str, ...]):
    command, *rest = arguments

    result = run(command, line, *rest)

    assert "line of modbus-tcp is for devices that frame Modbus for TCP" in result.stderr.replace(
        "\n", " "
    )
    assert result.exit_code == 2


def test_units_of_modbus_tcp_go_up_to_255(line: str):
    assert run("read", line, "-a", "255", "holding:0").exit_code == 1
    beyond = run("read", line, "-a", "256", "holding:0")
    assert "a Modbus unit from 1 to 255" in beyond.stderr.replace("\n", " ")
