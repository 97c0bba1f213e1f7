"""Readings lie in a partition for each month, whenever it is made, and are seen through readings alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from cloud.db import connect_args, migrate
from cloud.services.readings import partitions
from tests.cloud.test_migrations import FILL, METER, POLICY, POSITION, upgrade

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
INSERT = (
    "INSERT INTO readings (organization_id, point_id, at, meter_no, total)"
    " VALUES (:organization, :point, :at, 'M', 1)"
)


def insert(session, home, *times: datetime) -> None:
    for at in times:
        given = {"organization": home.organization_id, "point": home.electricity, "at": at}
        session.execute(text(INSERT), given)


def where(session) -> list[str]:
    rows = session.execute(text("SELECT tableoid::regclass FROM readings ORDER BY at"))
    return [str(row) for row in rows.scalars()]


def test_partitions_are_made_once_and_take_the_readings_that_are_there(database, home):
    years_off = NOON - timedelta(days=9000)
    with database.system() as session:
        insert(session, home, years_off, NOON - timedelta(days=2), NOON)
        assert where(session) == ["parts.readings_other"] * 3

        # A year back, this month, and three ahead: 12 + 1 + 3.
        assert partitions.prepare(session, now=NOON) == 16
        assert partitions.prepare(session, now=NOON) == 0
        assert partitions.prepare(session, now=NOON + timedelta(days=31)) == 1

        insert(session, home, NOON + timedelta(days=60))
        assert where(session) == [
            "parts.readings_other",
            "parts.readings_2026_02",
            "parts.readings_2026_03",
            "parts.readings_2026_05",
        ]


def test_a_reading_is_kept_once_in_whichever_partition(database, home):
    with database.system() as session:
        partitions.prepare(session, now=NOON)
        insert(session, home, NOON)
    with pytest.raises(DBAPIError, match="duplicate key"), database.system() as session:
        insert(session, home, NOON)


def test_an_organization_sees_its_readings_through_readings_alone(database, home, build):
    theirs = build("theirs")
    with database.system() as session:
        partitions.prepare(session, now=NOON)
        insert(session, home, NOON)
        insert(session, theirs, NOON)
    with database.organization(home.organization_id) as session:
        count = "SELECT count(*) FROM {}"
        assert session.execute(text(count.format("readings"))).scalar_one() == 1
        for name in ("parts.readings_2026_03", "parts.readings_other"):
            assert session.execute(text(count.format(name))).scalar_one() == 0, name


def test_readings_of_an_older_version_are_moved_to_their_months(database_url):
    id = uuid4()
    engine = create_engine("postgresql+psycopg://", connect_args=connect_args(database_url))
    with engine.begin() as connection:
        upgrade(connection, "0002")
        texts = map(json.dumps, (METER, POLICY, POSITION))
        given = dict(zip(("id", "meter", "policy", "position"), (id, *texts), strict=True))
        for statement in FILL[:-1]:
            used = {name: value for name, value in given.items() if f":{name}" in statement}
            connection.execute(text(statement), used)
        for at in ("2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "1971-01-01T00:00:00Z"):
            connection.execute(
                text("INSERT INTO readings VALUES (:id, :id, :at, 'M1', 100.5, 'on')"),
                {"id": id, "at": at},
            )

    migrate(database_url)

    with engine.begin() as connection:
        connection.execute(text(FILL[0]))
        assert where(connection) == [
            "parts.readings_other",
            "parts.readings_2025_12",
            "parts.readings_2026_01",
        ]
        rows = connection.execute(text("SELECT number, total FROM readings ORDER BY at")).all()
    engine.dispose()
    assert [(number, str(total)) for number, total in rows] == [
        (1, "100.5"),
        (2, "100.5"),
        (3, "100.5"),
    ]
