"""WeChat Pay's trade bill of a day, as it makes it: every field behind a backtick, amounts in yuan, then totals."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from prepaid.money import Money
from simulators.payments import Order, Refund
from simulators.wechat_keys import Merchant

BEIJING = ZoneInfo("Asia/Shanghai")
FEE = Decimal("0.006")
HEADING = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
    "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,"
    "申请退款金额,费率备注"
)
TOTALS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)


def of_day(orders: Iterable[Order], day: date, merchant: Merchant) -> tuple[bytes, str] | None:
    """The bill, packed with gzip, and the SHA1 of the plain file; None where nothing happened on the day."""
    rows: list[list[str]] = []
    paid_fen = refunded_fen = 0
    fees = Decimal(0)
    for order in orders:
        if _is_of(order.paid_at, day):
            fee = _fee(order.amount_fen)
            rows.append(_row(order, None, fee, merchant))
            paid_fen, fees = paid_fen + order.amount_fen, fees + fee
        for refund in order.refunds.values():
            if _is_of(refund.done_at or datetime.now(BEIJING), day):
                fee = -_fee(refund.amount_fen)
                rows.append(_row(order, refund, fee, merchant))
                refunded_fen, fees = refunded_fen + refund.amount_fen, fees + fee
    if not rows:
        return None
    paid, refunded = str(Money(paid_fen)), str(Money(refunded_fen))
    totals = [str(len(rows)), paid, refunded, "0.00", f"{fees:.5f}", paid, refunded]
    lines = [HEADING, *(_ticked(row) for row in rows), TOTALS, _ticked(totals)]
    plain = "".join(f"{line}\r\n" for line in lines).encode("utf-8-sig")
    digest = hashlib.sha1(plain, usedforsecurity=False).hexdigest()
    return gzip.compress(plain, mtime=0), digest


def _is_of(at: datetime | None, day: date) -> bool:
    return at is not None and at.astimezone(BEIJING).date() == day


def _fee(fen: int) -> Decimal:
    return (Money(fen).in_yuan() * FEE).quantize(Decimal("0.01"), ROUND_HALF_UP)


def _row(order: Order, refund: Refund | None, fee: Decimal, merchant: Merchant) -> list[str]:
    assert order.paid_at is not None
    yuan = str(Money(order.amount_fen))
    back = str(Money(refund.amount_fen)) if refund is not None else "0.00"
    return [
        f"{order.paid_at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        merchant.appid,
        merchant.mchid,
        "0",
        "",
        order.transaction_id,
        order.out_trade_no,
        order.payer,
        {"h5": "MWEB"}.get(order.way, order.way.upper()),
        "SUCCESS" if refund is None else "REFUND",
        "OTHERS",
        "CNY",
        yuan if refund is None else "0.00",
        "0.00",
        refund.refund_id if refund is not None else "0",
        refund.out_refund_no if refund is not None else "0",
        back,
        "0.00",
        "ORIGINAL" if refund is not None else "",
        refund.state if refund is not None else "",
        order.description,
        "",
        f"{fee:.5f}",
        "0.60%",
        yuan if refund is None else "0.00",
        back,
        "",
    ]


def _ticked(fields: list[str]) -> str:
    return ",".join(f"`{field}" for field in fields)
