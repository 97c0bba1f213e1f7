from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from prepaid.money import ZERO
from prepaid.point import Meter, Thresholds
from prepaid.rating import open_position, rate
from prepaid.reading import Reading
from prepaid.register.assessment import Assessment, assess
from prepaid.register.evidence import Effect, Evidence, Kind
from prepaid.register.history import Ahead, History
from prepaid.usual import Stretch, Usual
from tests.prepaid.traces import METER_NO, Trace, load
from tests.prepaid.values import EVENING

TRACES = load()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOME = TRACES[0].point.meter  # six digits, 0.01 kWh, 13.2 kWh in an hour
NEW = History()
HISTORY, METERS = TypeAdapter(History), TypeAdapter(Meter)


def read(total: str | Decimal, *, after: timedelta = timedelta(0)) -> Reading:
    return Reading(METER_NO, EVENING + after, Decimal(total), supply=None)


# The corpus.


def test_the_corpus_is_as_large_as_it_should_be_and_names_each_trace_once():
    assert len(TRACES) >= 200
    assert len({trace.name for trace in TRACES}) == len(TRACES)
    decided_by_people = {Kind.ACCEPTED, Kind.DISMISSED, Kind.METER_CHANGE, Kind.ESTIMATE}
    told = {kind for trace in TRACES for step in trace.steps for kind in step.kinds}
    # An offset follows an estimate, and elsewhere a correction of where the meter is read.
    assert told == set(Kind) - decided_by_people - {Kind.OFFSET, Kind.ELSEWHERE}


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_each_trace_is_judged_and_charged_as_labelled(trace: Trace):
    meter, history, elapsed, charged = trace.point.meter, trace.history, timedelta(0), ZERO
    position = open_position(trace.point, trace.tariff, trace.first)
    for step in trace.steps:
        elapsed += step.after
        found = assess(position.reading, step.reading, meter, elapsed=elapsed, history=history)

        where = f"{trace.name}: at {step.reading.total}: {found.text}"
        assert {evidence.kind for evidence in found.evidence} == step.kinds, where
        assert found.moved == step.moved, where
        assert {evidence.effect for evidence in found.evidence} == {effect(found)}, where
        assert found.history.is_held == (found.moved is None), where
        history = found.history
        if found.moved is not None:
            position, charges = rate(
                trace.point, trace.tariff, position, step.reading, moved=found.moved
            )
            charged = sum((charge.amount for charge in charges), charged)
            elapsed = timedelta(0)
    assert charged == trace.charge, trace.name


def effect(found: Assessment) -> Effect:
    if found.moved is None:
        return Effect.HELD
    return Effect.CHARGED if found.moved else Effect.NOTHING


# What must hold for any trace.

meters = st.builds(
    Meter,
    meter_no=st.just(METER_NO),
    protocol=st.just("dlt645-2007"),
    line=st.just("L1"),
    address=st.just(METER_NO),
    digits=st.integers(2, 8),
    step=st.sampled_from([Decimal(1).scaleb(-places) for places in range(4)]),
    max_per_hour=st.decimals("0.1", "200", places=3),
    multiplier=st.decimals("0.01", "400", places=2),
)
spans = st.timedeltas(timedelta(0), timedelta(days=400))


@st.composite
def walks(draw: st.DrawFn) -> tuple[Meter, Reading, list[tuple[Reading, timedelta]]]:
    """A meter and readings of it: mostly on from one another, now and then anything at all."""
    meter = draw(meters)
    steps_in_all = int(Decimal(10) ** meter.digits / meter.step)
    anywhere = st.integers(0, steps_in_all - 1)
    at = draw(anywhere)
    first = read(at * meter.step)
    readings: list[tuple[Reading, timedelta]] = []
    for _ in range(draw(st.integers(1, 8))):
        match draw(st.integers(0, 9)):
            case 0:
                at = draw(anywhere)
            case 1:
                at = 0
            case 2:
                at = max(0, at - draw(st.integers(0, 30)))
            case _:
                at = (at + draw(st.integers(0, 2000))) % steps_in_all
        meter_no = draw(st.sampled_from([METER_NO] * 9 + ["000000000777"]))
        after = draw(spans)
        readings.append(
            (
                Reading(meter_no, first.at + draw(spans), at * meter.step, supply=None),
                after,
            )
        )
    return meter, first, readings


