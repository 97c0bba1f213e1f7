"""Common use 公共用量: what the meters behind a common cost measured, their loss, and its invoice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from prepaid.money import ZERO, Money
from prepaid.quantity import not_negative, scaled, total

PLACES = 4  # decimals of a shared quantity, at least


@dataclass(frozen=True, slots=True)
class MeterUse:
    """What one meter measured between two reads (冻结), multiplier and rollover already in it.

    Raises TypeError or ValueError if it is no exact decimal or negative, or the times are not in order or
    have no zone.
    """

    name: str
    used: Decimal
    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        not_negative(self.used, f"the use of meter {self.name}")
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ValueError(f"the reads of meter {self.name} have a time zone")
        if self.until <= self.since:
            raise ValueError(
                f"meter {self.name} is read at the end after it is read at the beginning"
            )


@dataclass(frozen=True, slots=True)
class Use:
    """The meters behind a common cost. The loss is main - public - subs; unknown without a main meter.

    main measures all that comes in, public what is used in common, subs all else behind the main meter.
    Without public meters, all that is used in common is loss.

    Raises ValueError if no meter is given, one is given twice, or subs are given without a main meter.
    """

    main: MeterUse | None
    public: tuple[MeterUse, ...]
    subs: tuple[MeterUse, ...]

    def __post_init__(self) -> None:
        if self.main is None and not self.public:
            raise ValueError("common use is measured by a main meter or by meters of its own")
        if self.main is None and self.subs:
            raise ValueError("sub-meters are compared with a main meter, and none is given")
        names = Counter(meter.name for meter in self.meters)
        if twice := sorted(name for name, times_given in names.items() if times_given > 1):
            raise ValueError(f"given twice: meter {', '.join(twice)}")

    @property
    def meters(self) -> tuple[MeterUse, ...]:
        main = () if self.main is None else (self.main,)
        return (*main, *self.public, *self.subs)

    @property
    def public_used(self) -> Decimal:
        return total(meter.used for meter in self.public)

    @property
    def subs_used(self) -> Decimal:
        return total(meter.used for meter in self.subs)

    @property
    def loss(self) -> Decimal | None:
        if self.main is None:
            return None
        return total((self.main.used, -self.public_used, -self.subs_used))

    @property
    def apart(self) -> timedelta:
        """The most by which the meters were read at different times, at the beginning or at the end."""
        since = [meter.since for meter in self.meters]
        until = [meter.until for meter in self.meters]
        return max(max(since) - min(since), max(until) - min(until))

    @property
    def error_band(self) -> Decimal | None:
        """How far the loss may be off for that: what each meter, at its mean load, measured in the times in
        which it and the main meter did not both run. Rounded up to four decimals; None without a main meter."""
        if self.main is None:
            return None
        band = Fraction(0)
        for meter in (*self.public, *self.subs):
            apart = abs(meter.since - self.main.since) + abs(meter.until - self.main.until)
            band += Fraction(meter.used) * _ratio(apart, meter.until - meter.since)
        return scaled(ceil(band * 10**PLACES), PLACES)


def _ratio(part: timedelta, whole: timedelta) -> Fraction:
    microsecond = timedelta(microseconds=1)
    return Fraction(part // microsecond, whole // microsecond)


@dataclass(frozen=True, slots=True)
class Invoice:
    """What the utility billed: an amount before tax for a quantity, and the rate of tax (0.13).

    Raises TypeError or ValueError if quantity or tax is no exact decimal, or negative, or no quantity is
    billed.
    """

    before_tax: Money
    quantity: Decimal
    tax: Decimal

    def __post_init__(self) -> None:
        if self.before_tax < ZERO:
            raise ValueError(f"an invoice is not negative: {self.before_tax}")
        not_negative(self.tax, "the rate of tax")
        if not_negative(self.quantity, "the quantity of an invoice") == 0:
            raise ValueError("an invoice without a quantity gives no price")

    @property
    def price(self) -> Fraction:
        """Per unit and before tax, in the currency's minor unit."""
        return Fraction(self.before_tax.fen) / Fraction(self.quantity)
