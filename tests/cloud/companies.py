"""Payment companies and the cloud's web program as servers on 127.0.0.1, for the tests of channels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from simulators import alipay
from simulators.wechat_keys import Merchant, PlatformKeys
from simulators.wechatpay import WeChatPay
from tests.serving import listening, serve, url_of

MCHID, APPID, APP_SECRET = "1900000109", "wx0123456789abcdef", "a" * 32
KEY_SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
V3_KEY = "0123456789abcdefghijABCDEFGHIJkl"
ALIPAY_APP, ALIPAY_SELLER = "2021000000000001", "2088000000000001"


def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


PATIENT_S = 60.0  # a busy machine is slow, not wrong


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@contextmanager
def wechat_pay(
    merchant_key: rsa.RSAPrivateKey, *, signs_by_public_key: bool = True
) -> Iterator[WeChatPay]:
    bound = listening()
    merchant = Merchant(
        mchid=MCHID,
        appid=APPID,
        app_secret=APP_SECRET,
        key=merchant_key.public_key(),
        key_serial=KEY_SERIAL,
        site="127.0.0.1",
    )
    keys = PlatformKeys(V3_KEY, signs_by_public_key=signs_by_public_key)
    company = WeChatPay(url=url_of(bound), merchant=merchant, keys=keys)
    company.answer_within_s = PATIENT_S
    with serve(company.app, bound):
        yield company


def wechat_settings(company: WeChatPay, merchant_key: rsa.RSAPrivateKey) -> dict[str, object]:
    """What cloud.toml and secrets/ hold of a merchant of this company."""
    settings: dict[str, object] = {
        "wechat_mchid": MCHID,
        "wechat_appid": APPID,
        "wechat_app_secret": APP_SECRET,
        "wechat_private_key": pem(merchant_key),
        "wechat_key_serial": KEY_SERIAL,
        "wechat_v3_key": V3_KEY,
        "wechat_url": company.url,
        "wechat_authorize_url": f"{company.url}/connect/oauth2/authorize",
        "wechat_token_url": f"{company.url}/sns/oauth2/access_token",
    }
    if company.keys.signs_by_public_key:
        settings["wechat_public_key"] = company.keys.public_key
        settings["wechat_public_key_id"] = company.keys.public_key_id
    return settings


@contextmanager
def alipay_company(merchant_key: rsa.RSAPrivateKey) -> Iterator[alipay.Alipay]:
    bound = listening()
    merchant = alipay.Merchant(ALIPAY_APP, ALIPAY_SELLER, merchant_key.public_key())
    company = alipay.Alipay(url=url_of(bound), merchant=merchant)
    company.answer_within_s = PATIENT_S
    with serve(company.app, bound):
        yield company


def alipay_settings(company: alipay.Alipay, merchant_key: rsa.RSAPrivateKey) -> dict[str, object]:
    """What cloud.toml and secrets/ hold of a merchant of this company."""
    public = f"-----BEGIN PUBLIC KEY-----\n{company.public_key}\n-----END PUBLIC KEY-----"
    return {
        "alipay_app_id": ALIPAY_APP,
        "alipay_seller_id": ALIPAY_SELLER,
        "alipay_private_key": pem(merchant_key),
        "alipay_public_key": public,
        "alipay_url": company.url,
    }
