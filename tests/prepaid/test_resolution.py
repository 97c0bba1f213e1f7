from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.money import ZERO, Money
from prepaid.rating import open_position, rate
from prepaid.reading import Reading
from prepaid.register.assessment import assess
from prepaid.register.evidence import Effect, Kind
from prepaid.register.history import Ahead, History
from prepaid.resolution import (
    Accepted,
    BadDecision,
    Dismissed,
    Estimated,
    Exchanged,
    Resolved,
    Restarted,
    change_meter,
    resolve,
    to_estimate,
)
from prepaid.tariff_document import parse
from prepaid.usual import Stretch, Usual
from tests.prepaid.values import EVENING, METER, POINT

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
USUAL = Usual(earlier=Stretch(Decimal(288), 30 * DAY))  # 9.60 a day, 0.40 an hour
KNOWN = History(USUAL)


def read(total: str, *, after: timedelta = timedelta(0), meter_no: str = METER.meter_no) -> Reading:
    return Reading(meter_no, EVENING + after, Decimal(total), supply=None)


def held(before: Reading, after: Reading, history: History = KNOWN) -> History:
    """The history after a reading that had to be held."""
    found = assess(before, after, METER, elapsed=after.at - before.at, history=history)
    assert found.moved is None
    return found.history


def goes_on(resolved: Resolved, after: Reading) -> Decimal | None:
    """What the next reading is charged after a decision."""
    elapsed = after.at - resolved.reading.at
    return assess(resolved.reading, after, METER, elapsed=elapsed, history=resolved.history).moved


# The reading is true.


def test_a_jump_that_is_accepted_is_charged_and_the_next_reading_goes_on_from_it():
    # 100 → 150 is 50 in an hour: impossible, but true. Then 0.50 more.
    before, after = read("100.00"), read("150.00", after=HOUR)
    history = held(before, after)

    resolved = resolve(Accepted(rounds=0), before, after, METER, elapsed=HOUR, history=history)

    assert (resolved.moved, resolved.reading) == (Decimal("50.00"), after)
    assert not resolved.history.is_held
    assert goes_on(resolved, read("150.50", after=2 * HOUR)) == Decimal("0.50")


def test_a_rollover_that_was_too_unusual_is_accepted_with_its_round():
    # 999900 → 300 over the last digit is 400
    before, after = read("999900.00"), read("300.00", after=10 * DAY)
    history = held(before, after, History())

    resolved = resolve(Accepted(rounds=1), before, after, METER, elapsed=10 * DAY, history=history)

    assert resolved.moved == Decimal("400.00")
    assert [(one.kind, one.effect) for one in resolved.evidence] == [
        (Kind.ACCEPTED, Effect.CHARGED)
    ]


def test_a_register_that_went_back_cannot_be_accepted_as_it_is():
    before, after = read("100.00"), read("99.00", after=HOUR)

    with pytest.raises(BadDecision, match="went round, that it was reset or that the meter"):
        resolve(Accepted(rounds=0), before, after, METER, elapsed=HOUR, history=KNOWN)


def test_another_meters_reading_cannot_be_accepted_as_ours():
    before, after = read("100.00"), read("100.50", after=HOUR, meter_no="000000000777")

    with pytest.raises(BadDecision, match="enter the change"):
        resolve(Accepted(rounds=0), before, after, METER, elapsed=HOUR, history=KNOWN)


@pytest.mark.parametrize(("total", "rounds"), [("1000000.00", 0), ("-1", 0), ("99.00", -1)])
def test_what_no_register_can_do_cannot_be_accepted(total: str, rounds: int):
    with pytest.raises(BadDecision):
        resolve(
            Accepted(rounds),
            read("100.00"),
            read(total, after=HOUR),
            METER,
            elapsed=HOUR,
            history=KNOWN,
        )


# The meter was changed.


def exchanged(closing: Reading, opening: Reading, **others: object) -> Exchanged:
    usual = Exchanged(closing, opening, rounds=0, between=Decimal(0), estimate_stands=False)
    return replace(usual, **others)  # type: ignore[arg-type]


