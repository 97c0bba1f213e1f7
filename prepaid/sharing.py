"""Sharing 公摊: one common cost over many rooms, in shares that add up to it exactly, and the sheet that shows how.

A share is the cost times the room's weight over all weights, rounded down to the fen; the fen left over go
to the largest remainders, and of equal ones to the room that comes first. So a share is never a fen or more
from the exact one, and nothing depends on the order of the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from prepaid.common_use import PLACES, Invoice, Use
from prepaid.ledger import Book, Reason, Transfer, income
from prepaid.money import EXPONENTS, ZERO, Money
from prepaid.purse import Purpose, pays_for
from prepaid.quantity import in_units, not_negative, places_of, scaled, times, total

FINER = 4  # decimals of an exact share beyond those of the currency
PARTS = 6  # decimals of a proportion, a coefficient, and a price that is a quotient


class By(StrEnum):
    """What a room's weight is."""

    RATIO = "ratio"  # 按比例: agreed numbers, of persons or of rated power too
    AREA = "area"  # 按面积
    USAGE = "usage"  # 按用量
    EQUAL = "equal"  # 平均


class Vacant(StrEnum):
    """Who bears the share of a room in which nobody lives."""

    OWNER = "owner"  # 业主承担: it counts as any other, and its owner is charged
    OTHERS = "others"  # 其他户分摊: it does not count
    SHOWN = "shown"  # 仅列示: it counts, and nobody is charged


class Loss(StrEnum):
    """What becomes of the loss 损耗: what the main meter shows above all meters behind it."""

    SHARED = "shared"  # 计入公摊
    SHOWN = "shown"  # 仅列示


class Standing(StrEnum):
    OCCUPIED = "occupied"  # 在住
    VACANT = "vacant"  # 空置
    EXEMPT = "exempt"  # 免摊: does not count, and is listed
    OWN = "own"  # 自用: the manager's; it counts, and nobody is charged


class Finding(StrEnum):
    """What the sheet must say beside its numbers."""

    LOSS_NEGATIVE = "loss-negative"  # 总表小于分表之和: a meter is wrong; none of it is shared
    LOSS_SHOWN = "loss-shown"  # 损耗未计入公摊
    TIMES_DIFFER = "times-differ"  # 冻结时刻不一致: a loss is known only to the error band


class CannotShare(ValueError):
    """The list or the meters cannot be shared from. Show the sentence to whoever entered them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed, for one cost and one period, both days included.

    number names the sheet and never comes again; item is the fee item that is charged. commodity is that of
    the tariff documents, None for a service such as the care of a lift. unit is that of the use ("kWh"),
    weighed_in that of the weights ("m²"). currency is an ISO 4217 code.

    Raises ValueError if the period ends before it begins, or the currency is not known.
    """

    number: str
    item: str
    commodity: str | None
    by: By
    vacant: Vacant
    loss: Loss
    first: date
    last: date
    unit: str
    weighed_in: str
    currency: str

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a period ends no earlier than it begins: {self.first}, {self.last}")
        if self.currency not in EXPONENTS:
            raise ValueError(f"not a currency: {self.currency!r}")

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


@dataclass(frozen=True, slots=True)
class Member:
    """One payer of one room, or nobody, for some days of the period.

    A room that changed hands is listed once for each, with the days of each, and once as vacant for the days
    of nobody. weight is an agreed number, an area, a usage in these days, or 1 where all share equally.
    payer is the account that is charged; for a vacant room its owner's.

    Raises TypeError or ValueError if the weight is no exact decimal or the days are not whole, one of them is
    negative, or room or payer has no name.
    """

    room: str
    payer: str
    standing: Standing
    weight: Decimal
    days: int

    def __post_init__(self) -> None:
        if not self.room or not self.payer:
            raise ValueError(f"a room and its payer have names, not {self.room!r}, {self.payer!r}")
        not_negative(self.weight, f"the weight of room {self.room}")
        if type(self.days) is not int:
            raise TypeError(f"room {self.room} counts whole days, not {self.days!r}")
        if self.days < 0:
            raise ValueError(f"room {self.room} counts no fewer than 0 days, not {self.days}")

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.room, self.payer, self.standing.value)


