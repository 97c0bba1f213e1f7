"""How often a point is visited, which bound follows, and what is said when it is not held."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from edge.lines.pace import LinePace, Pace
from edge.lines.rounds import Rounds
from edge.purses import Load
from prepaid.money import Money
from tests.edge.simulated import ELECTRICITY, Room, simulated

POINTS = [UUID(int=number) for number in range(1, 33)]
LOAD = Load(Decimal("17740.8"), Decimal("1.56"))
"""13.2 kWh an hour × 24 h × ¥0.56 = ¥177.408 a day; a step of 0.01 kWh is 0.56 fen, and a fen of rounding."""


def line(*, visit_s: float = 0.5, share: str = "0.5") -> tuple[LinePace, Rounds]:
    """32 points, each visited in so long."""
    rounds = Rounds()
    rounds.keep(POINTS)
    for point in POINTS:
        rounds.took(point, visit_s)
    pace = LinePace("L1", Pace(settle_s=900, least_s=0.1, share=Decimal(share)), rounds)
    pace.travel_s = 1
    return pace, rounds


def seconds(lasts_s: float) -> timedelta:
    return timedelta(seconds=lasts_s)


@simulated
async def test_a_purse_far_from_its_levels_is_visited_when_it_may_be_down_to_one():
    pace, _ = line()

    assert pace.wait_s(POINTS[0], seconds(300)) == 300
    assert pace.wait_s(POINTS[0], seconds(5000)) == 900  # the settlement interval


@simulated
async def test_purses_near_a_level_share_the_part_of_the_line_that_is_theirs():
    # A visit takes 0.5 s: at half of the line's time one purse can be visited every second, four every 4 s.
    pace, _ = line()

    waits = [pace.wait_s(point, seconds(0.2)) for point in POINTS[:4]]

    assert waits == [1, 2, 3, 4]
    assert pace.wait_s(POINTS[0], seconds(300)) == 300  # a top-up: three are left
    assert pace.wait_s(POINTS[1], seconds(0.2)) == 3


@simulated
async def test_a_point_that_is_no_longer_on_the_line_takes_no_share_of_it():
    pace, rounds = line()
    for point in POINTS[:4]:
        pace.wait_s(point, seconds(0.2))

    rounds.keep(POINTS[3:])
    pace.keep(set(POINTS[3:]))

    assert pace.wait_s(POINTS[3], seconds(0.2)) == 1


@simulated
async def test_no_point_is_visited_more_often_than_the_least_wait():
    pace, _ = line(visit_s=0.001)

    assert pace.wait_s(POINTS[0], seconds(0)) == 0.1


@simulated
async def test_the_bound_follows_from_the_line_as_it_is():
    pace, _ = line()

    bound = pace.bound([LOAD, LOAD, Load(2 * LOAD.per_day, LOAD.unseen)])

    # All 32 near a level: 32 × 0.5 s / 0.5 = 32 s. A visit that cuts takes four readings, 2 s, each asked three times
    # at the most: (32 + 1 top-up + its own 1) × 2 s × 3 = 204 s. The relay 1 s. 237 s × 17740.8 / 86400 = 48.66 fen,
    # and 1.56 that does not show: 51 fen. Of twice the load 97.33 + 1.56: 99 fen.
    assert bound.interval_s == 32
    assert bound.delay_s == 237
    assert bound.typical == Money(51)
    assert bound.most == Money(99)


@simulated
async def test_a_missed_deadline_is_counted_each_time_and_said_when_it_begins_and_ends(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level("INFO", "edge.lines.pace")
    pace, rounds = line()
    for point in POINTS:
        rounds.plan(point, 0)
    await asyncio.sleep(300)  # the line was away

    for point in POINTS[:3]:
        pace.began(rounds.begin(point), who=lambda: "0301 电 (purse a)", load=lambda: LOAD)
        rounds.plan(point, 1000)
        rounds.end(point)
    assert pace.missed == 3
    # Allowed are 204 s: 96 s more are 333 s × 17740.8 / 86400 = 68.38 fen, and 1.56: 70 fen
    assert [record.message for record in caplog.records] == [
        "bound not held on line L1: 0301 电 (purse a) was due 300.0 s ago, 96.0 s longer than the bound allows; such "
        "a purse can be overdrawn by 0.70 now, not by 0.51: the line has too many meters, or too many that do not "
        "answer"
    ]

    for point in POINTS[3:]:
        rounds.plan(point, 1000)
    await asyncio.sleep(701)
    pace.began(rounds.begin(POINTS[0]), who=lambda: "0301 电 (purse a)", load=lambda: LOAD)

    assert pace.missed == 3
    assert caplog.records[-1].message == (
        "the bound is held again on line L1 after 701 s; the latest visit came 300.0 s after it was due"
    )


@simulated
async def test_a_gateway_says_what_can_be_overdrawn_on_a_line(tmp_path: Path):
    room = Room(tmp_path)
    agent = asyncio.create_task(room.agent.run())
    await asyncio.sleep(3)

    bound, metrics = room.agent.bound("L1"), room.agent.metrics("L1")

    assert Money(0) < bound.typical <= bound.most
    assert bound.delay_s > ELECTRICITY.policy.dwell.total_seconds()
    assert (metrics.missed, metrics.late_s) == (0, 0)
    agent.cancel()
