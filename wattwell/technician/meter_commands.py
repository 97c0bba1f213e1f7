"""`wattwell meter`: the meters on a live line, found, read, switched and set right."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.live import Live as LiveTable
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from edge.lines.bus import Bus, NoReply
from edge.lines.place import FORMAT, ModbusTcpAt, Place, SerialAt
from edge.lines.ports import LineAway
from edge.technician import scan as scanning
from edge.technician.answers import Protocol
from edge.technician.cj188_meters import Cj188
from edge.technician.dlt645_meters import Dlt1997, Dlt2007
from edge.technician.meters import SUPPLIES, CannotDo, Command, Credentials, Meter, Shown
from edge.technician.modbus_meters import ModbusMeter
from edge.technician.search import found as finding
from edge.technician.search import numbers
from edge.technician.search.search import Wanted
from prepaid.reading import Supply
from protocols.dlt645 import master as dlt645
from protocols.exchange import ProtocolError, Refused
from protocols.modbus import profile as profiles
from protocols.modbus.profile import Ratio
from wattwell.technician.line import STATUSES, Live, Status, failure

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    help=f"Meters on a live line: find, read, switch and set them.\n\n{STATUSES}",
)

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


def _asked(
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
    place = _place(line, baud, delay)
    if protocol is None:
        protocol = {12: Protocol.DLT645_2007, 14: Protocol.CJT188}.get(
            len(address), Protocol.MODBUS_RTU
        )
    _check_carries(place, [protocol])
    match protocol:
        case Protocol.DLT645_2007 | Protocol.DLT645_1997:
            kind = Dlt2007 if protocol is Protocol.DLT645_2007 else Dlt1997
            digits = address.upper().lstrip("A") if address.upper().startswith("AA") else address
            if len(address) != 12 or not (digits.isdecimal() or not digits):
                _wrong(f"{address!r} is not 12 digits, or AA for leading pairs and digits")
            return Asked(kind(address.upper()), place, shows_bytes)
        case Protocol.CJT188:
            if len(address) != 14 or set(address.upper()) - set("0123456789ABCDEF"):
                _wrong(f"{address!r} is not 14 digits")
            if len(meter_type) != 2 or set(meter_type.upper()) - set("0123456789ABCDEF"):
                _wrong(f"--type {meter_type!r} is not two hexadecimal digits")
            water = Cj188(address.upper(), int(meter_type, 16), not low_first)
            return Asked(water, place, shows_bytes)
    most = 255 if isinstance(place.at, ModbusTcpAt) else 247
    if not address.isdecimal() or not 1 <= int(address) <= most:
        _wrong(f"{address!r} is neither 12 or 14 digits nor a Modbus unit from 1 to {most}")
    if profile is not None and profile not in profiles.names():
        _wrong(f"no register profile {profile!r}; there are {', '.join(profiles.names())}")
    try:
        pt, ct = (Decimal(text) for text in ratio)
    except ArithmeticError:
        _wrong("--pt and --ct are numbers")
    known = profiles.load(profile) if profile else None
    return Asked(ModbusMeter(int(address), known, Ratio(pt, ct)), place, shows_bytes)


def _check_carries(place: Place, protocols: Sequence[Protocol]) -> None:
    if isinstance(place.at, ModbusTcpAt) and set(protocols) != {Protocol.MODBUS_RTU}:
        _wrong(
            "a line of modbus-tcp is for devices that frame Modbus for TCP; a serial server that hands bytes "
            "through is tcp:HOST:PORT"
        )


def _place(line: str, baud: int | None, delay: float | None) -> Place:
    try:
        return Place.parse(line, baud=baud, delay_s=delay)
    except ValueError as error:
        _wrong(f"--line {line!r} {error}")


@app.command()
def scan(
    line: Line,
    protocols: Annotated[
        list[Protocol] | None,
        typer.Option("--protocol", help="Only these; may be given again. All if not said."),
    ] = None,
    bauds: Annotated[
        str | None,
        typer.Option("--baud", help="Rates with commas; if not said, 2400,9600,4800,1200,19200."),
    ] = None,
    formats: Annotated[
        str,
        typer.Option("--format", help="8E1,8N1: if not said, that of the line; Modbus 8N1 too."),
    ] = "",
    known: Annotated[
        str,
        typer.Option(
            help="Addresses to ask in any case, with commas; 78330023100101-78330023100150 is a range."
        ),
    ] = "",
    units: Annotated[str, typer.Option(help="Modbus units to try.")] = "1-247",
    by_pairs: Annotated[
        bool, typer.Option("--by-pairs", help="DL/T 645 pair by pair even after a clean answer.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0.02, max=5, help="Seconds a meter may take to begin its answer.")
    ] = 0.5,
    wait_unit: Annotated[
        float, typer.Option(min=0.02, max=5, help="The same for a Modbus unit.")
    ] = 0.1,
    delay: Delay = None,
    as_json: AsJson = False,
) -> None:
    """Find the meters on a line. Ctrl-C ends with what was found so far.

    Where several DL/T 645 meters answer at once it asks by their last two digits, then by the two
    before; a hundred questions take a minute. Exit status 0 if anything was found, else 1.
    """
    place = _place(line, None, delay)
    try:
        rates = _rates(bauds, place)
        tried = _formats(formats)
        wanted = Wanted(
            known=numbers.known_addresses(known) if known else (),
            units=numbers.units(units),
            reply_s=wait,
            units_s=wait_unit,
            by_pairs=by_pairs,
        )
    except ValueError as error:
        _wrong(str(error))
    if isinstance(place.at, ModbusTcpAt):
        protocols = protocols or [Protocol.MODBUS_RTU]
        _check_carries(place, protocols)
    out, notes = Console(), Console(stderr=True)
    if isinstance(place.at, ModbusTcpAt):
        place = replace(place, at=replace(place.at, baud=rates[0]))
    elif not isinstance(place.at, SerialAt):
        place = replace(place, at=replace(place.at, baud=rates[0]))
        notes.print(
            "The rate and parity of a serial server are set in the server, not from here: only what "
            f"speaks at its rate is found (waiting as for {rates[0]} bit/s).",
            style="dim",
        )
    visits = scanning.visits(
        place,
        bauds=rates,
        formats=tried,
        protocols=tuple(protocols or Protocol),
    )
    found: list[finding.Found] = []
    heard: list[finding.Note] = []
    try:
        asyncio.run(
            look(visits, wanted, found, heard, notes, open_bus=_open_bus, shows_rows=not as_json)
        )
    except KeyboardInterrupt:
        notes.print(f"Stopped; {len(found)} found so far.", style="yellow")
        if not found:
            raise typer.Exit(Status.STOPPED) from None
    except LineAway as error:
        _fail(error, None, place)
    if as_json:
        typer.echo(json.dumps([one.as_object() for one in found], ensure_ascii=False))
    elif found:
        out.print(_found_table(found))
        out.print(f"{len(found)} {'meter' if len(found) == 1 else 'meters'}.")
    elif heard:
        notes.print("No meter has answered by itself; the notes above say what was heard.")
    else:
        notes.print(
            "Nothing answers. Check A and B (exchanged?), power, the rate and parity of the meters, "
            "and that no other master talks on this line."
        )
    raise typer.Exit(Status.DONE if found else Status.SILENT)


def _open_bus(place: Place) -> Bus:
    return Live.open(place, None).bus


USUAL_BAUDS = (2400, 9600, 4800, 1200, 19200)


def _rates(text: str | None, place: Place) -> tuple[int, ...]:
    """Raises ValueError."""
    if text is None:
        return tuple(dict.fromkeys((place.at.baud, *USUAL_BAUDS)))
    rates = []
    for part in text.split(","):
        if not part.strip().isdecimal() or not 300 <= int(part) <= 115200:
            raise ValueError(f"{part.strip()!r} is not a rate from 300 to 115200")
        rates.append(int(part))
    return tuple(rates)


def _formats(text: str) -> tuple[str, ...]:
    """Raises ValueError."""
    formats = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    for form in formats:
        if not re.fullmatch(FORMAT, form):
            raise ValueError(f"{form!r} is not data bits, parity and stop bits, as 8E1 or 8N1")
    return formats


async def look(
    visits: Sequence[scanning.Visit],
    wanted: Wanted,
    found: list[finding.Found],
    heard: list[finding.Note],
    notes: Console,
    *,
    open_bus: Callable[[Place], Bus],
    shows_rows: bool,
) -> None:
    """Show what is found as it is found, and put it into `found`: who interrupts still has that.
    What is to know about the line goes into `heard`."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(compact=True),
        console=notes,
        transient=True,
        disable=not notes.is_terminal,
    ) as bar:
        task = bar.add_task("listening", total=None)
        async for event in scanning.scan(visits, open_bus, wanted):
            match event:
                case finding.Progress(what, done, total):
                    bar.update(
                        task, description=f"{what.sentence:<40}", completed=done, total=total
                    )
                case finding.Found():
                    found.append(event)
                    if shows_rows:
                        line = f"{event.protocol.value:<12} {event.address:<15} {event.said}"
                        bar.console.print(line, highlight=False)
                case finding.Note():
                    heard.append(event)
                    bar.console.print(event.sentence, style="yellow", highlight=False)


