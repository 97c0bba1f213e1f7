"""What supply a service point should have, rule by rule (docs/supply.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from prepaid.calendar import Calendar, DayKind, Hours
from prepaid.money import Money
from prepaid.point import EmergencyCredit, Policy, Restore
from prepaid.quiet import Quiet
from prepaid.reading import Supply
from prepaid.supply import Desired, Override, Why, desired, is_satisfied
from tests.prepaid.situations import A_MINUTE, knowing, pinned
from tests.prepaid.values import EVENING

SHANGHAI = ZoneInfo("Asia/Shanghai")
MONEY = {"overdraft": Money.yuan("5"), "emergency": EmergencyCredit(Money.yuan("10"), Money(200))}


# What money wants.


def test_a_purse_in_credit_is_supplied_and_an_empty_one_is_not():
    policy = Policy()
    assert desired(policy, knowing("0.01")) == Desired(Supply.ON, Why.CREDIT)
    assert desired(policy, knowing("0")) == Desired(Supply.OFF, Why.NO_CREDIT)
    assert desired(policy, knowing("-0.01")) == Desired(Supply.OFF, Why.NO_CREDIT)


def test_supply_is_cut_at_the_level_the_policy_names():
    policy = Policy(cut_at=Money.yuan("-20"))
    assert desired(policy, knowing("-19.99")).supply is Supply.ON
    assert desired(policy, knowing("-20")).supply is Supply.OFF


def test_an_overdraft_supplies_below_the_cut_level_and_says_so():
    policy = Policy(overdraft=Money.yuan("5"))
    assert desired(policy, knowing("0.01")).why is Why.CREDIT
    assert desired(policy, knowing("0")) == Desired(Supply.ON, Why.OVERDRAFT)
    assert desired(policy, knowing("-4.99")) == Desired(Supply.ON, Why.OVERDRAFT)
    assert desired(policy, knowing("-5")) == Desired(Supply.OFF, Why.NO_CREDIT)


def test_emergency_credit_supplies_once_the_customer_has_taken_it():
    policy = Policy(**MONEY)  # cut at -5; with emergency credit at -15
    assert desired(policy, knowing("-5")) == Desired(Supply.OFF, Why.NO_CREDIT)
    taken = knowing("-5", is_emergency_taken=True)
    assert desired(policy, taken) == Desired(Supply.ON, Why.EMERGENCY)
    assert desired(policy, replace(taken, available=Money.yuan("-14.99"))).supply is Supply.ON
    assert desired(policy, replace(taken, available=Money.yuan("-15"))).why is Why.NO_CREDIT


def test_automatic_emergency_credit_is_not_asked_for():
    policy = Policy(emergency=EmergencyCredit(Money.yuan("10"), Money(200), is_automatic=True))
    assert desired(policy, knowing("0")) == Desired(Supply.ON, Why.EMERGENCY)
    assert desired(policy, knowing("-10")) == Desired(Supply.OFF, Why.NO_CREDIT)


# What people and evidence want.


def test_a_protected_point_is_never_cut():
    policy = Policy(is_protected=True)
    for cut in (knowing("-1000"), knowing("-1000", overrides=(pinned(Supply.OFF),))):
        assert desired(policy, cut) == Desired(Supply.ON, Why.PROTECTED)


def test_a_protection_ends_when_it_was_said_to_and_never_by_a_doubtful_clock():
    policy = Policy(is_protected=True, protected_until=EVENING)
    assert desired(policy, knowing("0", now=EVENING - A_MINUTE)).why is Why.PROTECTED
    assert desired(policy, knowing("0")) == Desired(Supply.OFF, Why.NO_CREDIT)
    assert desired(policy, knowing("0", is_clock_trusted=False)).why is Why.PROTECTED


def test_an_operator_cuts_off_in_spite_of_credit_doubt_quiet_hours_and_brake():
    forced = knowing(
        "20", overrides=(pinned(Supply.OFF),), is_held=True, is_braked=True, agreeing=0
    )
    want = desired(Policy(quiet=ALWAYS), forced)
    assert want == Desired(Supply.OFF, Why.FORCED_OFF, again_in=A_MINUTE)


def test_an_operator_keeps_supplied_in_spite_of_an_empty_purse_and_doubt():
    kept = knowing("-9", overrides=(pinned(Supply.ON),), is_held=True)
    assert desired(Policy(), kept) == Desired(Supply.ON, Why.KEPT, again_in=A_MINUTE)


def test_the_last_override_that_has_not_ended_counts():
    over, off, on = (
        pinned(Supply.ON, ends_in=timedelta(0)),
        pinned(Supply.OFF),
        pinned(Supply.ON),
    )
    assert desired(Policy(), knowing("9", overrides=(off, on))).why is Why.KEPT
    assert desired(Policy(), knowing("9", overrides=(on, off))).why is Why.FORCED_OFF
    assert desired(Policy(), knowing("9", overrides=(off, over))).why is Why.FORCED_OFF
    assert desired(Policy(), knowing("9", overrides=(over,))).why is Why.CREDIT


@pytest.mark.parametrize("seen", list(Supply))
def test_by_a_doubtful_clock_a_line_cut_off_by_hand_is_neither_cut_nor_restored(seen: Supply):
    # Somebody may be at work on it, or the cut may be long over.
    doubtful = knowing("20", overrides=(pinned(Supply.OFF),), is_clock_trusted=False, seen=seen)
    assert desired(Policy(), doubtful) == Desired(None, Why.CLOCK, is_alarm=True)


def test_by_a_doubtful_clock_what_an_operator_keeps_supplied_stays_supplied():
    on = pinned(Supply.ON, ends_in=-A_MINUTE)
    doubtful = knowing("-9", overrides=(on,), is_clock_trusted=False)
    assert desired(Policy(), doubtful) == Desired(Supply.ON, Why.KEPT)


def test_an_override_pins_on_or_off_until_an_instant():
    with pytest.raises(ValueError, match="ON or OFF"):
        pinned(Supply.ARMED)
    with pytest.raises(ValueError, match="time zone"):
        Override(Supply.OFF, datetime(2026, 11, 21), by="", why="")  # noqa: DTZ001


def test_nothing_is_switched_on_evidence_in_doubt():
    for yuan in ("-1", "20"):
        want = desired(Policy(), knowing(yuan, is_held=True))
        assert want == Desired(None, Why.HELD, is_alarm=True)
        assert all(is_satisfied(want, seen, Restore.DIRECT, has_switch=True) for seen in Supply)


def test_nothing_is_switched_where_nothing_can_be_charged():
    want = desired(Policy(), knowing("-1", has_tariff=False))
    assert want == Desired(None, Why.NO_TARIFF, is_alarm=True)


# F1.10, F1.3: the customer is told before.


def test_no_cut_sooner_after_the_final_alarm_than_the_notice():
    policy = Policy(notice=timedelta(minutes=30))
    never, lately = knowing("0"), knowing("0", warned_ago=timedelta(minutes=29))
    assert desired(policy, never) == Desired(None, Why.NOT_WARNED, again_in=timedelta(minutes=30))
    assert desired(policy, lately) == Desired(None, Why.NOT_WARNED, again_in=A_MINUTE)
    assert desired(policy, replace(lately, warned_ago=policy.notice)).supply is Supply.OFF


# F1.11, F1.14: quiet times.

# Mondays to Saturdays from 18:00 to 11:00, all Sundays and holidays
FRIENDLY = Quiet(
    Calendar("Asia/Shanghai", frozenset({date(2026, 10, 1)})),
    (
        Hours(18 * 60, 11 * 60),
        Hours(0, 24 * 60, days=frozenset({7})),
        Hours(0, 24 * 60, days=DayKind.HOLIDAY),
    ),
    days=frozenset({date(2026, 6, 8)}),  # an examination, on a Monday
)
ALWAYS = Quiet(Calendar("Asia/Shanghai"), (Hours(0, 24 * 60),))


def at(local: str) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2026-11-20 17:59:59", None),  # a Friday afternoon
        ("2026-11-20 18:00", "2026-11-21 11:00"),
        ("2026-11-21 10:59:59", "2026-11-21 11:00"),
        ("2026-11-21 11:00", None),  # half-open
        ("2026-11-21 23:00", "2026-11-23 11:00"),  # Saturday night, through all of Sunday
        ("2026-09-30 20:00", "2026-10-02 11:00"),  # over the holiday
        ("2026-06-08 14:00", "2026-06-09 11:00"),  # the day of the examination
    ],
)
def test_nobody_is_cut_for_want_of_credit_in_quiet_times(now: str, ends: str | None):
    want = desired(Policy(quiet=FRIENDLY), knowing("-3", now=at(now)))
    if ends is None:
        assert want == Desired(Supply.OFF, Why.NO_CREDIT)
    else:
        assert want == Desired(
            None, Why.QUIET, again_in=at(ends).astimezone(EVENING.tzinfo) - at(now)
        )


def test_a_top_up_just_before_the_end_of_a_quiet_time_prevents_the_cut():
    policy, end = Policy(quiet=FRIENDLY), at("2026-11-20 11:00")
    # 10:59: ¥3 owed, nothing is cut. Then ¥20 is paid; at 11:00 it is decided anew from ¥17.
    assert desired(policy, knowing("-3", now=end - A_MINUTE)).why is Why.QUIET
    assert desired(policy, knowing("17", now=end)) == Desired(Supply.ON, Why.CREDIT)
    assert desired(policy, knowing("-3", now=end)).supply is Supply.OFF


def test_a_quiet_time_does_not_restore_whom_it_came_too_late_for():
    off = knowing("-3", now=at("2026-11-20 18:00"), seen=Supply.OFF)
    assert desired(Policy(quiet=FRIENDLY), off) == Desired(Supply.OFF, Why.NO_CREDIT)


def test_a_quiet_time_without_end_is_looked_at_again_after_a_month():
    want = desired(Policy(quiet=ALWAYS), knowing("-3"))
    assert want == Desired(None, Why.QUIET, again_in=timedelta(days=31))


def test_a_quiet_hour_that_daylight_saving_repeats_is_quiet_twice():
    # Berlin, 25 October 2026: 02:00 to 03:00 comes twice, first at 00:00 UTC
    quiet = Quiet(Calendar("Europe/Berlin"), (Hours(2 * 60, 3 * 60),))
    first = datetime(2026, 10, 25, 0, 30, tzinfo=EVENING.tzinfo)
    assert quiet.until(first) == first + timedelta(minutes=90)
    assert quiet.until(first + timedelta(minutes=90)) is None


# F1.17: only on fresh evidence.


def test_a_doubtful_clock_counts_as_a_quiet_time_wherever_quiet_times_are_or_not():
    for policy in (Policy(), Policy(quiet=FRIENDLY)):
        want = desired(policy, knowing("-3", is_clock_trusted=False))
        assert want == Desired(None, Why.CLOCK, is_alarm=True)


def test_a_cut_needs_a_fresh_reading():
    policy = Policy(fresh_for=timedelta(minutes=5))
    stale = Desired(None, Why.STALE, again_in=timedelta(0), is_alarm=True)
    assert desired(policy, knowing("0", read_ago=None)) == stale
    assert desired(policy, knowing("0", read_ago=timedelta(minutes=5, seconds=1))) == stale
    assert desired(policy, knowing("0", read_ago=timedelta(minutes=5))).supply is Supply.OFF


def test_a_cut_needs_two_readings_that_agree():
    once_more = Desired(None, Why.UNCONFIRMED, again_in=timedelta(0))
    assert desired(Policy(), knowing("0", agreeing=1)) == once_more
    assert desired(Policy(), knowing("0", agreeing=2)).supply is Supply.OFF


def test_to_restore_needs_no_evidence_but_credit():
    blind = knowing("20", seen=Supply.OFF, read_ago=None, agreeing=0, is_clock_trusted=False)
    assert desired(Policy(), replace(blind, is_braked=True)).supply is Supply.ON


# F1.16: not under a big current.


def test_no_cut_under_a_big_current_is_tried_again_and_told_after_some_tries():
    policy = Policy(max_cut_current_a=Decimal(30), current_again=A_MINUTE, current_tries=5)
    big = knowing("0", current_a=Decimal("30.001"))
    assert desired(policy, big) == Desired(None, Why.CURRENT, again_in=A_MINUTE)
    assert not desired(policy, replace(big, put_off=4)).is_alarm
    assert desired(policy, replace(big, put_off=5)).is_alarm
    assert desired(policy, replace(big, current_a=Decimal(30))).supply is Supply.OFF


def test_a_big_current_that_is_fed_back_is_big_too():
    fed_back = knowing("0", current_a=Decimal("-30.001"))
    assert desired(Policy(), fed_back).why is Why.CURRENT
    assert desired(Policy(), replace(fed_back, current_a=Decimal(-30))).supply is Supply.OFF


def test_a_current_that_is_no_number_cannot_be_said():
    with pytest.raises(ValueError, match="a current is a number"):
        knowing("0", current_a=Decimal("NaN"))


def test_an_operator_does_not_cut_under_a_big_current_either():
    big = knowing("20", current_a=Decimal(31), overrides=(pinned(Supply.OFF),))
    assert desired(Policy(), big).why is Why.CURRENT
    assert desired(Policy(max_cut_current_a=None), big).why is Why.FORCED_OFF


# The brake and the pace of the switch.


def test_a_braked_site_cuts_nobody_of_itself():
    want = desired(Policy(), knowing("0", is_braked=True))
    assert want == Desired(None, Why.BRAKED, is_alarm=True)


@pytest.mark.parametrize(("yuan", "seen"), [("0", Supply.ON), ("20", Supply.OFF)])
def test_a_switch_rests_between_two_movements(yuan: str, seen: Supply):
    policy = Policy(dwell=timedelta(seconds=10))
    moved = knowing(yuan, seen=seen, switched_ago=timedelta(seconds=7))
    assert desired(policy, moved) == Desired(None, Why.DWELL, again_in=timedelta(seconds=3))
    assert desired(policy, replace(moved, switched_ago=policy.dwell)).supply is not None


def test_a_supply_that_is_as_wanted_has_nothing_to_wait_for():
    moved = knowing("0", seen=Supply.OFF, switched_ago=timedelta(0), agreeing=0, is_braked=True)
    assert desired(Policy(), moved) == Desired(Supply.OFF, Why.NO_CREDIT)


# F.2: giving back.


def test_supplies_return_one_after_another_when_power_is_back_in_the_building():
    policy = Policy(stagger=timedelta(seconds=2))
    third = knowing("20", seen=Supply.OFF, place=2, power_back_ago=timedelta(seconds=1))
    # The third comes 2 × 2 s after the power, of which 1 s has passed.
    assert desired(policy, third) == Desired(None, Why.STAGGERED, again_in=timedelta(seconds=3))
    assert desired(policy, replace(third, place=0)).supply is Supply.ON
    assert desired(policy, replace(third, power_back_ago=timedelta(seconds=4))).supply is Supply.ON
    assert desired(policy, replace(third, seen=Supply.ON)) == Desired(Supply.ON, Why.CREDIT)


def test_water_that_was_off_for_long_is_given_back_when_the_taps_are_said_to_be_closed():
    policy = Policy(ask_after=timedelta(days=7), restore=Restore.DIRECT)
    long = knowing("20", seen=Supply.OFF, off_for=timedelta(days=8))
    assert desired(policy, long) == Desired(None, Why.TAPS)
    assert desired(policy, replace(long, off_for=None)) == Desired(None, Why.TAPS)
    assert desired(policy, replace(long, are_taps_closed=True)).supply is Supply.ON
    assert desired(policy, replace(long, off_for=timedelta(days=7))).supply is Supply.ON
    assert desired(Policy(), long).supply is Supply.ON


def test_a_leak_shuts_off_whoever_has_credit_until_the_taps_are_said_to_be_closed():
    policy = Policy(restore=Restore.DIRECT)
    leaking = knowing("20", is_leaking=True)
    assert desired(policy, leaking) == Desired(Supply.OFF, Why.LEAK, is_alarm=True)
    assert desired(policy, replace(leaking, seen=Supply.OFF)).why is Why.LEAK
    assert desired(policy, replace(leaking, vacant=Supply.ON, seen=Supply.ON)).why is Why.LEAK
    answered = replace(leaking, seen=Supply.OFF, are_taps_closed=True)
    assert desired(policy, answered) == Desired(Supply.ON, Why.CREDIT)
    assert desired(policy, replace(answered, available=Money(0))).why is Why.NO_CREDIT
    # It asks neither for a second reading nor for the time, and the brake does not count it; the dwell holds it.
    for nothing in ({"agreeing": 0}, {"is_clock_trusted": False}, {"is_braked": True}):
        assert desired(policy, replace(leaking, **nothing)).why is Why.LEAK
    moved = replace(leaking, switched_ago=timedelta(seconds=1))
    assert desired(policy, moved).why is Why.DWELL


def test_a_leak_shuts_off_nobody_who_is_protected_or_kept_supplied():
    leaking = knowing("20", is_leaking=True)
    assert desired(Policy(is_protected=True), leaking).why is Why.PROTECTED
    kept = replace(leaking, overrides=(pinned(Supply.ON),))
    assert desired(Policy(), kept).why is Why.KEPT


@pytest.mark.parametrize(
    ("want", "seen", "restore", "done"),
    [
        (Supply.ON, Supply.ON, Restore.ALLOW_CLOSE, True),
        (Supply.ON, Supply.ARMED, Restore.ALLOW_CLOSE, True),  # the customer's button is next
        (Supply.ON, Supply.ARMED, Restore.DIRECT, False),
        (Supply.ON, Supply.OFF, Restore.ALLOW_CLOSE, False),
        (Supply.OFF, Supply.ARMED, Restore.ALLOW_CLOSE, False),  # could be closed without credit
        (Supply.OFF, Supply.ON, Restore.DIRECT, False),
        (Supply.OFF, Supply.OFF, Restore.DIRECT, True),
        (Supply.OFF, None, Restore.DIRECT, False),  # a supply that cannot be seen
        (Supply.ON, None, Restore.ALLOW_CLOSE, False),
    ],
)
def test_what_is_left_to_do(want: Supply, seen: Supply | None, restore: Restore, done: bool):
    assert is_satisfied(Desired(want, Why.CREDIT), seen, restore, has_switch=True) is done


def test_a_meter_without_a_switch_is_left_alone():
    want = Desired(Supply.OFF, Why.NO_CREDIT)
    assert is_satisfied(want, None, Restore.DIRECT, has_switch=False)
    without = knowing("0", has_switch=False, seen=None, agreeing=1, is_clock_trusted=False)
    assert desired(Policy(), without) == want  # shown, never commanded: nothing to read twice for


# The policy.


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"alarm_at": Money.yuan("2")}, "must not rise"),
        ({"cut_at": Money.yuan("4")}, "must not rise"),
        ({"overdraft": Money(-1)}, "overdraft"),
        ({"emergency": EmergencyCredit(Money(0), Money(200))}, "more than nothing"),
        ({"emergency": EmergencyCredit(Money(1), Money(-1))}, "offered"),
        ({"dwell": timedelta(seconds=-1)}, "dwell"),
        ({"notice": timedelta(days=-1)}, "notice"),
        ({"ask_after": timedelta(days=-1)}, "ask_after"),
        ({"current_tries": -1}, "current_tries"),
        ({"max_cut_current_a": Decimal(0)}, "max_cut_current_a"),
        ({"leak_per_hour": Decimal(0)}, "leak_per_hour"),
        ({"protected_until": datetime(2026, 11, 21)}, "time zone"),  # noqa: DTZ001
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(fault: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        Policy(**fault)


def test_a_policy_is_the_same_after_the_wire_and_an_older_one_takes_the_defaults():
    wire = TypeAdapter(Policy)
    policy = Policy(quiet=FRIENDLY, ask_after=timedelta(days=7), **MONEY)
    assert wire.validate_json(wire.dump_json(policy)) == policy
    older = '{"alarm_at": {"fen": 1000}, "cut_at": {"fen": 0}, "restore": "allow-close"}'
    assert wire.validate_json(older) == Policy()


@pytest.mark.parametrize("zone", ["Mars", "Asia"])  # "Asia" is a folder of zones
def test_quiet_hours_of_a_zone_that_does_not_exist_are_refused(zone: str):
    wire = TypeAdapter(Policy)
    policy = wire.dump_json(Policy(quiet=FRIENDLY, **MONEY))
    with pytest.raises(ValidationError, match=f"no time zone called {zone}"):
        wire.validate_json(policy.replace(b"Asia/Shanghai", zone.encode()))
