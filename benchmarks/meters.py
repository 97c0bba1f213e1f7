"""Lines of meters in memory, for what is measured of the gateway in simulated time.

A meter's register runs with its load, steps of 0.01 as a real one shows, as long as its contact or valve is closed.
What it costs to simulate them is counted apart (Wire.cpu_s), so that it can be taken off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import floor
from typing import Protocol
from uuid import UUID

from edge.ledger.store import Store
from prepaid import ledger
from prepaid.ledger import Reason, Transfer
from prepaid.money import Money
from prepaid.point import Meter, Policy, Restore, ServicePoint
from prepaid.wire.downlog import TariffSet
from protocols import bcd
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import slave as cj188_slave
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import slave as dlt645_slave
from protocols.modbus import frame as modbus_frame
from protocols.modbus import slave as modbus_slave
from simulators.port import Arrived

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
PROTOCOLS = ("dlt645-2007", "cjt188-2004", "modbus")
PROFILE = "hiking_dds238_2"
BITS_PER_BYTE = 11
ENERGY = 0x00010000
CURRENTS = 0x0202FF00
MOST_PER_HOUR = Decimal(60)
PRICE = "0.5283"
KEPT = timedelta(days=7)


def wall() -> datetime:
    """The simulated wall clock: UTC."""
    return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())


def local() -> datetime:
    return wall().replace(tzinfo=None)


class Register:
    """What has passed a meter, in its unit: runs at per_hour while is_on."""

    def __init__(self, opening: float, per_hour: float) -> None:
        self._total = opening
        self._per_hour = per_hour
        self.is_on = True
        self._since = asyncio.get_running_loop().time()

    @property
    def total(self) -> float:
        """The true total now."""
        now = asyncio.get_running_loop().time()
        return self._total + self.is_on * self._per_hour * (now - self._since) / 3600

    @property
    def steps(self) -> int:
        """What it shows: whole hundredths."""
        return floor(self.total * 100 + 1e-6)

    def draw(self, per_hour: float) -> None:
        """The load is another from now on."""
        self._total, self._since = self.total, asyncio.get_running_loop().time()
        self._per_hour = per_hour

    def supply(self, *, is_on: bool) -> None:
        self._total, self._since = self.total, asyncio.get_running_loop().time()
        self.is_on = is_on


class Simulated(Protocol):
    """A meter on a line. delay_s is what it takes to begin its answer."""

    register: Register
    delay_s: float

    def answer(self, request: bytes) -> bytes:
        """Empty for silence."""
        ...


class ElectricityMeter(dlt645_slave.MeterState):
    """DL/T 645-2007."""

    def __init__(self, address: str, register: Register, delay_s: float) -> None:
        super().__init__(address, passwords={4: "123456"}, registers={CURRENTS: bytes(9)})
        self.register = register
        self.delay_s = delay_s

    def read_item(self, di: int) -> bytes | None:
        if di == ENERGY:
            return bcd.encode(self.register.steps % 10**8, size=4)
        return super().read_item(di)

    def relay(self, command: dlt645_slave.RelayCommand, minutes: int) -> None:
        super().relay(command, minutes)
        self.register.supply(is_on=not self.contact_open)

    def answer(self, request: bytes) -> bytes:
        heard = dlt645_frame.decode(request)
        said = dlt645_slave.answer(self, heard, local())
        return dlt645_frame.encode(said) if said is not None else b""


class WaterMeter(cj188_slave.MeterState):
    """CJ/T 188-2004, with a valve that moves at once."""

    def __init__(self, address: str, register: Register, delay_s: float) -> None:
        super().__init__(address)
        self.register = register
        self.delay_s = delay_s

    def water(self) -> tuple[Decimal, Decimal]:
        return Decimal(self.register.steps).scaleb(-2), Decimal(0)

    def move_valve(self, command: cj188_slave.ValveCommand) -> None:
        super().move_valve(command)
        self.register.supply(is_on=self.valve.name == "OPEN")

    def answer(self, request: bytes) -> bytes:
        for frame in cj188_frame.Decoder().feed(request):
            said = cj188_slave.answer(self, frame, local())
            return cj188_frame.encode(said) if said is not None else b""
        return b""


class ModbusMeter(modbus_slave.Registers):
    """An electricity meter with relay, of the register profile PROFILE."""

    def __init__(self, unit: int, register: Register, delay_s: float) -> None:
        super().__init__(unit)
        self.register = register
        self.delay_s = delay_s
        self.tables[modbus_slave.Table.HOLDING].update(dict.fromkeys(range(0x20), 0))
        self.tables[modbus_slave.Table.HOLDING][RELAY] = 1

    def read(self, table: modbus_slave.Table, address: int, count: int) -> list[int]:
        self.tables[table][0], self.tables[table][1] = divmod(self.register.steps, 2**16)
        return list(super().read(table, address, count))

    def write(self, table: modbus_slave.Table, address: int, values: Iterable[int]) -> None:
        super().write(table, address, list(values))
        self.register.supply(is_on=self.tables[table][RELAY] == 1)

    def answer(self, request: bytes) -> bytes:
        for frame in modbus_frame.Decoder(requests=True).feed(request):
            said = modbus_slave.answer(self, frame)
            return modbus_frame.encode(said) if said is not None else b""
        return b""


RELAY = 0x001A


class Wire(Arrived):
    """A Port in memory at a line's true rate. Who is asked is found by the request's address, as the meters would.

    asked counts the requests; sent is told of each when its first byte goes out, said of each answer when its last
    byte has come.
    """

    def __init__(self, baud: int) -> None:
        super().__init__()
        self.byte_s = BITS_PER_BYTE / baud
        self.asked = 0
        self.cpu_s = 0.0
        self.sent: Callable[[Simulated, bytes], None] = lambda meter, request: None
        self.said: Callable[[Simulated, bytes, bytes], None] = lambda meter, request, answer: None
        self._meters: dict[bytes, Simulated] = {}

    def join(self, point: ServicePoint, meter: Simulated) -> None:
        self._meters[_key(point.meter.protocol, point.meter.address)] = meter

    async def write(self, data: bytes) -> None:
        began = time.thread_time()
        self.asked += 1
        meter = self._meters[_asked(data)]
        self.sent(meter, data)
        loop = asyncio.get_running_loop()
        loop.call_later(len(data) * self.byte_s, self._hear, meter, data)
        self.cpu_s += time.thread_time() - began

    def _hear(self, meter: Simulated, request: bytes) -> None:
        began = time.thread_time()
        said = meter.answer(request)
        if said:
            loop = asyncio.get_running_loop()
            after_s = meter.delay_s + len(said) * self.byte_s
            loop.call_later(after_s, self._say, meter, request, said)
        self.cpu_s += time.thread_time() - began

    def _say(self, meter: Simulated, request: bytes, answer: bytes) -> None:
        self.arrive(answer)
        self.said(meter, request, answer)


def _key(protocol: str, address: str) -> bytes:
    """The bytes by which a request names this meter."""
    return bytes([int(address)]) if protocol == "modbus" else bytes.fromhex(address)[::-1]


def _asked(request: bytes) -> bytes:
    body = request.lstrip(b"\xfe")
    if body[0] != START:
        return body[:1]
    return body[1:7] if body[7] == START else body[2:9]


START = 0x68


def point(
    number: int,
    *,
    line: str,
    protocol: str,
    purse: UUID | None = None,
    policy: Policy | None = None,
) -> ServicePoint:
    """The service point of a number, 1 to 247; where no purse is said, it has one of its own."""
    addresses = {
        "dlt645-2007": f"{number:012}",
        "cjt188-2004": f"{number:014}",
        "modbus": f"{number % 1000}",
    }
    settings = {
        "dlt645-2007": {"password": "123456", "level": "4", "operator": "00000001"},
        "cjt188-2004": {},
        "modbus": {"profile": PROFILE},
    }
    return ServicePoint(
        id=UUID(int=number),
        name=f"{line}-{number}",
        meter=Meter(
            meter_no=f"{number:012}",
            protocol=protocol,
            line=line,
            address=addresses[protocol],
            digits=6,
            step=Decimal("0.01"),
            max_per_hour=MOST_PER_HOUR,
            settings=settings[protocol],
        ),
        tariff="water" if protocol == "cjt188-2004" else "power",
        purse=purse or UUID(int=10**9 + number),
        policy=policy or Policy(restore=Restore.DIRECT),
    )


def meter_of(point: ServicePoint, *, per_hour: float, delay_s: float) -> Simulated:
    """Its meter; the register begins at 100."""
    register = Register(100.0, per_hour)
    address = point.meter.address
    match point.meter.protocol:
        case "dlt645-2007":
            return ElectricityMeter(address, register, delay_s)
        case "cjt188-2004":
            return WaterMeter(address, register, delay_s)
        case _:
            return ModbusMeter(int(address), register, delay_s)


def fill(store: Store, points: Iterable[ServicePoint], *, credit: Money) -> None:
    """Prices, the points, and the same credit for each of their purses."""
    points = list(points)
    with store.transaction():
        for code, commodity, unit in (
            ("power", "electricity", "kWh"),
            ("water", "cold_water", "m3"),
        ):
            store.save_tariff(_tariff(code, commodity, unit))
        for each in points:
            store.save_point(each)
        for purse in dict.fromkeys(each.purse for each in points):
            store.post(top_up(purse, credit, cause="first"))


def top_up(purse: UUID, amount: Money, *, cause: str) -> Transfer:
    return Transfer(
        debit=ledger.clearing("sandbox"),
        credit=ledger.prepaid(purse),
        amount=amount,
        reason=Reason.TOP_UP,
        cause=f"sandbox:{purse}:{cause}",
        at=BEGIN,
    )


def _tariff(code: str, commodity: str, unit: str) -> TariffSet:
    component = {"item": "energy", "kind": "rate", "price": PRICE}
    version = {"effective_from": "2026-01-01T00:00:00+08:00", "components": [component]}
    heading = {"code": code, "commodity": commodity, "unit": unit, "currency": "CNY"}
    return TariffSet({**heading, "timezone": "Asia/Shanghai", "versions": [version]})
