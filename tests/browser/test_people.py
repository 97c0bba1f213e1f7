"""Staff in Chromium: the menu as a drawer and as a column, and somebody new from the form to his first page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import fits, go, picture, seen


def test_on_a_phone_the_menu_is_a_drawer_and_on_a_desktop_it_is_always_there(open_page, log_in):
    phone = log_in(open_page("phone"))
    menu = phone.locator("#menu")
    expect(menu).to_be_hidden()
    phone.get_by_role("button", name="菜单").click()
    expect(menu).to_be_visible()
    picture(phone, "menu-phone")
    go(phone, menu.get_by_role("link", name="员工"))
    expect(phone).to_have_url(re.compile("/people$"))
    expect(menu).to_be_hidden()
    fits(phone, "people")

    desktop = log_in(open_page("desktop"))
    expect(desktop.locator("#menu")).to_be_visible()
    here = desktop.locator('#menu [aria-current="page"]')
    expect(here).to_have_text("房间监控")
    picture(desktop, "menu-desktop")


@pytest.mark.parametrize("size", ["phone"])
def test_somebody_new_sets_his_password_and_sees_what_his_role_allows(
    open_page, log_in, town, size
):
    boss = log_in(open_page(size))
    boss.goto(f"{town.url}/people/new")
    boss.fill("#name", "小李")
    boss.fill("#login", "li")
    boss.get_by_label("收费员").check()
    picture(boss, "people-new-phone")
    fits(boss, "somebody new")
    go(boss, boss.get_by_role("button", name="添加，并取得设置密码的链接"))
    link = boss.locator("#link").inner_text()
    picture(boss, "people-link-phone")

    new = open_page(size)
    new.goto(town.url + "/password/" + link.rpartition("/")[2])
    new.fill("#password", "one sentence is good")
    new.fill("#again", "one sentence is good")
    picture(new, "people-password-phone")
    go(new, new.get_by_role("button", name="设置并登录"))
    expect(new).to_have_url(re.compile("/rooms$"))
    new.goto(f"{town.url}/me")
    go(new, new.get_by_role("button", name="启用"))
    expect(new).to_have_url(re.compile("/me/second-factor$"))
    seen(new, "people-second-factor-phone")
    for path in ("/people", "/audit", "/approvals", "/me"):
        boss.goto(town.url + path)
        seen(boss, f"people{path.replace('/', '-')}-phone")
