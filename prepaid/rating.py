"""Rating 计费: a position and a reading give a new position and the charges 扣费 between them.

A charge is the difference of two costs, and only the running total is rounded: however often a meter is
read, its charges add up to the cost of what its register moved, to the fen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
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
    """Where a service point's account of its meter stands 结算位置: the last reading charged, per item its total.

    opened_at is the time of the reading that opened it, number how often it has been charged since: together
    they name a charge, whatever the clock does later.
    """

    reading: Reading
    running: tuple[Running, ...]
    opened_at: datetime
    number: int


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
        opened_at=reading.at,
        number=0,
    )


def rate(
    point: ServicePoint,
    tariff: Tariff,
    position: Position,
    reading: Reading,
    *,
    elapsed: timedelta,
) -> tuple[Position, tuple[Charge, ...]]:
    """The position after a reading, and the charges that lead to it; none for an item that did not rise by a fen.

    elapsed is the time since the position's reading, by a clock that does not jump.

    Raises Implausible if the register cannot have moved so; ValueError if the tariff's items are not the
    position's.
    """
    moved = readings.advance(
        position.reading,
        reading,
        digits=point.meter.digits,
        step=point.meter.step,
        max_per_hour=point.meter.max_per_hour,
        elapsed=elapsed,
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
    number = position.number + bool(charges)
    return Position(reading, tuple(running), position.opened_at, number), tuple(charges)


def transfers(
    point: ServicePoint, position: Position, charges: tuple[Charge, ...]
) -> tuple[Transfer, ...]:
    """The transfers that post the charges that led to position: from the purse's prepaid book to income.

    The cause names the service point, the item, the position and its number. So a charge booked twice is
    one transfer, and a ledger that was put back and charges the same number again otherwise is found out.
    """
    opened = position.opened_at.isoformat()
    return tuple(
        Transfer(
            debit=ledger.prepaid(point.purse),
            credit=ledger.income(charge.item),
            amount=charge.amount,
            reason=Reason.CHARGE,
            cause=f"{point.id}:{charge.item}:{opened}:{position.number}",
            at=position.reading.at,
        )
        for charge in charges
    )
