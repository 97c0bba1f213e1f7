"""The settings of payment channels and of the provider of messages: each channel's are all there, or none is."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

LEAST_BITS = 2048


def _rsa_private(value: str) -> str:
    for label in ("PRIVATE KEY", "RSA PRIVATE KEY"):
        try:
            key = load_pem_private_key(_pem(value, label), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        if isinstance(key, RSAPrivateKey) and key.key_size >= LEAST_BITS:
            return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    raise ValueError(
        f"must be an RSA private key of at least {LEAST_BITS} bits without a password:"
        " the whole file, from -----BEGIN to END-----"
    )


def _rsa_public(value: str) -> str:
    try:
        key = load_pem_public_key(_pem(value, "PUBLIC KEY"))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_BITS:
        raise ValueError(
            f"must be an RSA public key of at least {LEAST_BITS} bits:"
            " the whole file, from -----BEGIN to END-----"
        )
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _pem(value: str, label: str) -> bytes:
    """The key as PEM, also where only what stands between BEGIN and END was given, as Alipay's tool does."""
    if "-----" in value:
        return value.encode()
    lines = "\n".join(textwrap.wrap("".join(value.split()), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def _v3_key(value: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z]{32}", value):
        raise ValueError("must be the 32 letters and digits set as APIv3 key at WeChat Pay")
    return value


def _matching(pattern: str, sentence: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


def http(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
        raise ValueError("must be an address like http://127.0.0.1:8080")
    return value.rstrip("/")


HttpAddress = Annotated[str, AfterValidator(http)]
RsaPrivateKey = Annotated[str, AfterValidator(_rsa_private)]
RsaPublicKey = Annotated[str, AfterValidator(_rsa_public)]
WeChatWay = Literal["jsapi", "h5", "native"]
AlipayWay = Literal["wap", "precreate"]


class ChannelSettings(BaseSettings):
    """What each channel needs; lacking names what is missing of a channel that is begun."""

    wechat_mchid: (
        Annotated[str, _matching(r"\d{8,10}", "must be the merchant's number, 8 to 10 digits")]
        | None
    ) = None
    wechat_appid: (
        Annotated[
            str, _matching(r"wx[0-9a-z]{16}", "must be an appid, wx and 16 letters and digits")
        ]
        | None
    ) = None
    wechat_app_secret: str | None = Field(default=None, repr=False)
    wechat_ways: tuple[WeChatWay, ...] = Field(default=("jsapi", "h5", "native"), min_length=1)
    wechat_private_key: RsaPrivateKey | None = Field(default=None, repr=False)
    wechat_key_serial: (
        Annotated[
            str,
            _matching(
                r"[0-9A-Fa-f]{8,64}", "must be the serial number of the merchant's certificate"
            ),
        ]
        | None
    ) = None
    wechat_v3_key: Annotated[str, AfterValidator(_v3_key)] | None = Field(default=None, repr=False)
    wechat_public_key: RsaPublicKey | None = Field(default=None, repr=False)
    wechat_public_key_id: (
        Annotated[str, _matching(r"PUB_KEY_ID_[0-9A-Za-z]{8,64}", "must begin with PUB_KEY_ID_")]
        | None
    ) = None
    wechat_url: HttpAddress = "https://api.mch.weixin.qq.com"
    wechat_authorize_url: HttpAddress = "https://open.weixin.qq.com/connect/oauth2/authorize"
    wechat_token_url: HttpAddress = "https://api.weixin.qq.com/sns/oauth2/access_token"

    alipay_app_id: (
        Annotated[str, _matching(r"\d{16}", "must be the application's number, 16 digits")] | None
    ) = None
    alipay_seller_id: (
        Annotated[
            str, _matching(r"2088\d{12}", "must be the merchant's PID, 16 digits beginning 2088")
        ]
        | None
    ) = None
    alipay_ways: tuple[AlipayWay, ...] = Field(default=("wap", "precreate"), min_length=1)
    alipay_private_key: RsaPrivateKey | None = Field(default=None, repr=False)
    alipay_public_key: RsaPublicKey | None = Field(default=None, repr=False)
    alipay_url: HttpAddress = "https://openapi.alipay.com/gateway.do"

    twilio_account_sid: (
        Annotated[str, _matching(r"AC[0-9a-f]{32}", "must be the account's SID, AC and 32 digits")]
        | None
    ) = None
    twilio_auth_token: str | None = Field(default=None, repr=False)
    twilio_sender: (
        Annotated[
            str,
            _matching(
                r"\+[1-9]\d{7,14}|MG[0-9a-f]{32}",
                "must be a number like +8613800000000, or the SID of a messaging service, MG…",
            ),
        ]
        | None
    ) = None
    twilio_url: HttpAddress = "https://api.twilio.com"

    NEEDED: ClassVar[dict[str, Sequence[str]]] = {
        "wechat": (
            "wechat_mchid",
            "wechat_appid",
            "wechat_private_key",
            "wechat_key_serial",
            "wechat_v3_key",
        ),
        "alipay": (
            "alipay_app_id",
            "alipay_seller_id",
            "alipay_private_key",
            "alipay_public_key",
        ),
        "twilio": ("twilio_account_sid", "twilio_auth_token", "twilio_sender"),
        "sandbox": ("sandbox_url", "sandbox_merchant_key", "sandbox_channel_key"),
    }

    def lacking(self) -> dict[str, str]:
        """What is not set though the channel cannot do without it: the setting, and what needs it."""
        found: dict[str, str] = {}
        for channel, needed in self.NEEDED.items():
            if any(getattr(self, name) is not None for name in self._all_of(channel)):
                found |= {name: f"channel {channel}" for name in needed if not getattr(self, name)}
        if self.wechat_mchid and "jsapi" in self.wechat_ways and not self.wechat_app_secret:
            found["wechat_app_secret"] = 'channel wechat, with "jsapi" in wechat_ways,'
        if bool(self.wechat_public_key) != bool(self.wechat_public_key_id):
            missing, given = "wechat_public_key", "wechat_public_key_id"
            if self.wechat_public_key:
                missing, given = given, missing
            found[missing] = given
        return found

    def _all_of(self, channel: str) -> list[str]:
        """The settings of a channel that have no default."""
        fields = type(self).model_fields
        return [n for n in fields if n.startswith(f"{channel}_") and fields[n].default is None]
