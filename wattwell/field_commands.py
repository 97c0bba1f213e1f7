"""`wattwell edge status`, `scan`, `read`, `pin` and `check-config`: what the local page does, from a terminal.

They ask the gateway that runs, over the socket beside its ledger; where none runs, `status` reads the ledger, and
`scan` and `read` open the line themselves.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wattwell.edge_commands import Config, settings_of

if TYPE_CHECKING:
    import httpx

    from edge.lines.line_settings import LineSettings
    from edge.settings import Settings
    from edge.technician.answers import Protocol

app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("status")
def status(config: Config, as_json: AsJson = False) -> None:
    """How the gateway is: lines, meters, backlog, clock, alarms, and how far a purse can be overdrawn.

    Exit status: 0 it works, also where single meters are silent or in doubt; 1 it does not run, is held, has a
    trouble, is in doubt of the time, or a line is stuck; 2 it cannot be told.
    """
    from wattwell import gateway_screen

    settings = settings_of(config)
    with _running(settings) as gateway:
        if gateway is not None:
            now = _got(gateway.get("/api/status"))
            points = _got(gateway.get("/api/points"))
            if as_json:
                typer.echo(json.dumps({**now, "points": points}, ensure_ascii=False))
            else:
                gateway_screen.draw(now, points)
            raise typer.Exit(int(gateway_screen.needs_somebody(now)))
    from edge.ledger.ledger_file import StoreUnusable
    from edge.ledger.onlooker import read_standing

    try:
        standing = read_standing(settings.ledger)
    except StoreUnusable as error:
        typer.echo(f"No gateway runs here, and {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(gateway_screen.standing_object(standing), ensure_ascii=False))
    else:
        gateway_screen.draw_standing(standing)
    raise typer.Exit(1)


@app.command("scan")
def scan(
    config: Config,
    line: Annotated[str, typer.Argument(help="The line's name in the settings file.")],
    bauds: Annotated[
        str, typer.Option("--baud", help="Rates with commas; if not said, all that are usual.")
    ] = "",
    protocols: Annotated[
        str, typer.Option("--protocol", help="Protocols with commas; if not said, all.")
    ] = "",
    known: Annotated[
        str, typer.Option(help="Addresses to ask in any case, with commas; A-B is a range.")
    ] = "",
    units: Annotated[str, typer.Option(help="Modbus units to try.")] = "1-32",
    by_pairs: Annotated[
        bool, typer.Option("--by-pairs", help="DL/T 645 pair by pair even after a clean answer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the meters on a line, while it is served. Ctrl-C ends with what was found so far.

    Exit status: 0 if anything was found, 1 if nothing, 2 wrong arguments.
    """
    from edge.field.scan import Asked
    from edge.technician.answers import Protocol
    from edge.technician.search.numbers import known_addresses
    from edge.technician.search.numbers import units as modbus_units

    settings = settings_of(config)
    place = _line(settings, line)
    try:
        asked = Asked(
            bauds=tuple(_rate(rate.strip()) for rate in bauds.split(",") if rate.strip()),
            protocols=tuple(
                _one_of(Protocol, one.strip()) for one in protocols.split(",") if one.strip()
            ),
            known=known_addresses(known) if known else (),
            units=modbus_units(units),
            by_pairs=by_pairs,
        )
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    found: list[dict[str, Any]] = []
    try:
        with _running(settings) as gateway:
            if gateway is not None:
                _scan_there(gateway, line, asked, found, shows=not as_json)
            else:
                with _alone(settings):
                    _scan_here(place, asked, found, shows=not as_json)
    except KeyboardInterrupt:
        typer.echo(f"Stopped; {len(found)} found so far.", err=True)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    raise typer.Exit(0 if found else 1)


def _rate(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"a rate is a number like 2400, and {text} is not")
    return int(text)


def _one_of(protocols: type[Protocol], text: str) -> Protocol:
    if text not in set(protocols):
        raise ValueError(f"no protocol is called {text}; there are {', '.join(protocols)}")
    return protocols(text)


def _scan_there(
    gateway: httpx.Client, line: str, asked: Any, found: list[dict[str, Any]], *, shows: bool
) -> None:
    import httpx
    from pydantic import TypeAdapter

    body = TypeAdapter(type(asked)).dump_python(asked, mode="json")
    body["units"] = list(asked.units)
    with gateway.stream("POST", "/api/scan", json={"line": line, **body}, timeout=None) as answer:
        if answer.status_code != httpx.codes.OK:
            answer.read()
            _got(answer)
        for text in answer.iter_lines():
            _show(json.loads(text), found, shows=shows)
    _progress("")


