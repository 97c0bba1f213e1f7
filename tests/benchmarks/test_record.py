"""What was measured stays until it is measured anew, and is shown where the pages have room for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import record
from benchmarks.figure import Figure
from benchmarks.record import BEGIN, END, Measured

QUIET = Figure("machine", "one loop", (1.0, 1.1, 1.2), against="its fastest")


def measured(part: str, value: float, *, load: float = 0.1) -> Measured:
    figure = Figure("lines", part, (value,), against="the wire", bar=0.9)
    return Measured(part, "a machine", "2026-11-22", 5, load, QUIET, (figure,))


def test_a_part_measured_again_takes_the_place_of_what_it_was_and_the_others_stay(tmp_path: Path):
    path = tmp_path / "bench.json"
    record.keep(path, [measured("line", 0.8), measured("values", 0.95)], order=["line", "values"])

    known = record.keep(path, [measured("line", 0.97)], order=["line", "values"])

    assert record.read(path) == known
    assert list(known) == ["line", "values"]
    assert known["line"].figures[0].values == (0.97,)


def test_a_figure_of_a_busy_machine_says_so_and_one_that_misses_its_bar_too():
    known = {"line": measured("line", 0.8, load=3.0), "values": measured("values", 0.95)}

    assert record.short_table(known).splitlines()[2:] == [
        "| lines: line | 0.800 | ≥ 0.9 | **missed**, measured on a busy machine |",
        "| lines: values | 0.950 | ≥ 0.9 | kept |",
    ]
    assert "A BUSY machine: load 3.0 a processor" in record.long_table(known)


def test_a_page_keeps_all_that_stands_around_its_figures(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")

    record.put(page, "new")

    assert page.read_text("utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("no place", "utf-8")
    with pytest.raises(ValueError, match="no place for figures"):
        record.put(page, "new")
