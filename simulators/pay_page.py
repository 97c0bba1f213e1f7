"""The sandbox channel's pay page, as a customer sees it on a phone: a wallet's pay sheet, in two languages."""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from prepaid.money import Money
from simulators.orders import Order

Language = Literal["zh", "en"]
LANGUAGES: dict[str, Language] = {"zh": "zh", "en": "en"}

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

WORDS: dict[Language, dict[str, str]] = {
    "zh": {
        "html_lang": "zh-CN",
        "other": "English",
        "title": "沙箱支付",
        "sandbox": "沙箱支付",
        "no_money": "测试环境，不会扣真钱",
        "item": "商品",
        "number": "订单号",
        "method": "付款方式",
        "balance": "沙箱余额",
        "until": "请在 {time} 前支付",
        "pay": "立即支付",
        "paid": "支付成功",
        "paid_at": "支付时间",
        "transaction": "交易号",
        "back": "返回商家",
        "expired": "订单已过期",
        "expired_help": "没有扣款。请返回商家重新下单。",
        "unknown": "没有这个订单",
        "unknown_help": "请检查链接，或返回商家重新下单。",
    },
    "en": {
        "html_lang": "en",
        "other": "中文",
        "title": "Sandbox payment",
        "sandbox": "Sandbox payment",
        "no_money": "No real money moves",
        "item": "For",
        "number": "Order no.",
        "method": "Pay with",
        "balance": "Sandbox balance",
        "until": "Pay before {time}",
        "pay": "Pay",
        "paid": "Paid",
        "paid_at": "Paid at",
        "transaction": "Transaction",
        "back": "Back to merchant",
        "expired": "This order has expired",
        "expired_help": "Nothing was paid. Go back to the merchant and order again.",
        "unknown": "There is no such order",
        "unknown_help": "Check the link, or go back to the merchant and order again.",
    },
}


def language(request: Request) -> Language:
    """?lang, else the first of ours that Accept-Language prefers, else Chinese."""
    asked = LANGUAGES.get(request.query_params.get("lang", ""))
    if asked is not None:
        return asked
    wanted: list[tuple[float, Language]] = []
    for part in request.headers.get("Accept-Language", "").split(","):
        tag, _, weight = part.strip().partition(";q=")
        ours = LANGUAGES.get(tag.strip().lower().split("-")[0])
        if ours is not None:
            wanted.append((_weight(weight), ours))
    return max(wanted, key=lambda choice: choice[0], default=(0.0, "zh"))[1]


def _weight(text: str) -> float:
    try:
        return float(text or "1")
    except ValueError:
        return 0.0


def sheet(language: Language, merchant: str, order: Order, now: float) -> HTMLResponse:
    """The order to pay, paid, or (status 410) expired."""
    if order.paid_at is not None:
        state = "paid"
    elif now < order.expires_at:
        state = "waiting"
    else:
        state = "expired"
    return _page(
        language,
        410 if state == "expired" else 200,
        state=state,
        merchant=merchant,
        order=order.new,
        amount=str(Money(order.new.amount_fen)),
        transaction_id=order.transaction_id,
        paid_at=None if order.paid_at is None else _clock(order.paid_at, "%Y-%m-%d %H:%M:%S"),
        until=_clock(order.expires_at, "%H:%M"),
    )


def unknown(language: Language, merchant: str) -> HTMLResponse:
    """Status 404."""
    return _page(language, 404, state="unknown", merchant=merchant)


def _page(language: Language, status: int, **values: object) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    other = "en" if language == "zh" else "zh"
    html = _TEMPLATES.get_template("pay.html").render(
        t=WORDS[language], language=language, other_language=other, nonce=nonce, **values
    )
    # No form-action: browsers apply it to the redirect back to the merchant too.
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return HTMLResponse(html, status, headers)


def _clock(at: float, shape: str) -> str:
    return f"{datetime.fromtimestamp(at, ZoneInfo('Asia/Shanghai')):{shape}}"
