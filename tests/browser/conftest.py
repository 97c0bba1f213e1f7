"""Chromium and the town it looks at."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.browser.town import LOGIN, PASSWORD, Town, open_town
from tests.databases import Databases
from tests.slow import LATE

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1366, "height": 900}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM.exists():
                reason = f"{CHROMIUM} is not installed (apt install chromium fonts-noto-cjk)"
                item.add_marker(pytest.mark.skip(reason=reason))


expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong


@pytest.fixture(scope="module")
def town(
    databases: Databases, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    with databases.lend(migrated) as url, open_town(url, tmp_path_factory.mktemp("town")) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed with its module: Playwright's event loop must be gone before tests with one of their own."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield launched
        launched.close()


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens a page in a browser of its own; the test fails if any page complained on its console."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(
        size: str = "phone", language: str = "zh-CN", scheme: str = "light", **options: object
    ) -> Page:
        context = browser.new_context(
            viewport=SIZES[size],  # type: ignore[arg-type]
            locale=language,
            color_scheme=scheme,  # type: ignore[arg-type]
            timezone_id="America/New_York",  # pages tell the site's time wherever they are read
            **options,  # type: ignore[arg-type]
        )
        context.set_default_timeout(60_000)  # as above
        contexts.append(context)
        page = context.new_page()
        if "processor" in LATE:
            context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 6})
        page.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    # Chromium calls an answer of 4xx or 503 a failure of the page; some tests ask for just those.
    answered = re.compile(r"the server responded with a status of (4\d\d|503)")
    assert [said for said in complaints if not answered.search(said)] == []


@pytest.fixture
def log_in(town: Town) -> Callable[[Page], Page]:
    def log_in(page: Page) -> Page:
        page.goto(f"{town.url}/login")
        page.fill("#login", LOGIN)
        page.fill("#password", PASSWORD)
        go(page, "button.btn-primary")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        return page

    return log_in


def go(page: Page, what: str | Locator) -> None:
    """Presses what leads to another document, and waits until all of that is here: whatever is read of the page
    afterwards is of the new one, also where its address is that of the old."""
    with page.expect_navigation():
        (page.locator(what).first if isinstance(what, str) else what).click()


def seen(page: Page, name: str) -> None:
    """Fails if the page is wider than its screen; keeps a picture of it."""
    fits(page, name)
    picture(page, name)


def fits(page: Page, what: str) -> None:
    """Fails if the page, once it is all here, is wider than its screen."""
    page.wait_for_load_state()
    wide = page.locator("html").evaluate("(html) => html.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{what} is {wide} px too wide"


def stay(page: Page) -> None:
    """Leaves a mark on the page that a reload would wipe away."""
    page.wait_for_load_state()
    page.evaluate("window.stayed = true")


def stayed(page: Page) -> bool:
    """Whether the page is the one that was marked."""
    page.wait_for_load_state()
    return bool(page.evaluate("window.stayed === true"))


def picture(page: Page, name: str) -> None:
    """Keeps a picture of the page in $WATTWELL_PICTURES, where that is set, to be looked at."""
    if folder := os.environ.get("WATTWELL_PICTURES"):
        page.wait_for_load_state()
        page.evaluate("document.fonts.ready")
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)
