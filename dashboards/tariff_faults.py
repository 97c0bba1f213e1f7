"""The faults of a tariff document in the words of whoever wrote it: where, and what is wrong."""

from __future__ import annotations

import re

from dashboards.tariff_words import BANDS, Say
from dashboards.words import N_

PLACES = (
    (r"versions\[(\d+)\]", N_("version {number}")),
    (r"components\[(\d+)\]", N_("component {number}")),
    (r"bands\[(\d+)\]", N_("band line {number}")),
    (r"bounds\[(\d+)\]", N_("bound {number}")),
    (r"price\[(\d+)\]", N_("price of tier {number}")),
    (r"price", N_("price")),
    (r"amount", N_("amount")),
    (r"bands", N_("hours of the bands")),
    (r"tiers", N_("tiers")),
    (r"bounds", N_("bounds")),
    (r"code", N_("name")),
    (r"effective_from", N_("takes effect at")),
    (r"item", N_("item")),
    (r"commodity", N_("commodity")),
    (r"unit", N_("unit")),
    (r"currency", N_("currency")),
    (r"timezone", N_("time zone")),
    (r"versions", N_("versions")),
    (r"from", N_("from")),
    (r"to", N_("until")),
    (r"band", N_("band")),
    *((name, word) for name, word in BANDS.items()),
)
FAULTS = (
    (r"must be a text(?:.*)", N_("is missing")),
    (r"is missing", N_("is missing")),
    (
        r"must be a number written as text(?:.*)|must be an exact(?:.*)|must be a decimal(?:.*)"
        r"|(?:.*)must be a plain number(?:.*)",
        N_("must be a number, written like 0.5283"),
    ),
    (r"must be more than 0: bounds rise", N_("must be more than nothing")),
    (r"must be more than (\S+): bounds rise", N_("must be more than the bound before it, {0}")),
    (r"there is no price for band '(.+)'", N_("there is no price for {0}")),
    (r"no rule names this band", N_("there is a price for this band, but no hours")),
    (
        r"must have (\d+) entries, one for each tier, not (\d+)",
        N_("{0} tiers need {0} prices, not {1}"),
    ),
    (r"must be a list, a price for each tier", N_("each tier needs a price")),
    (
        r"no rule matches (\S+) \((\w+)\) at (\S+)",
        N_("no band holds at {2}; the bands must cover the whole day"),
    ),
    (r"must lie in the future", N_("must lie in the future")),
    (
        r"has begun, so it cannot be changed; add a version after it",
        N_("has begun, so it cannot be changed; add a version after it"),
    ),
    (r"must be later than that of (.+)", N_("must be later than that of the version before")),
    (r"must be a time with its offset(?:.*)", N_("must be a date and a time")),
    (r"must be a time of day(?:.*)", N_("must be a time of day, written like 06:30")),
    (r"is the time at which it begins(?:.*)", N_("ends where it begins")),
    (r"must be a list with at least (?:.*)", N_("is missing")),
    (r"must be ([\w/]+(?:(?:, | or )[\w/]+)*)", N_("must be one of: {0}")),
)


def said(fault: str, say: Say) -> str:
    """A fault as prepaid.tariff_document and the checks name it, in the language of say; unknown ones as they are."""
    path, _, text = fault.partition(": ")
    for pattern, words in FAULTS:
        if found := re.fullmatch(pattern, text):
            return f"{_place(path, say)}: {say(words).format(*found.groups())}"
    return f"{_place(path, say)}: {text}" if text else path


def _place(path: str, say: Say) -> str:
    parts = []
    for part in re.findall(r"[^.\[\]]+(?:\[\d+\])?", path):
        for pattern, words in PLACES:
            if found := re.fullmatch(pattern, part):
                number = int(found[1]) + 1 if found.groups() else 0
                parts.append(say(words).format(number=number))
                break
        else:
            parts.append(part)
    return " · ".join(parts)