@dataclass(frozen=True, slots=True)
class Line:
    """One member's row of the sheet.

    counted is the weight times the days (the weight alone by usage, which only runs in its own days), 0 where
    the member does not count. proportion is of all counted, used of the shared use, exact of the cost: each
    rounded so that the rows add up. difference 尾差 is share - exact. Nobody is charged where is_charged is
    not set.
    """

    member: Member
    counted: Decimal
    proportion: Decimal
    used: Decimal | None
    exact: Decimal
    share: Money
    difference: Decimal
    is_charged: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """公摊表: how one common cost was shared, to be kept and printed as it is.

    lines are in order of room. price is per unit, before tax where there is an invoice, and then rounded to
    six decimals, as is coefficient, the shared use per unit counted. shared_use is what was priced; loss_cost
    what the loss would have cost, where it is only shown. counted, charged and not_charged are sums of the
    lines; charged and not_charged together are the cost.
    """

    terms: Terms
    use: Use | None
    invoice: Invoice | None
    price: Decimal | None
    shared_use: Decimal | None
    coefficient: Decimal | None
    loss_cost: Money | None
    cost: Money
    lines: tuple[Line, ...]
    counted: Decimal
    charged: Money
    not_charged: Money
    findings: tuple[Finding, ...]

    def __post_init__(self) -> None:
        assert sum(line.share.fen for line in self.lines) == self.cost.fen
        assert self.charged + self.not_charged == self.cost
        if self.shared_use is not None and self.counted:
            assert total(line.used or Decimal(0) for line in self.lines) == self.shared_use


def share(terms: Terms, members: Iterable[Member], cost: Money) -> Sheet:
    """The sheet of a cost that is known as an amount.

    Raises CannotShare if no room is listed, one is listed twice or for more days than the period has, rooms
    that share equally do not all weigh 1, or those that count weigh nothing together; ValueError if the cost is
    negative (correct the transfers of the sheet that was too high).
    """
    return _sheet(terms, members, cost)


def share_use(terms: Terms, members: Iterable[Member], use: Use, *, price: Decimal) -> Sheet:
    """The sheet of a common use at a price per unit, tax included.

    Shared is what the public meters measured, and the loss where the terms say so. A negative loss is found
    and shown, never shared.

    Raises CannotShare as share does, and if the loss is to be shared and there is no main meter; TypeError or
    ValueError if the price is no exact decimal, or negative.
    """
    not_negative(price, "the price")
    shared = _shared_use(terms, use)
    return _sheet(
        terms,
        members,
        Money.rounded_fraction(Fraction(shared) * Fraction(price), currency=terms.currency),
        use=use,
        shared=shared,
        price=price,
        loss_cost=_loss_cost(terms, use, Fraction(price)),
    )


def share_with_loss(
    terms: Terms, members: Iterable[Member], use: Use, *, invoice: Invoice
) -> Sheet:
    """The sheet of the park's formula 按用量含损耗.

    price = invoice / its quantity; coefficient = (public use + loss) / usage of all that count;
    share = price × usage × coefficient × (1 + tax). The quotients are exact; only the cost is rounded.

    Raises CannotShare as share does, and if the terms are not by usage with the loss shared, or there is no
    main meter.
    """
    if terms.by is not By.USAGE or terms.loss is not Loss.SHARED:
        raise CannotShare("this formula shares by usage, and shares the loss")
    shared = _shared_use(terms, use)
    price = invoice.price / 10 ** EXPONENTS[terms.currency]
    return _sheet(
        terms,
        members,
        Money.rounded_fraction(
            Fraction(shared) * price * (1 + Fraction(invoice.tax)), currency=terms.currency
        ),
        use=use,
        shared=shared,
        price=_six(price),
        invoice=invoice,
    )


