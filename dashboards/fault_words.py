"""What is wrong with a field of a request, in the reader's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.words import CATALOGUES, N_

NEEDED = N_("is needed")
WHOLE = N_("must be a whole number")
NUMBER = N_("must be a number")
ID = N_("must be an id, as in 6f1c2b1e-0d5a-4a36-9f0e-2c1f5f0b7a11")
TEXT = N_("must be a text")
YES_OR_NO = N_("must be true or false")
TIME = N_("must be a time with its zone, as in 2026-03-02T12:00:00+08:00")
DATE = N_("must be a date, as in 2026-03-02")
OBJECT = N_("must be an object with the fields that are described for it")
LIST = N_("must be a list")
UNKNOWN = N_("is not a field that is known here")
CHARACTER = N_("holds a character that cannot be kept")
OTHER = N_("is not as it should be")

# By pydantic's name for the error; {names} are filled from what it says beside.
FAULTS: Mapping[str, str] = {
    "missing": NEEDED,
    "int_type": WHOLE,
    "int_parsing": WHOLE,
    "int_from_float": WHOLE,
    "int_parsing_size": N_("is too large a number"),
    "decimal_type": NUMBER,
    "decimal_parsing": NUMBER,
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "finite_number": NUMBER,
    "decimal_max_digits": N_("has more than {max_digits} digits"),
    "decimal_max_places": N_("has more than {decimal_places} decimal places"),
    "uuid_type": ID,
    "uuid_parsing": ID,
    "string_type": TEXT,
    "string_unicode": CHARACTER,
    "string_too_long": N_("is longer than {max_length} characters"),
    "string_too_short": N_("is shorter than {min_length} characters"),
    "string_pattern_mismatch": N_("is not written as it should be"),
    "too_long": N_("has more than {max_length} entries"),
    "too_short": N_("has fewer than {min_length} entries"),
    "greater_than": N_("must be more than {gt}"),
    "greater_than_equal": N_("must be at least {ge}"),
    "less_than": N_("must be less than {lt}"),
    "less_than_equal": N_("must be at most {le}"),
    "enum": N_("must be one of: {expected}"),
    "literal_error": N_("must be one of: {expected}"),
    "bool_type": YES_OR_NO,
    "bool_parsing": YES_OR_NO,
    "datetime_type": TIME,
    "datetime_parsing": TIME,
    "datetime_from_date_parsing": TIME,
    "datetime_object_invalid": TIME,
    "timezone_aware": TIME,
    "date_type": DATE,
    "date_parsing": DATE,
    "date_from_datetime_parsing": DATE,
    "date_from_datetime_inexact": DATE,
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "dataclass_type": OBJECT,
    "list_type": LIST,
    "tuple_type": LIST,
    "extra_forbidden": UNKNOWN,
    "character": CHARACTER,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a field, told to a person; field is its name in the request, "" for all of it."""

    field: str
    message: str


def faults(language: str, errors: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """What pydantic found, each in one sentence's rest, as "must be a whole number"."""
    say = CATALOGUES[language].gettext
    found = []
    for error in errors:
        sentence = say(FAULTS.get(str(error["type"]), OTHER))
        found.append(Fault(_name(error["loc"]), sentence.format_map(error.get("ctx") or {})))
    return found


def unkeepable(language: str, field: str) -> Fault:
    return Fault(field, CATALOGUES[language].gettext(CHARACTER))


def _name(place: Iterable[object]) -> str:
    """points.0.name, without pydantic's own word for where the field is sent."""
    _, *names = place
    return ".".join(str(name) for name in names)
