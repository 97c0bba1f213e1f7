"""Which browser somebody signed in with, in words, from what it says of itself (its User-Agent)."""

from __future__ import annotations

import re
from collections.abc import Callable

from dashboards.words import N_

# The first that is found counts: apps say too that they are Chrome, Chrome that it is Safari.
BROWSERS = (
    ("wxwork/", N_("WeCom")),
    ("MicroMessenger/", N_("WeChat")),
    ("AlipayClient/", N_("Alipay")),
    ("DingTalk/", N_("DingTalk")),
    ("MQQBrowser/", "QQ Browser"),
    ("QQBrowser/", "QQ Browser"),
    ("UCBrowser/", "UC Browser"),
    ("Quark/", "Quark"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("MiuiBrowser/", "Mi Browser"),
    ("HeyTapBrowser/", "HeyTap Browser"),
    ("VivoBrowser/", "Vivo Browser"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("360SE", "360 Browser"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("OpenHarmony", "HarmonyOS"),
    ("HarmonyOS", "HarmonyOS"),
    ("iPad", "iPad"),
    ("iPhone", "iPhone"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
PHONES = ("Mobile", "iPhone", "Android", "HarmonyOS")


def said(agent: str, say: Callable[[str], str]) -> str:
    """Chrome on Windows; of a program that is no browser its name, as curl; of what says nothing that it does not."""
    browser = next((say(name) for mark, name in BROWSERS if mark in agent), None)
    system = next((name for mark, name in SYSTEMS if mark in agent), None)
    if browser is not None and system is not None:
        return say(N_("%(browser)s on %(system)s")) % {"browser": browser, "system": system}
    program = re.match(r"[A-Za-z][\w .-]{1,30}", agent.removeprefix("Mozilla/5.0").strip())
    return browser or system or (program[0].strip() if program else say(N_("unknown browser")))


def is_phone(agent: str) -> bool:
    return any(mark in agent for mark in PHONES)
