"""`wattwell serve`, and `wattwell cloud backup`, `restore`, `upgrade`, `check`."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from cloud.settings import Settings

app = typer.Typer()
cloud = typer.Typer()

T = TypeVar("T")
PASSPHRASE = "WATTWELL_BACKUP_PASSPHRASE"

Config = Annotated[Path, typer.Option("--config", "-c", help="The cloud's settings, cloud.toml.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(help=f"A file with the backup's passphrase; else ${PASSPHRASE}, or it is asked."),
]


@app.command()
def serve(
    data: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path("data"),
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the pages.")] = 8080,
    mqtt_port: Annotated[int, typer.Option(min=1, max=65535, help="For gateways.")] = 1883,
    name: Annotated[
        str | None,
        typer.Option(help="The name or address by which this machine is reached."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="The broker's certificate (PEM): gateways then speak TLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    restore: Annotated[
        Path | None, typer.Option(help="A backup to begin with, in a new data folder.")
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Run an installation: database, broker, pages, worker and scheduler, and what they need."""
    from wattwell import serve as programs
    from wattwell.service import Addresses, own_address

    if (certificate is None) != (key is None):
        typer.echo("--certificate and --key belong together.", err=True)
        raise typer.Exit(2)
    reached = name or (host if host not in ("0.0.0.0", "::") else own_address())
    status = programs.run(
        data,
        Addresses(host, port, mqtt_port, reached),
        certificate=(certificate, key) if certificate is not None and key is not None else None,
        backup=restore,
        passphrase=_passphrase_of(restore, passphrase_file) if restore is not None else None,
    )
    raise typer.Exit(status)


@cloud.command("backup")
def backup(
    to: Annotated[Path, typer.Argument(help="The file to write; it must not be there.")],
    config: Config,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="With settings and keys, under a passphrase.")
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write the database to one file while the programs run."""
    from cloud.backups import sealed, taking

    settings = _settings(config)
    passphrase = _asked(passphrase_file, is_new=True) if secrets or passphrase_file else None
    made = _told(
        lambda: taking.take(
            settings.database_url,
            to,
            settings_file=config if secrets else None,
            passphrase=passphrase,
            now=datetime.now(UTC),
        )
    )
    _told(lambda: sealed.check(to))
    typer.echo(
        f"{made.path}: {made.rows} rows, {made.secrets} files of settings and keys, {made.size / 1e6:.1f} MB"
    )


@cloud.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    config: Config,
    secrets: Annotated[
        bool,
        typer.Option(
            "--secrets", help="Put its settings and keys in place too, setting aside what is there."
        ),
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Fill an empty database from a backup, and compare the books. Stop the cloud's programs before."""
    from cloud.backups import restoring

    settings = _settings(config)
    passphrase, now = _passphrase_of(file, passphrase_file), datetime.now(UTC)
    put = _told(
        lambda: restoring.restore(settings.database_url, file, passphrase=passphrase, now=now)
    )
    if secrets:
        for path in _told(
            lambda: restoring.restore_files(file, config.parent, passphrase=passphrase, now=now)
        ):
            typer.echo(f"written: {path}")
    typer.echo(
        f"restored as of {put.made_at:%Y-%m-%d %H:%M} UTC: {put.rows} rows, the books are the same."
        f" {put.gateways} gateways are told as soon as they are heard."
        " Look for what was decided since: cash, refunds, cuts by hand, prices."
    )
    if put.wrong_balances:
        typer.echo(
            f"{put.wrong_balances} balances were wrong in it already: run `wattwell cloud check`."
        )


@cloud.command("upgrade")
def upgrade(
    config: Config,
    to: Annotated[
        Path | None, typer.Option(help="The backup to write before; by default into backup_folder.")
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Bring the database to this version: a backup first, then the schema, then a check."""
    from wattwell import upgrading

    settings = _settings(config)
    passphrase = settings.backup_passphrase
    if passphrase_file is not None:
        passphrase = _asked(passphrase_file, is_new=True)
    raise typer.Exit(_told(lambda: upgrading.upgrade(settings, to=to, passphrase=passphrase)))


@cloud.command("check")
def check(config: Config) -> None:
    """Look at settings, database, broker, keys, books, disk and clock; say what to do about what is wrong."""
    from wattwell import checking

    raise typer.Exit(checking.run(_settings(config)))


def _settings(path: Path) -> Settings:
    from cloud.settings import BadSettings, Settings

    try:
        return Settings.load(path)
    except BadSettings as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _passphrase_of(file: Path, passphrase_file: Path | None) -> str | None:
    """That of a sealed backup; None where it is not sealed."""
    from cloud.backups import sealed

    if "sealed" not in _told(lambda: sealed.read_header(file)):
        return None
    return _asked(passphrase_file, is_new=False)


def _asked(path: Path | None, *, is_new: bool) -> str:
    if path is not None:
        return _told(lambda: path.read_text().strip())
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    asked: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=is_new)
    return asked


def _told(do: Callable[[], T]) -> T:
    """What do gives, or the end of the program with a sentence."""
    import psycopg
    from sqlalchemy.exc import OperationalError

    from cloud.backups.sealed import BadBackup
    from cloud.errors import first_line

    try:
        return do()
    except (BadBackup, OSError) as error:
        sentence = str(error)
    except (OperationalError, psycopg.OperationalError) as error:
        sentence = (
            f"The database does not answer: {first_line(getattr(error, 'orig', None) or error)}"
        )
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
