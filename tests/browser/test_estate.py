"""Rooms are made and a meter is changed, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SIZES, Opener, picture
from tests.browser.town import Town

LogIn = Callable[[Page], Page]


@pytest.mark.parametrize("size", list(SIZES))
def test_rooms_are_made_by_rule_and_a_meter_is_looked_at_on_pages_that_fit(
    town: Town, open_page: Opener, log_in: LogIn, size: str
) -> None:
    town.house()
    page = log_in(open_page(size, "zh-CN"))
    page.goto(f"{town.url}/estate")
    _seen(page, f"estate-{size}")
    page.click(".buildings a >> nth=0")
    _seen(page, f"building-{size}")
    page.fill("input[name=floors]", "11-12")
    page.fill("input[name=rooms]", "1-3" if size == "phone" else "4-6")
    page.click(".rule button")
    expect(page.locator(".names li")).to_have_count(6)
    _seen(page, f"plan-{size}")
    page.click("form .btn-primary")
    expect(page.locator(".cells b", has_text="1201" if size == "phone" else "1204")).to_be_visible()

    page.goto(f"{town.url}/estate/import")
    _seen(page, f"import-{size}")
    page.goto(f"{town.url}/meters")
    _seen(page, f"meters-{size}")
    page.click("table.rows a >> nth=0")
    _seen(page, f"meter-{size}")
    page.click("summary:has-text('换表')")
    _seen(page, f"meter-change-{size}")
    page.fill("form[action$='/change'] input[name=meter_no]", "202699999999")
    page.fill("form[action$='/change'] input[name=closing]", "9999999")
    page.fill("form[action$='/change'] input[name=why]", "试")
    page.click("form[action$='/change'] button")
    expect(page.locator("[role=alert]")).to_be_visible()
    _seen(page, f"meter-refused-{size}")
    page.goto(f"{town.url}/gateways/new")
    _seen(page, f"gateway-new-{size}")


def _seen(page: Page, name: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
    picture(page, name)
