"""The form of a draft: prices flat, by time of day or by tiers, as fields; anything else is in the document.

The form shows the newest version of the document, and writes it back. What it cannot show (seasons, holidays,
shares) is left to the document itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData

from prepaid.tariff_document import UNITS

BANDS = ("sharp", "peak", "flat", "valley", "deep")
HOURS, TIERS, FURTHER = 8, 4, 3
ZONE = ZoneInfo("Asia/Shanghai")
ITEM = {"electricity": "energy"}


@dataclass(frozen=True, slots=True)
class Hours:
    """A band and when in the day it holds, as texts: 08:00 to 12:00."""

    band: str
    since: str
    until: str


@dataclass(slots=True)
class Form:
    """The fields, as texts. prices are by tier, then by band ("all" without times of day)."""

    code: str = ""
    commodity: str = "electricity"
    effective: str = ""
    is_timed: bool = False
    hours: list[Hours] = field(default_factory=list)
    period: str = ""  # "", month or year
    bounds: list[str] = field(default_factory=list)
    prices: list[dict[str, str]] = field(default_factory=lambda: [{}])
    further: list[tuple[str, str, str]] = field(default_factory=list)  # item, price, per

    def price(self, tier: int, band: str) -> str:
        return self.prices[tier].get(band, "") if tier < len(self.prices) else ""

    def bound(self, tier: int) -> str:
        return self.bounds[tier] if tier < len(self.bounds) else ""


def shown(document: Mapping[str, Any]) -> Form | None:
    """The form of a document's newest version; None if a form cannot show it."""
    try:
        version = document["versions"][-1]
        components = version["components"]
        main, *others = components
        if set(version) - {"effective_from", "bands", "components"} or main["kind"] != "rate":
            return None
        tiers = main.get("tiers", {})
        if set(main) - {"item", "kind", "price", "tiers"} or set(tiers) - {"period", "bounds"}:
            return None
        form = Form(
            code=document["code"],
            commodity=document["commodity"],
            effective=_local(version["effective_from"]),
            is_timed="bands" in version,
            hours=_hours(version.get("bands", [])),
            period=tiers.get("period", ""),
            bounds=list(tiers.get("bounds", [])),
            prices=[_by_band(each) for each in _listed(main["price"])],
            further=[_further(each) for each in others],
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    is_small = len(form.hours) <= HOURS and len(form.bounds) < TIERS and len(others) <= FURTHER
    return form if is_small and set(_bands(form)) <= {*BANDS, "all"} else None


def _bands(form: Form) -> list[str]:
    return [hours.band for hours in form.hours] + [band for each in form.prices for band in each]


def _local(instant: str) -> str:
    return datetime.fromisoformat(instant).astimezone(ZONE).strftime("%Y-%m-%dT%H:%M")


def _hours(rules: list[dict[str, Any]]) -> list[Hours]:
    found = []
    for rule in rules:
        if set(rule) - {"band", "from", "to"}:
            raise ValueError("a rule for some days only")
        until = rule.get("to", "24:00")
        found.append(Hours(rule["band"], rule.get("from", "00:00"), until))
    return found


def _listed(price: Any) -> list[Any]:
    return price if isinstance(price, list) else [price]


def _by_band(price: Any) -> dict[str, str]:
    return dict(price) if isinstance(price, dict) else {"all": price}


def _further(component: dict[str, Any]) -> tuple[str, str, str]:
    if component["kind"] == "fixed" and set(component) == {"item", "kind", "amount", "per"}:
        return component["item"], component["amount"], component["per"]
    if component["kind"] == "rate" and set(component) == {"item", "kind", "price"}:
        if not isinstance(component["price"], str):
            raise ValueError("a price by band")
        return component["item"], component["price"], "unit"
    raise ValueError("more than a form shows")


def read(given: FormData) -> Form:
    """What was typed into the form, as it was typed."""
    text = {name: str(value).strip() for name, value in given.items()}
    timed = text.get("timed") == "yes"
    period = text.get("period", "")
    hours = [
        Hours(text[f"band{n}"], text.get(f"from{n}", ""), _end(text.get(f"to{n}", "")))
        for n in range(HOURS)
        if text.get(f"band{n}")
    ]
    tiers = TIERS if period else 1
    bands = [band for band in BANDS if any(each.band == band for each in hours)]
    prices = [
        {band: text.get(f"price{tier}-{band}", "") for band in (bands if timed else ["all"])}
        for tier in range(tiers)
    ]
    while len(prices) > 1 and not any(prices[-1].values()):
        prices.pop()
    return Form(
        code=text.get("code", ""),
        commodity=text.get("commodity", ""),
        effective=text.get("effective", ""),
        is_timed=timed,
        hours=hours if timed else [],
        period=period,
        bounds=[b for b in (text.get(f"bound{n}", "") for n in range(len(prices) - 1)) if b],
        prices=prices,
        further=[
            (text[f"item{n}"], text.get(f"amount{n}", ""), text.get(f"per{n}", "unit"))
            for n in range(FURTHER)
            if text.get(f"item{n}")
        ],
    )


def _end(typed: str) -> str:
    """A clock says 00:00 for the end of a day."""
    return "24:00" if typed in ("", "00:00") else typed


def written(form: Form, document: Mapping[str, Any], *, replaces: int) -> dict[str, Any]:
    """The document with the form as its newest version: after the first `replaces` versions, which stay."""
    whole = deepcopy(dict(document))
    if not replaces:
        whole |= {
            "code": form.code,
            "commodity": form.commodity,
            "unit": next(iter(UNITS.get(form.commodity, ("kWh",)))),
            "currency": "CNY",
            "timezone": ZONE.key,
        }
    version: dict[str, Any] = {"effective_from": _instant(form.effective)}
    if form.is_timed:
        version["bands"] = [
            {"band": each.band, "from": each.since, "to": each.until} for each in form.hours
        ]
    version["components"] = [_main(form), *(_written(each) for each in form.further)]
    whole["versions"] = [*whole.get("versions", [])[:replaces], version]
    return whole


def _instant(typed: str) -> str:
    try:
        return datetime.fromisoformat(typed).replace(tzinfo=ZONE).isoformat()
    except ValueError:
        return typed  # the check says what is wrong with it


def _main(form: Form) -> dict[str, Any]:
    prices = [each if form.is_timed else each.get("all", "") for each in form.prices]
    item = ITEM.get(form.commodity, "water" if "water" in form.commodity else "energy")
    component: dict[str, Any] = {"item": item, "kind": "rate"}
    if form.period:
        component["tiers"] = {"period": form.period, "bounds": form.bounds}
        component["price"] = prices
    else:
        component["price"] = prices[0]
    return component


def _written(further: tuple[str, str, str]) -> dict[str, Any]:
    item, amount, per = further
    if per == "unit":
        return {"item": item, "kind": "rate", "price": amount}
    return {"item": item, "kind": "fixed", "amount": amount, "per": per}
