"""Rating 计费: a position and a reading give a new position and the charges 扣费 between them.

A charge is the difference of two costs, and only the running total is rounded: however often a meter is
read, its charges add up to the cost of what its register moved, to the fen.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from prepaid import ledger
from prepaid import reading as readings
from prepaid.ledger import Reason, Transfer
from prepaid.money import ZERO, Money
from prepaid.point import ServicePoint
from prepaid.reading import Reading
from prepaid.tariff import Tariff


@dataclass(frozen=True, slots=True)
class Running:
    """The running total of one item: exact usage and cost in yuan, and what of the cost is posted."""

    item: str
    usage: Decimal
    cost: Decimal
    posted: Money


@dataclass(frozen=True, slots=True)
class Position:
    """Where a service point's account of its meter stands 结算位置: the last reading charged, per item its total."""

    reading: Reading
    running: tuple[Running, ...]


@dataclass(frozen=True, slots=True)
class Charge:
    """What one item rose by. at is the time of the reading that shows it."""

    item: str
    amount: Money


def open_position(tariff: Tariff, reading: Reading) -> Position:
    """The position at the first reading: usage counts from it, nothing is charged."""
    return Position(
        reading,
        tuple(Running(c.item, Decimal(0), Decimal(0), ZERO) for c in tariff.components),
    )


def rate(
    point: ServicePoint, tariff: Tariff, position: Position, reading: Reading
) -> tuple[Position, tuple[Charge, ...]]:
    """The position after a reading, and the charges that lead to it; none for an item that did not rise by a fen.

    Raises Implausible if the register cannot have moved so; ValueError if the tariff's items are not the
    position's.
    """
    moved = readings.advance(
        position.reading,
        reading,
        digits=point.meter.digits,
        step=point.meter.step,
        max_per_hour=point.meter.max_per_hour,
    )
    running: list[Running] = []
    charges: list[Charge] = []
    for component, total in zip(tariff.components, position.running, strict=True):
        if component.item != total.item:
            raise ValueError(f"tariff {tariff.code} charges {component.item}, not {total.item}")
        cost = total.cost + moved * component.price
        posted = Money.rounded(cost)
        if posted > total.posted:
            charges.append(Charge(component.item, posted - total.posted))
        running.append(Running(total.item, total.usage + moved, cost, posted))
    return Position(reading, tuple(running)), tuple(charges)


def transfers(
    point: ServicePoint, reading: Reading, charges: tuple[Charge, ...]
) -> tuple[Transfer, ...]:
    """The transfers that post charges: from the purse's prepaid book to the item's income.

    The cause names service point, item and reading, so charging the same reading twice is one transfer.
    """
    return tuple(
        Transfer(
            debit=ledger.prepaid(point.purse),
            credit=ledger.income(charge.item),
            amount=charge.amount,
            reason=Reason.CHARGE,
            cause=f"{point.id}:{charge.item}:{reading.meter_no}:{reading.at.isoformat()}",
            at=reading.at,
        )
        for charge in charges
    )
