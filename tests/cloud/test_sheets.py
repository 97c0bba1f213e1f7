"""Excel sheets: read by their headings, reported on row by row, and never a danger to whoever opens or reads one."""

from __future__ import annotations

import datetime
import zipfile
from decimal import Decimal
from io import BytesIO

import openpyxl
import pytest
from sqlalchemy import func, select

from cloud import tables
from cloud.services import estate, sheets
from cloud.services.sheets import Column, Outcome

ROOM = Column("room", "房间", "as on the door", "0301", also=("Room",))
FLOOR = Column("floor", "楼层", "a whole number", "3")
NOTE = Column("note", "备注", "anything", "east", is_needed=False)
COLUMNS = (ROOM, FLOOR, NOTE)


def sheet(*rows: tuple[object, ...]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    written = BytesIO()
    book.save(written)
    return written.getvalue()


def test_columns_are_known_by_their_headings_in_any_order_and_others_are_left_alone():
    content = sheet(("楼层*", "unknown", "ROOM"), (3, "x", "0301"), (4, "y", " 0401 "))

    found = sheets.read(content, COLUMNS)

    assert [(row.number, dict(row.values)) for row in found] == [
        (2, {"room": "0301", "floor": "3", "note": ""}),
        (3, {"room": "0401", "floor": "4", "note": ""}),
    ]


def test_a_cell_is_the_text_that_excel_shows():
    day = datetime.datetime.fromisoformat("2026-11-20")
    minute = datetime.datetime.fromisoformat("2026-11-20T08:30")
    content = sheet(
        ("房间", "楼层", "备注"), (301, 0.1 + 0.2, day), ("A", 1e-7, minute), ("B", 12.50, True)
    )

    found = sheets.read(content, COLUMNS)

    assert [tuple(row.values.values()) for row in found] == [
        ("301", "0.3", "2026-11-20"),
        ("A", "0.0000001", "2026-11-20 08:30"),
        ("B", "12.5", "yes"),
    ]


def test_rows_without_a_text_are_left_out_and_the_others_keep_their_numbers():
    content = sheet(("房间", "楼层"), ("0301", "3"), (None, None), ("  ", None), ("0302", "3"))

    assert [row.number for row in sheets.read(content, COLUMNS)] == [2, 5]


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"room;floor\n0301;3\n", sheets.NoWorkbook, "save it as .xlsx"),
        (b"", sheets.NoWorkbook, "save it as .xlsx"),
        (b"PK\x03\x04 broken", sheets.NoWorkbook, "save it as .xlsx"),
        (sheet(("房间", "备注"), ("0301", "x")), sheets.MissingHeadings, "楼层"),
        (sheet(("房间", "Room", "楼层"), ("1", "1", "1")), sheets.HeadingTwice, "房间"),
        (sheet(("房间", "楼层")), sheets.NoRows, "no rows"),
        (b"PK" + bytes(sheets.MOST_BYTES), sheets.SheetTooLarge, "5 MB"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_to_do(content, error, said):
    with pytest.raises(error, match=said):
        sheets.read(content, COLUMNS)


def test_a_file_that_unpacks_to_more_than_memory_is_refused_before_it_is_unpacked():
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", bytes(sheets.MOST_UNPACKED + 1))
    assert len(packed.getvalue()) < sheets.MOST_BYTES

    with pytest.raises(sheets.SheetTooLarge):
        sheets.read(packed.getvalue(), COLUMNS)


def test_entities_that_multiply_in_the_xml_are_refused():
    content = sheet(("房间", "楼层"), ("0301", "3"))
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    packed = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, bomb if name == "xl/workbook.xml" else old.read(name))

    with pytest.raises(sheets.NoWorkbook):
        sheets.read(packed.getvalue(), COLUMNS)


def test_what_is_written_is_read_again_and_no_text_becomes_a_formula():
    rows = [
        {"room": "0301", "floor": Decimal("12.50"), "note": "=HYPERLINK(1)"},
        {"room": "+1", "floor": Decimal(3), "note": None},
    ]

    content = sheets.write(COLUMNS, rows, title="房间")

    found = sheets.read(content, COLUMNS)
    assert [tuple(row.values.values()) for row in found] == [
        ("0301", "12.5", "=HYPERLINK(1)"),
        ("+1", "3", ""),
    ]
    cell = openpyxl.load_workbook(BytesIO(content)).worksheets[0]["C2"]
    assert cell.data_type == "s"


def test_a_template_has_the_headings_and_an_example_that_would_be_taken():
    content = sheets.template(COLUMNS, title="房间")

    with pytest.raises(sheets.NoRows):
        sheets.read(content, COLUMNS)
    book = openpyxl.load_workbook(BytesIO(content))
    assert [cell.value for cell in book.worksheets[0][1]] == ["房间*", "楼层*", "备注"]
    assert [cell.value for cell in book.worksheets[1][2]] == ["0301", "3", "east"]


def rooms(session) -> int:
    return session.execute(select(func.count()).select_from(tables.Room)).scalar_one()


def import_rooms(session, home, *, only_check: bool) -> sheets.Report:
    building = session.get(tables.Building, session.get(tables.Room, home.room_id).building_id)
    content = sheet(
        ("房间", "楼层"), ("0401", 4), ("0301", 3), ("0402", None), ("0401", 4), ("x" * 201, 4)
    )

    def add(row: sheets.Row) -> str:
        return estate.add_room(session, building, row["room"], int(row["floor"])).name

    rows = sheets.read(content, COLUMNS)
    return sheets.take(session, rows, COLUMNS, add, is_known=(estate.Taken,), only_check=only_check)


def test_each_row_is_done_or_told_why_not_and_none_keeps_another_from_being_done(database, home):
    with database.organization(home.organization_id) as session:
        report = import_rooms(session, home, only_check=False)

    assert [(row.row, row.outcome, row.what[:5]) for row in report.rows] == [
        (2, Outcome.DONE, "0401"),
        (3, Outcome.DUPLICATE, "0301 "),
        (4, Outcome.WRONG, "0402"),
        (5, Outcome.DUPLICATE, "0401 "),
        (6, Outcome.WRONG, "xxxxx"),
    ]
    assert (report.done, report.duplicate, report.wrong) == (1, 2, 2)
    assert str(report.rows[2].said) == "楼层 is empty."
    with database.organization(home.organization_id) as session:
        assert rooms(session) == 2


def test_asked_only_to_check_nothing_is_changed_and_the_report_is_the_same(database, home):
    with database.organization(home.organization_id) as session:
        checked = import_rooms(session, home, only_check=True)
        assert rooms(session) == 1
    with database.organization(home.organization_id) as session:
        assert rooms(session) == 1
        done = import_rooms(session, home, only_check=False)

    assert checked.only_check
    assert [row.outcome for row in checked.rows] == [row.outcome for row in done.rows]
