"""What a gateway knows, for the tests of what it decides from that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import AGREEING, Override, Situation
from tests.prepaid.values import EVENING

A_MINUTE = timedelta(minutes=1)

OPEN = Situation(
    now=EVENING,
    is_clock_trusted=True,
    available=Money.yuan("20"),
    is_emergency_taken=False,
    warned_ago=None,
    is_held=False,
    is_leaking=False,
    has_tariff=True,
    read_ago=timedelta(0),
    agreeing=AGREEING,
    overrides=(),
    is_braked=False,
    are_taps_closed=False,
    has_switch=True,
    seen=Supply.ON,
    current_a=None,
    put_off=0,
    switched_ago=None,
    off_for=None,
    power_back_ago=None,
    place=0,
)
"""Supplied, in credit, and nothing in the way of anything."""


def knowing(yuan: str, **changes: Any) -> Situation:
    """What is known where nothing is in the way, but for these changes."""
    return replace(OPEN, available=Money.yuan(yuan), **changes)


def pinned(supply: Supply, *, ends_in: timedelta = A_MINUTE) -> Override:
    return Override(supply, EVENING + ends_in, by="值班 王工", why="检修")
