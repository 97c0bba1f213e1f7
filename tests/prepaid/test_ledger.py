from dataclasses import replace

import pytest

from prepaid import ledger
from prepaid.ledger import Reason, Transfer, credit_balance
from prepaid.money import ZERO, Money
from tests.prepaid.values import EVENING, PURSE

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
