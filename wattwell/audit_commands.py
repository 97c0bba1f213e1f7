"""wattwell audit: whether the audit log of the cloud is as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The cloud's audit log.")

Config = Annotated[Path, typer.Option("--config", "-c", help="The program's settings file.")]


@app.callback()
def audit() -> None:
    """So that verify is named, although it is the only command."""


@app.command()
def verify(
    config: Config,
    expect: Annotated[
        list[str] | None,
        typer.Option(help="A head that an earlier run printed and that was kept elsewhere."),
    ] = None,
) -> None:
    """Walk each organization's chain of hashes, and name the first entry that is not as it was written."""
    from cloud.db import Database
    from cloud.services import audit as log
    from wattwell.cloud_settings import cloud_settings

    try:
        heads = [log.Head.read(written) for written in expect or ()]
    except ValueError:
        typer.echo("--expect takes what verify prints as head: organization:number:hash.", err=True)
        raise typer.Exit(2) from None
    database = Database(cloud_settings(config).database_url, connections=1)
    try:
        with database.system() as session:
            found = log.verify(session, heads=heads)
    finally:
        database.close()
    for each in found:
        if each.fault is None:
            typer.echo(f"{each.organization}: {each.entries} entries, as they were written.")
            typer.echo(f"  head {each.last}")
        else:
            typer.echo(f"{each.organization}: {each.fault}. Of {each.entries} entries.", err=True)
    if any(each.fault for each in found):
        raise typer.Exit(1)
