"""What tariffs are made of, in the words that people read."""

from __future__ import annotations

from collections.abc import Callable

from dashboards.words import N_
from prepaid.tariff import ALL

Say = Callable[[str], str]
"""A message in the reader's language."""

BANDS = {
    ALL: N_("all day"),
    "sharp": N_("sharp"),
    "peak": N_("peak"),
    "flat": N_("flat"),
    "valley": N_("valley"),
    "deep": N_("deep valley"),
}
ITEMS = {
    "energy": N_("energy"),
    "water": N_("water"),
    "resource": N_("water resource fee"),
    "sewage": N_("sewage"),
    "service": N_("service fee"),
    "surcharge": N_("surcharge"),
}
UNITS = {"m3": "m³"}


def band(name: str, say: Say) -> str:
    """A band as people call it; one of the site's own is its own name."""
    return say(BANDS[name]) if name in BANDS else name


def item(name: str, say: Say) -> str:
    return say(ITEMS[name]) if name in ITEMS else name


def unit(name: str) -> str:
    return UNITS.get(name, name)
