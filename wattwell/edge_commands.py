"""`wattwell edge`: the gateway in the meter room, and its ledger: backup, restore, check, takeover."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The gateway in the meter room.")

Config = Annotated[Path, typer.Option("--config", "-c", help="The gateway's settings file.")]
WITHIN_S = 600


@app.command("run")
def run(config: Config) -> None:
    """Read the meters of one meter room, charge, cut and restore."""
    from edge import __main__ as gateway

    raise typer.Exit(gateway.run(config))


@app.command("enrol")
def enrol(
    token: Annotated[
        list[str],
        typer.Argument(
            help="The token that the cloud's page showed, its groups apart or together."
        ),
    ],
    config: Config,
    cloud: Annotated[
        str | None,
        typer.Option(help="The cloud's address, as https://wattwell.example.com; else cloud.url."),
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Allow http on this machine or a private network.")
    ] = False,
) -> None:
    """Enrol this gateway with its cloud: it makes its key, and gets its credentials and the cloud's keys."""
    from edge.settings import contact
    from edge.settings_file import BadSettings
    from edge.uplink import enrol as enrolment
    from edge.uplink.access import BadCertificate, tls_context
    from edge.uplink.cloud_http import Refused, Unreachable, check_address, posting
    from edge.uplink.credentials import CREDENTIALS, BadCredentials
    from prepaid.enrolment import BadToken, Token

    try:
        known = contact(config)
        if cloud is None and known.url is None:
            raise ValueError(
                f"The cloud's address is not known: say --cloud https://…, as the cloud's page shows it "
                f"with the token, or set url under [cloud] in {config}"
            )
        url = check_address(cloud or known.url or "", is_plain_allowed=plain_http)
        credentials = enrolment.enrol(
            config.parent,
            Token.read("-".join(token)),
            gateway_no=known.gateway_no,
            post=posting(url, tls_context(known.ca, now=datetime.now(UTC))),
            cloud_url=url,
            https_ca=known.ca,
        )
    except BadSettings as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except (
        *(BadToken, BadCredentials, BadCertificate, Refused, Unreachable),
        *(enrolment.CannotEnrol, ValueError, OSError),
    ) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"Gateway {credentials.gateway_no} is enrolled; its credentials, number {credentials.number}, are in "
        f"{config.parent / CREDENTIALS} and renew themselves. A gateway that runs takes them up at once."
    )
    if known.has_password:
        typer.echo(f"{config} needs no cloud.key and no cloud.password_file any more: remove them.")


@app.command("backup")
def backup(
    to: Annotated[Path, typer.Argument(help="The file to write.", dir_okay=False)], config: Config
) -> None:
    """Copy the ledger into one file while the gateway works, and look the copy through."""
    from edge.ledger import ledger_file
    from edge.settings import ledger_beside

    with _sentences():
        ledger_file.backup(ledger_beside(config), to)
    typer.echo(f"{to} is a sound copy of the ledger. It holds the meters' passwords: keep it safe.")


@app.command("restore")
def restore(
    backup_file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A backup.", exists=True, dir_okay=False)
    ],
    config: Config,
) -> None:
    """Put a backup in the ledger's place; the gateway must be stopped.

    Nothing is read, charged or switched by it until the cloud has said what it missed.
    """
    from edge.ledger import ledger_file
    from edge.ledger.store import Hold

    settings = settings_of(config)
    with _sentences():
        aside = ledger_file.restore(
            backup_file,
            settings.ledger,
            settings.gateway_no,
            hold=Hold.RESTORED,
            now=datetime.now(UTC),
        )
    if aside is not None:
        typer.echo(f"The ledger that was there is kept as {aside}.")
    typer.echo(
        f"{backup_file} is now the ledger. Start the gateway: it leaves every supply as it is until the "
        "cloud has said what it missed."
    )


@app.command("check")
def check(config: Config) -> None:
    """Look the whole ledger through: its pages, the chain of its log, and that balances are the sum of transfers."""
    from edge.ledger import ledger_file
    from edge.settings import ledger_beside

    ledger = ledger_beside(config)
    with _sentences():
        ledger_file.check_file(ledger)
    typer.echo(f"{ledger} is sound.")


@app.command("takeover")
def takeover(
    config: Config,
    within_s: Annotated[
        int, typer.Option(min=1, help="How long to wait for the cloud.")
    ] = WITHIN_S,
) -> None:
    """Make this the gateway that serves, in the place of a dead one of the same number.

    Its ledger is rebuilt from what the cloud knows, the charges that nobody told it from the meters'
    registers. The other gateway must be off for good: it will be refused, and leaves its lines alone.
    """
    from edge.ledger import ledger_file, rebuild
    from edge.ledger.store import Hold, Store

    settings = _settings(config, os.environ)
    with _sentences():
        with closing(ledger_file.take(settings.ledger)):
            aside = ledger_file.renew(
                settings.ledger,
                settings.gateway_no,
                hold=Hold.REBUILDING,
                instead_of=None,
                why="set-aside",
                now=datetime.now(UTC),
            )
        if aside is not None:
            typer.echo(f"The ledger that was there is kept as {aside}.")
        with closing(Store(settings.ledger, settings.gateway_no)) as store:
            try:
                asyncio.run(asyncio.wait_for(rebuild.rebuild(settings, store), within_s))
            except TimeoutError:
                typer.echo(
                    f"The cloud has not told everything within {within_s} s. Start the gateway all the same: it "
                    "goes on asking, and leaves every supply as it is until then.",
                    err=True,
                )
                raise typer.Exit(1) from None
            points = len(store.points())
    typer.echo(f"The ledger is rebuilt, {points} service points are known. Start the gateway.")


@contextmanager
def _sentences() -> Iterator[None]:
    """What is wrong with a ledger ends the command with its sentence."""
    from edge.ledger.ledger_file import StoreFull, StoreTaken, StoreUnusable

    try:
        yield
    except (StoreFull, StoreTaken, StoreUnusable) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _settings(config: Path, environ: Mapping[str, str]) -> Settings:
    from edge.settings import load
    from edge.settings_file import BadSettings

    try:
        return load(config, environ)
    except BadSettings as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def settings_of(config: Path, *, is_password_needed: bool = False) -> Settings:
    """The settings, or the end of the command with each fault and its line."""
    return _settings(config, {**os.environ, **({} if is_password_needed else _no_password())})


def _no_password() -> dict[str, str]:
    """For commands that do not speak to the broker: they run also where its password is not at hand."""
    from edge.settings import PASSWORD_VARIABLE

    return {PASSWORD_VARIABLE: "not used"}
