"""Ways to pay, as offered to whoever looks: by the channels there are, and the browser it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloud.channels import Channel, Way
from cloud.settings import Settings
from dashboards.words import N_

NAMES = {"wechat": N_("WeChat Pay"), "alipay": N_("Alipay"), "sandbox": N_("Sandbox payment")}
SCAN = {
    "wechat": N_("Scan this code with WeChat."),
    "alipay": N_("Scan this code with Alipay."),
}
# Where forms end up at each channel, through whatever redirects: browsers check each one.
TARGETS = {"wechat": ("https://wx.tenpay.com",), "alipay": ("https://*.alipay.com",)}


@dataclass(frozen=True, slots=True)
class Offer:
    """A channel that can be paid from this browser, and how. name is a message id."""

    channel: str
    way: Way
    name: str


def offers(channels: Mapping[str, Channel], user_agent: str) -> tuple[Offer, ...]:
    """In WeChat its bridge, in another phone's browser a page, on a desktop a code to scan.

    WeChat opens no page of Alipay's, nor Alipay one of WeChat's.
    """
    wanted = _way(user_agent)
    return tuple(
        Offer(channel.name, way, NAMES[channel.name])
        for channel in channels.values()
        if (way := wanted if channel.name in NATIVE else Way.PAGE) in channel.ways
        and not any(
            browser in user_agent and channel.name in shut for browser, shut in _SHUT.items()
        )
    )


NATIVE = frozenset(
    {"wechat", "alipay"}
)  # they tell browsers apart; the sandbox is a page everywhere
_SHUT = {"MicroMessenger": {"alipay"}, "AlipayClient": {"wechat"}}


def is_in_wechat(user_agent: str) -> bool:
    return "MicroMessenger" in user_agent


def _way(user_agent: str) -> Way:
    if is_in_wechat(user_agent):
        return Way.BRIDGE
    return Way.PAGE if "Mobi" in user_agent else Way.CODE


def targets(settings: Settings, offered: tuple[Offer, ...]) -> tuple[str, ...]:
    """The origins where the form may end up, paying in one of these ways."""
    found: list[str] = []
    for offer in offered:
        if offer.channel == "sandbox" and settings.sandbox_url is not None:
            found.append(_origin(settings.sandbox_url))
        if offer.channel == "wechat":
            found += [_origin(settings.wechat_url), _origin(settings.wechat_authorize_url)]
        if offer.channel == "alipay":
            found.append(_origin(settings.alipay_url))
        found += TARGETS.get(offer.channel, ())
    return tuple(dict.fromkeys(found))


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
