"""Fixtures that start real programs on 127.0.0.1; each ends with the tests that use it."""

from __future__ import annotations

import gc
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cloud.db import migrate
from tests.databases import Databases
from wattwell.broker import Broker
from wattwell.postgres import Postgres
from wattwell.supervise import free_port

LONG = ("world", "processes", "browser")

# Nothing that the tests' own server holds must outlive a crash of the machine, nor grow old.
FORGETFUL = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")

# A busy machine is slow, not wrong.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

gc.disable()  # what is imported stays: to look again and again for what could go takes a quarter of the time


def pytest_collection_finish() -> None:
    """From here on garbage is looked for among what the tests make."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What plays whole worlds and starts programs lasts long and waits much: it begins first."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(here).parts[0] if here in item.path.parents else ""
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private PostgreSQL server, for the whole run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(
            0o711
        )  # as root, the server runs as another user, who must reach its folder
        with Postgres(Path(folder, "postgres"), port=free_port(), settings=FORGETFUL) as server:
            yield server


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Databases:
    return Databases(postgres)


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """The name of a database that holds the tables and no row, to be lent."""
    name = "migrated"
    postgres.create_database(name)
    migrate(postgres.dsn(name))
    return name


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A fresh empty database, as the cloud's own role sees it."""
    name = f"test_{uuid.uuid4().hex}"
    postgres.create_database(name)
    yield postgres.dsn(name)
    postgres.drop_database(name)


@pytest.fixture
def migrated_url(databases: Databases, migrated: str) -> Iterator[str]:
    """A database with all tables and no row, as the cloud's own role sees it."""
    with databases.lend(migrated) as url:
        yield url


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A private broker that admits no gateway yet: see Broker.set_users."""
    server = Broker(tmp_path / "broker", mqtt_port=free_port(), nats_port=free_port())
    server.start({})
    yield server
    server.stop()
