"""What is wrong with a draft, in the words of a list: a document that is none, or one that rewrites the past."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prepaid.tariff import Tariff
from prepaid.tariff_document import BadTariff, parse

CURRENCY = "CNY"


def faults(
    document: Mapping[str, Any], published: Mapping[str, Any] | None, *, now: datetime
) -> list[str]:
    """Every fault of a document that is to be published now, in place of the published one; none if it can be.

    A version that holds already stays as it was: what was charged by it can be worked out again. Others may be
    changed, as nothing was charged by them.
    """
    try:
        tariff = parse(document)
    except BadTariff as error:
        return list(error.errors)
    found = []
    if tariff.currency != CURRENCY:
        found.append(f"currency: must be {CURRENCY}, as purses are kept in it")
    if published is None:
        return found
    before = parse(published)
    for name in ("code", "commodity", "unit", "timezone"):
        if getattr(tariff, name) != getattr(before, name):
            found.append(f"{name}: must stay {getattr(before, name)}, or it is another tariff")
    return found + _rewritten(document, tariff, published, before, now)


def _rewritten(
    document: Mapping[str, Any],
    tariff: Tariff,
    published: Mapping[str, Any],
    before: Tariff,
    now: datetime,
) -> list[str]:
    """A version that has begun is compared as it was written; the first one holds before its time, too."""
    begun = [
        number
        for number, version in enumerate(before.versions)
        if number == 0 or version.effective_from <= now
    ]
    found = []
    for number in begun:
        path = f"versions[{number}]"
        if len(tariff.versions) <= number:
            found.append(f"{path}: is missing; a version that has begun stays")
        elif document["versions"][number] != published["versions"][number]:
            found.append(f"{path}: has begun, so it cannot be changed; add a version after it")
    for number, version in enumerate(tariff.versions[len(begun) :], start=len(begun)):
        if version.effective_from <= now:
            found.append(f"versions[{number}].effective_from: must lie in the future")
    return found
