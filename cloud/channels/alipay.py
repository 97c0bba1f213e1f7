"""The channel `alipay`: Alipay 支付宝, wap (a page) and precreate (a code to scan), by python-alipay-sdk.

Amounts are yuan with two decimals, times are Beijing's without saying so.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPException
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import httpx
from alipay import AliPay
from alipay.exceptions import AliPayException, AliPayValidationError
from alipay.utils import AliPayConfig

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
    alipay_bill,
)
from cloud.said import Said
from prepaid.money import Money

log = logging.getLogger(__name__)

BEIJING = ZoneInfo("Asia/Shanghai")
OPEN_FOR = timedelta(minutes=30)
TIMEOUT_S = 5
BILL_WITHIN_S = 60
BILL_URL = "alipay.data.dataservice.bill.downloadurl.query"
NO_BILL = "isp.bill_not_exist"
DONE = "10000"
NOT_THERE = "ACQ.TRADE_NOT_EXIST"
PAID = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
AWAY = frozenset({"20000", "10003"})  # not available; being dealt with
TRY_AGAIN = frozenset({"ACQ.SYSTEM_ERROR", "aop.ACQ.SYSTEM_ERROR"})

_YUAN = re.compile(r"[0-9]{1,12}\.[0-9]{2}")
_TIME = "%Y-%m-%d %H:%M:%S"


class Sdk(AliPay):  # type: ignore[misc]
    """The SDK at url, by Beijing's clock: its own takes the machine's, whose zone may be another."""

    def __init__(self, *, url: str, app_id: str, private_key: str, public_key: str) -> None:
        super().__init__(
            appid=app_id,
            app_private_key_string=private_key,
            alipay_public_key_string=public_key,
            sign_type="RSA2",
            config=AliPayConfig(timeout=TIMEOUT_S),
        )
        self._gateway = url

    def build_body(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        body: dict[str, Any] = super().build_body(*args, **kwargs)
        return body | {"timestamp": datetime.now(BEIJING).strftime(_TIME)}


class Alipay:
    """app_id is our application's number, seller_id that of the merchant's account (PID, 2088…)."""

    name = "alipay"
    acknowledged = ("text/plain", "success")

    def __init__(
        self,
        sdk: Sdk,
        *,
        url: str,
        app_id: str,
        seller_id: str,
        ways: frozenset[Way],
        notify_url: str,
    ) -> None:
        self._sdk = sdk
        self._url = url
        self._app_id = app_id
        self._seller_id = seller_id
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
        expires_at = datetime.now(UTC).replace(microsecond=0) + OPEN_FOR
        asked = {
            "subject": description,
            "out_trade_no": out_trade_no,
            "total_amount": str(amount),
            "time_expire": expires_at.astimezone(BEIJING).strftime(_TIME),
        }
        if way is Way.PAGE:
            query = self._sdk.api_alipay_trade_wap_pay(
                **asked, return_url=return_url, notify_url=self._notify_url, quit_url=return_url
            )
            return Order(f"{self._url}?{query}", expires_at)
        said = self._ask(
            lambda: self._sdk.api_alipay_trade_precreate(**asked, notify_url=self._notify_url)
        )
        code = _checked(said).get("qr_code")
        if not isinstance(code, str) or not code:
            raise ChannelAway
        return Order(code, expires_at)

    def payment(self, out_trade_no: str) -> Payment | None:
        said = self._ask(lambda: self._sdk.api_alipay_trade_query(out_trade_no=out_trade_no))
        if said.get("sub_code") == NOT_THERE:
            return None
        found = _checked(said)
        if found.get("out_trade_no") != out_trade_no:
            raise ChannelAway
        if found.get("trade_status") not in PAID:
            return None
        try:
            return _payment(found, paid_at="send_pay_date")
        except ValueError as error:
            raise ChannelAway from error

    def close(self, out_trade_no: str) -> bool:
        said = self._ask(lambda: self._sdk.api_alipay_trade_close(out_trade_no=out_trade_no))
        if said.get("sub_code") == NOT_THERE:
            return False  # it comes into being when the customer opens it
        _checked(said)
        return True

    def refund(self, refund: Refund) -> Refunded:
        trade_no, number = refund.payment.transaction_id, refund.out_refund_no
        said = self._ask(
            lambda: self._sdk.api_alipay_trade_fastpay_refund_query(number, trade_no=trade_no)
        )
        if said.get("code") == DONE and said.get("refund_status") == "REFUND_SUCCESS":
            return _refunded(refund, said.get("refund_amount"), RefundState.DONE)
        said = _checked(
            self._ask(
                lambda: self._sdk.api_alipay_trade_refund(
                    str(refund.amount), trade_no=trade_no, out_request_no=number
                )
            )
        )
        # Without a change of funds now it is under way, or was done before: the next question tells.
        is_done = said.get("fund_change") == "Y"
        state = RefundState.DONE if is_done else RefundState.UNDER_WAY
        return _refunded(refund, str(refund.amount), state)

    def bill(self, day: date) -> tuple[BillLine, ...]:
        asked = {"bill_type": "trade", "bill_date": day.isoformat()}
        said = self._ask(lambda: self._sdk.server_api(BILL_URL, asked))
        if said.get("sub_code") == NO_BILL:
            return ()
        url = _checked(said).get("bill_download_url")
        if not isinstance(url, str) or not url.startswith(_scheme(self._url)):
            raise ChannelAway
        try:
            file = httpx.get(url, timeout=BILL_WITHIN_S, follow_redirects=False)
        except httpx.HTTPError as error:
            raise ChannelAway from error
        if file.status_code != 200:
            raise ChannelAway
        try:
            return alipay_bill.read(file.content)
        except BadBill as error:
            raise ChannelRefused(reason=Said("the bill of {day} is damaged", day=day)) from error

    def read_notice(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notice:
        """Alipay sends the same notice for a day: how old it is says nothing, and it is booked once."""
        values = _form(body)
        try:
            sign = values.pop("sign")
            base64.b64decode(
                sign, validate=True
            )  # the SDK would pass over what does not belong there
            is_theirs = self._sdk.verify(dict(values), sign)
        except (KeyError, ValueError, AliPayException):
            is_theirs = False
        if not is_theirs:
            raise Forged(reason="it is not signed by the channel")
        if (values.get("app_id"), values.get("seller_id")) != (self._app_id, self._seller_id):
            raise Forged(reason="it is for another merchant")
        try:
            if "refund_fee" in values:
                return _refund_noticed(values)
            if values.get("trade_status") not in PAID:
                return None
            return _payment(values, paid_at="gmt_payment")
        except ValueError:
            raise Forged(reason="it does not say what was paid") from None

    def _ask(self, call: Callable[[], Any]) -> dict[str, Any]:
        try:
            said = call()
        except AliPayException as error:
            log.error("Alipay does not take what we ask: %s", error)
            raise ChannelAway from error
        except (OSError, HTTPException, ValueError, AttributeError, AliPayValidationError) as error:
            raise ChannelAway from error
        if not isinstance(said, dict):
            raise ChannelAway
        return said


def _scheme(url: str) -> str:
    """https:// of Alipay, http:// of one that is played on this machine."""
    return url.partition("://")[0] + "://"


