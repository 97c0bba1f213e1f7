"""The brake on mass cuts."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.brake import Brake
from tests.prepaid.values import EVENING


def cut(brake: Brake, points: range, *, after: timedelta = timedelta(0)) -> Brake:
    """The brake after these points were about to be cut, a second apart."""
    for number in points:
        brake = brake.note_cut(UUID(int=number), EVENING + after + timedelta(seconds=number))
    return brake


@pytest.mark.parametrize(
    ("points", "allowed"),
    [
        (10, 5),  # 5 % are half a point, but 5 are always allowed
        (100, 5),
        (119, 5),  # 5.95
        (120, 6),
        (2000, 100),
    ],
)
def test_more_than_five_and_more_than_five_percent_of_a_site_are_not_cut_at_once(
    points: int, allowed: int
):
    assert not cut(Brake(points), range(allowed)).is_on
    assert cut(Brake(points), range(allowed + 1)).is_on


def test_cuts_ten_minutes_ago_count_no_longer():
    brake = cut(Brake(100), range(5))
    early = cut(brake, range(5, 6), after=timedelta(minutes=9, seconds=54))  # the first is 9:59 ago
    assert early.is_on
    assert not cut(brake, range(5, 6), after=timedelta(minutes=9, seconds=55)).is_on


def test_a_cut_that_is_tried_again_counts_once():
    brake = cut(Brake(100), range(5))
    for _ in range(20):
        brake = cut(brake, range(5))
    assert not brake.is_on


def test_only_a_person_releases_the_brake_and_counting_begins_anew():
    pulled = cut(Brake(100), range(6))
    assert pulled.pulled_at == EVENING + timedelta(seconds=5)
    assert cut(pulled, range(6, 7), after=timedelta(days=30)) == pulled
    released = pulled.released()
    assert not cut(released, range(5)).is_on
    assert cut(released, range(6)).is_on


@given(
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300)), max_size=60),
)
def test_never_more_than_the_limit_are_cut_within_ten_minutes(
    points: int, wishes: list[tuple[int, int]]
):
    brake, now, made = Brake(points), EVENING, []
    for number, wait_s in wishes:
        now += timedelta(seconds=wait_s)
        brake = brake.note_cut(UUID(int=number), now)
        if brake.is_on:
            break
        made.append((number, now))
    for _, at in made:
        lately = {n for n, when in made if at - timedelta(minutes=10) < when <= at}
        assert len(lately) <= max(5, points / 20)
