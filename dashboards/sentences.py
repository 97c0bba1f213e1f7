"""Sentences in the reader's language, with all that stands in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from cloud.said import Faults, Said, Value
from dashboards import tariff_faults
from dashboards.words import CATALOGUES

TIMEZONE = "Asia/Shanghai"


def filled(language: str, sentence: str, values: Mapping[str, Value]) -> str:
    """The sentence and the words within it, each translated, then filled in."""
    say = CATALOGUES[language].gettext
    return say(sentence).format_map(
        {name: _said(language, value) for name, value in values.items()}
    )


def said(language: str, words: Said) -> str:
    return filled(language, words.sentence, words.values)


def _said(language: str, value: Value) -> str:
    match value:
        case Said():
            return said(language, value)
        case Faults(faults=faults):
            say = CATALOGUES[language].gettext
            return say("; ").join(tariff_faults.said(fault, say) for fault in faults)
        case datetime():
            return moment(value)
        case str():
            return value


def moment(at: datetime) -> str:
    """An instant in the middle of a sentence, in the site's time: 2026-11-20 23:05."""
    return f"{at.astimezone(ZoneInfo(TIMEZONE)):%Y-%m-%d %H:%M}"
