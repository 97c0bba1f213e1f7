"""Offline codes: what one opens, and that nothing else does."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.money import ZERO, Money
from prepaid.offline_code import (
    MOST,
    WINDOW,
    Credit,
    NotACode,
    WrongCode,
    check,
    make,
    read,
    shown,
)

KEY = bytes(range(32))
PURSE = UUID("00000000-0000-0000-0000-00000000000a")

keys = st.binary(min_size=32, max_size=32)
purses = st.uuids()
amounts = st.integers(1, MOST.fen).map(Money)
numbers = st.integers(1, 1_000_000)
credits = st.builds(Credit, numbers, amounts)


def test_a_code_is_twenty_digits_its_number_its_amount_and_a_check():
    code = make(KEY, purse=PURSE, credit=Credit(7, Money.yuan("50.00")))

    # The last ten digits are HMAC-SHA256 under KEY of "wattwell offline code 1", the purse, 7 and 5000, a line
    # each, modulo 10^10; worked out with `openssl dgst -sha256 -mac hmac` and `bc`.
    assert code == "007" + "0005000" + "1226554187"
    assert check(KEY, code, purse=PURSE, last=6) == Credit(7, Money.yuan("50.00"))


@given(keys, purses, credits, st.integers(1, WINDOW))
def test_a_code_opens_its_credit_wherever_in_the_window_it_is(key, purse, credit, ahead):
    last = max(credit.number - ahead, 0)
    code = make(key, purse=purse, credit=credit)
    if credit.number <= last + WINDOW:
        assert check(key, code, purse=purse, last=last) == credit


@given(keys, purses, credits, st.integers(0, 899))
def test_a_code_whose_credit_has_come_still_tells_which_it_was(key, purse, credit, behind):
    code = make(key, purse=purse, credit=credit)
    assert check(key, code, purse=purse, last=credit.number + behind) == credit


@given(keys, purses, credits, st.integers(0, 19), st.integers(1, 9))
def test_a_code_with_any_one_digit_changed_is_refused(key, purse, credit, place, by):
    code = make(key, purse=purse, credit=credit)
    digit = (int(code[place]) + by) % 10
    changed = f"{code[:place]}{digit}{code[place + 1 :]}"
    with pytest.raises(WrongCode):
        check(key, changed, purse=purse, last=credit.number - 1)


@given(keys, purses, credits, st.integers(0, 18))
def test_a_code_with_two_neighbours_swapped_is_refused(key, purse, credit, place):
    code = make(key, purse=purse, credit=credit)
    swapped = f"{code[:place]}{code[place + 1]}{code[place]}{code[place + 2 :]}"
    if swapped != code:
        with pytest.raises(WrongCode):
            check(key, swapped, purse=purse, last=credit.number - 1)


@given(keys, keys, purses, purses, credits)
def test_a_code_of_another_gateway_or_another_purse_is_refused(key, other, purse, another, credit):
    code = make(key, purse=purse, credit=credit)
    if other != key:
        with pytest.raises(WrongCode):
            check(other, code, purse=purse, last=credit.number - 1)
    if another != purse:
        with pytest.raises(WrongCode):
            check(key, code, purse=another, last=credit.number - 1)


@given(keys, purses, credits)
def test_a_code_further_ahead_than_the_window_is_refused(key, purse, credit):
    code = make(key, purse=purse, credit=credit)
    if credit.number > WINDOW:
        with pytest.raises(WrongCode):
            check(key, code, purse=purse, last=credit.number - WINDOW - 1)


@given(keys, purses, credits)
def test_a_code_is_not_that_of_the_credit_a_thousand_later(key, purse, credit):
    later = Credit(credit.number + 1000, credit.amount)
    code = make(key, purse=purse, credit=credit)
    assert code[:10] == make(key, purse=purse, credit=later)[:10]
    with pytest.raises(WrongCode):
        check(key, code, purse=purse, last=later.number - 1)


@pytest.mark.parametrize("amount", [ZERO, Money(-1), Money(MOST.fen + 1)])
def test_an_amount_that_no_code_can_carry_is_refused(amount):
    with pytest.raises(ValueError, match="more than nothing and at most"):
        Credit(1, amount)


def test_credits_are_counted_from_one():
    with pytest.raises(ValueError, match="counted from 1"):
        Credit(0, Money(1))


def test_a_code_over_nothing_is_refused_whatever_its_check_says():
    for last in (0, 5):
        with pytest.raises(WrongCode):
            check(KEY, "001" + "0000000" + "1234567890", purse=PURSE, last=last)


def test_before_the_first_credit_no_number_is_below_one():
    # Numbers 1 to 100 can be meant; 900 would be credit -100.
    with pytest.raises(WrongCode):
        check(KEY, "900" + "0005000" + "1234567890", purse=PURSE, last=0)


def test_a_short_key_is_refused_by_both_sides():
    with pytest.raises(ValueError, match="at least 32 bytes"):
        make(b"short", purse=PURSE, credit=Credit(1, Money(1)))
    with pytest.raises(ValueError, match="at least 32 bytes"):
        check(b"short", "001" + "0000001" + "1234567890", purse=PURSE, last=0)


@pytest.mark.parametrize(
    "typed",
    [
        "12345678901234567890",
        "1234 5678 9012 3456 7890",
        " 1234-5678-9012-3456-7890\n",
        "１２３４　５６７８　９０１２　３４５６　７８９０",
        "1234\u00a05678\u20119012–3456 7890",
    ],
)
def test_spaces_hyphens_and_full_width_digits_do_not_matter(typed):
    assert read(typed) == "12345678901234567890"


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("", 0),
        ("1234 5678 9012 3456 789", 19),
        ("123456789012345678901", 21),
        ("1234 5678 9O12 3456 7890", 19),  # a letter O
        ("١٢٣٤٥٦٧٨٩٠١٢٣٤٥٦٧٨٩٠", 0),
    ],
)
def test_what_is_no_code_says_how_many_digits_were_typed(typed, digits):
    with pytest.raises(NotACode) as refused:
        read(typed)
    assert refused.value.digits == digits


def test_a_code_is_shown_in_groups_of_four_and_read_back():
    assert shown("12345678901234567890") == "1234 5678 9012 3456 7890"
    assert read(shown("12345678901234567890")) == "12345678901234567890"