def _found_table(found: list[finding.Found]) -> Table:
    table = _table("Protocol 协议", "Address 地址", "Line 线路", "Says 示数")
    for one in found:
        at = one.place.at
        line = f"{at.baud} {at.format}" if isinstance(at, SerialAt) else str(at)
        table.add_row(one.protocol.value, one.address, line, one.said)
    return table


@app.command()
def read(
    line: Line,
    address: Address,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ITEM...",
            help="energy, voltage-a, 02010100, 901F, a register's name, holding:0:2.",
        ),
    ] = None,
    protocol: ProtocolOption = None,
    baud: Baud = None,
    delay: Delay = None,
    meter_type: MeterType = "AA",
    low_first: LowFirst = False,
    profile: ProfileName = None,
    ct: Ct = "1",
    pt: Pt = "1",
    shows_bytes: ShowBytes = False,
    lists_names: Annotated[
        bool, typer.Option("--names", help="List the names that can be read, and ask nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read values, with their units."""
    asked = _asked(
        line,
        address,
        protocol,
        baud=baud,
        delay=delay,
        meter_type=meter_type,
        low_first=low_first,
        profile=profile,
        ratio=(pt, ct),
        shows_bytes=shows_bytes,
    )
    if lists_names:
        for name, item in sorted(asked.meter.names.items(), key=lambda one: one[1]):
            typer.echo(f"{item:<16} {name}")
        return
    wanted = _items(asked, names)
    answers = _run(asked, lambda live: read_all(live, asked.meter, wanted))
    if as_json:
        typer.echo(json.dumps([_object(row) for row in answers], ensure_ascii=False))
    else:
        Console().print(values_table(answers))
    if refused := [row for row in answers if isinstance(row, Refusal)]:
        if len(refused) == len(answers):
            _fail(refused[0].error, asked.meter, asked.place)
        typer.echo(f"Refused: {', '.join(row.item for row in refused)}.", err=True)
        raise typer.Exit(Status.REFUSED)


def _items(asked: Asked, names: Sequence[str] | None) -> tuple[str, ...]:
    """What is to be read. One that is not known is said before anybody is asked."""
    wanted = tuple(names or asked.meter.usual)
    for name in wanted:
        exchange = asked.meter.read(name)
        try:
            next(exchange)
        except (CannotDo, ValueError) as error:
            _fail(error, asked.meter, asked.place)
        finally:
            exchange.close()
    return wanted


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that the meter does not give."""

    item: str
    error: Refused


async def read_all(live: Live, meter: Meter, names: Sequence[str]) -> list[Shown | Refusal]:
    """The values in order; an item that is refused does not keep the others back."""
    rows: list[Shown | Refusal] = []
    for name in names:
        try:
            rows += await live.ask(meter, lambda name=name: meter.read(name))  # type: ignore[misc]
        except Refused as error:
            rows.append(Refusal(name, error))
    return rows


def _object(row: Shown | Refusal) -> dict[str, object]:
    match row:
        case Refusal(item, error):
            return {"item": item, "refused": list(error.reasons), "code": f"{error.code:02X}"}
        case Shown(item, name, zh, value, unit):
            text = f"{value:f}" if isinstance(value, Decimal) else value
            return {"item": item, "name": name, "chinese": zh, "value": text, "unit": unit}


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, border_style="dim", header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table


def values_table(rows: Sequence[Shown | Refusal]) -> Table:
    """Item, name in both languages, value and unit."""
    table = _table("Item 标识", "Name 名称", "Value 值", "Unit 单位")
    table.columns[2].justify = "right"
    for row in rows:
        match row:
            case Refusal(item, error):
                said = ", ".join(error.reasons) or f"code {error.code:02X}"
                table.add_row(item, "", Text(f"refused: {said}", style="yellow"), "")
            case Shown(item, name, zh, value, unit):
                text = f"{value:f}" if isinstance(value, Decimal) else value
                shown = Text("– none 无", style="dim") if text is None else Text(text)
                table.add_row(item, f"{name} {zh}".rstrip(), shown, unit)
    return table


@app.command()
def watch(
    line: Line,
    address: Address,
    names: Annotated[list[str] | None, typer.Argument(metavar="ITEM...")] = None,
    every: Annotated[float, typer.Option(min=0, max=3600, help="Seconds between rounds.")] = 2,
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many rounds; else by Ctrl-C.")
    ] = None,
    protocol: ProtocolOption = None,
    baud: Baud = None,
    delay: Delay = None,
    meter_type: MeterType = "AA",
    low_first: LowFirst = False,
    profile: ProfileName = None,
    ct: Ct = "1",
    pt: Pt = "1",
) -> None:
    """Read again and again, and show the values as they change. Ctrl-C ends it."""
    asked = _asked(
        line,
        address,
        protocol,
        baud=baud,
        delay=delay,
        meter_type=meter_type,
        low_first=low_first,
        profile=profile,
        ratio=(pt, ct),
        shows_bytes=False,
    )
    wanted = _items(asked, names)
    answered = _run(asked, lambda live: _watch(live, asked, wanted, every, count))
    raise typer.Exit(Status.DONE if answered else Status.SILENT)


async def _watch(
    live: Live, asked: Asked, names: Sequence[str], every: float, count: int | None
) -> int:
    """Rounds that were answered."""
    out = Console()
    tally = _Tally()
    try:
        with LiveTable(console=out, auto_refresh=False) as screen:
            while count is None or tally.rounds < count:
                if tally.rounds:
                    await asyncio.sleep(every)
                await _round(live, asked, names, tally)
                if out.is_terminal:
                    screen.update(_watched(asked, tally), refresh=True)
                else:
                    out.print(_as_line(tally), highlight=False, soft_wrap=True)
    except asyncio.CancelledError:
        pass  # Ctrl-C is the usual end
    return tally.rounds - tally.failed


async def _round(live: Live, asked: Asked, names: Sequence[str], tally: _Tally) -> None:
    tally.rounds += 1
    try:
        tally.rows = await read_all(live, asked.meter, names)
    except (NoReply, ProtocolError) as error:
        tally.failed += 1
        tally.trouble = failure(error, asked.meter, asked.place).sentence
    else:
        tally.trouble = ""
        tally.at = datetime.now().astimezone()


@dataclass(slots=True)
class _Tally:
    """What `watch` has seen so far."""

    rows: Sequence[Shown | Refusal] = ()
    at: datetime | None = None
    rounds: int = 0
    failed: int = 0
    trouble: str = ""


def _watched(asked: Asked, tally: _Tally) -> RenderableType:
    table = values_table(tally.rows)
    at = f"{tally.at:%H:%M:%S}" if tally.at else "never"
    table.caption = f"{asked.meter.title}; {tally.rounds} rounds, {tally.failed} failed; read {at}"
    if tally.trouble:
        table.caption += f"\n{tally.trouble}"
    return table


def _as_line(tally: _Tally) -> str:
    now = f"{datetime.now().astimezone():%H:%M:%S}"
    if tally.trouble:
        return f"{now}  {tally.trouble}"
    said = []
    for row in tally.rows:
        match row:
            case Refusal(item, _):
                said.append(f"{item} refused")
            case Shown(_, name, _, value, unit):
                said.append(f"{name} {'none' if value is None else value} {unit}".rstrip())
    return f"{now}  {'; '.join(said)}"


@app.command()
def supply(
    line: Line,
    address: Address,
    command: Annotated[Command, typer.Argument(help="off, allow (by the button) or on.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it acts.")] = False,
    password: Password = None,
    level: Level = 2,
    operator: Operator = "00000000",
    protocol: ProtocolOption = None,
    baud: Baud = None,
    delay: Delay = None,
    meter_type: MeterType = "AA",
    low_first: LowFirst = False,
    profile: ProfileName = None,
    shows_bytes: ShowBytes = False,
) -> None:
    """Cut the supply, allow it, or restore it; asks first, and proves it by reading back."""
    asked = _asked(
        line,
        address,
        protocol,
        baud=baud,
        delay=delay,
        meter_type=meter_type,
        low_first=low_first,
        profile=profile,
        ratio=("1", "1"),
        shows_bytes=shows_bytes,
    )
    meter = asked.meter
    try:
        words = meter.command(command)
    except CannotDo as error:
        _fail(error, meter, asked.place)
    credentials = _given(password, level, operator) if meter.needs_password else None
    before = _run(asked, lambda live: live.ask(meter, meter.supply))
    typer.echo(f"The {meter.title} on {asked.place}: supply {SUPPLIES[before]}.")
    typer.echo(f"To send: {words}. {MEANT[command]}")
    if not yes and not _confirmed():
        typer.echo("Nothing was sent.")
        return
    if meter.needs_password and credentials is None:
        credentials = _asked_for(level, operator)
    after = _run(
        asked,
        lambda live: switch(live, meter, command, credentials),
        unsure="The command may have been carried out: read the meter's supply.",
    )
    if after in REACHED[command]:
        typer.echo(f"Proved by reading back: supply {SUPPLIES[after]}.")
        return
    typer.echo(
        f"The meter took the command, but after {meter.travel_s:.0f} s it reports: supply "
        f"{SUPPLIES[after]}. {_what_holds(meter)}",
        err=True,
    )
    raise typer.Exit(Status.UNPROVED)


def _what_holds(meter: Meter) -> str:
    if isinstance(meter, Cj188):
        return "Look at the meter: a valve that is stuck halfway, or a battery too weak to move it."
    if isinstance(meter, ModbusMeter) and meter.profile and meter.profile.switch:
        return f"Look at the meter. {meter.profile.switch.note}".rstrip()
    return (
        "Look at the meter: a large current, keep power 保电 or a stuck contact may hold it; or its "
        "relay is not wired through."
    )


MEANT = {
    Command.OFF: "The customer loses the supply.",
    Command.ALLOW: "The customer may close it by the meter's button.",
    Command.ON: "The supply comes back at once: make sure that nobody is at the wires.",
}
REACHED = {
    Command.OFF: (Supply.OFF,),
    Command.ALLOW: (Supply.ARMED, Supply.ON),
    Command.ON: (Supply.ON,),
}
POLL_S = 1.0


async def switch(
    live: Live, meter: Meter, command: Command, credentials: Credentials | None
) -> Supply | None:
    """The supply as read back: when it has arrived, or when it should have. Raises as `Live.ask`."""
    await live.ask(meter, lambda: meter.switch(command, credentials))
    loop = asyncio.get_running_loop()
    last = loop.time() + meter.travel_s
    while True:
        seen: Supply | None = await live.ask(meter, meter.supply)
        if seen in REACHED[command] or loop.time() >= last:
            return seen
        await asyncio.sleep(POLL_S)


def _given(password: str | None, level: int, operator: str) -> Credentials | None:
    """By the options, checked; None where the password is to be asked for, and can be."""
    if len(operator) != 8 or not (operator.isascii() and operator.isdecimal()):
        _wrong(f"--operator {operator!r} is not 8 digits")
    if not password:
        return None
    if len(password) != 6 or not (password.isascii() and password.isdecimal()):
        _wrong("the password is not 6 digits")
    return Credentials(level, password, operator)


def _asked_for(level: int, operator: str) -> Credentials:
    try:
        password = typer.prompt(f"Password of level {level} (6 digits)", hide_input=True)
    except typer.Abort:
        _nothing_sent("Without a terminal give the password in WATTWELL_METER_PASSWORD.")
    given = _given(password, level, operator)
    assert given is not None  # the prompt takes no empty answer
    return given


def _confirmed() -> bool:
    try:
        return typer.confirm("Do it?")
    except typer.Abort:
        _nothing_sent("Without a terminal --yes does it unasked.")


def _nothing_sent(without_terminal: str) -> NoReturn:
    """After a Ctrl-C at a question, or the end of what there is to read."""
    typer.echo("", err=True)
    hint = "" if sys.stdin.isatty() else f" {without_terminal}"
    typer.echo(f"Nothing was sent.{hint}", err=True)
    raise typer.Exit(Status.STOPPED)


@app.command()
def time(
    line: Line,
    address: Address,
    sets: Annotated[bool, typer.Option("--set", help="Set the meter's clock to ours.")] = False,
    broadcast: Annotated[
        bool,
        typer.Option("--broadcast", help="With --set: by broadcast 08H, which every meter hears."),
    ] = False,
    password: Password = None,
    level: Level = 4,
    operator: Operator = "00000000",
    protocol: ProtocolOption = None,
    baud: Baud = None,
    delay: Delay = None,
    meter_type: MeterType = "AA",
    low_first: LowFirst = False,
    shows_bytes: ShowBytes = False,
) -> None:
    """Show the meter's clock beside ours, and set it if it is at most 5 minutes off.

    A larger difference moves tariff periods and freezes, so it is refused: find out why first. Our
    clock is this machine's, in its own time zone.
    """
    asked = _asked(
        line,
        address,
        protocol,
        baud=baud,
        delay=delay,
        meter_type=meter_type,
        low_first=low_first,
        profile=None,
        ratio=("1", "1"),
        shows_bytes=shows_bytes,
    )
    meter = asked.meter
    if broadcast and not sets:
        _wrong("--broadcast goes with --set")
    if broadcast and isinstance(meter, Cj188 | ModbusMeter):
        _wrong("only DL/T 645 has a broadcast of the time")
    needs_password = sets and not broadcast and isinstance(meter, Dlt2007 | Dlt1997)
    credentials = _given(password, level, operator) if needs_password else None
    off = _run(asked, lambda live: clock_error(live, meter, _now))
    typer.echo(_clocks(meter, off))
    if not sets:
        return
    if refusal := why_not(off, _now()):
        typer.echo(refusal, err=True)
        raise typer.Exit(Status.WRONG)
    if needs_password and credentials is None:
        credentials = _asked_for(level, operator)
    unsure = "The clock may have been set: read it again."
    if broadcast:
        left = _run(asked, lambda live: broadcast_clock(live, meter, _now), unsure=unsure)
    else:
        left = _run(asked, lambda live: set_clock(live, meter, credentials, _now), unsure=unsure)
    typer.echo(f"After setting: {_clocks(meter, left)}")
    if abs(left) > PROVED:
        typer.echo(
            "The clock was not taken: many meters take a broadcast once a day only, and not around "
            "midnight.",
            err=True,
        )
        raise typer.Exit(Status.UNPROVED)


LARGEST_CORRECTION = timedelta(minutes=5)
PROVED = timedelta(seconds=10)
LONGEST_WAY = timedelta(seconds=3)
Now = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now().astimezone().replace(tzinfo=None)


def _clocks(meter: Meter, off: timedelta) -> str:
    now = _now()
    return f"{meter.title}: {now + off:%Y-%m-%d %H:%M:%S}, ours {now:%Y-%m-%d %H:%M:%S}: {_ahead(off)}."


def _ahead(off: timedelta) -> str:
    seconds = round(abs(off).total_seconds())
    if not seconds:
        return "the same"
    parts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"))
    text = " ".join(f"{number} {unit}" for number, unit in (*parts, (seconds % 60, "s")) if number)
    return f"the meter is {text} {'ahead' if off > timedelta(0) else 'behind'}"


def why_not(off: timedelta, now: datetime) -> str:
    """Why a clock that is `off` may not be set `now`, or "" where it may."""
    if abs(off) > LARGEST_CORRECTION:
        return (
            f"Not set: {_ahead(off)}, more than the 5 minutes that may be corrected. Tariff periods and "
            "freezes hang on this clock: find out why it is wrong (battery? time zone?) first."
        )
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if min(now - midnight, midnight + timedelta(days=1) - now) < LARGEST_CORRECTION:
        return (
            "Not set: within 5 minutes of midnight a correction can repeat or skip the daily freeze. "
            "Try again at 00:05."
        )
    return ""


async def clock_error(live: Live, meter: Meter, now: Now) -> timedelta:
    """How far the meter's clock is ahead of ours, to the second."""
    shown: datetime = await live.ask(meter, meter.clock)
    off = shown - now()
    return timedelta(seconds=round(off.total_seconds()))


async def set_clock(
    live: Live, meter: Meter, credentials: Credentials | None, now: Now
) -> timedelta:
    """Set it by a write to this meter, and how far it is ahead then.

    What is written is later by as long as a reading takes: about so long the time is on its way.
    """
    loop = asyncio.get_running_loop()
    asked = loop.time()
    await live.ask(meter, meter.clock)
    way = min(timedelta(seconds=loop.time() - asked), LONGEST_WAY)
    await live.ask(meter, lambda: meter.set_clock(now() + way, credentials))
    return await clock_error(live, meter, now)


async def broadcast_clock(live: Live, meter: Meter, now: Now) -> timedelta:
    """Set all clocks on the line, and how far this one is ahead then."""
    await live.bus.hear(dlt645.broadcast_time(now()), reply_s=0.1)
    return await clock_error(live, meter, now)


def _run(asked: Asked, work: Callable[[Live], Coroutine[Any, Any, T]], *, unsure: str = "") -> T:
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
        _fail(error, asked.meter, asked.place)


@asynccontextmanager
async def _line(asked: Asked) -> AsyncIterator[Live]:
    live = Live.open(asked.place, Console(stderr=True) if asked.shows_bytes else None)
    try:
        yield live
    finally:
        live.close()


def _fail(error: Exception, meter: Meter | None, place: Place) -> NoReturn:
    failed = failure(error, meter, place)
    console = Console(stderr=True)
    console.print(f"{failed.sentence}.", style="bold red", highlight=False, markup=False)
    if failed.checks:
        console.print("Check:", highlight=False)
        for check in failed.checks:
            console.print(f"  · {check}", highlight=False, markup=False)
    raise typer.Exit(failed.status) from None


def _wrong(sentence: str) -> NoReturn:
    typer.echo(f"{sentence[0].upper()}{sentence[1:]}.", err=True)
    raise typer.Exit(Status.WRONG)
