"""Purpose: what the money of a purse 钱包 is for, what it may pay for, and so what it may cut off."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Purpose(StrEnum):
    ELECTRICITY = "electricity"  # 电费
    WATER = "water"  # 水费: cold, hot and reclaimed
    UTILITY = "utility"  # 水电费: every commodity together
    PROPERTY = "property"  # 物业费: fees for looking after the place; never a commodity


WATERS = frozenset({"cold_water", "hot_water", "reclaimed_water"})

PAYS_FOR: Mapping[Purpose, frozenset[str]] = {
    Purpose.ELECTRICITY: frozenset({"electricity"}),
    Purpose.WATER: WATERS,
    Purpose.UTILITY: frozenset({"electricity", "gas", "heat", "cooling"}) | WATERS,
    Purpose.PROPERTY: frozenset(),
}
"""The commodities, as a tariff document names them, that a purse may pay for."""


def pays_for(purpose: Purpose, commodity: str) -> bool:
    """Whether a purse may pay for a service point of this commodity.

    A service point is cut off for the purse that pays for it and for no other, so this is also all that a
    purse can cut. A property purse pays for no commodity, because nobody may stop water, power, heat or
    gas to collect property fees (民法典 944).
    """
    return commodity in PAYS_FOR[purpose]
