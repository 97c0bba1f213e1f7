"""The tariff document 价格方案: parse and check.

This version prices by one flat rate per component. Bands, tiers, fixed fees and several versions are
refused by name, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

UNITS = {"electricity": "kWh", "cold_water": "m3"}


class BadTariff(ValueError):
    """The document cannot be used. errors names every fault by its path."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("the tariff cannot be used: " + "; ".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Component:
    """One thing that is charged: item names it on the bill; price in yuan per unit, exact."""

    item: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Tariff:
    code: str
    commodity: str
    unit: str
    components: tuple[Component, ...]

    @property
    def highest_price(self) -> Decimal:
        """The most that one more unit can cost, all components together, in yuan."""
        return sum((component.price for component in self.components), Decimal(0))


def parse(document: Mapping[str, Any]) -> Tariff:
    """The tariff that a document (as read from JSON) describes.

    Raises BadTariff with every fault, each named by its path.
    """
    errors: list[str] = []
    _only(document, {"code", "commodity", "unit", "currency", "timezone", "versions"}, "", errors)
    for name in ("code", "timezone"):
        if not isinstance(document.get(name), str) or not document.get(name):
            errors.append(f"{name}: must be a text")
    commodity, unit = document.get("commodity"), document.get("unit")
    if commodity not in UNITS:
        errors.append(f"commodity: must be one of {', '.join(UNITS)}")
    elif unit != UNITS[str(commodity)]:
        errors.append(f"unit: {commodity} is sold by the {UNITS[str(commodity)]}")
    if document.get("currency") != "CNY":
        errors.append("currency: must be CNY")
    components: list[Component] = []
    versions = document.get("versions")
    if not isinstance(versions, list) or len(versions) != 1 or not isinstance(versions[0], Mapping):
        errors.append("versions: must be a list of one version")
    else:
        components = _components(versions[0], errors)
    if errors:
        raise BadTariff(errors)
    return Tariff(str(document["code"]), str(commodity), str(unit), tuple(components))


def _components(version: Mapping[str, Any], errors: list[str]) -> list[Component]:
    _only(version, {"effective_from", "components"}, "versions[0].", errors)
    listed = version.get("components")
    if not isinstance(listed, list) or not listed:
        errors.append("versions[0].components: must be a list with at least one component")
        return []
    found: list[Component] = []
    for index, entry in enumerate(listed):
        path = f"versions[0].components[{index}]."
        if not isinstance(entry, Mapping):
            errors.append(f"{path[:-1]}: must be an object")
            continue
        _only(entry, {"item", "kind", "price"}, path, errors)
        item, price = entry.get("item"), _price(entry.get("price"))
        if not isinstance(item, str) or not item:
            errors.append(f"{path}item: must be a text")
        elif item in {component.item for component in found}:
            errors.append(f"{path}item: {item!r} is charged twice")
        if entry.get("kind") != "rate":
            errors.append(f"{path}kind: must be rate")
        if price is None:
            errors.append(
                f"{path}price: must be a flat price in yuan, written as text, not negative"
            )
        else:
            found.append(Component(str(item), price))
    return found


def _only(given: Mapping[str, Any], known: set[str], path: str, errors: list[str]) -> None:
    errors.extend(f"{path}{name}: not known here" for name in given if name not in known)


def _price(given: object) -> Decimal | None:
    if not isinstance(given, str):
        return None
    try:
        price = Decimal(given)
    except InvalidOperation:
        return None
    return price if price.is_finite() and price >= 0 else None
