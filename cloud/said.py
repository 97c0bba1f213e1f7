"""Words for people that are translated where they are shown: sentences, and words within sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with a tariff document, as prepaid.tariff_document names it: each in words of its own."""

    faults: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.faults)


class Said:
    """English with {names}, and the values that fill them; a value may be words of this kind itself.

    The catalogues are filled from the calls, so write the English out there.
    """

    __slots__ = ("sentence", "values")

    def __init__(self, sentence: str, **values: object) -> None:
        self.sentence = sentence
        self.values = kept(values)

    def __str__(self) -> str:
        return self.sentence.format_map(self.values)

    def as_json(self) -> dict[str, object]:
        """To be kept, and read again by said_again."""
        values = {
            name: value.as_json() if isinstance(value, Said) else str(value)
            for name, value in self.values.items()
        }
        return {"sentence": self.sentence, "values": values}


Value = str | datetime | Said | Faults


def kept(values: Mapping[str, object]) -> dict[str, Value]:
    """What fills a sentence: words and instants as they are, all else as its text."""
    return {name: _kept(value) for name, value in values.items()}


def _kept(value: object) -> Value:
    match value:
        case Said() | Faults():
            return value
        case datetime():
            return value.astimezone(UTC)
        case _:
            return str(value)


def said_again(written: Mapping[str, Any]) -> Said:
    """What as_json has written."""
    sentence, values = written["sentence"], written["values"]
    again = {
        name: said_again(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
    return Said(sentence, **again)


_COMMODITIES = {
    "electricity": Said("electricity"),
    "cold_water": Said("cold water"),
    "hot_water": Said("hot water"),
    "reclaimed_water": Said("reclaimed water"),
    "gas": Said("gas"),
    "heat": Said("heat"),
    "cooling": Said("cooling"),
}
_PURPOSES = {
    "electricity": Said("electricity"),
    "water": Said("water"),
    "utility": Said("electricity and water"),
    "property": Said("property fees"),
}
_WAYS = {
    "cash": Said("cash"),
    "bank": Said("bank transfer"),
    "pos": Said("POS card"),
    "wechat": Said("WeChat Pay"),
    "alipay": Said("Alipay"),
    "sandbox": Said("the sandbox"),
}


def commodity(name: str) -> Value:
    """What a service point is supplied with, in the middle of a sentence."""
    return _COMMODITIES.get(name, name)


def purpose(name: str) -> Value:
    """What a purse is for, in the middle of a sentence."""
    return _PURPOSES.get(name, name)


def way(name: str) -> Value:
    """How money was paid, in the middle of a sentence."""
    return _WAYS.get(name, name)
