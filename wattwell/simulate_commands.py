"""`wattwell simulate`: meters on lines of their own, and a payment company, to try software on."""

from __future__ import annotations

import asyncio
import logging
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from simulators.building import Building

app = typer.Typer(
    invoke_without_command=True, help="Meters and a payment company to try things on."
)

Config = Annotated[Path, typer.Option("--config", "-c", help="The program's settings file.")]


@app.callback()
def simulate(
    context: typer.Context,
    meters: Annotated[
        Path | None, typer.Option(help="Serve the meters of this file until Ctrl-C.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Print a meters.toml with one meter of each kind.")
    ] = False,
) -> None:
    """Serve simulated meters on serial and TCP lines at true speed: wattwell simulate --meters meters.toml."""
    if context.invoked_subcommand is not None:
        return
    if example:
        text = resources.files("simulators").joinpath("example.toml").read_text("utf-8")
        typer.echo(text, nl=False)
    elif meters is not None:
        raise typer.Exit(_serve(meters))
    else:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def _serve(meters: Path) -> int:
    from simulators import building

    logging.getLogger("simulators").setLevel(logging.WARNING)  # the table says where lines listen
    return asyncio.run(building.run(meters, ready=_show))


def _show(building: Building, places: dict[str, str]) -> None:
    """The lines and where to open them, then the meters."""
    console = Console()
    for name, place in places.items():  # unwrapped, so that it can be copied whole
        console.print(f"line {name:<8} {place}", soft_wrap=True, highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False)
    for head in ("Line", "Protocol", "Address", "Register", "Faults"):
        table.add_column(head, justify="right" if head == "Register" else "left")
    for row in building.rows():
        table.add_row(*row)
    console.print("", table, "Ctrl-C ends the bench.", sep="\n", highlight=False)


@app.command("building")
def simulate_building(config: Config) -> None:
    """Serve the meters of a demonstration, and say in the log what happens."""
    from simulators import building

    raise typer.Exit(asyncio.run(building.run(config)))


@app.command("channel")
def simulate_channel(config: Config) -> None:
    """Serve a payment company that moves no money."""
    from simulators import channel

    try:
        settings = channel.Settings.load(config)
    except channel.BadSettings as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(asyncio.run(channel.run(settings)))
