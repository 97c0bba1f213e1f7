"""The page as a technician meets it: who is let in, what is shown, and what a button does."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx

from edge.field.said import said
from edge.page import pin as pins
from edge.page import words
from edge.page.app import create_page
from edge.page.session import COOKIE
from prepaid import offline_code
from prepaid.money import Money
from prepaid.offline_code import Credit
from prepaid.reading import Supply
from prepaid.wire.uplog import CodeEntered
from tests.edge.field.rooms import FieldRoom
from tests.edge.page.gateways import DIRECT, PIN, browser, desk_of, house, signed_in
from tests.edge.simulated import ELECTRICITY, WATER, simulated, until

PAGES = ("/", "/lines/L1", "/points", f"/points/{ELECTRICITY.id}", "/checks", "/console", "/log")


@simulated
async def test_every_page_is_shown_in_both_languages(tmp_path: Path):
    at = house(tmp_path)
    async with at.serving():
        for path in PAGES:
            for language, sign in (("zh", 'lang="zh"'), ("en", 'lang="en"')):
                shown = signed_in(at, tmp_path)
                shown.cookies.set(words.COOKIE, language)
                answer = await shown.get(path)
                assert answer.status_code == 200, path
                assert sign in answer.text


@simulated
async def test_a_cloud_that_refuses_the_gateway_is_not_shown_as_away(tmp_path: Path):
    at = FieldRoom(tmp_path)
    desk = desk_of(at, tmp_path)
    desk.link.is_refused = True  # type: ignore[misc]
    assert desk.sessions is not None
    seen = browser(create_page(desk))
    seen.cookies.set(COOKIE, desk.sessions.open("李工"))

    shown = (await seen.get("/")).text

    assert "they were revoked, or another machine was enrolled" in shown
    assert ">away<" not in shown


@simulated
async def test_nothing_but_the_door_is_shown_without_the_pin(tmp_path: Path):
    at = FieldRoom(tmp_path)
    stranger = browser(create_page(desk_of(at, tmp_path)))
    for path in PAGES:
        answer = await stranger.get(path)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/login")
    answer = await stranger.post(f"/points/{ELECTRICITY.id}/cut-test", data={"form": "x"})
    assert answer.status_code == 303
    assert at.room.jobs.all() == []


@simulated
async def test_the_line_shows_what_passes_it_without_passwords(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    seen = signed_in(at, tmp_path)
    async with at.serving():
        await seen.submit(f"/points/{DIRECT.id}", f"/points/{DIRECT.id}/cut-test")
        await until(lambda: at.room.jobs.all()[0].is_over, within_s=60)
        shown = (await seen.get("/lines/L1")).text

    assert "1C" in shown
    assert "** ** **" in shown
    # The password 123456 travels as 56 34 12, each byte with 33 added.
    assert "89 67 45" not in shown


@simulated
async def test_a_meter_is_read_on_demand_with_its_frames(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    seen = signed_in(at, tmp_path)

    answer = await seen.submit(f"/points/{DIRECT.id}", f"/points/{DIRECT.id}/read")

    assert "100.00 kWh" in answer.text
    assert "FE FE FE FE 68 72 00 32 09 17 20 68 11" in answer.text


@simulated
async def test_a_switch_is_tested_and_the_check_list_says_so(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT, WATER))
    seen = signed_in(at, tmp_path)
    async with at.serving():
        assert "<dd>0/2</dd>" in (await seen.get("/checks")).text
        begun = await seen.submit(f"/points/{DIRECT.id}", f"/points/{DIRECT.id}/cut-test")
        assert begun.status_code == 303
        await until(lambda: at.room.jobs.all()[0].is_over, within_s=60)
        shown = (await seen.get(f"/points/{DIRECT.id}")).text
        listed = (await seen.get("/checks")).text

    assert "Off, read back after" in shown
    assert "On, read back after" in shown
    assert "<dd>1/2</dd>" in listed  # the cut test of one of two


@simulated
async def test_what_may_not_be_cut_says_why_on_its_page(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    seen = signed_in(at, tmp_path)
    async with at.serving():
        at.meter.show("103.00")  # 3 kWh × 0.50 = ¥1.50 of ¥1.00
        at.agent.wake_all()
        await until(lambda: at.store.supply(DIRECT.id).seen is Supply.OFF, within_s=60)
        shown = (await seen.get(f"/points/{DIRECT.id}")).text
        assert "The supply is off: there is nothing to cut." in shown
        refused = await seen.submit(f"/points/{DIRECT.id}", f"/points/{DIRECT.id}/cut-test")
    assert refused.status_code == 409
    assert "there is nothing to cut" in refused.text


@simulated
async def test_a_scan_finds_a_meter_and_its_label_says_whose_it_is(tmp_path: Path):
    at = house(tmp_path)
    seen = signed_in(at, tmp_path)
    async with at.serving():
        at.wire.meters = at.wire.meters[-1:]  # alone on the line, so that nobody collides
        begun = await seen.submit(
            "/lines/L1", "/lines/L1/scan", protocol="dlt645-2007", baud="115200"
        )
        assert begun.status_code == 303
        await until(lambda: at.room.jobs.all()[0].is_over, within_s=60)
        shown = (await seen.get("/lines/L1/now")).text
        assert "202310450199" in shown
        chosen = (await seen.get("/lines/L1/found/0")).text
        assert "the number fits" in chosen
        linked = await seen.submit("/lines/L1/found/0", "/lines/L1/found/0", label="202310450199")

    assert linked.status_code == 303
    point = at.store.points()[next(p.id for p in at.store.points().values() if p.name == "0399 电")]
    assert point.meter.address == "202310450199"


@simulated
async def test_a_label_leads_to_its_point(tmp_path: Path):
    at = FieldRoom(tmp_path)
    answer = await signed_in(at, tmp_path).get(
        "/points", params={"find": "https://x?m=201709320072"}
    )
    assert answer.headers["location"] == f"/points/{ELECTRICITY.id}"


@simulated
async def test_a_frame_by_hand_is_explained(tmp_path: Path):
    at = FieldRoom(tmp_path)
    answer = await signed_in(at, tmp_path).submit(
        "/console", "/console", line="L1", hex="68 AA AA AA AA AA AA 68 13 00 DF 16"
    )
    assert "read address" in answer.text
    wrong = await signed_in(at, tmp_path).submit("/console", "/console", line="L1", hex="zz")
    assert (wrong.status_code, "not hexadecimal" in wrong.text) == (409, True)


@simulated
async def test_a_form_that_was_not_made_for_the_session_does_nothing(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    seen = signed_in(at, tmp_path)
    async with at.serving():
        for fields in ({}, {"form": ""}, {"form": "guessed"}):
            answer = await seen.post(f"/points/{DIRECT.id}/cut-test", data=fields)
            assert answer.status_code == 403
    assert at.room.jobs.all() == []


@simulated
async def test_what_is_larger_than_any_form_is_refused(tmp_path: Path):
    at = FieldRoom(tmp_path)
    seen = signed_in(at, tmp_path)

    async def slowly():
        for _ in range(100):
            yield b"hex=" + b"0" * 1000

    assert (await seen.post("/console", content=b"0" * 70_000)).status_code == 413
    answer = await seen.post(
        "/console",
        content=slowly(),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 413


@simulated
async def test_pages_may_load_nothing_from_elsewhere_and_be_framed_by_nobody(tmp_path: Path):
    at = house(tmp_path)
    async with at.serving():
        for path in PAGES:
            answer = await signed_in(at, tmp_path).get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["cache-control"] == "no-store"
            assert not re.search(r'(src|href|action)="(https?:)?//', answer.text), path
            assert "<script>" not in answer.text
            assert " style=" not in answer.text


@simulated
async def test_a_page_that_is_not_there_says_so(tmp_path: Path):
    at = FieldRoom(tmp_path)
    seen = signed_in(at, tmp_path)
    for path in ("/nothing", "/lines/L9", f"/points/{'0' * 8}-0000-0000-0000-{'0' * 12}", "/x/y"):
        answer = await seen.get(path)
        assert (answer.status_code, "no such page" in answer.text) == (404, True), path
    assert (await seen.get("/lines/L1/found/0")).status_code == 404


# Signing in: a real loop, as the PIN is looked at in a thread.


async def sign_in(seen: httpx.AsyncClient, pin: str, name: str = "李工") -> httpx.Response:
    return await seen.post("/login?then=/points", data={"pin": pin, "name": name})


async def test_the_right_pin_and_a_name_open_the_page_until_one_signs_out(tmp_path: Path):
    pins.save(tmp_path / "page.pin", PIN)
    at = FieldRoom(tmp_path)
    seen = browser(create_page(desk_of(at, tmp_path)))
    answer = await sign_in(seen, PIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/points")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(COOKIE)
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert (await seen.get("/points")).status_code == 200

    await seen.submit("/", "/logout")
    assert (await seen.get("/points")).status_code == 303


async def test_wrong_pins_are_slowed_down(tmp_path: Path):
    pins.save(tmp_path / "page.pin", PIN)
    seen = browser(create_page(desk_of(FieldRoom(tmp_path), tmp_path)))
    said = [(await sign_in(seen, "111222")).status_code for _ in range(4)]
    assert said == [403, 403, 403, 429]
    assert (await sign_in(seen, PIN)).status_code == 429  # the right one waits too


async def test_without_a_pin_nobody_is_let_in(tmp_path: Path):
    seen = browser(create_page(desk_of(FieldRoom(tmp_path), tmp_path)))
    for pin in ("", "000000", PIN):
        answer = await sign_in(seen, pin)
        assert (answer.status_code, "wattwell edge pin" in answer.text) == (409, True)


async def test_nobody_is_sent_elsewhere_after_signing_in(tmp_path: Path):
    pins.save(tmp_path / "page.pin", PIN)
    desk = desk_of(FieldRoom(tmp_path), tmp_path)
    for then in ("//evil.example", "https://evil.example", "/\\evil.example"):
        seen = browser(create_page(desk))
        answer = await seen.post("/login", params={"then": then}, data={"pin": PIN, "name": "x"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_sentence_is_told_in_the_language_asked_for():
    sentence = said("Off, read back after %(seconds)s s.", seconds="2.0")
    assert words.told(sentence, "en") == "Off, read back after 2.0 s."
    assert words.told(sentence, "zh") == "2.0 秒后读回：已断开。"


# What a customer asks for at the gateway.

CODE_KEY = bytes(range(32))


@simulated
async def test_an_offline_code_is_credited_once_on_the_page_of_its_point(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    credit = Credit(number=at.store.last_credit(DIRECT.purse) + 1, amount=Money.yuan("20.00"))
    code = offline_code.make(CODE_KEY, purse=DIRECT.purse, credit=credit)
    seen = signed_in(at, tmp_path, code_key=CODE_KEY)
    here = f"/points/{DIRECT.id}"
    async with at.serving():
        wrong = await seen.submit(here, f"{here}/code", code="0" * 20)
        right = await seen.submit(here, f"{here}/code", code=code)
        again = await seen.submit(here, f"{here}/code", code=code)

    assert "This code is not right" in wrong.text
    assert (
        f'value="{"0" * 20}"' in wrong.text
    )  # twenty digits are not typed twice for one that was wrong
    assert f'value="{code}"' not in right.text
    assert "¥20.00 credited; the balance is ¥21.00." in right.text  # with the ¥1.00 it held
    assert "This code was typed before" in again.text
    (told,) = at.told(CodeEntered)
    assert (
        f"on {told.at.astimezone(ZoneInfo('Asia/Shanghai')):%Y-%m-%d %H:%M}. It gave" in again.text
    )
    assert at.store.balance(DIRECT.purse) == Money.yuan("21.00")


@simulated
async def test_a_gateway_that_is_not_enrolled_says_that_it_cannot_check_codes(tmp_path: Path):
    at = FieldRoom(tmp_path, (DIRECT,))
    shown = (await signed_in(at, tmp_path).get(f"/points/{DIRECT.id}")).text
    assert "This gateway is not enrolled" in shown
