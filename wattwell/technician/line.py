"""The line a technician is at: how it is opened, who is asked, and what a failure means to a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console

from edge.lines.bus import Bus, Garbled, NoReply, bus_at
from edge.lines.place import ModbusTcpAt, Place, TcpAt
from edge.lines.ports import LineAway, Port, port_to
from edge.technician.cj188_meters import Cj188
from edge.technician.dlt645_meters import Dlt1997, Dlt2007
from edge.technician.meters import CannotDo, Meter
from edge.technician.modbus_meters import ModbusMeter
from edge.technician.parts import without_password
from protocols.exchange import Exchange, ProtocolError, Refused
from protocols.modbus.master import NotReached
from protocols.modbus.profile import Profile

T = TypeVar("T")


class Status:
    """Exit statuses of `wattwell meter`."""

    DONE = 0
    SILENT = 1
    WRONG = 2
    REFUSED = 3
    GARBLED = 4
    AWAY = 5
    UNPROVED = 6
    STOPPED = 130


STATUSES = (
    "Exit status: 0 done, 1 no answer (scan: nothing found), 2 wrong arguments, 3 the meter refuses, "
    "4 garbled or unexpected answers, 5 the line cannot be opened, 6 told but not proved by reading "
    "back, 130 stopped by Ctrl-C."
)


class Shower:
    """A Port that shows what passes it, an answer at a time, without the passwords."""

    def __init__(self, port: Port, console: Console) -> None:
        self._port = port
        self._console = console
        self._heard = b""

    async def write(self, data: bytes) -> None:
        self._show_heard()
        if data:
            self._show("→", without_password(data))
        await self._port.write(data)

    async def read(self, until: float) -> bytes:
        data = await self._port.read(until)
        self._heard += data
        return data

    def drain(self) -> bytes:
        return self._port.drain()

    def close(self) -> None:
        self._show_heard()
        self._port.close()

    def _show_heard(self) -> None:
        if self._heard:
            self._show("←", self._heard.hex(" ").upper())
        self._heard = b""

    def _show(self, arrow: str, text: str) -> None:
        self._console.print(f"{arrow} {text}", style="dim", highlight=False, markup=False)


class Live:
    """A line in use."""

    def __init__(self, place: Place, bus: Bus) -> None:
        self.place = place
        self.bus = bus

    @classmethod
    def open(cls, place: Place, shown_on: Console | None) -> Live:
        """The bytes are shown where a console is given. Nothing is opened before the first request."""

        def shown(port: Port) -> Port:
            return port if shown_on is None else Shower(port, shown_on)

        port = port_to(place.at, shown=shown)
        return cls(place, bus_at(place, port=port))

    async def ask(self, meter: Meter, start: Callable[[], Exchange[object, T]]) -> T:
        """What the exchange with the meter returns. Raises as `Bus.run`, and CannotDo."""
        return await self.bus.run(start, meter.decoder)

    def close(self) -> None:
        self.bus.close()


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, for a person: a sentence, what to look at, and the exit status."""

    status: int
    sentence: str
    checks: tuple[str, ...] = ()


def failure(error: Exception, meter: Meter | None, place: Place) -> Failure:
    """Of an error that an exchange on the line may raise."""
    who = meter.title if meter else "the line"
    match error:
        case Garbled():
            return Failure(
                Status.GARBLED,
                f"Something answers for {who} on {place}, but it cannot be read",
                (
                    _rate(meter, place),
                    "two meters on one address answering at once: disconnect one and ask again",
                    "noise: A and B exchanged, no common ground, no terminating resistor",
                    "another master that talks on the same line",
                ),
            )
        case NoReply():
            return Failure(
                Status.SILENT,
                f"No answer from {who} on {place}",
                _silence(meter, place),
            )
        case NotReached():
            return Failure(
                Status.SILENT,
                f"The gateway of {place} says that {error}",
                (
                    "the unit: `wattwell meter scan` finds who is behind the gateway",
                    "rate and parity, which are set in the gateway; A and B behind it",
                ),
            )
        case Refused(code=code, reasons=reasons):
            said = ", ".join(reasons) or "it gives no reason"
            if any("password" in reason for reason in reasons):
                return Failure(
                    Status.REFUSED,
                    f"The {who} does not accept the password: {said} ({code:02X})",
                    (
                        "password and --level belong together; 02 and 04 are usual",
                        "do not go on trying: many meters lock themselves after a few wrong ones",
                        "writing often needs the programming key 编程键 under the seal",
                    ),
                )
            return Failure(Status.REFUSED, f"The {who} refuses: {said} ({code:02X})")
        case ProtocolError():
            return Failure(
                Status.GARBLED,
                f"The {who} answers something else than was asked: {error}",
                ("another master on the line, or a meter of another model than named",),
            )
        case LineAway():
            return Failure(Status.AWAY, f"{str(error)[0].upper()}{str(error)[1:]}")
        case CannotDo() | ValueError():
            return Failure(Status.WRONG, f"{str(error)[0].upper()}{str(error)[1:]}")
    raise error


def _silence(meter: Meter | None, place: Place) -> tuple[str, ...]:
    """What to look at where nobody answers."""
    address = "the address: `wattwell meter scan` finds what is there"
    if isinstance(place.at, ModbusTcpAt):
        return (
            address,
            "the unit: most devices leave the factory as 1",
            "behind a gateway: its rate and parity, A and B, the power of the meter",
        )
    wires = "A and B: exchanged, loose, or on another pair of terminals"
    power = "power of the meter"
    own: tuple[str, ...] = ()
    match meter:
        case Dlt2007():
            own = ("the edition: old meters answer only to --protocol dlt645-1997",)
        case Cj188():
            power = "power of the meter; one with a battery may need longer to wake"
            own = ("--type 10 for cold water: some meters do not answer AA; and --low-first",)
    return (address, _rate(meter, place), wires, power, *own)


def _rate(meter: Meter | None, place: Place) -> str:
    match meter:
        case Dlt2007():
            usual = "DL/T 645-2007 mostly 2400 or 9600 8E1"
        case Dlt1997():
            usual = "DL/T 645-1997 mostly 1200 8E1"
        case Cj188():
            usual = "CJ/T 188 mostly 2400 8E1"
        case ModbusMeter(profile=Profile(model=model, serial=serial)):
            usual = (
                f"{model} leaves the factory at {serial.baud} 8{serial.parity}{serial.stop_bits}"
            )
        case _:
            usual = "Modbus mostly 9600 8N1"
    where = ", which are set in the serial server" if isinstance(place.at, TcpAt) else ""
    return f"rate and parity{where}: {usual}"
