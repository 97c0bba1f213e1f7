"""The trial 试算: what a month's use costs, line by line, by a draft and by what holds now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from dashboards.tariff_words import Say, band, item
from prepaid import rating
from prepaid.cycle import Every
from prepaid.money import ZERO, Money
from prepaid.point import Meter, Policy, ServicePoint
from prepaid.reading import Reading
from prepaid.tariff import Tariff
from prepaid.tariff_document import parse

MOST = Decimal(10_000_000)
DAYS = 30
CENT = Decimal("0.01")
STEPS = 30  # readings, so that tiers are filled as the month goes


@dataclass(frozen=True, slots=True)
class Line:
    """What an item came to in a band and tier; quantity and amount to two decimals."""

    what: str
    tier: str
    quantity: Decimal
    price: Decimal
    amount: Decimal


@dataclass(slots=True)
class Trial:
    """What it came to; used_before is what the tiers had counted when the month began."""

    lines: list[Line] = field(default_factory=list)
    total: Money = ZERO


def quantity(typed: str) -> Decimal | None:
    """A quantity as typed, None if it is none."""
    try:
        found = Decimal(typed.strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() and 0 <= found <= MOST else None


def work_out(
    document: Mapping[str, Any],
    used: Decimal,
    before: Decimal,
    say: Say,
    *,
    now: datetime | None,
) -> Trial:
    """What used costs over thirty days of the newest version (now None), or of the one that holds, with the tiers
    filled by before, by whoever has nobody's number of persons."""
    whole = parse(document)
    version = whole.versions[-1] if now is None else whole.versions[whole.terms(now).version]
    tariff = Tariff(
        whole.code, whole.commodity, whole.unit, whole.currency, whole.timezone, (version,)
    )
    began = _start_of_tiers(tariff, version.effective_from)
    step = Decimal("0.001")
    meter = Meter("trial", "none", "none", "1", 12, step, MOST)
    point = ServicePoint(UUID(int=0), "trial", meter, tariff.code, UUID(int=0), Policy())
    position = rating.open_position(point, tariff, Reading("trial", began, Decimal(0), None))
    sums: dict[tuple[str, str, Decimal], list[Decimal]] = {}
    posted = {running.item: running.posted for running in position.running}
    if before:
        began += timedelta(seconds=1)
        position, _ = rating.rate(
            point, tariff, position, Reading("trial", began, before, None), moved=before
        )
        posted = {running.item: running.posted for running in position.running}
    register = before
    for number in range(1, STEPS + 1):
        at = began + timedelta(days=DAYS) * number / STEPS
        reached = before + (used * number / STEPS).quantize(step)
        reading, moved = Reading("trial", at, reached, None), reached - register
        explained = rating.explain(point, tariff, position, reading, moved=moved)
        for cut in explained.slices:
            for part in cut.parts:
                tier = f"{part.tier}/{part.tiers}" if part.tiers > 1 else ""
                what = item(part.item, say)
                named = what if len(version.bands) == 1 else f"{what} · {band(cut.band, say)}"
                line = sums.setdefault((named, tier, part.price), [Decimal(0), Decimal(0)])
                line[0] += part.quantity
                line[1] += part.amount
        for fee in explained.fees:
            per = say("day") if fee.per is Every.DAY else say("month")
            line = sums.setdefault(
                (f"{item(fee.item, say)} / {per}", "", fee.price), [Decimal(0), Decimal(0)]
            )
            line[0] += fee.quantity
            line[1] += fee.amount
        position, _ = rating.rate(point, tariff, position, reading, moved=moved)
        register = reached
    total = sum((r.posted - posted.get(r.item, ZERO) for r in position.running), ZERO)
    lines = [
        Line(what, tier, quantity.quantize(CENT), price, amount.quantize(CENT))
        for (what, tier, price), (quantity, amount) in sums.items()
        if quantity
    ]
    return Trial(sorted(lines, key=lambda line: (line.what, line.tier)), total)


def _start_of_tiers(tariff: Tariff, at: datetime) -> datetime:
    """Where the tiers begin to count that hold then; the instant itself where there are none."""
    periods = [period for period in tariff.terms(at).periods if period is not None]
    return max((period.since for period in periods), default=at)
