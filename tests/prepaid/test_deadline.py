"""When a service point is read next, and the bound of what a purse can be overdrawn."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prepaid.deadline import (
    Drain,
    Line,
    ever_per_day,
    most_per_day,
    next_read,
    overdraft_bound,
    shortest_interval,
)
from prepaid.money import ZERO, Money
from prepaid.point import ServicePoint
from tests.prepaid.line_of_adversaries import Draw, Race, worst_overdraft
from tests.prepaid.test_tariff import BY_BAND, DAY_AND_NIGHT, priced, tariff, version
from tests.prepaid.values import EVENING, METER, POINT, flat

QUARTER_HOUR = timedelta(minutes=15)
NOW = timedelta(0)
SIX_YUAN_AN_HOUR = Drain(Decimal(600 * 24), NOW)


def due_in(
    balance: str,
    *drains: Drain,
    levels: tuple[str, ...] = ("0",),
    at_least: timedelta = NOW,
) -> timedelta:
    due = next_read(
        Money.yuan(balance),
        levels=[Money.yuan(level) for level in levels],
        drains=drains or (SIX_YUAN_AN_HOUR,),
        now=EVENING,
        at_least=at_least,
        at_most=QUARTER_HOUR,
    )
    return due - EVENING


def test_a_meter_is_read_before_its_purse_can_run_out():
    # ¥0.50 × 12 kWh/h is ¥6 an hour: ¥0.60 lasts 6 minutes at the least
    assert due_in("0.60") == timedelta(minutes=6)


def test_a_meter_is_read_before_its_purse_can_be_down_to_the_next_alarm():
    # 10.10 − 10.00 = ¥0.10, a minute at ¥6 an hour; then 9.90 − 3 = ¥6.90, more than an hour
    levels = ("10", "3", "0")
    assert due_in("10.10", levels=levels) == timedelta(minutes=1)
    assert due_in("9.90", levels=levels) == QUARTER_HOUR
    assert due_in("0.10", levels=levels) == timedelta(minutes=1)


def test_a_full_purse_is_visited_once_each_interval():
    assert due_in("1000") == QUARTER_HOUR


def test_an_empty_purse_does_not_keep_the_line_busy():
    assert due_in("0") == due_in("-3") == QUARTER_HOUR


def test_a_purse_about_to_run_out_does_not_keep_the_line_busy_either():
    assert due_in("0.01", at_least=timedelta(seconds=20)) == timedelta(seconds=20)
    assert due_in("0.60", at_least=timedelta(seconds=20)) == timedelta(minutes=6)
    assert due_in("0.60", at_least=timedelta(hours=1)) == QUARTER_HOUR


def test_a_point_that_can_cost_nothing_is_visited_once_each_interval():
    assert due_in("0.01", Drain(Decimal(0), QUARTER_HOUR)) == QUARTER_HOUR


def test_points_of_one_purse_share_what_it_holds():
    # ¥6 and ¥18 an hour are ¥24: ¥1.20 lasts 3 minutes
    assert due_in("1.20", SIX_YUAN_AN_HOUR, Drain(Decimal(1800 * 24), NOW)) == timedelta(minutes=3)


def test_what_the_other_points_of_a_purse_may_have_drawn_unread_is_taken_off():
    # The other, ¥18 an hour, was read 2 minutes ago: ¥0.60 of the ¥1.20 may be gone. ¥0.60 at ¥24 an hour
    # is a minute and a half.
    other = Drain(Decimal(1800 * 24), timedelta(minutes=2))
    assert due_in("1.20", SIX_YUAN_AN_HOUR, other) == timedelta(seconds=90)
    assert due_in("0.60", SIX_YUAN_AN_HOUR, other) == NOW  # it may have run out by now


def test_the_instant_is_never_a_microsecond_late():
    # 1 fen at 7 fen a day: a seventh of a day is 12342857142.857… µs
    due = next_read(
        Money(1),
        levels=[ZERO],
        drains=[Drain(Decimal(7), NOW)],
        now=EVENING,
        at_least=NOW,
        at_most=timedelta(days=1),
    )
    assert due - EVENING == timedelta(microseconds=12342857142)


def test_the_most_a_day_can_cost_is_price_times_load_times_multiplier():
    # 13.2 kWh an hour on the register, × 40 by the transformers, × 24 h × ¥0.56 = ¥7096.32
    point = replace(POINT, meter=replace(METER, multiplier=Decimal(40)))
    most = most_per_day(point, flat("0.56"), since=EVENING, until=EVENING + QUARTER_HOUR)
    assert most == Decimal("709632")


def test_a_meter_whose_own_bands_are_trusted_may_count_the_dearest_one_at_night():
    # 13.2 kWh an hour × 24 h = 316.8 kWh; at ¥0.30 of the night 95.04, at ¥0.60 of the day 190.08
    by_band = tariff(version([priced(BY_BAND)], DAY_AND_NIGHT))
    night = datetime.fromisoformat("2026-11-21T23:00+08:00")
    trusted = replace(POINT, trusts_meter_bands=True)

    def most(point: ServicePoint) -> Decimal:
        return most_per_day(point, by_band, since=night, until=night + QUARTER_HOUR)

    assert most(POINT) == Decimal("9504")
    assert most(trusted) == Decimal("19008")


def test_the_most_a_day_can_ever_cost_is_that_of_the_dearest_band_of_any_version():
    # 316.8 kWh in 24 hours; the second version's day is the dearest, at ¥0.80: ¥253.44
    dearer = {"peak": "0.8", "valley": "0.2"}
    both = tariff(
        version([priced(BY_BAND)], DAY_AND_NIGHT),
        version([priced(dearer)], DAY_AND_NIGHT, since="2026-07-01T00:00:00+08:00"),
    )
    assert ever_per_day(POINT, both) == Decimal("25344")
    assert ever_per_day(POINT, tariff(version([priced(BY_BAND)], DAY_AND_NIGHT))) == Decimal(
        "19008"
    )


def test_the_shortest_interval_keeps_a_line_at_its_share():
    # 100 meters × 0.5 s = 50 s of line; at half of the line's time every 100 s
    def shortest(share: str) -> timedelta:
        visit = timedelta(milliseconds=500)
        return shortest_interval(points=100, visit=visit, share=Decimal(share))

    assert shortest("0.5") == timedelta(seconds=100)
    assert shortest("1") == timedelta(seconds=50)
    assert shortest("0.3") == timedelta(microseconds=166666667)  # never shorter


# The overdraft bound.

LINE = Line(
    interval=timedelta(seconds=20),
    points=32,
    woken=3,
    visit=timedelta(seconds=2),
    retries=1,
    travel=timedelta(seconds=1),
)


def test_the_bound_is_what_flows_until_the_last_of_a_line_is_off():
    # A visit takes 2 s, or 4 s with its retry. 20 s + 32 × 4 s + (3 + 1) × 4 s + 1 s = 165 s
    assert LINE.round_time == timedelta(seconds=128)
    assert LINE.cut_delay == timedelta(seconds=165)
    # ¥6 an hour for 165 s is 27.5 fen; a step of 0.01 kWh at ¥0.50 and a fen of rounding are 1.5 fen
    bound = overdraft_bound(LINE, per_day=Decimal(600 * 24), unseen=Decimal("1.5"))
    assert bound == Money(29)


def test_the_bound_is_rounded_up():
    # 27.5 fen
    assert overdraft_bound(LINE, per_day=Decimal(600 * 24), unseen=Decimal(0)) == Money(28)


def seconds(least: int, most: int) -> st.SearchStrategy[timedelta]:
    return st.integers(least * 10, most * 10).map(lambda tenths: timedelta(seconds=tenths / 10))


draws = st.builds(Draw, per_day=st.integers(1, 200_000), purse=st.integers(0, 5))
races = st.builds(
    Race,
    draws=st.lists(draws, min_size=1, max_size=8).map(tuple),
    interval=seconds(0, 60),
    settle=seconds(60, 300),
    look=st.integers(1, 30).map(lambda tenths: timedelta(seconds=tenths / 10)),
    visit=seconds(3, 6),
    travel=seconds(0, 30),
    idle=seconds(0, 120),
    lasts=seconds(0, 300),
)


@given(races)
@settings(max_examples=100, deadline=None)
def test_no_adversary_overdraws_a_purse_beyond_the_bound(race: Race):
    for purse, overdraft in worst_overdraft(race).items():
        per_day = sum(draw.per_day for draw in race.draws if draw.purse == purse)
        bound = overdraft_bound(race.line, per_day=Decimal(per_day), unseen=Decimal(1))
        assert overdraft <= bound.fen


A_FEN_A_SECOND = 86_400  # ¥36 an hour


def rooms(points: int, *, interval_s: int, travel_s: int) -> Race:
    """So many rooms, each with a purse that is down to a hundredth of a fen."""
    return Race(
        draws=tuple(Draw(A_FEN_A_SECOND, purse=n) for n in range(points)),
        interval=timedelta(seconds=interval_s),
        settle=QUARTER_HOUR,
        look=timedelta(seconds=0.5),
        visit=timedelta(seconds=4),
        travel=timedelta(seconds=travel_s),
        idle=timedelta(seconds=60),
        lasts=timedelta(seconds=0.01),
    )


def worst_of(race: Race) -> int:
    """The most that any purse is overdrawn, whenever all begin to draw; in fen."""
    starts = range(60, 60 + 2 * (race.interval // timedelta(seconds=1)) + 5, 3)
    idle = (replace(race, idle=timedelta(seconds=start)) for start in starts)
    return ceil(max(max(worst_overdraft(each).values()) for each in idle))


@pytest.mark.parametrize(
    ("points", "interval_s", "travel_s"), [(1, 60, 1), (32, 20, 1), (32, 0, 30), (64, 60, 1)]
)
def test_some_adversary_comes_close_to_the_bound(points: int, interval_s: int, travel_s: int):
    race = rooms(points, interval_s=interval_s, travel_s=travel_s)
    bound = overdraft_bound(race.line, per_day=Decimal(A_FEN_A_SECOND), unseen=Decimal(1))
    assert bound.fen / 2 <= worst_of(race) <= bound.fen


@pytest.mark.parametrize("forgotten", ["interval", "points", "visit", "travel"])
def test_a_bound_that_forgot_something_would_be_broken(forgotten: str):
    race = rooms(16, interval_s=60, travel_s=60)
    less = replace(race.line, **{forgotten: 1 if forgotten == "points" else timedelta(0)})
    bound = overdraft_bound(less, per_day=Decimal(A_FEN_A_SECOND), unseen=Decimal(1))
    assert worst_of(race) > bound.fen


def test_a_drain_is_exact():
    assert isinstance(most_per_day(POINT, flat("0.1"), since=EVENING, until=EVENING), Decimal)
    assert isinstance(due_in("0.60"), timedelta)
    assert isinstance(EVENING + due_in("0.60"), datetime)
