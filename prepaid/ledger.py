"""Transfer 凭证: the only way money moves; and the names of the books 科目 it moves between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID, uuid5

from prepaid.money import ZERO, Money

Book = NewType("Book", str)

_NAMESPACE = UUID("6f1d7c52-8a53-4e0e-9f0c-3f4bb5ad2f11")


class Reason(StrEnum):
    """Why money moved."""

    TOP_UP = "top-up"  # 充值
    CHARGE = "charge"  # 扣费


class TransferIdReused(Exception):
    """One id, two contents. Someone is wrong; stop and look."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """amount leaves debit's owner for credit's: debit one book, credit another. It balances by its shape.

    The id is computed from reason and cause, so the same event booked twice is one transfer.

    Raises ValueError if the amount is not positive, the books are the same, or at has no time zone.
    """

    debit: Book
    credit: Book
    amount: Money
    reason: Reason
    cause: str
    at: datetime

    def __post_init__(self) -> None:
        if self.amount <= ZERO:
            raise ValueError(f"a transfer moves a positive amount, not {self.amount}")
        if self.debit == self.credit:
            raise ValueError(f"a transfer moves money between two books, not within {self.debit}")
        if self.at.tzinfo is None:
            raise ValueError("a transfer's time has a time zone")

    @property
    def id(self) -> UUID:
        return uuid5(_NAMESPACE, f"{self.reason}:{self.cause}")


def prepaid(purse: UUID) -> Book:
    """What we owe the customer in supply: Liabilities:Prepaid:{purse} 预收账款."""
    return Book(f"Liabilities:Prepaid:{purse}")


def clearing(channel: str) -> Book:
    """What a payment channel has collected and owes us: Assets:Clearing:{channel} 在途资金."""
    return Book(f"Assets:Clearing:{channel}")


def income(item: str) -> Book:
    """What was earned, by fee item: Income:{item} 收入."""
    return Book(f"Income:{item}")


def purse_of(book: Book) -> UUID | None:
    """The purse whose prepaid book this is, or None for any other book."""
    root, _, purse = book.rpartition(":")
    return UUID(purse) if root == "Liabilities:Prepaid" else None


def credit_balance(book: Book, transfers: Iterable[Transfer]) -> Money:
    """Credits less debits of one book: the balance of a liability or income book."""
    total = ZERO
    for transfer in transfers:
        if transfer.credit == book:
            total += transfer.amount
        if transfer.debit == book:
            total -= transfer.amount
    return total
