"""`wattwell frame`: bytes of a meter line explained, and requests made."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.technician.answers import (
    How,
    NoFrame,
    Protocol,
    answer,
    answer_lines,
    read_hex,
)
from edge.technician.modbus_frames import Registers, Way, register_address
from edge.technician.parts import KINDS, parts_of
from protocols.cj188.explain import CLOCK_BINARY, CLOCK_HIGH_FIRST, UNIT_FIRST
from protocols.modbus import profile as profiles
from wattwell.technician import encode_commands

app = typer.Typer(
    no_args_is_help=True, help="Explain the bytes of a meter line, or make a request."
)
app.add_typer(encode_commands.app, name="encode")

QUIRKS = (UNIT_FIRST, CLOCK_HIGH_FIRST, CLOCK_BINARY)


@app.command(no_args_is_help=True)
def decode(
    protocol: Annotated[
        Protocol | None,
        typer.Option(help="Whose bytes these are; with --jsonl the edition of a line may say it."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="HEX", help="The bytes; blanks, colons and 0x may lie between."),
    ] = None,
    quirks: Annotated[
        str,
        typer.Option(help=f"Ways of a CJ/T 188 vendor, with commas: {', '.join(QUIRKS)}."),
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help='One JSON object, or {"error": kind}.')
    ] = False,
    lines: Annotated[
        Path | None,
        typer.Option(
            "--jsonl",
            help='Decode many: a file (- is standard input) of lines {"id": …, "hex": …}; '
            "edition, quirks and kind are taken from each line. One answer a line.",
        ),
    ] = None,
    is_reply: Annotated[
        bool | None,
        typer.Option("--reply/--request", help="Which a Modbus frame is, where it could be both."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Register profile that explains a Modbus reply.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--at", help="Address of the reply's first register: 11, 0x000B or 000BH."),
    ] = None,
) -> None:
    """Explain a frame: every byte, what it is in English and Chinese, and what it says.

    Exit status: 0 explained, 1 not a frame, 2 wrong arguments.
    """
    told = None if is_reply is None else Way.REPLY if is_reply else Way.REQUEST
    if protocol is None and lines is None:
        _wrong(f"say whose bytes these are: --protocol {', '.join(Protocol)}")
    how = How(
        protocol or Protocol.DLT645_2007,
        is_told=protocol is not None,
        quirks=tuple(quirk.strip() for quirk in quirks.split(",") if quirk.strip()),
        told=told,
        registers=_registers(protocol, profile, start),
    )
    if lines is not None:
        if text:
            _wrong("give either HEX or --jsonl, not both")
        raise typer.Exit(_decode_lines(lines, how))
    if text is None:
        _wrong("give the bytes in hexadecimal, or --jsonl FILE")
    for quirk in how.quirks:
        if quirk not in QUIRKS:
            typer.echo(f"Note: {quirk} changes nothing; {', '.join(QUIRKS)} do.", err=True)
    try:
        data = read_hex(" ".join(text))
        explained = answer(data, how)
    except NoFrame as error:
        if as_json:
            typer.echo(json.dumps({"error": error.kind}))
        else:
            why = KINDS[error.kind] + error.detail
            typer.echo(f"Not a frame ({error.kind}): {why}.{_of_another(text, how)}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(explained, ensure_ascii=False))
    else:
        _draw(data, how)


def _of_another(text: list[str], how: How) -> str:
    """Whose frame it would be, if it is one of another protocol."""
    for other in Protocol:
        try:
            answer(read_hex(" ".join(text)), How(other, told=how.told))
        except NoFrame:
            continue
        return f" It is one of --protocol {other}."
    return ""


def _registers(protocol: Protocol | None, name: str | None, start: str | None) -> Registers | None:
    if name is None and start is None:
        return None
    if protocol is not Protocol.MODBUS_RTU:
        _wrong("--profile and --at are for modbus-rtu")
    if name is None or start is None:
        _wrong("--profile and --at go together: a reply does not say which registers it carries")
    try:
        if name not in profiles.names():
            _wrong(f"no register profile {name!r}; there are {', '.join(profiles.names())}")
        return Registers(profiles.load(name), register_address(start))
    except ValueError as error:
        _wrong(str(error))


def _decode_lines(path: Path, how: How) -> int:
    """Exit status 0, or 1 if a line could not be read at all. A bad frame is an answer too."""
    status = 0
    try:
        for answered in answer_lines(_lines(path), how):
            typer.echo(json.dumps(answered, ensure_ascii=False))
            status |= answered.get("error") == "bad_line"
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        _wrong(f"{path} cannot be read: {reason}")
    return status


def _lines(path: Path) -> Iterator[str]:
    if str(path) == "-":
        yield from sys.stdin
        return
    with path.open(encoding="utf-8") as file:
        yield from file


def _wrong(sentence: str) -> NoReturn:
    typer.echo(f"{sentence[0].upper()}{sentence[1:]}.", err=True)
    raise typer.Exit(2)


COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")


def _draw(data: bytes, how: How) -> None:
    console = Console()
    for parts in parts_of(data, how):
        line = Text()
        table = Table(box=SIMPLE_HEAD, border_style="dim", header_style="bold", pad_edge=False)
        table.add_column("Bytes", max_width=17)
        table.add_column("Field 字段", max_width=26)
        table.add_column("Meaning 含义")
        for at, part in enumerate(parts):
            colour = COLOURS[at % len(COLOURS)]
            hexadecimal = part.data.hex(" ").upper()
            line.append(hexadecimal, style=colour).append(" ")
            table.add_row(
                Text(hexadecimal, style=colour),
                Text(f"{part.name} {part.chinese}".rstrip()),
                Text("\n".join(map(str, part.meaning))),
            )
        console.print(line)
        console.print(table)
