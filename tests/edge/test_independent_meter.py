"""A meter that is not ours: the server of the PyPI package dlt645 over TCP.

It keeps addresses in the order of the wire, so its "123456781012" is printed 121078563412 on a meter, and it
knows no relay control 1CH.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from dlt645 import MeterServerService

from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.ledger.store import Store
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from edge.lines.place import TcpAt
from edge.lines.ports import tcp_port
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.wire.uplog import Alarm, AlarmKind, Charged, SupplyChanged, read_up
from tests.edge.simulated import ELECTRICITY, POWER_TARIFF, PURSE, top_up, until

FORWARD_ACTIVE = 0x00010000
STATUS_WORD_3 = 0x04000503

pytestmark = pytest.mark.processes


@pytest.fixture
def server() -> Iterator[MeterServerService]:
    server = MeterServerService.new_tcp_server("127.0.0.1", 0)
    server.set_address("123456781012")
    server.set_00(FORWARD_ACTIVE, 100.00)
    server.set_04(STATUS_WORD_3, "0000")
    assert server.start()
    yield server
    server.stop()


class Gateway:
    """Our agent on the independent meter, with ¥1.00 in the purse."""

    def __init__(self, folder: Path, server: MeterServerService) -> None:
        meter = replace(
            ELECTRICITY.meter,
            meter_no="121078563412",
            address="121078563412",
            max_per_hour=Decimal(360_000),  # the tests move it by 2 kWh between two reads
        )
        self.point = replace(ELECTRICITY, meter=meter)
        self.store = Store(folder / "ledger.sqlite", "GW-0001")
        with self.store.transaction():
            self.store.save_tariff(POWER_TARIFF)
            self.store.save_point(self.point)
            self.store.post(top_up("1.00"))
        port = tcp_port(TcpAt("127.0.0.1", server.server.port, 9600))
        self.bus = Bus("L1", port, baud=9600, delay_s=0.2)
        pace = Pace(settle_s=0.2, least_s=0.1)
        self.agent = Agent(
            self.store, {"L1": self.bus}, Clock.of_wall(lambda: datetime.now(UTC)), pace
        )

    def told(self, kind: type) -> list:
        messages = (read_up(entry.body) for entry in self.store.unacked(1000))
        return [message for message in messages if isinstance(message, kind)]


async def test_our_gateway_reads_and_charges_from_a_meter_that_is_not_ours(
    tmp_path: Path, server: MeterServerService
):
    gateway = Gateway(tmp_path, server)
    running = asyncio.create_task(gateway.agent.run())
    await until(lambda: gateway.store.position(gateway.point.id) is not None, within_s=10)

    server.set_00(FORWARD_ACTIVE, 101.20)  # 1.20 × 0.50 = 0.60

    await until(lambda: gateway.store.balance(PURSE) == Money.yuan("0.40"), within_s=10)
    opened, charged = gateway.told(Charged)[:2]
    assert opened.position.reading.total == Decimal("100.00")
    assert charged.position.reading.supply is Supply.ON
    assert [transfer.amount for transfer in charged.transfers] == [Money.yuan("0.60")]
    running.cancel()
    gateway.bus.close()


async def test_its_status_word_is_understood_and_a_switch_it_does_not_have_is_alarmed(
    tmp_path: Path, server: MeterServerService
):
    gateway = Gateway(tmp_path, server)
    running = asyncio.create_task(gateway.agent.run())
    await until(lambda: gateway.store.position(gateway.point.id) is not None, within_s=10)

    server.set_00(FORWARD_ACTIVE, 102.00)  # the purse is empty

    def failed() -> list[Alarm]:
        return [a for a in gateway.told(Alarm) if a.alarm is AlarmKind.SWITCH_FAILED]

    await until(lambda: len(failed()) == 1, within_s=10)
    server.set_04(STATUS_WORD_3, "0050")  # somebody opens it by hand
    await until(lambda: len(failed()) == 2, within_s=10)

    began, ended = failed()
    assert "refused" in began.text
    assert (began.is_over, ended.is_over) == (False, True)
    off = gateway.told(SupplyChanged)[-1]
    assert (off.supply, off.wanted, off.commanded_at) == (Supply.OFF, Supply.OFF, None)
    running.cancel()
    gateway.bus.close()
