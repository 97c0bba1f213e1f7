"""The channels of an installation: those whose settings are there."""

from __future__ import annotations

from cloud.channels import Channel, Way
from cloud.channels.sandbox import Sandbox
from cloud.channels.wechat_login import Login
from cloud.settings import Settings

_WECHAT_WAYS = {"jsapi": Way.BRIDGE, "h5": Way.PAGE, "native": Way.CODE}
_ALIPAY_WAYS = {"wap": Way.PAGE, "precreate": Way.CODE}


def channels(settings: Settings) -> dict[str, Channel]:
    """By name, in the order in which pages offer them."""
    found: list[Channel] = []
    if settings.wechat_mchid is not None:
        found.append(_wechat(settings))
    if settings.alipay_app_id is not None:
        found.append(_alipay(settings))
    if settings.sandbox_url is not None:
        found.append(_sandbox(settings))
    return {channel.name: channel for channel in found}


def wechat_login(settings: Settings) -> Login | None:
    """How the payer is known inside WeChat; None where JSAPI payments are not offered."""
    if settings.wechat_mchid is None or "jsapi" not in settings.wechat_ways:
        return None
    assert settings.wechat_appid is not None
    assert settings.wechat_app_secret is not None
    return Login(
        appid=settings.wechat_appid,
        secret=settings.wechat_app_secret,
        authorize_url=settings.wechat_authorize_url,
        token_url=settings.wechat_token_url,
    )


def _wechat(settings: Settings) -> Channel:
    # Imported where it is used: the SDK takes a while, and most installations begin without it.
    from cloud.channels.wechat import WeChat
    from cloud.channels.wechat_line import Line

    assert settings.wechat_mchid is not None
    assert settings.wechat_appid is not None
    assert settings.wechat_key_serial is not None
    assert settings.wechat_private_key is not None
    assert settings.wechat_v3_key is not None
    line = Line(
        url=settings.wechat_url,
        mchid=settings.wechat_mchid,
        key_serial=settings.wechat_key_serial,
        private_key=settings.wechat_private_key,
        v3_key=settings.wechat_v3_key,
        public_key=settings.wechat_public_key,
        public_key_id=settings.wechat_public_key_id,
    )
    return WeChat(
        line,
        mchid=settings.wechat_mchid,
        appid=settings.wechat_appid,
        ways=frozenset(_WECHAT_WAYS[way] for way in settings.wechat_ways),
        notify_url=_notify_url(settings, "wechat"),
    )


def _alipay(settings: Settings) -> Channel:
    from cloud.channels.alipay import Alipay, Sdk  # as above

    assert settings.alipay_app_id is not None
    assert settings.alipay_seller_id is not None
    assert settings.alipay_private_key is not None
    assert settings.alipay_public_key is not None
    sdk = Sdk(
        url=settings.alipay_url,
        app_id=settings.alipay_app_id,
        private_key=settings.alipay_private_key,
        public_key=settings.alipay_public_key,
    )
    return Alipay(
        sdk,
        url=settings.alipay_url,
        app_id=settings.alipay_app_id,
        seller_id=settings.alipay_seller_id,
        ways=frozenset(_ALIPAY_WAYS[way] for way in settings.alipay_ways),
        notify_url=_notify_url(settings, "alipay"),
    )


def _sandbox(settings: Settings) -> Channel:
    assert settings.sandbox_url is not None
    assert settings.sandbox_merchant_key is not None
    assert settings.sandbox_channel_key is not None
    return Sandbox(
        url=settings.sandbox_url,
        merchant=settings.sandbox_merchant,
        merchant_key=settings.sandbox_merchant_key,
        channel_key=settings.sandbox_channel_key,
        notify_url=_notify_url(settings, "sandbox"),
    )


def _notify_url(settings: Settings, channel: str) -> str:
    return f"{settings.public_url}/api/channels/{channel}/notify"
