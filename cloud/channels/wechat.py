"""The channel `wechat`: WeChat Pay 微信支付, API v3: JSAPI, H5 and native.

Amounts are whole fen. What WeChat Pay sends is signed, and sealed with a key that only the merchant has.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from cloud.channels import (
    BadBill,
    BillLine,
    ChannelAway,
    ChannelRefused,
    Forged,
    Notice,
    Order,
    Payer,
    Payment,
    Refund,
    Refunded,
    RefundState,
    Way,
    wechat_bill,
)
from cloud.channels.wechat_line import Line, Unsigned
from cloud.said import Said
from prepaid.money import Money

FRESH = timedelta(minutes=5)
# How long each way's link can be used, by WeChat Pay's pages.
LASTS = {
    Way.PAGE: timedelta(minutes=5),
    Way.CODE: timedelta(hours=2),
    Way.BRIDGE: timedelta(hours=2),
}
PATHS = {Way.PAGE: "h5", Way.CODE: "native", Way.BRIDGE: "jsapi"}
LINKS = {Way.PAGE: "h5_url", Way.CODE: "code_url", Way.BRIDGE: "prepay_id"}
GONE = frozenset({"ORDER_CLOSED", "ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"})

_Said = TypeVar("_Said", bound=BaseModel)


class _Amount(BaseModel):
    total: int = Field(gt=0, lt=2**62, strict=True)
    currency: str = "CNY"


class _Transaction(BaseModel):
    appid: str
    mchid: str
    out_trade_no: str = Field(min_length=1, max_length=64)
    trade_state: str
    transaction_id: str = Field(default="", max_length=64)
    success_time: AwareDatetime | None = None
    amount: _Amount | None = None


class _RefundAmount(BaseModel):
    refund: int = Field(gt=0, lt=2**62, strict=True)
    total: int = Field(gt=0, lt=2**62, strict=True)


class _RefundSaid(BaseModel):
    mchid: str | None = None  # in notices only
    out_trade_no: str = Field(min_length=1, max_length=64)
    transaction_id: str = Field(min_length=1, max_length=64)
    out_refund_no: str = Field(min_length=1, max_length=64)
    status: Literal["SUCCESS", "CLOSED", "PROCESSING", "ABNORMAL"]
    success_time: AwareDatetime | None = None
    amount: _RefundAmount


class _Bill(BaseModel):
    hash_type: Literal["SHA1"]
    hash_value: str = Field(pattern=r"^[0-9A-Fa-f]{40}$")
    download_url: str


_STATES = {
    "SUCCESS": RefundState.DONE,
    "PROCESSING": RefundState.UNDER_WAY,
    "CLOSED": RefundState.FAILED,
    "ABNORMAL": RefundState.FAILED,
}


class WeChat:
    """mchid is the merchant's number, appid that of the official account that the merchant is bound to."""

    name = "wechat"
    acknowledged = ("application/json", '{"code":"SUCCESS"}')

    def __init__(
        self, line: Line, *, mchid: str, appid: str, ways: frozenset[Way], notify_url: str
    ) -> None:
        self._line = line
        self._mchid = mchid
        self._appid = appid
        self.ways = ways
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
        body: dict[str, object] = {
            "appid": self._appid,
            "mchid": self._mchid,
            "description": description,
            "out_trade_no": out_trade_no,
            "notify_url": self._notify_url,
            "amount": {"total": amount.fen, "currency": "CNY"},
        }
        if way is Way.BRIDGE:
            body["payer"] = {"openid": payer.openid}
        elif way is Way.PAGE:
            body["scene_info"] = {"payer_client_ip": payer.ip, "h5_info": {"type": "Wap"}}
        asked_at = datetime.now(UTC)
        answer = self._ask("POST", f"/v3/pay/transactions/{PATHS[way]}", body)
        link = answer.get(LINKS[way])
        if not isinstance(link, str) or not link:
            raise ChannelAway
        if way is Way.PAGE:
            if not link.startswith(("https://", "http://")):
                raise ChannelAway
            link += f"&redirect_url={quote(return_url, safe='')}"
        return Order(link, asked_at + LASTS[way])

    def bridge(self, prepay_id: str) -> dict[str, str]:
        """What a page inside WeChat passes to getBrandWCPayRequest, signed now."""
        timestamp, nonce = str(int(time.time())), uuid.uuid4().hex
        package = f"prepay_id={prepay_id}"
        return {
            "appId": self._appid,
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": self._line.sign([self._appid, timestamp, nonce, package]),
        }

    def payment(self, out_trade_no: str) -> Payment | None:
        path = f"/v3/pay/transactions/out-trade-no/{quote(out_trade_no)}?mchid={self._mchid}"
        status, text = self._line.ask("GET", path)
        if status == 404:
            return None
        found = _parsed(_Transaction, _checked(status, text))
        if found.out_trade_no != out_trade_no or not self._is_ours(found):
            raise ChannelAway
        if found.trade_state == "REFUND":
            raise ChannelRefused(reason=Said("it was paid and given back at the channel"))
        return _payment(found) if found.trade_state == "SUCCESS" else None

    def close(self, out_trade_no: str) -> bool:
        path = f"/v3/pay/transactions/out-trade-no/{quote(out_trade_no)}/close"
        status, text = self._line.ask("POST", path, {"mchid": self._mchid})
        if status != 204 and _code(text) not in GONE:
            _checked(status, text)
        return True

    def refund(self, refund: Refund) -> Refunded:
        status, text = self._line.ask("GET", f"/v3/refund/domestic/refunds/{refund.out_refund_no}")
        if status == 404:
            body = {
                "transaction_id": refund.payment.transaction_id,
                "out_refund_no": refund.out_refund_no,
                "notify_url": self._notify_url,
                "amount": {
                    "refund": refund.amount.fen,
                    "total": refund.payment.amount.fen,
                    "currency": "CNY",
                },
            }
            status, text = self._line.ask("POST", "/v3/refund/domestic/refunds", body)
        said = _refunded(_parsed(_RefundSaid, _checked(status, text)))
        if (said.out_refund_no, said.transaction_id, said.amount) != (
            refund.out_refund_no,
            refund.payment.transaction_id,
            refund.amount,
        ):
            raise ChannelRefused(
                reason=Said("refund {number} is of another payment", number=refund.out_refund_no)
            )
        return said

    def bill(self, day: date) -> tuple[BillLine, ...]:
        path = f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type=ALL&tar_type=GZIP"
        status, text = self._line.ask("GET", path)
        code = _code(text)
        if code == "NO_STATEMENT_EXIST":
            return ()
        if code == "STATEMENT_CREATING":
            raise ChannelAway
        made = _parsed(_Bill, _checked(status, text))
        status, packed = self._line.fetch(made.download_url)
        if status != 200:
            raise ChannelAway
        try:
            return wechat_bill.read(packed, sha1=made.hash_value)
        except BadBill as error:
            raise ChannelRefused(reason=Said("the bill of {day} is damaged", day=day)) from error

    def read_notice(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notice:
        timestamp = headers.get("wechatpay-timestamp", "")
        if not timestamp.isdecimal() or len(timestamp) > 12:
            raise Forged(reason="it does not say when it was sent")
        if abs(now.timestamp() - int(timestamp)) > FRESH.total_seconds():
            raise Forged(reason="it was not sent just now")
        try:
            opened = self._line.opened(headers, body)
        except Unsigned as error:
            raise Forged(reason=str(error)) from None
        event = str(json.loads(body).get("event_type", ""))
        try:
            if event.startswith("REFUND."):
                values = json.loads(opened)
                said = _RefundSaid.model_validate({**values, "status": values["refund_status"]})
                if said.mchid != self._mchid:
                    raise Forged(reason="it is for another merchant")
                return _refunded(said)
            found = _Transaction.model_validate_json(opened)
        except (ValidationError, ValueError, KeyError, TypeError):
            raise Forged(reason="it does not say what was paid") from None
        if not self._is_ours(found):
            raise Forged(reason="it is for another merchant")
        if found.trade_state != "SUCCESS":
            return None
        try:
            return _payment(found)
        except ChannelAway:
            raise Forged(reason="it does not say what was paid") from None

    def _is_ours(self, found: _Transaction) -> bool:
        return (found.mchid, found.appid) == (self._mchid, self._appid)

    def _ask(self, method: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        values = json.loads(_checked(*self._line.ask(method, path, body)))
        if not isinstance(values, dict):
            raise ChannelAway
        return values


def _payment(found: _Transaction) -> Payment:
    """Raises ChannelAway if it does not say what was paid."""
    amount = found.amount
    if amount is None or amount.currency != "CNY" or not found.transaction_id:
        raise ChannelAway
    if found.success_time is None:
        raise ChannelAway
    return Payment(
        found.out_trade_no, found.transaction_id, Money(amount.total), found.success_time
    )


def _refunded(said: _RefundSaid) -> Refunded:
    return Refunded(
        out_refund_no=said.out_refund_no,
        out_trade_no=said.out_trade_no,
        transaction_id=said.transaction_id,
        amount=Money(said.amount.refund),
        state=_STATES[said.status],
        said=said.status,
        at=said.success_time,
    )


def _checked(status: int, text: str) -> str:
    """The body of an answer that is no error. Raises ChannelAway or ChannelRefused."""
    if status in (200, 204):
        return text
    if status >= 500 or status == 429 or status < 400:
        raise ChannelAway
    raise ChannelRefused(reason=_code(text) or f"status {status}")


def _code(text: str) -> str:
    try:
        values = json.loads(text)
    except ValueError:
        return ""
    return str(values.get("code", "")) if isinstance(values, dict) else ""


def _parsed(shape: type[_Said], text: str) -> _Said:
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        raise ChannelAway from error