NEW_METER = "000000000777"


def test_a_changed_meter_is_charged_to_its_closing_reading_and_counts_on_from_the_opening_one():
    # Old: 5000.00 → 5003.20 closing. New: opens at 0.10, now 0.60. Together 3.20 + 0.50 = 3.70.
    before = read("5000.00")
    closing = read("5003.20", after=8 * HOUR)
    opening = read("0.10", after=9 * HOUR, meter_no=NEW_METER)
    now = read("0.60", after=10 * HOUR, meter_no=NEW_METER)
    history = held(before, now)

    resolved = resolve(
        exchanged(closing, opening), before, now, METER, elapsed=10 * HOUR, history=history
    )

    assert (resolved.moved, resolved.reading) == (Decimal("3.20"), opening)
    assert [one.kind for one in resolved.evidence] == [Kind.METER_CHANGE]
    assert goes_on(resolved, now) == Decimal("0.50")


def test_a_meter_changed_as_planned_needs_no_doubt():
    closing = read("5003.20", after=HOUR)
    opening = read("0.00", after=HOUR, meter_no=NEW_METER)

    resolved = change_meter(
        exchanged(closing, opening), read("5000.00"), METER, elapsed=HOUR, history=KNOWN
    )

    assert (resolved.moved, resolved.reading) == (Decimal("3.20"), opening)


def test_what_was_used_without_a_meter_is_charged_by_agreement_and_labelled():
    # 3.20 to the closing reading, 2.00 agreed for the two days without a meter
    closing = read("5003.20", after=HOUR)
    opening = read("0.00", after=2 * DAY, meter_no=NEW_METER)

    resolved = change_meter(
        exchanged(closing, opening, between=Decimal("2.00")),
        read("5000.00"),
        METER,
        elapsed=HOUR,
        history=KNOWN,
    )

    assert resolved.moved == Decimal("5.20")
    assert [(one.kind, one.effect, one.moved) for one in resolved.evidence] == [
        (Kind.METER_CHANGE, Effect.CHARGED, Decimal("3.20")),
        (Kind.ESTIMATE, Effect.ESTIMATED, Decimal("2.00")),
    ]


def test_an_old_meter_that_rolled_over_before_it_was_closed_is_charged_over_its_last_digit():
    # 999999.00 → 1.50 is 2.50
    closing = read("1.50", after=HOUR)
    opening = read("0.00", after=HOUR, meter_no=NEW_METER)

    resolved = change_meter(
        exchanged(closing, opening, rounds=1), read("999999.00"), METER, elapsed=HOUR, history=KNOWN
    )

    assert resolved.moved == Decimal("2.50")


def test_a_meter_that_was_charged_past_its_last_digit_after_its_change_was_written_down_is_not_charged_a_round():
    # Written down when 999999.00 was charged. The gateway has charged to 0.50 since: 0.50 → 1.50 is 1.00.
    closing = read("1.50", after=HOUR)
    opening = read("0.00", after=HOUR, meter_no=NEW_METER)
    change = exchanged(closing, opening, rounds=1, counted_from=Decimal("999999.00"))

    resolved = change_meter(change, read("0.50"), METER, elapsed=HOUR, history=KNOWN)
    assert resolved.moved == Decimal("1.00")

    # Not past it yet: 999999.50 → 1.50 is 2.00.
    resolved = change_meter(change, read("999999.50"), METER, elapsed=HOUR, history=KNOWN)
    assert resolved.moved == Decimal("2.00")

    # Closed before it, as a person says, and charged past it: somebody is wrong.
    change = exchanged(read("999999.90", after=HOUR), opening, counted_from=Decimal("999999.00"))
    with pytest.raises(BadDecision):
        change_meter(change, read("0.50"), METER, elapsed=HOUR, history=KNOWN)


