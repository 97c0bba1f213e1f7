"""The page's languages: every sentence in each of them, and a word for whatever can be so."""

from __future__ import annotations

import re

import pytest
from babel.messages.pofile import read_po

from edge.ledger.store import Hold
from edge.page import looks, words
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.uplog import AlarmKind, Trouble, Work
from tests.edge.page.messages import said_by_programs, said_by_refusals, said_by_templates

TRANSLATED = [language for language in words.LANGUAGES if language != "en"]


def catalogue(language: str) -> dict[str, str]:
    with (words.LOCALE / language / "messages.po").open("rb") as source:
        known = {}
        for message in read_po(source, locale=language):
            if message.id:
                plural = isinstance(message.id, tuple)
                known[message.id[0] if plural else message.id] = (
                    message.string[0] if plural else message.string
                )
        return known


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_has_a_translation_and_every_translation_a_sentence(language: str) -> None:
    said = said_by_templates() | said_by_programs() | said_by_refusals()
    known = {message for message, text in catalogue(language).items() if text}

    assert said - known == set(), "said in English only"
    assert known - said == set(), "translated, but said nowhere"


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_fills_in_the_same_values(language: str) -> None:
    for message, text in catalogue(language).items():
        for pattern in (r"%\((\w+)\)s", r"\{(\w+)\}"):
            assert set(re.findall(pattern, text)) == set(re.findall(pattern, message)), message


def test_there_is_a_word_for_whatever_can_be_so() -> None:
    assert set(looks.WHYS) == set(Why)
    assert set(looks.ALARMS) == set(AlarmKind)
    assert set(looks.TROUBLES) == set(Trouble)
    assert set(looks.HOLDS) == set(Hold)
    assert set(looks.WORKS) == set(Work)
    assert set(looks.SUPPLIES) == {*Supply, None}
    for look in (*looks.SUPPLIES.values(), looks.SILENT, looks.NEVER, looks.DOUBT, looks.STUCK):
        assert look.icon in looks.ICONS
