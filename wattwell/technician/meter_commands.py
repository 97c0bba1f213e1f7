"""`wattwell meter`: the meters on a live line, found, read, switched and set right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.live import Live as LiveTable

from edge.lines.bus import NoReply
from edge.technician.meters import CannotDo, Shown
from protocols.exchange import ProtocolError
from wattwell.technician import clock_commands, scan_commands, supply_commands
from wattwell.technician.asked import (
    Address,
    AsJson,
    Asked,
    Baud,
    Ct,
    Delay,
    Line,
    LowFirst,
    MeterType,
    ProfileName,
    ProtocolOption,
    Pt,
    ShowBytes,
    fail,
    meter_asked,
    run_on_line,
)
from wattwell.technician.line import STATUSES, Live, Status, failure
from wattwell.technician.values import Refusal, as_object, read_all, values_table

app = typer.Typer(
    no_args_is_help=True,
    help=f"Meters on a live line: find, read, switch and set them.\n\n{STATUSES}",
)
app.command()(scan_commands.scan)


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
    asked = meter_asked(
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
    answers = run_on_line(asked, lambda live: read_all(live, asked.meter, wanted))
    if as_json:
        typer.echo(json.dumps([as_object(row) for row in answers], ensure_ascii=False))
    else:
        Console().print(values_table(answers))
    if refused := [row for row in answers if isinstance(row, Refusal)]:
        if len(refused) == len(answers):
            fail(refused[0].error, asked.meter, asked.place)
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
            fail(error, asked.meter, asked.place)
        finally:
            exchange.close()
    return wanted


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
    asked = meter_asked(
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
    answered = run_on_line(asked, lambda live: _watch(live, asked, wanted, every, count))
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


app.command()(supply_commands.supply)
app.command()(clock_commands.time)