@pytest.mark.parametrize(
    ("closing", "opening", "others", "message"),
    [
        (read("4999.99", after=HOUR), read("0", after=HOUR), {}, "which is charged"),
        (
            read("5003.20", after=HOUR, meter_no=NEW_METER),
            read("0", after=HOUR),
            {},
            f"of meter {NEW_METER}",
        ),
        (read("5003.20", after=2 * HOUR), read("0", after=HOUR), {}, "follow each other"),
        (read("5003.20", after=-HOUR), read("0", after=HOUR), {}, "follow each other"),
        (read("5003.20", after=HOUR), read("0", after=HOUR), {"between": Decimal(-1)}, "cannot be"),
    ],
)
def test_a_change_that_the_readings_contradict_is_refused(
    closing: Reading, opening: Reading, others: dict[str, object], message: str
):
    with pytest.raises(BadDecision, match=message):
        change_meter(
            exchanged(closing, opening, **others),
            read("5000.00"),
            METER,
            elapsed=HOUR,
            history=KNOWN,
        )


def test_the_usual_usage_goes_on_with_the_service_point_whatever_the_new_multiplier():
    # ×1: 288 kWh in 30 days and 0.40 in an hour. On a new register of ×30 the 9 kWh of 22 h 30 min are 0.30.
    closing = read("5000.40", after=HOUR)
    opening = read("0.00", after=HOUR, meter_no=NEW_METER)

    resolved = change_meter(
        exchanged(closing, opening), read("5000.00"), METER, elapsed=HOUR, history=KNOWN
    )

    under_ct = replace(METER, multiplier=Decimal(30))
    assert resolved.history.usual.over(HOUR * 45 / 2, under_ct) == Decimal("0.30")


def test_the_tiers_and_what_is_posted_go_on_over_a_change_of_meter_and_multiplier():
    # 10 kWh a month at 1 yuan, the rest at 2. Old meter, ×1: 8 kWh, then 1 up to the closing reading. New meter,
    # ×30: 0.10 on its register are 3 kWh. Of these 12, 10 at 1 and 2 at 2: 14.00 yuan.
    tariff = parse(
        {
            "code": "tiers",
            "commodity": "electricity",
            "unit": "kWh",
            "currency": "CNY",
            "timezone": "Asia/Shanghai",
            "versions": [
                {
                    "effective_from": "2026-01-01T00:00:00+08:00",
                    "components": [
                        {
                            "item": "energy",
                            "kind": "rate",
                            "price": ["1", "2"],
                            "tiers": {"period": "month", "bounds": ["10"]},
                        }
                    ],
                }
            ],
        }
    )
    charged = ZERO
    position = open_position(POINT, tariff, read("5000.00"))
    position, charges = rate(POINT, tariff, position, read("5008.00", after=HOUR), moved=Decimal(8))
    charged = sum((charge.amount for charge in charges), charged)
    opening = read("0.00", after=3 * HOUR, meter_no=NEW_METER)
    change = exchanged(read("5009.00", after=2 * HOUR), opening)

    resolved = change_meter(change, position.reading, METER, elapsed=HOUR, history=KNOWN)
    position, charges = rate(POINT, tariff, position, resolved.reading, moved=resolved.moved)
    charged = sum((charge.amount for charge in charges), charged)
    renewed = replace(POINT, meter=replace(METER, meter_no=NEW_METER, multiplier=Decimal(30)))
    now = read("0.10", after=4 * HOUR, meter_no=NEW_METER)
    found = assess(opening, now, renewed.meter, elapsed=HOUR, history=resolved.history)
    assert found.moved is not None
    position, charges = rate(renewed, tariff, position, now, moved=found.moved)
    charged = sum((charge.amount for charge in charges), charged)

    assert charged == Money.yuan("14.00")
    assert [total.posted for total in position.running] == [Money.yuan("14.00")]
    assert (position.opened_at, position.number) == (EVENING, 3)


# The register was reset.


