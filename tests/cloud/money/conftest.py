from __future__ import annotations

import pytest

from cloud.db import Database
from tests.cloud.conftest import Estate
from tests.cloud.money.office import Office


@pytest.fixture
def office(database: Database, home: Estate) -> Office:
    return Office.of(database, home)
