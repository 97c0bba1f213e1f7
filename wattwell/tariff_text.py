"""How the tariff commands write words and times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from dashboards.words import CATALOGUES


def say(message: str) -> str:
    """English is written as it is."""
    return message


def both(word: Callable[[str, Callable[[str], str]], str], name: str) -> str:
    """A word of the trade in English and Chinese: "valley 谷"."""
    english, chinese = word(name, say), word(name, CATALOGUES["zh"].gettext)
    return english if english == chinese else f"{english} {chinese}"


def local_time(at: datetime, zone: str) -> str:
    """An instant as clocks there show it: to the minute, or as finely as it takes."""
    try:
        local = at.astimezone(ZoneInfo(zone))
    except OverflowError:  # the first or the last day that dates have
        local = at
    if local.microsecond:
        return f"{local:%Y-%m-%d %H:%M:%S.%f}"
    return f"{local:%Y-%m-%d %H:%M:%S}" if local.second else f"{local:%Y-%m-%d %H:%M}"
