"""Where a purse stands: the credit scale of docs/supply.md, from full to exhausted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.credit import CreditState, Warned, credit_state, cut_level, is_repaid, levels, warned
from prepaid.money import Money
from prepaid.point import EmergencyCredit, Policy
from prepaid.reading import Supply
from prepaid.supply import desired
from tests.prepaid.situations import knowing

# Alarms at 10 and 3, cut at 0, overdraft to -5, ¥10 of emergency credit offered at 2: lent down to -15.
POLICY = Policy(
    overdraft=Money.yuan("5"), emergency=EmergencyCredit(Money.yuan("10"), Money.yuan("2"))
)


@pytest.mark.parametrize(
    ("yuan", "untaken", "taken"),
    [
        ("10.01", CreditState.OK, CreditState.OK),
        ("10", CreditState.LOW, CreditState.LOW),
        ("2.01", CreditState.LOW, CreditState.LOW),  # what was taken is repaid
        ("2", CreditState.EC_OFFERED, CreditState.EC_SELECTED),
        ("-4.99", CreditState.EC_OFFERED, CreditState.EC_SELECTED),
        ("-5", CreditState.EC_OFFERED, CreditState.EC_IN_USE),
        ("-14.99", CreditState.EC_OFFERED, CreditState.EC_IN_USE),
        ("-15", CreditState.EXHAUSTED, CreditState.EXHAUSTED),
    ],
)
def test_credit_goes_from_ok_to_exhausted(yuan: str, untaken: CreditState, taken: CreditState):
    balance = Money.yuan(yuan)
    assert credit_state(POLICY, balance, is_emergency_taken=False) is untaken
    assert credit_state(POLICY, balance, is_emergency_taken=True) is taken


def test_without_emergency_credit_a_purse_is_low_and_then_exhausted():
    def state(yuan: str) -> CreditState:
        return credit_state(Policy(), Money.yuan(yuan), is_emergency_taken=False)

    assert [state(y) for y in ("10.01", "10", "0.01", "0")] == ["ok", "low", "low", "exhausted"]


def test_automatic_emergency_credit_is_never_offered():
    automatic = Policy(emergency=EmergencyCredit(Money.yuan("10"), Money.yuan("2"), True))
    assert cut_level(automatic, is_emergency_taken=False) == Money.yuan("-10")
    for yuan, state in (("2", "ec-selected"), ("0", "ec-in-use"), ("-10", "exhausted")):
        assert credit_state(automatic, Money.yuan(yuan), is_emergency_taken=False) == state


def test_the_next_top_up_repays_emergency_credit_before_anything_else():
    # ¥10 lent at -5 and used to -12. ¥8 paid: -4, of which nothing is lent any more but the overdraft is.
    assert not is_repaid(POLICY, Money.yuan("-4"))
    # Only when the balance is above the offer, ¥2, is there something new to be offered.
    assert not is_repaid(POLICY, Money.yuan("2"))
    assert is_repaid(POLICY, Money.yuan("2.01"))
    assert is_repaid(Policy(), Money.yuan("-4"))


def test_there_are_two_alarms_before_the_cut():
    reached = [warned(Policy(), Money.yuan(y)) for y in ("10.01", "10", "3.01", "3", "-8")]
    assert reached == [Warned.NOT, Warned.FIRST, Warned.FIRST, Warned.FINAL, Warned.FINAL]


def test_every_level_that_changes_anything_is_looked_out_for():
    yuan = ("10", "3", "2", "-5")
    assert levels(POLICY, is_emergency_taken=False) == tuple(map(Money.yuan, yuan))
    assert levels(POLICY, is_emergency_taken=True)[-1] == Money.yuan("-15")


@given(st.integers(-3000, 3000), st.booleans())
def test_whoever_is_out_of_credit_is_exhausted_or_could_take_emergency_credit(
    fen: int, is_taken: bool
):
    balance = Money(fen)
    state = credit_state(POLICY, balance, is_emergency_taken=is_taken)
    known = knowing(str(balance), is_emergency_taken=is_taken)
    is_off = desired(POLICY, known).supply is Supply.OFF
    is_offered_below = state is CreditState.EC_OFFERED and balance <= Money.yuan("-5")
    assert is_off == (state is CreditState.EXHAUSTED or is_offered_below)
