"""Takes the pictures of the README anew: `make figures`. Runs the demonstration and photographs it in Chromium."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console

from wattwell import seed
from wattwell.demo import tell_of_cut
from wattwell.installation import Installation
from wattwell.programs import Programs, wait_for
from wattwell.screen import Screen
from wattwell.story import Story
from wattwell.supervise import free_port

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
# A Chinese letter is two cells wide in this font, as in a terminal.
PAGE = """<html><body style="margin:0;background:#16181d;color:#d6d9de">
<pre style="font:15px/1.25 'Noto Sans Mono CJK SC';padding:16px 20px;margin:0;width:max-content">{code}</pre>
</body></html>"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        Path(folder).chmod(0o711)
        installation = Installation(Path(folder))
        programs = Programs(installation, web_port=free_port())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            programs.start()
            story = Story(programs)
            _photograph(browser, programs, story)
            story.close()
        finally:
            browser.close()
            programs.stop()
            installation.release()


def _photograph(browser: Browser, programs: Programs, story: Story) -> None:
    screen = Screen()
    wait_for(lambda: all(p.read_at for r in story.rooms() for p in r.points), 120, "first sight")
    password = programs.installation.secret("manager_password")
    screen.point_to("Room board", programs.url)
    screen.point_to("  log in as", f"{seed.MANAGER} / {password}")
    cut = wait_for(story.cut, 120, "the cut")
    tell_of_cut(screen, story, cut)
    screen.show(story.rooms())
    _terminal(browser, screen)

    board = browser.new_page(viewport={"width": 1180, "height": 860}, locale="zh-CN")
    board.goto(f"{programs.url}/login")
    board.fill("input[name=login]", seed.MANAGER)
    board.fill("input[name=password]", password)
    board.click("button[type=submit]")
    board.wait_for_selector("text=101")
    board.screenshot(path=HERE / "rooms.png")
    phone = browser.new_page(viewport={"width": 390, "height": 844}, locale="zh-CN")
    phone.goto(story.tenant_url)
    phone.screenshot(path=HERE / "tenant.png")
    phone.goto(f"{story.tenant_url}/topups/{story.pay()}")
    phone.wait_for_selector("text=已送电 >> nth=1", timeout=60_000)
    phone.screenshot(path=HERE / "topup.png")


def _terminal(browser: Browser, screen: Screen) -> None:
    console = Console(record=True, width=108, file=io.StringIO(), force_terminal=True)
    console.print(screen.frame())
    code = console.export_html(inline_styles=True, code_format="{code}")
    page = browser.new_page(viewport={"width": 1100, "height": 400}, device_scale_factor=1.5)
    page.set_content(PAGE.format(code=code))
    page.locator("pre").screenshot(path=HERE / "demo.png")


if __name__ == "__main__":
    main()
