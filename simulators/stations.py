"""The meters of one protocol on a line: each hears everything, and the one that is meant answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from protocols.cj188 import frame as cj188
from protocols.cj188 import slave as cj188_slave
from protocols.dlt645 import frame as dlt645
from protocols.dlt645 import slave as dlt645_slave
from simulators.meters import ElectricityMeter, WaterMeter

LocalTime = Callable[[], datetime]
"""The time on the meters' own clocks, without a zone."""


class Station(Protocol):
    """Something on a line that may answer what it hears."""

    def hear(self, data: bytes) -> list[bytes]:
        """The answers, as sent, to the requests that end in data; each from another meter."""
        ...


class Dlt645Station:
    """Electricity meters that speak DL/T 645-2007."""

    def __init__(self, meters: Sequence[ElectricityMeter], local_time: LocalTime) -> None:
        self._meters = meters
        self._local_time = local_time
        self._decoder = dlt645.Decoder()

    def hear(self, data: bytes) -> list[bytes]:
        answers = []
        for frame in self._decoder.feed(data):
            for meter in self._meters:
                meter.advance()
                reply = dlt645_slave.answer(meter, frame, self._local_time())
                if reply is not None:
                    answers.append(dlt645.encode(reply))
        return answers


class Cj188Station:
    """Water meters that speak CJ/T 188."""

    def __init__(self, meters: Sequence[WaterMeter], local_time: LocalTime) -> None:
        self._meters = meters
        self._local_time = local_time
        self._decoder = cj188.Decoder()

    def hear(self, data: bytes) -> list[bytes]:
        answers = []
        for frame in self._decoder.feed(data):
            for meter in self._meters:
                meter.advance()
                reply = cj188_slave.answer(meter, frame, self._local_time())
                if reply is not None:
                    answers.append(cj188.encode(reply))
        return answers
