"""Plays Alipay's gateway on loopback: real RSA2 signatures both ways, and notices that go wrong.

A test pays as a customer does (the wap page, a scanned code), then has the notices delivered.
"""

from __future__ import annotations

import base64
import html
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from prepaid.money import Money
from simulators import alipay_bill
from simulators.payments import Books, Order, Owed, Trouble

BEIJING = ZoneInfo("Asia/Shanghai")
ANSWER_WITHIN_S = 5.0
CLOCK_WITHIN = timedelta(minutes=15)
_TIME = "%Y-%m-%d %H:%M:%S"
# Our books' words for a trouble, and Alipay's.
SUB_CODES = {
    "ORDER_NOT_EXIST": "ACQ.TRADE_NOT_EXIST",
    "RESOURCE_NOT_EXISTS": "ACQ.TRADE_NOT_EXIST",
    "ORDERPAID": "ACQ.TRADE_HAS_SUCCESS",
    "ORDER_CLOSED": "ACQ.TRADE_HAS_CLOSE",
    "INVALID_REQUEST": "ACQ.CONTEXT_INCONSISTENT",
}


@dataclass(frozen=True, slots=True)
class Merchant:
    """The application whose key signs requests, and the account that money goes to."""

    app_id: str
    seller_id: str
    key: rsa.RSAPublicKey


