"""What a person decided about a register, at the gateway: a changed meter loses no unit and charges none twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from prepaid.ledger import credit_balance, prepaid
from prepaid.money import Money
from prepaid.point import Meter, Opening, ServicePoint
from prepaid.reading import Reading
from prepaid.resolution import Accepted, Decision, Dismissed, Estimated, Exchanged, Restarted
from prepaid.wire.downlog import Decided
from prepaid.wire.uplog import Charged, DecisionTaken, Read
from tests.edge.simulated import ELECTRICITY, PURSE, ElectricityMeter, Room, clock, simulated

OLD = ELECTRICITY.meter
NEW = replace(OLD, meter_no="202611220001", address="202611220001")
CHANGED = replace(ELECTRICITY, meter=NEW)
FIRST = UUID(int=1)


def register(meter: Meter, total: str, at: datetime) -> Reading:
    return Reading(meter.meter_no, at, Decimal(total), None)


def change(
    closing: str,
    opening: str,
    *,
    new: ServicePoint = CHANGED,
    at: datetime | None = None,
    between: str = "0",
) -> Decided:
    """The old meter was taken down now, or at a time, and the new one put up a minute later."""
    at = at or clock()
    exchanged = Exchanged(
        register(OLD, closing, at),
        register(new.meter, opening, at + timedelta(minutes=1)),
        rounds=0,
        between=Decimal(between),
        estimate_stands=False,
    )
    return Decided(FIRST, new, OLD, exchanged, None)


def decide(decision: Decision, after: Reading) -> Decided:
    return Decided(FIRST, ELECTRICITY, OLD, decision, after)


def take(room: Room, said: Decided) -> DecisionTaken:
    """As edge.uplink.sync does with an entry from the cloud."""
    with room.store.transaction():
        room.agent.take_decision(said)
    room.agent.take_up(said.point.id)
    return room.told(DecisionTaken)[-1]


def put_up(room: Room, total: str) -> ElectricityMeter:
    """A new meter hangs on the line, the old one no longer."""
    meter = ElectricityMeter(NEW.address, total)
    room.wire.meters[:] = [meter, room.water]
    return meter


def charged(room: Room) -> Money:
    """What the purse, which held 1.00, has paid."""
    balance = credit_balance(prepaid(PURSE), room.store.transfers())
    assert balance == room.store.balance(PURSE)
    return Money.yuan("1.00") - balance


@simulated
async def test_a_changed_meter_is_charged_to_its_last_unit_and_the_new_from_its_first(
    tmp_path: Path,
):
    room = Room(tmp_path)
    await room.use("100.00")
    await room.use("100.40")
    # 0.40 kWh × 0.50
    assert charged(room) == Money.yuan("0.20")
    await asyncio.sleep(600)

    meter = put_up(room, "7.50")
    taken = take(room, change("100.90", "7.30"))
    # 0.90 × 0.50: the half unit that the old one was never read at is charged by its closing reading.
    assert charged(room) == Money.yuan("0.45")
    await asyncio.sleep(10)
    await room.agent.visit(CHANGED)

    assert taken.refused is None
    # 0.90 of the old, 0.20 of the new since its opening reading: 1.10 × 0.50
    assert charged(room) == Money.yuan("0.55")
    meter.show("8.30")
    await asyncio.sleep(60)
    await room.agent.visit(CHANGED)
    # 0.90 + 1.00
    assert charged(room) == Money.yuan("0.95")
    assert room.store.history(ELECTRICITY.id).doubt is None
    told = [(read.reading.meter_no, str(read.reading.total)) for read in room.told(Read)]
    assert told[-4:] == [
        (OLD.meter_no, "100.90"),
        (NEW.meter_no, "7.30"),
        (NEW.meter_no, "7.50"),
        (NEW.meter_no, "8.30"),
    ]
    times = [read.reading.at for read in room.told(Read)]
    assert times == sorted(set(times))


@simulated
async def test_what_was_used_without_a_meter_is_charged_as_agreed(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    put_up(room, "0.00")

    take(room, change("100.20", "0.00", between="1.00"))

    # (0.20 + 1.00) × 0.50
    assert charged(room) == Money.yuan("0.60")


@simulated
async def test_the_times_that_a_person_wrote_down_may_be_off_by_his_watch(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    late = clock() + timedelta(hours=3)
    put_up(room, "0.00")

    taken = take(room, change("100.40", "0.00", at=late))

    assert taken.refused is None
    assert charged(room) == Money.yuan("0.20")
    assert room.store.position(ELECTRICITY.id).reading.at <= clock() + timedelta(seconds=1)


@simulated
async def test_a_closing_reading_below_what_is_charged_is_told_and_nothing_charged_until_it_is_mended(
    tmp_path: Path,
):
    room = Room(tmp_path)
    await room.use("100.00")
    await room.use("100.40")
    put_up(room, "0.00")

    taken = take(room, change("100.20", "0.00"))
    await room.agent.visit(CHANGED)

    assert "100.20 is less than 100.40, which is charged" in taken.refused
    assert charged(room) == Money.yuan("0.20")
    assert room.store.history(ELECTRICITY.id).is_held  # the new meter is not charged as the old
    mended = take(room, change("100.40", "0.00"))
    await room.agent.visit(CHANGED)
    assert mended.refused is None
    assert charged(room) == Money.yuan("0.20")
    assert not room.store.history(ELECTRICITY.id).is_held


@simulated
async def test_a_change_that_is_told_twice_is_charged_once(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    put_up(room, "0.00")
    said = change("100.40", "0.00")

    take(room, said)
    again = take(room, said)

    assert again.refused is None
    assert charged(room) == Money.yuan("0.20")


@simulated
async def test_a_visit_under_way_while_the_meter_is_changed_charges_nothing_of_what_it_read(
    tmp_path: Path,
):
    room = Room(tmp_path)
    await room.use("100.00")
    room.meter.show("100.60")
    visit = asyncio.create_task(room.agent.visit(ELECTRICITY))
    await asyncio.sleep(0.001)
    assert not visit.done()

    take(room, change("100.40", "0.00"))
    await visit

    assert charged(room) == Money.yuan("0.20")
    assert room.store.history(ELECTRICITY.id).doubt is None


@simulated
async def test_a_meter_that_was_never_read_is_changed_and_the_new_one_counts_from_its_opening(
    tmp_path: Path,
):
    room = Room(tmp_path)
    put_up(room, "3.00")

    taken = take(room, change("100.40", "2.00"))
    await room.agent.visit(CHANGED)

    assert taken.refused is None
    # Of the old nothing is known; 1.00 × 0.50 of the new.
    assert charged(room) == Money.yuan("0.50")


@simulated
async def test_new_transformers_multiply_only_what_is_used_after_them(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    now = replace(ELECTRICITY, meter=replace(OLD, multiplier=Decimal(10)))

    take(room, change("100.40", "100.40", new=now))
    assert charged(room) == Money.yuan("0.20")
    room.meter.show("100.50")
    await asyncio.sleep(60)
    await room.agent.visit(now)

    # 0.40 × 0.50, and 0.10 × 10 × 0.50
    assert charged(room) == Money.yuan("0.70")


@simulated
async def test_a_jump_that_a_person_has_found_true_is_charged(tmp_path: Path):
    room = Room(tmp_path)
    room.credit("500.00")
    await room.use("100.00")
    await room.use("900.00")
    doubt = room.store.history(ELECTRICITY.id).doubt.reading
    assert charged(room) == Money.yuan("-500.00")

    taken = take(room, decide(Accepted(0), doubt))
    await room.use("900.40")

    assert taken.refused is None
    # 800.40 × 0.50 of 500.00
    assert charged(room) == Money.yuan("400.20") - Money.yuan("500.00")
    assert room.store.history(ELECTRICITY.id).doubt is None


@simulated
async def test_a_register_that_was_set_to_zero_counts_on_from_there(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    await room.use("0.20")
    doubt = room.store.history(ELECTRICITY.id).doubt.reading

    taken = take(room, decide(Restarted(Decimal("100.40"), Decimal(0), doubt.at), doubt))
    await room.use("0.60")

    assert taken.refused is None
    # 0.40 before it was set, 0.60 after it: 1.00 × 0.50
    assert charged(room) == Money.yuan("0.50")


@simulated
async def test_a_reading_that_was_none_of_this_meters_is_dismissed(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    await room.use("900.00")
    doubt = room.store.history(ELECTRICITY.id).doubt.reading

    taken = take(room, decide(Dismissed(), doubt))
    await room.use("100.40")

    assert taken.refused is None
    assert charged(room) == Money.yuan("0.20")


@simulated
async def test_an_estimate_is_charged_and_taken_off_when_the_register_is_read_again(
    tmp_path: Path,
):
    room = Room(tmp_path)
    await room.use("100.00")
    await asyncio.sleep(3600)
    silent = register(OLD, "100.00", clock())

    taken = take(room, decide(Estimated(Decimal("1.00")), silent))
    assert charged(room) == Money.yuan("0.50")
    await room.use("101.40", after_s=60)

    assert taken.refused is None
    # 1.40 were used, of which 1.00 was charged as an estimate: 0.70 in all
    assert charged(room) == Money.yuan("0.70")


@simulated
async def test_a_decision_on_a_reading_that_time_has_overtaken_is_refused(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    await room.use("900.00")
    doubt = room.store.history(ELECTRICITY.id).doubt.reading
    await room.use("100.40")  # it did not last
    assert charged(room) == Money.yuan("0.20")

    taken = take(room, decide(Accepted(0), doubt))

    assert "another, 100.40, was charged" in taken.refused
    assert charged(room) == Money.yuan("0.20")


@simulated
async def test_the_position_that_a_decision_leads_to_is_told_even_where_nothing_was_charged(
    tmp_path: Path,
):
    room = Room(tmp_path)
    await room.use("100.00")

    take(room, change("100.00", "5.00"))

    last = room.told(Charged)[-1]
    assert last.transfers == ()
    assert last.position.reading.meter_no == NEW.meter_no
    assert last.position.reading.total == Decimal("5.00")


@simulated
async def test_a_change_of_tenant_that_the_gateway_never_saw_is_divided_at_the_old_register(
    tmp_path: Path,
):
    room = Room(tmp_path)
    await room.use("100.00")
    next_purse = UUID(int=77)
    put_up(room, "0.00")
    opening = Opening(Decimal("100.40"), clock())
    new = replace(CHANGED, purse=next_purse, opening=opening)

    taken = take(room, change("101.00", "0.00", new=new))

    assert taken.refused is None
    # 0.40 × 0.50 to whoever moved out, 0.60 × 0.50 to whoever moved in
    assert charged(room) == Money.yuan("0.20")
    assert room.store.balance(next_purse) == Money.yuan("-0.30")
    assert room.store.position(ELECTRICITY.id).reading.meter_no == NEW.meter_no