def _scan_here(line: LineSettings, asked: Any, found: list[dict[str, Any]], *, shows: bool) -> None:
    from edge.field.scan import BAUDS
    from edge.lines.bus import bus_at
    from edge.lines.place import ModbusTcpAt, SerialAt
    from edge.lines.ports import LineAway
    from edge.technician import scan as scanning
    from edge.technician.answers import Protocol
    from edge.technician.search.found import Found, Note, Progress
    from edge.technician.search.search import Wanted

    place = line.place
    protocols = asked.protocols or tuple(Protocol)
    if isinstance(place.at, ModbusTcpAt):
        protocols = (Protocol.MODBUS_RTU,)
    bauds = asked.bauds or tuple(dict.fromkeys((place.at.baud, *BAUDS)))
    visits = scanning.visits(
        place,
        bauds=bauds if isinstance(place.at, SerialAt) else (place.at.baud,),
        formats=(),
        protocols=protocols,
    )
    wanted = Wanted(asked.known, asked.units, reply_s=0.5, units_s=0.1, by_pairs=asked.by_pairs)

    async def look() -> None:
        async for event in scanning.scan(visits, bus_at, wanted):
            match event:
                case Found():
                    _show({"found": event.as_object()}, found, shows=shows)
                case Note():
                    _show({"note": event.sentence}, found, shows=shows)
                case Progress():
                    said = {"asking": event.asking, "done": event.done, "total": event.total}
                    _show(said, found, shows=shows)

    try:
        asyncio.run(look())
    except LineAway as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    _progress("")


def _show(event: dict[str, Any], found: list[dict[str, Any]], *, shows: bool) -> None:
    match event:
        case {"found": one}:
            found.append(one)
            if shows:
                _progress("")
                rate = f"{one['baud']} {one['format'] or ''}".strip()
                typer.echo(f"{one['protocol']:<12} {one['address']:<15} {rate:<10} {one['said']}")
        case {"note": sentence}:
            _progress("")
            typer.echo(sentence, err=True)
        case {"asking": asking, "done": done, "total": total}:
            _progress(f"{done}/{total} {asking}")