@given(walks())
def test_no_charge_is_negative_or_more_than_can_pass_the_meter(
    walk: tuple[Meter, Reading, list[tuple[Reading, timedelta]]],
):
    meter, before, readings = walk
    history, elapsed = NEW, timedelta(0)
    for reading, after in readings:
        elapsed += after
        found = assess(before, reading, meter, elapsed=elapsed, history=history)
        history = found.history
        assert found.evidence
        if found.moved is not None:
            hours = Decimal(elapsed // timedelta(microseconds=1)) / 3_600_000_000
            assert 0 <= found.moved <= meter.max_per_hour * hours + 2 * meter.step
            before, elapsed = reading, timedelta(0)


@given(walks())
def test_what_is_charged_and_what_is_held_is_what_the_register_moved(
    walk: tuple[Meter, Reading, list[tuple[Reading, timedelta]]],
):
    meter, first, readings = walk
    around = Decimal(10) ** meter.digits
    before, history, elapsed, charged, rounds = first, NEW, timedelta(0), Decimal(0), 0
    for reading, after in readings:
        elapsed += after
        found = assess(before, reading, meter, elapsed=elapsed, history=history)
        history = found.history
        if found.moved is not None:
            charged += found.moved
            rounds += reading.total < before.total
            before, elapsed = reading, timedelta(0)
        assert charged == before.total + rounds * around - first.total
        if found.moved is None:
            held = reading.total - before.total
            assert charged + held == reading.total + rounds * around - first.total


@given(
    st.lists(st.integers(0, 330), min_size=2, max_size=8),
    st.integers(0, 99_999_999),
)
def test_readings_in_between_do_not_change_what_is_charged(hundredths: list[int], start: int):
    # Up to 3.30 in a quarter of an hour, from anywhere, over the last digit too.
    readings, at = [], start
    for moved in hundredths:
        at = (at + moved) % 100_000_000
        readings.append(read(Decimal(at).scaleb(-2)))
    first = read(Decimal(start).scaleb(-2))
    quarter = HOUR / 4

    def charge(chosen: list[tuple[Reading, int]]) -> Decimal:
        before, history, seen, charged = first, NEW, 0, Decimal(0)
        for reading, index in chosen:
            elapsed = quarter * (index - seen)
            found = assess(before, reading, HOME, elapsed=elapsed, history=history)
            assert found.moved is not None, found.text
            charged += found.moved
            before, history, seen = reading, found.history, index
        return charged

    numbered = [(reading, index) for index, reading in enumerate(readings, start=1)]
    assert charge(numbered) == charge(numbered[1::2] + numbered[-1:]) == charge(numbered[-1:])
    assert charge(numbered) == Decimal(sum(hundredths)).scaleb(-2)


@given(walks())
def test_the_same_readings_are_judged_the_same_however_often_they_are_weighed(
    walk: tuple[Meter, Reading, list[tuple[Reading, timedelta]]],
):
    meter, before, readings = walk
    for reading, after in readings:
        once = assess(before, reading, meter, elapsed=after, history=NEW)
        assert assess(before, reading, meter, elapsed=after, history=NEW) == once


def test_a_time_that_runs_backwards_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="clock"):
        assess(read("1.00"), read("1.00"), HOME, elapsed=-HOUR, history=NEW)


# What a reading says beyond its kind.


def evidence(found: Assessment, kind: Kind) -> Evidence:
    return next(evidence for evidence in found.evidence if evidence.kind is kind)


