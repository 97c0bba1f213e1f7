"""Languages of the pages: the catalogues, and which one a request asks for.

Message ids are the English sentences themselves, so English needs no catalogue. A translation is looked
up in the files of dashboards/locale/{language}/, one for each area of the pages.
"""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from starlette.requests import HTTPConnection

LANGUAGES = {"zh": "中文", "en": "English"}
"""Every language with its own name for itself; the first is used where nothing else is asked for."""

COOKIE = "wattwell_language"
LOCALE = Path(__file__).parent / "locale"


def N_(message: str) -> str:
    """Marks a message for the catalogues where it is named, to be translated where it is shown."""
    return message


def load(language: str) -> NullTranslations:
    """The catalogue of a language; the empty one for English."""
    if language == "en":
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return Translations(compiled)


def catalogue(language: str, locale: Path = LOCALE) -> Catalog:
    """All messages of a language. Raises ValueError for one that two of its files give differently."""
    whole = Catalog(locale=language)
    for path in sorted((locale / language).glob("*.po")):
        with path.open("rb") as source:
            part = read_po(source, locale=language)
        for message in part:
            known = whole.get(message.id)
            if message.id and known is not None and known.string != message.string:
                raise ValueError(
                    f"{path.name} translates {message.id!r} in another way than a file before it"
                )
            whole[message.id] = message
    return whole


CATALOGUES = {language: load(language) for language in LANGUAGES}


def language_of(request: HTTPConnection) -> str:
    """The language chosen on a page before, else the one the browser prefers, else the first of LANGUAGES."""
    return chosen(request) or preferred(request.headers.get("accept-language", ""))


def chosen(request: HTTPConnection) -> str | None:
    """The language chosen on a page before."""
    found = request.cookies.get(COOKIE)
    return found if found in LANGUAGES else None


def preferred(accept_language: str) -> str:
    """The language of ours that an Accept-Language header ranks highest."""
    ranked: list[tuple[float, str]] = []
    for part in accept_language.split(","):
        tag, _, weight = part.strip().partition(";")
        language = tag.strip().partition("-")[0].lower()
        if language in LANGUAGES:
            found = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", weight)
            ranked.append((float(found[1]) if found else 1.0, language))
    wanted = [one for one in ranked if one[0] > 0]
    return max(wanted, key=lambda one: one[0])[1] if wanted else next(iter(LANGUAGES))
