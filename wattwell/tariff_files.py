"""A tariff and the usage of a meter, as people keep them in files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

Usage = list[tuple[datetime, Decimal]]
"""When a register was read, in UTC and rising, and what it showed."""

HEADER = ["time", "register"]
FIRST_YEAR, LAST_YEAR = 1900, 2199
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_REGISTER = re.compile(r"\d{1,18}(\.\d{1,9})?", re.ASCII)


class BadFile(Exception):
    """A file cannot be used. Says which, where in it, and what to write instead; mend the file."""


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file, with numbers that are not whole as Decimal.

    Raises BadFile where the file cannot be read, is no JSON (with line and column), is no object, or
    says one thing twice.
    """
    try:
        document = json.loads(
            _text(path),
            object_pairs_hook=_Object,
            parse_float=Decimal,
            parse_constant=_no_number,
        )
        twice, broken = list(_twice(document, "")), _is_broken(document)
    except json.JSONDecodeError as error:
        raise BadFile(
            f"{path} is not JSON: line {error.lineno}, column {error.colno}: {_said(error.msg)}."
        ) from None
    except RecursionError:
        raise BadFile(f"{path} is no tariff: its brackets are nested too deeply.") from None
    except ValueError as error:
        raise BadFile(f"{path} is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadFile(f"{path} holds no tariff: it must be one JSON object, from {{ to }}.")
    if broken:
        raise BadFile(f"{path} holds half of a character, \\ud800 to \\udfff without its pair.")
    if twice:
        raise BadFile(f"{path} says {', '.join(twice)} twice; only one can be meant.")
    return document


def read_usage(path: Path) -> Usage:
    """The readings in a CSV file with the header time,register: at least one, in time order.

    Raises BadFile with the line at which something is wrong.
    """
    found: Usage = []
    rows = csv.reader(StringIO(_text(path), newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if header != HEADER:
            _bad(path, 1, f"must be the header {','.join(HEADER)}")
        for row in rows:
            if row:
                _add(found, path, rows.line_num, [cell.strip() for cell in row])
    except csv.Error as error:
        raise BadFile(f"{path}, line {rows.line_num}, cannot be read: {error}.") from None
    if not found:
        raise BadFile(f"{path} has no readings; the first one opens the account.")
    return found


def _add(found: Usage, path: Path, line: int, row: list[str]) -> None:
    if len(row) != 2:
        _bad(path, line, f"has {len(row)} columns; there are two, {' and '.join(HEADER)}")
    written, register = row
    at = _instant(written)
    if at is None:
        _bad(path, line, f"{written!r} is no time; write it like 2026-05-01T00:00:00+08:00")
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        _bad(path, line, f"{written} is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    if not _REGISTER.fullmatch(register):
        _bad(path, line, f"{register!r} is no register; write it like 1024.91")
    if found and at <= found[-1][0]:
        _bad(path, line, f"{written} is not after the reading before it")
    if found and Decimal(register) < found[-1][1]:
        _bad(
            path,
            line,
            f"the register goes back, from {found[-1][1]} to {register}; "
            "what a new or turned-over meter counted is rated in a file of its own",
        )
    found.append((at, Decimal(register)))


def _instant(written: str) -> datetime | None:
    if not _TIME.fullmatch(written):
        return None
    try:
        return datetime.fromisoformat(written.upper().replace(" ", "T")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _bad(path: Path, line: int, sentence: str) -> NoReturn:
    raise BadFile(f"{path}, line {line}: {sentence}.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadFile(f"{path} cannot be read: it is not UTF-8 text.") from None


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its names were written twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.twice = sorted({name for name in names if names.count(name) > 1})


def _twice(value: object, path: str) -> Iterator[str]:
    match value:
        case _Object():
            for name in value.twice:
                yield f"{path}{name}"
            for name, within in value.items():
                yield from _twice(within, f"{path}{name}.")
        case list():
            for index, within in enumerate(value):
                yield from _twice(within, f"{path.removesuffix('.')}[{index}].")


def _is_broken(value: object) -> bool:
    """Whether some text in it cannot be written."""
    match value:
        case str():
            return any("\ud800" <= character <= "\udfff" for character in value)
        case dict():
            return any(_is_broken(name) or _is_broken(within) for name, within in value.items())
        case list():
            return any(_is_broken(within) for within in value)
    return False


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _said(message: str) -> str:
    return message[0].lower() + message[1:]
