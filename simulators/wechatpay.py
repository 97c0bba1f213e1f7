"""Plays WeChat Pay's API v3 on loopback: real signatures both ways, sealed notices, and what goes wrong with them.

A test pays as a customer does (H5 page, scanned code, bridge), then has the notices delivered.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Callable
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from simulators import wechat_bill
from simulators.payments import Books, Order, Owed, Refund, Trouble
from simulators.wechat_keys import Merchant, PlatformKeys

ANSWER_WITHIN_S = 5.0
STATUS = {"ORDER_NOT_EXIST": 404, "RESOURCE_NOT_EXISTS": 404, "SIGN_ERROR": 401}
LINKS = {"native": "code_url", "jsapi": "prepay_id", "h5": "h5_url"}
_AUTHORIZATION = re.compile(
    r'WECHATPAY2-SHA256-RSA2048 mchid="(?P<mchid>[^"]*)",nonce_str="(?P<nonce>[^"]*)",'
    r'signature="(?P<signature>[^"]*)",timestamp="(?P<timestamp>\d+)",serial_no="(?P<serial>[^"]*)"'
)


class WeChatPay:
    """The company: app is its web program at url, books what it knows."""

    def __init__(self, *, url: str, merchant: Merchant, keys: PlatformKeys) -> None:
        self.url = url
        self.merchant = merchant
        self.keys = keys
        self.books = Books("42000")
        self.is_away = False
        self.answer_within_s = ANSWER_WITHIN_S
        self.certificates_asked = 0
        self.spoil_bill: Callable[[bytes], bytes] = lambda packed: packed
        self._codes: dict[str, str] = {}
        self.app = FastAPI(docs_url=None, redoc_url=None)
        self.app.exception_handler(Trouble)(self._refuse)
        self.app.middleware("http")(self._perhaps_away)
        for way in LINKS:
            self.app.post(f"/v3/pay/transactions/{way}")(self._placing(way))
        routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", "/v3/pay/transactions/out-trade-no/{out_trade_no}", self._query),
            ("POST", "/v3/pay/transactions/out-trade-no/{out_trade_no}/close", self._close),
            ("POST", "/v3/refund/domestic/refunds", self._refund),
            ("GET", "/v3/refund/domestic/refunds/{out_refund_no}", self._query_refund),
            ("GET", "/v3/certificates", self._certificates),
            ("GET", "/v3/bill/tradebill", self._bill),
            ("GET", "/v3/billdownload/file", self._bill_file),
            ("GET", "/h5", self._h5),
            ("POST", "/h5", self._pay_h5),
            ("POST", "/bridge", self._bridge),
            ("GET", "/connect/oauth2/authorize", self._authorize),
            ("GET", "/sns/oauth2/access_token", self._access_token),
        ]
        for method, path, endpoint in routes:
            self.app.add_api_route(path, endpoint, methods=[method], response_model=None)

    def pay(self, order: Order) -> None:
        """A customer pays. Raises Trouble."""
        self.books.pay(order)

    def scan(self, code_url: str) -> None:
        """A customer scans the code and pays."""
        self.books.pay(self.books.by_link(code_url))

    def deliver(self, *, ahead_s: float = 0) -> list[int]:
        """Sends the notices that are due within ahead_s, once each; the statuses they were answered with.

        What was not taken, or not in time (status 0), is due again later.
        """
        answers = []
        with httpx.Client(timeout=self.answer_within_s, trust_env=False) as client:
            for owed in self.books.take_due(time.time() + ahead_s):
                answers.append(self.send(client, owed))
                if answers[-1] not in (200, 204):
                    self.books.owe_again(owed)
        return answers

    def send(self, client: httpx.Client, owed: Owed) -> int:
        """The status that a notice was answered with; 0 for none."""
        body = self.notice(owed)
        headers = self.keys.headers(body, forged=owed.is_forged)
        headers["Content-Type"] = "application/json"
        try:
            answer = client.post(owed.order.notify_url, content=body, headers=headers)
        except httpx.HTTPError:
            return 0
        return answer.status_code

    def notice(self, owed: Owed) -> bytes:
        """The body of a notice."""
        if owed.refund is None:
            values = self._transaction(owed.order) | {
                "trade_state": "SUCCESS",
                "amount": _amount(owed.amount_fen),
            }
            return self.keys.notice("TRANSACTION.SUCCESS", values, kind="transaction")
        values = self._refund_values(owed.order, owed.refund)
        values |= {"mchid": self.merchant.mchid, "refund_status": values.pop("status")}
        return self.keys.notice(f"REFUND.{owed.refund.state}", values, kind="refund")

    def _placing(self, way: str) -> Callable[[Request], Any]:
        async def place(request: Request) -> Response:
            asked = json.loads(await self._signed(request))
            if (asked["appid"], asked["mchid"]) != (self.merchant.appid, self.merchant.mchid):
                raise Trouble("APPID_MCHID_NOT_MATCH")
            notify = urlsplit(asked["notify_url"])
            if notify.query or (notify.scheme != "https" and notify.hostname != "127.0.0.1"):
                raise Trouble("PARAM_ERROR")
            if not 0 < len(asked["description"]) <= 127 or asked["amount"]["currency"] != "CNY":
                raise Trouble("PARAM_ERROR")
            if way == "jsapi" and not asked["payer"]["openid"]:
                raise Trouble("PARAM_ERROR")
            if way == "h5" and not asked["scene_info"]["payer_client_ip"]:
                raise Trouble("PARAM_ERROR")
            order = self.books.place(
                Order(
                    out_trade_no=asked["out_trade_no"],
                    way=way,
                    amount_fen=asked["amount"]["total"],
                    description=asked["description"],
                    notify_url=asked["notify_url"],
                    link=self._link(way),
                    payer=asked.get("payer", {}).get("openid", ""),
                )
            )
            return self._answer({LINKS[way]: order.link})

        return place

    def _link(self, way: str) -> str:
        token = secrets.token_hex(12)
        return {
            "native": f"weixin://wxpay/bizpayurl?pr={token}",
            "jsapi": f"wx{token}",
            "h5": f"{self.url}/h5?prepay_id=wx{token}&package=1",
        }[way]

    async def _query(self, request: Request, out_trade_no: str) -> Response:
        await self._signed(request)
        order = self.books.find(out_trade_no)
        values = self._transaction(order)
        if order.paid_at is None:
            values = {
                k: v for k, v in values.items() if k not in ("transaction_id", "success_time")
            }
        return self._answer(values)

    async def _close(self, request: Request, out_trade_no: str) -> Response:
        await self._signed(request)
        self.books.close(self.books.find(out_trade_no))
        return self._answer(None)

    async def _refund(self, request: Request) -> Response:
        asked = json.loads(await self._signed(request))
        order = self.books.paid(asked["transaction_id"])
        if asked["amount"]["total"] != order.amount_fen:
            raise Trouble("INVALID_REQUEST")
        refund = self.books.refund(order, asked["out_refund_no"], asked["amount"]["refund"])
        return self._answer(self._refund_values(order, refund))

    async def _query_refund(self, request: Request, out_refund_no: str) -> Response:
        await self._signed(request)
        return self._answer(self._refund_values(*self.books.find_refund(out_refund_no)))

    async def _certificates(self, request: Request) -> Response:
        await self._signed(request)
        self.certificates_asked += 1
        return self._answer(self.keys.listed())

    async def _bill(self, request: Request, bill_date: str, bill_type: str) -> Response:
        """Also of today, so that a test need not wait for tomorrow at ten."""
        await self._signed(request)
        made = wechat_bill.of_day(self.books.orders, date.fromisoformat(bill_date), self.merchant)
        if bill_type != "ALL" or made is None:
            raise Trouble("NO_STATEMENT_EXIST")
        said = {"hash_type": "SHA1", "hash_value": made[1]}
        return self._answer(
            {**said, "download_url": f"{self.url}/v3/billdownload/file?token={bill_date}"}
        )

    async def _bill_file(self, request: Request, token: str) -> Response:
        await self._signed(request)
        made = wechat_bill.of_day(self.books.orders, date.fromisoformat(token), self.merchant)
        assert made is not None
        return Response(self.spoil_bill(made[0]), media_type="application/x-gzip")

    def _h5(self, request: Request) -> Response:
        order = self.books.by_link(self._h5_link(request))
        if urlsplit(request.headers.get("referer", "")).hostname != self.merchant.site:
            return HTMLResponse("商家参数格式有误，请联系商家解决", 403)
        return HTMLResponse(
            f"<!doctype html><html lang=zh-CN><meta charset=utf-8><title>微信支付</title>"
            f"<h1>¥{order.amount_fen // 100}.{order.amount_fen % 100:02}</h1><p>{order.description}"
            f"<form method=post><button id=pay>立即支付</button></form>"
        )

    def _pay_h5(self, request: Request) -> Response:
        self.books.pay(self.books.by_link(self._h5_link(request)))
        return RedirectResponse(request.query_params["redirect_url"], 303)

    def _h5_link(self, request: Request) -> str:
        return f"{self.url}/h5?prepay_id={request.query_params['prepay_id']}&package=1"

    async def _bridge(self, request: Request) -> Response:
        """What the WeChat app does when a page invokes getBrandWCPayRequest, and the customer pays."""
        said = await request.json()
        parts = (said["appId"], said["timeStamp"], said["nonceStr"], said["package"])
        self._verify("".join(f"{part}\n" for part in parts).encode(), said["paySign"])
        order = self.books.by_link(said["package"].removeprefix("prepay_id="))
        if said["appId"] != self.merchant.appid or said["signType"] != "RSA" or not order.payer:
            raise Trouble("PARAM_ERROR")
        self.books.pay(order)
        headers = {"Access-Control-Allow-Origin": "*"}
        return JSONResponse({"err_msg": "get_brand_wcpay_request:ok"}, headers=headers)

    def _authorize(self, appid: str, redirect_uri: str, scope: str, state: str) -> Response:
        if appid != self.merchant.appid or scope != "snsapi_base":
            raise Trouble("PARAM_ERROR")
        code = secrets.token_hex(16)
        self._codes[code] = f"o{secrets.token_urlsafe(20)[:27]}"
        return RedirectResponse(f"{redirect_uri}?code={code}&state={state}", 302)

    def _access_token(self, appid: str, secret: str, code: str) -> Response:
        openid = self._codes.pop(code, None)
        if (appid, secret) != (self.merchant.appid, self.merchant.app_secret) or openid is None:
            return JSONResponse({"errcode": 40029, "errmsg": "invalid code"})
        return JSONResponse({"access_token": secrets.token_hex(16), "openid": openid})

    def _transaction(self, order: Order) -> dict[str, Any]:
        state = "NOTPAY"
        if order.paid_at is not None:
            state = "REFUND" if order.refunds else "SUCCESS"
        elif order.is_closed:
            state = "CLOSED"
        return {
            "appid": self.merchant.appid,
            "mchid": self.merchant.mchid,
            "out_trade_no": order.out_trade_no,
            "transaction_id": order.transaction_id,
            "trade_type": {"h5": "MWEB"}.get(order.way, order.way.upper()),
            "trade_state": state,
            "trade_state_desc": state,
            "success_time": order.paid_at.isoformat() if order.paid_at else "",
            "amount": _amount(order.amount_fen),
        }

    def _refund_values(self, order: Order, refund: Refund) -> dict[str, Any]:
        done = {"success_time": refund.done_at.isoformat()} if refund.done_at else {}
        return {
            "refund_id": refund.refund_id,
            "out_refund_no": refund.out_refund_no,
            "transaction_id": order.transaction_id,
            "out_trade_no": order.out_trade_no,
            "status": refund.state,
            "amount": {"refund": refund.amount_fen, "total": order.amount_fen, "currency": "CNY"},
            **done,
        }

    async def _signed(self, request: Request) -> bytes:
        """The request's body, if the merchant has signed it. Raises Trouble."""
        body = await request.body()
        found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if found is None or abs(time.time() - int(found["timestamp"])) > 300:
            raise Trouble("SIGN_ERROR")
        if (found["mchid"], found["serial"]) != (self.merchant.mchid, self.merchant.key_serial):
            raise Trouble("SIGN_ERROR")
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        head = f"{request.method}\n{path}\n{found['timestamp']}\n{found['nonce']}\n"
        self._verify(head.encode() + body + b"\n", found["signature"])
        return body

    def _verify(self, signed: bytes, signature: str) -> None:
        try:
            self.merchant.key.verify(base64.b64decode(signature), signed, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise Trouble("SIGN_ERROR") from None

    def _answer(self, values: dict[str, Any] | None, status: int = 200) -> Response:
        if values is None:
            return Response(status_code=204, headers=self.keys.headers(b""))
        body = json.dumps(values, ensure_ascii=False).encode()
        return Response(body, status, self.keys.headers(body), "application/json")

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Trouble)
        said = {"code": error.code, "message": f"simulated: {error.code}"}
        return self._answer(said, STATUS.get(error.code, 400))

    async def _perhaps_away(self, request: Request, serve: Any) -> Response:
        path = request.url.path
        if self.is_away and path != "/" and not path.startswith("/desk/"):
            return Response("<html>502</html>", 502)
        answer: Response = await serve(request)
        return answer


def _amount(fen: int) -> dict[str, Any]:
    return {"total": fen, "payer_total": fen, "currency": "CNY", "payer_currency": "CNY"}
