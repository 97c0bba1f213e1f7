"""Money without the internet on the pages: a code to be typed, emergency credit, and taps, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from cloud.services.gateway_keys import code_key
from prepaid import offline_code
from prepaid.money import Money
from prepaid.offline_code import Credit
from prepaid.point import EmergencyCredit, Policy
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.uplog import CodeEntered, EmergencyRepaid, EmergencyTaken
from tests.browser.conftest import SIZES, Opener, fits, picture, seen, stay, stayed
from tests.browser.town import Town, charge, supply

LogIn = Callable[[Page], Page]
WIDE = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def enrolled(town: Town) -> Town:
    town.gateway_was_enrolled()
    return town


@pytest.mark.parametrize(("language", "scheme"), [("zh-CN", "light"), ("en", "dark")])
def test_a_paid_top_up_has_its_code_on_the_tenants_page_while_the_gateway_is_silent(
    enrolled: Town, open_page: Opener, language: str, scheme: str
) -> None:
    town = enrolled
    house = town.house("李娜")
    town.gateway_was_heard(timedelta(minutes=5))
    topup = town.pay_cash(house, "50")
    page = open_page("phone", language, scheme, permissions=["clipboard-read", "clipboard-write"])

    page.clock.install()

    page.goto(house.url)

    code = page.locator(".offline")
    expect(code).to_contain_text("网关离线" if language == "zh-CN" else "Your gateway is offline")
    digits = re.sub(r"\s", "", code.locator(".digits").inner_text())
    key = code_key(town.settings.code_secret, gateway_no="GW-TOWN")
    opened = offline_code.check(key, digits, purse=house.power_purse, last=0)
    assert opened == Credit(1, Money.yuan("50"))
    page.bring_to_front()
    page.clock.pause_at(now() + timedelta(hours=1))  # it says so for a few seconds
    code.locator(".copy").click()
    expect(code.locator(".copy")).to_have_text("已复制" if language == "zh-CN" else "Copied")
    assert page.evaluate("navigator.clipboard.readText()") == offline_code.shown(digits)
    page.evaluate("document.querySelector('.copy span').textContent = '…'")
    page.evaluate("document.dispatchEvent(new Event('htmx:after:swap'))")
    expect(code.locator(".copy")).to_have_text("已复制" if language == "zh-CN" else "Copied")
    page.clock.fast_forward("00:05")
    expect(code.locator(".copy")).to_have_text(
        "复制充值码" if language == "zh-CN" else "Copy the code"
    )
    page.clock.resume()
    seen(page, f"offline-code-{language}-390")
    page.set_viewport_size({"width": 320, "height": 640})
    fits(page, "320 px")
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    picture(page, f"offline-code-{language}-1280")

    page.set_viewport_size(SIZES["phone"])  # type: ignore[arg-type]
    page.goto(f"{house.url}/topups/{topup}")
    expect(page.locator("#code .digits")).to_be_visible()
    picture(page, f"offline-topup-{language}-390")
    stay(page)
    town.say(
        CodeEntered(house.power_purse, 1, Money.yuan("50"), now()),
        supply(house.power, Supply.ON, wanted=Supply.ON, why=Why.CREDIT),
    )
    expect(page.locator("#code .digits")).to_have_count(0)
    expect(page.locator(".stages")).to_contain_text(
        "已在网关输码" if language == "zh-CN" else "Typed in at the gateway"
    )
    assert stayed(page)


def now() -> datetime:
    return datetime.now(UTC)


def test_the_manager_reads_the_code_on_the_rooms_page(
    enrolled: Town, open_page: Opener, log_in: LogIn
) -> None:
    town = enrolled
    house = town.house("王芳")
    town.gateway_was_heard(timedelta(minutes=5))
    town.pay_cash(house, "1234.56")
    page = log_in(open_page("desktop"))
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]

    page.goto(f"{town.url}/rooms/{house.room_id}")

    power = page.locator(".sheet").first
    expect(power.locator(".offline")).to_contain_text("¥1,234.56")
    expect(power.locator(".digits")).to_have_text(re.compile(r"^(\d{4} ){4}\d{4}$"))
    expect(page.locator(".sheet").last.locator(".offline")).to_have_count(0)
    picture(page, "offline-room-1280")
    page.set_viewport_size(SIZES["phone"])  # type: ignore[arg-type]
    seen(page, "offline-room-390")


def test_emergency_credit_is_taken_on_the_page_and_shown_until_it_is_paid_back(
    enrolled: Town, open_page: Opener, log_in: LogIn
) -> None:
    town = enrolled
    lending = EmergencyCredit(Money.yuan("10"), offered_at=Money.yuan("0"))
    house = town.house("赵敏", Policy(emergency=lending))
    town.say(delivered=True)
    page = open_page("phone")
    page.goto(house.url)
    power = page.locator(".purse").first
    expect(power.locator(".lending")).to_contain_text("应急额度 ¥10.00")
    picture(page, "emergency-offered-390")

    power.get_by_role("button", name="申请应急额度").click()

    expect(page.locator(".purse").first).to_contain_text("正在下发")
    picture(page, "emergency-taken-390")
    stay(page)
    town.say(
        supply(house.power, Supply.ON, wanted=Supply.ON, why=Why.EMERGENCY),
        charge(house.power, house.power_purse, "4.00", "1242.56"),
        delivered=True,
    )
    expect(page.locator(".purse").first).to_contain_text("正在使用应急额度")
    expect(page.locator(".purse").first).not_to_contain_text("正在下发")
    assert stayed(page)
    picture(page, "emergency-used-390")
    board = log_in(open_page("desktop"))
    board.set_viewport_size(WIDE)  # type: ignore[arg-type]
    board.goto(f"{town.url}/rooms/{house.room_id}")
    expect(board.locator(".sheet").first).to_contain_text("应急额度使用中")
    expect(board.locator(".sheet").first).to_contain_text("住户申请")
    picture(board, "emergency-room-1280")

    town.pay_cash(house, "50")
    town.say(
        EmergencyRepaid(house.power_purse, now()),
        supply(house.power, Supply.ON, wanted=Supply.ON, why=Why.CREDIT),
        delivered=True,
    )
    expect(page.locator(".purse").first.locator(".lending")).to_have_count(0)
    expect(board.locator(".sheet").first).to_contain_text("余额充足")


def test_what_was_taken_at_the_gateway_is_on_the_rooms_page(
    enrolled: Town, open_page: Opener, log_in: LogIn
) -> None:
    town = enrolled
    lending = EmergencyCredit(Money.yuan("10"), offered_at=Money.yuan("0"))
    house = town.house("孙丽", Policy(emergency=lending))
    page = log_in(open_page("desktop"))
    page.goto(f"{town.url}/rooms/{house.room_id}")
    expect(page.locator(".sheet").first).to_contain_text("可申请应急额度")

    town.say(EmergencyTaken(house.power_purse, now(), "gateway"))

    expect(page.locator(".sheet").first).to_contain_text("在网关上申请")


def test_the_taps_are_asked_for_and_the_answer_is_given_once(
    enrolled: Town, open_page: Opener
) -> None:
    town = enrolled
    house = town.house("周洁")
    town.say(delivered=True)
    town.say(supply(house.water, Supply.OFF, wanted=None, why=Why.TAPS))
    page = open_page("phone")
    page.goto(house.url)
    water = page.locator(".purse").last
    expect(water).to_contain_text("可以恢复供水了")
    picture(page, "taps-390")

    water.get_by_role("button", name="用水点都已关好").click()

    expect(page.locator(".purse").last).to_contain_text("已确认，正在通知表计")
    expect(page.get_by_role("button", name="用水点都已关好")).to_have_count(0)
    picture(page, "taps-said-390")
    stay(page)
    town.say(supply(house.water, Supply.ON, wanted=Supply.ON, why=Why.CREDIT), delivered=True)
    expect(page.locator(".purse").last).to_contain_text("供水中")
    assert stayed(page)
