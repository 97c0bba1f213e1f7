"""Databases for the world, shared by what plays other seeds in them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from simulators.world.__main__ import make_database
from wattwell.postgres import Postgres


@pytest.fixture(scope="session")
def world(postgres: Postgres, migrated: str) -> Iterator[str]:
    """A migrated database. A seed is played in it once at the most."""
    yield from _database(postgres, migrated)


@pytest.fixture(scope="session")
def worlds(postgres: Postgres, migrated: str) -> Iterator[list[str]]:
    """Two others, in which no share of the seeds is played: a mutant's own seed is one of these, too."""
    for first in _database(postgres, migrated):
        for other in _database(postgres, migrated):
            yield [first, other]


def _database(postgres: Postgres, migrated: str) -> Iterator[str]:
    name = f"world_{uuid.uuid4().hex}"
    yield make_database(postgres, migrated, name)
    postgres.drop_database(name)
