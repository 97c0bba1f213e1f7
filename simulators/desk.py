"""The desk 操作台 of a simulated company: a page to pay, misbehave and report by hand; notices go out by themselves.

For integrators who play against a channel by hand: `wattwell simulate wechat`. Nothing is kept when it ends but the
keys, so that the cloud's settings stay good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from prepaid.money import Money
from simulators.alipay import Alipay
from simulators.payments import Misbehaviour, Order, Trouble
from simulators.twilio import Message, Twilio
from simulators.wechatpay import WeChatPay

DELIVERS_EVERY_S = 1.0
REPORTS = ("sent", "delivered", "undelivered", "failed")
SAID: dict[Misbehaviour, str] = {
    Misbehaviour.NONE: "as it should be 正常",
    Misbehaviour.LATE: "ten minutes late 迟到",
    Misbehaviour.TWICE: "twice 重复",
    Misbehaviour.FORGED: "signed with a foreign key 伪造签名",
    Misbehaviour.NEVER: "never 不通知",
    Misbehaviour.ALTERED: "one fen more than was ordered 金额不符",
    Misbehaviour.REFUND_FIRST: "given back by hand, and told before the payment is 先退后付",
}

Acts = dict[str, Callable[[dict[str, str]], None]]


def payments(company: WeChatPay | Alipay, *, name: str) -> FastAPI:
    """The company's app with a desk at /."""
    books = company.books

    def misbehave(form: dict[str, str]) -> None:
        books.misbehaviour = Misbehaviour(form["how"])

    def away(form: dict[str, str]) -> None:
        company.is_away = form["away"] == "yes"

    acts: Acts = {
        "pay": lambda form: company.pay(books.find(form["order"])),
        "misbehave": misbehave,
        "away": away,
        "deliver": lambda form: _ignore(company.deliver(ahead_s=float("inf"))),
        "settle": lambda form: _ignore(books.settle(form["state"])),  # type: ignore[arg-type]
    }
    if isinstance(company, WeChatPay):
        acts["rotate"] = lambda form: company.keys.rotate()
    _add(company.app, acts, lambda: _payments_page(company, name))
    return company.app


def messages(company: Twilio) -> FastAPI:
    """Twilio's app with a desk at /."""

    def report(form: dict[str, str]) -> None:
        message = next(each for each in company.messages if each.sid == form["message"])
        times = 2 if form.get("twice") else 1
        company.report(message, form["status"], times=times, is_forged=bool(form.get("forged")))

    def away(form: dict[str, str]) -> None:
        company.is_away = form["away"] == "yes"

    def lose(form: dict[str, str]) -> None:
        company.loses_answers = form["lose"] == "yes"

    _add(
        company.app,
        {"report": report, "away": away, "lose": lose},
        lambda: _messages_page(company),
    )
    return company.app


def delivering(company: WeChatPay | Alipay, stopped: threading.Event) -> threading.Thread:
    """A thread that sends the notices that are due, until stopped is set."""

    def deliver() -> None:
        while not stopped.wait(DELIVERS_EVERY_S):
            company.deliver()

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    return thread


def _ignore(_: Any) -> None:
    return None


def _add(app: FastAPI, acts: Acts, page: Callable[[], str]) -> None:
    def show() -> HTMLResponse:
        return HTMLResponse(page())

    async def act(request: Request, what: str) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        if what not in acts:
            return HTMLResponse("no such act", 404)
        try:
            await run_in_threadpool(acts[what], form)
        except (Trouble, KeyError, ValueError, StopIteration) as error:
            return HTMLResponse(f"<p>{escape(repr(error))}<p><a href=/>back</a>", 409)
        return RedirectResponse("/", 303)

    app.add_api_route("/", show, methods=["GET"], response_model=None)
    app.add_api_route("/desk/{what}", act, methods=["POST"], response_model=None)


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:72rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.35rem .6rem;"
    "border-bottom:1px solid #ddd;vertical-align:top}form{display:inline}"
    "button,select{font:inherit;padding:.15rem .6rem}code{font-size:.85em;"
    "word-break:break-all}.bar{display:flex;gap:1rem;flex-wrap:wrap;margin:1rem 0}"
)


