"""Bills and explanations, drawn for the terminal and as JSON documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dashboards import tariff_words as words
from dashboards.tariff_explained import Told, tell
from dashboards.words import CATALOGUES
from prepaid.bill import Bill, Line
from prepaid.decimals import written
from prepaid.rating import Explanation, PricedFee, PricedPart, PricedSlice
from prepaid.tariff import Fixed, Rate, Tariff
from wattwell.tariff_text import both


def show_bill(billed: Bill, tariff: Tariff) -> None:
    unit = words.unit(tariff.unit)
    table = Table(box=SIMPLE_HEAD, border_style="dim", header_style="bold", pad_edge=False)
    table.add_column("Item 项目")
    table.add_column("Band 时段")
    for heading in ("Tier 阶梯", "Quantity 用量", "Price 单价", "Amount 金额"):
        table.add_column(heading, justify="right")
    fees = _fees(tariff)
    for line in billed.lines:
        table.add_row(
            both(words.item, line.item),
            both(words.band, line.band),
            str(line.tier),
            _quantity(line, unit, fees),
            written(line.price),
            written(line.amount),
        )
    console = Console()
    console.print(table)
    for item, amount in billed.items.items():
        console.print(Text(f"{both(words.item, item)}: {amount:f}"))
    console.print(
        Text(
            f"Total 合计: {billed.total.amount(billed.currency):f} {billed.currency}", style="bold"
        )
    )


def _quantity(line: Line, unit: str, fees: dict[str, str]) -> str:
    if line.item in fees:
        unit = fees[line.item] + ("s" if line.quantity > 1 else "")
    return f"{written(line.quantity)} {unit}"


def _fees(tariff: Tariff) -> dict[str, str]:
    """What a fee is counted in, for items that are nothing but fees."""
    components = [component for version in tariff.versions for component in version.components]
    rates = {component.item for component in components if isinstance(component, Rate)}
    return {
        component.item: str(component.cycle.every)
        for component in components
        if isinstance(component, Fixed) and component.item not in rates
    }


def show_explanation(explained: Explanation, tariff: Tariff, language: str) -> None:
    """In words: what was used, each piece of time with its sums, and what is charged."""
    told = tell(explained, tariff, CATALOGUES[language].gettext)
    console = Console()
    for sentence in told.used:
        console.print(Text(sentence, style="bold"))
    for step in told.steps:
        console.print(Padding(Text(step.heading), (0, 0, 0, 2)))
        for line in step.sums:
            console.print(Padding(Text(line, style="cyan"), (0, 0, 0, 4)))
    for sentence in told.charged:
        console.print(Text(sentence))
    console.print()


def as_document(explained: list[Explanation], tariff: Tariff, language: str) -> dict[str, Any]:
    """Every interval with its slices, fees and postings; numbers are texts; words are those of the terminal."""
    return {
        "code": tariff.code,
        "currency": tariff.currency,
        "unit": tariff.unit,
        "intervals": [_interval(one, tariff, language) for one in explained],
    }


def _interval(explained: Explanation, tariff: Tariff, language: str) -> dict[str, Any]:
    told = tell(explained, tariff, CATALOGUES[language].gettext)
    return {
        "since": explained.before.at.isoformat(),
        "until": explained.after.at.isoformat(),
        "register_before": written(explained.before.total),
        "register_after": written(explained.after.total),
        "bands_by": str(explained.bands_by),
        "slices": [_slice(cut) for cut in explained.slices],
        "fees": [_fee(fee) for fee in explained.fees],
        "items": [
            {
                "item": posting.item,
                "cost_before": written(posting.cost_before),
                "cost": written(posting.cost),
                "posted_before": f"{posting.posted_before.amount(tariff.currency):f}",
                "posted": f"{posting.posted.amount(tariff.currency):f}",
                "charged": f"{posting.charged.amount(tariff.currency):f}",
            }
            for posting in explained.postings
        ],
        "words": list(_words(told)),
    }


def _slice(cut: PricedSlice) -> dict[str, Any]:
    return {
        "since": cut.since.isoformat(),
        "until": cut.until.isoformat(),
        "effective_from": cut.effective_from.isoformat(),
        "band": cut.band,
        "register_before": written(cut.register_before),
        "register_after": written(cut.register_after),
        "quantity": written(cut.quantity),
        "parts": [_part(part) for part in cut.parts],
    }


def _part(part: PricedPart) -> dict[str, Any]:
    return {
        "item": part.item,
        "share": written(part.share),
        "tier": part.tier,
        "tiers": part.tiers,
        "period_since": part.period.since.isoformat() if part.period else None,
        "used_before": written(part.used_before),
        "bound": written(part.bound) if part.bound is not None else None,
        "quantity": written(part.quantity),
        "price": written(part.price),
        "amount": written(part.amount),
    }


def _fee(fee: PricedFee) -> dict[str, Any]:
    return {
        "item": fee.item,
        "since": fee.since.isoformat(),
        "until": fee.until.isoformat(),
        "per": str(fee.per),
        "quantity": written(fee.quantity),
        "price": written(fee.price),
        "amount": written(fee.amount),
    }


def _words(told: Told) -> Iterator[str]:
    yield from told.used
    for step in told.steps:
        yield step.heading
        yield from step.sums
    yield from told.charged
