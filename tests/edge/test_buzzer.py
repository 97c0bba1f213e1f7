"""The meter itself warns its customer before the cut, where it can.

Electricity costs ¥0.50 a kWh; the purse holds ¥1.00, and the final alarm is at ¥0.40.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prepaid.money import Money
from prepaid.wire.uplog import Alarm, AlarmKind
from protocols.dlt645.frame import Decoder
from protocols.dlt645.relay import RelayCommand
from tests.edge.simulated import ELECTRICITY, TRIP, Room, Wire, commands, simulated

BUZZ, HUSH = RelayCommand.ALARM_ON.value, RelayCommand.ALARM_OFF.value
CONTROL = 0x1C
POINT = replace(
    ELECTRICITY,
    meter=replace(ELECTRICITY.meter, settings={**ELECTRICITY.meter.settings, "buzzer": "yes"}),
    policy=replace(ELECTRICITY.policy, final_alarm_at=Money.yuan("0.40")),
)


def room_of(folder: Path) -> Room:
    return Room(folder, points=(POINT,))


async def use(room: Room, total: str) -> None:
    room.meter.show(total)
    await room.agent.visit(POINT)


@simulated
async def test_the_meter_warns_once_in_a_shortage_and_stops_after_a_credit(tmp_path: Path):
    room = room_of(tmp_path)
    await use(room, "100.00")
    assert commands(room) == []

    for total in ("101.20", "101.30", "101.40"):  # 1.20 × 0.50 = 0.60: 0.40 is left
        await use(room, total)
    assert commands(room) == [BUZZ]
    assert room.meter.alarm
    room.credit("20.00")
    for total in ("101.50", "101.60"):
        await use(room, total)

    assert commands(room) == [BUZZ, HUSH]
    assert not room.meter.alarm


@simulated
async def test_a_restart_neither_warns_again_nor_forgets_to_stop(tmp_path: Path):
    room = room_of(tmp_path)
    await use(room, "100.00")
    await use(room, "101.30")

    room.start(settle_s=60)
    await use(room, "101.40")
    assert commands(room) == [BUZZ]
    room.credit("20.00")
    room.start(settle_s=60)
    await use(room, "101.50")

    assert commands(room) == [BUZZ, HUSH]


@simulated
async def test_a_meter_that_refuses_is_not_asked_again_until_a_restart(tmp_path: Path):
    room = room_of(tmp_path)
    room.meter.passwords = {4: "654321"}
    await use(room, "100.00")

    for total in ("101.30", "101.40", "101.50"):
        await use(room, total)
    assert commands(room) == [BUZZ]
    room.start(settle_s=60)
    await use(room, "101.60")

    assert commands(room) == [BUZZ, BUZZ]


@simulated
async def test_a_cut_goes_before_the_warning_that_comes_with_it(tmp_path: Path):
    room = room_of(tmp_path)
    await use(room, "100.00")

    await use(room, "102.00")

    assert commands(room) == [TRIP, BUZZ]


class Losing(Wire):
    """A line on which no command arrives, and everything else does."""

    async def write(self, data: bytes) -> None:
        self.is_silent = any(frame.control == CONTROL for frame in Decoder().feed(data))
        await super().write(data)


@simulated
async def test_a_meter_that_does_not_answer_to_it_is_asked_at_three_visits(tmp_path: Path):
    room = room_of(tmp_path)
    room.wire = Losing([room.meter])
    room.start(settle_s=60)
    await use(room, "100.00")

    for total in ("101.30", "101.40", "101.50", "101.52", "101.54"):
        await use(room, total)

    # Each visit sends it three times.
    assert commands(room) == [BUZZ] * 9
    assert not any(alarm.alarm is AlarmKind.SILENT for alarm in room.told(Alarm))


@simulated
async def test_a_meter_without_a_buzzer_is_told_nothing(tmp_path: Path):
    point = replace(POINT, meter=ELECTRICITY.meter)
    room = Room(tmp_path, points=(point,))
    for total in ("100.00", "101.30"):
        room.meter.show(total)
        await room.agent.visit(point)

    assert commands(room) == []
    assert room.store.warned(POINT.id) is not None


@simulated
async def test_a_wrong_setting_is_said_and_harms_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    settings = {**ELECTRICITY.meter.settings, "buzzer": "maybe"}
    point = replace(POINT, meter=replace(ELECTRICITY.meter, settings=settings))
    room = Room(tmp_path, points=(point,))
    for total in ("100.00", "101.30", "101.40"):
        room.meter.show(total)
        await room.agent.visit(point)

    said = [r.getMessage() for r in caplog.records if r.name == "edge.buzzer"]
    assert len(said) == 1
    assert 'buzzer of meter 201709320072 must be "yes" or "no"' in said[0]
