"""The clocks in the meters: heard as witnesses, set within the standard's limits, and told of where they are wrong.

The gateway's time at the start is EVENING, 10:00 UTC; the meters show UTC. At 10:00 nothing is set, since
meters change bands and freeze at full and half hours; at 10:10 it may be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge.clocks.clock import keeps_time, unkept
from edge.clocks.clock_setting import ClockRules, Verdict, judge, may_set, zone_of
from edge.clocks.meter_clocks import MeterClocks
from edge.clocks.witness import Quorum
from edge.lines.bus import Bus
from prepaid.point import ServicePoint
from prepaid.tariff_document import parse
from prepaid.wire.downlog import TariffSet
from prepaid.wire.uplog import Alarm, AlarmKind
from protocols.dlt645 import frame as dlt645_frame
from tests.edge.simulated import (
    ELECTRICITY,
    EVENING,
    POWER_TARIFF,
    WATER,
    ElectricityMeter,
    Room,
    clock,
    simulated,
)

RULES = ClockRules(
    zone=ZoneInfo("UTC"),
    quorum=Quorum(),
    sets_meters=True,
    sets_by_address=False,
    set_from=timedelta(seconds=30),
)
BROADCAST_TIME = 0x08
SECOND = timedelta(seconds=1)


def second_point() -> ServicePoint:
    meter = replace(ELECTRICITY.meter, meter_no="201709320073", address="201709320073")
    return replace(ELECTRICITY, id=type(ELECTRICITY.id)(int=9), name="0302 电", meter=meter)


class Watched:
    """A room, a second electricity meter beside it, and who looks after the clocks of all three."""

    def __init__(self, folder: Path, *, rules: ClockRules = RULES, kept: bool = True) -> None:
        self.room = Room(folder, points=(ELECTRICITY, second_point(), WATER))
        self.other = ElectricityMeter("201709320073", "5.00")
        self.room.wire.meters.append(self.other)
        self.room.start(settle_s=60, system=keeps_time if kept else unkept)
        bus = Bus("L1", self.room.wire, baud=9600, delay_s=0)
        self.clocks = MeterClocks(
            self.room.store,
            {"L1": bus},
            self.room.clock,
            rules,
            points=self.room.agent.points,
            alarm=self.room.agent.alarm,
        )

    def broadcasts(self) -> list[datetime]:
        """The times that were said to all meters."""
        frames = [
            frame
            for request in self.room.wire.requests
            for frame in dlt645_frame.Decoder().feed(request)
        ]
        return [
            datetime.strptime(frame.data[::-1].hex(), "%y%m%d%H%M%S").replace(tzinfo=UTC)
            for frame in frames
            if frame.control == BROADCAST_TIME
        ]

    def alarms(self) -> list[tuple[str, bool]]:
        names = {ELECTRICITY.id: "0301", second_point().id: "0302", WATER.id: "water"}
        return [
            (names[alarm.point], alarm.is_over)
            for alarm in self.room.told(Alarm)
            if alarm.alarm is AlarmKind.CLOCK_WRONG
        ]


async def run(watched: Watched, **time: float) -> None:
    task = asyncio.ensure_future(watched.clocks.run())
    await asyncio.sleep(timedelta(**time).total_seconds())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@simulated
async def test_a_clock_that_is_two_minutes_slow_is_set_by_broadcast_away_from_the_half_hour(
    tmp_path: Path,
):
    watched = Watched(tmp_path)
    watched.room.meter.clock_error = -timedelta(minutes=2)

    await run(watched, minutes=5.5)
    assert watched.broadcasts() == []
    await run(watched, minutes=10)

    (said,) = watched.broadcasts()
    # 6 minutes after the full hour; the next look is at most 20 s later.
    assert EVENING + timedelta(minutes=6) <= said < EVENING + timedelta(minutes=7)
    assert abs(watched.room.meter.clock_error) <= SECOND
    kept = watched.room.store.meter_clock(ELECTRICITY.id)
    assert kept is not None
    assert abs(kept.ahead) <= 2 * SECOND
    assert kept.set_on == EVENING.date()
    assert watched.alarms() == []


@simulated
async def test_a_line_is_told_the_time_once_a_day_at_most(tmp_path: Path):
    watched = Watched(tmp_path)
    watched.room.meter.clock_error = -timedelta(minutes=2)
    await run(watched, minutes=10)

    watched.room.meter.clock_error = timedelta(minutes=2)
    await run(watched, hours=13)
    assert len(watched.broadcasts()) == 1
    await run(watched, hours=24)  # the next look at this meter, on the next day

    assert len(watched.broadcasts()) == 2
    assert abs(watched.room.meter.clock_error) <= SECOND


@simulated
async def test_clocks_that_are_right_enough_are_left_alone(tmp_path: Path):
    watched = Watched(tmp_path)
    watched.room.meter.clock_error = timedelta(seconds=27)
    watched.other.clock_error = -timedelta(seconds=27)

    await run(watched, hours=30)

    assert watched.broadcasts() == []


@simulated
async def test_a_clock_that_is_hours_off_is_told_to_a_person_and_not_set(tmp_path: Path):
    watched = Watched(tmp_path)
    watched.room.meter.clock_error = timedelta(hours=2)

    await run(watched, hours=1)
    assert watched.broadcasts() == []
    assert watched.alarms() == [("0301", False)]
    watched.room.meter.clock_error = timedelta(0)
    await run(watched, hours=24)

    assert watched.alarms() == [("0301", False), ("0301", True)]


@simulated
async def test_a_meter_that_does_not_follow_the_broadcast_is_told_of(tmp_path: Path):
    watched = Watched(tmp_path)
    watched.room.meter.clock_error = timedelta(minutes=3)
    watched.room.meter.time_set_on = (EVENING + timedelta(minutes=3)).date()  # it was set today

    await run(watched, hours=1)

    assert len(watched.broadcasts()) == 1
    assert watched.alarms() == [("0301", False)]


@simulated
async def test_nothing_is_set_where_that_is_switched_off(tmp_path: Path):
    watched = Watched(tmp_path, rules=replace(RULES, sets_meters=False))
    watched.room.meter.clock_error = timedelta(minutes=3)
    watched.other.clock_error = timedelta(hours=3)

    await run(watched, hours=1)

    assert watched.broadcasts() == []
    assert watched.alarms() == [("0302", False)]  # a wrong clock is told all the same


@simulated
async def test_a_water_meter_is_set_by_its_address_where_that_is_allowed(tmp_path: Path):
    watched = Watched(tmp_path, rules=replace(RULES, sets_by_address=True))
    watched.room.water.clock_error = timedelta(minutes=4)
    await asyncio.sleep(600)

    await run(watched, minutes=5)

    assert abs(watched.room.water.clock_error) <= SECOND
    assert watched.broadcasts() == []


@simulated
async def test_a_water_meter_is_not_set_where_nobody_has_allowed_it(tmp_path: Path):
    watched = Watched(tmp_path)
    watched.room.water.clock_error = timedelta(minutes=4)
    await asyncio.sleep(600)

    await run(watched, minutes=5)

    assert watched.room.water.clock_error == timedelta(minutes=4)


@simulated
async def test_meters_that_agree_tell_a_gateway_the_time_that_nobody_else_tells(tmp_path: Path):
    watched = Watched(tmp_path, kept=False)
    watched.room.shift = -timedelta(days=400)
    watched.other.clock_error = timedelta(seconds=20)
    assert not watched.room.clock.now().is_trusted

    await run(watched, seconds=30)

    now = watched.room.clock.now()
    assert now.is_trusted
    assert abs(now.at - clock()) <= 22 * SECOND


@simulated
async def test_meters_are_never_set_by_what_only_meters_say(tmp_path: Path):
    watched = Watched(tmp_path, kept=False)
    watched.room.meter.clock_error = timedelta(minutes=3)

    await run(watched, hours=30)

    assert watched.room.clock.now().is_trusted  # by the two others
    assert watched.broadcasts() == []


@simulated
async def test_a_meter_whose_clock_is_no_clock_is_not_asked_again(tmp_path: Path):
    watched = Watched(tmp_path)
    blank = Blank("201709320073", "5.00")
    watched.room.wire.meters[-1] = blank

    await run(watched, minutes=10)
    asked = blank.asked
    assert asked > 0
    await run(watched, days=3)

    assert blank.asked == asked
    assert watched.alarms() == []


class Blank(ElectricityMeter):
    """A meter whose clock registers are filled with FF."""

    asked = 0

    def read_item(self, di: int) -> bytes | None:
        if di not in (0x04000101, 0x04000102):
            return super().read_item(di)
        self.asked += 1
        return b"\xff" * (4 if di == 0x04000101 else 3)


# Rules.


def test_a_difference_that_our_own_error_may_explain_is_nobodys_alarm():
    minute = timedelta(minutes=1)

    def verdict(ahead: timedelta, error: timedelta) -> Verdict:
        return judge(ahead, error=error, rules=RULES)

    assert verdict(5 * minute + 2 * SECOND, SECOND) is Verdict.WRONG
    assert verdict(-6 * minute, 2 * minute) is Verdict.UNSURE
    assert verdict(4 * minute, SECOND) is Verdict.OFF
    assert verdict(5 * minute - SECOND, 2 * SECOND) is Verdict.UNSURE
    assert verdict(2 * minute, 16 * SECOND) is Verdict.RIGHT  # ours is not certain enough to set it
    assert verdict(30 * SECOND, SECOND) is Verdict.RIGHT


@pytest.mark.parametrize("typed", ["--480", "+-480", "eight", "1440", ""])
def test_what_is_no_offset_from_utc_is_the_zone_of_the_site(typed: str):
    meter = replace(ELECTRICITY.meter, settings={"utc_offset_min": typed})
    assert zone_of(meter, RULES) == RULES.zone


def local(hour: int, minute: int) -> datetime:
    return datetime(2026, 11, 21, hour, minute, tzinfo=ZoneInfo("Asia/Shanghai"))


def banded(at: str) -> TariffSet:
    """The tariff, with a band that begins at an odd minute."""
    document: dict[str, Any] = dict(POWER_TARIFF.document)
    versions = [
        {
            "effective_from": "2026-01-01T00:00:00+08:00",
            "bands": [{"band": "peak", "from": at, "to": "22:00"}, {"band": "flat"}],
            "components": [
                {"item": "energy", "kind": "rate", "price": {"peak": "1.00", "flat": "0.50"}}
            ],
        }
    ]
    return TariffSet({**document, "versions": versions})


@pytest.mark.parametrize(
    ("hour", "minute", "is_safe"),
    [
        (0, 3, False),
        (23, 57, False),
        (9, 59, False),
        (10, 31, False),
        (10, 6, True),
        (10, 24, True),
    ],
)
def test_clocks_are_set_away_from_full_and_half_hours(hour: int, minute: int, is_safe: bool):
    assert may_set(local(hour, minute), []) is is_safe


def test_clocks_are_set_away_from_where_a_band_begins():
    tariffs: Iterable[Any] = [parse(banded("08:15").document)]

    assert not may_set(local(8, 10), tariffs)
    assert not may_set(local(8, 20), tariffs)
    assert may_set(local(8, 22), tariffs)
    assert may_set(local(9, 15), tariffs)
