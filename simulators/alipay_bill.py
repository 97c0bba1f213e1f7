"""Alipay's trade bill of a day, as it makes it: two CSV files in GBK in a ZIP, numbers ended by a tab."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from simulators.payments import Order, Refund

BEIJING = ZoneInfo("Asia/Shanghai")
FEE = Decimal("0.006")
_TIME = "%Y-%m-%d %H:%M:%S"
HEADING = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,"
    "商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,"
    "卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
RULE = "-" * 40


def of_day(orders: Iterable[Order], day: date, seller_id: str) -> bytes | None:
    """The ZIP; None where nothing happened on the day."""
    paid: list[str] = []
    refunded: list[str] = []
    for order in orders:
        if _is_of(order.paid_at, day):
            paid.append(_row(order, None))
        refunded += [
            _row(order, refund) for refund in order.refunds.values() if _is_of(refund.done_at, day)
        ]
    if not paid and not refunded:
        return None
    lines = [
        "#支付宝业务明细查询",
        f"#账号：[{seller_id}0156]",
        f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{day:%Y年%m月%d日} 24:00:00]",
        f"#{RULE}业务明细列表{RULE}",
        HEADING,
        *paid,
        *refunded,
        f"#{RULE}业务明细列表结束{RULE}",
        f"#交易合计：{len(paid)}笔，商家实收共0.00元，商家优惠共0.00元",
        f"#退款合计：{len(refunded)}笔，商家实收退款共0.00元，商家优惠退款共0.00元",
        f"#导出时间：[{day:%Y年%m月%d日} 09:00:00]",
    ]
    summary = ["#支付宝业务汇总查询", "门店编号,门店名称,交易订单总笔数", "合计,,0"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as files:
        for name, text in (("业务明细", lines), ("业务明细(汇总)", summary)):
            content = "".join(f"{line}\r\n" for line in text).encode("gbk")
            files.writestr(f"{seller_id}0156_{day:%Y%m%d}_{name}.csv", content)
    return packed.getvalue()


def _is_of(at: datetime | None, day: date) -> bool:
    return at is not None and at.astimezone(BEIJING).date() == day


def _row(order: Order, refund: Refund | None) -> str:
    assert order.paid_at is not None
    at = (order.paid_at if refund is None else refund.done_at or order.paid_at).astimezone(BEIJING)
    signed_fen = order.amount_fen if refund is None else -refund.amount_fen
    yuan = f"{Decimal(signed_fen) / 100:.2f}"
    fee = (Decimal(signed_fen) / 100 * FEE).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return ",".join(
        [
            f"{order.transaction_id}\t",
            f"{order.out_trade_no}\t",
            "交易" if refund is None else "退款",
            order.description.replace(",", "，"),
            f"{order.paid_at.astimezone(BEIJING):{_TIME}}",
            f"{at:{_TIME}}",
            *("", "", "", "", "buy***@example.com"),
            yuan,
            yuan,
            *("0.00",) * 5,
            "",
            "0.00",
            "0.00",
            "" if refund is None else f"{refund.out_refund_no}\t",
            f"{-fee:.2f}",
            "0.00",
            "",
        ]
    )
