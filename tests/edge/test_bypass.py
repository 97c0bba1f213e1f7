"""What flows although the switch says off is told. Electricity costs ¥0.50 a kWh, and the purse holds ¥1.00."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from edge.bypass import Bypass
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.wire.uplog import Alarm, AlarmKind
from tests.edge.simulated import ELECTRICITY, PURSE, WATER, Room, simulated
from tests.prepaid.values import read


def told(room: Room) -> list[tuple[bool, str]]:
    found = [a for a in room.told(Alarm) if a.alarm is AlarmKind.USED_WHILE_OFF]
    return [(alarm.is_over, alarm.text) for alarm in found]


@simulated
async def test_a_register_that_goes_on_behind_an_open_relay_is_charged_and_told_until_it_is_on_again(
    tmp_path: Path,
):
    room = Room(tmp_path)
    await room.use("100.00")
    await room.use("102.00")  # 2.00 kWh cost all of the 1.00
    assert room.meter.contact_open
    await room.use("102.00", after_s=60)
    await room.use("102.00", after_s=120)

    await room.use("102.01", after_s=600)
    assert told(room) == []  # one step may have been nearly full
    await room.use("102.04", after_s=600)

    began = (False, "the register went on by 0.04 while its switch says off")
    assert told(room) == [began]
    assert room.store.balance(PURSE) == Money.yuan("-0.02")  # 0.04 kWh
    room.start(settle_s=60)
    await room.use("102.04", after_s=600)
    assert told(room) == [began]  # a restart neither ends it nor tells it again

    room.credit("20.00")
    await room.use("102.04")
    await room.use("102.04")
    assert told(room) == [began, (True, "the supply is armed")]


def test_a_valve_that_says_closed_while_it_still_moves_is_given_two_minutes():
    bypass = Bypass()

    def moved(total: str, at_s: float, supply: Supply = Supply.OFF) -> Decimal | None:
        reading = replace(read(total), meter_no=WATER.meter.meter_no, supply=supply)
        return bypass.moved(WATER, reading, tick=at_s)

    assert moved("10.00", 0) is None
    assert moved("10.03", 60) is None
    assert moved("10.03", 120) is None  # from here on nothing may flow
    assert moved("10.04", 180) is None
    assert moved("10.05", 240) == Decimal("0.02")
    assert moved("10.30", 300, Supply.ON) is None
    assert moved("10.60", 360) is None  # it is off anew, and given its two minutes anew


def test_another_register_in_its_place_has_not_gone_on():
    bypass = Bypass()
    before, after = (
        replace(read(total), meter_no=number, supply=Supply.OFF)
        for total, number in (("100.00", "1"), ("900.00", "2"))
    )
    assert bypass.moved(ELECTRICITY, before, tick=0) is None
    assert bypass.moved(ELECTRICITY, before, tick=120) is None

    assert bypass.moved(ELECTRICITY, after, tick=180) is None
    assert bypass.moved(ELECTRICITY, after, tick=240) is None
