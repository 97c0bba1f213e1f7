"""The channel `sandbox`: a payment company that moves no money, over HTTP with Ed25519 signatures both ways."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeVar

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from cloud.channels import (
    ChannelAway,
    ChannelRefused,
    Forged,
    Order,
    Payer,
    Payment,
    Refund,
    Refunded,
    Way,
)
from cloud.said import Said
from prepaid.money import Money

FRESH = timedelta(seconds=300)
TIMEOUT = httpx.Timeout(5, connect=2)


Answer = TypeVar("Answer", bound=BaseModel)


class _Order(BaseModel):
    pay_url: str = Field(pattern=r"^https?://")
    expires_at: AwareDatetime


class _State(BaseModel):
    out_trade_no: str
    state: Literal["waiting", "paid"]
    amount_fen: int
    transaction_id: str | None = None
    paid_at: AwareDatetime | None = None


class _Notice(BaseModel):
    event_id: str
    merchant: str
    out_trade_no: str = Field(min_length=1, max_length=64)
    transaction_id: str = Field(min_length=1, max_length=64)
    amount_fen: int = Field(gt=0, lt=2**62, strict=True)
    state: Literal["paid"]
    paid_at: AwareDatetime


class Sandbox:
    """merchant and merchant_key are ours, channel_key is the channel's; notices come to notify_url."""

    name = "sandbox"
    ways = frozenset({Way.PAGE})
    acknowledged = ("application/json", '{"code":"SUCCESS"}')

    def __init__(
        self,
        *,
        url: str,
        merchant: str,
        merchant_key: Ed25519PrivateKey,
        channel_key: Ed25519PublicKey,
        notify_url: str,
    ) -> None:
        self._url = url
        self._merchant = merchant
        self._merchant_key = merchant_key
        self._channel_key = channel_key
        self._notify_url = notify_url

    def order(
        self,
        *,
        out_trade_no: str,
        amount: Money,
        description: str,
        return_url: str,
        way: Way,
        payer: Payer,
    ) -> Order:
        body = json.dumps(
            {
                "merchant": self._merchant,
                "out_trade_no": out_trade_no,
                "amount_fen": amount.fen,
                "description": description,
                "notify_url": self._notify_url,
                "return_url": return_url,
            },
            ensure_ascii=False,
        )
        answer = _parsed(_Order, self._ask("POST", "/v1/orders", body))
        return Order(answer.pay_url, answer.expires_at)

    def payment(self, out_trade_no: str) -> Payment | None:
        answer = self._ask("GET", f"/v1/orders/{out_trade_no}", "")
        if answer.status_code == 404:
            return None
        order = _parsed(_State, answer)
        if order.state == "waiting":
            return None
        if not order.transaction_id or order.paid_at is None or order.out_trade_no != out_trade_no:
            raise ChannelAway
        return Payment(out_trade_no, order.transaction_id, Money(order.amount_fen), order.paid_at)

    def close(self, out_trade_no: str) -> bool:
        answer = self._ask("POST", f"/v1/orders/{out_trade_no}/close", "")
        if answer.status_code not in (204, 404):
            raise _trouble(answer)
        return True

    def refund(self, refund: Refund) -> Refunded:
        raise ChannelRefused(reason=Said("the sandbox gives no money back"))

    def read_notice(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Payment:
        timestamp = headers.get("sandbox-timestamp", "")
        nonce = headers.get("sandbox-nonce", "")
        signed = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        try:
            signature = base64.b64decode(headers.get("sandbox-signature", ""), validate=True)
            self._channel_key.verify(signature, signed)
        except (InvalidSignature, ValueError):
            raise Forged(reason="it is not signed by the channel") from None
        if not timestamp.isdigit() or abs(now.timestamp() - int(timestamp)) > FRESH.total_seconds():
            raise Forged(reason="it was not sent just now")
        try:
            notice = _Notice.model_validate_json(body)
        except ValidationError:
            raise Forged(reason="it does not say what was paid") from None
        if notice.merchant != self._merchant:
            raise Forged(reason="it is for another merchant")
        return Payment(
            notice.out_trade_no, notice.transaction_id, Money(notice.amount_fen), notice.paid_at
        )

    def _ask(self, method: str, path: str, body: str) -> httpx.Response:
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        signed = f"{method}\n{path}\n{timestamp}\n{nonce}\n{body}\n".encode()
        headers = {
            "Content-Type": "application/json",
            "Sandbox-Merchant": self._merchant,
            "Sandbox-Timestamp": timestamp,
            "Sandbox-Nonce": nonce,
            "Sandbox-Signature": base64.b64encode(self._merchant_key.sign(signed)).decode(),
        }
        try:
            return httpx.request(
                method, self._url + path, content=body.encode(), headers=headers, timeout=TIMEOUT
            )
        except httpx.HTTPError as error:
            raise ChannelAway from error


def _parsed(shape: type[Answer], answer: httpx.Response) -> Answer:
    if answer.status_code != 200:
        raise _trouble(answer)
    try:
        return shape.model_validate_json(answer.content)
    except ValidationError as error:
        raise ChannelAway from error


def _trouble(answer: httpx.Response) -> ChannelAway | ChannelRefused:
    if 400 <= answer.status_code < 500:
        return ChannelRefused(reason=Said("status {status}", status=answer.status_code))
    return ChannelAway()