def _checked(said: dict[str, Any]) -> dict[str, Any]:
    """The answer, if it is no error. Raises ChannelAway or ChannelRefused."""
    code, sub_code = str(said.get("code")), str(said.get("sub_code", ""))
    if code == DONE:
        return said
    if code in AWAY or sub_code in TRY_AGAIN:
        raise ChannelAway
    raise ChannelRefused(reason=sub_code or f"code {code}")


def _payment(values: Mapping[str, Any], *, paid_at: str) -> Payment:
    """Raises ValueError if it does not say what was paid."""
    amount = _money(values.get("total_amount"))
    out_trade_no, trade_no = values.get("out_trade_no"), values.get("trade_no")
    if not isinstance(out_trade_no, str) or not isinstance(trade_no, str):
        raise ValueError("no number")
    if not 0 < len(out_trade_no) <= 64 or not 0 < len(trade_no) <= 64 or amount.fen == 0:
        raise ValueError("no number or amount")
    return Payment(out_trade_no, trade_no, amount, _time(values.get(paid_at)))


def _refund_noticed(values: Mapping[str, str]) -> Refunded:
    """Raises ValueError."""
    numbers = [values.get(name, "") for name in ("out_biz_no", "out_trade_no", "trade_no")]
    if not all(0 < len(number) <= 64 for number in numbers):
        raise ValueError("no number")
    out_refund_no, out_trade_no, trade_no = numbers
    return Refunded(
        out_refund_no=out_refund_no,
        out_trade_no=out_trade_no,
        transaction_id=trade_no,
        amount=_money(values["refund_fee"]),
        state=RefundState.DONE,
        said=values.get("trade_status", ""),
        at=_time(values.get("gmt_refund", "").partition(".")[0]),
    )


def _refunded(refund: Refund, amount: object, state: RefundState) -> Refunded:
    try:
        if _money(amount) != refund.amount:
            raise ChannelRefused(
                reason=Said("refund {number} is of another amount", number=refund.out_refund_no)
            )
    except ValueError as error:
        raise ChannelAway from error
    return Refunded(
        out_refund_no=refund.out_refund_no,
        out_trade_no=refund.payment.out_trade_no,
        transaction_id=refund.payment.transaction_id,
        amount=refund.amount,
        state=state,
        said=state.value,
        at=None,
    )


def _money(yuan: object) -> Money:
    if not isinstance(yuan, str) or not _YUAN.fullmatch(yuan):
        raise ValueError(f"not an amount: {yuan}")
    return Money.yuan(yuan)


def _time(text: object) -> datetime:
    if not isinstance(text, str):
        raise ValueError("no time")
    return datetime.strptime(text, _TIME).replace(tzinfo=BEIJING).astimezone(UTC)


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=100
        )
    except ValueError:
        raise Forged(reason="it is not a form") from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Forged(reason="it says something twice")
    return values
