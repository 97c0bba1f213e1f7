"""What the cloud has decided, entry by entry: booked, taken up, kept apart where it cannot be."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from edge.ledger.rows import Linked
from edge.uplink.downlog import DownLog
from prepaid import ledger
from prepaid.ledger import Reason, Transfer
from prepaid.money import Money
from prepaid.point import Meter, ServicePoint
from prepaid.reading import Supply
from prepaid.supply import Override
from prepaid.wire.downlog import (
    BrakeReleased,
    Credited,
    Pinned,
    PointSet,
    TapsClosed,
    TariffSet,
    Visit,
)
from prepaid.wire.entry import Cursor
from prepaid.wire.uplog import GatewayAlarm, MeterLinked, Trouble
from tests.edge.simulated import (
    ELECTRICITY,
    EVENING,
    POWER_TARIFF,
    PURSE,
    WATER,
    Room,
    clock,
    simulated,
    tariff,
    top_up,
    until,
)
from tests.edge.uplink.other_end import Cloud, applied


@simulated
async def test_a_credit_is_booked_before_its_cursor_is_sent_and_wakes_the_line(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    await room.use("100.00")
    await room.use("102.00")
    assert room.meter.contact_open
    running = asyncio.create_task(cloud.sync.run())
    serving = asyncio.create_task(room.agent.run())
    cloud.connect()
    await asyncio.sleep(10)

    cloud.write(Credited(top_up("20.00")))
    cloud.say()

    await until(lambda: not room.meter.command_open, within_s=1)  # armed
    assert room.store.balance(PURSE) == Money.yuan("20.00")
    assert cloud.theirs == Cursor(cloud.log, 1)
    running.cancel()
    serving.cancel()


@simulated
async def test_points_and_tariffs_are_taken_up_and_visited(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    serving = asyncio.create_task(room.agent.run())
    running = asyncio.create_task(cloud.sync.run())
    other = PointSet(
        ServicePoint(
            id=UUID(int=9),
            name="0302 水",
            meter=WATER.meter,
            tariff="water",
            purse=WATER.purse,
            policy=WATER.policy,
        )
    )

    cloud.write(POWER_TARIFF)
    cloud.write(other)
    cloud.connect()

    await until(lambda: room.store.position(UUID(int=9)) is not None, within_s=2)
    running.cancel()
    serving.cancel()


@simulated
async def test_a_dearer_tariff_is_heeded_at_once_and_not_when_the_cheaper_one_would_have_run_out(
    tmp_path: Path,
):
    kettle = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, max_per_hour=Decimal("13.2")))
    room = Room(tmp_path, points=(kettle,))
    room.credit("99.00")  # with 1.00 there 100.00: at 13.2 kWh an hour for 0.50 it lasts 15 hours
    room.start(settle_s=900)
    cloud = Cloud(room)
    serving = asyncio.create_task(room.agent.run())
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    await asyncio.sleep(60)

    cloud.write(tariff("power", "electricity", "500.00"))  # now for 54 s
    cloud.say()
    await asyncio.sleep(30)
    room.meter.show("100.11")

    # 0.11 kWh were used by then and cost 55.00: it is seen while there is something left.
    await until(lambda: room.store.balance(PURSE) == Money.yuan("45.00"), within_s=27)
    running.cancel()
    serving.cancel()


@simulated
async def test_a_gateway_that_had_nothing_to_do_takes_up_its_first_point(tmp_path: Path):
    room = Room(tmp_path, points=())
    cloud = Cloud(room)
    serving = asyncio.create_task(room.agent.run())
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    await asyncio.sleep(5)

    cloud.write(PointSet(ELECTRICITY))
    cloud.say()

    await until(lambda: room.store.position(ELECTRICITY.id) is not None, within_s=2)
    running.cancel()
    serving.cancel()


@simulated
async def test_a_meter_whose_link_was_undone_does_not_come_back_with_the_clouds_answer_to_the_link(
    tmp_path: Path,
):
    room = Room(tmp_path)
    wrong = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, address="202310450177"))
    linked = Linked(EVENING, "李工", wrong.meter, ELECTRICITY.meter, False, undone=2)
    room.agent.reload()
    down = DownLog(room.store, room.agent, now=clock, learn=None, trust=lambda keys: None)
    with room.store.transaction():
        room.store.append(MeterLinked(ELECTRICITY.id, EVENING, "李工", *_meters(wrong)))
        room.store.append(MeterLinked(ELECTRICITY.id, EVENING, "李工", *_meters(wrong)[::-1]))
        room.store.save_linked(ELECTRICITY.id, linked)
        room.store.acknowledge(1)  # the cloud has heard of the link alone
        down.take(PointSet(wrong))
        assert room.store.point(ELECTRICITY.id) == ELECTRICITY

        room.store.acknowledge(2)
        down.take(PointSet(wrong))  # by now it is the office's own word
        assert room.store.point(ELECTRICITY.id) == wrong
    room.store.close()


def _meters(linked: ServicePoint) -> tuple[Meter, Meter]:
    return linked.meter, ELECTRICITY.meter


@simulated
async def test_a_new_entry_of_a_point_does_not_make_its_doubtful_reading_true(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    await room.use("100.00")
    await room.use("99000.00")
    assert room.store.history(ELECTRICITY.id).doubt is not None

    cloud.write(PointSet(replace(ELECTRICITY, persons=5)))
    cloud.connect()
    await until(lambda: room.store.point(ELECTRICITY.id).persons == 5, within_s=2)
    await asyncio.sleep(4 * 3600)  # by now the 98 900 kWh of the jump could have passed the meter
    balance = room.store.balance(PURSE)
    await room.use("99000.00")

    assert room.store.history(ELECTRICITY.id).doubt is not None
    assert room.store.balance(PURSE) == balance
    running.cancel()


@simulated
async def test_a_transfer_id_used_for_two_contents_is_kept_apart_and_the_log_goes_on(
    tmp_path: Path,
):
    room = await applied(
        tmp_path,
        Credited(top_up("20.00")),
        Credited(top_up("30.00")),
        Credited(top_up("5.00", cause="sandbox:3")),
    )

    assert room.store.balance(PURSE) == Money.yuan("26.00")  # 1.00 + 20.00 + 5.00
    ((seq, reason),) = room.store.rejected()
    assert seq == 2
    assert "comes again as 30.00" in reason


@simulated
async def test_a_bad_tariff_and_a_charge_from_the_cloud_are_kept_apart(tmp_path: Path):
    charge = Transfer(
        ledger.prepaid(PURSE),
        ledger.income("energy"),
        Money.yuan("1.00"),
        Reason.CHARGE,
        "x",
        EVENING,
    )
    room = await applied(
        tmp_path, TariffSet({"code": "x"}), Credited(charge), Visit(ELECTRICITY.id)
    )

    assert [seq for seq, _ in room.store.rejected()] == [1, 2]
    assert [told.alarm for told in room.told(GatewayAlarm)] == [Trouble.ENTRY_REFUSED]
    assert room.store.balance(PURSE) == Money.yuan("1.00")


@simulated
async def test_an_entry_that_fails_as_nobody_foresaw_is_kept_apart_whole_and_the_log_goes_on(
    tmp_path: Path,
):
    # Its number is more than SQLite holds, which is found out when the transfer is booked already.
    beyond = Credited(top_up("20.00"), number=2**63)
    room = await applied(tmp_path, beyond, Credited(top_up("5.00", cause="sandbox:3")))

    ((seq, reason),) = room.store.rejected()
    assert seq == 1
    assert reason.startswith("OverflowError")
    assert room.store.balance(PURSE) == Money.yuan("6.00")  # 1.00 + 5.00
    (told,) = room.told(GatewayAlarm)
    assert (told.alarm, told.is_over) == (Trouble.ENTRY_REFUSED, False)
    assert told.text.startswith(
        "1 of the cloud's entries cannot be applied; entry 1: OverflowError"
    )
    assert room.store.check(within_s=None)


@simulated
async def test_a_full_disk_keeps_the_credit_waiting_and_loses_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    room.fill_disk()
    for n in range(100):
        cloud.write(Credited(top_up("1.00", cause=f"sandbox:{'x' * 100}{n}")))

    cloud.say()
    await asyncio.sleep(20)
    assert room.store.balance(PURSE) == Money.yuan("1.00")
    assert room.store.cursor() is None
    assert "credited to purse" not in caplog.text  # it is not said of what is not on disk
    room.empty_disk()
    await until(lambda: room.store.balance(PURSE) == Money.yuan("101.00"), within_s=10)

    await until(lambda: cloud.theirs == Cursor(cloud.log, 100), within_s=10)
    assert caplog.text.count("credited to purse") == 100
    running.cancel()


@simulated
async def test_an_answer_about_the_taps_that_was_given_before_the_supply_went_off_is_not_taken_for_this_time(
    tmp_path: Path,
):
    room = Room(tmp_path)
    cloud = Cloud(room)
    await room.use("100.00")
    await room.use("102.00")
    off = room.store.off(ELECTRICITY.id)
    assert room.meter.contact_open
    assert off is not None
    assert off.since is not None
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    # Said on the page while it was off the time before; the link was away, and it has been on since then.
    cloud.write(TapsClosed(ELECTRICITY.id, off.since - timedelta(hours=3)))
    cloud.say()
    await until(lambda: cloud.theirs == Cursor(cloud.log, 1), within_s=2)
    assert room.store.off(ELECTRICITY.id) == off

    said_at = off.since + timedelta(hours=1)
    cloud.write(TapsClosed(ELECTRICITY.id, said_at))
    cloud.say()
    await until(lambda: cloud.theirs == Cursor(cloud.log, 2), within_s=2)
    assert room.store.off(ELECTRICITY.id) == replace(off, taps_closed_at=said_at)
    running.cancel()


@simulated
async def test_what_an_operator_pins_is_kept_and_the_brake_is_released_and_told(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    with room.store.transaction():
        room.store.save_brake(replace(room.store.brake(), pulled_at=EVENING))
        room.store.save_trouble(Trouble.BRAKED, EVENING)
    kept = Override(Supply.ON, EVENING + timedelta(hours=1), by="王工", why="病人")

    cloud.write(Pinned(ELECTRICITY.id, kept))
    cloud.write(BrakeReleased("王工"))
    cloud.connect()

    await until(lambda: not room.store.brake().is_on, within_s=2)
    assert room.store.override(ELECTRICITY.id) == kept
    assert room.store.trouble_since(Trouble.BRAKED) is None
    told = room.told(GatewayAlarm)[-1]
    assert (told.alarm, told.is_over, "王工" in told.text) == (Trouble.BRAKED, True, True)
    cloud.write(Pinned(ELECTRICITY.id, None))
    cloud.say()
    await until(lambda: room.store.override(ELECTRICITY.id) is None, within_s=2)
    running.cancel()
