"""Rooms are made and a meter is changed, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SIZES, Opener, go, seen
from tests.browser.town import Town

LogIn = Callable[[Page], Page]


@pytest.mark.parametrize("size", list(SIZES))
def test_rooms_are_made_by_rule_and_a_meter_is_looked_at_on_pages_that_fit(
    town: Town, open_page: Opener, log_in: LogIn, size: str
) -> None:
    town.house()
    page = log_in(open_page(size, "zh-CN"))
    page.goto(f"{town.url}/estate")
    seen(page, f"estate-{size}")
    go(page, ".buildings a")
    seen(page, f"building-{size}")
    page.fill("input[name=floors]", "11-12")
    page.fill("input[name=rooms]", "1-3" if size == "phone" else "4-6")
    go(page, ".rule button")
    expect(page.locator(".names li")).to_have_count(6)
    seen(page, f"plan-{size}")
    go(page, "form .btn-primary")
    expect(page.locator(".cells b", has_text="1201" if size == "phone" else "1204")).to_be_visible()

    page.goto(f"{town.url}/estate/import")
    seen(page, f"import-{size}")
    page.goto(f"{town.url}/meters")
    seen(page, f"meters-{size}")
    go(page, "table.rows a")
    seen(page, f"meter-{size}")
    page.click("summary:has-text('换表')")
    seen(page, f"meter-change-{size}")
    page.fill("form[action$='/change'] input[name=meter_no]", "202699999999")
    page.fill("form[action$='/change'] input[name=closing]", "9999999")
    page.fill("form[action$='/change'] input[name=why]", "试")
    go(page, "form[action$='/change'] button")
    expect(page.locator("[role=alert]")).to_be_visible()
    seen(page, f"meter-refused-{size}")
    page.goto(f"{town.url}/gateways/new")
    seen(page, f"gateway-new-{size}")
