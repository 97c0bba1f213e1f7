"""The resident pays by WeChat Pay and Alipay, as each browser can: pages in Chromium, companies simulated."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Request, expect
from sqlmodel import select

from cloud import tables
from simulators.alipay import Alipay
from simulators.wechatpay import WeChatPay
from tests.browser.conftest import Opener, go, picture
from tests.browser.town import Town, open_town
from tests.cloud.companies import (
    alipay_company,
    alipay_settings,
    private_key,
    wechat_pay,
    wechat_settings,
)
from tests.databases import Databases

PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/130.0 Mobile Safari/537.36"
)
IN_WECHAT = f"{PHONE} MicroMessenger/8.0.50"
DESKTOP_SIZE = {"width": 1280, "height": 900}


Companies = tuple[WeChatPay, Alipay, dict[str, object]]


@pytest.fixture(scope="module")
def companies() -> Iterator[Companies]:
    key = private_key()
    with wechat_pay(key) as wechat, alipay_company(key) as alipay:
        yield wechat, alipay, {**wechat_settings(wechat, key), **alipay_settings(alipay, key)}


@pytest.fixture(scope="module")
def wechat(companies: Companies) -> WeChatPay:
    return companies[0]


@pytest.fixture(scope="module")
def alipay(companies: Companies) -> Alipay:
    return companies[1]


@pytest.fixture(scope="module")
def town(
    databases: Databases,
    migrated: str,
    tmp_path_factory: pytest.TempPathFactory,
    companies: Companies,
) -> Iterator[Town]:
    """A town whose property office takes WeChat Pay, Alipay, and the sandbox."""
    folder = tmp_path_factory.mktemp("town")
    with databases.lend(migrated) as url, open_town(url, folder, companies[2]) as opened:
        yield opened


def order(page: Page) -> None:
    """From the form to the page of the order."""
    go(page, ".pay")
    page.wait_for_url("**/topups/*")


def pay(page: Page, town: Town) -> None:
    """At the company's page, which leads back to the page of the order."""
    go(page, "#pay")
    page.wait_for_url(f"{town.url}/t/*/topups/*")


def is_credited(page: Page, company: WeChatPay | Alipay) -> None:
    assert company.deliver() == [200]
    expect(page.locator("#progress .done")).to_have_count(2)
    expect(page.locator("#progress")).to_contain_text("已入账")


def test_on_a_desktop_a_code_is_shown_and_goes_when_it_is_paid(
    town: Town, wechat: WeChatPay, open_page: Opener
) -> None:
    page = open_page("desktop")
    page.set_viewport_size(DESKTOP_SIZE)  # type: ignore[arg-type]
    page.goto(town.house().url)
    picture(page, "pay-desktop-home")
    order(page)
    expect(page.locator(".code")).to_contain_text("请用微信扫一扫付款")
    assert page.locator(".code img").evaluate("(img) => img.naturalWidth") > 100
    picture(page, "pay-desktop-code")

    wechat.books.pay(wechat.books.find(uuid.UUID(page.url.rpartition("/")[2]).hex))
    is_credited(page, wechat)
    expect(page.locator(".code")).to_be_hidden()
    picture(page, "pay-desktop-paid")


def test_who_pays_again_before_the_notice_is_here_pays_another_order_and_both_are_credited(
    town: Town, wechat: WeChatPay
) -> None:
    house = town.house()

    def pay() -> str:
        form = {"purse_id": str(house.power_purse), "quick": "50", "channel": "wechat"}
        answer = httpx.post(f"{house.url}/topups", data=form, headers={"Origin": town.url})
        return uuid.UUID(answer.headers["location"].rpartition("/")[2]).hex

    first = pay()
    wechat.books.pay(wechat.books.find(first))
    second = pay()
    assert second != first
    assert wechat.deliver() == [200]
    assert pay() == second
    wechat.books.pay(wechat.books.find(second))
    assert wechat.deliver() == [200]
    with town.database.system() as session:
        found = session.exec(
            select(tables.TopUp).where(tables.TopUp.purse_id == house.power_purse)
        ).all()
    assert [(topup.credited_at is not None, topup.twin_of) for topup in found] == [(True, None)] * 2


def test_in_a_phones_browser_wechats_page_opens_and_leads_back(
    town: Town, wechat: WeChatPay, open_page: Opener
) -> None:
    page = open_page(user_agent=PHONE)
    page.goto(town.house().url)
    expect(page.locator("input[name=channel]")).to_have_count(3)
    picture(page, "pay-phone-home")
    go(page, ".pay")
    page.wait_for_url(f"{wechat.url}/h5**")
    expect(page.locator("h1")).to_have_text("¥50.00")  # it knows our site by the Referer

    page.go_back()
    go(page, "#unpaid a")
    page.wait_for_url(f"{wechat.url}/h5**")
    expect(page.locator("h1")).to_have_text("¥50.00")
    pay(page, town)
    is_credited(page, wechat)


def test_wechats_page_is_told_our_site_and_not_the_residents_link(
    town: Town, wechat: WeChatPay, open_page: Opener
) -> None:
    page = open_page(user_agent=PHONE)
    page.goto(town.house().url)
    asked: list[Request] = []
    page.on("request", lambda one: asked.append(one))
    go(page, ".pay")
    page.wait_for_url(f"{wechat.url}/h5**")
    told = [one.all_headers().get("referer") for one in asked if one.url.startswith(wechat.url)]
    assert told[0] == f"{town.url}/"


