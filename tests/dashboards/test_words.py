"""Languages: every message in each of them, and which one a reader gets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from dashboards import words
from dashboards.words import preferred
from tests.dashboards.messages import said_by_errors, said_by_jobs, said_by_pages, said_within

TRANSLATED = [language for language in words.LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_has_a_translation_and_every_translation_a_message(language: str) -> None:
    said = said_by_pages() | said_by_errors() | said_by_jobs() | said_within()

    known = {key for key, text in _catalogue(language).items() if all(text)}

    assert said - known == set(), "said in English only"
    assert known - said == set(), "translated, but said nowhere"


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_fills_in_the_same_values(language: str) -> None:
    for message, translations in _catalogue(language).items():
        for translation in translations:
            assert _values(translation) == _values(message), message


def test_counts_are_said_in_the_singular_and_the_plural() -> None:
    english, chinese = words.CATALOGUES["en"], words.CATALOGUES["zh"]

    assert english.ngettext("%(num)s room", "%(num)s rooms", 1) == "%(num)s room"
    assert english.ngettext("%(num)s room", "%(num)s rooms", 2) == "%(num)s rooms"
    assert chinese.ngettext("%(num)s room", "%(num)s rooms", 2) == "%(num)s 间"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "zh"),
        ("fr-FR,de;q=0.8", "zh"),
        ("en-GB,en;q=0.9", "en"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh"),
        ("fr, en;q=0.5, zh;q=0.4", "en"),
        ("en;q=0, zh;q=0.1", "zh"),
        ("en;q=nonsense", "en"),
        (";;,,=", "zh"),
    ],
)
def test_the_browsers_preferred_language_is_taken_where_it_is_one_of_ours(
    header: str, language: str
) -> None:
    assert preferred(header) == language


def test_a_message_that_two_files_translate_differently_stops_the_pages(tmp_path: Path) -> None:
    (tmp_path / "zh").mkdir()
    for name, translated in (("a.po", "充值"), ("b.po", "缴费")):
        (tmp_path / "zh" / name).write_text(f'msgid "Top up"\nmsgstr "{translated}"\n')

    with pytest.raises(ValueError, match=r"b\.po translates 'Top up' in another way"):
        words.catalogue("zh", tmp_path)


def _catalogue(language: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for message in words.catalogue(language):
        if message.id:
            key = message.id if isinstance(message.id, str) else message.id[0]
            strings = message.string
            found[key] = (strings,) if isinstance(strings, str) else tuple(strings)
    return found


def _values(text: str) -> Iterable[str]:
    return set(re.findall(r"%\(\w+\)s|\{\w+\}", text))
