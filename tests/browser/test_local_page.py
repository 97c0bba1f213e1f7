"""A technician's first hour at the gateway's own page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import SIZES, Opener, fits, go, picture, seen
from tests.edge.page.gateways import PIN, Served, served


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def sign_in(page: Page, gateway: Served) -> Page:
    page.goto(f"{gateway.url}/")
    page.fill("[name=pin]", PIN)
    page.fill("[name=name]", "李工")
    go(page, "button.main")
    expect(page.locator(".facts")).to_be_visible()
    return page


def test_a_technician_signs_in_finds_a_meter_reads_it_and_tests_its_switch(
    gateway: Served, open_page: Opener
) -> None:
    page = open_page("phone")
    page.goto(f"{gateway.url}/points")
    page.fill("[name=pin]", "999000")
    page.fill("[name=name]", "李工")
    go(page, "button.main")
    expect(page.get_by_role("alert")).to_contain_text("PIN 码不对")
    page.fill("[name=pin]", PIN)
    go(page, "button.main")
    expect(page.locator(".rows")).to_contain_text("0399 电")

    # One meter is where the office did not write it: it is found by a scan.
    go(page, page.get_by_text("总线", exact=True))
    go(page, ".cards a")
    page.locator("#scan summary").click()
    for protocol in ("cjt188", "modbus-rtu"):
        page.locator(f".chip:has([value='{protocol}'])").click()
    page.fill("[name=known]", "202310450199")
    go(page, "#scan button.main")
    expect(page.locator(".doing")).to_be_visible()
    found = page.locator("a[href$='/found/0']")
    expect(found).to_contain_text("202310450199", timeout=60_000)
    go(page, found)
    expect(page.locator(".choose li").first).to_contain_text("号码相符")
    picture(page, "gateway-found")
    go(page, "form.card button.main")
    expect(page.locator("h1")).to_have_text("0399 电")
    expect(page.locator(".figure b").first).to_have_text("99.00 kWh")

    page.click(".actions button")
    expect(page.locator("#seen")).to_contain_text("99.00 kWh")
    page.locator("#seen summary").click()
    expect(page.locator("#seen .frames li")).to_have_count(4)

    page.get_by_text("断送试验").first.click()
    page.click("text=立即断开，随后恢复")
    expect(page.locator("#work")).to_contain_text("秒后读回：已断开")
    expect(page.locator("#work")).to_contain_text("秒后读回：已恢复")
    expect(page.locator(".doing")).to_have_count(0)
    picture(page, "gateway-tested")

    page.get_by_text("验收").click()
    row = page.locator("tr", has_text="0399 电")
    expect(row.locator(".mark.tone-good")).to_have_count(2)  # read, and cut test


def test_a_press_is_not_lost_when_the_page_is_told_news_before_it_is_let_go(
    gateway: Served, open_page: Opener
) -> None:
    def as_during_a_search(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('again="10"', 'again="1"'))

    page = sign_in(open_page("phone"), gateway)
    page.route("**/lines/L1", as_during_a_search)
    page.route("**/lines/L1/now", as_during_a_search)
    page.goto(f"{gateway.url}/lines/L1")
    page.locator("#now a[href^='/points/']").first.hover()

    with page.expect_response("**/lines/L1/now"):
        page.mouse.down()
    page.evaluate("new Promise((drawn) => setTimeout(drawn, 100))")
    with page.expect_navigation():
        page.mouse.up()

    expect(page).to_have_url(re.compile("/points/"))


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("size", list(SIZES))
def test_every_page_fits_the_screen(
    gateway: Served, open_page: Opener, size: str, language: str
) -> None:
    page = sign_in(open_page(size, language), gateway)
    for path in ("/", "/lines/L1", "/points", "/checks", "/console", "/log"):
        page.goto(gateway.url + path)
        for summary in page.locator("main > details > summary").all():
            summary.click()
        seen(page, f"gateway{path.replace('/', '-')}-{size}-{language[:2]}")
    page.goto(f"{gateway.url}/points")
    go(page, page.get_by_text("0301 电"))
    expect(page.locator("h1")).to_have_text("0301 电")
    fits(page, "a point")
