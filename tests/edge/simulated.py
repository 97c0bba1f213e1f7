"""A line in memory with meters of the codecs' own slaves, in simulated time."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from edge.agent import Agent
from edge.clocks.clock import Clock, loop_time
from edge.clocks.timekeeping import latest_told
from edge.clocks.trust import Rules
from edge.ledger.store import Store
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from edge.lines.ports import LineAway
from prepaid import ledger
from prepaid.ledger import Reason, Transfer
from prepaid.money import Money
from prepaid.point import Meter, Policy, Restore, ServicePoint
from prepaid.wire.downlog import TariffSet
from prepaid.wire.uplog import Up, read_up
from protocols import bcd
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import slave as cj188_slave
from protocols.cj188.items import Valve
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import slave as dlt645_slave
from protocols.modbus import frame as modbus_frame
from protocols.modbus import profile as modbus_profile
from protocols.modbus import slave as modbus_slave
from simulators.clock import SimulatedLoop
from simulators.port import Arrived

STATUS_WORD_3 = 0x04000503
EVENING = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
PURSE = UUID("00000000-0000-0000-0000-00000000000a")
WATER_PURSE = UUID("00000000-0000-0000-0000-00000000000b")


def simulated(story: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in simulated time."""

    @functools.wraps(story)
    def test(**fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            runner.run(story(**fixtures))

    del test.__wrapped__  # else pytest takes it for a coroutine
    test.__signature__ = inspect.signature(story)  # type: ignore[attr-defined]
    return test


def clock() -> datetime:
    return EVENING + timedelta(seconds=asyncio.get_running_loop().time())


class ElectricityMeter(dlt645_slave.MeterState):
    """A DL/T 645-2007 meter whose register, contact and status word are set and seen by the test."""

    is_stuck = False
    shows_status = True
    status_bits = 0xFFFF  # of status word 3, those that this meter fills

    def __init__(self, address: str, total: str) -> None:
        super().__init__(address, passwords={4: "123456"})
        self.show(total)

    def show(self, total: str) -> None:
        self.registers[0x00010000] = bcd.encode(Decimal(total), size=4, decimals=2)

    def read_item(self, di: int) -> bytes | None:
        if di == STATUS_WORD_3:
            word = dlt645_slave.status_word(self) & self.status_bits
            return word.to_bytes(2, "little")
        return super().read_item(di)

    def relay(self, command: Any, minutes: int) -> None:
        if not self.is_stuck:
            super().relay(command, minutes)


class WaterMeter(cj188_slave.MeterState):
    """A CJ/T 188 meter whose valve takes travel_s to arrive."""

    def __init__(self, address: str, total: str, travel_s: float) -> None:
        super().__init__(address, total=Decimal(total))
        self.travel_s = travel_s
        self.commands: list[Any] = []

    def move_valve(self, command: Any) -> None:
        self.commands.append(command)
        arrived = Valve.OPEN if command.name == "OPEN" else Valve.CLOSED
        asyncio.get_running_loop().call_later(self.travel_s, setattr, self, "valve", arrived)


class ModbusMeter(modbus_slave.Registers):
    """A Modbus meter of a register profile: all of its registers are 0 until the test shows others."""

    def __init__(self, profile: str, *, unit: int = 1) -> None:
        super().__init__(unit)
        self.profile = modbus_profile.load(profile)
        self.is_stuck = False
        for start, count in self.profile.blocks:
            self.tables[modbus_slave.Table.HOLDING].update(
                dict.fromkeys(range(start, start + count), 0)
            )
        for register in self.profile.registers.values():
            for function, address in register.keys:
                self.tables[modbus_slave.Table(function)][address] = 0

    def show(self, name: str, sent: str) -> None:
        """The register of that name holds these bytes, in hexadecimal as they are sent."""
        keys = self.profile.registers[name].keys
        words = [int(word, 16) for word in sent.split()]
        for (function, address), word in zip(keys, words, strict=True):
            self.tables[modbus_slave.Table(function)][address] = word

    def write(self, table: modbus_slave.Table, address: int, values: Sequence[int]) -> None:
        if not self.is_stuck:
            super().write(table, address, values)


AnyMeter = ElectricityMeter | WaterMeter | ModbusMeter


class Wire(Arrived):
    """A Port in memory. Every request is heard by every meter on it; answers arrive after delay_s."""

    def __init__(self, meters: Iterable[AnyMeter]) -> None:
        super().__init__()
        self.meters = list(meters)
        self.delay_s = 0.05
        self.is_silent = False
        self.is_away = False
        self.echoes = False
        self.noise = b""
        self.before_write: Callable[[], None] = lambda: None
        self.requests: list[bytes] = []

    async def write(self, data: bytes) -> None:
        if self.is_away:
            raise LineAway("serial device /dev/ttyUSB0 cannot be opened: No such file")
        self.before_write()
        self.requests.append(data)
        if self.echoes:
            self.arrive(data)
        if self.is_silent:
            return
        for meter in self.meters:
            for answer in _answers(meter, data):
                self.arrive_later(self.delay_s, self.noise + answer)


def _answers(meter: AnyMeter, data: bytes) -> list[bytes]:
    now = clock().replace(tzinfo=None)
    if isinstance(meter, ModbusMeter):
        requests = modbus_frame.Decoder(requests=True).feed(data)
        replies = [modbus_slave.answer(meter, frame) for frame in requests]
        return [modbus_frame.encode(frame) for frame in replies if frame]
    if isinstance(meter, WaterMeter):
        asked = cj188_frame.Decoder().feed(data)
        said = [cj188_slave.answer(meter, frame, now) for frame in asked]
        return [cj188_frame.encode(frame) for frame in said if frame]
    heard = dlt645_frame.Decoder().feed(data)
    status = STATUS_WORD_3.to_bytes(4, "little")
    replied = [
        replace(frame, control=0xD1, data=b"\x02")  # refused: no such data
        if frame.data == status and frame.address == meter.address and not meter.shows_status
        else dlt645_slave.answer(meter, frame, now)
        for frame in heard
    ]
    return [dlt645_frame.encode(frame) for frame in replied if frame]


TRIP, ALLOW_CLOSE, CLOSE = 0x1A, 0x1B, 0x1C  # relay commands of DL/T 645-2007
NO_DWELL = timedelta(0)  # what is switched may be switched again at once

ELECTRICITY = ServicePoint(
    id=UUID("00000000-0000-0000-0000-000000000001"),
    name="0301 电",
    meter=Meter(
        meter_no="201709320072",
        protocol="dlt645-2007",
        line="L1",
        address="201709320072",
        digits=6,
        step=Decimal("0.01"),
        max_per_hour=Decimal("36000"),  # fast physics: 10 kWh each second
        settings={"password": "123456", "level": "4", "operator": "00000001"},
    ),
    tariff="power",
    purse=PURSE,
    policy=Policy(alarm_at=Money.yuan("0.50"), final_alarm_at=Money(0), dwell=NO_DWELL),
)
WATER = ServicePoint(
    id=UUID("00000000-0000-0000-0000-000000000002"),
    name="0301 水",
    meter=Meter(
        meter_no="78330011223344",
        protocol="cjt188-2004",
        line="L1",
        address="78330011223344",
        digits=6,
        step=Decimal("0.01"),
        max_per_hour=Decimal("36000"),
        settings={"meter_type": "10"},
    ),
    tariff="water",
    purse=WATER_PURSE,
    policy=Policy(
        alarm_at=Money.yuan("0.50"), final_alarm_at=Money(0), restore=Restore.DIRECT, dwell=NO_DWELL
    ),
)


def tariff(code: str, commodity: str, price: str) -> TariffSet:
    return TariffSet(
        {
            "code": code,
            "commodity": commodity,
            "unit": "kWh" if commodity == "electricity" else "m3",
            "currency": "CNY",
            "timezone": "Asia/Shanghai",
            "versions": [
                {
                    "effective_from": "2026-01-01T00:00:00+08:00",
                    "components": [{"item": "energy", "kind": "rate", "price": price}],
                }
            ],
        }
    )


POWER_TARIFF = tariff("power", "electricity", "0.50")
WATER_TARIFF = tariff("water", "cold_water", "4.00")


def top_up(amount: str, *, purse: UUID = PURSE, cause: str = "sandbox:1") -> Transfer:
    return Transfer(
        debit=ledger.clearing("sandbox"),
        credit=ledger.prepaid(purse),
        amount=Money.yuan(amount),
        reason=Reason.TOP_UP,
        cause=cause,
        at=EVENING,
    )


class Room:
    """One gateway with an electricity and a water meter on one line; both purses hold ¥1.00.

    shift is how far the gateway's clock is ahead.
    """

    def __init__(self, folder: Path, points: Iterable[ServicePoint] = (ELECTRICITY, WATER)) -> None:
        self.meter = ElectricityMeter("201709320072", "100.00")
        self.water = WaterMeter("78330011223344", "10.00", travel_s=20)
        self.wire = Wire([self.meter, self.water])
        self.store = Store(folder / "ledger.sqlite", "GW-0001")
        with self.store.transaction():
            self.store.save_tariff(POWER_TARIFF)
            self.store.save_tariff(WATER_TARIFF)
            for point in points:
                self.store.save_point(point)
            self.store.post(top_up("1.00", cause="sandbox:power"))
            self.store.post(top_up("1.00", purse=WATER_PURSE, cause="sandbox:water"))
        self.shift = timedelta(0)
        self.start(settle_s=60)

    def start(
        self, *, settle_s: float, system: Callable[[], timedelta | None] | None = None
    ) -> None:
        """The gateway's program, anew: only the store has outlived the one before.

        system says how far off its clock can be, None while nobody keeps it; without it the clock is right.
        """
        bus = Bus("L1", self.wire, baud=115200, delay_s=0)
        pace = Pace(settle_s=settle_s, least_s=1)
        self.clock = self.clock_of(system)
        self.agent = Agent(self.store, {"L1": bus}, self.clock, pace)
        self.agent.reload()

    def clock_of(self, system: Callable[[], timedelta | None] | None) -> Clock:
        latest = latest_told(self.store)
        if system is None:
            return Clock.of_wall(self.wall, latest=latest)
        return Clock(
            self.wall,
            tick=loop_time,
            system=system,
            rules=Rules(),
            believes_wall=False,
            boot=None,
            kept=self.store.kept_time(),
            latest=latest,
        )

    def wall(self) -> datetime:
        return clock() + self.shift

    def credit(self, amount: str, *, purse: UUID = PURSE, cause: str = "sandbox:2") -> None:
        with self.store.transaction():
            self.store.post(top_up(amount, purse=purse, cause=cause))

    async def use(self, total: str, *, after_s: float = 10) -> float:
        """Time passes, the electricity register shows this, and the meter is visited."""
        await asyncio.sleep(after_s)
        self.meter.show(total)
        return await self.agent.visit(ELECTRICITY)

    def fill_disk(self) -> None:
        """The file cannot grow by a page: what SQLite sees of a full disk."""
        self.store._db.execute("PRAGMA max_page_count = 1")  # it takes what there is as the least

    def empty_disk(self) -> None:
        self.store._db.execute("PRAGMA max_page_count = 1000000")

    def up(self) -> list[Up]:
        """Everything told to the cloud."""
        return [read_up(entry.body) for entry in self.store.unacked(10_000)]

    def told(self, kind: type) -> list[Any]:
        return [message for message in self.up() if isinstance(message, kind)]


async def until(is_so: Callable[[], bool], *, within_s: float, each_s: float = 0.02) -> None:
    """Wait, and fail if it does not come true in time. It is looked every each_s."""
    loop = asyncio.get_running_loop()
    last = loop.time() + within_s
    while not is_so():
        assert loop.time() < last, f"not so within {within_s} s"
        await asyncio.sleep(each_s)


def commands(room: Room) -> list[int]:
    """What relay commands were sent: N1 stands 33H higher, 8 bytes after control and length."""
    return [request[22] - 0x33 for request in room.wire.requests if request[12:14] == b"\x1c\x10"]
