"""Excel files: lines of cells under headings with notes.

The library takes a third of a second to load, so this is loaded where a file is at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from io import BytesIO
from typing import Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

LONGEST_TITLE = 31

Sheet = tuple[str, Sequence[tuple[str, str]], Iterable[Sequence[str | Decimal | None]]]
"""Its title, each heading with the note on it, and the rows below."""


def lines(content: bytes, *, most_columns: int) -> Iterator[tuple[Any, ...]]:
    """The values in each line of the workbook's first sheet, headings among them; a formula is the value it had when
    the file was saved. Raises whatever the library does at a file of anybody's making."""
    book = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True)
    sheet = book.worksheets[0]
    sheet.reset_dimensions()  # some programs write a size that leaves rows out
    yield from sheet.iter_rows(values_only=True, max_col=most_columns)


def write(sheets: Iterable[Sheet]) -> bytes:
    """A workbook with these sheets. Numbers are numbers; a text is a text, whatever it begins with."""
    book = openpyxl.Workbook(write_only=True)
    for title, headings, rows in sheets:
        sheet = book.create_sheet(title[:LONGEST_TITLE])
        _head(sheet, headings)
        for row in rows:
            sheet.append([_cell(sheet, value) for value in row])
    written = BytesIO()
    book.save(written)
    return written.getvalue()


def _head(sheet: Any, headings: Sequence[tuple[str, str]]) -> None:
    sheet.freeze_panes = "A2"
    head = []
    for place, (heading, note) in enumerate(headings, start=1):
        letter = get_column_letter(place)
        sheet.column_dimensions[letter].width = max(12, 2 * len(heading.rstrip("*")) + 4)
        sheet.column_dimensions[letter].number_format = "@"
        cell = _cell(sheet, heading)
        cell.font = Font(bold=True)
        cell.comment = Comment(note, "Wattwell")
        head.append(cell)
    sheet.append(head)


def _cell(sheet: Any, value: str | Decimal | None) -> Any:
    written: Any = value  # a Decimal is written digit by digit, though the types do not say so
    cell = WriteOnlyCell(sheet, value=written)
    if isinstance(value, str):
        cell.data_type = "s"  # never a formula
        cell.number_format = "@"  # so that 0301 stays 0301 when it is typed over
    return cell
