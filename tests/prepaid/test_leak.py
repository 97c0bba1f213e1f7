"""When water that runs after a valve was opened is a leak. 1 m3 an hour is allowed: 16.7 litres a minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from prepaid.leak import Leak, Look, Watch, follow
from prepaid.point import Meter
from tests.edge.simulated import WATER
from tests.prepaid.values import read

LITRES = replace(WATER.meter, step=Decimal("0.001"))
TENS = replace(WATER.meter, step=Decimal("0.01"))
HUNDREDS = replace(WATER.meter, step=Decimal("0.1"))
ONE = Decimal(1)


def watched(meter: Meter, totals: Sequence[str], *, each_s: float = 60) -> Watch | Leak | None:
    """What comes of a valve opened at 0 s whose register shows these totals, the first at 0 s too."""
    found: Watch | Leak | None = Watch(timedelta(0))
    for number, total in enumerate(totals):
        assert isinstance(found, Watch)
        reading = replace(read(total), meter_no=meter.meter_no)
        look = Look(reading, timedelta(seconds=number * each_s))
        found = follow(found, look, meter, most_per_hour=ONE)
    return found


def test_twenty_litres_a_minute_for_three_minutes_are_a_leak():
    # 60 litres are shown; one may have been nearly full before: 59 are certain, and 3 minutes allow 50.
    found = watched(LITRES, ["10.000", "10.020", "10.040", "10.060"])
    assert found == Leak(Decimal("0.059"), timedelta(minutes=3))


def test_two_minutes_of_it_are_not_yet_and_a_shower_of_twelve_litres_a_minute_never():
    assert isinstance(watched(LITRES, ["10.000", "10.020", "10.040"]), Watch)
    shower = [f"10.{12 * minute:03}" for minute in range(11)]
    assert isinstance(watched(LITRES, shower), Watch)
    # In the eleventh minute it is watched no more.
    assert watched(LITRES, [*shower, "10.132"]) is None


def test_a_minute_without_flow_begins_it_anew():
    # A bucket and a cistern, 80 litres in all: 40, 0, 40, and 20 more.
    assert isinstance(watched(LITRES, ["10.000", "10.040", "10.040", "10.080", "10.100"]), Watch)


def test_a_register_of_ten_litres_shows_it_as_well_and_is_given_a_step_of_doubt():
    # 60 shown are 50 at the least, which 3 minutes allow; in the fourth they are 80, and 67 are allowed.
    assert isinstance(watched(TENS, ["10.00", "10.02", "10.04", "10.06"]), Watch)
    found = watched(TENS, ["10.00", "10.02", "10.04", "10.06", "10.09"])
    assert found == Leak(Decimal("0.08"), timedelta(minutes=4))


def test_a_register_of_a_hundred_litres_shows_a_burst_pipe_and_nothing_less():
    # 40 litres a minute: at 5 minutes 200 are shown, 100 certain, and 83 allowed.
    found = watched(HUNDREDS, ["10.0", "10.0", "10.0", "10.1", "10.1", "10.2"])
    assert found == Leak(Decimal("0.1"), timedelta(minutes=5))
    # 20 litres a minute: 200 in 10 minutes, 100 certain, and 167 allowed.
    assert isinstance(watched(HUNDREDS, [f"10.{minute // 5}" for minute in range(11)]), Watch)


def test_looks_in_quick_succession_say_nothing_by_themselves():
    # 59 looks a second apart while 200 litres run, then nothing: no minute without flow was seen yet, nor three with.
    assert isinstance(watched(LITRES, ["10.000", *["10.200"] * 58], each_s=1), Watch)


def test_the_multiplier_counts_and_so_does_a_register_that_rolls_over():
    # 6 litres a minute on the dial, times 10: 60, and the step 10; 180 - 10 at the least.
    times_ten = replace(LITRES, multiplier=Decimal(10))
    found = watched(times_ten, ["999999.990", "999999.996", "0.002", "0.008"])
    assert found == Leak(Decimal("0.170"), timedelta(minutes=3))


def test_another_meter_in_its_place_is_followed_from_its_own_register():
    before = watched(LITRES, ["10.000", "10.020"])
    assert isinstance(before, Watch)
    other = Look(replace(read("500.000"), meter_no="1"), timedelta(minutes=3))
    assert follow(before, other, LITRES, most_per_hour=ONE) == replace(
        before, since=other, last=other
    )


@pytest.mark.parametrize("late_s", [60, 240, 599])
def test_a_line_that_is_late_changes_what_a_look_covers_and_nothing_else(late_s: int):
    # At 18 litres a minute, 0.3 a second: rounded down to the litre shown.
    totals = ["10.000", f"{Decimal(10) + Decimal(late_s * 3 // 10) / 1000}"]
    assert isinstance(watched(LITRES, totals, each_s=late_s), Leak) is (late_s >= 240)
