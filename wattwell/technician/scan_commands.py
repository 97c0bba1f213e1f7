"""`wattwell meter scan`: which meters are on a line."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge.lines.bus import Bus
from edge.lines.place import FORMAT, ModbusTcpAt, Place, SerialAt
from edge.lines.ports import LineAway
from edge.technician import scan as scanning
from edge.technician.answers import Protocol
from edge.technician.search import found as finding
from edge.technician.search import numbers
from edge.technician.search.search import Wanted
from wattwell.technician.asked import (
    AsJson,
    Delay,
    Line,
    check_carries,
    fail,
    place_asked,
    wrong,
)
from wattwell.technician.line import Live, Status
from wattwell.technician.values import table_of


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
    place = place_asked(line, None, delay)
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
        wrong(str(error))
    if isinstance(place.at, ModbusTcpAt):
        protocols = protocols or [Protocol.MODBUS_RTU]
        check_carries(place, protocols)
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
        fail(error, None, place)
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
    table = table_of("Protocol 协议", "Address 地址", "Line 线路", "Says 示数")
    for one in found:
        at = one.place.at
        line = f"{at.baud} {at.format}" if isinstance(at, SerialAt) else str(at)
        table.add_row(one.protocol.value, one.address, line, str(one.said))
    return table
