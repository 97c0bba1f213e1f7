"""Transfer 凭证: the only way money moves; and the names of the books 科目 it moves between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha1
from typing import NewType, TypeVar
from uuid import UUID

from prepaid.money import ZERO, Money, typed
from prepaid.record import record

Book = NewType("Book", str)

K = TypeVar("K")
V = TypeVar("V")

_NAMESPACE = UUID("6f1d7c52-8a53-4e0e-9f0c-3f4bb5ad2f11").bytes


class Reason(StrEnum):
    """Why money moved: the lines that a customer's statement knows."""

    TOP_UP = "top-up"  # 充值
    CHARGE = "charge"  # 扣费: what a meter measured, at its tariff
    SHARE = "share"  # 公摊: a share of a common cost
    FEE = "fee"  # 费用: service fee 服务费, property fee 物业费, late fee 违约金
    SUBSIDY = "subsidy"  # 补助、赠送: credit nobody paid for, and that is never paid out
    REFUND = "refund"  # 退费
    ADJUSTMENT = "adjustment"  # 补正: agreed after a dispute or a faulty meter, either way
    CORRECTION = "correction"  # 冲正: takes back one transfer, or part of it; see correct
    DEBT = "debt"  # 转欠: what a purse lacks becomes a debt of the account
    REPAYMENT = "repayment"  # 还欠: of a debt, from a purse or paid for itself
    OPENING = "opening"  # 期初: what was there when the books were opened
    WRITE_OFF = "write-off"  # 核销、清零: given up, by either side
    MOVE = "move"  # 转账: from one purse to another, by the customer's order


class TransferIdReused(Exception):
    """One id, two contents. Someone is wrong; stop and look."""


class OverCorrected(ValueError):
    """More would be taken back than the transfer still moves. Tell the person how much can be."""


@record
@dataclass(frozen=True, slots=True)
class Transfer:
    """amount leaves debit's owner for credit's: debit one book, credit another. It balances by its shape.

    The id is computed from reason and cause, so the same event booked twice is one transfer.

    Raises TypeError if the amount is not Money, ValueError if it is not positive, the books are the same,
    or at has no time zone.
    """

    debit: Book
    credit: Book
    amount: Money
    reason: Reason
    cause: str
    at: datetime

    def __post_init__(self) -> None:
        typed(self.amount, "what a transfer moves")
        if self.amount.fen <= 0:
            raise ValueError(f"a transfer moves a positive amount, not {self.amount}")
        if self.debit == self.credit:
            raise ValueError(f"a transfer moves money between two books, not within {self.debit}")
        if self.at.tzinfo is None:
            raise ValueError("a transfer's time has a time zone")

    @property
    def id(self) -> UUID:
        # uuid.uuid5, but for its namespace, which is always the same
        name = sha1(_NAMESPACE + f"{self.reason}:{self.cause}".encode(), usedforsecurity=False)
        return UUID(bytes=name.digest()[:16], version=5)


# Books.


class Root(StrEnum):
    """The first word of a book's name."""

    LIABILITIES = "Liabilities"  # 负债
    ASSETS = "Assets"  # 资产
    INCOME = "Income"  # 收入
    EQUITY = "Equity"  # 权益
    EXPENSES = "Expenses"  # 支出


OPENING = Book("Equity:Opening")  # 期初余额: where what was there before the books comes from


@lru_cache(maxsize=4096)
def prepaid(purse: UUID) -> Book:
    """What we owe the customer in supply: Liabilities:Prepaid:{purse} 预收账款."""
    return Book(f"Liabilities:Prepaid:{purse}")


def clearing(channel: str) -> Book:
    """What a payment channel has collected and owes us: Assets:Clearing:{channel} 在途资金."""
    return Book(f"Assets:Clearing:{channel}")


def returning(channel: str) -> Book:
    """What was paid twice and goes back to whoever paid: Liabilities:Returning:{channel} 待退款."""
    return Book(f"Liabilities:Returning:{channel}")


def moving(purse: UUID) -> Book:
    """What was taken out of a purse for another, and is not there yet: Liabilities:Moving:{purse} 转账在途."""
    return Book(f"Liabilities:Moving:{purse}")


def receivable(account: UUID) -> Book:
    """What an account owes us outside its purses: Assets:Receivable:{account} 应收账款."""
    return Book(f"Assets:Receivable:{account}")


def income(item: str) -> Book:
    """What was earned, by fee item: Income:{item} 收入."""
    return Book(f"Income:{item}")


def expenses(what: str) -> Book:
    """What was given away or lost: Expenses:{what} 支出 (subsidy, write-off, loss)."""
    return Book(f"Expenses:{what}")


