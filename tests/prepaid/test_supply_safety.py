"""What must hold of supply whatever the policy and the situation, from guards that hold and guards that do not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from prepaid.calendar import Calendar, Hours
from prepaid.money import Money
from prepaid.point import EmergencyCredit, Policy, Restore
from prepaid.quiet import Quiet
from prepaid.reading import Supply
from prepaid.supply import Situation, Why, desired, is_satisfied
from tests.prepaid.situations import OPEN, pinned
from tests.prepaid.values import EVENING

# EVENING is 18:00 on a Saturday in Shanghai.
QUIET_NOW = [
    Quiet(Calendar("Asia/Shanghai"), (Hours(18 * 60, 11 * 60),)),
    Quiet(Calendar("Asia/Shanghai"), (Hours(0, 24 * 60, days=frozenset({6})),)),
    Quiet(Calendar("Asia/Shanghai"), days=frozenset({EVENING.date()})),
]
NOT_QUIET = [
    None,
    Quiet(Calendar("Asia/Shanghai"), (Hours(11 * 60, 18 * 60),)),
    Quiet(Calendar("Asia/Shanghai"), (Hours(0, 24 * 60, days=frozenset({7})),)),
]


def ago(least_s: int, most_s: int) -> st.SearchStrategy[timedelta]:
    return st.integers(least_s * 1000, most_s * 1000).map(lambda ms: timedelta(milliseconds=ms))


def ampere(least: str, most: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(least, most, places=3)


def fixed(**changes: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Changes of policy and situation; each value is one, or a strategy for one."""
    of = {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in changes.items()}
    return st.fixed_dictionaries(of)


either = st.booleans()

# What keeps an empty purse from being cut off: how it holds, and how it does not, up to its very bounds.
# The levels of BASE: cut at 0, overdraft to -5; with ¥10 of emergency credit taken, to -15.
GUARDS: dict[str, tuple[st.SearchStrategy[dict[str, Any]], st.SearchStrategy[dict[str, Any]]]] = {
    "credit": (
        st.one_of(
            fixed(available=st.integers(-499, 10**6).map(Money)),
            fixed(available=st.integers(-1499, -500).map(Money), is_emergency_taken=True),
        ),
        st.one_of(
            fixed(available=st.integers(-(10**6), -500).map(Money)),
            fixed(available=st.integers(-(10**6), -1500).map(Money), is_emergency_taken=True),
        ),
    ),
    "protected": (
        st.one_of(
            fixed(is_protected=True),
            fixed(is_protected=True, protected_until=ago(1, 10**6).map(lambda d: EVENING + d)),
        ),
        fixed(is_protected=False, protected_until=st.sampled_from([None, EVENING])),
    ),
    "kept by an operator": (
        fixed(
            overrides=st.sampled_from(
                [(pinned(Supply.ON),), (pinned(Supply.OFF), pinned(Supply.ON))]
            )
        ),
        fixed(overrides=()),
    ),
    "held": (fixed(is_held=True), fixed(is_held=False)),
    "no tariff": (fixed(has_tariff=False), fixed(has_tariff=True)),
    "quiet": (
        fixed(quiet=st.sampled_from(QUIET_NOW)),
        fixed(quiet=st.sampled_from(NOT_QUIET)),
    ),
    "clock in doubt": (fixed(is_clock_trusted=False), fixed(is_clock_trusted=True)),
    "not warned": (
        fixed(notice=timedelta(minutes=30), warned_ago=st.none() | ago(0, 1799)),
        st.one_of(
            fixed(notice=timedelta(0), warned_ago=st.none() | ago(0, 1799)),
            fixed(notice=timedelta(minutes=30), warned_ago=ago(1800, 10**6)),
        ),
    ),
    "braked": (fixed(is_braked=True), fixed(is_braked=False)),
    "stale": (
        fixed(read_ago=st.none() | ago(300, 10**6).map(lambda d: d + timedelta(milliseconds=1))),
        fixed(read_ago=ago(0, 300)),
    ),
    "disagreeing": (fixed(agreeing=st.integers(0, 1)), fixed(agreeing=st.integers(2, 9))),
    "current": (
        fixed(
            current_a=ampere("30.001", "999") | ampere("-999", "-30.001"),
            put_off=st.integers(0, 9),
        ),
        fixed(current_a=st.none() | ampere("-30", "30"), put_off=st.integers(0, 9)),
    ),
    "dwell": (fixed(switched_ago=ago(0, 4)), fixed(switched_ago=st.none() | ago(5, 10**6))),
}
BASE = Policy(
    overdraft=Money.yuan("5"), emergency=EmergencyCredit(Money.yuan("10"), Money.yuan("2"))
)


