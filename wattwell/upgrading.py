"""`wattwell cloud upgrade`: a backup of the database as it is, the newer schema, and a look whether all is well."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError

from cloud import db
from cloud.backups import sealed, taking
from cloud.backups.taking import Made
from cloud.errors import CannotStart, first_line
from cloud.settings import Settings
from wattwell import checking

log = logging.getLogger(__name__)


def upgrade(settings: Settings, *, to: Path | None, passphrase: str | None) -> int:
    """The exit status: 0 when the database is of this version and all is well.

    Raises CannotStart, psycopg.OperationalError or OSError if the backup cannot be written: then nothing was done.
    """
    now = datetime.now(UTC)
    target = to or _in_folder(settings, now)
    with psycopg.connect(**db.connect_args(settings.database_url)) as connection:  # type: ignore[arg-type]
        schema = taking.schema_of(connection)
    if schema is None:
        raise CannotStart("The database is empty: run `wattwell cloud migrate`.")
    made: Made = taking.take(
        settings.database_url,
        target,
        settings_file=settings.settings_file if passphrase is not None else None,
        passphrase=passphrase,
        now=now,
        of_any_version=True,
    )
    sealed.check(target)
    _say(f"backup: {made.path}, {made.rows} rows of schema {schema}")
    try:
        db.migrate(settings.database_url)
    except DBAPIError as error:
        # Migrations are one transaction: the database is as it was.
        _say(
            f"The schema could not be changed, and is as it was: {first_line(error.orig or error)}\n"
            "Go on with the version that you had, and tell us of this sentence."
        )
        return 1
    _say(f"schema: {db.SCHEMA}")
    status = checking.run(settings)
    if status:
        _say(
            "To go back: stop the programs, install the version that you had, make an empty database, name it in"
            f" database_url, and run `wattwell cloud restore {made.path} -c cloud.toml`."
        )
    return status


def _in_folder(settings: Settings, now: datetime) -> Path:
    if settings.backup_folder is None:
        raise CannotStart("Say where the backup is to be written: --to FILE.")
    settings.backup_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings.backup_folder / f"before-upgrade-{now:%Y%m%dT%H%M%SZ}.backup"


def _say(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201
