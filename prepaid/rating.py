"""Rating 计费: a position and a reading give a new position and the charges 扣费 between them.

A charge is the difference of two costs, and only the running total is rounded: however often a meter is
read, its charges add up to the rounded cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Literal
from uuid import UUID

from prepaid import decimals, ledger
from prepaid.calendar import instant
from prepaid.cycle import Every
from prepaid.decimals import NOTHING
from prepaid.ledger import Reason, Transfer
from prepaid.money import ZERO, Money
from prepaid.point import ServicePoint
from prepaid.quantity import not_negative
from prepaid.reading import Reading
from prepaid.reckoning import BandSource, Counted, Metered, Part, Reckoned, Slice, reckon
from prepaid.record import record
from prepaid.tariff import Tariff, TierPeriod

NOBODY: Literal["nobody"] = "nobody"
"""Who pays for what a vacant point 空置 uses."""

Payer = UUID | Literal["nobody"]
"""The purse that pays, or nobody."""


@record
@dataclass(frozen=True, slots=True)
class Running:
    """The running total of one item: its exact cost, in the tariff's currency, and what of it is posted."""

    item: str
    cost: Decimal
    posted: Money


@record
@dataclass(frozen=True, slots=True)
class Position:
    """Where a service point's account of its meter stands 结算位置: the last reading charged, and what it came to.

    running has a total for each item ever charged; counted, by component's place, how far its tiers are
    filled. Fixed fees are charged until fees_until, which never runs back, whatever the clock does.
    opened_at is the time of the reading that opened it, number how often it has been charged since:
    together they name a charge. payer is whose purse pays for what is used from its reading on; None is that
    of the service point, from before a position said so.
    """

    reading: Reading
    running: tuple[Running, ...]
    counted: tuple[Counted, ...]
    fees_until: datetime
    opened_at: datetime
    number: int
    payer: Payer | None = None


@record
@dataclass(frozen=True, slots=True)
class Charge:
    """What one item rose by."""

    item: str
    amount: Money


def open_position(point: ServicePoint, tariff: Tariff, reading: Reading) -> Position:
    """The position at the first reading: usage and fixed fees count from it, nothing is charged."""
    version = tariff.versions[tariff.terms(reading.at).version]
    return Position(
        reading,
        tuple(Running(item, NOTHING, ZERO) for item in version.items),
        counted=(),
        fees_until=reading.at,
        opened_at=reading.at,
        number=0,
        payer=payer_of(point),
    )


def payer_of(point: ServicePoint) -> Payer:
    """Who pays for what a service point uses from now on."""
    return NOBODY if point.purse is None else point.purse


def rate(
    point: ServicePoint,
    tariff: Tariff,
    position: Position,
    reading: Reading,
    *,
    moved: Decimal,
) -> tuple[Position, tuple[Charge, ...]]:
    """The position after a reading, and the charges that lead to it; none for an item that did not rise by a fen.

    moved is how far the register went from the position's reading to this one, in its own unit, a
    rollover undone; times the meter's multiplier it is the quantity. Whether that can be true has been
    judged before (prepaid.register). Where the clock was put back between the two readings, the quantity
    is charged all the same, at this reading's time, and fixed fees are not charged twice.

    The tariff may be another than before: it takes over like a new version, items by their name and
    counts of tiers by the component's place.

    A position that nobody pays for goes on to the reading without charges.

    Raises TypeError if moved is not a Decimal, ValueError if it is negative or no number a register shows.
    """
    if position.payer == NOBODY:
        not_negative(moved, "moved")
        fees_until = max(position.fees_until, reading.at)
        return replace(position, reading=reading, fees_until=fees_until), ()
    with localcontext(decimals.EXACT):
        reckoned = _reckoned(point, tariff, position, reading, moved)
        return _settled(tariff, position, reading, reckoned)


def rebased(position: Position, at: datetime) -> Position:
    """The position as if its reading had been taken at another time.

    For a clock that was set between two readings: what was used, and the fixed fees, belong to the time that
    really passed before the later reading, not to the years that a clock may jump.
    """
    return replace(position, reading=replace(position.reading, at=at), fees_until=at)