@dataclass(frozen=True, slots=True)
class Case:
    holding: frozenset[str]
    policy: Policy
    situation: Situation


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A point that is not off, with some of the guards holding; what has nothing to do with cuts is at random."""
    holding = draw(st.frozensets(st.sampled_from(sorted(GUARDS)), max_size=3))
    changes: dict[str, Any] = {
        "restore": draw(st.sampled_from(Restore)),
        "ask_after": draw(st.none() | ago(0, 10**6)),
        "seen": draw(st.sampled_from([Supply.ON, Supply.ARMED, None])),
        "are_taps_closed": draw(either),
        "off_for": draw(st.none() | ago(0, 10**6)),
        "power_back_ago": draw(st.none() | ago(0, 100)),
        "place": draw(st.integers(0, 99)),
    }
    for name, (holds, does_not) in GUARDS.items():
        changes |= draw(holds if name in holding else does_not)
    of_policy = {k: v for k, v in changes.items() if k in Policy.__dataclass_fields__}
    known = {k: v for k, v in changes.items() if k not in of_policy}
    return Case(holding, replace(BASE, **of_policy), replace(OPEN, **known))


@given(cases())
@settings(max_examples=200, deadline=None)
def test_nobody_is_cut_off_while_any_guard_holds_and_everybody_when_none_does(case: Case):
    want = desired(case.policy, case.situation)
    if case.holding:
        assert want.supply is not Supply.OFF
    else:
        assert (want.supply, want.why) == (Supply.OFF, Why.NO_CREDIT)


BINDS_AN_OPERATOR = {"protected", "clock in doubt", "current", "dwell"}


@given(cases(), st.sampled_from([(), (pinned(Supply.ON),)]))
@settings(max_examples=60, deadline=None)
def test_an_operator_cuts_unless_it_is_protected_or_would_harm_the_switch(
    case: Case, earlier: tuple[Any, ...]
):
    forced = replace(case.situation, overrides=(*earlier, pinned(Supply.OFF)))
    want = desired(case.policy, forced)
    if case.holding & BINDS_AN_OPERATOR:
        assert want.supply is not Supply.OFF
    else:
        assert (want.supply, want.why) == (Supply.OFF, Why.FORCED_OFF)


@given(cases(), st.sampled_from([Supply.OFF, Supply.ON, Supply.ARMED]))
@settings(max_examples=60, deadline=None)
def test_supply_is_given_for_credit_or_by_a_person_and_by_nothing_else(case: Case, seen: Supply):
    want = desired(case.policy, replace(case.situation, seen=seen))
    if want.supply is Supply.ON:
        assert case.holding & {"credit", "protected", "kept by an operator"}


@given(cases(), st.sampled_from([Supply.OFF, Supply.ARMED, Supply.ON, None]))
@settings(max_examples=60, deadline=None)
def test_what_an_operator_cut_off_is_never_given_back_while_that_lasts(
    case: Case, seen: Supply | None
):
    forced = replace(case.situation, seen=seen, overrides=(pinned(Supply.OFF),))
    want = desired(case.policy, forced)
    assert want.supply is not Supply.ON or want.why is Why.PROTECTED


@given(cases(), st.sampled_from([Supply.OFF, Supply.ARMED, Supply.ON, None]))
@settings(max_examples=60, deadline=None)
def test_what_is_left_as_it_is_ends_by_itself_or_by_somebody_who_is_told(
    case: Case, seen: Supply | None
):
    want = desired(case.policy, replace(case.situation, seen=seen))
    if want.supply is None:
        assert want.is_alarm or want.again_in is not None or want.why is Why.TAPS
    assert want.again_in is None or want.again_in >= timedelta(0)


@given(cases())
@settings(max_examples=60, deadline=None)
def test_who_is_off_already_and_out_of_credit_stays_off_whatever_the_guards_of_a_cut(case: Case):
    want = desired(case.policy, replace(case.situation, seen=Supply.OFF))
    wanted_by_others = {"credit", "protected", "kept by an operator", "held", "no tariff"}
    if not case.holding & wanted_by_others:
        assert (want.supply, want.why) == (Supply.OFF, Why.NO_CREDIT)


@given(cases(), st.sampled_from([Supply.OFF, Supply.ARMED, Supply.ON, None]))
@settings(max_examples=60, deadline=None)
def test_to_decide_again_after_it_was_done_changes_nothing(case: Case, seen: Supply | None):
    want = desired(case.policy, replace(case.situation, seen=seen))
    if want.supply is not None:
        done = replace(case.situation, seen=want.supply, switched_ago=timedelta(0))
        again = desired(case.policy, done)
        assert again == want
        assert is_satisfied(again, want.supply, case.policy.restore, has_switch=True)
