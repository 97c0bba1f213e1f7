from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid import ledger
from prepaid.ledger import (
    OPENING,
    Book,
    OverCorrected,
    Reason,
    Root,
    Transfer,
    TransferIdReused,
    balances,
    correct,
    correctable,
    corrects,
    credit_balance,
    distinct,
    refundable,
    remaining,
    root_of,
    statement,
)
from prepaid.money import ZERO, Money
from tests.prepaid.values import EVENING, PURSE

MINE = ledger.prepaid(PURSE)

TOP_UP = Transfer(
    debit=ledger.clearing("sandbox"),
    credit=ledger.prepaid(PURSE),
    amount=Money.yuan("50"),
    reason=Reason.TOP_UP,
    cause="sandbox:42",
    at=EVENING,
)


def test_the_id_follows_from_reason_and_cause_alone():
    assert replace(TOP_UP, amount=Money(1)).id == TOP_UP.id
    assert replace(TOP_UP, cause="sandbox:43").id != TOP_UP.id
    assert replace(TOP_UP, reason=Reason.CHARGE).id != TOP_UP.id


def test_a_transfer_balances_by_its_shape():
    assert credit_balance(TOP_UP.credit, [TOP_UP]) == Money.yuan("50")
    assert credit_balance(TOP_UP.debit, [TOP_UP]) == Money.yuan("-50")


def test_a_transfer_that_moves_nothing_cannot_be_made():
    with pytest.raises(ValueError, match="positive"):
        replace(TOP_UP, amount=ZERO)
    with pytest.raises(ValueError, match="two books"):
        replace(TOP_UP, debit=TOP_UP.credit)
    with pytest.raises(ValueError, match="time zone"):
        replace(TOP_UP, at=EVENING.replace(tzinfo=None))


def test_the_purse_is_known_from_its_book():
    assert ledger.purse_of(ledger.prepaid(PURSE)) == PURSE
    assert ledger.purse_of(ledger.income("energy")) is None


def test_ids_are_what_they_have_always_been():
    # computed when the first ledgers were written; another id for the same event would book it twice
    assert TOP_UP.id == UUID("642102f5-8019-57ba-8d44-3ff948e5ab21")
    charge = moved("4.48", Reason.CHARGE, "p:energy:1", debit=MINE, credit=ledger.income("energy"))
    assert charge.id == UUID("417edd9c-f93e-5ebd-b585-642dc25be0ce")


@pytest.mark.parametrize("amount", [50.0, 50, "50", None])
def test_a_transfer_moves_money_and_nothing_that_looks_like_it(amount: object):
    with pytest.raises(TypeError, match="what a transfer moves is Money"):
        replace(TOP_UP, amount=amount)


def test_a_book_is_under_one_of_five_roots():
    account = UUID(int=7)
    assert ledger.receivable(account) == f"Assets:Receivable:{account}"
    assert ledger.expenses("subsidy") == "Expenses:subsidy"
    assert [root_of(b) for b in (MINE, ledger.receivable(account), ledger.income("x"))] == [
        Root.LIABILITIES,
        Root.ASSETS,
        Root.INCOME,
    ]
    assert [root_of(b) for b in (OPENING, ledger.expenses("x"))] == [Root.EQUITY, Root.EXPENSES]
    for name in ("", "Assets", "Assets:", "Cash:1", "liabilities:Prepaid:1"):
        with pytest.raises(ValueError, match="Liabilities, Assets, Income, Equity, Expenses"):
            root_of(Book(name))


def moved(
    yuan: str,
    reason: Reason,
    cause: str,
    *,
    debit: Book,
    credit: Book,
    minutes: int = 0,
) -> Transfer:
    return Transfer(
        debit, credit, Money.yuan(yuan), reason, cause, EVENING + timedelta(minutes=minutes)
    )


