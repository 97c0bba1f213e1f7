"""Databases for the world, shared by what plays other seeds in them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from simulators.world.__main__ import make_database
from wattwell.postgres import Postgres


@pytest.fixture(scope="session")
def worlds(postgres: Postgres) -> Iterator[list[str]]:
    """Two migrated databases. A seed is played in each of them once at the most."""
    names = [f"world_{uuid.uuid4().hex}" for _ in range(2)]
    yield [make_database(postgres, name) for name in names]
    for name in names:
        postgres.drop_database(name)