def _progress(text: str) -> None:
    """On one line of a terminal, over what was there."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


@app.command("read")
def read(
    config: Config,
    meter: Annotated[
        str, typer.Argument(help="A service point by name, or its meter's number or label.")
    ],
    as_json: AsJson = False,
) -> None:
    """Read one meter now and show the frames; nothing is charged by it. Exit status 0 if it answers, else 1."""
    settings = settings_of(config)
    with _running(settings) as gateway:
        if gateway is not None:
            seen = _got(gateway.post("/api/read", json={"point": meter}, timeout=60))
        else:
            with _alone(settings):
                seen = asyncio.run(_read_here(settings, meter))
    if as_json:
        typer.echo(json.dumps(seen, ensure_ascii=False))
    else:
        for frame in seen["frames"]:
            typer.echo(f"{'→' if frame['sent'] else '←'} {frame['hex']}", err=True)
        typer.echo(f"{seen['name']}, meter {seen['meter_no']} on line {seen['line']}:")
        typer.echo(
            seen["trouble"]
            or f"{seen['total']} {seen['unit']}, supply {seen['supply'] or 'unknown'}"
        )
    raise typer.Exit(1 if seen["trouble"] else 0)


async def _read_here(settings: Settings, wanted: str) -> dict[str, Any]:
    """As /api/read answers."""
    from datetime import UTC, datetime

    from edge.drivers import DRIVERS
    from edge.field.link import same_number
    from edge.field.said import TROUBLES, of_error
    from edge.field.tap import Tap
    from edge.ledger.ledger_file import StoreUnusable
    from edge.ledger.onlooker import read_standing
    from edge.lines.bus import bus_at
    from edge.lines.ports import port_to

    try:
        there = read_standing(settings.ledger).points
    except StoreUnusable as error:
        typer.echo(f"No gateway runs here, and {error}", err=True)
        raise typer.Exit(1) from None
    named = [
        (one.point, one.unit)
        for one in there
        if one.point.name == wanted or same_number(one.point.meter.meter_no, wanted)
    ]
    if len(named) != 1:
        typer.echo(f"no service point, and no meter, is called {wanted!r}", err=True)
        raise typer.Exit(1)
    ((point, unit),) = named
    driver = DRIVERS.get(point.meter.protocol)
    if driver is None:
        typer.echo(
            f"There is no driver for {point.meter.protocol}: the office must correct the meter.",
            err=True,
        )
        raise typer.Exit(1)
    line = _line(settings, point.meter.line)
    tap = Tap(port_to(line.at), lambda: datetime.now(UTC))
    bus = bus_at(line.place, name=line.name, port=tap)
    total = supply = trouble = None
    try:
        seen = await bus.run(
            lambda: driver.read(point.meter), driver.decoder, reply_s=driver.REPLY_S
        )
        total, supply = str(seen.total), seen.supply
    except TROUBLES as error:
        trouble = str(of_error(error))
    finally:
        bus.close()
    return {
        "name": point.name,
        "meter_no": point.meter.meter_no,
        "line": point.meter.line,
        "total": total,
        "unit": unit,
        "supply": supply,
        "trouble": trouble,
        "frames": [
            {"at": heard.at.isoformat(), "sent": heard.is_sent, "hex": heard.hex}
            for heard in tap.since(0)
        ],
    }


@app.command("pin")
def pin(config: Config) -> None:
    """Set the PIN of the technician's page; who was shut out by wrong ones may try again."""
    from edge.page.pin import BadPin, pin_beside, save
    from edge.settings import ledger_beside

    if not config.is_file():
        typer.echo(
            f"Not set: there is no {config}. Say --config with the file that the gateway is started with.",
            err=True,
        )
        raise typer.Exit(2)
    try:
        if sys.stdin.isatty():
            chosen = typer.prompt("New PIN", hide_input=True, confirmation_prompt=True)
        else:
            chosen = sys.stdin.readline().strip()
        save(pin_beside(ledger_beside(config)), chosen)
    except BadPin as error:
        typer.echo(f"Not set: {error}.", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"Not set: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo("The PIN is set. It holds at once.")


@app.command("check-config")
def check_config(config: Config) -> None:
    """Look through the settings file, without starting anything: each fault with its line. Exit status 0 or 2."""
    settings = settings_of(config, is_password_needed=True)
    typer.echo(f"{config} can be used: gateway {settings.gateway_no}, {len(settings.lines)} lines.")
    for line in settings.lines:
        typer.echo(f"  {line.name}: {line.at}, {line.at.baud} bit/s")
    if settings.page is None:
        typer.echo("  no page for the technician: [page] listen is not set")
    else:
        scheme = "https" if settings.page.is_https else "http"
        typer.echo(f"  page: {scheme}://{settings.page.host}:{settings.page.port}")


# The gateway that runs.


@contextmanager
def _running(settings: Settings) -> Iterator[httpx.Client | None]:
    """The gateway of these settings, or None where it does not run."""
    import httpx

    from edge.page.server import socket_beside

    beside = socket_beside(settings.ledger)
    if not beside.exists():
        yield None
        return
    transport = httpx.HTTPTransport(uds=str(beside))
    with httpx.Client(transport=transport, base_url="http://gateway", timeout=30) as client:
        try:
            client.get("/api/status")
        except httpx.ConnectError as error:
            if os.access(beside, os.W_OK):
                yield None  # it was left by one that was killed
                return
            typer.echo(f"{beside}: {error}; are you the user that the gateway runs as?", err=True)
            raise typer.Exit(2) from None
        yield client


def _got(answer: httpx.Response) -> Any:
    """What it answered, or the end of the command with its sentence."""
    said = answer.json()
    if answer.is_error:
        typer.echo(said.get("error", answer.reason_phrase), err=True)
        raise typer.Exit(1)
    return said


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """No gateway works on these lines meanwhile."""
    from edge.ledger import ledger_file
    from edge.ledger.ledger_file import StoreTaken, StoreUnusable

    try:
        lock = ledger_file.take(settings.ledger)
    except (StoreTaken, StoreUnusable) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    with closing(lock):
        yield


def _line(settings: Settings, name: str) -> LineSettings:
    line = next((line for line in settings.lines if line.name == name), None)
    if line is None:
        names = ", ".join(line.name for line in settings.lines)
        typer.echo(f"There is no line {name}; there are {names}.", err=True)
        raise typer.Exit(2)
    return line
