"""`wattwell cloud check`: each thing that must be right, and what to do where it is not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from nats.aio.client import Client
from nats.errors import Error as NatsError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cloud import db
from cloud.backups import books, folder, taking
from cloud.db import Database
from cloud.errors import CannotStart, first_line
from cloud.services import signing_keys
from cloud.services.operation import readiness
from cloud.settings import Settings
from prepaid.point import PROTOCOLS

LEAST_FREE_GB = 2.0
BROKER_WITHIN_S = 4.0
MOST_OFF = timedelta(seconds=2)
OLD_BACKUP = timedelta(days=2)
MOST_NAMED = 5  # meters


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at. advice says what to do, None where all is well."""

    what: str
    found: str
    advice: str | None = None


def run(settings: Settings) -> int:
    """Prints a line for each thing; the exit status, 1 where anything is to be done."""
    lines = list(look(settings))
    for line in lines:
        mark = "ok   " if line.advice is None else "WRONG"
        print(f"{mark}  {line.what:<10} {line.found}")  # noqa: T201
        if line.advice is not None:
            print(f"       {'':<10} → {line.advice}")  # noqa: T201
    return 0 if all(line.advice is None for line in lines) else 1


def look(settings: Settings) -> Iterator[Line]:
    """What is right and what is not, in the order in which it is to be mended."""
    yield Line("settings", str(settings.settings_file or "from the environment"))
    database = Database(settings.database_url, connections=2)
    try:
        yield from _database(settings, database)
    finally:
        database.close()
    yield asyncio.run(_broker(settings))
    yield _keys(settings)
    yield from _disks(settings)
    yield _backups(settings)


def _database(settings: Settings, database: Database) -> Iterator[Line]:
    try:
        is_migrated = db.is_migrated(database)
    except (DBAPIError, PoolTimeout) as error:
        said = first_line(getattr(error, "orig", None) or error)
        yield Line(
            "database", said, f"start the database at {database.where}, or mend database_url"
        )
        return
    yield Line("database", database.where)
    if not is_migrated:
        yield Line("schema", "of another version", "run `wattwell cloud upgrade`")
        return
    yield Line("schema", db.SCHEMA)
    try:
        db.check_role(database)
        yield Line("role", "an ordinary one: organizations are kept apart")
    except CannotStart as error:
        yield Line("role", "organizations are not kept apart", str(error))
    yield _books(settings)
    yield _meters(database)
    yield _clock(settings)
    now = datetime.now(UTC)
    with database.system() as session:
        parts = readiness.look(session, now=now)
    for part in parts:
        if part.name in ADVICE:
            yield Line(part.name, part.said, None if part.is_well else ADVICE[part.name])


ADVICE = {
    "worker": "start `wattwell cloud worker`: nothing of gateways is taken meanwhile",
    "scheduler": "start `wattwell cloud scheduler`: payments are not asked for, backups not made",
}


def _books(settings: Settings) -> Line:
    with _connection(settings) as connection:
        connection.execute("SELECT set_config('wattwell.system', 'on', true)")
        found = books.books(connection, list(taking.tables_of(connection)))
    total = sum(found["trial_balance_fen"].values())
    if total or found["wrong_balances"]:
        said = f"off by {total} fen, {found['wrong_balances']} balances are not the sum of their transfers"
        advice = "stop the programs, keep a backup of today, and restore the last one that is right"
        return Line("books", said, advice)
    transfers = found["rows"].get("transfers", 0)
    return Line("books", f"balanced: {transfers} transfers, each balance is their sum")


def _meters(database: Database) -> Line:
    """Whether a gateway can ask each mounted meter: an older version took any word for a protocol."""
    with database.system() as session:
        found = session.execute(_UNASKABLE, {"known": list(PROTOCOLS)}).all()
    if not found:
        return Line("meters", "each is asked by a protocol that gateways speak")
    named = [
        f"{meter_no} ({room}) by {protocol}" for meter_no, room, protocol in found[:MOST_NAMED]
    ]
    more = [f"and {len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else []
    return Line(
        "meters",
        f"no gateway can read {', '.join([*named, *more])}",
        "choose the model of each on its page, Correct what was entered 更正资料: it says the protocol",
    )


_UNASKABLE = text("""
    SELECT p.meter ->> 'meter_no', r.name, p.meter ->> 'protocol'
    FROM points p JOIN rooms r ON r.id = p.room_id
    WHERE p.ended_at IS NULL AND p.meter ->> 'protocol' <> ALL (:known)
    ORDER BY 1
""")


def _clock(settings: Settings) -> Line:
    with _connection(settings) as connection:
        before = datetime.now(UTC)
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        after = datetime.now(UTC)
    assert row is not None
    off = max(before - row[0], row[0] - after, timedelta(0))
    said = f"this machine's and the database's differ by {off.total_seconds():.1f} s"
    return Line(
        "clock", said, None if off <= MOST_OFF else "let both be kept by a time service (NTP)"
    )


async def _broker(settings: Settings) -> Line:
    client = Client()

    async def quiet(_: Exception) -> None:
        """What is wrong is said by connect itself."""

    try:
        async with asyncio.timeout(BROKER_WITHIN_S):
            await client.connect(
                settings.nats_url,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=2,
                error_cb=quiet,
            )
    except (OSError, NatsError, TimeoutError) as error:
        if "authorization" in str(error).lower():
            return Line("broker", "refuses us", "mend user and password in nats_url")
        said = first_line(error) if str(error) else "does not answer"
        return Line("broker", said, "start the broker, or mend nats_url")
    found = client.connected_url.hostname if client.connected_url is not None else "connected"
    await client.close()
    return Line("broker", f"answers at {found}")


def _keys(settings: Settings) -> Line:
    good = signing_keys.good(settings)
    return Line("keys", f"entries for gateways are signed; {len(good)} of our keys are good")


def _disks(settings: Settings) -> Iterator[Line]:
    places: dict[str, Path] = {}
    if settings.settings_file is not None:
        places["disk"] = settings.settings_file.absolute().parent
    if settings.backup_folder is not None and settings.backup_folder.exists():
        places["backups on"] = settings.backup_folder
    for what, path in places.items():
        free = shutil.disk_usage(path).free / 1e9
        advice = "free space, or add a disk" if free < LEAST_FREE_GB else None
        yield Line(what, f"{free:.1f} GB free at {path}", advice)


def _backups(settings: Settings) -> Line:
    if settings.backup_folder is None:
        return Line("backups", "none are made", "set backup_folder in cloud.toml")
    kept = folder.kept(settings.backup_folder) if settings.backup_folder.exists() else []
    if not kept:
        return Line(
            "backups", "there is none yet", "make one: page Backups, or `wattwell cloud backup`"
        )
    age = datetime.now(UTC) - kept[0].made_at
    said = f"{len(kept)}, the last of {kept[0].made_at:%Y-%m-%d %H:%M} UTC"
    return Line(
        "backups", said, None if age < OLD_BACKUP else "see page Jobs why none was made since"
    )


def _connection(settings: Settings) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(**db.connect_args(settings.database_url))  # type: ignore[arg-type]