def _reckoned(
    point: ServicePoint, tariff: Tariff, position: Position, reading: Reading, moved: Decimal
) -> Reckoned:
    meter = point.meter
    return reckon(
        tariff,
        Metered(
            meter.multiplier,
            point.persons,
            point.households,
            point.trusts_meter_bands,
            meter.digits,
            meter.step,
        ),
        before=position.reading,
        after=reading,
        moved=not_negative(moved, "moved"),
        counted=position.counted,
        fees_since=position.fees_until,
    )


def _settled(
    tariff: Tariff, position: Position, reading: Reading, reckoned: Reckoned
) -> tuple[Position, tuple[Charge, ...]]:
    amounts = _amounts(reckoned)
    running: list[Running] = []
    charges: list[Charge] = []
    for total in _totals(tariff, position.running, reckoned):
        amount = amounts.get(total.item)
        if not amount:
            running.append(total)
            continue
        cost = total.cost + amount
        posted = Money.rounded(cost, currency=tariff.currency)
        if posted.fen != total.posted.fen:
            charges.append(Charge(total.item, posted - total.posted))
        running.append(Running(total.item, cost, posted))
    after = Position(
        reading,
        tuple(running),
        reckoned.counted,
        max(position.fees_until, reading.at),
        position.opened_at,
        position.number + bool(charges),
        position.payer,
    )
    return after, tuple(charges)


def _totals(tariff: Tariff, known: tuple[Running, ...], reckoned: Reckoned) -> tuple[Running, ...]:
    """The totals of the items known, and then at nothing those that the versions which held have beside them."""
    first, last = reckoned.slices[0].terms.version, reckoned.slices[-1].terms.version
    numbers = [first] if first == last else [cut.terms.version for cut in reckoned.slices]
    numbers += [fee.version for fee in reckoned.fees]
    items = {total.item for total in known}
    new: dict[str, None] = {}
    for number in numbers:
        for item in tariff.versions[number].items:
            if item not in items:
                new[item] = None
    return (*known, *(Running(item, NOTHING, ZERO) for item in new)) if new else known


def _amounts(reckoned: Reckoned) -> dict[str, Decimal]:
    """What each item that anything was charged under rises by."""
    amounts: dict[str, Decimal] = {}
    for part in reckoned.parts:
        item = part.rate.item
        amounts[item] = amounts.get(item, NOTHING) + part.quantity * part.price
    for fee in reckoned.fees:
        item = fee.fixed.item
        amounts[item] = amounts.get(item, NOTHING) + fee.quantity * fee.fixed.amount
    return amounts


def transfers(
    point: ServicePoint, position: Position, charges: tuple[Charge, ...]
) -> tuple[Transfer, ...]:
    """The transfers that post the charges that led to position: from its payer's prepaid book to income.

    The cause names the service point, the item, the position and its number. So a charge booked twice is
    one transfer, and a ledger that was put back and charges the same number again otherwise is found out.
    """
    payer = position.payer if position.payer is not None else payer_of(point)
    if payer == NOBODY:
        if charges:
            raise ValueError(f"nobody pays for {point.name}, so nothing can be charged")
        return ()
    assert isinstance(payer, UUID)
    opened = position.opened_at.isoformat()
    return tuple(
        Transfer(
            debit=ledger.prepaid(payer),
            credit=ledger.income(charge.item),
            amount=charge.amount,
            reason=Reason.CHARGE,
            cause=f"{point.id}:{charge.item}:{opened}:{position.number}",
            at=position.reading.at,
        )
        for charge in charges
    )


@dataclass(frozen=True, slots=True)
class PricedPart:
    """A part of a slice within one tier: quantity × price = amount, all exact.

    quantity is the component's own: share of the slice's. tier counts from 1 of tiers. period is where
    the tiers count from and until when (None: no tiers), used_before how much they had counted before
    this part, bound where the tier ends (None: the last one).
    """

    item: str
    share: Decimal
    tier: int
    tiers: int
    period: TierPeriod | None
    used_before: Decimal
    bound: Decimal | None
    quantity: Decimal
    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PricedSlice:
    """A time under one version, band and set of tier periods, and what was used in it.

    The registers are the band's own where the meter's bands are used. One that was not read but reckoned
    (is_..._read False) lies on the straight line between the two readings, rounded half-up to a millionth.
    quantity is what the register moved, times the meter's multiplier.
    """

    since: datetime
    until: datetime
    effective_from: datetime  # of the version
    band: str
    register_before: Decimal
    register_after: Decimal
    is_before_read: bool
    is_after_read: bool
    quantity: Decimal
    parts: tuple[PricedPart, ...]


