"""The pages in a real browser: live, in both languages, on a phone and a desk, by day and by night."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import func, select

from cloud import tables
from cloud.channels import configured
from prepaid.reading import Supply
from prepaid.supply import Why
from tests.browser.conftest import SIZES, Opener, fits, go, picture, stay, stayed
from tests.browser.town import PASSWORD, House, Town, charge, reading, supply

LogIn = Callable[[Page], Page]


def card(page: Page, house: House) -> Page:
    return page.locator(f"#room-{house.room_id}")  # type: ignore[return-value]


# The manager


def test_a_wrong_password_is_said_in_plain_words_and_the_name_is_kept(
    town: Town, open_page: Opener
) -> None:
    page = open_page("desktop")
    page.goto(f"{town.url}/rooms")
    expect(page).to_have_url(f"{town.url}/login")

    page.fill("#login", "somebody")
    page.fill("#password", "wrong")
    go(page, "button.btn-primary")

    expect(page.get_by_role("alert")).to_contain_text("用户名或密码不正确")
    expect(page.locator("#login")).to_have_value("somebody")
    expect(page.locator("#password")).to_be_focused()


def test_the_board_shows_a_cut_and_its_reason_without_a_reload(
    town: Town, open_page: Opener, log_in: LogIn
) -> None:
    house = town.house("李娜")
    page = log_in(open_page("desktop"))
    expect(card(page, house)).to_contain_text("已断电")
    stay(page)

    town.say(
        reading(house.power, "1250.07"),
        supply(house.power, Supply.ON, wanted=Supply.OFF, why=Why.NO_CREDIT),
    )

    expect(card(page, house)).to_contain_text("正在断电")
    expect(card(page, house)).to_contain_text("应断，实读通")
    expect(card(page, house)).to_contain_text("1250.07 kWh")

    town.say(
        charge(house.power, house.power_purse, "1.50", "1253.07"),
        supply(house.power, Supply.OFF, wanted=Supply.OFF, why=Why.NO_CREDIT),
    )

    expect(card(page, house)).to_contain_text("−¥1.50")
    expect(card(page, house)).to_contain_text("欠费")
    expect(page.locator("#announcer")).to_contain_text(f"{house.name}: 已断供")
    assert stayed(page)


def test_a_page_whose_scripts_come_late_one_after_the_other_still_says_that_it_is_live(
    town: Town, open_page: Opener, log_in: LogIn
) -> None:
    """On a slow line the stream may be open before the script that tells of it has arrived."""
    page = log_in(open_page("phone"))

    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.add_init_script(
        """const told = () => {
             console.log('told');
             setTimeout(() => {
               document.documentElement.dataset.saidFirst ??= document.getElementById('live').dataset.state;
             });
           };
           document.addEventListener('htmx:sse:after:connection', told);
           document.addEventListener('htmx:sse:after:message', told);"""
    )

    def late(route: Route) -> None:
        for _ in range(20):  # until the stream has told all that it has to tell for now
            if not told:
                page.wait_for_timeout(100)
        route.continue_()

    page.route("**/live.js*", late)
    page.reload()

    # At the first that the stream tells: by the next the light might come on all the same.
    expect(page.locator("html")).to_have_attribute("data-said-first", "live")


def test_rooms_are_found_and_filtered_without_a_reload(
    town: Town, open_page: Opener, log_in: LogIn
) -> None:
    cut, fine = town.house("周杰"), town.house("吴芳")
    town.say(supply(fine.power, Supply.ON, wanted=Supply.ON, why=Why.PROTECTED))
    page = log_in(open_page("desktop"))
    stay(page)

    page.keyboard.press("/")
    page.keyboard.type("吴芳")
    expect(card(page, fine)).to_be_visible()
    expect(card(page, cut)).to_be_hidden()

    page.click('.tile[data-state="cut"]')
    expect(page.locator("#no-match")).to_be_visible()
    expect(page).to_have_url(re.compile("state=cut"))

    page.click("[data-clear]")
    page.click('.tile[data-state="cut"]')
    expect(card(page, cut)).to_be_visible()
    expect(card(page, fine)).to_be_hidden()

    # What arrives live obeys the filter too.
    town.say(supply(cut.power, Supply.ON, wanted=Supply.ON, why=Why.PROTECTED))
    expect(card(page, cut)).to_be_hidden()
    assert stayed(page)

    page.reload()
    expect(page.locator('.tile[data-state="cut"]')).to_have_attribute("aria-current", "true")
    expect(card(page, fine)).to_be_hidden()


def test_the_language_is_changed_without_losing_filter_and_search(
    town: Town, open_page: Opener, log_in: LogIn
) -> None:
    house = town.house("钱多多")
    page = log_in(open_page("desktop"))
    page.fill("#q", "钱多多")
    page.click('.tile[data-state="cut"]')

    page.click(".who")
    go(page, "text=English")

    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#q")).to_have_value("钱多多")
    expect(page.locator('.tile[data-state="cut"]')).to_have_attribute("aria-current", "true")
    expect(page.locator(".room:visible")).to_have_count(1)
    expect(card(page, house)).to_be_visible()


def test_the_board_can_be_filtered_and_left_without_scripts(town: Town, open_page: Opener) -> None:
    house = town.house("郑爽")
    page = open_page("desktop", java_script_enabled=False)
    page.goto(f"{town.url}/login")
    page.fill("#login", "manager")
    page.fill("#password", PASSWORD)
    go(page, "button.btn-primary")

    page.fill("#q", "郑爽")
    with page.expect_navigation():
        page.press("#q", "Enter")
    expect(page.locator(".room:visible")).to_have_count(1)
    expect(card(page, house)).to_be_visible()

    page.click(".who")
    go(page, ".leave button")
    expect(page).to_have_url(f"{town.url}/login")
    page.goto(f"{town.url}/rooms")
    expect(page).to_have_url(f"{town.url}/login")


# The resident


def test_a_top_up_is_followed_from_payment_to_light_without_a_reload(
    town: Town, open_page: Opener
) -> None:
    house = town.house()
    page = open_page()
    page.goto(house.url)
    expect(page.locator("#purses")).to_contain_text("欠费断电")

    page.click("text=¥20")
    expect(page.locator(".pay")).to_have_text("支付 ¥20")
    go(page, ".pay")
    expect(page).to_have_url(re.compile("/pay/"))
    go(page, ".foot button")
    expect(page).to_have_url(re.compile("/topups/"))
    expect(page.locator("#progress")).to_contain_text("已支付")
    expect(page.locator("#progress")).to_contain_text("已入账")
    stay(page)

    town.say(delivered=True)
    expect(page.locator("#progress")).to_contain_text("已下发")
    town.say(supply(house.power, Supply.ARMED, wanted=Supply.ON, why=Why.CREDIT))
    expect(page.locator("#progress h1")).to_have_text("请按表上按钮合闸")
    picture(page, "topup-armed")
    town.say(supply(house.power, Supply.ON, wanted=Supply.ON, why=Why.CREDIT))
    expect(page.locator("#progress h1")).to_have_text("已送电")
    expect(page.locator("#progress .done time")).to_have_count(4)
    assert stayed(page)
    picture(page, "topup-done")

    go(page, "text=返回余额")
    expect(page.locator("#purses")).to_contain_text("¥20.00")
    expect(page.locator("#recent")).to_contain_text("+¥20.00")


def test_the_balance_falls_while_one_looks(town: Town, open_page: Opener) -> None:
    house = town.house()
    page = open_page()
    page.goto(house.url)
    page.fill("input[name=amount]", "12.5")
    stay(page)

    town.say(charge(house.power, house.power_purse, "3.21", "1260.98"))

    expect(page.locator("#purses")).to_contain_text("−¥3.21")
    assert stayed(page)
    expect(page.locator("input[name=amount]")).to_have_value("12.5")


def test_while_the_gateway_is_offline_a_paid_top_up_says_what_will_happen(
    town: Town, open_page: Opener, gateway_offline: None
) -> None:
    house = town.house()
    town.gateway_was_heard(timedelta(minutes=10))
    page = open_page(language="en-GB")
    page.goto(house.url)
    expect(page.locator("#purses")).to_contain_text("The gateway is offline")

    page.fill("input[name=amount]", "33.40")
    go(page, ".pay")
    expect(page).to_have_url(re.compile("/pay/"))
    go(page, ".foot button")
    expect(page).to_have_url(re.compile("/topups/"))

    expect(page.locator("#progress")).to_contain_text("power comes back by itself")
    expect(page.locator("#progress .done")).to_have_count(2)
    expect(page.locator("#pay-now")).to_be_hidden()
    picture(page, "topup-offline")


def test_a_credit_that_takes_long_to_arrive_is_said_to_be_safe_without_a_reload(
    town: Town, open_page: Opener
) -> None:
    house = town.house()
    page = open_page()
    page.goto(pay(town, house))
    go(page, ".foot button")
    expect(page).to_have_url(re.compile("/topups/"))
    expect(page.locator("#progress .done")).to_have_count(2)
    town.was_credited_earlier(house, by=-timedelta(hours=1))  # however long this test takes
    expect(page.locator("#progress")).not_to_contain_text("比平时慢")
    stay(page)

    town.was_credited_earlier(house, by=timedelta(hours=1, seconds=15))

    expect(page.locator("#progress")).to_contain_text("比平时慢一些。钱已入账，请放心")
    picture(page, "topup-late")
    town.say(delivered=True)
    expect(page.locator("#progress")).not_to_contain_text("比平时慢")
    assert stayed(page)


@pytest.fixture
def gateway_offline(town: Town) -> Iterator[None]:
    yield
    town.gateway_was_heard(timedelta(0))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("5o", "请输入金额"),
        ("12.345", "最多两位小数"),
        ("-5", "须大于 ¥0"),
        ("99,999,999", "不超过 ¥10,000"),
    ],
)
def test_an_amount_that_cannot_be_ordered_is_asked_for_again_with_what_is_wrong(
    town: Town, open_page: Opener, typed: str, said: str
) -> None:
    page = open_page()
    page.goto(town.house().url)

    page.fill("input[name=amount]", typed)
    expect(page.locator(".pay")).to_have_text("支付")
    go(page, ".pay")

    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.locator("input[name=amount]")).to_have_value(typed)
    expect(page.locator(".pay")).to_have_text("支付")
    picture(page, "home-bad-amount")


def test_after_going_back_the_button_names_what_is_then_ordered(
    town: Town, open_page: Opener
) -> None:
    page = open_page()
    page.add_init_script(
        "addEventListener('pageshow', () => { document.documentElement.dataset.isShown = 'yes' })"
    )
    page.goto(town.house().url)
    page.click("text=¥200")
    go(page, ".pay")
    expect(page).to_have_url(re.compile("/pay/"))

    page.go_back()
    # By then the browser has put back what was chosen.
    expect(page.locator("html")).to_have_attribute("data-is-shown", "yes")

    chosen = page.locator("input[name=quick]:checked").input_value()
    expect(page.locator(".pay")).to_have_text(f"支付 ¥{chosen}")
    go(page, ".pay")
    expect(page).to_have_url(re.compile("/pay/"))
    expect(page.locator(".foot button")).to_have_text(f"立即支付 ¥{chosen}.00")


def test_a_payment_company_that_does_not_answer_is_no_dead_end(
    town: Town, open_page: Opener
) -> None:
    page = open_page()
    page.goto(town.house().url)
    away = town.settings.model_copy(update={"sandbox_url": "http://127.0.0.1:1"})
    answering = town.app.state.channels
    town.app.state.channels = configured.channels(away)
    try:
        go(page, ".pay")
        expect(page.get_by_role("alert")).to_contain_text("没有扣款")
    finally:
        town.app.state.channels = answering

    go(page, ".pay")
    expect(page).to_have_url(re.compile("/pay/"))


def test_pressing_pay_twice_is_one_order_and_another_amount_is_another(town: Town) -> None:
    house = town.house()

    with ThreadPoolExecutor(3) as presses:
        locations = list(presses.map(lambda _: pay(town, house), range(3)))

    assert len(set(locations)) == 1
    assert orders(town, house) == 1
    assert pay(town, house, amount="70") not in locations
    assert pay(town, house) in locations
    assert orders(town, house) == 2


def test_an_order_that_was_paid_does_not_swallow_the_wish_to_pay_again(town: Town) -> None:
    house = town.house()
    first = pay(town, house)

    # Paid at the company; whether its notice has already come must not matter.
    httpx.post(first)
    second = pay(town, house)

    assert second != first
    assert pay(town, house) == second
    assert orders(town, house) == 2


def test_an_unpaid_order_is_gone_on_with_and_leaves_the_page_once_paid(
    town: Town, open_page: Opener
) -> None:
    page = open_page()
    page.goto(town.house().url)
    page.click(".amounts >> text=¥20")
    go(page, ".pay")
    expect(page).to_have_url(re.compile("/pay/"))
    begun = page.url

    page.go_back()
    expect(page.locator("#unpaid a")).to_contain_text("待支付： ¥20.00 · 电费")
    picture(page, "home-unpaid")
    page.click(".amounts >> text=¥20")
    go(page, ".pay")
    expect(page).to_have_url(re.compile("/pay/"))
    expect(page).to_have_url(begun)

    page.go_back()
    go(page, "#unpaid a")
    expect(page).to_have_url(re.compile("/pay/"))
    expect(page).to_have_url(begun)
    go(page, ".foot button")
    expect(page).to_have_url(re.compile("/topups/"))
    expect(page.locator("#progress .done")).to_have_count(2)
    go(page, "text=返回余额")
    expect(page.locator("#purses")).to_contain_text("¥20.00")
    expect(page.locator("#unpaid a")).to_have_count(0)


def pay(town: Town, house: House, **changes: str) -> str:
    """Where the form sends a resident who pays ¥50 for electricity, or as changed."""
    form = {"purse_id": str(house.power_purse), "quick": "50"}
    answer = httpx.post(f"{house.url}/topups", data=form | changes, headers={"Origin": town.url})
    assert answer.status_code == 303
    return answer.headers["location"]


@pytest.mark.parametrize(
    "changes",
    [{"purse_id": "nonsense"}, {"purse_id": str(uuid4())}],
    ids=["no purse", "a strange purse"],
)
def test_a_form_that_was_tampered_with_is_answered_with_the_form(
    town: Town, changes: dict[str, str]
) -> None:
    house = town.house()
    form = {"purse_id": str(house.power_purse), "quick": "50"}

    answer = httpx.post(f"{house.url}/topups", data=form | changes, headers={"Origin": town.url})

    assert 400 <= answer.status_code < 500
    assert 'role="alert"' in answer.text
    assert orders(town, house) == 0


def orders(town: Town, house: House) -> int:
    with town.database.system() as session:
        topups = tables.TopUp.__table__  # type: ignore[attr-defined]
        return int(
            session.execute(
                select(func.count()).where(topups.c.purse_id == house.power_purse)
            ).scalar_one()
        )


@pytest.mark.parametrize(
    ("language", "said"), [("zh-CN", "向物业索取新的链接"), ("en", "Ask the property office")]
)
def test_a_link_that_is_not_valid_says_where_to_get_another(
    town: Town, open_page: Opener, language: str, said: str
) -> None:
    page = open_page(language=language)

    for path in ("/t/nonsense", "/t/nonsense/topups/x"):
        page.goto(town.url + path)
        expect(page.locator("main")).to_contain_text(said)
        expect(page.locator("main a")).to_have_count(0)
    picture(page, f"link-{language}")


def test_the_language_is_chosen_on_the_page_and_stays(town: Town, open_page: Opener) -> None:
    page = open_page()
    page.goto(town.house().url)
    expect(page.locator("#purses")).to_contain_text("电费余额")

    go(page, "text=English")
    expect(page.locator("#purses")).to_contain_text("Electricity balance")

    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "en")


# Every page


def test_pages_and_files_are_compressed_and_a_versioned_file_is_kept_for_good(town: Town) -> None:
    with httpx.Client(base_url=town.url) as browser:
        login = browser.get("/login")
        style = re.search(r"/static/manager\.css\?v=\w+", login.text)
        assert style is not None
        file = browser.get(style[0])
        plain = browser.get(style[0], headers={"Accept-Encoding": "identity"})
        font = browser.get("/static/vendor/fonts/tabler-icons.woff2?v3.49.0")

        assert login.headers["content-encoding"] == "gzip"
        assert login.headers["cache-control"] == "no-store"
        assert file.headers["content-encoding"] == "gzip"
        assert file.headers["content-type"].startswith("text/css")
        assert "immutable" in file.headers["cache-control"]
        assert "content-encoding" not in plain.headers
        assert plain.content == file.content
        assert font.headers["content-type"] == "font/woff2"
        assert "content-encoding" not in font.headers
        assert "immutable" not in font.headers["cache-control"]

        tag = {"If-None-Match": file.headers["etag"]}
        assert browser.get(style[0], headers=tag).status_code == 304
        for strange in ("/static/none.css", "/static/../page.py", "/static/%2e%2e/page.py"):
            assert browser.get(strange).status_code == 404


# Within half a minute; the page's own rules allow no waiting by playwright's means.
IS_DARK = """async (wanted) => {
  for (const until = performance.now() + 30000; performance.now() < until; ) {
    const style = getComputedStyle(document.body);
    const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0);
    if ((light(style.color) > light(style.backgroundColor)) === wanted) return true;
    await new Promise((soon) => setTimeout(soon, 20));
  }
  return false;
}"""


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("size", list(SIZES))
def test_every_page_fits_its_screen_and_has_no_complaints(
    town: Town, open_page: Opener, log_in: LogIn, size: str, language: str
) -> None:
    house = town.house()
    page = open_page(size, language)

    def looked_at(what: str) -> None:
        expect(page.locator("html")).to_have_attribute(
            "lang", "zh-CN" if language == "zh-CN" else "en"
        )
        fits(page, what)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert page.evaluate(IS_DARK, scheme == "dark"), scheme
            picture(page, f"{what}-{size}-{scheme}-{language[:2]}")

    page.goto(f"{town.url}/login")
    looked_at("login")
    log_in(page)
    looked_at("rooms")
    page.goto(f"{town.url}/nowhere")
    looked_at("nowhere")
    page.goto(house.url)
    expect(page.locator("time[data-age]").first).not_to_contain_text(":")
    looked_at("home")
    go(page, ".pay")
    expect(page).to_have_url(re.compile("/pay/"))
    looked_at("pay")
    page.go_back()
    looked_at("home-unpaid")
    go(page, "#unpaid a")
    expect(page).to_have_url(re.compile("/pay/"))
    go(page, ".foot button")
    expect(page).to_have_url(re.compile("/topups/"))
    expect(page.locator("#progress .done")).to_have_count(2)
    looked_at("topup")
    small = page.evaluate(
        """[...document.querySelectorAll("a, button")].filter((one) => one.offsetParent && one.offsetHeight < 44)
             .map((one) => one.outerHTML)"""
    )
    assert small == []
