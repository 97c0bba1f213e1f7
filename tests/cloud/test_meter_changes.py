"""A meter is changed at the office: the gateway's program and the cloud's, from the line to the books."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlmodel import col

from cloud import tables
from cloud.auth import SignedIn
from cloud.permissions import Role
from cloud.services.devices import changes, decisions, exchanges, mountings
from cloud.services.devices.exchanges import Registers
from cloud.services.devices.photos import NoPicture, Picture
from cloud.services.readings import rerating
from edge.ledger.store import Hold
from prepaid.money import Money
from prepaid.point import Meter as Device
from tests.cloud.test_takeover import Meter, Town, prepare_takeover
from tests.edge.simulated import ELECTRICITY, clock, simulated, until

pytestmark = pytest.mark.processes

OLD = ELECTRICITY.meter
NEW = replace(OLD, meter_no="202611220001", address="202611220001")
PHOTO = Picture("closing", b"\xff\xd8\xff a register")


@pytest.fixture
def town(database, home, tmp_path) -> Town:
    return Town(database, home, tmp_path)


def staff(town: Town) -> SignedIn:
    return SignedIn(
        town.cloud.user_id, town.cloud.organization_id, "li", "李工", frozenset({Role.ENGINEER})
    )


def change(
    town: Town, closing: str, opening: str, *, new: Device = NEW, photo: Picture = PHOTO
) -> tables.DeviceEvent:
    """Somebody enters it at the office, a minute after the new meter was put up."""
    at = clock()
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        return changes.change_meter(
            session,
            town.cloud.point_id,
            new,
            Registers(
                Decimal(closing),
                at - timedelta(seconds=3),
                Decimal(opening),
                at - timedelta(seconds=2),
            ),
            model="dlt645-2007-1p",
            why="display broken",
            pictures=[photo],
            by=staff(town),
            now=at,
        )


def put_up(town: Town, total: str) -> None:
    """The new meter hangs on the line in place of the old one."""
    town.meter = Meter(NEW.address, total)
    town.line.meters[:] = [town.meter]


def mounted_long_ago(town: Town) -> None:
    """The meter was there before the story began, whose clock is not that of the database."""
    with town.cloud.database.system() as session:
        mounting = mountings.now_at(session, town.cloud.point_id)
        mounting.mounted_at = clock() - timedelta(days=365)


def event_of(town: Town, event: tables.DeviceEvent) -> tables.DeviceEvent:
    with town.cloud.database.system() as session:
        return session.get(tables.DeviceEvent, event.id)


def rated_again(town: Town) -> tuple[int, int]:
    """The charges that agree when everything is rated from the first reading, and those that differ."""
    found = rerating.rerate(
        town.cloud.database,
        town.cloud.organization_id,
        now=clock(),
        is_stopping=lambda: False,
        from_the_first=True,
    )
    return found.charges - found.differences, found.differences


async def hear(town: Town) -> None:
    """The gateway has what the cloud wrote to it, and has answered."""
    town.first.sync.stir()
    await asyncio.sleep(40)
    await until(town.first.is_settled, within_s=30)


@simulated
async def test_a_changed_meter_loses_no_unit_and_charges_none_twice(town: Town):
    mounted_long_ago(town)
    await town.live()  # 4 kWh at 0.50 of 10.00 are charged
    town.line.meters.clear()  # it is taken down at 105.30, which the gateway never read
    await asyncio.sleep(600)
    put_up(town, "0.20")

    event = change(town, "105.30", "0.20")
    await hear(town)

    # 5.30 kWh at 0.50
    assert town.first.balance == town.cloud.balance == Money.yuan("7.35")
    assert event_of(town, event).taken_at is not None
    assert event_of(town, event).refused is None
    await town.use(town.first, "2.20")
    # and 2.00 kWh of the new: 7.30 kWh at 0.50 in all
    assert town.first.balance == town.cloud.balance == Money.yuan("6.35")
    assert town.cloud.rejected() == []
    with town.cloud.database.system() as session:
        state = session.get(tables.PointState, town.cloud.point_id)
        new, old = mountings.of_point(session, town.cloud.point_id)
        readings = session.execute(
            select(col(tables.Reading.meter_no), col(tables.Reading.total))
            .where(col(tables.Reading.point_id) == town.cloud.point_id)
            .order_by(col(tables.Reading.at))
        ).all()
    assert (state.held_since, state.silent_since) == (None, None)
    assert (old.closing, new.opening, new.removed_at) == (Decimal("105.30"), Decimal("0.20"), None)
    # What reports count: the old to its closing reading, the new from its opening reading.
    assert [tuple(row) for row in readings if row.total in (Decimal("105.30"), Decimal("0.20"))][
        :2
    ] == [(OLD.meter_no, Decimal("105.30")), (NEW.meter_no, Decimal("0.20"))]
    await town.use(town.first, "3.00")  # the newest reading waits for the next time
    agree, differ = rated_again(town)
    assert agree >= 3
    assert differ == 0
    await town.first.stop()


@simulated
async def test_after_other_transformers_what_is_used_is_multiplied_by_them_and_rated_again_alike(
    town: Town,
):
    mounted_long_ago(town)
    await town.live()
    at = clock()
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        event = changes.change_transformers(
            session,
            town.cloud.point_id,
            multiplier=Decimal(2),
            settings={},
            registers=Registers(
                Decimal("104.00"), at - timedelta(seconds=3), Decimal("104.00"), at
            ),
            why="larger load",
            pictures=[PHOTO],
            by=staff(town),
            now=at,
        )
    await hear(town)
    assert event_of(town, event).refused is None
    await town.use(town.first, "105.00")
    # 4 kWh at 0.50, then 1.00 of the register times 2 at 0.50
    assert town.first.balance == town.cloud.balance == Money.yuan("7.00")
    await town.use(town.first, "106.00")
    agree, differ = rated_again(town)
    assert agree >= 2
    assert differ == 0
    await town.first.stop()


@simulated
async def test_a_change_that_the_gateway_hears_of_late_is_charged_all_the_same(town: Town):
    mounted_long_ago(town)
    await town.live()
    town.cloud.is_there = False
    put_up(town, "0.00")
    event = change(town, "104.50", "0.00")
    town.meter.show("1.00")
    await asyncio.sleep(3600)
    assert town.first.balance == Money.yuan("8.00")

    town.cloud.is_there = True
    await town.use(town.first, "1.50")

    # 4.50 of the old, 1.50 of the new: 6 kWh at 0.50
    assert town.first.balance == town.cloud.balance == Money.yuan("7.00")
    assert event_of(town, event).refused is None
    await town.first.stop()


@simulated
async def test_a_spare_gateway_books_the_change_that_the_dead_one_never_heard_of(town: Town):
    mounted_long_ago(town)
    await town.live()
    await town.first.stop()
    put_up(town, "0.00")
    event = change(town, "104.50", "0.00")
    spare = town.machine("spare")
    prepare_takeover(spare)

    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)
    await town.use(spare, "1.50")

    assert spare.store.hold is not Hold.REBUILDING
    assert spare.balance == town.cloud.balance == Money.yuan("7.00")
    assert event_of(town, event).refused is None
    # A third one hears of it too, and books nothing again.
    await spare.stop()
    third = town.machine("third")
    prepare_takeover(third)
    await third.start()
    await until(lambda: third.store.hold is None, within_s=5)
    await town.use(third, "2.50")
    assert third.balance == town.cloud.balance == Money.yuan("6.50")
    assert town.cloud.rejected() == []
    await third.stop()


@simulated
async def test_a_closing_reading_that_the_gateway_refuses_is_shown_and_mended(town: Town):
    mounted_long_ago(town)
    await town.live()
    town.cloud.is_there = False  # the gateway charges on, and the office does not know
    town.meter.show("105.00")
    await asyncio.sleep(70)
    put_up(town, "0.00")
    event = change(town, "104.50", "0.00")
    town.cloud.is_there = True
    await hear(town)

    refused = event_of(town, event)
    assert "104.50 is less than 105.00, which is charged" in refused.refused
    assert town.first.balance == town.cloud.balance == Money.yuan("7.50")
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        mended = changes.mend(
            session,
            event.id,
            Registers(
                Decimal("105.00"),
                refused.at,
                Decimal("0.00"),
                refused.at + timedelta(seconds=1),
            ),
            why="read the photograph again",
            pictures=[PHOTO],
            by=staff(town),
            now=clock(),
        )
    await hear(town)
    await town.use(town.first, "1.00")

    assert event_of(town, mended).refused is None
    # 5 kWh of the old, 1 of the new, at 0.50
    assert town.first.balance == town.cloud.balance == Money.yuan("7.00")
    await town.first.stop()


@simulated
async def test_a_point_whose_meter_is_taken_away_is_charged_to_the_end_and_left_alone(town: Town):
    mounted_long_ago(town)
    await town.live()
    town.meter.show("104.40")
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        changes.take_down(
            session,
            town.cloud.point_id,
            closing=Decimal("104.40"),
            at=clock(),
            rounds=0,
            why="shop torn down",
            pictures=[PHOTO],
            by=staff(town),
            now=clock(),
        )
    await hear(town)
    requests = len(town.line.requests)
    await asyncio.sleep(600)

    # 4.40 kWh at 0.50
    assert town.first.balance == town.cloud.balance == Money.yuan("7.80")
    assert len(town.line.requests) == requests
    assert town.first.store.points() == {}
    await town.first.stop()


@simulated
async def test_a_held_reading_that_a_person_finds_true_is_charged_though_the_meter_goes_on(
    town: Town,
):
    mounted_long_ago(town)
    await town.live()
    town.cloud.top_up("500000.00", "sandbox:2")
    await asyncio.sleep(10)
    town.meter.show("104.00")

    async def shown(total: str) -> decisions.Doubt:
        town.meter.show(total)
        await asyncio.sleep(70)
        await until(town.first.is_settled, within_s=30)
        with town.cloud.database.organization(town.cloud.organization_id) as session:
            point = session.get(tables.ServicePoint, town.cloud.point_id)
            return decisions.doubt_of(session, point)

    def accept(seen: decisions.Doubt) -> None:
        with town.cloud.database.organization(town.cloud.organization_id) as session:
            decisions.accept(
                session,
                town.cloud.point_id,
                seen_at=seen.seen.at,
                rounds=0,
                why="read at the meter",
                pictures=[],
                by=staff(town),
                now=clock(),
            )

    other = await shown("700000.00")
    doubt = await shown("900000.00")
    assert (doubt.charged.total, doubt.seen.total) == (Decimal("104.00"), Decimal(900000))
    later = await shown("900000.50")
    assert later.seen.total == Decimal("900000.50")
    with pytest.raises(decisions.ReadMeanwhile):
        accept(other)
    accept(doubt)
    await hear(town)

    # 899900.50 kWh at 0.50 of 500010.00: the last half was charged by itself
    assert town.first.balance == town.cloud.balance == Money.yuan("50059.75")
    with town.cloud.database.system() as session:
        assert session.get(tables.PointState, town.cloud.point_id).held_since is None
    await town.first.stop()


@simulated
async def test_what_cannot_be_by_the_readings_is_refused_at_the_office_and_changes_nothing(
    town: Town,
):
    mounted_long_ago(town)
    await town.live()
    before = town.cloud.gateway.down_seq

    for error, closing, opening, new in (
        (exchanges.ClosingBehind, "103.00", "0", NEW),
        (decisions.BadRegister, "1000000", "0", NEW),
        (decisions.BadRegister, "105", "1000000", NEW),
        (changes.SameMeter, "105", "0", OLD),
        (mountings.MountedElsewhere, "105", "0", replace(NEW, meter_no="home-电")),
    ):
        with pytest.raises(error):
            change(town, closing, opening, new=new)
    with pytest.raises(NoPicture):
        change(town, "105", "0", photo=Picture("closing", b"<svg onload='alert(1)'>"))

    assert town.cloud.gateway.down_seq == before
    with town.cloud.database.system() as session:
        assert len(mountings.of_point(session, town.cloud.point_id)) == 1
    await town.first.stop()
