"""How long a meter is waited for: traces of answers and silences, and the wait after each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.lines.patience import Patience, rounds_off

delays = st.floats(0, 5, allow_nan=False)


def heard(*answers: float | None) -> Patience:
    """After answers, each after so many seconds, and silences."""
    patience = Patience(least_s=0.05, most_s=0.5)
    for after_s in answers:
        if after_s is None:
            patience.note_silence()
        else:
            patience.note_answer(after_s)
    return patience


def test_a_meter_is_first_met_with_the_patience_of_the_standard():
    assert heard().wait_s == 0.5


def test_one_answer_is_enough_to_wait_less():
    # 2 × 0.06 + 0.03
    assert heard(0.06).wait_s == pytest.approx(0.15)


def test_the_slowest_of_few_answers_counts():
    # 2 × 0.12 + 0.03
    assert heard(0.03, 0.12, 0.03, 0.03).wait_s == pytest.approx(0.27)


def test_one_slow_answer_of_sixty_four_is_taken_for_an_accident_and_two_are_not():
    # 98 % of 64 are 62.72, so the 63rd of them in order
    assert heard(*[0.06] * 63, 0.20).wait_s == pytest.approx(0.15)
    assert heard(*[0.06] * 62, 0.20, 0.20).wait_s == pytest.approx(0.43)


def test_what_was_long_ago_is_forgotten():
    assert heard(0.4, 0.4, *[0.06] * 64).wait_s == pytest.approx(0.15)


def test_each_time_out_doubles_the_wait_up_to_what_the_standard_allows():
    patience = heard(0.06)
    waits = []
    for _ in range(4):
        patience.note_silence()
        waits.append(round(patience.wait_s, 6))

    assert waits == [0.3, 0.5, 0.5, 0.5]


def test_an_answer_after_a_time_out_ends_the_widening():
    assert heard(0.06, None, 0.06).wait_s == pytest.approx(0.15)


def test_a_meter_that_has_become_slow_is_understood_after_three_time_outs():
    # From 20 ms to 400 ms: waits of 0.07, 0.14 and 0.28 s are too short, the fourth is not.
    patience, missed = heard(*[0.02] * 64), 0
    while patience.wait_s < 0.4:
        patience.note_silence()
        missed += 1

    patience.note_answer(0.4)
    patience.note_answer(0.4)

    assert missed == 3
    assert patience.wait_s == 0.5


def test_line_and_adapter_get_the_time_they_need_however_quick_the_meter_is():
    assert heard(0.001).wait_s == 0.05


@given(st.lists(st.one_of(delays, st.none()), max_size=200))
def test_the_wait_stays_between_what_the_line_needs_and_what_the_standard_allows(trace):
    for length in range(len(trace) + 1):
        assert 0.05 <= heard(*trace[:length]).wait_s <= 0.5


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=49))
def test_a_meter_that_answers_as_it_has_is_not_given_up(trace):
    # Up to 49 answers none is set aside.
    assert heard(*trace).wait_s > max(trace)


@given(st.lists(st.sampled_from([0.0, 0.01, 0.02, 0.03, 0.5]), min_size=100, max_size=160))
def test_what_is_usual_is_what_all_but_the_slowest_of_the_last_sixty_four_kept_within(trace):
    patience = heard(*trace)

    # 98 % of 64 are 62.7: the 63rd of the last 64, in order.
    assert patience.usual_s == sorted(trace[-64:])[62]


def test_a_silent_meter_is_left_alone_for_twice_as_many_rounds_each_time_up_to_32():
    assert [rounds_off(misses) for misses in range(1, 9)] == [1, 2, 4, 8, 16, 32, 32, 32]
    assert rounds_off(10**6) == 32


def test_a_meter_that_has_not_missed_is_not_left_alone():
    with pytest.raises(ValueError, match="not missed"):
        rounds_off(0)
