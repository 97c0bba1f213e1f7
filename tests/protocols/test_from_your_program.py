"""The program that docs/protocols/README.md shows does what the page says."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from protocols.cj188 import slave as cj188
from protocols.modbus import slave as modbus
from tests.wattwell.lines import answered, electricity

PAGE = Path(__file__).parents[2] / "docs" / "protocols" / "README.md"


@pytest.fixture
def port() -> Iterator[int]:
    """A serial server with one meter of each protocol behind it."""
    # 0002H and 4A89H: 2 × 65536 + 19081 = 150153 hundredths of a kWh
    meters = (
        electricity("202610450101", total="00018612"),
        cj188.MeterState("78330026100101", total=Decimal("312.47")),
        modbus.Registers(1, {modbus.Table.HOLDING: {0: 0x0002, 1: 0x4A89}}),
    )

    class Line(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(256):
                for meter in meters:
                    for said in answered(meter, data):
                        self.request.sendall(said)

    with socketserver.TCPServer(("127.0.0.1", 0), Line) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


def test_the_program_on_the_page_reads_a_meter_of_each_protocol(
    port: int, capsys: pytest.CaptureFixture[str]
):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert '"192.0.2.7", 4001' in program

    exec(program.replace('"192.0.2.7", 4001', f'"127.0.0.1", {port}'), {})

    assert capsys.readouterr().out.splitlines() == ["186.12 kWh", "312.47 m3", "1501.53 kWh"]
