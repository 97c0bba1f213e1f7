"""Staff enrol and revoke a gateway, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Page, expect

from cloud.services import enrolment
from prepaid.enrolment import Enrol, Token
from tests.browser.conftest import SIZES, Opener, go, seen
from tests.browser.town import Town

LogIn = Callable[[Page], Page]


def enrol(town: Town, token: str) -> None:
    """A machine shows this token."""
    key = Ed25519PrivateKey.generate()
    asked = Enrol.by(Token.read(token), key, gateway_no="GW-TOWN")
    with town.database.system() as session:
        enrolment.enrol(session, town.settings, asked, now=datetime.now(UTC))


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("size", list(SIZES))
def test_a_gateway_is_enrolled_and_revoked_by_staff(
    town: Town, open_page: Opener, log_in: LogIn, size: str, language: str
) -> None:
    page = log_in(open_page(size, language))
    name = f"{size}-{language[:2]}"
    page.goto(f"{town.url}/gateways")
    expect(page.locator(".gateways li")).to_have_count(1)
    seen(page, f"gateways-{name}")
    go(page, ".gateways a")
    seen(page, f"gateway-{name}")

    go(page, ".do button")
    shown = page.locator(".token .groups").inner_text().replace("\n", "")
    seen(page, f"gateway-token-{name}")
    go(page, ".back a")
    go(page, ".gateways a")
    expect(page.locator(".token")).to_have_count(0)  # it is shown once
    enrol(town, shown)
    page.reload()
    expect(page.locator("dl")).to_contain_text("尚未" if language == "zh-CN" else "not yet")
    seen(page, f"gateway-enrolled-{name}")

    go(page, ".do a")
    seen(page, f"gateway-revoke-{name}")
    go(page, "button.btn-danger")
    expect(page.locator(".now")).to_contain_text("已吊销" if language == "zh-CN" else "Revoked")
    seen(page, f"gateway-revoked-{name}")
