"""What a command of `wattwell meter` was asked: which meter on which line, by whose password; and how it ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from edge.lines.bus import NoReply
from edge.lines.place import ModbusTcpAt, Place
from edge.lines.ports import LineAway
from edge.technician.answers import Protocol
from edge.technician.cj188_meters import Cj188
from edge.technician.dlt645_meters import Dlt1997, Dlt2007
from edge.technician.meters import CannotDo, Credentials, Meter
from edge.technician.modbus_meters import ModbusMeter
from protocols.exchange import ProtocolError
from protocols.modbus import profile as profiles
from protocols.modbus.profile import Ratio
from wattwell.technician.line import Live, Status, failure

T = TypeVar("T")
Line = Annotated[
    str,
    typer.Option(
        help="serial:/dev/ttyUSB0,2400,8E1, tcp:HOST:PORT (a serial server) or modbus-tcp:HOST:PORT."
    ),
]
Address = Annotated[
    str, typer.Option("--address", "-a", help="12 digits, 14 (CJ/T 188), or a Modbus unit.")
]
ProtocolOption = Annotated[
    Protocol | None,
    typer.Option(
        help="If not said: 12 digits are dlt645-2007, 14 are cjt188, a unit is modbus-rtu."
    ),
]
Baud = Annotated[
    int | None, typer.Option(help="Rate of the line; behind TCP only to know how long to wait.")
]
Delay = Annotated[
    float | None,
    typer.Option(
        help="Seconds that adapter or network may add; 0.05 serial, 0.3 TCP, if not said."
    ),
]
MeterType = Annotated[str, typer.Option("--type", help="T of CJ/T 188 in hexadecimal; AA any.")]
LowFirst = Annotated[bool, typer.Option("--low-first", help="CJ/T 188 identifier as 1F 90.")]
ProfileName = Annotated[str | None, typer.Option("--profile", help="Register profile of Modbus.")]
Ct = Annotated[str, typer.Option("--ct", help="Current ratio to multiply with, Modbus.")]
Pt = Annotated[str, typer.Option("--pt", help="Voltage ratio to multiply with, Modbus.")]
ShowBytes = Annotated[bool, typer.Option("--bytes", help="Show what is sent and heard.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Level = Annotated[int, typer.Option(min=0, max=9, help="Permission of the password, 0 highest.")]
Operator = Annotated[str, typer.Option(help="8 digits, kept in the meter's records.")]
Password = Annotated[
    str | None,
    typer.Option(
        envvar="WATTWELL_METER_PASSWORD", help="6 digits; asked for if not given, and never shown."
    ),
]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which meter, on which line."""

    meter: Meter
    place: Place
    shows_bytes: bool


def meter_asked(
    line: str,
    address: str,
    protocol: Protocol | None,
    *,
    baud: int | None,
    delay: float | None,
    meter_type: str,
    low_first: bool,
    profile: str | None,
    ratio: tuple[str, str],
    shows_bytes: bool,
) -> Asked:
    place = place_asked(line, baud, delay)
    if protocol is None:
        protocol = {12: Protocol.DLT645_2007, 14: Protocol.CJT188}.get(
            len(address), Protocol.MODBUS_RTU
        )
    check_carries(place, [protocol])
    match protocol:
        case Protocol.DLT645_2007 | Protocol.DLT645_1997:
            kind = Dlt2007 if protocol is Protocol.DLT645_2007 else Dlt1997
            digits = address.upper().lstrip("A") if address.upper().startswith("AA") else address
            if len(address) != 12 or not (digits.isdecimal() or not digits):
                wrong(f"{address!r} is not 12 digits, or AA for leading pairs and digits")
            return Asked(kind(address.upper()), place, shows_bytes)
        case Protocol.CJT188:
            if len(address) != 14 or set(address.upper()) - set("0123456789ABCDEF"):
                wrong(f"{address!r} is not 14 digits")
            if len(meter_type) != 2 or set(meter_type.upper()) - set("0123456789ABCDEF"):
                wrong(f"--type {meter_type!r} is not two hexadecimal digits")
            water = Cj188(address.upper(), int(meter_type, 16), not low_first)
            return Asked(water, place, shows_bytes)
    most = 255 if isinstance(place.at, ModbusTcpAt) else 247
    if not address.isdecimal() or not 1 <= int(address) <= most:
        wrong(f"{address!r} is neither 12 or 14 digits nor a Modbus unit from 1 to {most}")
    if profile is not None and profile not in profiles.names():
        wrong(f"no register profile {profile!r}; there are {', '.join(profiles.names())}")
    try:
        pt, ct = (Decimal(text) for text in ratio)
    except ArithmeticError:
        wrong("--pt and --ct are numbers")
    known = profiles.load(profile) if profile else None
    return Asked(ModbusMeter(int(address), known, Ratio(pt, ct)), place, shows_bytes)