def _frame(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>{body}"
    )


def _form(what: str, button: str, **values: str) -> str:
    hidden = "".join(
        f"<input type=hidden name={name} value='{escape(value)}'>" for name, value in values.items()
    )
    return f"<form method=post action=/desk/{what}>{hidden}<button>{button}</button></form>"


def _payments_page(company: WeChatPay | Alipay, name: str) -> str:
    books = company.books
    chosen = "".join(
        f"<option value={how}{' selected' if how is books.misbehaviour else ''}>{said}</option>"
        for how, said in SAID.items()
    )
    bar = [
        f"<form method=post action=/desk/misbehave><label>Notices of the next payments 下一笔通知: <select name=how>"
        f"{chosen}</select></label> <button>set 设定</button></form>",
        _form("deliver", "send what is owed now 立即送出欠发通知"),
        *(
            _form("settle", f"refunds under way end as {state}", state=state)
            for state in ("SUCCESS", "ABNORMAL", "CLOSED")
        ),
        _form("away", "be there again 恢复", away="no")
        if company.is_away
        else _form("away", "be away 断线", away="yes"),
    ]
    if isinstance(company, WeChatPay) and not company.keys.signs_by_public_key:
        bar.append(_form("rotate", "change the certificate 更换平台证书"))
    rows = "".join(map(_order_row, reversed(books.orders)))
    return _frame(
        f"{name} (simulated 模拟)",
        f"<div class=bar>{''.join(bar)}</div><p>{books.owed} notices are owed.</p>"
        "<table><tr><th>Order 订单<th>Amount 金额<th>Way<th>Paid 支付<th>Refunds 退款<th></tr>"
        f"{rows or '<tr><td colspan=6>No order yet: press Pay on the page of a tenant.'}</table>",
    )


def _order_row(order: Order) -> str:
    refunds = "<br>".join(
        f"¥{Money(refund.amount_fen)} {refund.state} <code>{escape(refund.out_refund_no)}</code>"
        for refund in order.refunds.values()
    )
    if order.paid_at is not None:
        paid = f"{order.paid_at:%H:%M:%S} UTC <code>{order.transaction_id}</code>"
    else:
        paid = "closed 已关闭" if order.is_closed else ""
    pay = "" if paid else _form("pay", "pay 支付", order=order.out_trade_no)
    return (
        f"<tr><td><code>{escape(order.out_trade_no)}</code><br>{escape(order.description)}"
        f"<td>¥{Money(order.amount_fen)}<td>{order.way}<td>{paid}<td>{refunds}<td>{pay}</tr>"
    )


def _messages_page(company: Twilio) -> str:
    bar = [
        _form("away", "be there again 恢复", away="no")
        if company.is_away
        else _form("away", "be away 断线", away="yes"),
        _form("lose", "answer again 恢复应答", lose="no")
        if company.loses_answers
        else _form("lose", "take messages and lose the answers 收下但不应答", lose="yes"),
    ]
    rows = "".join(map(_message_row, reversed(company.messages)))
    return _frame(
        "Twilio (simulated 模拟)",
        f"<div class=bar>{''.join(bar)}</div>"
        "<table><tr><th>To<th>Text 内容<th>State 状态<th>Report 回执</tr>"
        f"{rows or '<tr><td colspan=4>No message yet.'}</table>",
    )


def _message_row(message: Message) -> str:
    buttons = [_form("report", said, message=message.sid, status=said) for said in REPORTS]
    buttons.append(
        _form("report", "delivered, twice 重复", message=message.sid, status="delivered", twice="1")
    )
    buttons.append(
        _form("report", "forged 伪造", message=message.sid, status="delivered", forged="1")
    )
    return f"<tr><td>{escape(message.to)}<td>{escape(message.body)}<td>{message.status}<td>{' '.join(buttons)}</tr>"