@dataclass(frozen=True, slots=True)
class PricedFee:
    """A fixed fee for a time: quantity (days or months, the part of one half-up to a millionth) × price = amount."""

    item: str
    since: datetime
    until: datetime
    effective_from: datetime  # of the version
    per: Every
    quantity: Decimal
    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Posting:
    """An item's running total before and after, exact and rounded half-up. The rise of the rounded one is charged."""

    item: str
    cost_before: Decimal
    cost: Decimal
    posted_before: Money
    posted: Money

    @property
    def charged(self) -> Money:
        return self.posted - self.posted_before


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a reading came to its charges: every slice, tier, band, price and rounding, in order of time.

    The amounts of an item's parts and fees add up to the rise of its exact running total in postings.
    """

    before: Reading
    after: Reading
    moved: Decimal
    multiplier: Decimal
    bands_by: BandSource
    slices: tuple[PricedSlice, ...]
    fees: tuple[PricedFee, ...]
    postings: tuple[Posting, ...]


def explain(
    point: ServicePoint,
    tariff: Tariff,
    position: Position,
    reading: Reading,
    *,
    moved: Decimal,
) -> Explanation:
    """What rate does with the same arguments, and by the same computation, told step by step.

    Raises what rate raises.
    """
    with localcontext(decimals.EXACT):
        reckoned = _reckoned(point, tariff, position, reading, moved)
        after, _ = _settled(tariff, position, reading, reckoned)
        known = {total.item: total for total in position.running}
        return Explanation(
            position.reading,
            reading,
            moved,
            point.meter.multiplier,
            reckoned.bands_by,
            tuple(_priced_slices(point, tariff, reckoned)),
            tuple(_priced_fees(tariff, reckoned)),
            tuple(
                Posting(
                    total.item,
                    known[total.item].cost if total.item in known else NOTHING,
                    total.cost,
                    known[total.item].posted if total.item in known else ZERO,
                    total.posted,
                )
                for total in after.running
            ),
        )


def _priced_slices(
    point: ServicePoint, tariff: Tariff, reckoned: Reckoned
) -> Iterator[PricedSlice]:
    parts: dict[int, list[Part]] = {}
    for part in reckoned.parts:
        parts.setdefault(part.slice, []).append(part)
    first, last = reckoned.slices[0].since, reckoned.slices[-1].until
    for number, cut in enumerate(reckoned.slices):
        yield PricedSlice(
            instant(cut.since),
            instant(cut.until),
            tariff.versions[cut.terms.version].effective_from,
            cut.band,
            cut.register_before,
            cut.register_after,
            is_before_read=cut.since == first,
            is_after_read=cut.until == last,
            quantity=cut.quantity,
            parts=tuple(_priced_part(point, cut, part) for part in parts.get(number, ())),
        )


def _priced_part(point: ServicePoint, cut: Slice, part: Part) -> PricedPart:
    period = cut.terms.periods[part.place]
    bounds: tuple[Decimal, ...] = ()
    if part.rate.tiers is not None and period is not None:
        bounds = part.rate.tiers.bounds_for(
            month=period.month, persons=point.persons, households=point.households
        )
    return PricedPart(
        part.rate.item,
        part.rate.share,
        part.tier,
        len(part.rate.prices),
        period,
        part.used_before,
        bounds[part.tier - 1] if part.tier <= len(bounds) else None,
        part.quantity,
        part.price,
        part.quantity * part.price,
    )


def _priced_fees(tariff: Tariff, reckoned: Reckoned) -> Iterator[PricedFee]:
    for fee in reckoned.fees:
        yield PricedFee(
            fee.fixed.item,
            instant(fee.since),
            instant(fee.until),
            tariff.versions[fee.version].effective_from,
            fee.fixed.cycle.every,
            fee.quantity,
            fee.fixed.amount,
            fee.quantity * fee.fixed.amount,
        )