def paid(yuan: str, cause: str, *, minutes: int = 0) -> Transfer:
    return moved(
        yuan, Reason.TOP_UP, cause, debit=ledger.clearing("cash"), credit=MINE, minutes=minutes
    )


def gift(yuan: str, cause: str, *, minutes: int = 0) -> Transfer:
    return moved(
        yuan, Reason.SUBSIDY, cause, debit=ledger.expenses("gift"), credit=MINE, minutes=minutes
    )


def charged(yuan: str, cause: str, *, minutes: int = 0) -> Transfer:
    return moved(
        yuan, Reason.CHARGE, cause, debit=MINE, credit=ledger.income("energy"), minutes=minutes
    )


# Folding.


def test_balances_name_every_book_and_are_nothing_together():
    books = [paid("50", "1"), charged("6.72", "1"), gift("3", "1")]
    assert balances(books) == {
        "Assets:Clearing:cash": Money.yuan("-50"),
        "Expenses:gift": Money.yuan("-3"),
        "Income:energy": Money.yuan("6.72"),
        MINE: Money.yuan("46.28"),  # 50 + 3 − 6.72
    }


def test_a_transfer_that_comes_twice_counts_once():
    assert balances([TOP_UP, TOP_UP]) == balances([TOP_UP])
    assert statement(MINE, [TOP_UP, TOP_UP]) == statement(MINE, [TOP_UP])
    with pytest.raises(TransferIdReused):
        balances([TOP_UP, replace(TOP_UP, amount=Money(1))])


BOOKS = [MINE, ledger.clearing("cash"), ledger.income("energy"), OPENING, ledger.expenses("x")]


@st.composite
def transfers(draw: st.DrawFn) -> list[Transfer]:
    """Up to thirty transfers between five books; none a correction."""
    made = []
    for number in range(draw(st.integers(0, 30))):
        debit, credit = draw(st.permutations(BOOKS))[:2]
        made.append(
            Transfer(
                debit,
                credit,
                Money(draw(st.integers(1, 10**9))),
                draw(st.sampled_from([r for r in Reason if r is not Reason.CORRECTION])),
                str(number),
                EVENING + timedelta(minutes=draw(st.integers(0, 5))),
            )
        )
    return made


@given(transfers())
def test_the_books_are_always_in_balance(books: list[Transfer]):
    held = balances(books)
    assert sum(money.fen for money in held.values()) == 0
    assert all(held[book] == credit_balance(book, books) for book in held)


@given(transfers(), st.integers(0, 6), st.integers(0, 6), st.randoms(use_true_random=False))
def test_a_statement_leads_from_one_balance_to_the_next(books, first, second, shuffled):
    since, until = EVENING + timedelta(minutes=first), EVENING + timedelta(minutes=first + second)
    before = statement(MINE, books, until=since)
    between = statement(MINE, books, since=since, until=until)
    after = statement(MINE, books, since=until)

    assert (before.opening, after.closing) == (ZERO, credit_balance(MINE, books))
    assert (before.closing, between.closing) == (between.opening, after.opening)
    running = between.opening
    for line in between.lines:
        running += line.amount
        assert line.balance == running
    assert running == between.closing

    mixed = list(books)
    shuffled.shuffle(mixed)
    assert statement(MINE, mixed, since=since, until=until) == between


def test_a_statement_reads_as_the_owner_of_the_book_reads_it():
    books = [paid("50", "1"), charged("6.72", "1", minutes=1)]
    purse = statement(MINE, books)
    assert [(str(line.amount), str(line.balance)) for line in purse.lines] == [
        ("50.00", "50.00"),
        ("-6.72", "43.28"),
    ]
    assert [line.other for line in purse.lines] == ["Assets:Clearing:cash", "Income:energy"]
    # what the cash desk holds rises by debits
    assert statement(ledger.clearing("cash"), books).closing == Money.yuan("50")


# Corrections.


