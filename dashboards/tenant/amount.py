"""An amount of money as people type it on a phone."""

from __future__ import annotations

import re
import unicodedata

from cloud.services.money.rules import Rules
from cloud.services.topups import MOST
from dashboards.words import N_
from prepaid.money import ZERO, Money


class BadAmount(ValueError):
    """What was typed cannot be topped up. Say its sentence, a message id filled in with values; ask again."""

    sentence = N_("Please enter an amount in yuan, like 50 or 50.50.")
    values: dict[str, object] = {"most": f"{MOST.in_yuan():,.0f}"}


class TooFine(BadAmount):
    sentence = N_("An amount has at most two decimals, like 50.50.")


class NotPositive(BadAmount):
    sentence = N_("The amount must be more than ¥0.")


class TooMuch(BadAmount):
    sentence = N_("At most ¥{most} can be topped up at once.")


QUICK = (20, 50, 100, 200)  # yuan, to be chosen by one tap
USUAL = 50


def usual(balance: Money, rules: Rules) -> int:
    """Which amount is chosen beforehand: USUAL, or the first above it that leaves something once what is owed is
    paid, so that one tap brings the supply back; the largest where none does."""
    for yuan in QUICK:
        paid = Money.yuan(str(yuan))
        if yuan >= USUAL and balance + paid - rules.fee(paid) > ZERO:
            return yuan
    return QUICK[-1]


def read(typed: str) -> Money:
    """50, 50.5, ５０, ¥ 50.00, 1,000, 50元: as Money.

    Raises TooFine, NotPositive (nought or less), TooMuch (above the most allowed) or, where it is no
    number at all, BadAmount.
    """
    text = unicodedata.normalize("NFKC", typed).replace("。", ".").replace("−", "-").strip()
    found = re.fullmatch(
        r"(-?)¥?\s*(-?)(\d+|\d{1,3}(?:,\d{3})+)(?:\.(\d*))?\s*(?:元|块|yuan|rmb)?", text, re.I
    )
    if not found:
        raise BadAmount(typed)
    whole, decimals = found[3].replace(",", "").lstrip("0"), found[4] or ""
    if found[1] or found[2] or not (whole or decimals.strip("0")):
        raise NotPositive(typed)
    if len(decimals) > 2:
        raise TooFine(typed)
    if len(whole) > 9 or (amount := Money.yuan(f"{whole or '0'}.{decimals or '0'}")) > MOST:
        raise TooMuch(typed)
    assert amount > ZERO
    return amount
