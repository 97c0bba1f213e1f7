from datetime import timedelta
from decimal import Decimal

import pytest

from prepaid.reading import Implausible, Reading, advance
from tests.prepaid.values import EVENING, METER, read


def moved(before: Reading, after: Reading, elapsed: timedelta | None = None) -> Decimal:
    return advance(
        before,
        after,
        digits=METER.digits,
        step=METER.step,
        max_per_hour=METER.max_per_hour,
        elapsed=after.at - before.at if elapsed is None else elapsed,
    )


def test_the_quantity_is_the_difference_of_two_registers():
    assert moved(read("100.00"), read("101.25", after_s=3600)) == Decimal("1.25")


def test_a_register_that_stands_still_has_moved_nothing():
    assert moved(read("100.00"), read("100.00", after_s=1)) == 0


def test_a_register_rolls_over_at_its_last_digit():
    # 999999.50 → 1000000.00 is 0.50; then 0.25 more
    assert moved(read("999999.50"), read("0.25", after_s=3600)) == Decimal("0.75")


def test_a_register_that_goes_back_is_implausible():
    with pytest.raises(Implausible, match="went back"):
        moved(read("100.00"), read("99.99", after_s=3600))


def test_a_register_that_outruns_the_meter_is_implausible():
    # 13.2 kWh in an hour at most, and a step at each end: 13.22
    assert moved(read("100.00"), read("113.22", after_s=3600)) == Decimal("13.22")
    with pytest.raises(Implausible, match="at most"):
        moved(read("100.00"), read("113.23", after_s=3600))


def test_another_meters_answer_is_implausible():
    stranger = Reading("000000000001", EVENING + timedelta(hours=1), Decimal("100.10"), None)
    with pytest.raises(Implausible, match="in place of"):
        moved(read("100.00"), stranger)


def test_a_clock_that_jumps_does_not_make_a_reading_implausible():
    # The wall clock went back by a day; by a clock that does not jump, an hour passed.
    assert moved(read("100.00", after_s=86_400), read("101.00"), timedelta(hours=1)) == 1