def test_a_correction_goes_the_other_way_and_names_the_original():
    made = correct(TOP_UP, [TOP_UP], amount=Money.yuan("20"), number="1", at=EVENING)
    assert (made.debit, made.credit) == (TOP_UP.credit, TOP_UP.debit)
    assert (made.reason, made.cause) == (Reason.CORRECTION, f"{TOP_UP.id}:1")
    assert corrects(made) == TOP_UP.id
    assert corrects(TOP_UP) is None
    assert remaining(TOP_UP, [TOP_UP, made]) == Money.yuan("30")  # 50 − 20


def test_no_more_can_be_taken_back_than_was_moved():
    books = [TOP_UP]
    books.append(correct(TOP_UP, books, amount=Money.yuan("20"), number="1", at=EVENING))
    with pytest.raises(OverCorrected, match=r"moved 50.00, of which 30.00 can be taken back"):
        correct(TOP_UP, books, amount=Money.yuan("30.01"), number="2", at=EVENING)
    books.append(correct(TOP_UP, books, amount=Money.yuan("30"), number="2", at=EVENING))
    assert remaining(TOP_UP, books) == ZERO
    assert set(balances(books).values()) == {ZERO}


def test_the_same_correction_again_is_the_same_transfer():
    books = [TOP_UP]
    first = correct(TOP_UP, books, amount=Money.yuan("50"), number="1", at=EVENING)
    later = EVENING + timedelta(hours=1)
    again = correct(TOP_UP, [*books, first], amount=Money.yuan("50"), number="1", at=later)
    assert again == first
    with pytest.raises(TransferIdReused, match=r"with 50.00 and not 49.00"):
        correct(TOP_UP, [*books, first], amount=Money.yuan("49"), number="1", at=later)


def test_what_is_not_booked_or_not_numbered_is_not_corrected():
    with pytest.raises(ValueError, match="not among the transfers given"):
        correct(TOP_UP, [], amount=Money(1), number="1", at=EVENING)
    with pytest.raises(ValueError, match="number"):
        correct(TOP_UP, [TOP_UP], amount=Money(1), number="", at=EVENING)


def test_a_correction_that_names_no_transfer_is_found_out():
    with pytest.raises(ValueError, match="begins with the id"):
        corrects(replace(TOP_UP, reason=Reason.CORRECTION, cause="it was wrong"))


def test_a_corrected_correction_gives_way_to_another():
    books = [TOP_UP]
    # 50 taken back by mistake, the mistake taken back, then 10 rightly taken back: 50 − 50 + 50 − 10
    wrong = correct(TOP_UP, books, amount=Money.yuan("50"), number="1", at=EVENING)
    books.append(wrong)
    undone = correct(wrong, books, amount=Money.yuan("50"), number="1", at=EVENING)
    books.append(undone)
    assert correctable(TOP_UP, books) == Money.yuan("50")
    books.append(correct(TOP_UP, books, amount=Money.yuan("10"), number="2", at=EVENING))
    assert credit_balance(MINE, books) == Money.yuan("40")

    # the undoing may be undone for the 40 still moved, not for its 50: the top-up would move less than nothing
    assert remaining(undone, books) == Money.yuan("50")
    assert correctable(undone, books) == Money.yuan("40")
    with pytest.raises(OverCorrected):
        correct(undone, books, amount=Money.yuan("40.01"), number="1", at=EVENING)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6000)), max_size=25))
def test_however_corrections_are_corrected_a_transfer_moves_no_less_than_nothing(steps):
    books = [TOP_UP]
    for number, (which, fen) in enumerate(steps):
        target = books[which % len(books)]
        before = correctable(target, books)
        try:
            made = correct(target, books, amount=Money(fen), number=str(number), at=EVENING)
        except OverCorrected:
            assert Money(fen) > before
            continue
        assert Money(fen) <= before
        books.append(made)
    for transfer in books:
        assert ZERO <= remaining(transfer, books) <= transfer.amount
    # what the top-up still moves is what stands in the purse
    assert remaining(TOP_UP, books) == credit_balance(MINE, books)


