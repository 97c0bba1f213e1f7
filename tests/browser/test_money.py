"""The counter in a real browser, on a phone: nothing is wider than the screen."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import go, seen
from tests.browser.town import Town


def test_a_cashier_takes_money_prints_the_receipt_and_asks_for_a_refund(
    town: Town, open_page, log_in
):
    size, holder = "phone", "欧阳"
    house = town.house(holder)
    page = log_in(open_page(size))
    page.goto(f"{town.url}/counter")
    seen(page, f"{size}-counter")
    if page.locator("#float").count():
        page.fill("#float", "200")
        go(page, "form.drawer button")
    page.fill("#q", f"{house.name} {holder}")
    go(page, "form.look-up button")
    seen(page, f"{size}-found")
    go(page, ".found a")
    seen(page, f"{size}-take")
    go(page, "button[name=quick][value='100']")
    seen(page, f"{size}-confirm")
    go(page, ".confirm button")
    expect(page).to_have_url(re.compile("/orders/topups/"))
    seen(page, f"{size}-order")
    go(page, "form[action^='/counter/receipts'] button")
    seen(page, f"{size}-receipt")
    go(page, ".receipt a.btn")
    go(page, "a[href*='/refund']")
    page.fill("[name=typed]", "10")
    page.fill("[name=why]", "多交")
    seen(page, f"{size}-refund")
    go(page, "form.ask-form button")
    seen(page, f"{size}-refund-confirm")
    go(page, ".confirm button")
    expect(page).to_have_url(re.compile("/withdrawals/"))
    seen(page, f"{size}-withdrawal")
    for name in ("orders", "shifts", "books", "months"):
        page.goto(f"{town.url}/{name}")
        seen(page, f"{size}-{name}")
