"""Addresses and units as a person writes them: with commas between, and ranges."""

from __future__ import annotations

import re

MOST_KNOWN = 10_000


def known_addresses(text: str) -> tuple[str, ...]:
    """Addresses with commas between; two with a hyphen are all from the first to the second.

    Raises ValueError for what is not 12 or 14 digits, or more than 10000.
    """
    addresses: list[str] = []
    for part in re.split(r"[,\s]+", text.strip()):
        first, _, last = part.partition("-")
        last = last or first
        for one in (first, last):
            if len(one) not in (12, 14) or not (one.isascii() and one.isdecimal()):
                raise ValueError(f"{one!r} is not an address of 12 or 14 digits")
        if len(first) != len(last) or int(first) > int(last):
            raise ValueError(f"{part!r} is not a range of addresses")
        if int(last) - int(first) + len(addresses) >= MOST_KNOWN:
            raise ValueError(f"more than {MOST_KNOWN} addresses")
        addresses += [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    return tuple(addresses)


def units(text: str) -> tuple[int, ...]:
    """Modbus units: "1-247", "1,5,17-20". Raises ValueError."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            low, high = int(first), int(last or first)
        except ValueError:
            low, high = 0, 0
        if not 1 <= low <= high <= 247:
            raise ValueError(f"{part.strip()!r} is not a unit or a range within 1-247")
        found += range(low, high + 1)
    return tuple(dict.fromkeys(found))
