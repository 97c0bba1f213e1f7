"""The counter in a real browser, on a phone: nothing is wider than the screen."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.conftest import picture
from tests.browser.town import Town


def look(page: Page, name: str) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{name} is {wide} px too wide"
    picture(page, name)


def test_a_cashier_takes_money_prints_the_receipt_and_asks_for_a_refund(
    town: Town, open_page, log_in
):
    size, holder = "phone", "欧阳"
    house = town.house(holder)
    page = log_in(open_page(size))
    page.goto(f"{town.url}/counter")
    look(page, f"{size}-counter")
    if page.locator("#float").count():
        page.fill("#float", "200")
        page.click("form.drawer button")
        page.wait_for_url("**/counter")
    page.fill("#q", f"{house.name} {holder}")
    page.click("form.look-up button")
    look(page, f"{size}-found")
    page.click(".found a >> nth=0")
    look(page, f"{size}-take")
    page.click("button[name=quick][value='100']")
    look(page, f"{size}-confirm")
    page.click(".confirm button")
    page.wait_for_url("**/orders/topups/*")
    look(page, f"{size}-order")
    page.click("form[action^='/counter/receipts'] button")
    look(page, f"{size}-receipt")
    page.click(".receipt a.btn")
    page.click("a[href*='/refund']")
    page.fill("[name=typed]", "10")
    page.fill("[name=why]", "多交")
    look(page, f"{size}-refund")
    page.click("form.ask-form button")
    look(page, f"{size}-refund-confirm")
    page.click(".confirm button")
    page.wait_for_url("**/withdrawals/*")
    look(page, f"{size}-withdrawal")
    for name in ("orders", "shifts", "books", "months"):
        page.goto(f"{town.url}/{name}")
        look(page, f"{size}-{name}")
