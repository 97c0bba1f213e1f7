"""Excel sheets in and out: rows of texts under known headings, and what became of each row.

A sheet is read by its headings, in any order; other columns are left alone. An import runs row by row, each whole or
not at all, and can be asked only to check.
"""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from io import BytesIO
from typing import Any

from sqlmodel import Session

from cloud.errors import CloudError
from cloud.said import Said

MOST_BYTES = 5 * 1024 * 1024
MOST_UNPACKED = 100 * 1024 * 1024
MOST_ROWS = 10_000
MOST_COLUMNS = 200
LONGEST_CELL = 2_000
MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class NoWorkbook(CloudError):
    status = 422
    field = "file"
    sentence = (
        "This file is no Excel workbook of the kind .xlsx. Open it in Excel or WPS, save it as .xlsx,"
        " and choose that file."
    )


class SheetTooLarge(CloudError):
    status = 413
    field = "file"
    sentence = "The file is too large: at most {megabytes} MB and {rows} rows at once. Split it up."


class MissingHeadings(CloudError):
    status = 422
    field = "file"
    sentence = "The first row of the sheet has no column {missing}. Take the template, and keep its first row."


class HeadingTwice(CloudError):
    status = 422
    field = "file"
    sentence = "The first row of the sheet has the column {heading} twice. Remove one of them."


class NoRows(CloudError):
    status = 422
    field = "file"
    sentence = "The sheet has no rows under its headings."


class CellMissing(CloudError):
    status = 422
    sentence = "{column} is empty."


class CellWrong(CloudError):
    status = 422
    sentence = "{column} cannot be “{value}”: {reason}."

    def __init__(self, *, column: str, value: str, reason: Said) -> None:
        super().__init__(column=column, value=value, reason=reason)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the row's values have it under key; heading is what stands above it in the sheet.

    also are other headings that mean the same (an export's in another language, an old template's). note is for
    whoever fills it in, and example is what a good cell looks like; both go into the template.
    """

    key: str
    heading: str
    note: str
    example: str
    is_needed: bool = True
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a sheet: its number as Excel shows it, and its texts, without the white space around them; "" where
    there is none."""

    number: int
    values: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.values[key]


class Outcome(StrEnum):
    DONE = "done"  # 成功
    DUPLICATE = "duplicate"  # 重复: it is there already, nothing was changed
    WRONG = "wrong"  # 错误: nothing was changed