def _shared_use(terms: Terms, use: Use) -> Decimal:
    if terms.loss is Loss.SHOWN:
        return use.public_used
    if use.loss is None:
        raise CannotShare("the loss is to be shared, and there is no main meter to show it")
    return total((use.public_used, max(Decimal(0), use.loss)))


def _loss_cost(terms: Terms, use: Use, price: Fraction) -> Money | None:
    if terms.loss is Loss.SHARED or use.loss is None or use.loss <= 0:
        return None
    return Money.rounded_fraction(Fraction(use.loss) * price, currency=terms.currency)


def _sheet(
    terms: Terms,
    members: Iterable[Member],
    cost: Money,
    *,
    use: Use | None = None,
    shared: Decimal | None = None,
    price: Decimal | None = None,
    invoice: Invoice | None = None,
    loss_cost: Money | None = None,
) -> Sheet:
    lines = _lines(terms, members, cost, shared)
    counted = total(line.counted for line in lines)
    charged = Money(sum(line.share.fen for line in lines if line.is_charged))
    return Sheet(
        terms=terms,
        use=use,
        invoice=invoice,
        price=price,
        shared_use=shared,
        coefficient=_six(Fraction(shared) / Fraction(counted)) if shared and counted else None,
        loss_cost=loss_cost,
        cost=cost,
        lines=lines,
        counted=counted,
        charged=charged,
        not_charged=cost - charged,
        findings=_findings(terms, use),
    )


def _lines(
    terms: Terms, members: Iterable[Member], cost: Money, shared: Decimal | None
) -> tuple[Line, ...]:
    if cost < ZERO:
        raise ValueError(f"a cost to share is not negative: {cost}")
    listed = sorted(members, key=lambda member: member.key)
    _check(terms, listed)
    weights = [_counted(terms, member) for member in listed]
    if cost > ZERO and not any(weights):
        raise CannotShare(
            f"{cost} cannot be shared by {terms.by}: the weights of all rooms that count are 0"
        )
    shares = apportion(cost.fen, weights)
    exacts = apportion(cost.fen * 10**FINER, weights)
    proportions = apportion(10**PARTS, weights) if any(weights) else shares
    places = max(PLACES, places_of(shared)) if shared is not None else PLACES
    useds = apportion(in_units(shared, places), weights) if shared and any(weights) else None
    finest = EXPONENTS[terms.currency] + FINER
    lines: list[Line] = []
    for index, member in enumerate(listed):
        share_units = shares[index] * 10**FINER
        lines.append(
            Line(
                member=member,
                counted=weights[index],
                proportion=scaled(proportions[index], PARTS),
                used=_used(shared, None if useds is None else useds[index], places),
                exact=scaled(exacts[index], finest),
                share=Money(shares[index]),
                difference=scaled(share_units - exacts[index], finest),
                is_charged=_is_charged(terms, member),
            )
        )
    return tuple(lines)


def _used(shared: Decimal | None, units: int | None, places: int) -> Decimal | None:
    if shared is None:
        return None
    return scaled(units or 0, places)


def apportion(units: int, weights: Sequence[Decimal]) -> list[int]:
    """Whole units in proportion to the weights, together exactly units; ties go to the first.

    Each is the exact quotient rounded down, and one more for as many of the largest remainders as it takes.

    Raises ValueError if a weight or units is negative, or there are units and no weight.
    """
    for weight in weights:
        not_negative(weight, "a weight")
    if units < 0:
        raise ValueError(f"a negative number of units is not apportioned: {units}")
    if units == 0:
        return [0] * len(weights)
    places = max((places_of(weight) for weight in weights), default=0)
    whole = [in_units(weight, places) for weight in weights]
    if not (together := sum(whole)):
        raise ValueError(f"{units} units cannot be apportioned: all weights are 0")
    parts = [divmod(units * weight, together) for weight in whole]
    result = [part for part, _ in parts]
    by_remainder = sorted(range(len(parts)), key=lambda index: -parts[index][1])
    for index in by_remainder[: units - sum(result)]:
        result[index] += 1
    return result