@lru_cache(maxsize=4096)
def purse_of(book: Book) -> UUID | None:
    """The purse whose prepaid book this is, or None for any other book."""
    root, _, purse = book.rpartition(":")
    return UUID(purse) if root == "Liabilities:Prepaid" else None


def root_of(book: Book) -> Root:
    """Raises ValueError if the book's name does not begin with one of the five roots."""
    first, _, rest = book.partition(":")
    if not rest or first not in set(Root):
        raise ValueError(
            f"a book's name is one of {', '.join(Root)}, a colon and more; not {book!r}"
        )
    return Root(first)


# Folding.


def credit_balance(book: Book, transfers: Iterable[Transfer]) -> Money:
    """Credits less debits of one book: the balance of a liability or income book."""
    total = ZERO
    for transfer in transfers:
        if transfer.credit == book:
            total += transfer.amount
        if transfer.debit == book:
            total -= transfer.amount
    return total


def balances(transfers: Iterable[Transfer]) -> Mapping[Book, Money]:
    """Credits less debits of every book that is named: the trial balance 试算平衡; together they are zero.

    A transfer given twice counts once. Raises TransferIdReused if one id comes with two contents.
    """
    fen: defaultdict[Book, int] = defaultdict(int)
    for transfer in distinct(transfers):
        fen[transfer.credit] += transfer.amount.fen
        fen[transfer.debit] -= transfer.amount.fen
    return {book: Money(fen[book]) for book in sorted(fen)}


