"""Which time is believed of several that are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clocks.trust import Rules, Source, Told, weigh
from edge.clocks.witness import Quorum, Witness, agreed

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
RULES = Rules()


def told(source: Source, *, ahead_s: float = 0, error_s: float = 1, tick: float = 0) -> Told:
    """What a source says at a tick, so many seconds ahead of the truth: noon, and the ticks since."""
    at = NOON + timedelta(seconds=tick + ahead_s)
    return Told(source, at, tick, timedelta(seconds=error_s))


def after(*words: Told, floor: datetime | None = None) -> Told | None:
    known = None
    for word in words:
        known = weigh(known, word, floor=floor, rules=RULES).known
    return known


def test_what_was_told_is_held_over_by_the_clock_that_does_not_jump_and_grows_less_certain():
    word = told(Source.CLOUD)

    # 30 days are 2 592 000 s; 100 millionths of them 259.2 s, and 1 s at the start.
    month = 30 * 86400.0
    assert word.at_tick(month) == NOON + timedelta(days=30)
    assert word.error_at(month, RULES) == timedelta(seconds=260.2)
    assert word.error_at(month, RULES) < RULES.most_error


def test_a_machine_whose_clock_is_kept_is_believed_before_the_cloud():
    system = told(Source.SYSTEM, tick=10)

    assert after(told(Source.CLOUD, error_s=0.5), system) == system
    assert after(system, told(Source.CLOUD, error_s=0.5, tick=11)) == system


def test_once_nobody_keeps_the_machines_clock_the_cloud_counts_as_soon_as_it_is_more_certain():
    system = told(Source.SYSTEM, error_s=1)
    # After 10 000 s the held-over time is right to within 1 + 1 s.
    cloud = told(Source.CLOUD, error_s=1.5, tick=10_000)

    assert after(system, told(Source.CLOUD, error_s=1.5, tick=1_000)) == system
    assert after(system, cloud) == cloud


def test_the_cloud_corrects_what_is_only_held_over():
    system = told(Source.SYSTEM, ahead_s=3600)
    cloud = told(Source.CLOUD, tick=600)

    weighed = weigh(system, cloud, floor=None, rules=RULES)

    assert weighed.known == cloud
    assert weighed.remark is not None


def test_the_cloud_does_not_overthrow_a_machines_clock_that_is_being_kept_but_it_is_told():
    system = told(Source.SYSTEM, ahead_s=3600)

    weighed = weigh(system, told(Source.CLOUD, tick=5), floor=None, rules=RULES)

    assert weighed.known == system
    assert weighed.remark is not None


def test_meters_overthrow_nothing_that_is_certain_enough():
    cloud = told(Source.CLOUD)

    assert after(cloud, told(Source.METERS, ahead_s=600, error_s=62, tick=86400)) == cloud


def test_meters_are_believed_where_what_was_known_is_too_long_ago():
    cloud = told(Source.CLOUD)
    # After 40 days 3 456 000 s × 100 millionths + 1 s = 346.6 s, more than 5 minutes.
    meters = told(Source.METERS, error_s=62, tick=40 * 86400)

    assert after(cloud, meters) == meters


def test_meters_that_agree_with_what_is_known_make_it_certain_again():
    cloud = told(Source.CLOUD)
    # After 10 days 864 000 s × 100 millionths + 1 s = 87.4 s, more than the meters' 62 s.
    meters = told(Source.METERS, ahead_s=30, error_s=62, tick=10 * 86400)

    assert after(cloud, meters) == meters


@pytest.mark.parametrize("source", [Source.SYSTEM, Source.METERS])
def test_no_source_but_the_cloud_can_say_that_time_has_gone_back(source: Source):
    floor = NOON + timedelta(minutes=11)  # 10 are allowed

    assert after(told(source), floor=floor) is None
    assert after(told(source), floor=NOON + timedelta(minutes=9)) is not None
    assert after(told(Source.CLOUD), floor=floor) is not None


def test_a_limit_below_nothing_is_refused():
    with pytest.raises(ValueError, match="no such rules"):
        Rules(most_error=timedelta(0))
    with pytest.raises(ValueError, match="no quorum"):
        Quorum(least=1)


# Meters as witnesses.


def shown(*seconds: float) -> list[Witness]:
    """Meters, each read a second after the one before, whose clocks are ahead by so much."""
    return [
        Witness(str(n), NOON + timedelta(seconds=n + ahead_s), float(n))
        for n, ahead_s in enumerate(seconds)
    ]


def test_two_meters_that_agree_tell_the_time():
    word = agreed(shown(0, 40), Quorum())

    assert word is not None
    assert word.source is Source.METERS
    assert word.at == NOON + timedelta(seconds=1)  # the lower middle, carried to the second's tick
    assert word.tick == 1


def test_one_meter_alone_and_two_that_differ_tell_nothing():
    assert agreed([], Quorum()) is None
    assert agreed(shown(0), Quorum()) is None
    assert agreed(shown(0, 61), Quorum()) is None


def test_a_wrong_clock_among_three_is_outvoted_however_wrong_it_is():
    word = agreed(shown(-20 * 365 * 86400, 10, 0), Quorum())

    assert word is not None
    assert abs(word.at_tick(0) - NOON) <= timedelta(seconds=10)


def test_two_that_agree_against_two_others_tell_nothing():
    assert agreed(shown(0, 5, 3600, 3605), Quorum()) is None


def test_more_witnesses_can_be_asked_for():
    assert agreed(shown(0, 5), Quorum(least=3)) is None
    assert agreed(shown(0, 5, 9), Quorum(least=3)) is not None


@given(
    st.lists(st.floats(-30, 30), min_size=2, max_size=6),
    st.lists(st.floats(-1e9, 1e9), max_size=5),
)
def test_the_time_agreed_on_is_right_as_long_as_most_of_the_clocks_are(
    right: list[float], wrong: list[float]
):
    wrong = wrong[: len(right) - 1]

    word = agreed(shown(*right, *wrong), Quorum())

    assert word is not None
    assert abs(word.at_tick(0) - NOON) <= word.error + timedelta(seconds=30)
