"""Staff make a key and a webhook in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SIZES, Opener, go, seen
from tests.browser.town import Town

LogIn = Callable[[Page], Page]


@pytest.mark.parametrize("size", list(SIZES))
def test_a_key_and_a_webhook_are_made(
    town: Town, open_page: Opener, log_in: LogIn, size: str
) -> None:
    page = log_in(open_page(size))
    page.goto(f"{town.url}/api-keys")
    if not page.locator("details.by-hand[open]").count():
        page.click("details.by-hand > summary")
    seen(page, f"integration-keys-form-{size}")
    page.fill("#name", "校园一卡通")
    page.check('input[value="cashier"]')
    go(page, "form.made button.btn-primary")
    expect(page.locator("#new-key")).to_contain_text("ww_")
    expect(page.locator("[data-copy=new-key]")).to_be_visible()
    seen(page, f"integration-keys-made-{size}")

    page.goto(f"{town.url}/webhooks")
    if not page.locator("details.by-hand[open]").count():
        page.click("details.by-hand > summary")
    page.fill("#url", "https://me@example.com/events")
    page.check('input[value="alarm.raised"]')
    go(page, "form.made button.btn-primary")
    expect(page.locator("#fault-url")).to_be_visible()
    seen(page, f"integration-webhook-wrong-{size}")
    page.fill("#url", "https://example.com/events")
    go(page, "form.made button.btn-primary")
    go(page, ".do button.btn-primary")
    expect(page.locator(".kept li")).to_have_count(1)
    page.click(".by-hand summary >> nth=0")
    seen(page, f"integration-webhook-{size}")
    page.goto(f"{town.url}/webhooks")
    seen(page, f"integration-webhooks-{size}")
