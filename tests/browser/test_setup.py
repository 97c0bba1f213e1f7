"""From an installed program to the first room on the board, in a browser alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Page, expect

from cloud.app import create_app
from cloud.backups import folder
from cloud.settings import Settings
from tests.browser.conftest import Opener, go, picture
from tests.serving import listening, serve, url_of

TOKEN = "t" * 43


@pytest.fixture
def installed(migrated_url: str, tmp_path: Path) -> Iterator[str]:
    """The address of a web program whose database is empty."""
    bound = listening()
    url = url_of(bound)
    settings = Settings(
        database_url=migrated_url,
        nats_url="nats://cloud:x@127.0.0.1:1",
        listen=url.removeprefix("http://"),
        public_url=url,
        session_secret="s" * 43,
        code_secret="c" * 43,
        setup_token=TOKEN,
        backup_folder=tmp_path / "backups",
        brokers=("mqtt://127.0.0.1:1",),
        signing_key=Ed25519PrivateKey.generate(),
    )
    folder.back_up(settings, now=datetime.now(UTC))
    app = create_app(settings)
    with serve(app, bound):
        yield url
        app.state.events.close()


def fill(page: Page, **values: str) -> None:
    for name, value in values.items():
        page.fill(f"#{name}", value)
    go(page, "main form:last-of-type button[type=submit]")


@pytest.mark.parametrize("size", ["phone"])
def test_a_property_manager_gets_from_the_link_to_the_first_room(
    installed: str, open_page: Opener, size: str
):
    page = open_page(size)
    page.goto(f"{installed}/setup/begin/{TOKEN}")
    picture(page, f"setup-1-office-{size}")
    fill(
        page,
        organization="江南物业",
        name="王经理",
        login="wang",
        password="correct horse",
        again="correct hose",
    )
    expect(page.get_by_role("alert")).to_contain_text("两次输入的密码不一致")
    fill(page, password="correct horse", again="correct horse")

    expect(page.locator("#timezone")).to_have_value("Asia/Shanghai")
    picture(page, f"setup-2-site-{size}")
    fill(page, name="听雨小区")
    fill(page, first_floor="3", last_floor="2")
    expect(page.get_by_role("alert")).to_be_visible()
    picture(page, f"setup-3-rooms-{size}")
    fill(page, building="1 号楼", first_floor="1", last_floor="6", on_each="4")
    page.click("text=尖峰平谷电价")
    bands = {"sharp": "1.35", "peak": "1.08", "flat": "0.66"}
    for band, price in {**bands, "valley": "0.2x"}.items():
        page.fill(f"[name=price0-{band}]", price)
    go(page, "text=发布")
    expect(page.get_by_role("alert")).to_contain_text("谷")
    picture(page, f"setup-4-prices-{size}")
    page.fill("[name=price0-valley]", "0.29")
    go(page, "text=发布")
    fill(page, gateway_no="GW-0001")
    expect(page.locator(".groups")).to_be_visible()
    expect(page.locator(".code svg")).to_be_visible()
    picture(page, f"setup-5-token-{size}")
    go(page, "a.btn-primary")
    picture(page, f"setup-6-room-{size}")
    page.select_option("#room", "0301")
    fill(page, holder="张三", meter_no="202610450101")

    expect(page.locator("main")).to_contain_text("0301 房 张三 的现金")
    fill(page, amount="50", drawer="200")
    page.wait_for_url("**/setup/channels")
    picture(page, f"setup-8-channels-{size}")
    expect(page.locator(".light .done")).to_have_count(1)
    expect(page.locator(".light .done")).to_contain_text("¥50.00")
    expect(page.locator(".way-to-pay")).to_have_count(2)
    page.goto(f"{installed}/shifts")
    expect(page.locator("main")).to_contain_text("¥250.00")  # 200 of its own, and 50 taken
    page.goto(f"{installed}/setup/channels")
    go(page, "a.btn-primary")
    page.wait_for_url("**/rooms/*")
    expect(page.locator("h1").first).to_contain_text("0301")
    page.goto(f"{installed}/rooms")
    expect(page.get_by_text("张三")).to_be_visible()
    picture(page, f"setup-7-board-{size}")
    page.goto(f"{installed}/setup")
    page.wait_for_url("**/rooms")
    # The link has done its work.
    answer = page.goto(f"{installed}/setup/begin/{TOKEN}")
    assert answer is not None
    assert answer.status == 404
    page.goto(f"{installed}/backups")
    expect(page.locator("ul.jobs li")).to_have_count(1)
    picture(page, f"backups-{size}")
