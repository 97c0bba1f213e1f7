"""A good tariff drawn: the hours of each kind of day, the tiers with their prices, and the price range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dashboards import tariff_words as words
from dashboards.tariff_days import MONTHS, DayPlan, day_plans, label, runs
from prepaid.cycle import Cycle, Every
from prepaid.decimals import written
from prepaid.quantity import times, total
from prepaid.tariff import Fixed, Rate, Tariff, Tiers, Version
from wattwell.tariff_text import both, local_time, say

HALF_HOURS = 48
RULER = "".join(f"{hour:<12}" for hour in range(0, 24, 6)) + "24"
HEIGHTS = "▁▂▃▄▅▆▇█"
COLOURS = ("blue", "cyan", "green", "yellow", "red")


def overview(tariff: Tariff) -> Group:
    """What the tariff says, as it is printed."""
    parts: list[RenderableType] = [
        Text(
            f"{tariff.code}: {tariff.commodity.replace('_', ' ')} by the {words.unit(tariff.unit)}, "
            f"in {tariff.currency}, days and hours of {tariff.timezone}"
        )
    ]
    for before, version in zip((None, *tariff.versions), tariff.versions, strict=False):
        parts += _version(tariff, version)
        if before is not None:
            parts += [Text(f"  {note}") for note in _counted_anew(before, version)]
    return Group(*parts)


def show(tariff: Tariff) -> None:
    Console().print(overview(tariff))


def _version(tariff: Tariff, version: Version) -> Iterator[RenderableType]:
    yield Text(f"\nFrom {local_time(version.effective_from, tariff.timezone)} on")
    if version.rule_bands:
        yield from _strips(version)
    yield from _prices(tariff, version)
    low, high = _range(version)
    span = f"{written(low)}" if low == high else f"from {written(low)} to {written(high)}"
    yield Text(
        f"One more {words.unit(tariff.unit)} costs {span} {tariff.currency}, all components together."
    )


def _strips(version: Version) -> Iterator[Text]:
    """For each kind of day a strip 48 half hours wide, the dearer the band the higher, and the exact hours."""
    levels = _levels(version)
    yield Text(f"  {RULER}", style="dim")
    for plan in day_plans(version.timetable, version.rule_bands):
        strip = Text("  ")
        for half_hour in range(HALF_HOURS):
            band = next(name for start, end, name in plan.hours if start <= half_hour * 30 < end)
            height, colour = levels[str(band)]
            strip.append(height, style=colour)
        yield strip.append(f"  {label(plan, version.timetable, say)}")
        for band in _by_price(version):
            hours = _hours(plan, band)
            if hours:
                height, colour = levels[band]
                yield (
                    Text("    ")
                    .append(height, style=colour)
                    .append(f" {both(words.band, band)} {hours}")
                )


def _by_price(version: Version) -> list[str]:
    """The bands, dearest first."""
    return sorted(version.bands, key=lambda band: -_price(version, band, dearest=False))


def _hours(plan: DayPlan, band: str) -> str:
    """When a band holds: "22:00–06:00"; the night is one."""
    held = [(start, end) for start, end, name in plan.hours if name == band]
    if len(held) > 1 and held[0][0] == 0 and held[-1][1] == HALF_HOURS * 30:
        held = [*held[1:-1], (held[-1][0], held[0][1])]
    return ", ".join(f"{_clock(start)}–{_clock(end)}" for start, end in held)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _levels(version: Version) -> dict[str, tuple[str, str]]:
    """For each band how high it is drawn, and its colour: by its place among the prices of the first tier."""
    price = {band: _price(version, band, dearest=False) for band in version.bands}
    ranks = sorted(set(price.values()))
    most = max(1, len(ranks) - 1)
    return {
        band: (
            HEIGHTS[ranks.index(price[band]) * (len(HEIGHTS) - 2) // most + 1],
            COLOURS[ranks.index(price[band]) * (len(COLOURS) - 1) // most],
        )
        for band in version.bands
    }


def _prices(tariff: Tariff, version: Version) -> Iterator[RenderableType]:
    rates = [component for component in version.components if isinstance(component, Rate)]
    bands = _by_price(version)
    unit = words.unit(tariff.unit)
    table = Table(box=SIMPLE_HEAD, border_style="dim", header_style="bold", pad_edge=False)
    table.add_column("Item 项目")
    if any(rate.tiers for rate in rates):
        table.add_column("Tier 阶梯", justify="right")
        table.add_column(f"Up to ≤ {unit}", justify="right")
    for band in bands:
        table.add_column(both(words.band, band), justify="right")
    for rate in rates:
        name = both(words.item, rate.item)
        if rate.share != 1:
            name = f"{name} × {written(rate.share)}"
        bounds = [written(bound) for bound in rate.tiers.bounds] if rate.tiers else []
        for tier, by_band in enumerate(rate.prices):
            limits = [str(tier + 1), [*bounds, "–"][tier]] if rate.tiers else ["", ""]
            table.add_row(
                "" if tier else name,
                *(limits if len(table.columns) > len(bands) + 1 else ()),
                *(written(by_band[band]) for band in bands),
            )
    if rates:
        yield table
    for component in version.components:
        name = both(words.item, component.item)
        match component:
            case Fixed():
                yield Text(f"  {name}: {written(component.amount)} a {component.cycle.every}")
            case Rate(tiers=Tiers() as tiers):
                yield from (Text(f"  {name}: {note}") for note in _notes(tiers))


def _notes(tiers: Tiers) -> Iterator[str]:
    yield f"counted from zero {_each(tiers.cycle)}"
    for season in tiers.seasons:
        bounds = ", ".join(written(bound) for bound in season.bounds)
        yield f"in {runs(tuple(sorted(season.months)), MONTHS, say)} up to {bounds}"
    if tiers.base_persons is not None:
        added = ", ".join(written(more) for more in tiers.per_extra_person)
        yield f"each person above {tiers.base_persons} adds {added} to the bounds"
    if tiers.per_household:
        yield "times the number of households"


def _counted_anew(before: Version, version: Version) -> Iterator[str]:
    """Which tiers do not go on counting where the same item's stopped in the version before, and why."""
    tiered = [
        (place, rate.item, rate.tiers.cycle)
        for place, rate in before.rates
        if rate.tiers is not None
    ]
    for place, rate in version.rates:
        if rate.tiers is None or (place, rate.item, rate.tiers.cycle) in tiered:
            continue
        if any(rate.item == item and rate.tiers.cycle == cycle for _, item, cycle in tiered):
            yield (
                f"{both(words.item, rate.item)}: does not go on counting where it stopped before this version: "
                "it stands at another place in the list; leave the components in their order"
            )


def _each(cycle: Cycle) -> str:
    if cycle.every is Every.MONTH:
        return f"each month on day {cycle.day}"
    return f"each year on {cycle.day} {MONTHS[cycle.month - 1]}"


def _range(version: Version) -> tuple[Decimal, Decimal]:
    """The least and the most that one more unit costs."""
    lows = [_price(version, band, dearest=False) for band in version.bands]
    highs = [_price(version, band, dearest=True) for band in version.bands]
    return min(lows), max(highs)


def _price(version: Version, band: str, *, dearest: bool) -> Decimal:
    """Of all components together, by share, in their dearest tier or their cheapest."""
    choose = max if dearest else min
    return total(
        times(component.share, choose(_in_band(component.prices, band)))
        for component in version.components
        if isinstance(component, Rate)
    )


def _in_band(prices: tuple[Mapping[str, Decimal], ...], band: str) -> list[Decimal]:
    return [by_band[band] for by_band in prices]
