"""The decision table of docs/supply.md, run against the code, row by row."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prepaid.calendar import Calendar, Hours
from prepaid.deadline import Line, overdraft_bound, shortest_interval
from prepaid.money import Money
from prepaid.point import EmergencyCredit, Policy, Restore
from prepaid.quiet import Quiet
from prepaid.reading import Supply
from prepaid.supply import Desired, Why, desired
from tests.prepaid.situations import OPEN, pinned

PAGE = (Path(__file__).parents[2] / "docs" / "supply.md").read_text(encoding="utf-8")
SUPPLY = {"on": Supply.ON, "off": Supply.OFF, "left": None}
QUIET = Quiet(Calendar("Asia/Shanghai"), (Hours(0, 24 * 60),))


def seconds(number: str) -> timedelta:
    return timedelta(seconds=int(number))


def minutes(number: str) -> timedelta:
    return timedelta(minutes=int(number))


def days(number: str) -> timedelta:
    return timedelta(days=int(number))


# What the words of an example change: in the policy, and in the situation.
POLICY_WORDS: dict[str, Any] = {
    r"protected": lambda: {"is_protected": True},
    r"overdraft (\d+)": lambda yuan: {"overdraft": Money.yuan(yuan)},
    r"emergency credit (\d+)": lambda yuan: {
        "emergency": EmergencyCredit(Money.yuan(yuan), Money.yuan("2"))
    },
    r"quiet now": lambda: {"quiet": QUIET},
    r"notice (\d+) min": lambda number: {"notice": minutes(number)},
    r"ask after (\d+) days": lambda number: {"ask_after": days(number)},
}
SITUATION_WORDS: dict[str, Any] = {
    r"balance (-?[\d.]+)": lambda yuan: {"available": Money.yuan(yuan)},
    r"seen (on|off)": lambda supply: {"seen": SUPPLY[supply]},
    r"clock in doubt": lambda: {"is_clock_trusted": False},
    r"override (on|off)": lambda supply: {"overrides": (pinned(SUPPLY[supply]),)},
    r"vacant (on|off)": lambda supply: {"vacant": SUPPLY[supply]},
    r"leaking": lambda: {"is_leaking": True},
    r"held": lambda: {"is_held": True},
    r"no tariff": lambda: {"has_tariff": False},
    r"taken": lambda: {"is_emergency_taken": True},
    r"warned (\d+) min ago": lambda number: {"warned_ago": minutes(number)},
    r"brake on": lambda: {"is_braked": True},
    r"read (\d+) min ago": lambda number: {"read_ago": minutes(number)},
    r"agreeing (\d)": lambda number: {"agreeing": int(number)},
    r"current (\d+)": lambda ampere: {"current_a": Decimal(ampere)},
    r"moved (\d+) s ago": lambda number: {"switched_ago": seconds(number)},
    r"off for (\d+) days": lambda number: {"off_for": days(number)},
    r"power back (\d+) s ago": lambda number: {"power_back_ago": seconds(number)},
    r"place (\d+)": lambda number: {"place": int(number)},
}

# How the settings table writes a default.
SETTINGS_WORDS: dict[Any, set[str]] = {
    Money.yuan("10"): {"10"},
    Money.yuan("3"): {"3"},
    Money(0): {"0"},
    timedelta(0): {"0"},
    timedelta(seconds=2): {"2 s"},
    timedelta(seconds=5): {"5 s"},
    timedelta(minutes=1): {"1 min"},
    timedelta(minutes=5): {"5 min"},
    Decimal(30): {"30 A"},
    5: {"5"},
    False: {"no"},
    None: {"none", "never", "no end"},
    Restore.ALLOW_CLOSE: {"allow-close"},
}


@dataclass(frozen=True, slots=True)
class Row:
    stage: str
    why: Why
    supply: Supply | None
    alarm: str
    again: str
    policy: dict[str, Any]
    situation: dict[str, Any]

    def decided(self, *others: Row) -> Desired:
        """What is decided where this example holds, and those of other rows as far as they do not differ."""
        policy: dict[str, Any] = {}
        situation: dict[str, Any] = {}
        for row in (*others, self):
            policy |= row.policy
            situation |= row.situation
        return desired(replace(Policy(), **policy), replace(OPEN, **situation))


def rows() -> list[Row]:
    found = []
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in ("wanted", "cut", "restore") and len(cells) == 8:
            stage, rule, _, supply, alarm, again, _, example = cells
            why = re.match(r"`([a-z-]+)`", rule)
            assert why is not None, f"the rule is not named: {line}"
            policy, situation = read(example)
            found.append(Row(stage, Why(why[1]), SUPPLY[supply], alarm, again, policy, situation))
    return found


def read(example: str) -> tuple[dict[str, Any], dict[str, Any]]:
    policy: dict[str, Any] = {}
    situation: dict[str, Any] = {}
    for words in example.split(", "):
        for known, changes in ((POLICY_WORDS, policy), (SITUATION_WORDS, situation)):
            for pattern, change in known.items():
                if match := re.fullmatch(pattern, words):
                    changes |= change(*match.groups())
                    break
            else:
                continue
            break
        else:
            raise AssertionError(f"the test does not know what {words!r} means")
    return policy, situation


ROWS = rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.stage}-{row.why}")
def test_every_row_of_the_table_is_what_the_code_decides(row: Row):
    want = row.decided()
    assert (want.supply, want.why) == (row.supply, row.why)
    assert want.is_alarm == (row.alarm == "yes")
    match row.again:
        case "next reading":
            assert want.again_in is None
        case "at once":
            assert want.again_in == timedelta(0)
        case _:
            assert want.again_in is not None
            assert want.again_in > timedelta(0)


def test_the_table_has_every_rule_of_the_code():
    assert {row.why for row in ROWS} == set(Why)


PAIRS = [
    (first, second)
    for number, first in enumerate(ROWS)
    for second in ROWS[number + 1 :]
    if first.stage == second.stage
]


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=lambda row: f"{row.stage}-{row.why}")
def test_where_two_rows_hold_the_upper_one_decides(first: Row, second: Row):
    assert first.decided(second).why is first.why


@pytest.mark.parametrize("row", [r for r in ROWS if r.stage == "cut"], ids=lambda row: row.why)
def test_an_operators_cut_waits_only_for_the_last_two_rules(row: Row):
    situation = {**row.situation, "overrides": (pinned(Supply.OFF),)}
    want = desired(replace(Policy(), **row.policy), replace(OPEN, **situation))
    # In doubt of the clock it is not known whether the operator's cut is over: that is a rule of its own.
    if row.why in (Why.CURRENT, Why.DWELL, Why.CLOCK):
        assert want.why is row.why
    else:
        assert want.why is Why.FORCED_OFF


def test_the_examples_of_the_page_come_out_as_they_say():
    visit = timedelta(seconds=0.5)
    line = Line(
        interval=shortest_interval(points=32, visit=visit, share=Decimal("0.5")),
        points=32,
        woken=0,
        visit=timedelta(seconds=2),
        retries=1,
        travel=timedelta(seconds=1),
    )
    slow = replace(line, interval=timedelta(minutes=15))
    per_day, unseen = Decimal("739.2") * 24, Decimal("1.56")

    assert f"= {line.cut_delay.seconds} s\n" in PAGE
    bound = overdraft_bound(line, per_day=per_day, unseen=unseen)
    assert f"= ¥{bound}, rounded up\n" in PAGE
    late = overdraft_bound(slow, per_day=per_day, unseen=unseen)
    assert f"{slow.cut_delay.seconds} s and ¥{late}." in PAGE


def test_the_settings_on_the_page_are_the_defaults_of_a_policy():
    section = PAGE.split("\n## The settings of a policy", 1)[1].split("\n## ", 1)[0]
    told: dict[str, str] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            names, defaults, _ = (cell.strip() for cell in line.strip("|").split("|", 2))
            told |= zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True)

    assert set(told) == set(Policy.__dataclass_fields__)
    for name, default in told.items():
        assert default in SETTINGS_WORDS[getattr(Policy(), name)], name
