"""What `wattwell edge status` draws."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.cells import cell_len
from rich.console import Console

from wattwell import gateway_screen

COUNTS = {"points": 192, "silent": 12, "wrong": 1, "held": 0, "off": 2}
BY_ID = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0 · 2400 8E1"


def line(name: str, place: str) -> dict[str, Any]:
    metrics = {"useful_s": 97.1, "since_s": 100.0, "answers": 1234567, "requests": 1240000}
    return {
        "name": name,
        "place": place,
        "points": 64,
        "silent": 12,
        "is_stuck": False,
        "metrics": {**metrics, "missed": 12},
        "bound": {"delay_s": 12.3, "most": {"fen": 123456}},
    }


def drawn(*, width: int) -> list[str]:
    lines = [line("L1", "/dev/ttyUSB0 · 2400 8E1"), line("L2", BY_ID)]
    now = {
        "gateway_no": "GW-0001",
        "hold": None,
        "at": "2026-11-22T10:00:00.000",
        "is_clock_trusted": True,
        "last_seq": 100,
        "acked": 90,
        "is_link_up": True,
        "is_link_refused": False,
        "ledger_bytes": 12345678,
        "counts": COUNTS,
        "troubles": {},
        "rejected": 0,
        "lines": lines,
    }
    out = StringIO()
    gateway_screen.draw(now, [], Console(file=out, width=width))
    return [row.rstrip() for row in out.getvalue().splitlines()]


def test_the_status_fits_a_terminal_of_80_columns():
    rows = drawn(width=80)
    assert max(map(cell_len, rows)) <= 80
    # A usual line takes one row: 1,234,567 of 1,240,000 requests were answered, 99.56 %.
    assert (
        "L1    /dev/ttyUSB0 2400 8E1  64      12      97%   99.6%    12    12 s, ¥1234.56" in rows
    )
    assert "points 用能点    192; 12 silent, 1 entered wrongly, 0 in doubt, 2 off" in rows


def test_the_long_name_of_an_adapter_is_folded_and_whole():
    rows = drawn(width=80)
    first = next(number for number, row in enumerate(rows) if row.startswith("L2"))
    shown = "".join(row[6:28].strip() for row in rows[first : first + 4])
    assert shown.replace(" ", "") == BY_ID.replace(" · ", "").replace(" ", "")
