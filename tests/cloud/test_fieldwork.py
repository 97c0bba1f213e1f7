"""What a technician did at the gateway reaches the cloud: by whom, and the meter that was found."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest
from pydantic import TypeAdapter
from sqlalchemy import select

from cloud import tables
from cloud.services import uplog
from cloud.services.devices import mountings
from prepaid.point import Meter
from prepaid.wire.downlog import PointSet, read_down
from prepaid.wire.envelope import Envelope
from prepaid.wire.uplog import FieldWork, MeterLinked, Work
from tests.cloud.test_uplog import NOON, at, entries

pytestmark = pytest.mark.processes

_METER = TypeAdapter(Meter)


@pytest.fixture
def say(database, home):
    """Sends messages as the gateway, after those it has sent before; returns what the cloud answers with."""
    said = 0

    def say(*messages):
        nonlocal said
        sent = entries(*messages, first=said + 1)
        said += len(messages)
        with database.system() as session:
            gateway = uplog.gateway_of(session, home.gateway_no)
            before = gateway.down_seq
            uplog.receive(session, gateway, Envelope(sent, None), now=NOON)
            row = tables.DownEntry
            bodies = session.execute(
                select(row.body).where(row.gateway_id == home.gateway_id, row.seq > before)
            ).scalars()
            return [read_down(body) for body in bodies]

    return say


@pytest.fixture
def meter(database, home) -> Meter:
    """That of the home's electricity."""
    with database.system() as session:
        return _METER.validate_python(session.get_one(tables.ServicePoint, home.electricity).meter)


def work_of(database) -> list[tuple[str, bool, str, str]]:
    with database.system() as session:
        rows = session.execute(select(tables.FieldWork).order_by(tables.FieldWork.at)).scalars()
        return [(row.work, row.is_over, row.by, row.text) for row in rows]


def test_a_technicians_test_is_kept_with_his_name(database, home, say):
    begun = FieldWork(home.electricity, at(1), Work.CUT_TEST, False, "李工", "to be cut")
    ended = FieldWork(home.electricity, at(2), Work.CUT_TEST, True, "李工", "off after 3.0 s")

    assert say(begun, ended) == []

    assert work_of(database) == [
        ("cut-test", False, "李工", "to be cut"),
        ("cut-test", True, "李工", "off after 3.0 s"),
    ]


def test_work_at_no_service_point_is_kept_too(database, home, say):
    say(FieldWork(None, at(1), Work.CONSOLE, True, "李工", "68 AA"))
    assert work_of(database) == [("console", True, "李工", "68 AA")]


def test_a_meter_that_was_found_is_the_points_from_then_on(database, home, say, meter):
    found = replace(meter, protocol="dlt645-2007", line="L2", address="202310450101")

    answered = say(MeterLinked(home.electricity, at(1), "李工", found, meter))

    (told,) = answered
    assert isinstance(told, PointSet)
    assert (told.point.id, told.point.meter, told.point.tariff) == (
        home.electricity,
        found,
        "power",
    )
    with database.system() as session:
        row = session.get_one(tables.ServicePoint, home.electricity)
        assert (row.line, row.address) == ("L2", "202310450101")
    assert work_of(database)[0][:3] == ("link", True, "李工")


def test_a_link_that_was_undone_while_the_cloud_was_away_leaves_the_meter_of_before(
    database, home, say, meter
):
    found = replace(meter, address="202310450101", digits=8)

    answered = say(
        MeterLinked(home.electricity, at(1), "李工", found, meter),
        MeterLinked(home.electricity, at(2), "李工", meter, found),
        FieldWork(home.electricity, at(2), Work.UNLINK, True, "李工", "it was not its own"),
    )

    assert [told.point.meter for told in answered] == [found, meter]
    with database.system() as session:
        assert mountings.now_at(session, home.electricity).device["address"] == meter.address
    assert [work for work, *_ in work_of(database)] == ["link", "link", "unlink"]


def test_a_meter_whose_register_cannot_be_is_no_points(database, home, say, meter):
    for wrong in ({"digits": 0}, {"max_per_hour": Decimal(0)}, {"max_per_hour": Decimal("NaN")}):
        assert (
            say(MeterLinked(home.electricity, at(1), "李工", replace(meter, **wrong), meter)) == []
        )


def test_the_clouds_own_meter_stays_where_the_gateway_knew_an_older_one(database, home, say, meter):
    older = replace(meter, address="000000000001")
    found = replace(meter, address="202310450101")

    (told,) = say(MeterLinked(home.electricity, at(1), "李工", found, older))

    assert told.point.meter == meter
    assert "not taken over" in work_of(database)[0][3]


def test_an_address_that_another_point_has_is_not_taken_over(database, home, say, meter):
    with database.system() as session:
        other = session.get_one(tables.ServicePoint, home.water)
        found = replace(meter, line=other.line, address=other.address)

    (told,) = say(MeterLinked(home.electricity, at(1), "李工", found, meter))

    assert told.point.meter == meter
    assert "0301 水 has this number, or this address" in work_of(database)[0][3]


def test_a_link_of_a_point_of_somebody_else_is_rejected(database, home, say, meter):
    assert say(MeterLinked(uuid4(), at(1), "李工", meter, meter)) == []
    with database.system() as session:
        (row,) = session.execute(select(tables.Rejected)).scalars()
    assert "no service point" in row.reason
