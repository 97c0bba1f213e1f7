"""A line in memory on which meters that answer at once spoil each other's bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from edge.lines.bus import Bus
from edge.lines.place import Place, TcpAt
from edge.lines.ports import LineAway
from protocols.cj188 import frame as cj188
from protocols.cj188 import slave as cj188_slave
from protocols.dlt645 import frame as dlt645
from protocols.dlt645 import slave as dlt645_slave
from protocols.modbus import frame as modbus
from protocols.modbus import slave as modbus_slave
from simulators.line import collide
from simulators.port import Arrived
from wattwell.technician.line import Live

EVENING = datetime(2026, 6, 15, 18, 30)  # noqa: DTZ001  as meters tell it, without a zone

AnyMeter = dlt645_slave.MeterState | cj188_slave.MeterState | modbus_slave.Registers


def now() -> datetime:
    """The time on our clock: it stands still."""
    return EVENING


def electricity(address: str, total: str = "00018600") -> dlt645_slave.MeterState:
    """A meter whose register is total, as sent: 186.00 kWh if not said."""
    return dlt645_slave.MeterState(
        address,
        passwords={2: "123456", 4: "444444"},
        registers={0x00010000: bytes.fromhex(total)[::-1]},
    )


class Wire(Arrived):
    """A Port. Each meter hears every request; what several say at once is spoiled."""

    def __init__(self, meters: Iterable[AnyMeter], *, reply_s: float = 0.05) -> None:
        super().__init__()
        self.meters = list(meters)
        self.reply_s = reply_s
        self.garbles = False
        self.first_drowns_others = False
        self.requests: list[bytes] = []
        self.is_away = False
        self.echoes = False
        self.after: Callable[[], None] = lambda: None

    async def write(self, data: bytes) -> None:
        if self.is_away:
            raise LineAway("serial device /dev/ttyUSB0 cannot be opened: No such file")
        if not data:
            return
        self.requests.append(data)
        if self.echoes:
            self.arrive(data)
        answers = [answer for meter in self.meters for answer in answered(meter, data)]
        if self.first_drowns_others:
            answers = answers[:1]
        if self.garbles:
            answers = [b"\x00\x55\xfe\x11"]
        if answers:
            self.arrive_later(self.reply_s, collide(answers))
        self.after()


def answered(meter: AnyMeter, data: bytes) -> list[bytes]:
    match meter:
        case dlt645_slave.MeterState():
            said = [dlt645_slave.answer(meter, one, EVENING) for one in dlt645.Decoder().feed(data)]
            return [dlt645.encode(one) for one in said if one]
        case cj188_slave.MeterState():
            water = [cj188_slave.answer(meter, one, EVENING) for one in cj188.Decoder().feed(data)]
            return [cj188.encode(one) for one in water if one]
    requests = modbus.Decoder(requests=True).feed(data)
    replies = [modbus_slave.answer(meter, one) for one in requests]
    return [modbus.encode(one) for one in replies if one]


PLACE = Place(TcpAt("127.0.0.1", 4001, 9600), delay_s=0)


def live(wire: Wire) -> Live:
    """A technician on the line."""
    return Live(PLACE, bus(wire))


def bus(wire: Wire) -> Bus:
    return Bus("L1", wire, baud=9600, delay_s=0)
