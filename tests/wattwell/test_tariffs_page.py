"""docs/tariffs.md: every command on the page is run, and prints what the page shows; every sum is right."""

from __future__ import annotations

import re
import shlex
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wattwell import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tariffs.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```\n\$ (wattwell tariff [^\n]*)\n(.*?)\n```", PAGE, re.DOTALL)
NUMBER = r"\d+(?: \d{3})*(?:\.\d+)?"
TERM = rf"{NUMBER}(?: × {NUMBER})?"
SUM = rf"(?:{TERM} [+−] )*{TERM}"


@pytest.mark.parametrize(("command", "answer"), SHOWN, ids=[command for command, _ in SHOWN])
def test_a_command_on_the_page_prints_what_the_page_shows(
    command: str, answer: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT)

    result = CliRunner().invoke(cli.app, shlex.split(command)[1:], env={"COLUMNS": "100"})

    printed = "\n".join(line.rstrip() for line in result.output.splitlines())
    assert printed.strip("\n") == answer
    assert result.exit_code == ("refused" in command)


def test_the_page_checks_rates_and_explains_six_tariffs():
    examples = {path.stem for path in (ROOT / "examples" / "tariffs").glob("*.json")}

    def used(verb: str) -> set[str]:
        pattern = re.compile(rf"wattwell tariff {verb} examples/tariffs/([\w-]+)\.json")
        return {found[1] for command, _ in SHOWN if (found := pattern.match(command))}

    assert len(examples - {"refused"}) == 6
    assert used("check") == examples
    assert used("rate") == examples - {"refused"}
    assert len(used("explain")) >= 3


def test_every_sum_that_the_page_works_out_with_a_pencil_is_right():
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL).replace("\n", " ").replace("**", "")
    sums = re.findall(rf"({SUM})(?= = ({SUM}))", prose)

    assert len(sums) > 20
    for left, right in sums:
        assert _value(left) == _value(right), f"{left} = {right}"


def _value(written: str) -> Fraction:
    value, sign = Fraction(0), 1
    for part in re.split(r" ([+−]) ", written):
        if part in "+−":
            sign = 1 if part == "+" else -1
            continue
        product = Fraction(1)
        for factor in part.split(" × "):
            product *= Fraction(factor.replace(" ", ""))
        value += sign * product
    return value
