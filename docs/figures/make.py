"""Takes the pictures of the README anew: `make figures`. Runs the demonstration and photographs it in Chromium."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from prepaid.reading import Supply
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
# In a terminal a Chinese letter is two cells wide; a cell of DejaVu Sans Mono is 0.602 em.
PAGE = """<html><head><style>
@font-face {{ font-family: Chinese; src: local("Noto Sans Mono CJK SC"); size-adjust: 120.4%;
              unicode-range: U+4E00-9FFF, U+FFE5; }}
body {{ margin: 0; background: #1c1e24; color: #d6d9de; }}
pre {{ font: 15px/1.3 "DejaVu Sans Mono", Chinese; padding: 16px 20px; margin: 0; width: max-content; }}
</style></head><body><pre>{code}</pre></body></html>"""


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
    wait_for(lambda: story.point().supply is Supply.OFF, 10, "the cut on the board")
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
    code = console.export_html(theme=DIMMED_MONOKAI, inline_styles=True, code_format="{code}")
    page = browser.new_page(viewport={"width": 1100, "height": 400}, device_scale_factor=1.5)
    page.set_content(PAGE.format(code=code))
    page.locator("pre").screenshot(path=HERE / "demo.png")


if __name__ == "__main__":
    main()
