"""The languages of the page. Message ids are the English sentences; edge/page/locale has the others."""

from __future__ import annotations

from datetime import tzinfo
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from starlette.requests import HTTPConnection

from edge.codes import Refused
from edge.field.said import Said
from edge.technician.both import Both

LANGUAGES = {"zh": "中文", "en": "English"}
"""The first is used where nothing else is asked for."""

COOKIE = "wattwell_language"
LOCALE = Path(__file__).parent / "locale"


def load(language: str) -> NullTranslations:
    """The catalogue of a language; the empty one for English."""
    if language == "en":
        return NullTranslations()
    with (LOCALE / language / "messages.po").open("rb") as source:
        catalogue = read_po(source, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


CATALOGUES = {language: load(language) for language in LANGUAGES}


def language_of(request: HTTPConnection) -> str:
    """The language chosen before, else Chinese or English as the browser prefers, else the first of LANGUAGES."""
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return str(chosen)
    for part in request.headers.get("accept-language", "").split(","):
        language = part.strip()[:2].lower()
        if language in LANGUAGES:
            return language
    return next(iter(LANGUAGES))


def told(sentence: Said, language: str) -> str:
    """A sentence in a language; of its values those that are sentences, or known in several languages, too."""
    values = {name: _in(language, value) for name, value in sentence.values.items()}
    return CATALOGUES[language].gettext(sentence.message) % values


def _in(language: str, value: object) -> object:
    match value:
        case Said():
            return told(value, language)
        case Both():
            return value.in_(language)
    return value


def refused(error: Refused, language: str, zone: tzinfo | None) -> str:
    """Why the ledger did not take what a customer did, in a language, by the clock of a zone."""
    return CATALOGUES[language].gettext(error.sentence).format_map(error.in_zone(zone))


def N_(message: str) -> str:
    """Marks a message for the catalogues where it is named, to be translated where it is shown."""
    return message
