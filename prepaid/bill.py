"""Bill 账单: what the readings of a meter come to under a tariff, line by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

from prepaid import decimals
from prepaid.decimals import NOTHING, half_up, written
from prepaid.money import EXPONENTS, Money
from prepaid.quantity import not_negative
from prepaid.reading import Reading
from prepaid.reckoning import Counted, Metered, Reckoned, reckon
from prepaid.tariff import ALL, Tariff

_PLACES = 6  # of an item's total


@dataclass(frozen=True, slots=True)
class Line:
    """What was used of an item in a band and a tier at a price, over all readings: quantity × price = amount, exact.

    A fixed fee has the band "all", tier 1, and days or months as its quantity.
    """

    item: str
    band: str
    tier: int
    price: Decimal
    quantity: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """Lines by item, band, tier and price; items rounded half-up to six places; total, their sum as money."""

    currency: str
    lines: tuple[Line, ...]
    items: dict[str, Decimal]
    total: Money


def bill(
    tariff: Tariff, readings: Sequence[Reading], *, persons: int | None, households: int
) -> Bill:
    """What readings in order of time come to; the first opens the account. Registers are in the tariff's unit.

    Raises ValueError, with the number of the reading (from 1), if one is not later than the one before it
    or its register is lower; or if there are none.
    """
    if not readings:
        raise ValueError("there are no readings")
    metered = Metered(
        Decimal(1), persons, households, trusts_bands=False, digits=0, step=Decimal(1)
    )
    lines: dict[tuple[str, str, int, Decimal], Decimal] = {}
    opened = tariff.terms(readings[0].at).version
    items = dict.fromkeys(_items(tariff, opened), NOTHING)
    counted: tuple[Counted, ...] = ()
    with localcontext(decimals.EXACT):
        for number, (before, after) in enumerate(pairwise(readings), start=2):
            if after.at <= before.at:
                raise ValueError(
                    f"reading {number} ({after.at}) is not later than the one before it"
                )
            if after.total < before.total:
                raise ValueError(
                    f"reading {number}: the register is {after.total}, lower than {before.total} before it"
                )
            reckoned = reckon(
                tariff,
                metered,
                before=before,
                after=after,
                moved=not_negative(after.total - before.total, "the register's rise"),
                counted=counted,
                fees_since=before.at,
            )
            counted = reckoned.counted
            for cut in reckoned.slices:
                items |= dict.fromkeys(_items(tariff, cut.terms.version), NOTHING)
            _add(lines, reckoned)
        found = tuple(
            Line(*key, quantity, quantity * key[3]) for key, quantity in sorted(lines.items())
        )
        for line in found:
            items[line.item] += line.amount
        items = {item: half_up(amount, places=_PLACES) for item, amount in items.items()}
        total = Money.rounded(sum(items.values(), NOTHING), currency=tariff.currency)
    return Bill(tariff.currency, found, items, total)


def _items(tariff: Tariff, version: int) -> list[str]:
    return [component.item for component in tariff.versions[version].components]


def _add(lines: dict[tuple[str, str, int, Decimal], Decimal], reckoned: Reckoned) -> None:
    for part in reckoned.parts:
        key = (part.rate.item, reckoned.slices[part.slice].band, part.tier, part.price)
        lines[key] = lines.get(key, NOTHING) + part.quantity
    for fee in reckoned.fees:
        if fee.quantity:
            key = (fee.fixed.item, ALL, 1, fee.fixed.amount)
            lines[key] = lines.get(key, NOTHING) + fee.quantity


def document(bill: Bill) -> dict[str, Any]:
    """The bill as a JSON document: every number a text, quantities, prices and amounts without closing zeros."""
    places = EXPONENTS[bill.currency]
    return {
        "currency": bill.currency,
        "lines": [
            {
                "item": line.item,
                "band": line.band,
                "tier": line.tier,
                "quantity": written(line.quantity),
                "price": written(line.price),
                "amount": written(line.amount),
            }
            for line in bill.lines
        ],
        "items": {item: f"{amount:.{_PLACES}f}" for item, amount in bill.items.items()},
        "total": f"{bill.total.amount(bill.currency):.{places}f}",
    }