def test_the_evidence_of_a_jump_has_how_far_it_went_and_how_far_it_could_have():
    found = assess(read("100.00"), read("150.00"), HOME, elapsed=HOUR, history=NEW)

    jump = evidence(found, Kind.JUMP)
    assert (jump.moved, jump.limit) == (Decimal("50.00"), Decimal("13.22"))
    assert "at most 13.22 can pass this meter" in found.text


def test_the_evidence_of_a_register_that_went_back_says_by_how_much():
    found = assess(read("100.00"), read("99.50"), HOME, elapsed=HOUR, history=NEW)

    assert evidence(found, Kind.BACKWARDS).moved == Decimal("-0.50")
    assert found.text.startswith("register went back from 100.00 to 99.50")


def test_the_evidence_of_a_stuck_register_says_what_was_to_be_expected():
    # 288 in 30 days is 0.4 an hour; in 73 hours 29.20
    usual = Usual(earlier=Stretch(Decimal(288), 30 * DAY), still=3 * DAY)

    found = assess(read("100.00"), read("100.00"), HOME, elapsed=HOUR, history=History(usual))

    assert evidence(found, Kind.STUCK).limit == Decimal("29.20")


def test_an_estimate_is_taken_off_what_the_register_moves_next():
    # 5.00 was charged ahead. 2.00 is covered by it, then 3.00 of 4.00: 1.00 is left to charge.
    ahead = History(ahead=Ahead(Decimal("5.00"), DAY))

    there, later = read("102.00", after=HOUR), read("106.00", after=2 * HOUR)
    first = assess(read("100.00"), there, HOME, elapsed=HOUR, history=ahead)
    second = assess(there, later, HOME, elapsed=HOUR, history=first.history)

    assert (first.moved, first.offset) == (0, Decimal("2.00"))
    assert {one.kind for one in first.evidence} == {Kind.MOVED, Kind.OFFSET}
    assert {one.effect for one in first.evidence} == {Effect.NOTHING}
    assert (second.moved, second.offset) == (Decimal("1.00"), Decimal("3.00"))
    assert second.history.ahead == Ahead()


def test_an_estimate_under_a_multiplier_is_taken_off_in_whole_steps_of_the_register():
    # 0.50 kWh ahead at × 30: one step of 0.01 is 0.30 kWh, so one is taken off and 0.20 kWh stay ahead.
    meter = replace(HOME, multiplier=Decimal(30))
    ahead = History(ahead=Ahead(Decimal("0.50")))

    found = assess(read("100.00"), read("100.05"), meter, elapsed=HOUR, history=ahead)

    assert found.moved == Decimal("0.04")
    assert found.history.ahead.quantity == Decimal("0.20")


# What is usual.


def test_the_average_is_over_the_stretch_that_runs_and_the_one_before_it():
    # 90 days are two stretches of 45. 45 days of 10 a day, then 9 of 40: 450 + 360 = 810 in 54 days, 15 a day.
    usual = Usual()
    for per_day, days in ((10, 45), (40, 9)):
        for _ in range(days):
            usual = usual.moved_on(Decimal(per_day), DAY, HOME, was_stuck=False)

    assert usual.over(DAY, HOME) == 15
    assert usual.over(DAY, HOME, times=Decimal(2)) == 30


def test_what_is_long_past_is_forgotten():
    # After 44 days of 40 a day: 450 + 1760 = 2210 in 89 days, 24.83; with the 45th the stretch before it is gone.
    usual = Usual()
    for per_day, days in ((10, 45), (40, 44)):
        for _ in range(days):
            usual = usual.moved_on(Decimal(per_day), DAY, HOME, was_stuck=False)
    full = usual.moved_on(Decimal(40), DAY, HOME, was_stuck=False)

    assert usual.over(DAY, HOME) == Decimal("24.83")
    assert full.over(DAY, HOME) == 40