def test_a_long_chain_of_corrections_is_followed_to_its_end():
    books = [TOP_UP]
    for _ in range(1500):
        books.append(
            correct(books[-1], books, amount=Money.yuan("50"), number="1", at=EVENING)
            if len(books) < 3
            else replace(books[-2], reason=Reason.CORRECTION, cause=f"{books[-1].id}:1", at=EVENING)
        )
    assert remaining(TOP_UP, books) == Money.yuan("50")  # an even number of corrections


# What may be paid out.


def test_a_gift_is_not_paid_out():
    books = [paid("50", "1"), gift("5", "1", minutes=1), charged("10", "1", minutes=2)]
    # the gift is used up first: 5 of the 10, so 45 of the 50 paid are left
    assert refundable(MINE, books, subsidies_first=True) == Money.yuan("45")
    # the money paid is used up first: 50 − 10
    assert refundable(MINE, books, subsidies_first=False) == Money.yuan("40")


def test_a_gift_that_comes_when_all_is_used_up_is_not_paid_out():
    books = [paid("50", "1"), charged("50", "1", minutes=1), gift("5", "1", minutes=2)]
    assert refundable(MINE, books, subsidies_first=True) == ZERO


def test_credit_fills_what_is_lacking_before_it_can_be_paid_out():
    # 8 below zero; 3 given leave 5 below; 50 paid leave 45
    books = [charged("8", "1"), gift("3", "1", minutes=1), paid("50", "1", minutes=2)]
    assert refundable(MINE, books, subsidies_first=True) == Money.yuan("45")


def test_what_was_corrected_counts_as_if_it_had_never_been():
    wrong = charged("50", "1", minutes=1)
    books = [paid("50", "1"), gift("5", "1"), wrong]
    books.append(correct(wrong, books, amount=Money.yuan("50"), number="1", at=EVENING))
    assert refundable(MINE, books, subsidies_first=True) == Money.yuan("50")
    assert credit_balance(MINE, books) == Money.yuan("55")


def test_a_refund_is_paid_out_of_what_was_paid():
    books = [paid("50", "1"), gift("5", "1")]
    refund = moved("20", Reason.REFUND, "1", debit=MINE, credit=ledger.clearing("cash"), minutes=1)
    assert refundable(MINE, [*books, refund], subsidies_first=True) == Money.yuan("30")


@given(transfers(), st.booleans())
def test_no_more_is_paid_out_than_the_purse_holds(books: list[Transfer], subsidies_first: bool):
    most = refundable(MINE, books, subsidies_first=subsidies_first)
    assert ZERO <= most <= max(ZERO, credit_balance(MINE, books))
    only_paid = [t for t in books if t.reason is not Reason.SUBSIDY]
    held = credit_balance(MINE, only_paid)
    assert refundable(MINE, only_paid, subsidies_first=subsidies_first) == max(ZERO, held)


@given(transfers())
def test_each_transfer_comes_once_and_in_its_order(books: list[Transfer]):
    assert distinct([*books, *books]) == tuple(books)


def test_a_refund_is_of_what_was_paid_even_where_clocks_put_it_before_the_payment():
    # ¥50 paid and ¥10 given at one instant, ¥20 moved away a second earlier, as another clock says: of the
    # ¥40 that are left ¥30 were paid for.
    later, other = EVENING + timedelta(seconds=1), ledger.moving(UUID(int=9))
    gift = Transfer(ledger.expenses("gift"), MINE, Money.yuan("10"), Reason.SUBSIDY, "g", later)
    moved = Transfer(MINE, other, Money.yuan("20"), Reason.MOVE, "m", EVENING)
    books = [moved, gift, replace(TOP_UP, at=later)]
    assert refundable(MINE, books, subsidies_first=True) == Money.yuan("30")
    assert refundable(MINE, books, subsidies_first=False) == Money.yuan("30")