def test_a_register_that_was_reset_counts_on_from_where_it_was_set():
    # 1234.56 charged, 1235.00 when it was reset to 0; now 0.80: 0.44 + 0.80 = 1.24
    before, now = read("1234.56"), read("0.80", after=2 * HOUR)
    history = held(before, now)
    reset = Restarted(Decimal("1235.00"), Decimal("0.00"), at=EVENING + HOUR)

    resolved = resolve(reset, before, now, METER, elapsed=2 * HOUR, history=history)

    assert resolved.moved == Decimal("0.44")
    assert resolved.reading == read("0.00", after=HOUR)
    assert goes_on(resolved, now) == Decimal("0.80")


@pytest.mark.parametrize(
    ("reset", "message"),
    [
        (Restarted(Decimal("1000"), Decimal(0), at=EVENING + HOUR), "which is charged"),
        (Restarted(Decimal("1235"), Decimal(0), at=EVENING - HOUR), "cannot have been reset at"),
        (Restarted(Decimal("1235"), Decimal(0), at=EVENING + DAY), "cannot have been reset at"),
        (Restarted(Decimal("1235"), Decimal(1), at=EVENING + HOUR), "cannot have been set to 1"),
        (Restarted(Decimal("1235"), Decimal(-1), at=EVENING + HOUR), "cannot show -1"),
    ],
)
def test_a_reset_that_the_readings_contradict_is_refused(reset: Restarted, message: str):
    before, now = read("1234.56"), read("0.80", after=2 * HOUR)

    with pytest.raises(BadDecision, match=message):
        resolve(reset, before, now, METER, elapsed=2 * HOUR, history=KNOWN)


# It is charged as an estimate.


def test_an_estimate_is_the_average_for_the_time_and_is_taken_off_the_next_true_reading():
    # Held for 10 days at 9.60 a day: 96.00. The register then truly moved 105.00: 9.00 are left.
    before, jump = read("100.00"), read("9000.00", after=10 * DAY)
    history = held(before, jump, replace(KNOWN, doubt=None))
    true = read("205.00", after=10 * DAY + HOUR)

    resolved = resolve(Estimated(None), before, jump, METER, elapsed=10 * DAY, history=history)

    assert resolved.moved == Decimal("96.00")
    assert resolved.reading == read("100.00", after=10 * DAY)
    assert [(one.kind, one.effect) for one in resolved.evidence] == [
        (Kind.ESTIMATE, Effect.ESTIMATED)
    ]
    assert resolved.history.is_held
    assert goes_on(resolved, true) == Decimal("9.00")


def test_an_estimate_that_was_too_high_is_made_up_for_and_never_paid_back_in_silence():
    # 96.00 estimated; the register moved 90.00, then 4.00, then 3.00: 0, 0, and 97 - 96 = 1.00
    before, jump = read("100.00"), read("9000.00", after=10 * DAY)
    history = held(before, jump)
    resolved = resolve(Estimated(None), before, jump, METER, elapsed=10 * DAY, history=history)
    before, history, charged = resolved.reading, resolved.history, []

    for hours, total in enumerate(("190.00", "194.00", "197.00"), start=1):
        after = read(total, after=10 * DAY + hours * HOUR)
        found = assess(before, after, METER, elapsed=HOUR, history=history)
        assert Kind.OFFSET in {one.kind for one in found.evidence}
        before, history = after, found.history
        charged.append(found.moved)

    assert charged == [0, 0, Decimal("1.00")]


def test_a_stuck_register_is_estimated_for_the_time_it_stood_still_and_not_twice():
    # Still for 10 days and an hour: 241 h × 0.40 = 96.40; a day later 9.60 more
    history = History(replace(USUAL, still=10 * DAY))
    before, now = read("100.00"), read("100.00", after=HOUR)
    assert to_estimate(HOUR, history) == 10 * DAY + HOUR

    first = resolve(Estimated(None), before, now, METER, elapsed=HOUR, history=history)
    with pytest.raises(BadDecision, match="already"):
        resolve(
            Estimated(None),
            first.reading,
            now,
            METER,
            elapsed=timedelta(0),
            history=first.history,
        )
    next_day = read("100.00", after=HOUR + DAY)
    still = assess(first.reading, next_day, METER, elapsed=DAY, history=first.history)
    second = resolve(
        Estimated(None),
        next_day,
        next_day,
        METER,
        elapsed=timedelta(0),
        history=still.history,
    )

    assert (first.moved, second.moved) == (Decimal("96.40"), Decimal("9.60"))
    assert still.moved == 0