def check_carries(place: Place, protocols: Sequence[Protocol]) -> None:
    if isinstance(place.at, ModbusTcpAt) and set(protocols) != {Protocol.MODBUS_RTU}:
        wrong(
            "a line of modbus-tcp is for devices that frame Modbus for TCP; a serial server that hands bytes "
            "through is tcp:HOST:PORT"
        )


def place_asked(line: str, baud: int | None, delay: float | None) -> Place:
    try:
        return Place.parse(line, baud=baud, delay_s=delay)
    except ValueError as error:
        wrong(f"--line {line!r} {error}")


def given_password(password: str | None, level: int, operator: str) -> Credentials | None:
    """By the options, checked; None where the password is to be asked for, and can be."""
    if len(operator) != 8 or not (operator.isascii() and operator.isdecimal()):
        wrong(f"--operator {operator!r} is not 8 digits")
    if not password:
        return None
    if len(password) != 6 or not (password.isascii() and password.isdecimal()):
        wrong("the password is not 6 digits")
    return Credentials(level, password, operator)


def ask_password(level: int, operator: str) -> Credentials:
    try:
        password = typer.prompt(f"Password of level {level} (6 digits)", hide_input=True)
    except typer.Abort:
        nothing_sent("Without a terminal give the password in WATTWELL_METER_PASSWORD.")
    given = given_password(password, level, operator)
    assert given is not None  # the prompt takes no empty answer
    return given


def is_confirmed() -> bool:
    try:
        return typer.confirm("Do it?")
    except typer.Abort:
        nothing_sent("Without a terminal --yes does it unasked.")


def nothing_sent(without_terminal: str) -> NoReturn:
    """After a Ctrl-C at a question, or the end of what there is to read."""
    typer.echo("", err=True)
    hint = "" if sys.stdin.isatty() else f" {without_terminal}"
    typer.echo(f"Nothing was sent.{hint}", err=True)
    raise typer.Exit(Status.STOPPED)


def run_on_line(
    asked: Asked, work: Callable[[Live], Coroutine[Any, Any, T]], *, unsure: str = ""
) -> T:
    """What the work on the line returns, or the end of the program with what went wrong; `unsure` is said when
    nobody knows what became of it: after a Ctrl-C, no answer, or a line that broke."""

    async def run() -> T:
        async with _line(asked) as live:
            return await work(live)

    try:
        return asyncio.run(run())
    except KeyboardInterrupt:
        typer.echo(f"Stopped. {unsure}".rstrip(), err=True)
        raise typer.Exit(Status.STOPPED) from None
    except (NoReply, ProtocolError, LineAway, CannotDo, ValueError) as error:
        if unsure and isinstance(error, NoReply | LineAway):
            typer.echo(unsure, err=True)
        fail(error, asked.meter, asked.place)


@asynccontextmanager
async def _line(asked: Asked) -> AsyncIterator[Live]:
    live = Live.open(asked.place, Console(stderr=True) if asked.shows_bytes else None)
    try:
        yield live
    finally:
        live.close()


def fail(error: Exception, meter: Meter | None, place: Place) -> NoReturn:
    failed = failure(error, meter, place)
    console = Console(stderr=True)
    console.print(f"{failed.sentence}.", style="bold red", highlight=False, markup=False)
    if failed.checks:
        console.print("Check:", highlight=False)
        for check in failed.checks:
            console.print(f"  · {check}", highlight=False, markup=False)
    raise typer.Exit(failed.status) from None


def wrong(sentence: str) -> NoReturn:
    typer.echo(f"{sentence[0].upper()}{sentence[1:]}.", err=True)
    raise typer.Exit(Status.WRONG)
