"""An operator's hand on a supply, and what a person should look into, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from prepaid.reading import Supply
from prepaid.register.evidence import Confidence, Effect, Evidence, Kind
from prepaid.supply import Why
from prepaid.wire.uplog import Alarm, AlarmKind, GatewayAlarm, Read, Trouble
from tests.browser.conftest import SIZES, Opener, fits, go, picture, stay, stayed
from tests.browser.town import Town, reading, supply

LogIn = Callable[[Page], Page]


def trouble(kind: Trouble, *, is_over: bool = False) -> GatewayAlarm:
    text = "9 of 12 points were to be cut within 0:10:00: nobody is cut until a person releases it"
    return GatewayAlarm(datetime.now(UTC), kind, is_over, text)


def test_a_supply_is_cut_off_by_hand_after_a_second_look_and_given_back(
    town: Town, open_page: Opener, log_in: LogIn
) -> None:
    house = town.house("李娜")
    page = log_in(open_page("desktop"))
    go(page, f"#room-{house.room_id} h3 a")
    point = page.locator(".sheet").last  # the water, which is on
    expect(point).to_contain_text("供水中")

    point.locator("summary").click()
    point.get_by_text("强制拉闸", exact=True).click()
    point.get_by_text("截至…").click()
    point.locator("[name=until]").fill("2020-01-01T08:00")
    point.locator("[name=why]").fill("更换阀门，工单 118")
    go(page, point.locator("button").last)
    expect(page.get_by_role("alert")).to_contain_text("截止时间须晚于现在")
    picture(page, "pin-refused")
    point.get_by_text("4 小时", exact=True).click()
    go(page, point.locator("button").last)
    expect(page.locator("h1")).to_have_text("确认强制拉闸？")
    expect(page.locator("main")).to_contain_text("更换阀门，工单 118")
    picture(page, "pin-confirm")
    go(page, "text=立即拉闸")

    expect(point.locator(".pin")).to_contain_text("正在下发")
    stay(page)
    town.say(supply(house.water, Supply.OFF, wanted=Supply.OFF, why=Why.FORCED_OFF), delivered=True)
    expect(point.locator(".now")).to_contain_text("已关阀")
    expect(point.locator(".pin")).to_contain_text("王经理")
    expect(point.locator(".pin")).not_to_contain_text("正在下发")
    assert stayed(page)
    picture(page, "pinned")

    go(page, point.get_by_text("解除…"))
    expect(page.locator("main")).to_contain_text("确认现场无人作业")
    picture(page, "unpin-confirm")
    go(page, "button.btn-primary")
    expect(page.locator(".past")).to_have_count(2)
    expect(page.locator(".past").last).to_contain_text("王经理 提前解除")


def test_a_brake_is_seen_on_the_board_and_released_after_a_second_look(
    town: Town, open_page: Opener, log_in: LogIn
) -> None:
    house = town.house()
    page = log_in(open_page("desktop"))
    expect(page.locator(".trouble")).to_have_count(0)

    town.say(
        trouble(Trouble.BRAKED),
        supply(house.power, Supply.ON, wanted=None, why=Why.BRAKED),
    )
    expect(page.locator(".trouble")).to_contain_text("1 个用能点待断")
    go(page, "text=查看并解除…")
    picture(page, "brake-confirm")
    go(page, "text=解除，继续拉闸")
    expect(page.locator(".trouble")).to_contain_text("王经理 已解除，正在下发")

    town.say(trouble(Trouble.BRAKED, is_over=True), delivered=True)
    expect(page.locator(".trouble")).to_have_count(0)


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("size", list(SIZES))
def test_alarms_and_a_rooms_page_fit_the_screen(
    town: Town, open_page: Opener, log_in: LogIn, size: str, language: str
) -> None:
    house = town.house("欧阳娜娜")
    now = datetime.now(UTC)
    kinds = (
        AlarmKind.SILENT,
        AlarmKind.STUCK,
        AlarmKind.SWITCH_FAILED,
        AlarmKind.CUT_WAITS,
        AlarmKind.NO_TARIFF,
    )
    text = "register moved 3765.44 in 0:05:00; at most 5.00 can pass this meter"
    doubtful = reading(house.power, "5000")
    jump = Evidence(Kind.JUMP, Confidence.CERTAIN, Effect.HELD, None, None, text)
    town.say(
        *(Alarm(house.water, now, kind, False, "no reply in 3 tries") for kind in kinds),
        Read(house.power, doubtful.reading, (jump,)),
        Alarm(house.power, doubtful.reading.at, AlarmKind.IMPLAUSIBLE, False, text),
        trouble(Trouble.BRAKED),
        trouble(Trouble.DISK_FULL),
        supply(house.water, Supply.ON, wanted=None, why=Why.CURRENT),
    )
    page = log_in(open_page(size, language))
    expect(page.locator(".alarm").first).to_be_visible()
    for what, path in (
        ("alarms-board", "/rooms"),
        ("alarms-all", "/alarms"),
        ("room", f"/rooms/{house.room_id}"),
    ):
        page.goto(town.url + path)
        if what == "room":
            page.locator("summary").first.click()
            page.locator(".by-hand").first.locator(".lasting label").last.click()
        fits(page, what)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            picture(page, f"{what}-{size}-{scheme}-{language[:2]}")
    town.say(trouble(Trouble.BRAKED, is_over=True), trouble(Trouble.DISK_FULL, is_over=True))
