"""An amount of money as people type it on a phone."""

from __future__ import annotations

import re
import unicodedata

from prepaid.money import ZERO, Money


class UnreadableAmount(ValueError):
    """Not an amount above zero with at most two decimals. Ask again."""


def read(typed: str) -> Money:
    """50, 50.5, ５０, ¥ 50.00, 1,000, 50元: as Money.

    Raises UnreadableAmount.
    """
    text = unicodedata.normalize("NFKC", typed).replace("。", ".").strip()
    found = re.fullmatch(
        r"¥?\s*(\d{1,9}|\d{1,3}(?:,\d{3})+)(\.\d{0,2})?\s*(?:元|块|yuan|rmb)?", text, re.I
    )
    if not found:
        raise UnreadableAmount(typed)
    amount = Money.yuan(found[1].replace(",", "") + (found[2] or "").rstrip("."))
    if amount <= ZERO:
        raise UnreadableAmount(typed)
    return amount
