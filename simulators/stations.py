"""The meters of one protocol on a line: each hears everything, and the one that is meant answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from protocols.cj188 import frame as cj188
from protocols.cj188 import slave as cj188_slave
from protocols.dlt645 import frame as dlt645
from protocols.dlt645 import slave as dlt645_slave
from protocols.modbus import frame as modbus
from protocols.modbus import slave as modbus_slave
from simulators.electricity import ElectricityMeter
from simulators.faults import Faults
from simulators.modbus_meter import ModbusMeter
from simulators.physics import LocalTime
from simulators.water import WaterMeter

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Served(Generic[M]):
    """A meter on a line, and how often its own answers go wrong."""

    meter: M
    faults: Faults = Faults()  # noqa: RUF009


@dataclass(frozen=True, slots=True)
class Answer:
    """What one meter says, as sent; baud is the rate it was told to use, None that of the line."""

    meter: object
    data: bytes
    faults: Faults
    baud: int | None = None


class Station(Protocol):
    """Something on a line that may answer what it hears."""

    def hear(self, data: bytes) -> list[Answer]:
        """The answers to the requests that end in data; each from another meter."""
        ...


ONLY_1997 = {0x01, 0x02, 0x04, 0x0A, 0x0C, 0x0F, 0x10}
ONLY_2007 = set(range(0x11, 0x1E))
SECURITY = 0x03  # of 2007 with data; of 1997, where it repeats the last frame, without


class Dlt645Station:
    """Electricity meters that speak DL/T 645, each its edition. One without mains says nothing."""

    def __init__(self, served: Sequence[Served[ElectricityMeter]], local_time: LocalTime) -> None:
        self._served = served
        self._local_time = local_time
        self._decoder = dlt645.Decoder()

    def hear(self, data: bytes) -> list[Answer]:
        answers = []
        for frame in self._decoder.feed(data):
            for one in self._served:
                meter = one.meter
                if not _may_be_for(meter.address, frame.address):
                    continue
                meter.advance()
                if meter.is_dark or not _is_spoken(meter.make.edition, frame):
                    continue
                reply = dlt645_slave.answer(meter, frame, self._local_time())
                if reply is not None:
                    answers.append(Answer(meter, dlt645.encode(reply), one.faults, meter.baud))
        return answers


def _may_be_for(address: str, asked: str) -> bool:
    """Whether a meter has to look at all: so that a line may have any number of them."""
    return asked in (address, dlt645.BROADCAST) or asked.startswith("AA")


def _is_spoken(edition: str, frame: dlt645.Frame) -> bool:
    """Whether a function is one of the edition."""
    if frame.function == SECURITY:
        return (edition == "1997") == (not frame.data)
    return frame.function not in (ONLY_2007 if edition == "1997" else ONLY_1997)


class Cj188Station:
    """Water meters that speak CJ/T 188."""

    def __init__(self, served: Sequence[Served[WaterMeter]], local_time: LocalTime) -> None:
        self._served = served
        self._local_time = local_time
        self._decoder = cj188.Decoder()

    def hear(self, data: bytes) -> list[Answer]:
        answers = []
        for frame in self._decoder.feed(data):
            for one in self._served:
                if frame.address not in (one.meter.address, cj188.WILDCARD):
                    continue
                one.meter.advance()
                reply = cj188_slave.answer(one.meter, frame, self._local_time())
                if reply is not None:
                    answers.append(Answer(one.meter, cj188.encode(reply), one.faults))
        return answers


class ModbusStation:
    """Modbus meters on a serial line (RTU)."""

    def __init__(self, served: Sequence[Served[ModbusMeter]]) -> None:
        self._served = served
        self._decoder = modbus.Decoder(requests=True)

    def hear(self, data: bytes) -> list[Answer]:
        return [
            Answer(one.meter, modbus.encode(reply), one.faults)
            for frame in self._decoder.feed(data)
            for one, reply in replies(self._served, frame)
        ]


def replies(
    served: Sequence[Served[ModbusMeter]], frame: modbus.Frame
) -> list[tuple[Served[ModbusMeter], modbus.Frame]]:
    """The meters that a request is for, and what each sends back."""
    found = []
    for one in served:
        if frame.unit in (one.meter.unit, modbus.BROADCAST):
            one.meter.advance()
            reply = modbus_slave.answer(one.meter, frame)
            if reply is not None:
                found.append((one, reply))
    return found