def distinct(transfers: Iterable[Transfer]) -> tuple[Transfer, ...]:
    """Each transfer once, in the order in which they came. Raises TransferIdReused."""
    known: dict[UUID, Transfer] = {}
    for transfer in transfers:
        if known.setdefault(transfer.id, transfer) != transfer:
            raise TransferIdReused(
                f"{transfer.reason}:{transfer.cause} came twice, with two contents"
            )
    return tuple(known.values())


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One transfer as one book sees it. amount is signed as balance is; other is the book on the other side."""

    transfer: Transfer
    other: Book
    amount: Money
    balance: Money


@dataclass(frozen=True, slots=True)
class Statement:
    """对账单: opening balance, lines oldest first with the balance after each, closing balance.

    A prepaid, income or equity book rises by credits; an asset or expense book by debits, so that what a
    channel holds or an account owes reads as a positive number.
    """

    book: Book
    opening: Money
    lines: tuple[StatementLine, ...]
    closing: Money


def statement(
    book: Book,
    transfers: Iterable[Transfer],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Statement:
    """What moved in one book from since (inclusive) to until (exclusive), in order of time, then id.

    Without since from the first transfer, without until to the last. Raises TransferIdReused, or
    ValueError if the book has none of the five roots.
    """
    sign = -1 if root_of(book) in (Root.ASSETS, Root.EXPENSES) else 1
    balance = opening = ZERO
    lines: list[StatementLine] = []
    for transfer in sorted(distinct(transfers), key=lambda t: (t.at, t.id)):
        if book not in (transfer.debit, transfer.credit):
            continue
        if until is not None and transfer.at >= until:
            break
        is_credit = transfer.credit == book
        amount = Money(transfer.amount.fen * (sign if is_credit else -sign))
        balance += amount
        if since is not None and transfer.at < since:
            opening = balance
            continue
        other = transfer.debit if is_credit else transfer.credit
        lines.append(StatementLine(transfer, other, amount, balance))
    return Statement(book, opening, tuple(lines), balance)


# Corrections 冲正. Nothing is edited or deleted: what was wrong is taken back by another transfer.


def correct(
    original: Transfer,
    transfers: Iterable[Transfer],
    *,
    amount: Money,
    number: str,
    at: datetime,
) -> Transfer:
    """The transfer that takes back amount of the original: the other way, its cause naming the original.

    transfers are all that are booked; number tells one correction of the original from another (the order
    of a person, a form's number): given again, the same transfer comes again. A correction is itself
    corrected so. Whoever posts it sees to it that nobody posts another in between.

    Raises OverCorrected if the original does not move that much any more; TransferIdReused if the number
    is booked with another amount; ValueError if the original is not among the transfers, or number is empty.
    """
    if not number:
        raise ValueError(
            "a correction has a number, which tells it from another of the same transfer"
        )
    made = Transfer(
        debit=original.credit,
        credit=original.debit,
        amount=amount,
        reason=Reason.CORRECTION,
        cause=f"{original.id}:{number}",
        at=at,
    )
    booked = distinct(transfers)
    for known in booked:
        if known.id == made.id:
            if replace(known, at=at) != made:
                raise TransferIdReused(
                    f"correction {number} of {original.reason}:{original.cause} is booked already, "
                    f"with {known.amount} and not {amount}"
                )
            return known
    most = correctable(original, booked)
    if amount > most:
        raise OverCorrected(
            f"{original.reason}:{original.cause} moved {original.amount}, "
            f"of which {most} can be taken back, not {amount}"
        )
    return made


def corrects(transfer: Transfer) -> UUID | None:
    """The id of the transfer that this one takes back; None if it is no correction.

    Raises ValueError if a correction's cause names no transfer.
    """
    if transfer.reason is not Reason.CORRECTION:
        return None
    id, _, _ = transfer.cause.partition(":")
    try:
        return UUID(id)
    except ValueError:
        raise ValueError(
            f"a correction's cause begins with the id of what it corrects, not {transfer.cause!r}"
        ) from None


def remaining(original: Transfer, transfers: Iterable[Transfer]) -> Money:
    """What a transfer still moves after all its corrections, and theirs; from nothing to its amount.

    Raises ValueError if it is not among the transfers.
    """
    return _known(remainders(transfers), original)


def correctable(original: Transfer, transfers: Iterable[Transfer]) -> Money:
    """The most that a correction of this transfer can take back now.

    What it still moves. To correct a correction brings back what that had taken: no transfer of the chain
    may come to move less than nothing by it, or more than its amount.

    Raises ValueError if the transfer, or one that it corrects, is not among the transfers.
    """
    still = remainders(transfers)
    by_id = {transfer.id: transfer for transfer in still}
    most, at = _known(still, original), original
    while (id := corrects(at)) is not None:
        grand = corrects(_known(by_id, id))
        if grand is None:
            break
        # Correcting `original` revives what it corrects, which takes again from what that corrects.
        at = _known(by_id, grand)
        most = min(most, still[at])
    return most


def remainders(transfers: Iterable[Transfer]) -> Mapping[Transfer, Money]:
    """What each transfer still moves after all its corrections, and theirs: each once, in the order given.

    Raises TransferIdReused, or ValueError if a correction's cause names no transfer.
    """
    given = {transfer.id: transfer for transfer in distinct(transfers)}
    corrections: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for id, transfer in given.items():
        if (corrected := corrects(transfer)) is not None:
            corrections[corrected].append(id)
    fen: dict[UUID, int] = {}
    for id in given:
        stack = [id]  # in place of recursion: a chain of corrections may be long
        while stack:
            top = stack[-1]
            if missing := [c for c in corrections.get(top, ()) if c not in fen]:
                stack += missing
                continue
            stack.pop()
            fen[top] = given[top].amount.fen - sum(fen[c] for c in corrections.get(top, ()))
    return {transfer: Money(fen[id]) for id, transfer in given.items()}


def _known(among: Mapping[K, V], one: K) -> V:
    if one not in among:
        raise ValueError(f"{one} is not among the transfers given")
    return among[one]


# What may be paid out.


def refundable(book: Book, transfers: Iterable[Transfer], *, subsidies_first: bool) -> Money:
    """What of a purse's balance was paid for: the most that a refund may pay out, never negative.

    A subsidy or gift is credit, not cash. subsidies_first says what is used up first, in order of time:
    the subsidy, or the money paid in. What was corrected counts as if it had never been.
    """
    still = remainders(transfers)
    paid = given = lacking = lacking_paid = 0
    for transfer in sorted(still, key=lambda t: (t.at, t.credit != book, t.id)):
        if book not in (transfer.debit, transfer.credit) or corrects(transfer) is not None:
            continue
        fen = still[transfer].fen
        if transfer.credit == book:
            if transfer.reason is not Reason.SUBSIDY:
                filled = min(fen, lacking_paid)
                lacking_paid -= filled
                fen -= filled
            filled = min(fen, lacking)
            lacking -= filled
            if transfer.reason is Reason.SUBSIDY:
                given += fen - filled
            else:
                paid += fen - filled
            continue
        # Refunds and moves are of what was paid, also where a clock says that it came after them; what is taken
        # back of a subsidy is the subsidy.
        if transfer.reason in (Reason.REFUND, Reason.MOVE):
            from_paid = min(paid, fen)
            paid -= from_paid
            lacking_paid += fen - from_paid
            continue
        is_given_first = subsidies_first or transfer.reason is Reason.SUBSIDY
        from_given = min(given, fen if is_given_first else max(0, fen - paid))
        from_paid = min(paid, fen - from_given)
        given -= from_given
        paid -= from_paid
        lacking += fen - from_given - from_paid
    return Money(paid)
