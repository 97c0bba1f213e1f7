from datetime import timedelta
from decimal import Decimal

from prepaid.deadline import next_read
from prepaid.money import Money
from tests.prepaid.values import EVENING

QUARTER_HOUR = timedelta(minutes=15)


def due_in(balance: str) -> timedelta:
    due = next_read(
        Money.yuan(balance),
        highest_price=Decimal("0.50"),
        max_per_hour=Decimal("12"),
        now=EVENING,
        at_most=QUARTER_HOUR,
    )
    return due - EVENING


def test_a_meter_is_read_before_its_purse_can_run_out():
    # ¥0.50 × 12 kWh/h is ¥6 an hour: ¥0.60 lasts 6 minutes at the least
    assert due_in("0.60") == timedelta(minutes=6)


def test_a_full_purse_is_visited_once_each_interval():
    assert due_in("1000") == QUARTER_HOUR


def test_an_empty_purse_does_not_keep_the_line_busy():
    assert due_in("0") == due_in("-3") == QUARTER_HOUR