def test_a_stuck_register_that_catches_up_is_believed_once_its_time_was_estimated():
    # 10 days at 9.60: 96.00. It then shows 100.00 more, impossible in an hour but not in ten days: 4.00 are left.
    history = History(replace(USUAL, still=10 * DAY))
    before = read("100.00")
    now, later = read("100.00", after=HOUR), read("200.00", after=2 * HOUR)

    resolved = resolve(
        Estimated(Decimal("96.00")), before, now, METER, elapsed=HOUR, history=history
    )

    assert goes_on(resolved, later) == Decimal("4.00")


def test_two_estimates_in_a_row_leave_the_register_all_the_time_that_has_passed():
    # Held for 10 and 5 days: 96.00 and 48.00. In these 360 h up to 4752 can have passed, so 4000 more is true:
    # 4000 - 144 = 3856.
    before, jump = read("100.00"), read("9000.00", after=10 * DAY)
    history = held(before, jump)
    first = resolve(Estimated(None), before, jump, METER, elapsed=10 * DAY, history=history)
    still_there = read("9000.00", after=15 * DAY)
    second = resolve(
        Estimated(None),
        first.reading,
        still_there,
        METER,
        elapsed=5 * DAY,
        history=held(first.reading, still_there, first.history),
    )

    assert (first.moved, second.moved) == (Decimal("96.00"), Decimal("48.00"))
    assert goes_on(second, read("4100.00", after=15 * DAY)) == Decimal("3856.00")


def test_an_estimate_for_a_stuck_meter_stands_when_that_meter_is_changed():
    # 96.00 estimated, nothing more on the old register; the new one moves 0.50: 0.50 is charged.
    history = History(USUAL, ahead=Ahead(Decimal("96.00"), 10 * DAY))
    closing = read("100.00", after=HOUR)
    opening = read("0.00", after=HOUR, meter_no=NEW_METER)
    now = read("0.50", after=2 * HOUR, meter_no=NEW_METER)

    stands, not_yet = (
        change_meter(
            exchanged(closing, opening, estimate_stands=is_final),
            read("100.00"),
            METER,
            elapsed=HOUR,
            history=history,
        )
        for is_final in (True, False)
    )

    assert goes_on(stands, now) == Decimal("0.50")
    assert goes_on(not_yet, now) == 0


def test_a_new_meter_does_not_inherit_that_the_old_one_stood_still():
    history = History(replace(USUAL, still=10 * DAY))
    opening = read("0.00", after=HOUR, meter_no=NEW_METER)
    change = exchanged(read("100.00", after=HOUR), opening)

    resolved = change_meter(change, read("100.00"), METER, elapsed=HOUR, history=history)
    found = assess(opening, opening, METER, elapsed=HOUR, history=resolved.history)

    assert Kind.STILL in {one.kind for one in found.evidence}


def test_a_doubt_does_not_grow_older_by_an_estimate():
    # Still for 8 h, then held for 10 days: estimated is all of it, and the doubt is as new as it was.
    history = History(replace(USUAL, still=8 * HOUR))
    before, jump = read("100.00"), read("9000.00", after=10 * DAY)
    doubted = held(before, jump, history)

    resolved = resolve(Estimated(None), before, jump, METER, elapsed=10 * DAY, history=doubted)

    was, now = doubted.doubt, resolved.history.doubt
    assert was is not None
    assert now is not None
    assert 10 * DAY - was.since == resolved.history.ahead.over - now.since == timedelta(0)


