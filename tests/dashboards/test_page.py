"""How money, quantities and times are written, and what a page may load."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from starlette.requests import Request

from cloud.errors import TooManyAttempts
from dashboards import errors, page
from dashboards.mistake import Mistake
from prepaid.money import Money


def request(path: str = "/rooms", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Request(
        {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": raw}
    )


@pytest.mark.parametrize(
    ("fen", "written"),
    [(0, "¥0.00"), (5, "¥0.05"), (123450, "¥1,234.50"), (-320, "−¥3.20")],
)
def test_money_is_written_in_yuan_with_both_decimals(fen: int, written: str) -> None:
    assert page.money(Money(fen)) == written


def test_a_register_is_never_shown_ahead_of_itself() -> None:
    assert page.quantity(Decimal("1234.569"), "kWh") == "1234.56 kWh"
    assert page.quantity(Decimal("7.2"), "m3") == "7.20 m³"


def test_days_left_are_never_more_than_are_left() -> None:
    assert page.days(Decimal("23.97")) == "23"
    assert page.days(Decimal("9.99")) == "9.9"


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("1", "1.0 days left"),
        ("0.99", "about 23 h left"),  # 23.76 h
        ("0.14", "about 3 h left"),  # 3.36 h
        ("0.04", "less than an hour left"),  # 0.96 h
    ],
)
def test_less_than_a_day_is_told_in_hours(left: str, said: str) -> None:
    template = page._ENVIRONMENTS["en"].from_string(
        '{% from "shared/macros.html" import days_left %}{{ days_left(left) }}'
    )

    assert template.render(left=Decimal(left)).strip() == said


@pytest.mark.parametrize(("seconds", "said"), [(1, "in 1 second."), (2, "in 2 seconds.")])
def test_a_wait_is_told_in_the_singular_and_the_plural(seconds: int, said: str) -> None:
    asked = request("/login", accept_language="en")

    assert errors.sentence(asked, TooManyAttempts(seconds=seconds)).endswith(said)


def test_times_are_the_sites_with_the_date_where_it_is_not_today() -> None:
    def written(at: datetime, timezone: str = "Asia/Shanghai") -> str:
        now = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)  # 23:30 in Shanghai
        context = page._ENVIRONMENTS["zh"].from_string("{{ at|clock }}")
        return context.render(at=at, now=now, timezone=timezone)

    assert written(datetime(2026, 3, 2, 15, 4, 5, tzinfo=UTC)) == "23:04:05"
    assert written(datetime(2026, 3, 1, 15, 4, 5, tzinfo=UTC)) == "03-01 23:04"
    assert written(datetime(2025, 12, 31, 16, 4, tzinfo=UTC)) == "01-01 00:04"
    assert written(datetime(2025, 12, 31, 15, 4, tzinfo=UTC)) == "2025-12-31 23:04"
    assert written(datetime(2026, 3, 2, 15, 4, 5, tzinfo=UTC), "Asia/Urumqi") == "21:04:05"


def test_what_a_person_typed_is_never_taken_for_markup() -> None:
    told = Mistake("<b>", typed={"login": '"><script>'}, status=401)
    html = page.render(request("/login"), "manager/login.html", mistake=told).body.decode()

    assert "<script>" not in html.replace('<script src="', "")
    assert "&lt;b&gt;" in html


def test_a_page_runs_nothing_but_our_own_files() -> None:
    reply = page.render(request("/login"), "manager/login.html", login="", error=None)
    policy = reply.headers["content-security-policy"]

    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("template", sorted(page.HERE.rglob("*.html")), ids=lambda path: path.stem)
def test_no_template_has_inline_code_or_styles(template: Path) -> None:
    text = template.read_text()

    assert not re.search(r"\son\w+=|\sstyle=|hx-on|javascript:|<style|<script(?! src=)", text)


def test_a_files_address_changes_with_its_content() -> None:
    assert re.fullmatch(r"/static/manager\.css\?v=[0-9a-f]{10}", page.static("manager.css"))


def test_a_missing_vendor_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(page.VendorFilesMissing, match=r"htmx\.min\.js.*make clean setup"):
        page.check_vendor(tmp_path)


def test_the_language_of_a_page_is_the_one_chosen_before_the_browsers() -> None:
    asked = request("/login", cookie="wattwell_language=en", accept_language="zh-CN")

    assert b'lang="en"' in page.render(asked, "manager/login.html", login="", error=None).body
