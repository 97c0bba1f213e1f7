"""How a reading came to its charges, in words that a tenant can follow with a pencil."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from dashboards import tariff_words as words
from dashboards.tariff_words import Say
from dashboards.words import N_
from prepaid.cycle import Every
from prepaid.decimals import written
from prepaid.money import Money
from prepaid.quantity import times, total
from prepaid.rating import Explanation, Posting, PricedFee, PricedPart, PricedSlice
from prepaid.reckoning import BandSource
from prepaid.tariff import ALL, Tariff

SPREAD = N_(
    "Nobody can see when in this time it was used, so it is spread evenly. Where the price changes, the "
    "register is taken from the straight line between the two readings, to a millionth."
)
DISTRUSTED = N_(
    "The meter's own registers of the bands do not fit its total, so it is spread evenly over the time."
)
METERED = N_("The meter counts each band by itself; its own registers are used.")
FEES = {Every.DAY: N_("{item} by the day"), Every.MONTH: N_("{item} by the month")}
PERIODS = {True: N_("in the year from {since}"), False: N_("in the month from {since}")}
_LONGEST_MONTH = timedelta(days=32)


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of time: when, and what was used in it; and a line of sums for each price."""

    heading: str
    sums: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """An explanation in words: what was used, the pieces, and what is charged for it."""

    used: tuple[str, ...]
    steps: tuple[Step, ...]
    charged: tuple[str, ...]


def tell(explained: Explanation, tariff: Tariff, say: Say) -> Told:
    """The explanation in the language of say, times as clocks in the tariff's zone show them."""
    return Told(
        tuple(_used(explained, tariff, say)),
        (
            *(_slice(cut, explained, tariff, say) for cut in explained.slices),
            *(_fee(fee, tariff, say) for fee in explained.fees if fee.quantity),
        ),
        tuple(_charged(explained, tariff, say)),
    )


def _used(explained: Explanation, tariff: Tariff, say: Say) -> list[str]:
    before, after = explained.before, explained.after
    unit, moved = words.unit(tariff.unit), written(explained.moved)
    span = _span(before.at, after.at, tariff, say)
    if not explained.moved:
        stood = say(N_("{span}: the register stayed at {register}. Nothing was used."))
        return [stood.format(span=span, register=written(before.total))]
    went = say(N_("{span}: the register went from {before} to {after}: {moved} {unit}."))
    if explained.multiplier != 1:
        went = say(
            N_(
                "{span}: the register went from {before} to {after}, by {moved}. Times {multiplier}, the "
                "multiplier of the meter, that is {used} {unit}."
            )
        )
    told = [
        went.format(
            span=span,
            before=written(before.total),
            after=written(after.total),
            moved=moved,
            multiplier=written(explained.multiplier),
            used=written(times(explained.moved, explained.multiplier)),
            unit=unit,
        )
    ]
    match explained.bands_by:
        case BandSource.METER:
            told.append(say(METERED))
        case BandSource.DISTRUSTED:
            told.append(say(DISTRUSTED))
        case BandSource.CLOCK if len(explained.slices) > 1:
            told.append(say(SPREAD))
    return told


def _slice(cut: PricedSlice, explained: Explanation, tariff: Tariff, say: Say) -> Step:
    span = _span(cut.since, cut.until, tariff, say)
    if cut.band != ALL:
        span = say(N_("{span}, {band}")).format(span=span, band=words.band(cut.band, say))
    if len({one.effective_from for one in explained.slices}) > 1:
        since = _time(cut.effective_from, tariff)
        span = say(N_("{span}, at the prices since {since}")).format(span=span, since=since)
    heading = say(N_("{span}: {quantity} {unit}, register {before} to {after}")).format(
        span=span,
        quantity=written(cut.quantity),
        unit=words.unit(tariff.unit),
        before=written(cut.register_before),
        after=written(cut.register_after),
    )
    return Step(heading, tuple(_sum(part, tariff, say) for part in cut.parts))