def test_without_history_an_estimate_needs_a_quantity():
    before, now = read("100.00"), read("9000.00", after=DAY)
    history = held(before, now, History())

    with pytest.raises(BadDecision, match="enter the quantity"):
        resolve(Estimated(None), before, now, METER, elapsed=DAY, history=history)
    agreed = resolve(Estimated(Decimal(8)), before, now, METER, elapsed=DAY, history=history)
    with pytest.raises(BadDecision, match="cannot be -1"):
        resolve(Estimated(Decimal(-1)), before, now, METER, elapsed=DAY, history=history)

    assert agreed.moved == 8


# The reading was none of ours.


def test_dismissed_readings_leave_everything_as_it_was_and_the_next_one_is_judged_anew():
    before, jump = read("100.00"), read("150.00", after=HOUR)
    history = held(before, jump)

    resolved = resolve(Dismissed(), before, jump, METER, elapsed=HOUR, history=history)

    assert (resolved.moved, resolved.reading) == (0, before)
    assert resolved.history == KNOWN
    assert goes_on(resolved, read("160.00", after=DAY)) == Decimal("60.00")


def test_a_duplicate_address_is_held_until_a_person_has_parted_the_meters():
    # ours 100.00, 100.20 and 100.40; the other 5000.00 and 5000.10 in between
    quarter = HOUR / 4
    before, history = read("100.00"), History()
    for number, total in enumerate(("5000.00", "100.20", "5000.10", "100.40"), start=1):
        after = read(total, after=number * quarter)
        found = assess(before, after, METER, elapsed=after.at - before.at, history=history)
        history = found.history
        before = before if found.moved is None else after
    assert history.is_held
    assert history.doubt is not None
    assert history.doubt.reading.total == Decimal("5000.10")

    resolved = resolve(Dismissed(), before, after, METER, elapsed=quarter * 2, history=history)

    assert not resolved.history.is_held
    assert goes_on(resolved, read("100.60", after=5 * quarter)) == Decimal("0.40")


# What must hold for any decision.

totals = st.decimals("0", "999999.99", places=2)
decisions = st.one_of(
    st.builds(Accepted, st.integers(0, 2)),
    st.builds(
        Restarted,
        totals,
        totals,
        at=st.timedeltas(timedelta(0), 3 * DAY).map(lambda after: EVENING + after),
    ),
    st.builds(Estimated, st.none() | st.decimals("0", "500", places=2)),
    st.just(Dismissed()),
    st.builds(
        Exchanged,
        totals.map(lambda total: read(str(total), after=HOUR)),
        totals.map(lambda total: read(str(total), after=DAY, meter_no=NEW_METER)),
        st.integers(0, 1),
        st.decimals("0", "500", places=2),
        st.booleans(),
    ),
)
aheads = st.builds(Ahead, st.decimals("0", "500", places=2), st.timedeltas(timedelta(0), 9 * DAY))


@given(decisions, totals, totals, aheads, st.sampled_from(["1", "30", "0.7"]))
def test_no_decision_charges_less_than_nothing_or_loses_an_estimate(
    decision: Accepted | Restarted | Estimated | Dismissed | Exchanged,
    charged: Decimal,
    now: Decimal,
    ahead: Ahead,
    multiplier: str,
):
    meter = replace(METER, multiplier=Decimal(multiplier))
    before, after = read(str(charged)), read(str(now), after=2 * DAY)
    history = replace(KNOWN, ahead=ahead)
    try:
        resolved = resolve(decision, before, after, meter, elapsed=2 * DAY, history=history)
    except BadDecision:
        return

    assert resolved.moved >= 0
    assert resolved.evidence
    stood = Decimal(0)
    match decision:
        case Accepted():
            true = now - charged + decision.rounds * 1_000_000
        case Restarted():
            true = decision.closing - charged
        case Estimated() | Dismissed():
            true = Decimal(0)
        case Exchanged():
            true = decision.closing.total - charged + decision.rounds * 1_000_000 + decision.between
            stood = ahead.quantity if decision.estimate_stands else stood
    # What was charged ahead and now, less what still is ahead, is what truly passed.
    left = resolved.history.ahead.quantity
    assert (
        ahead.quantity + resolved.moved * meter.multiplier - left == true * meter.multiplier + stood
    )
