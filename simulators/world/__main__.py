"""`python -m simulators.world`: one seed with its weather, or many until one fails; on a PostgreSQL of its own."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from cloud.db import Database, migrate
from simulators.world import campaign
from simulators.world.story import Told, tell
from wattwell.postgres import Postgres
from wattwell.supervise import free_port

SETTINGS = {
    "synchronous_commit": "off",  # nobody cuts the cloud's power here
    "plan_cache_mode": "force_generic_plan",  # a seed's rows are few: planning costs more than it gains
    "jit": "off",
}
EACH_S = 20.0  # between two words on progress


def main() -> int:
    """Exit status 0 where all invariants held, 1 where one did not."""
    parser = argparse.ArgumentParser(
        prog="simulators.world", description="Gateways and cloud under weather, by seed."
    )
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--tell", action="store_true", help="say the weather, and what is logged")
    parser.add_argument("--seeds", type=int, default=200, help="so many, from --first on")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--database", action="append", help="a migrated one, instead of our own")
    given = parser.parse_args()
    if given.database and given.seed is not None:
        return _one(given.seed, given.database[0], days=given.days, is_told=given.tell)
    if given.database:
        seeds = range(given.first, given.first + given.seeds)
        return _many(seeds, given.database, days=given.days)
    with installed(1 if given.seed is not None else given.jobs) as urls:
        if given.seed is not None:
            return _one(given.seed, urls[0], days=given.days, is_told=given.tell)
        return _many(range(given.first, given.first + given.seeds), urls, days=given.days)


@contextmanager
def serving() -> Iterator[Postgres]:
    """A server that ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        # As root, the server runs as another user, who must reach its folder.
        Path(folder).chmod(0o711)
        with Postgres(Path(folder, "postgres"), port=free_port()) as server:
            yield server


@contextmanager
def installed(databases: int) -> Iterator[list[str]]:
    """So many migrated databases on a server that ends with the block."""
    with serving() as server:
        migrated = make_migrated(server)
        yield [make_database(server, migrated, f"world_{number}") for number in range(databases)]


def make_migrated(server: Postgres) -> str:
    """The name of a new database with all tables and no row, to be copied."""
    server.create_database("migrated")
    migrate(server.dsn("migrated"))
    return "migrated"


def make_database(server: Postgres, migrated: str, name: str) -> str:
    """A copy of a migrated database, set for many small transactions which need not survive."""
    with psycopg.connect(server.admin_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER wattwell TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(migrated)
            )
        )
        for setting, value in SETTINGS.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)
                )
            )
    return server.dsn(name)


def _one(seed: int, url: str, *, days: int, is_told: bool) -> int:
    if is_told:
        logging.basicConfig(level=logging.INFO, format="    %(levelname)-8s %(name)s: %(message)s")
        logging.getLogger("alembic").setLevel(logging.WARNING)
    else:
        logging.disable(logging.CRITICAL)
        campaign.spare_the_collector()
    with closing(Database(url, connections=3)) as database:
        told = tell(seed, database, days=days, say=_say if is_told else None)
    if told.broken is not None:
        _say(campaign.line(told))
        return 1
    said = ", ".join(f"{name} {count:g}" for name, count in told.counts.items())
    _say(f"seed {seed} holds in {told.took_s:.1f} s; digest {told.digest}; {said}")
    return 0


def _many(seeds: range, urls: list[str], *, days: int) -> int:
    began = said_at = time.monotonic()
    told = 0

    def on_told(one: Told) -> None:
        nonlocal told, said_at
        told += 1
        now = time.monotonic()
        if now - said_at >= EACH_S:
            said_at = now
            each_s = (now - began) / told
            left_min = each_s * (len(seeds) - told) / 60
            _say(f"{told} of {len(seeds)} seeds hold, {each_s:.2f} s each, {left_min:.0f} min left")

    failed = campaign.run(seeds, urls, days=days, on_told=on_told)
    if failed is not None:
        _say(campaign.line(failed))
        return 1
    took_s = time.monotonic() - began
    _say(f"{told} seeds of {days} days hold, in {took_s:.0f} s")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
