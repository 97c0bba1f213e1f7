"""When must a service point be read next."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from prepaid.money import ZERO, Money


def next_read(
    available: Money,
    *,
    highest_price: Decimal,
    max_per_hour: Decimal,
    now: datetime,
    at_most: timedelta,
) -> datetime:
    """The earliest instant at which the purse can run out, but no later than now + at_most.

    available in fen, highest_price in yuan per unit, max_per_hour in units: T = balance / (price × load).
    A purse that has run out is not made due at once: it is visited at the pace of at_most, and at once
    when a credit arrives.
    """
    latest = now + at_most
    per_hour = highest_price * max_per_hour
    if available <= ZERO or per_hour == 0:
        return latest
    hours = available.in_yuan() / per_hour
    if hours >= Decimal(at_most.total_seconds()) / 3600:
        return latest
    return now + timedelta(seconds=float(hours * 3600))
