"""What becomes of a top-up: debt by agreement, what the purse is below zero, balance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid import ledger
from prepaid.allocation import WEEK, Agreement, Allocation, Kind, allocate, repaid
from prepaid.ledger import Reason, Transfer, balances, correct, credit_balance
from prepaid.money import ZERO, Money
from prepaid.purse import Purpose
from tests.prepaid.values import EVENING, PURSE

ACCOUNT = UUID("00000000-0000-0000-0000-0000000000ac")
MINE = ledger.prepaid(PURSE)
OWED = ledger.receivable(ACCOUNT)

AGREEMENT = Agreement(
    number="A7",
    account=ACCOUNT,
    debt=Purpose.ELECTRICITY,
    amount=Money.yuan("100"),
    part=Decimal("0.30"),
    week_cap=Money.yuan("50"),
    also_from=frozenset(),
    since=EVENING,
    until=None,
)
DEBT = Transfer(OWED, ledger.OPENING, Money.yuan("100"), Reason.OPENING, "debt", EVENING)


def top_up(yuan: str, cause: str = "1", *, days: int = 0) -> Transfer:
    return Transfer(
        ledger.clearing("cash"),
        MINE,
        Money.yuan(yuan),
        Reason.TOP_UP,
        cause,
        EVENING + timedelta(days=days),
    )


def charged(yuan: str) -> Transfer:
    return Transfer(
        MINE, ledger.income("energy"), Money.yuan(yuan), Reason.CHARGE, f"c{yuan}", EVENING
    )


def allocated(
    topup: Transfer,
    booked: Iterable[Transfer] = (),
    *agreements: Agreement,
    purpose: Purpose = Purpose.ELECTRICITY,
    carried: dict[str, Decimal] | None = None,
) -> Allocation:
    return allocate(
        topup, purpose=purpose, booked=booked, agreements=agreements, carried=carried or {}
    )


def receipt(allocation: Allocation) -> list[tuple[str, str, str]]:
    return [(line.kind.value, str(line.amount), str(line.left)) for line in allocation.lines]


def test_without_agreement_or_deficit_all_of_it_is_balance():
    done = allocated(top_up("50"))
    assert receipt(done) == [("balance", "50.00", "50.00")]
    assert done.transfers == (top_up("50"),)
    # what stands in the purse already is not lost from sight: 3 were there
    before = [replace(top_up("3", "0"))]
    assert receipt(allocated(top_up("50"), before)) == [("balance", "50.00", "53.00")]


def test_no_debt_is_collected_without_an_agreement():
    done = allocated(top_up("50"), [DEBT])
    assert receipt(done) == [("balance", "50.00", "50.00")]


def test_debt_first_then_what_is_lacking_then_balance():
    # 8.00 below zero. 30 % of 50 is 15.00 of the debt, leaving 85.00; 8.00 make up the deficit; 27.00 remain
    done = allocated(top_up("50"), [DEBT, charged("8")], AGREEMENT)
    assert receipt(done) == [
        ("debt", "15.00", "85.00"),
        ("emergency", "8.00", "0.00"),
        ("balance", "27.00", "27.00"),
    ]
    assert balances([DEBT, charged("8"), *done.transfers]) == {
        "Assets:Clearing:cash": Money.yuan("-50"),
        OWED: Money.yuan("-85"),
        "Equity:Opening": Money.yuan("100"),
        "Income:energy": Money.yuan("8"),
        MINE: Money.yuan("27"),
    }
    assert [t.reason for t in done.transfers] == [Reason.TOP_UP, Reason.REPAYMENT]


def test_a_top_up_too_small_for_the_deficit_leaves_the_rest_of_it():
    # 8.00 below zero; 30 % of 10 is 3.00; 7.00 of the 8.00 are made up, and 1.00 is still lacking
    done = allocated(top_up("10"), [DEBT, charged("8")], AGREEMENT)
    assert receipt(done) == [
        ("debt", "3.00", "97.00"),
        ("emergency", "7.00", "1.00"),
        ("balance", "0.00", "-1.00"),
    ]


def test_a_week_takes_no_more_than_its_cap():
    # 30 % of 150 is 45; 30 % of 100 would be 30, but only 5 are left of the 50 of these seven days
    first = allocated(top_up("150", "1"), [DEBT], AGREEMENT)
    second = allocated(top_up("100", "2", days=6), [DEBT, *first.transfers], AGREEMENT)
    assert receipt(first)[0] == ("debt", "45.00", "55.00")
    assert receipt(second)[0] == ("debt", "5.00", "50.00")
    # seven days after the first, its 45 no longer count; the 5 of yesterday do
    booked = [DEBT, *first.transfers, *second.transfers]
    third = allocated(top_up("200", "3", days=7), booked, AGREEMENT)
    assert receipt(third)[0] == ("debt", "45.00", "5.00")


def test_a_payment_told_late_does_not_widen_the_week():
    # what was repaid three days after it counts against it too
    later = allocated(top_up("150", "1", days=3), [DEBT], AGREEMENT)
    told_late = allocated(top_up("150", "2"), [DEBT, *later.transfers], AGREEMENT)
    assert receipt(told_late)[0] == ("debt", "5.00", "50.00")
    # what was repaid seven days after it does not
    next_week = allocated(top_up("150", "1", days=7), [DEBT], AGREEMENT)
    told_late = allocated(top_up("150", "2"), [DEBT, *next_week.transfers], AGREEMENT)
    assert receipt(told_late)[0] == ("debt", "45.00", "10.00")


def test_no_more_is_repaid_than_the_account_still_owes():
    # 95 of the 100 were paid at the counter: 5 are owed, whatever the agreement covers
    at_the_counter = Transfer(
        ledger.clearing("cash"), OWED, Money.yuan("95"), Reason.REPAYMENT, "counter:1", EVENING
    )
    done = allocated(top_up("50"), [DEBT, at_the_counter], AGREEMENT)
    assert receipt(done)[0] == ("debt", "5.00", "0.00")
    after = [DEBT, at_the_counter, *done.transfers]
    again = allocated(top_up("50", "2", days=9), after, AGREEMENT)
    assert receipt(again) == [("balance", "50.00", "95.00")]  # 50 − 5 + 50


def test_no_more_is_repaid_than_the_agreement_covers():
    small = replace(AGREEMENT, amount=Money.yuan("10"))
    done = allocated(top_up("50"), [DEBT], small)
    assert receipt(done)[0] == ("debt", "10.00", "0.00")
    assert repaid(small, done.transfers) == Money.yuan("10")


def test_a_corrected_repayment_is_owed_again():
    done = allocated(top_up("50"), [DEBT], AGREEMENT)
    books = [DEBT, *done.transfers]
    books.append(correct(books[-1], books, amount=Money.yuan("15"), number="1", at=EVENING))
    assert repaid(AGREEMENT, books) == ZERO
    again = allocated(top_up("200", "2"), books, AGREEMENT)
    # 30 % of 200 is 60, capped at the whole 50 of the week
    assert receipt(again)[0] == ("debt", "50.00", "50.00")


def test_the_part_of_a_fen_is_taken_with_the_next_top_up():
    # a third: 0.333 × 0.05 = 1.665 fen → 1, 0.665 carried; again 1.665 + 0.665 = 2.330 → 2, 0.330 carried
    third = replace(AGREEMENT, part=Decimal("0.333"))
    first = allocated(top_up("0.05", "1"), [DEBT], third)
    assert (receipt(first)[0], first.carried) == (
        ("debt", "0.01", "99.99"),
        {"A7": Decimal("0.665")},
    )
    second = allocated(
        top_up("0.05", "2"), [DEBT, *first.transfers], third, carried=dict(first.carried)
    )
    assert (receipt(second)[0], second.carried) == (
        ("debt", "0.02", "99.97"),
        {"A7": Decimal("0.330")},
    )


def test_less_than_a_fen_is_only_carried():
    small = replace(AGREEMENT, part=Decimal("0.1"))
    done = allocated(top_up("0.05"), [DEBT], small)
    assert receipt(done) == [("balance", "0.05", "0.05")]
    assert (done.transfers, done.carried) == ((top_up("0.05"),), {"A7": Decimal("0.5")})


def test_what_the_cap_cuts_off_is_not_carried():
    done = allocated(top_up("500.01"), [DEBT], AGREEMENT)  # 30 % is 150.003
    assert receipt(done)[0] == ("debt", "50.00", "50.00")
    assert done.carried == {}
    # nor what had been carried until then
    assert allocated(top_up("500"), [DEBT], AGREEMENT, carried={"A7": Decimal("0.5")}).carried == {}


@pytest.mark.parametrize(
    ("debt", "purpose", "also_from", "takes"),
    [
        (Purpose.PROPERTY, Purpose.ELECTRICITY, set(), False),
        (Purpose.PROPERTY, Purpose.UTILITY, set(), False),
        (Purpose.PROPERTY, Purpose.UTILITY, {Purpose.UTILITY}, True),
        (Purpose.PROPERTY, Purpose.PROPERTY, set(), True),
        (Purpose.ELECTRICITY, Purpose.ELECTRICITY, set(), True),
        (Purpose.ELECTRICITY, Purpose.UTILITY, set(), True),
        (Purpose.WATER, Purpose.UTILITY, set(), True),
        (Purpose.WATER, Purpose.ELECTRICITY, set(), False),
        (Purpose.WATER, Purpose.ELECTRICITY, {Purpose.ELECTRICITY}, True),
        (Purpose.UTILITY, Purpose.ELECTRICITY, set(), False),
        (Purpose.ELECTRICITY, Purpose.PROPERTY, set(), False),
    ],
)
def test_a_debt_is_repaid_from_a_purse_for_it_or_where_the_agreement_says_so(
    debt, purpose, also_from, takes
):
    agreement = replace(AGREEMENT, debt=debt, also_from=frozenset(also_from))
    done = allocated(top_up("50"), [DEBT], agreement, purpose=purpose)
    assert [line.kind for line in done.lines] == [*([Kind.DEBT] * takes), Kind.BALANCE]


def test_an_agreement_holds_from_its_beginning_and_not_at_its_end():
    ended = replace(AGREEMENT, until=EVENING + timedelta(days=1))
    kinds = [
        len(allocated(top_up("50", days=days), [DEBT], ended).lines) - 1 for days in (-1, 0, 1)
    ]
    assert kinds == [0, 1, 0]


def test_agreements_are_served_in_order_of_their_numbers_until_nothing_is_left():
    greedy = replace(AGREEMENT, number="A1", part=Decimal(1), amount=Money.yuan("30"))
    done = allocated(top_up("40"), [DEBT], AGREEMENT, greedy)
    # A1 takes all of it up to its 30; 30 % of 40 is 12, of which 10 are left
    assert [(line.agreement, str(line.amount)) for line in done.lines] == [
        ("A1", "30.00"),
        ("A7", "10.00"),
        (None, "0.00"),
    ]
    assert credit_balance(MINE, done.transfers) == ZERO


def test_what_is_no_new_top_up_of_a_purse_is_refused():
    with pytest.raises(ValueError, match="no top-up of a purse"):
        allocated(replace(top_up("50"), reason=Reason.SUBSIDY))
    with pytest.raises(ValueError, match="no top-up of a purse"):
        allocated(replace(top_up("50"), credit=OWED))
    with pytest.raises(ValueError, match="booked already"):
        allocated(top_up("50"), [top_up("50")])
    with pytest.raises(ValueError, match="one number"):
        allocated(top_up("50"), [], AGREEMENT, replace(AGREEMENT, amount=Money(1)))
    with pytest.raises(ValueError, match="less than a fen"):
        allocated(top_up("50"), [], AGREEMENT, carried={"A7": Decimal(1)})
    with pytest.raises(TypeError):
        allocated(top_up("50"), [], AGREEMENT, carried={"A7": 0.5})  # type: ignore[dict-item]


def test_an_agreement_that_cannot_be_kept_is_refused():
    for part in ("0", "1.01", "-0.1"):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            replace(AGREEMENT, part=Decimal(part))
    with pytest.raises(TypeError):
        replace(AGREEMENT, part=0.3)  # type: ignore[arg-type]
    for wrong in ({"amount": ZERO}, {"week_cap": ZERO}):
        with pytest.raises(ValueError, match="more than nothing"):
            replace(AGREEMENT, **wrong)
    with pytest.raises(ValueError, match="number"):
        replace(AGREEMENT, number="")
    with pytest.raises(ValueError, match="time zone"):
        replace(AGREEMENT, since=EVENING.replace(tzinfo=None))


amounts = st.integers(1, 10**7).map(Money)
parts = st.decimals(min_value=Decimal("0.001"), max_value=1, places=3)


@given(
    st.lists(st.tuples(amounts, st.integers(0, 40)), min_size=1, max_size=12),
    st.lists(st.tuples(parts, amounts, amounts), max_size=3),
    st.integers(0, 10**6),
)
def test_a_top_up_is_taken_apart_whole_and_no_week_above_its_cap(topups, terms, lacking):
    agreements = [
        replace(AGREEMENT, number=f"A{number}", part=part, week_cap=cap, amount=amount)
        for number, (part, cap, amount) in enumerate(terms)
    ]
    books = [replace(DEBT, amount=Money(10**8))]
    if lacking:
        books.append(replace(charged("1"), amount=Money(lacking)))
    carried: dict[str, Decimal] = {}
    for number, (amount, days) in enumerate(topups):
        before = credit_balance(MINE, books)
        topup = replace(top_up("1", str(number), days=days), amount=amount)
        done = allocated(topup, books, *agreements, carried=carried)
        books += done.transfers
        carried = dict(done.carried)

        assert sum(line.amount.fen for line in done.lines) == amount.fen
        assert all(line.amount >= ZERO for line in done.lines)
        debts = sum(line.amount.fen for line in done.lines if line.kind is Kind.DEBT)
        after = credit_balance(MINE, books)
        assert after.fen - before.fen == amount.fen - debts
        assert done.lines[-1].kind is Kind.BALANCE
        assert done.lines[-1].left == after
        assert all(0 <= part < 1 for part in carried.values())
    for agreement in agreements:
        assert repaid(agreement, books) <= agreement.amount
        taken = [t for t in books if t.cause.startswith(f"{agreement.number}:")]
        for first in taken:
            week = [t for t in taken if first.at <= t.at < first.at + WEEK]
            assert sum(t.amount.fen for t in week) <= agreement.week_cap.fen


@given(st.lists(amounts, min_size=1, max_size=12), parts)
def test_however_a_sum_is_topped_up_the_same_is_repaid(topups, part):
    plenty = Money(10**10)
    agreement = replace(AGREEMENT, part=part, week_cap=plenty, amount=plenty)
    books = [replace(DEBT, amount=plenty)]
    carried: dict[str, Decimal] = {}
    for number, amount in enumerate(topups):
        topup = replace(top_up("1", str(number)), amount=amount)
        done = allocated(topup, books, agreement, carried=carried)
        books += done.transfers
        carried = dict(done.carried)
    together = sum(amount.fen for amount in topups)
    assert repaid(agreement, books).fen == int(part * together)
