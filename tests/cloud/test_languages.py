"""Refusals are told wholly in the reader's language: no English stands in a Chinese sentence."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import cloud
import dashboards
import edge
import prepaid
from cloud.errors import CloudError
from cloud.said import Faults, Said, said_again
from dashboards import entry_words, errors, refusal_words, sentences, words
from dashboards.words import CATALOGUES
from prepaid.resolution import BadDecision
from tests.dashboards.messages import said_by_errors, said_within

NAMES = set(
    """
    Alipay API Content CSV CT DD DN Excel FF HTTPS ID IP JPEG JSON MB MM PNG POS PT RR TOTP Type UTC UTF WPS Wattwell
    YYYY application auth cloud com edge example gateway http https json kWh setup_token toml true false wattwell
    webhook_networks xlsx yes
    """.split()  # noqa: SIM905
)
"""What stands in Latin letters in a Chinese sentence: names, units, and what is typed or read as it is."""
ASCII = re.compile(r"[A-Za-z_]{2,}")
RAISED = [Path(cloud.__file__).parent, Path(dashboards.__file__).parent]


def latin(chinese: str) -> set[str]:
    """The words in Latin letters of a Chinese sentence that are no names; what is in {braces} is filled in."""
    return set(ASCII.findall(re.sub(r"\{\w*\}", "", chinese))) - NAMES


def test_every_refusal_and_all_that_is_filled_into_one_is_chinese_throughout() -> None:
    zh = CATALOGUES["zh"].gettext
    told = {sentence: zh(sentence) for sentence in said_by_errors() | said_within()}

    assert {sentence: latin(text) for sentence, text in told.items() if latin(text)} == {}


def calls(folder: Path, names: set[str]) -> Iterator[tuple[str, ast.Call]]:
    """Every call of one of these classes in the modules of a package, with where it is."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", None))
                if name in names:
                    yield f"{path.relative_to(folder.parent)}:{node.lineno}", node


def texts(node: ast.expr) -> Iterator[str]:
    """What of an argument is written out: a text, or the parts of one between its values."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.JoinedStr(values=parts):
            for part in parts:
                yield from texts(part) if isinstance(part, ast.Constant) else ()
        case ast.BinOp(left=left, right=right):
            yield from texts(left)
            yield from texts(right)
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body)
            yield from texts(orelse)


TO_PROGRAMS = {"Forged"}
"""Told to programs alone: nobody reads it."""


def test_no_refusal_is_filled_with_words_that_are_not_translated() -> None:
    said_by_errors()  # so that all modules are known
    known = {error.__name__ for error in _all(CloudError)} - TO_PROGRAMS

    found = [
        f"{place}: {keyword.arg}={text!r}"
        for folder in RAISED
        for place, call in calls(folder, known)
        for keyword in call.keywords
        if keyword.arg != "field"
        for text in texts(keyword.value)
        if not re.fullmatch(r"\{\w+\}", text)  # a place in a pattern, to be typed as it is
        if ASCII.search(text)
    ]

    assert found == []


def _all(error: type[CloudError]) -> Iterator[type[CloudError]]:
    for each in error.__subclasses__():
        yield each
        yield from _all(each)


def sample(node: ast.expr) -> str:
    """What a gateway says by this sentence: a number for each of its values."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                sample(part) if isinstance(part, ast.Constant) else "7" for part in parts
            )
        case _:
            raise AssertionError(f"{ast.unparse(node)} is no sentence that this test can read")


def refusals() -> list[str]:
    return [
        sample(call.args[0])
        for package in (edge, prepaid)
        for _, call in calls(Path(package.__file__).parent, {BadDecision.__name__})
    ]


def test_whatever_a_gateway_refuses_is_told_in_chinese() -> None:
    zh = CATALOGUES["zh"].gettext

    said = [refusal_words.said(refused, zh) for refused in refusals()]

    assert len(said) > 15
    assert [text for text in said if latin(text)] == []


def test_times_in_a_gateways_refusal_are_the_sites() -> None:
    refused = (
        "the register was charged at 2026-03-02 12:00:00+00:00 and in doubt at 2026-03-02 12:05:00+00:00; "
        "it cannot have been reset at 2026-03-02 16:30:00+00:00"
    )

    said = refusal_words.said(refused, CATALOGUES["en"].gettext)

    assert said == (  # Beijing is eight hours ahead of UTC
        "The register was charged at 2026-03-02 20:00 and in doubt at 2026-03-02 20:05, so it cannot have been reset"
        " at 2026-03-03 00:30."
    )


def wrong_entries() -> list[str]:
    """What drivers say of a meter that they cannot ask, a number for each value."""
    messages = [
        call.args[0].value
        for _, call in calls(Path(edge.__file__).parent / "drivers", {"BadMeter"})
        if isinstance(call.args[0], ast.Constant)
    ]
    return [re.sub(r"%\(\w+\)s", "7", message) for message in messages]


def test_what_is_wrong_with_the_entry_of_a_meter_is_told_in_chinese() -> None:
    zh = CATALOGUES["zh"].gettext
    told = [*wrong_entries(), "gateway.toml has no line L7", "there is no driver for mbus"]

    said = [entry_words.said(text, zh) for text in told]

    assert len(said) > 15
    assert [text for text, given in zip(said, told, strict=True) if text == given] == []
    assert said[-2:] == ["网关的配置里没有总线 L7。", "网关不支持规约 mbus。"]
    assert entry_words.said("password of meter 201709320072 must be 6 digits", zh) == (
        "表计 201709320072 的“密码”未填写或有误。"
    )


class Example(CloudError):
    sentence = "{column} cannot be “{value}”: {reason}."


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("zh", "“房间”不能是“9”：至少 10 个字符。"),
        ("en", "房间 cannot be “9”: it needs at least 10 characters."),
    ],
)
def test_words_within_a_sentence_are_in_its_language(language: str, said: str) -> None:
    reason = Said("it needs at least {least} characters", least=10)

    error = Example(column="房间", value="9", reason=reason)

    assert errors.sentence_in(language, error) == said
    assert str(error) == "房间 cannot be “9”: it needs at least 10 characters."


def test_faults_of_a_tariff_within_a_sentence_are_named_as_the_form_names_them() -> None:
    faults = Faults(("versions[0].components[0].price: is missing", "code: is missing"))

    said = sentences.filled(
        "zh", "This draft has faults and cannot be published: {faults}", {"faults": faults}
    )

    assert said == "草案有错误，不能发布：第 1 版 · 第 1 项 · 单价: 没有填写；名称: 没有填写"


def test_an_instant_within_a_sentence_is_the_sites() -> None:
    at = datetime(2026, 3, 2, 20, 30, tzinfo=UTC)

    said = sentences.said("en", Said("its time is {at}", at=at))

    assert said == "its time is 2026-03-03 04:30"


def test_what_is_kept_of_a_refusal_is_told_again_in_any_language() -> None:
    kept = Example(column="房间", value="9", reason=Said("it is a whole number")).said.as_json()

    assert sentences.said("zh", said_again(kept)) == "“房间”不能是“9”：应为整数。"
    assert sentences.said("en", said_again(kept)) == "房间 cannot be “9”: it is a whole number."


def test_the_pages_and_this_test_know_the_same_languages() -> None:
    assert set(words.LANGUAGES) == {"zh", "en"}
