"""Browsers in words: what each says of itself, and what a person is told."""

from __future__ import annotations

import pytest

from dashboards import browser_words
from dashboards.words import CATALOGUES

KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
ANDROID = "Mozilla/5.0 (Linux; Android 14; 22081212C)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
SAID = {
    f"{WINDOWS} {KIT} Chrome/126.0.0.0 Safari/537.36": "Chrome · Windows",
    f"{WINDOWS} {KIT} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0": "Edge · Windows",
    f"{WINDOWS[:-1]}; rv:127.0) Gecko/20100101 Firefox/127.0": "Firefox · Windows",
    f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15": "Safari · macOS",
    f"{IPHONE} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1": "Safari · iPhone",
    f"{ANDROID} {KIT} Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 XWEB/1160065"
    " MicroMessenger/8.0.47.2560(0x28002F36) WeChat/arm64": "微信 · Android",
    f"{WINDOWS} {KIT} Chrome/107.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781"
    " WindowsWechat wxwork/4.1.22": "企业微信 · Windows",
    f"{ANDROID} U; UCBS/2.11 AlipayClient/10.5.90 Language/zh-Hans": "支付宝 · Android",
    "curl/8.5.0": "curl",
    "python-httpx/0.28": "python-httpx",
    "": "未知浏览器",
    "Mozilla/5.0": "未知浏览器",
}


@pytest.mark.parametrize("agent", SAID)
def test_a_browser_is_told_by_its_name_and_where_it_runs(agent: str) -> None:
    assert browser_words.said(agent, CATALOGUES["zh"].gettext) == SAID[agent]


def test_a_phone_is_told_from_a_desktop() -> None:
    phones = [words for agent, words in SAID.items() if browser_words.is_phone(agent)]
    assert phones == ["Safari · iPhone", "微信 · Android", "支付宝 · Android"]


def test_in_english_it_reads_as_one_says_it() -> None:
    chrome = next(agent for agent, words in SAID.items() if words == "Chrome · Windows")
    assert browser_words.said(chrome, CATALOGUES["en"].gettext) == "Chrome on Windows"
