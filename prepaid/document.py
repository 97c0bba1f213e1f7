"""A document of JSON, read part by part: every fault is noted with its path, and reading goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")

T = TypeVar("T")


class Part:
    """One object of the document at its path, and the list that all faults are added to."""

    def __init__(self, fields: Mapping[str, Any], path: str, errors: list[str]) -> None:
        self.fields = fields
        self.path = path
        self.errors = errors

    def has(self, name: str) -> bool:
        return name in self.fields

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def fault(self, name: str, text: str) -> None:
        self.errors.append(f"{self.at(name)}: {text}")

    def only(self, *known: str) -> None:
        for name in self.fields:
            if name not in known:
                self.fault(str(name), "not known here")

    def text(self, name: str) -> str | None:
        """A name: two that look the same are the same."""
        given = self.fields.get(name)
        if not isinstance(given, str) or not given.strip():
            self.fault(name, "must be a text")
        elif given != given.strip() or not given.isprintable():
            self.fault(name, "must have no spaces around it, and none but plain ones within")
        else:
            return given
        return None

    def one_of(self, name: str, known: Sequence[str] | Mapping[str, Any]) -> str | None:
        given = self.fields.get(name)
        if isinstance(given, str) and given in known:
            return given
        self.fault(name, f"must be {either(known)}")
        return None

    def whole(self, name: str, *, least: int) -> int | None:
        given = self.fields.get(name)
        if type(given) is int and given >= least:
            return given
        self.fault(name, f"must be a whole number, {least} or more")
        return None

    def decimal(self, name: str) -> Decimal | None:
        return decimal(self.fields.get(name), self.at(name), self.errors)

    def listed(
        self, name: str, read: Callable[[object, str, list[str]], T | None], *, least: int = 1
    ) -> list[T] | None:
        """The list's entries as read gives them; None if any cannot be read."""
        given = self.fields.get(name)
        if not isinstance(given, list) or len(given) < least:
            self.fault(name, "must be a list" + (" with at least one entry" if least else ""))
            return None
        found = [read(entry, f"{self.at(name)}[{n}]", self.errors) for n, entry in enumerate(given)]
        kept = [entry for entry in found if entry is not None]
        return kept if len(kept) == len(found) else None

    def parts(self, name: str) -> list[Part]:
        """The objects of a list that must have some; what is no object is left out, as a fault."""
        listed = (
            self.listed(name, lambda given, path, errors: (part_of(given, path, errors),)) or []
        )
        return [part for (part,) in listed if part is not None]


def part_of(given: object, path: str, errors: list[str]) -> Part | None:
    if isinstance(given, Mapping):
        return Part(given, path, errors)
    errors.append(f"{path or 'the document'}: must be an object")
    return None


def decimal(given: object, path: str, errors: list[str]) -> Decimal | None:
    """A number that is not negative, from its text."""
    if not isinstance(given, str):
        errors.append(f'{path}: must be a number written as text, like "0.5"')
    elif not _NUMBER.fullmatch(given):
        errors.append(
            f"{path}: {given[:40]!r} must be a plain number: digits, then perhaps a point and digits, "
            "at most 18 on each side"
        )
    elif Decimal(given) < 0:
        errors.append(f"{path}: must not be negative")
    else:
        return Decimal(given).copy_abs()
    return None


def either(known: Sequence[str] | Mapping[str, Any]) -> str:
    *first, last = list(known)
    return f"{', '.join(first)} or {last}" if first else last
