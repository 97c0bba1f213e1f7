"""Power comes back to a building: who notices, and who is given back when."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from edge.clocks.power_return import PowerReturn

ONE, TWO, THREE = (UUID(int=n) for n in (1, 2, 3))


def test_a_machine_that_has_only_just_been_started_came_with_the_power():
    power = PowerReturn(now=100.0, machine_s=45.0)

    assert power.ago(160.0) == timedelta(minutes=1)


def test_a_program_that_is_started_on_a_machine_that_has_run_for_long_did_not():
    assert PowerReturn(now=100.0, machine_s=601.0).ago(160.0) is None
    assert PowerReturn(now=100.0, machine_s=None).ago(160.0) is None


def test_all_meters_silent_and_one_that_answers_again_is_power_that_came_back():
    power = PowerReturn(now=0.0, machine_s=None)
    for point in (ONE, TWO, THREE):
        power.went_silent(point, of=3)

    assert power.answered(TWO, 500.0)
    assert not power.answered(ONE, 510.0)

    assert power.ago(530.0) == timedelta(seconds=30)


def test_a_line_that_is_away_while_others_answer_is_no_power_cut():
    power = PowerReturn(now=0.0, machine_s=None)
    power.went_silent(ONE, of=3)
    power.went_silent(TWO, of=3)

    assert not power.answered(ONE, 500.0)

    assert power.ago(530.0) is None


def test_the_only_meter_of_a_gateway_proves_nothing_by_its_silence():
    power = PowerReturn(now=0.0, machine_s=None)
    power.went_silent(ONE, of=1)

    power.answered(ONE, 500.0)

    assert power.ago(500.0) is None


def test_places_are_given_in_the_order_in_which_they_are_asked_for_and_kept():
    power = PowerReturn(now=0.0, machine_s=10.0)

    assert [power.place(point) for point in (TWO, ONE, TWO, THREE)] == [0, 1, 0, 2]


def test_an_hour_later_nobody_waits_and_the_next_power_cut_begins_from_the_first_place():
    power = PowerReturn(now=0.0, machine_s=10.0)
    power.place(ONE)
    power.place(TWO)

    assert power.ago(3601.0) is None
    assert power.place(TWO) == 0
