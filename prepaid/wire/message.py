"""A message, read from its text: refused unless every number in it is exact."""

from __future__ import annotations

import json
import re
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class BadMessage(ValueError):
    """Bytes that are no envelope, a body that is no message, or a signature that does not verify."""


def exact(adapter: TypeAdapter[T], body: str) -> T:
    """The message; refused if a number in it has a point or an exponent, or is none (NaN).

    Whoever reads such a number takes it for a float. Quantities, prices and costs are written as texts.
    """
    message = checked(adapter, body)
    if _PERHAPS_A_FLOAT.search(body):
        try:
            _WHOLE_NUMBERS.decode(body)
        except ValueError as error:
            raise BadMessage(str(error)) from error
    return message


def checked(adapter: TypeAdapter[T], text: str | bytes) -> T:
    """Raises BadMessage if the text is not what the adapter reads."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise BadMessage(str(error)) from error


def _refuse(number: str) -> None:
    raise ValueError(f"the number {number} stands where a text is meant; a float would lose digits")


# In a message, which is an object, a number follows one of these; in a string the same may stand, so what is found
# is looked at.
_PERHAPS_A_FLOAT = re.compile(r"[:,\[\s]-?(?:\d+[.eE]|NaN|Infinity)")
_WHOLE_NUMBERS = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse)
