"""docs/registers.md: the kinds, the limits and the numbers on the page are those of the code."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from prepaid.point import Meter, Thresholds
from prepaid.register.evidence import Kind
from tests.prepaid.traces import load

PAGE = (Path(__file__).parents[2] / "docs" / "registers.md").read_text(encoding="utf-8")
DECIDED_BY_PEOPLE = {Kind.ESTIMATE, Kind.ACCEPTED, Kind.DISMISSED, Kind.METER_CHANGE}
UNITS = {"minutes": timedelta(minutes=1), "days": timedelta(days=1)}


def rows(heading: str) -> Iterator[list[str]]:
    """The rows below a heading of the page, cell by cell, without the table's own heading."""
    section = PAGE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_has_every_kind_of_evidence_with_its_chinese_and_what_to_do():
    told = set()
    for kind, chinese, *others in rows("What it looks like"):
        named = re.match(r"`([a-z-]+)`", kind)
        assert named is not None, kind
        assert chinese
        assert all(others)
        told.add(Kind(named[1]))

    assert told == set(Kind) - DECIDED_BY_PEOPLE


def test_the_limits_on_the_page_are_the_defaults_of_a_meter():
    of_meter = {field.name: field.default for field in dataclasses.fields(Meter)}
    told = {name.strip("`"): default for name, _, default, _ in rows("The limits")}

    assert set(told) == {"digits", "step", "max_per_hour", "multiplier"} | set(
        Thresholds.__dataclass_fields__
    )
    for name, default in told.items():
        if default == "—":
            assert of_meter[name] is dataclasses.MISSING
        elif name == "multiplier":
            assert of_meter[name] == Decimal(default)
        else:
            assert getattr(Thresholds(), name) == _value(default), name


def test_the_page_counts_the_traces_that_there_are():
    counted = re.search(r"has (\d+) traces", PAGE)

    assert counted is not None
    assert int(counted[1]) == len(load())


def _value(written: str) -> Decimal | timedelta:
    number, _, unit = written.partition(" ")
    return int(number) * UNITS[unit] if unit else Decimal(number)
