"""The `wattwell` command. Each program is imported only when it is asked for."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattwell import (
    audit_commands,
    edge_commands,
    field_commands,
    operation_commands,
    simulate_commands,
    tariff_commands,
)
from wattwell.cloud_settings import cloud_settings
from wattwell.technician import frame_commands, meter_commands

if TYPE_CHECKING:
    pass

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Prepaid metering for electricity and water: gateway, cloud, pages and simulators.",
)
cloud = typer.Typer(no_args_is_help=True, help="The cloud's programs.")
cloud.registered_commands += operation_commands.cloud.registered_commands
app.registered_commands += operation_commands.app.registered_commands
app.add_typer(cloud, name="cloud")
app.add_typer(audit_commands.app, name="audit")
edge_commands.app.add_typer(field_commands.app)
app.add_typer(edge_commands.app, name="edge")
app.add_typer(simulate_commands.app, name="simulate")
app.add_typer(frame_commands.app, name="frame")
app.add_typer(meter_commands.app, name="meter")
app.add_typer(tariff_commands.app, name="tariff")

Config = Annotated[Path, typer.Option("--config", "-c", help="The program's settings file.")]


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Play the whole story, check both ledgers, and end.")
    ] = False,
    data: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path("data"),
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the pages; by default 8080, or a free one."),
    ] = None,
) -> None:
    """Run one building for an evening: meters, gateway, cloud, pages and a payment company."""
    from wattwell import demo as programs

    raise typer.Exit(programs.run(data, once=once, port=port))


@cloud.command("web")
def cloud_web(config: Config) -> None:
    """Serve the API and the pages."""
    from cloud import app as web

    web.run(cloud_settings(config))


@cloud.command("worker")
def cloud_worker(config: Config) -> None:
    """Apply what gateways send and send them what was decided. Several may run."""
    from cloud import worker

    asyncio.run(worker.run(cloud_settings(config)))


@cloud.command("scheduler")
def cloud_scheduler(config: Config) -> None:
    """Do what happens by the clock. Several may run; one leads."""
    from cloud import scheduler

    scheduler.run(cloud_settings(config))


@cloud.command("migrate")
def cloud_migrate(config: Config) -> None:
    """Bring the database to this version's schema."""
    from cloud import db

    db.migrate(cloud_settings(config).database_url)


@cloud.command("broker-users")
def cloud_broker_users(
    config: Config,
    to: Annotated[Path, typer.Option(help="The file to write, for `include` in nats.conf.")],
    follow: Annotated[bool, typer.Option("--follow", help="Go on, and write each change.")] = False,
    then: Annotated[
        str | None,
        typer.Option(help="A command to run after each change, as `systemctl reload nats`."),
    ] = None,
) -> None:
    """Write whom a NATS server of your own is to admit: the cloud, and the gateways that are enrolled."""
    from wattwell import broker_users

    broker_users.write(cloud_settings(config), to, follow=follow, then=then)


@cloud.command("new-key")
def cloud_new_key(
    to: Annotated[Path, typer.Argument(help="The file to write: secrets/next_signing_key.")],
) -> None:
    """Make a signing key, and print its public half for further_keys in cloud.toml."""
    import base64

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge.private_file import write_private
    from prepaid.enrolment import written_key

    if to.exists():
        typer.echo(f"{to} is there already; it is left as it is.", err=True)
        raise typer.Exit(1)
    key = Ed25519PrivateKey.generate()
    write_private(to, base64.b64encode(key.private_bytes_raw()).decode())
    typer.echo(written_key(key.public_key()))


def main() -> None:
    """Runs the command; an error that a person can mend ends it with one sentence."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("alembic", "apscheduler", "httpx"):  # they tell of each step; we tell of changes
        logging.getLogger(noisy).setLevel(logging.WARNING)
    app()
