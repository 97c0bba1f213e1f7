"""A merchant of a simulated company, kept in a folder: its keys, and what the cloud's settings need of them.

The folder holds `cloud.toml`, lines to be added to the cloud's, `secrets/` to be copied beside it, and `company.pem`,
the company's own key. It is made at the first start; with the same folder the settings stay good.
"""

from __future__ import annotations

import secrets
import string
import tomllib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from simulators import alipay, wechat_keys
from simulators.alipay import Alipay
from simulators.twilio import Twilio
from simulators.wechat_keys import PlatformKeys
from simulators.wechatpay import WeChatPay


def wechat(folder: Path, *, url: str, site: str, by_certificates: bool) -> WeChatPay:
    """site is the host of the cloud's public_url, whose H5 pages WeChat Pay takes."""
    kept = _Folder(folder)
    known = kept.lines(
        {
            "wechat_mchid": f"19{_digits(8)}",
            "wechat_appid": f"wx{secrets.token_hex(8)}",
            "wechat_key_serial": secrets.token_hex(20).upper(),
            **({} if by_certificates else {"wechat_public_key_id": f"PUB_KEY_ID_{_digits(32)}"}),
        },
        wechat_url=url,
        wechat_authorize_url=f"{url}/connect/oauth2/authorize",
        wechat_token_url=f"{url}/sns/oauth2/access_token",
    )
    letters = string.ascii_letters + string.digits
    v3_key = kept.secret("wechat_v3_key", "".join(secrets.choice(letters) for _ in range(32)))
    merchant = wechat_keys.Merchant(
        mchid=known["wechat_mchid"],
        appid=known["wechat_appid"],
        app_secret=kept.secret("wechat_app_secret", secrets.token_hex(16)),
        key=kept.key("secrets/wechat_private_key").public_key(),
        key_serial=known["wechat_key_serial"],
        site=site,
    )
    keys = PlatformKeys(
        v3_key,
        signs_by_public_key=not by_certificates,
        key=kept.key("company.pem"),
        public_key_id=known.get("wechat_public_key_id"),
    )
    if not by_certificates:
        kept.write("secrets/wechat_public_key", keys.public_key)
    return WeChatPay(url=url, merchant=merchant, keys=keys)


def alipay_merchant(folder: Path, *, url: str) -> Alipay:
    kept = _Folder(folder)
    known = kept.lines(
        {"alipay_app_id": f"2021{_digits(12)}", "alipay_seller_id": f"2088{_digits(12)}"},
        alipay_url=f"{url}/gateway.do",
    )
    merchant = alipay.Merchant(
        known["alipay_app_id"],
        known["alipay_seller_id"],
        kept.key("secrets/alipay_private_key").public_key(),
    )
    company = Alipay(url=url, merchant=merchant, key=kept.key("company.pem"))
    pem = f"-----BEGIN PUBLIC KEY-----\n{company.public_key}\n-----END PUBLIC KEY-----\n"
    kept.write("secrets/alipay_public_key", pem)
    return company


def twilio(folder: Path, *, url: str) -> Twilio:
    kept = _Folder(folder)
    known = kept.lines(
        {"twilio_account_sid": f"AC{secrets.token_hex(16)}", "twilio_sender": f"+1500{_digits(7)}"},
        twilio_url=url,
    )
    token = kept.secret("twilio_auth_token", secrets.token_hex(16))
    return Twilio(account_sid=known["twilio_account_sid"], token=token)


def _digits(count: int) -> str:
    return "".join(secrets.choice("123456789") for _ in range(count))


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "secrets").mkdir(parents=True, exist_ok=True)

    def lines(self, first: dict[str, str], **always: str) -> dict[str, str]:
        """What cloud.toml says: first where it says nothing yet; always is written each time."""
        path = self._folder / "cloud.toml"
        known = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
        values = {**{name: known.get(name, value) for name, value in first.items()}, **always}
        path.write_text("".join(f'{name} = "{value}"\n' for name, value in values.items()), "utf-8")
        return values

    def secret(self, name: str, first: str) -> str:
        path = self._folder / "secrets" / name
        if not path.exists():
            self.write(f"secrets/{name}", first)
        return path.read_text("ascii")

    def key(self, name: str) -> rsa.RSAPrivateKey:
        path = self._folder / name
        if path.exists():
            key = load_pem_private_key(path.read_bytes(), None)
            assert isinstance(key, rsa.RSAPrivateKey)
            return key
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.write(name, pem.decode())
        return key

    def write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_text(text, "ascii")
