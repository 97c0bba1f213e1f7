"""Service points that nobody pays for, and the change from one payer to the next, at a gateway with a real line."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from prepaid.ledger import prepaid
from prepaid.money import ZERO, Money
from prepaid.point import Restore, ServicePoint
from prepaid.rating import NOBODY
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.uplog import Alarm, Charged, SupplyChanged
from tests.edge.simulated import ELECTRICITY, PURSE, Room, simulated

NEXT = UUID("00000000-0000-0000-0000-0000000000ff")
VACANT = replace(ELECTRICITY, purse=None)


def set_point(room: Room, point: ServicePoint) -> None:
    """As the cloud's entry does it."""
    with room.store.transaction():
        room.store.save_point(point)
    room.agent.take_up(point.id)


async def visit(room: Room, total: str) -> None:
    await asyncio.sleep(10)
    room.meter.show(total)
    (point,) = room.store.points().values()
    await room.agent.visit(point)


@simulated
async def test_a_vacant_point_is_measured_and_charged_to_nobody(tmp_path: Path):
    room = Room(tmp_path, points=(VACANT,))
    await visit(room, "100.00")
    await visit(room, "150.00")

    assert not [told for told in room.told(Charged) if told.transfers]
    position = room.store.position(VACANT.id)
    assert position is not None
    assert (str(position.reading.total), position.payer) == ("150.00", NOBODY)
    assert room.told(Alarm) == []  # no balance is low where nobody pays


@simulated
async def test_a_vacant_point_is_off_or_on_by_the_rule_of_its_site(tmp_path: Path):
    direct = replace(VACANT.policy, restore=Restore.DIRECT)
    room = Room(tmp_path, points=(replace(VACANT, policy=direct),))
    await visit(room, "100.00")
    assert room.meter.contact_open
    told = room.told(SupplyChanged)[-1]
    assert (told.supply, told.wanted, told.why) == (Supply.OFF, Supply.OFF, Why.VACANT)

    set_point(room, replace(VACANT, policy=direct, while_vacant=Supply.ON))
    await visit(room, "100.00")

    assert not room.meter.contact_open
    assert room.told(SupplyChanged)[-1].why is Why.VACANT


@simulated
async def test_who_moves_out_pays_to_the_last_reading_and_the_supply_goes_off_with_credit_left(
    tmp_path: Path,
):
    room = Room(tmp_path, points=(ELECTRICITY,))
    await visit(room, "100.00")
    set_point(room, VACANT)
    await visit(room, "101.00")
    await visit(room, "105.00")

    # 1.00 - 1 kWh at 0.50; the 4 kWh after it are nobody's
    assert room.store.balance(PURSE) == Money.yuan("0.50")
    assert room.meter.contact_open
    closed, opened = room.told(Charged)[-2:]
    assert [str(transfer.amount) for transfer in closed.transfers] == ["0.50"]
    assert (str(opened.position.reading.total), opened.position.payer) == ("101.00", NOBODY)


@simulated
async def test_who_moves_in_pays_from_the_first_reading_on_also_after_a_kill_in_between(
    tmp_path: Path,
):
    room = Room(tmp_path, points=(VACANT,))
    await visit(room, "100.00")
    room.credit("10.00", purse=NEXT)
    with room.store.transaction():
        room.store.save_point(replace(ELECTRICITY, purse=NEXT))
    room.start(settle_s=60)  # killed before it was visited

    await visit(room, "140.00")
    await visit(room, "142.00")

    # 10.00 - 2 kWh at 0.50
    assert room.store.balance(NEXT) == Money.yuan("9.00")
    (charge,) = room.told(Charged)[-1].transfers
    assert charge.debit == prepaid(NEXT)


@simulated
async def test_a_silent_meter_is_paid_by_who_lived_there_until_it_answers_again(tmp_path: Path):
    room = Room(tmp_path, points=(ELECTRICITY,))
    await visit(room, "100.00")
    room.wire.is_silent = True
    await visit(room, "100.00")
    room.credit("10.00", purse=NEXT)
    set_point(room, replace(ELECTRICITY, purse=NEXT))
    await visit(room, "100.00")
    room.wire.is_silent = False

    await visit(room, "101.00")

    assert room.store.balance(PURSE) == Money.yuan("0.50")
    assert room.store.balance(NEXT) == Money.yuan("10.00")
    assert not room.meter.contact_open


@simulated
async def test_an_empty_purse_of_before_does_not_cut_who_moves_in_with_credit(tmp_path: Path):
    room = Room(tmp_path, points=(ELECTRICITY,))
    await visit(room, "100.00")
    room.credit("10.00", purse=NEXT)
    set_point(room, replace(ELECTRICITY, purse=NEXT))

    await visit(room, "110.00")

    # 1.00 - 10 kWh at 0.50: whoever moved out is overdrawn, and nobody is cut for it
    assert room.store.balance(PURSE) == ZERO - Money.yuan("4.00")
    assert room.store.balance(NEXT) == Money.yuan("10.00")
    assert not room.meter.contact_open