def test_the_average_is_of_what_was_used_whatever_the_multiplier():
    # 1.00 a day on a register of ×30 is 30 kWh a day, and 30.00 on one of ×1.
    under_ct = replace(HOME, multiplier=Decimal(30))
    usual = Usual()
    for _ in range(10):
        usual = usual.moved_on(Decimal("1.00"), DAY, under_ct, was_stuck=False)

    assert usual.over(DAY, under_ct) == 1
    assert usual.over(DAY, HOME) == 30


def test_the_nights_belong_to_the_average():
    # 9 a day by day, nothing by night: 9 in 24 hours
    usual = Usual()
    for _ in range(10):
        usual = usual.moved_on(Decimal(0), 8 * HOUR, HOME, was_stuck=False)
        usual = usual.moved_on(Decimal(9), 16 * HOUR, HOME, was_stuck=False)

    assert usual.over(DAY, HOME) == 9


def test_the_time_in_which_a_register_was_stuck_does_not_lower_the_average():
    # 288 in 30 days; stuck for 20 days; then 9.60 in a day: 297.60 in 31 days is still 9.60 a day.
    history = History(Usual(earlier=Stretch(Decimal(288), 30 * DAY), still=20 * DAY))

    found = assess(read("100.00"), read("109.60"), HOME, elapsed=DAY, history=history)

    assert found.history.usual.over(DAY, HOME) == Decimal("9.60")


def test_a_reading_that_is_held_teaches_nothing():
    history = History(Usual(earlier=Stretch(Decimal(288), 30 * DAY)))

    found = assess(read("100.00"), read("900.00"), HOME, elapsed=HOUR, history=history)

    assert found.moved is None
    assert found.history.usual == history.usual


# What is kept and sent.


@given(walks())
def test_what_is_known_of_a_register_is_read_back_as_it_was_written(
    walk: tuple[Meter, Reading, list[tuple[Reading, timedelta]]],
):
    meter, before, readings = walk
    history = NEW
    for reading, after in readings:
        history = assess(before, reading, meter, elapsed=after, history=history).history
        assert HISTORY.validate_json(HISTORY.dump_json(history)) == history
    assert METERS.validate_json(METERS.dump_json(meter)) == meter


def test_evidence_is_read_back_as_it_was_written():
    found = assess(read("100.00"), read("150.00"), HOME, elapsed=HOUR, history=NEW)
    as_json = TypeAdapter(tuple[Evidence, ...])

    assert as_json.validate_json(as_json.dump_json(found.evidence)) == found.evidence


def test_a_meter_written_before_there_were_multipliers_has_one_of_one():
    text = (
        '{"meter_no":"1","protocol":"dlt645-2007","line":"L1","address":"1","digits":6,"step":"0.01",'
        '"max_per_hour":"13.2"}'
    )

    meter = METERS.validate_json(text)

    assert (meter.multiplier, meter.thresholds) == (1, Thresholds())


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("multiplier", 1.5, TypeError),
        ("multiplier", 30, TypeError),
        ("multiplier", Decimal(0), ValueError),
        ("multiplier", Decimal(-1), ValueError),
        ("multiplier", Decimal("NaN"), ValueError),
        ("step", 0.01, TypeError),
        ("max_per_hour", 13.2, TypeError),
        ("digits", 6.0, TypeError),
    ],
)
def test_a_meter_of_floats_or_without_a_multiplier_is_refused(
    field: str, value: object, error: type[Exception]
):
    with pytest.raises(error, match=field):
        replace(HOME, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("always_usual", 200.0, TypeError),
        ("always_usual", Decimal(0), ValueError),
        ("times_usual", Decimal(-2), ValueError),
        ("stuck_after", timedelta(0), ValueError),
        ("usual_from", timedelta(days=46), ValueError),
    ],
)
def test_a_threshold_that_means_nothing_is_refused(
    field: str, value: object, error: type[Exception]
):
    with pytest.raises(error, match=field):
        replace(Thresholds(), **{field: value})  # type: ignore[arg-type]
