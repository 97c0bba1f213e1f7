"""What was entered wrongly of a mounted meter is put right, and nothing is charged twice or lost by it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlmodel import col

from cloud import tables
from cloud.services import pointsets
from cloud.services.devices import decisions, particulars, register
from cloud.services.devices.particulars import Particulars
from prepaid import rating, tariff_document
from prepaid.money import Money
from prepaid.rating import Position
from prepaid.reading import Reading
from prepaid.wire.downlog import Down, PointSet, read_down
from prepaid.wire.uplog import FieldWork, MeterLinked, Work
from tests.cloud.test_fieldwork import meter, say
from tests.cloud.test_meter_changes import hear, mounted_long_ago, rated_again
from tests.cloud.test_meter_changes import staff as engineer
from tests.cloud.test_overrides import staff
from tests.cloud.test_takeover import Meter, Town, town
from tests.cloud.test_uplog import NOON, at
from tests.edge.simulated import clock, simulated

pytestmark = pytest.mark.processes

__all__ = ["meter", "say", "staff", "town"]  # fixtures

POSITION = TypeAdapter(Position)
OURS = "202611220001"


def correct(town: Town, given: Particulars) -> tables.DeviceEvent:
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        return particulars.correct(
            session,
            town.cloud.point_id,
            given,
            why="address of 0303",
            by=engineer(town),
            now=clock(),
        )


def looked_at(town: Town) -> tuple[bool | None, decisions.Doubt | None]:
    """Whether the last that was done has come to the gateway, and what is in doubt."""
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        life = register.life(session, town.cloud.point_id, by=engineer(town))
        return life.events[0].is_delivered, life.doubt


@simulated
async def test_at_a_corrected_address_another_meters_difference_is_charged_to_nobody(town: Town):
    mounted_long_ago(town)
    await town.live()  # 4 kWh at 0.50 of 10.00 are charged, of the neighbour's meter at 104.00
    ours = Meter(OURS, "104.60")  # within reach: 0302 could have used 0.60 since
    town.line.meters.append(ours)
    town.cloud.is_there = False
    correct(town, Particulars(address=OURS))
    assert looked_at(town) == (False, None)
    town.cloud.is_there = True
    await hear(town)
    await asyncio.sleep(70)

    delivered, doubt = looked_at(town)
    assert delivered
    assert doubt is not None
    assert (doubt.charged.total, doubt.seen.total, doubt.is_elsewhere) == (
        Decimal("104.00"),
        Decimal("104.60"),
        True,
    )
    assert town.first.balance == town.cloud.balance == Money.yuan("8.00")
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        decisions.restarted(
            session,
            town.cloud.point_id,
            closing=doubt.charged.total,
            opening=doubt.seen.total,
            at=doubt.seen.at - timedelta(seconds=1),
            why="0303 was read until now",
            pictures=[],
            by=engineer(town),
            now=clock(),
        )
    await hear(town)
    ours.show("105.60")
    await asyncio.sleep(70)
    await hear(town)

    # 1.00 kWh of ours at 0.50; what was charged of the neighbour's is a correction of money
    assert town.first.balance == town.cloud.balance == Money.yuan("7.50")
    assert looked_at(town)[1] is None
    ours.show("106.60")
    await asyncio.sleep(70)
    await hear(town)
    agree, differ = rated_again(town)
    assert agree >= 2
    assert differ == 0
    assert town.cloud.rejected() == []
    await town.first.stop()


@simulated
async def test_a_meter_that_got_another_address_is_charged_on_once_its_register_was_compared(
    town: Town,
):
    mounted_long_ago(town)
    await town.live()
    town.line.meters[:] = [Meter(OURS, "104.50")]  # the same register answers at another address
    correct(town, Particulars(address=OURS, digits=7, max_per_hour=Decimal(60000)))
    await hear(town)
    await asyncio.sleep(70)
    doubt = looked_at(town)[1]
    assert doubt is not None
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        decisions.accept(
            session,
            town.cloud.point_id,
            seen_at=doubt.seen.at,
            rounds=0,
            why="its number is on the plate",
            pictures=[],
            by=engineer(town),
            now=clock(),
        )
    await hear(town)

    # 4.50 kWh at 0.50, neither lost nor twice
    assert town.first.balance == town.cloud.balance == Money.yuan("7.75")
    await town.first.stop()


def test_before_anything_was_charged_all_of_it_can_be_corrected(staff, database, home):
    page = f"/meters/points/{home.electricity}"
    assert "更正录入的资料" in staff.get(page).text
    given = {
        "model": "dlt645-2007-1p",
        "meter_no": "202400000021",
        "line": "L2",
        "address": "202400000021",
        "digits": "6",
        "step": "0.01",
        "max_per_hour": "16",
        "multiplier": "40",
        "password": "123456",
        "level": "02",
        "operator": "00000001",
        "why": "录错",
    }

    assert staff.post(f"{page}/correct", data=given).status_code == 303

    with database.system() as session:
        point = session.get(tables.ServicePoint, home.electricity)
        assert (point.meter_no, point.line, point.address) == (
            "202400000021",
            "L2",
            "202400000021",
        )
        said = last_said(session, home.gateway_id)
        assert isinstance(said, PointSet)
        assert (said.point.meter.multiplier, said.point.meter.settings["password"]) == (
            40,
            "123456",
        )
        (mounted,) = session.execute(
            select(tables.Mounting).where(col(tables.Mounting.point_id) == home.electricity)
        ).scalars()
        assert mounted.device == point.meter
        assert session.get(tables.Meter, mounted.meter_id).model == "dlt645-2007-1p"
        lines = select(col(tables.Line.name)).where(col(tables.Line.gateway_id) == home.gateway_id)
        assert set(session.execute(lines).scalars()) == {"L1", "L2"}
        audited = session.execute(
            select(tables.AuditEntry).where(col(tables.AuditEntry.act) == "corrected")
        ).scalar_one()
    assert (audited.before["line"], audited.after["line"]) == ("L1", "L2")
    assert "123456" not in str(audited.after)  # a key is nobody's to read
    shown = staff.get(page).text
    assert "总线: L1 → L2" in shown
    assert "正在下发" in shown
    assert "123456" not in shown


def test_what_was_charged_keeps_its_number_and_ratios_and_says_what_to_do_instead(
    staff, database, home
):
    charged(database, home)
    page = f"/meters/points/{home.electricity}/correct"
    api = f"/api/points/{home.electricity}/meter"

    for given, field, status, said in (
        ({"meter_no": "202400000021"}, "meter_no", 409, "请办换表"),
        ({"multiplier": "40"}, "multiplier", 409, "换互感器"),
        ({"digits": 2}, "digits", 422, "2 位的表不可能显示 104.00"),
        ({"line": "L1", "address": "000000000302"}, "address", 409, "总线 L1 上的地址"),
        ({"model": "cjt188-cold"}, "model", 422, "不是用"),
        ({"address": "000000000301"}, None, 409, "没有要更正的"),
    ):
        answer = staff.patch(api, json={**given, "why": "录错"}, headers={"Accept-Language": "zh"})
        assert answer.status_code == status, given
        assert said in answer.json()["message"], given
        fields = [each["field"] for each in answer.json()["fields"]]
        assert fields == ([field] if field else []), given
    shown = staff.post(page, data={"digits": "2", "line": "L1", "why": "录错"})
    assert shown.status_code == 422
    assert 'id="fault-digits"' in shown.text
    assert 'name="meter_no" value="home' not in shown.text  # its number is not to be typed there
    with database.system() as session:
        assert session.execute(select(tables.DeviceEvent)).first() is None

    done = staff.patch(api, json={"max_per_hour": "90", "why": "三相"})
    assert (done.status_code, done.json()["kind"], done.json()["is_delivered"]) == (
        200,
        "corrected",
        False,
    )
    with database.system() as session:
        assert last_said(session, home.gateway_id).point.meter.max_per_hour == 90


def test_a_technicians_wrong_link_is_undone_and_the_point_read_where_it_was(
    staff, database, home, say, meter
):
    found = replace(meter, line="L2", address="202310450101")
    say(MeterLinked(home.electricity, at(1), "李工", found, meter))
    page = f"/meters/points/{home.electricity}"
    assert "撤销工程人员的对表" in staff.get(page).text

    assert staff.post(f"{page}/unlink", data={"why": "对错了房间"}).status_code == 303

    with database.system() as session:
        said = last_said(session, home.gateway_id)
        assert said.point.meter == meter
        point = session.get(tables.ServicePoint, home.electricity)
        assert (point.line, point.address) == ("L1", "000000000301")
    again = staff.post(f"/api/points/{home.electricity}/unlink", json={"why": "x"})
    assert again.status_code == 409
    assert "撤销工程人员的对表" not in staff.get(page).text


def test_a_link_that_the_technician_undid_himself_is_not_offered_to_be_undone(
    staff, home, say, meter
):
    found = replace(meter, line="L2", address="202310450101")
    say(
        MeterLinked(home.electricity, at(1), "李工", found, meter),
        MeterLinked(home.electricity, at(2), "李工", meter, found),
        FieldWork(home.electricity, at(2), Work.UNLINK, True, "李工", "not its own"),
    )

    assert "撤销工程人员的对表" not in staff.get(f"/meters/points/{home.electricity}").text


def last_said(session, gateway_id) -> Down:
    """What the gateway was told last."""
    row = tables.DownEntry
    bodies = select(col(row.body)).where(col(row.gateway_id) == gateway_id)
    return read_down(session.execute(bodies.order_by(col(row.seq).desc())).scalars().first())


def charged(database, home) -> None:
    """The gateway has charged 0301's electricity up to 104.00."""
    with database.system() as session:
        point = session.get(tables.ServicePoint, home.electricity)
        reading = Reading(point.meter_no, NOON, Decimal("104.00"), None)
        tariff = tariff_document.parse(session.get(tables.TariffDocument, point.tariff_id).document)
        position = rating.open_position(pointsets.value(session, point), tariff, reading)
        state = session.get(tables.PointState, home.electricity)
        state.position = POSITION.dump_python(position, mode="json")
        state.total, state.read_at = reading.total, NOON
