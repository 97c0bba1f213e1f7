"""Offline top-up code 离线充值码: a paid top-up as twenty digits, for a gateway that the internet does not reach.

    number  3 digits   the credit's number in its purse, modulo 1000
    amount  7 digits   in fen, up to 99,999.99 yuan
    MAC    10 digits   HMAC-SHA256 modulo 10^10 under the gateway's code key, over the UTF-8 bytes of
                       wattwell offline code 1 LF purse LF number LF amount in fen
                       where purse is the UUID in its usual small letters and number the whole number

Cloud and gateway both know the key, and count the credits of each purse from 1. So a code says nothing new: it
lets the gateway know now what the cloud will tell it anyway. It fits one purse of one gateway and one number,
and a number is used once.

Whoever guesses has one chance in 10^10 at each try, whatever he knows of other codes: the number in a code
leaves one credit that it can be for, and the MAC is that of a keyed hash. How often one may try is the
gateway's to limit (edge.codes): at most four tries an hour come to less than one chance in 280,000 for
every year in which somebody tries without a pause.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from uuid import UUID

from prepaid.money import ZERO, Money, typed

DIGITS = 20
WINDOW = 100
"""A code may be for a credit that is so many after the last one that came to the gateway, and no more."""
MOST = Money(9_999_999)

_NUMBERS = 1000
_MACS = 10**10
_SHORTEST_KEY = 32


class NotACode(ValueError):
    """What was typed is no code at all: has .digits, how many were typed. Nobody is guessing; ask again."""

    def __init__(self, digits: int) -> None:
        super().__init__(f"a code has {DIGITS} digits, and {digits} were typed")
        self.digits = digits


class WrongCode(ValueError):
    """A code that was not made for this purse of this gateway, or no longer, or not yet. Count it."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What a code is for: which credit of its purse, counted from 1, and how much.

    Raises ValueError for a number below 1 or an amount that no code can carry, TypeError if it is not Money.
    """

    number: int
    amount: Money

    def __post_init__(self) -> None:
        typed(self.amount, "a code's amount")
        if self.number < 1:
            raise ValueError(f"credits are counted from 1, not {self.number}")
        if not ZERO < self.amount <= MOST:
            raise ValueError(f"a code carries more than nothing and at most {MOST}: {self.amount}")


def make(key: bytes, *, purse: UUID, credit: Credit) -> str:
    """The code of a credit, twenty digits without spaces; the same credit always has the same.

    Raises ValueError for a key of less than 32 bytes.
    """
    mac = _mac(key, purse, credit)
    return f"{credit.number % _NUMBERS:03}{credit.amount.fen:07}{mac:010}"


def shown(code: str) -> str:
    """In groups of four, as people read and type it: 1234 5678 9012 3456 7890."""
    return " ".join(code[at : at + 4] for at in range(0, len(code), 4))


def read(text: str) -> str:
    """The twenty digits in what was typed: spaces, hyphens and full-width digits do not matter.

    Raises NotACode.
    """
    plain = re.sub(r"[\s\-‐-―−]", "", unicodedata.normalize("NFKC", text))
    if re.fullmatch(f"[0-9]{{{DIGITS}}}", plain) is None:
        raise NotACode(len(re.findall(r"[0-9]", plain)))
    return plain


def check(key: bytes, code: str, *, purse: UUID, last: int) -> Credit:
    """The credit that a code of twenty digits was made for; last is the number of the last that came, 0 before any.

    The number may be up to last, which means that it has come already, or up to WINDOW above it. Raises
    WrongCode, and ValueError for a key of less than 32 bytes.
    """
    most = last + WINDOW
    number = most - (most - int(code[:3])) % _NUMBERS
    amount, mac = Money(int(code[3:10])), int(code[10:])
    if number < 1 or amount == ZERO:
        raise WrongCode("no such credit has a code")
    credit = Credit(number, amount)
    right = _mac(key, purse, credit)
    if not hmac.compare_digest(f"{right:010}", f"{mac:010}"):
        raise WrongCode("the code was not made for this purse of this gateway")
    return credit


def _mac(key: bytes, purse: UUID, credit: Credit) -> int:
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"a code key has at least {_SHORTEST_KEY} bytes, not {len(key)}")
    said = f"wattwell offline code 1\n{purse}\n{credit.number}\n{credit.amount.fen}"
    digest = hmac.new(key, said.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest, "big") % _MACS
