"""The labelled traces of traces.toml, read."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from prepaid.money import Money
from prepaid.point import Meter, ServicePoint, Thresholds
from prepaid.reading import Reading
from prepaid.register.evidence import Kind
from prepaid.register.history import History
from prepaid.tariff import Tariff
from prepaid.tariff_document import parse
from prepaid.usual import NO_TIME, Stretch, Usual
from tests.prepaid.values import EVENING, POINT

METER_NO = "000000000301"

_READING = re.compile(
    r"(?P<after>\w+) (?P<total>[-\w.]+)(@(?P<meter_no>\d+))?( clock(?P<sign>[+-])(?P<clock>\w+))?"
    r" -> (?P<moved>held|[\d.]+) (?P<kinds>[a-z -]+)"
)
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


@dataclass(frozen=True, slots=True)
class Step:
    """One reading, how long after the one before it, and what is expected: moved is None for held."""

    reading: Reading
    after: timedelta
    moved: Decimal | None
    kinds: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class Trace:
    name: str
    point: ServicePoint
    tariff: Tariff
    history: History
    first: Reading
    steps: tuple[Step, ...]
    charge: Money


def load() -> list[Trace]:
    document = tomllib.loads(Path(__file__).with_name("traces.toml").read_text("utf-8"))
    meters = {name: _meter(entry) for name, entry in document["meters"].items()}
    return [
        _trace(group, entry, meters)
        for group, entries in document["traces"].items()
        for entry in entries
    ]


def duration(text: str) -> timedelta:
    parts = re.findall(r"(\d+)([dhms])", text)
    assert text == "".join(number + unit for number, unit in parts), f"no duration: {text}"
    return sum((timedelta(**{_UNITS[unit]: int(n)}) for n, unit in parts), NO_TIME)


def _meter(entry: dict[str, Any]) -> Meter:
    limits = ("always_usual", "times_usual")
    return Meter(
        meter_no=METER_NO,
        protocol="dlt645-2007",
        line="L1",
        address=METER_NO,
        digits=entry["digits"],
        step=Decimal(entry["step"]),
        max_per_hour=Decimal(entry["max_per_hour"]),
        multiplier=Decimal(entry.get("multiplier", "1")),
        thresholds=Thresholds(**{k: Decimal(entry[k]) for k in limits if k in entry}),
    )


def _trace(group: str, entry: dict[str, Any], meters: dict[str, Meter]) -> Trace:
    first, *rest = entry["readings"]
    at, clock = EVENING, NO_TIME
    steps: list[Step] = []
    for line in rest:
        found = _READING.fullmatch(line)
        assert found is not None, f"{entry['name']}: {line}"
        after = duration(found["after"])
        at += after
        if found["clock"] is not None:
            clock += duration(found["clock"]) * (1 if found["sign"] == "+" else -1)
        reading = Reading(
            found["meter_no"] or METER_NO, at + clock, Decimal(found["total"]), supply=None
        )
        moved = None if found["moved"] == "held" else Decimal(found["moved"])
        kinds = frozenset(Kind(kind) for kind in found["kinds"].split())
        steps.append(Step(reading, after, moved, kinds))
    return Trace(
        f"{group}: {entry['name']}",
        replace(POINT, meter=meters[entry["meter"]]),
        _flat(entry["price"]),
        History(_usual(entry)),
        Reading(METER_NO, EVENING, Decimal(first), supply=None),
        tuple(steps),
        Money.yuan(entry["charge"]),
    )


def _flat(price: str) -> Tariff:
    return parse(
        {
            "code": "flat",
            "commodity": "electricity",
            "unit": "kWh",
            "currency": "CNY",
            "timezone": "Asia/Shanghai",
            "versions": [
                {
                    "effective_from": "1990-01-01T00:00:00+08:00",
                    "components": [{"item": "energy", "kind": "rate", "price": price}],
                }
            ],
        }
    )


def _usual(entry: dict[str, Any]) -> Usual:
    used, _, span = entry.get("usual", "0 in 0d").partition(" in ")
    known = Stretch(Decimal(used), duration(span), duration(entry.get("longest", "0d")))
    return Usual(earlier=known, still=duration(entry.get("still", "0d")))