def _check(terms: Terms, listed: Sequence[Member]) -> None:
    if not listed:
        raise CannotShare("there is no room to share among")
    days: Counter[str] = Counter()
    for before, member in zip((None, *listed), listed, strict=False):
        if before is not None and before.key == member.key:
            raise CannotShare(
                f"room {member.room} of {member.payer} is listed twice as {member.standing}; "
                "list it once, with all its days"
            )
        if terms.by is By.EQUAL and member.weight != 1:
            raise CannotShare(
                f"room {member.room} weighs {member.weight}; where all share equally, each weighs 1"
            )
        days[member.room] += member.days
        if days[member.room] > terms.days:
            raise CannotShare(
                f"room {member.room} counts {days[member.room]} days; the period has {terms.days}"
            )


def _counted(terms: Terms, member: Member) -> Decimal:
    if member.standing is Standing.EXEMPT:
        return Decimal(0)
    if member.standing is Standing.VACANT and terms.vacant is Vacant.OTHERS:
        return Decimal(0)
    if terms.by is By.USAGE:
        return member.weight
    return times(member.weight, Decimal(member.days))


def _is_charged(terms: Terms, member: Member) -> bool:
    match member.standing:
        case Standing.OCCUPIED:
            return True
        case Standing.VACANT:
            return terms.vacant is Vacant.OWNER
        case Standing.EXEMPT | Standing.OWN:
            return False


def _findings(terms: Terms, use: Use | None) -> tuple[Finding, ...]:
    if use is None:
        return ()
    found: list[Finding] = []
    if use.loss is not None and use.loss < 0:
        found.append(Finding.LOSS_NEGATIVE)
    elif use.loss and terms.loss is Loss.SHOWN:
        found.append(Finding.LOSS_SHOWN)
    if use.apart:
        found.append(Finding.TIMES_DIFFER)
    return tuple(found)


def _six(value: Fraction) -> Decimal:
    """Rounded half-up to six decimals, to be shown; nothing is computed from it."""
    return scaled(
        (2 * value.numerator * 10**PARTS + value.denominator) // (2 * value.denominator), PARTS
    )


# Charging the shares.


@dataclass(frozen=True, slots=True)
class Payer:
    """Where a payer's share is taken: from a purse, or (purpose None) put on the account's bill."""

    book: Book
    purpose: Purpose | None


def transfers(sheet: Sheet, payers: Mapping[str, Payer], *, at: datetime) -> tuple[Transfer, ...]:
    """The transfers that charge a sheet's shares; none for a share of nothing or that nobody is charged.

    A share of a commodity may be taken from a purse that pays for that commodity, any share from a property
    purse: no other, so that nobody's light goes out for a lift's oil. A sheet that was wrong is taken back by
    correcting each of its transfers, and made again under another number.

    Raises CannotShare if a payer is not known, or the purse may not pay for this.
    """
    made: list[Transfer] = []
    for line in sheet.lines:
        if not line.is_charged or line.share == ZERO:
            continue
        member = line.member
        payer = payers.get(member.payer)
        if payer is None:
            raise CannotShare(f"room {member.room}: it is not known where {member.payer} pays")
        if not _may_pay(payer.purpose, sheet.terms.commodity):
            raise CannotShare(
                f"room {member.room}: a purse for {payer.purpose} does not pay for {sheet.terms.item}"
            )
        made.append(
            Transfer(
                debit=payer.book,
                credit=income(sheet.terms.item),
                amount=line.share,
                reason=Reason.SHARE,
                cause=":".join((sheet.terms.number, *member.key)),
                at=at,
            )
        )
    if len({transfer.id for transfer in made}) < len(made):
        raise CannotShare("two rows have the same name; give rooms and payers names without colons")
    return tuple(made)


def _may_pay(purpose: Purpose | None, commodity: str | None) -> bool:
    if purpose is None or purpose is Purpose.PROPERTY:
        return True
    return commodity is not None and pays_for(purpose, commodity)