def test_inside_wechat_the_pay_sheet_opens_by_itself(
    town: Town, wechat: WeChatPay, open_page: Opener
) -> None:
    page = open_page(user_agent=IN_WECHAT)
    answers = ["get_brand_wcpay_request:fail"]

    def weixin(order: dict[str, str]) -> str:
        if answers:
            return answers.pop()
        return str(httpx.post(f"{wechat.url}/bridge", json=order).json().get("err_msg"))

    page.expose_function("weixin", weixin)
    page.add_init_script(
        """let answered = 0;
           window.WeixinJSBridge = { invoke: async (name, order, done) => {
             done({ err_msg: await window.weixin(order) });
             document.documentElement.dataset.answered = ++answered;
           } }"""
    )
    page.goto(town.house().url)
    expect(page.locator("form.topup")).not_to_contain_text("支付宝")  # WeChat would not open it
    order(page)
    expect(page.locator("#bridge-said")).to_be_visible()
    picture(page, "pay-wechat-bridge")
    page.click("#bridge")
    expect(page.locator("html")).to_have_attribute("data-answered", "2")
    is_credited(page, wechat)
    expect(page.locator("#bridge")).to_be_hidden()

    # Known now: the second time WeChat is not asked who pays.
    go(page, "text=返回余额")
    order(page)
    expect(page.locator("html")).to_have_attribute("data-answered", "1")
    is_credited(page, wechat)


def test_on_a_desktop_alipay_is_a_code_too(town: Town, alipay: Alipay, open_page: Opener) -> None:
    page = open_page("desktop")
    page.set_viewport_size(DESKTOP_SIZE)  # type: ignore[arg-type]
    page.goto(town.house().url)
    page.click("text=支付宝")
    order(page)
    expect(page.locator(".code")).to_contain_text("请用支付宝扫一扫付款")
    picture(page, "pay-desktop-alipay")

    alipay.pay(alipay.books.find(uuid.UUID(page.url.rpartition("/")[2]).hex))
    is_credited(page, alipay)
    expect(page.locator(".code")).to_be_hidden()


def test_in_a_phones_browser_alipays_page_opens_and_leads_back(
    town: Town, alipay: Alipay, open_page: Opener
) -> None:
    page = open_page(user_agent=PHONE)
    page.goto(town.house().url)
    page.click("text=支付宝")
    picture(page, "pay-phone-alipay")
    go(page, ".pay")
    page.wait_for_url(f"{alipay.url}**")
    expect(page.locator("h1")).to_have_text("¥50.00")
    pay(page, town)
    is_credited(page, alipay)


def test_after_a_mistake_the_channel_that_was_chosen_is_still_chosen(
    town: Town, open_page: Opener
) -> None:
    page = open_page(user_agent=PHONE)
    page.goto(town.house().url)
    page.click("text=支付宝")
    page.fill("input[name=amount]", "0")
    go(page, ".pay")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("input[name=channel]:checked")).to_have_value("alipay")


def test_the_same_money_in_two_ways_is_credited_once_and_the_page_says_so(
    town: Town, wechat: WeChatPay, open_page: Opener
) -> None:
    house = town.house()
    desktop, phone = open_page("desktop"), open_page(user_agent=PHONE)
    desktop.goto(house.url)
    order(desktop)
    by_code = desktop.url
    phone.goto(house.url)
    expect(phone.locator("#unpaid a")).to_have_count(1)
    go(phone, ".pay")
    phone.wait_for_url(f"{wechat.url}/h5**")
    phone.go_back()
    expect(phone.locator("#unpaid a")).to_have_count(1)
    go(phone, "#unpaid a")
    pay(phone, town)
    is_credited(phone, wechat)

    desktop.reload()
    expect(desktop).not_to_have_url(by_code)  # the page of the order that was paid
    expect(desktop.locator("#progress .done")).to_have_count(2)

    wechat.books.pay(wechat.books.find(uuid.UUID(by_code.rpartition("/")[2]).hex))
    assert wechat.deliver() == [200]
    desktop.goto(by_code)
    expect(desktop.locator("#refund")).to_contain_text("重复支付 · ¥50.00")
    expect(desktop.locator("#refund")).to_contain_text("第二笔付款正在原路退回")
    expect(desktop.locator("#progress")).to_be_hidden()
    picture(desktop, "pay-twice")


def test_a_link_back_from_wechat_that_we_did_not_make_orders_nothing(town: Town) -> None:
    house = town.house()
    back = f"{house.url}/wechat/{house.power_purse}/5000"
    answer = httpx.get(f"{back}?code=x&state=y", headers={"User-Agent": IN_WECHAT})
    assert answer.status_code == 409
    outside = httpx.get(f"{back}?code=x&state=y", headers={"User-Agent": PHONE})
    assert outside.status_code == 409

    form = {"purse_id": str(house.power_purse), "quick": "50"}
    headers = {"Origin": town.url, "User-Agent": IN_WECHAT}
    sent = httpx.post(f"{house.url}/topups", data=form, headers=headers).headers["location"]
    asked = parse_qs(urlsplit(sent).query)
    more = asked["redirect_uri"][0].replace("/5000", "/1")
    state = asked["state"][0]
    assert state.isalnum()
    assert len(state) <= 128
    changed = httpx.get(f"{more}?code=x&state={state}", headers={"User-Agent": IN_WECHAT})
    assert changed.status_code == 409


def test_a_way_that_is_not_offered_is_refused(town: Town) -> None:
    house = town.house()
    form = {"purse_id": str(house.power_purse), "quick": "50", "channel": "cash"}
    answer = httpx.post(f"{house.url}/topups", data=form, headers={"Origin": town.url})
    assert answer.status_code == 422
    assert "请选择支付方式" in answer.text