class Alipay:
    """The company: app is its web program, url its gateway's address, books what it knows; key its own of before."""

    def __init__(
        self, *, url: str, merchant: Merchant, key: rsa.RSAPrivateKey | None = None
    ) -> None:
        self._site = url
        self.url = f"{url}/gateway.do"
        self.merchant = merchant
        self.key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.books = Books("20")
        self.is_away = False
        self.answer_within_s = ANSWER_WITHIN_S
        self.spoil_bill: Callable[[bytes], bytes] = lambda packed: packed
        self._opened: set[str] = set()  # a trade comes into being when the customer opens it
        self._expires: dict[str, datetime] = {}
        self.app = FastAPI(docs_url=None, redoc_url=None)
        self.app.add_api_route(
            "/gateway.do", self._gateway, methods=["GET", "POST"], response_model=None
        )
        self.app.add_api_route("/bill", self._bill, methods=["GET"], response_model=None)
        self.app.add_api_route("/cashier", self._cashier, methods=["POST"], response_model=None)

    @property
    def public_key(self) -> str:
        """As the open platform shows it: what stands between BEGIN and END, in one line."""
        pem = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return "".join(pem.decode().splitlines()[1:-1])

    def pay(self, order: Order) -> None:
        """A customer opens the order and pays. Raises Trouble once its time is over."""
        if datetime.now(BEIJING) >= self._expires[order.out_trade_no]:
            raise Trouble("ORDER_CLOSED")
        self._opened.add(order.out_trade_no)
        self.books.pay(order)

    def deliver(self, *, ahead_s: float = 0) -> list[int]:
        """Sends the notices that are due within ahead_s, once each; what came of each, see send.

        Whatever was not taken is due again later.
        """
        answers = []
        with httpx.Client(timeout=self.answer_within_s, trust_env=False) as client:
            for owed in self.books.take_due(time.time() + ahead_s):
                answers.append(self.send(client, owed))
                if answers[-1] != 200:
                    self.books.owe_again(owed)
        return answers

    def send(self, client: httpx.Client, owed: Owed) -> int:
        """200 if it was answered with `success` and nothing else, else the answer's status; 0: no such answer."""
        try:
            answer = client.post(owed.order.notify_url, data=self.notice(owed))
        except httpx.HTTPError:
            return 0
        if answer.status_code == 200 and answer.text != "success":
            return 0
        return answer.status_code

    def notice(self, owed: Owed, **changed: str) -> dict[str, str]:
        """The form of a notice, signed, with what it says changed."""
        order = owed.order
        values = {
            "notify_time": datetime.now(BEIJING).strftime(_TIME),
            "notify_type": "trade_status_sync",
            "notify_id": secrets.token_hex(17),
            "charset": "utf-8",
            "version": "1.0",
            "app_id": self.merchant.app_id,
            "seller_id": self.merchant.seller_id,
            "subject": order.description,
            "buyer_pay_amount": _yuan(owed.amount_fen),
            "total_amount": _yuan(owed.amount_fen if owed.refund is None else order.amount_fen),
            "out_trade_no": order.out_trade_no,
            "trade_no": order.transaction_id,
            "trade_status": "TRADE_SUCCESS" if owed.refund is None else _status(order),
            "gmt_payment": _time(order.paid_at),
        }
        if owed.refund is not None:
            values["out_biz_no"] = owed.refund.out_refund_no
            values["refund_fee"] = _yuan(owed.refund.amount_fen)
            values["gmt_refund"] = f"{_time(owed.refund.done_at)}.000"
        values |= changed
        forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        key = forger if owed.is_forged else self.key
        return values | {"sign": _sign(key, _joined(values)), "sign_type": "RSA2"}

    async def _gateway(self, request: Request) -> Response:
        if self.is_away:
            return Response("<html>502</html>", 502)
        body = (await request.body()).decode() or request.url.query
        asked = dict(parse_qsl(body, keep_blank_values=True, strict_parsing=True))
        method = asked.get("method", "")
        if (fault := self._fault_of(asked)) is not None:
            said = {"code": "40002", "msg": "Invalid Arguments", "sub_code": fault}
            return Response(json.dumps({"error_response": said}), media_type="text/html")
        values = json.loads(asked["biz_content"])
        if method == "alipay.trade.wap.pay":
            return self._wap(asked, values)
        try:
            said = {"code": "10000", "msg": "Success", **self._do(method, asked, values)}
        except Trouble as trouble:
            code = SUB_CODES.get(trouble.code, trouble.code)
            said = {"code": "40004", "msg": "Business Failed", "sub_code": code}
        text = json.dumps(said, ensure_ascii=False)
        node = method.replace(".", "_") + "_response"
        signed = f'{{"{node}":{text},"sign":"{_sign(self.key, text)}"}}'
        return Response(signed, media_type="text/html;charset=utf-8")

    def _fault_of(self, asked: dict[str, str]) -> str | None:
        rest = {name: value for name, value in asked.items() if name != "sign"}
        if asked.get("app_id") != self.merchant.app_id:
            return "isv.invalid-app-id"
        at = datetime.strptime(asked["timestamp"], _TIME).replace(tzinfo=BEIJING)
        if abs(datetime.now(BEIJING) - at) > CLOCK_WITHIN:
            return "isv.invalid-timestamp"
        try:
            signature = base64.b64decode(asked.get("sign", ""))
            self.merchant.key.verify(signature, _joined(rest).encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return "isv.invalid-signature"
        return None

    def _do(self, method: str, asked: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "alipay.trade.precreate":
                link = f"https://qr.alipay.com/bax{secrets.token_hex(10)}"
                order = self._placed(asked, values, way="precreate", link=link)
                return {"out_trade_no": order.out_trade_no, "qr_code": order.link}
            case "alipay.trade.query":
                return self._trade(self._seen(values))
            case "alipay.trade.close":
                order = self._seen(values)
                self.books.close(order)
                return {"out_trade_no": order.out_trade_no, "trade_no": order.transaction_id}
            case "alipay.trade.refund":
                return self._refund(values)
            case "alipay.trade.fastpay.refund.query":
                order = self.books.paid(values["trade_no"])
                refund = order.refunds.get(values["out_request_no"])
                if refund is None or refund.state != "SUCCESS":
                    return {}
                return {
                    "out_request_no": refund.out_refund_no,
                    "refund_amount": _yuan(refund.amount_fen),
                    "refund_status": "REFUND_SUCCESS",
                }
            case "alipay.data.dataservice.bill.downloadurl.query":
                day = date.fromisoformat(values["bill_date"])
                if alipay_bill.of_day(self.books.orders, day, self.merchant.seller_id) is None:
                    raise Trouble("isp.bill_not_exist")
                return {"bill_download_url": f"{self._site}/bill?day={day}"}
            case _:
                raise Trouble("isv.invalid-method")

    async def _bill(self, day: date) -> Response:
        made = alipay_bill.of_day(self.books.orders, day, self.merchant.seller_id)
        assert made is not None
        return Response(self.spoil_bill(made), media_type="application/zip")

    def _refund(self, values: dict[str, Any]) -> dict[str, Any]:
        order = self.books.paid(values["trade_no"])
        fen = Money.yuan(values["refund_amount"]).fen
        known = order.refunds.get(values["out_request_no"])
        refund = self.books.refund(order, values["out_request_no"], fen)
        if known is None:
            self.books.settle()  # Alipay gives back at once
        return {
            "trade_no": order.transaction_id,
            "out_trade_no": order.out_trade_no,
            "refund_fee": _yuan(refund.amount_fen),
            "fund_change": "Y" if known is None else "N",
        }

    def _seen(self, values: Mapping[str, str]) -> Order:
        order = self.books.find(values["out_trade_no"])
        if order.out_trade_no not in self._opened:
            raise Trouble("ORDER_NOT_EXIST")
        return order

    def _placed(
        self, asked: dict[str, str], values: dict[str, Any], *, way: str, link: str
    ) -> Order:
        order = self.books.place(
            Order(
                out_trade_no=values["out_trade_no"],
                way=way,
                amount_fen=Money.yuan(values["total_amount"]).fen,
                description=values["subject"],
                notify_url=asked["notify_url"],
                link=link,
                return_url=asked.get("return_url", ""),
            )
        )
        expires_at = datetime.strptime(values["time_expire"], _TIME).replace(tzinfo=BEIJING)
        self._expires.setdefault(order.out_trade_no, expires_at)
        return order

    def _wap(self, asked: dict[str, str], values: dict[str, Any]) -> Response:
        try:
            order = self._placed(asked, values, way="wap", link=values["out_trade_no"])
        except Trouble as trouble:
            return HTMLResponse(html.escape(trouble.code), 400)
        self._opened.add(order.out_trade_no)
        return HTMLResponse(
            f"<!doctype html><html lang=zh-CN><meta charset=utf-8><title>支付宝</title>"
            f"<h1>¥{_yuan(order.amount_fen)}</h1><p>{html.escape(order.description)}"
            f"<form method=post action=/cashier><input type=hidden name=out_trade_no"
            f" value={html.escape(order.out_trade_no)}><button id=pay>确认付款</button></form>"
        )

    async def _cashier(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        order = self.books.find(form["out_trade_no"])
        self.pay(order)
        return RedirectResponse(order.return_url, 303)

    def _trade(self, order: Order) -> dict[str, Any]:
        paid = {"send_pay_date": _time(order.paid_at)} if order.paid_at is not None else {}
        return {
            "out_trade_no": order.out_trade_no,
            "trade_no": order.transaction_id,
            "trade_status": _status(order),
            "total_amount": _yuan(order.amount_fen),
            **paid,
        }


def _status(order: Order) -> str:
    if order.paid_at is None:
        return "TRADE_CLOSED" if order.is_closed else "WAIT_BUYER_PAY"
    return "TRADE_CLOSED" if order.refunded_fen == order.amount_fen else "TRADE_SUCCESS"


def _joined(values: Mapping[str, str]) -> str:
    return "&".join(f"{name}={values[name]}" for name in sorted(values))


def _sign(key: rsa.RSAPrivateKey, text: str) -> str:
    return base64.b64encode(key.sign(text.encode(), PKCS1v15(), SHA256())).decode()


def _yuan(fen: int) -> str:
    return str(Money(fen))


def _time(at: datetime | None) -> str:
    assert at is not None
    return at.astimezone(BEIJING).strftime(_TIME)
