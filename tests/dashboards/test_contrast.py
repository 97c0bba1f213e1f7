"""The colours of the pages can be read: each pair that stands on another, by its ratio (WCAG 2, 1.4.3 and 1.4.11)."""

from __future__ import annotations

import re

import pytest

from dashboards import page

TEXT, EDGE = 4.5, 3.0
TONES = [(tone, f"{tone}-wash") for tone in ("good", "busy", "warn", "bad", "none")]
OFFICE = [*TONES, *((tone, "sheet") for tone, _ in TONES)]
OFFICE += [("ink", "sheet"), ("ink", "page"), ("soft", "sheet"), ("soft", "page")]
OFFICE += [("accent", "sheet"), ("accent", "page"), ("white", "tblr-primary")]
RESIDENT = [*TONES, ("white", "green")]


def colours(sheet: str, dark: str) -> tuple[dict[str, str], dict[str, str]]:
    """The names of a style sheet with their colours by day, and by night."""
    text = (page.STATIC / sheet).read_text("utf-8")
    day, night = text[: text.index(dark)], text[text.index(dark) :]
    named = re.compile(r"--([\w-]+): (#[0-9a-f]{3,6});")
    light = dict(named.findall(day)) | {"white": "#fff"}
    return light, light | dict(named.findall(night))


def ratio(one: str, other: str) -> float:
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_black_on_white_is_21_to_1_and_grey_on_white_as_published():
    assert ratio("#000", "#fff") == pytest.approx(21)
    assert ratio("#767676", "#fff") == pytest.approx(
        4.54, abs=0.01
    )  # the lightest grey that passes


@pytest.mark.parametrize("at_night", [False, True])
def test_the_office_can_be_read_by_day_and_by_night(at_night: bool):
    named = colours("manager.css", '[data-bs-theme="dark"]')[at_night]

    assert [pair for pair in OFFICE if ratio(named[pair[0]], named[pair[1]]) < TEXT] == []
    assert ratio(named["field"], named["sheet"]) >= EDGE


@pytest.mark.parametrize("at_night", [False, True])
def test_the_residents_page_can_be_read_by_day_and_by_night(at_night: bool):
    named = colours("tenant.css", "@media (prefers-color-scheme: dark)")[at_night]

    assert [pair for pair in RESIDENT if ratio(named[pair[0]], named[pair[1]]) < TEXT] == []