@dataclass(frozen=True, slots=True)
class RowReport:
    """What became of a row. what names the thing it is about, said is why it was not done."""

    row: int
    outcome: Outcome
    what: str
    said: CloudError | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every row of a sheet; only_check: what would have."""

    rows: tuple[RowReport, ...]
    only_check: bool

    def count(self, outcome: Outcome) -> int:
        return sum(row.outcome is outcome for row in self.rows)

    @property
    def done(self) -> int:
        return self.count(Outcome.DONE)

    @property
    def duplicate(self) -> int:
        return self.count(Outcome.DUPLICATE)

    @property
    def wrong(self) -> int:
        return self.count(Outcome.WRONG)


def read(content: bytes, columns: Sequence[Column]) -> list[Row]:
    """The rows of the workbook's first sheet, as texts by column; rows without any text are left out.

    A number is the text that Excel shows at most 15 digits of, a date is YYYY-MM-DD, a formula is the value it had
    when the file was saved.

    Raises NoWorkbook, SheetTooLarge, MissingHeadings, HeadingTwice or NoRows.
    """
    lines = _lines(content)
    places = _places(next(lines, ()), columns)
    rows = []
    for number, cells in enumerate(lines, start=2):
        if number > MOST_ROWS + 1:
            raise _too_large()
        values = {
            key: _text(cells[place]) if place < len(cells) else "" for key, place in places.items()
        }
        if any(values.values()):
            rows.append(Row(number, {column.key: values.get(column.key, "") for column in columns}))
    if not rows:
        raise NoRows
    return rows


def take(
    session: Session,
    rows: Iterable[Row],
    columns: Sequence[Column],
    do: Callable[[Row], str],
    *,
    is_known: tuple[type[CloudError], ...],
    only_check: bool,
) -> Report:
    """Does each row, whole or not at all; one that fails keeps no other from being done.

    do returns the name of what it made, and raises CloudError: one of is_known where it is there already. A row
    without a needed cell never comes to it. With only_check nothing is changed, and the report says what would be.
    """
    reports = []
    whole = session.begin_nested()
    for row in rows:
        try:
            _check_needed(row, columns)
            with session.begin_nested():
                what = do(row)
        except is_known as error:
            reports.append(RowReport(row.number, Outcome.DUPLICATE, _named(row, columns), error))
        except CloudError as error:
            reports.append(RowReport(row.number, Outcome.WRONG, _named(row, columns), error))
        else:
            reports.append(RowReport(row.number, Outcome.DONE, what))
    if only_check:
        whole.rollback()
    else:
        whole.commit()
    return Report(tuple(reports), only_check)


def template(columns: Sequence[Column], *, title: str) -> bytes:
    """An empty workbook to fill in: the headings with their notes, and an example on a second sheet."""
    from cloud.services import workbooks

    headings = _headings(columns)
    examples: list[list[str | Decimal | None]] = [[column.example for column in columns]]
    return workbooks.write([(title, headings, []), ("示例 example", headings, examples)])


def write(
    columns: Sequence[Column], rows: Iterable[Mapping[str, str | Decimal | None]], *, title: str
) -> bytes:
    """A workbook with the rows under the headings, which `read` reads again.

    Numbers are numbers; a text is a text, whatever it begins with, so that no spreadsheet program runs it.
    """
    from cloud.services import workbooks

    lines = ([row.get(column.key) for column in columns] for row in rows)
    return workbooks.write([(title, _headings(columns), lines)])


def _lines(content: bytes) -> Iterator[tuple[Any, ...]]:
    if len(content) > MOST_BYTES:
        raise _too_large()
    try:
        with zipfile.ZipFile(BytesIO(content)) as packed:
            # A few kilobytes can unpack to gigabytes, so the sizes are looked at before anything is.
            if sum(part.file_size for part in packed.infolist()) > MOST_UNPACKED:
                raise _too_large()
        from cloud.services import workbooks

        yield from workbooks.lines(content, most_columns=MOST_COLUMNS)
    except CloudError:
        raise
    except Exception as error:
        # The library reads XML of anybody's making, and lets out whatever goes wrong in there.
        raise NoWorkbook from error


def _places(headings: Sequence[Any], columns: Sequence[Column]) -> dict[str, int]:
    """At which place each column stands, of those that are there."""
    meant = {_plain(name): column for column in columns for name in (column.heading, *column.also)}
    places: dict[str, int] = {}
    for place, heading in enumerate(headings):
        column = meant.get(_plain(_text(heading)))
        if column is None:
            continue
        if column.key in places:
            raise HeadingTwice(heading=column.heading)
        places[column.key] = place
    missing = [c.heading for c in columns if c.is_needed and c.key not in places]
    if missing:
        raise MissingHeadings(missing=", ".join(missing))
    return places


def _plain(heading: str) -> str:
    """A heading as it is compared: without the mark of a needed column, in small letters."""
    return heading.strip().rstrip("*＊").strip().lower()


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            # As Excel shows it: its 15 digits are all that was typed.
            return format(Decimal(format(value, ".15g")), "f")
        case datetime.datetime():
            is_day = value.time() == datetime.time()
            return value.date().isoformat() if is_day else value.isoformat(" ", "minutes")
        case datetime.date():
            return value.isoformat()
        case _:
            return str(value).strip()[:LONGEST_CELL]


def _check_needed(row: Row, columns: Sequence[Column]) -> None:
    for column in columns:
        if column.is_needed and not row[column.key]:
            raise CellMissing(column=column.heading)


def _named(row: Row, columns: Sequence[Column]) -> str:
    """What a row that was not done is about: its first texts."""
    said = [row[column.key] for column in columns if row[column.key]]
    return " ".join(said[:3])[:100]


def _headings(columns: Sequence[Column]) -> list[tuple[str, str]]:
    """What stands above each column, with what is noted there; a needed one is marked."""
    return [
        (column.heading + ("*" if column.is_needed else ""), f"{column.note}\n{column.example}")
        for column in columns
    ]


def _too_large() -> SheetTooLarge:
    return SheetTooLarge(megabytes=MOST_BYTES // 1024 // 1024, rows=MOST_ROWS)