def _sum(part: PricedPart, tariff: Tariff, say: Say) -> str:
    """One price: "energy, tier 2 (2600 to 2880 …): 280 kWh × 0.5383 = 150.724"."""
    what = words.item(part.item, say)
    if part.share != 1:
        what = say(N_("{item}, {share} of it")).format(item=what, share=written(part.share))
    if part.period is not None:
        what = _tier(what, part, tariff, say)
    return say(N_("{what}: {quantity} × {price} = {amount}")).format(
        what=what,
        quantity=f"{written(part.quantity)} {words.unit(tariff.unit)}",
        price=written(part.price),
        amount=written(part.amount),
    )


def _tier(what: str, part: PricedPart, tariff: Tariff, say: Say) -> str:
    assert part.period is not None
    is_year = part.period.until - part.period.since > _LONGEST_MONTH
    values = {
        "item": what,
        "tier": part.tier,
        "used": written(part.used_before),
        "period": say(PERIODS[is_year]).format(
            since=f"{_local(part.period.since, tariff):%Y-%m-%d}"
        ),
        "unit": words.unit(tariff.unit),
    }
    if part.bound is None:
        last = say(N_("{item}, tier {tier}, the last one ({used} {unit} used before {period})"))
        return last.format(**values)
    tier = say(N_("{item}, tier {tier}, up to {bound} {unit} ({used} used before {period})"))
    return tier.format(bound=written(part.bound), **values)


def _fee(fee: PricedFee, tariff: Tariff, say: Say) -> Step:
    line = say(N_("{what}: {quantity} × {price} = {amount}")).format(
        what=say(FEES[fee.per]).format(item=words.item(fee.item, say)),
        quantity=written(fee.quantity),
        price=written(fee.price),
        amount=written(fee.amount),
    )
    return Step(_span(fee.since, fee.until, tariff, say), (line,))


def _charged(explained: Explanation, tariff: Tariff, say: Say) -> list[str]:
    told = [_posting(posting, tariff, say) for posting in explained.postings]
    together = Money(sum(posting.charged.fen for posting in explained.postings))
    if len(explained.postings) > 1:
        told.append(
            say(N_("Charged together: {amount}")).format(amount=_money(together, tariff, say))
        )
    return told


def _posting(posting: Posting, tariff: Tariff, say: Say) -> str:
    rise = total([posting.cost, -posting.cost_before])
    return say(
        N_(
            "{item}: {before} until then + {rise} = {cost}, rounded {posted}; {posted_before} was charged "
            "before, so now {charged}"
        )
    ).format(
        item=words.item(posting.item, say),
        before=written(posting.cost_before),
        rise=written(rise),
        cost=written(posting.cost),
        posted=_plain(posting.posted, tariff),
        posted_before=_plain(posting.posted_before, tariff),
        charged=_money(posting.charged, tariff, say),
    )


def _plain(money: Money, tariff: Tariff) -> str:
    amount: Decimal = money.amount(tariff.currency)
    return f"{amount:f}"


def _money(money: Money, tariff: Tariff, say: Say) -> str:
    if tariff.currency == "CNY":
        return say(N_("{amount} yuan")).format(amount=_plain(money, tariff))
    return f"{_plain(money, tariff)} {tariff.currency}"


def _span(since: datetime, until: datetime, tariff: Tariff, say: Say) -> str:
    """ "2026-05-01 00:00 to 06:00": the day is not said twice; midnight at its end is 24:00."""
    begin, end = _local(since, tariff), _local(until, tariff)
    is_next = end.date() == begin.date() + timedelta(days=1)
    if is_next and f"{end:%H%M%S%f}" == "000000000000":
        till = "24:00"
    elif end.date() == begin.date() and begin.utcoffset() == end.utcoffset():
        till = _clock(end)
    else:
        till = _time(until, tariff)
    return say(N_("{since} to {until}")).format(since=_time(since, tariff), until=till)


def _time(at: datetime, tariff: Tariff) -> str:
    local = _local(at, tariff)
    return f"{local:%Y-%m-%d} {_clock(local)}"


def _clock(local: datetime) -> str:
    if local.microsecond:
        return f"{local:%H:%M:%S.%f}"
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"


def _local(at: datetime, tariff: Tariff) -> datetime:
    return at.astimezone(ZoneInfo(tariff.timezone))
