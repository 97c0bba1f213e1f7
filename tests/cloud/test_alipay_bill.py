"""Alipay's bill of a day: read whole or not at all, and got through the SDK."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from decimal import Decimal

import pytest

from cloud.channels import BadBill, BillLine, ChannelAway, ChannelRefused, Refund, Way, alipay_bill
from cloud.channels.alipay import Alipay, Sdk
from cloud.channels.alipay_bill import GIVEN_BACK, PAID
from prepaid.money import Money
from simulators.alipay_bill import BEIJING, HEADING
from tests.cloud.companies import ALIPAY_APP, ALIPAY_SELLER, alipay_company, pem, private_key

FIFTY, TWENTY = Money.yuan("50"), Money.yuan("20")


def row(kind: str, amount: str, fee: str, refund: str = "") -> str:
    fields = dict.fromkeys(HEADING.split(","), "0.00")
    fields |= {"支付宝交易号": "2026112201\t", "商户订单号": "W1\t", "业务类型": kind}
    fields |= {"商品名称": '"电费, 11 月"', "订单金额（元）": amount, "服务费（元）": fee}
    return ",".join({**fields, "退款批次号/请求号": refund}.values())


PAYMENT = row(PAID, "50.00", "-0.30")
REFUND = row(GIVEN_BACK, "-20.00", "0.12", "R1\t")


def packed(
    *rows: str, paid: int, refunded: int, heading: str = HEADING, end: str = "结束"
) -> bytes:
    lines = ["#支付宝业务明细查询", "#-----业务明细列表-----", heading, *rows]
    lines += [f"#-----业务明细列表{end}-----"]
    lines += [f"#交易合计：{paid}笔，商家实收共0.00元", f"#退款合计：{refunded}笔，退款共0.00元"]
    return archive({"details.csv": "\r\n".join(lines)})


def archive(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, text in files.items():
            made.writestr(name, text.encode("gbk"))
    return content.getvalue()


def test_what_went_out_is_below_zero_in_the_file_and_an_amount_in_the_line():
    assert alipay_bill.read(packed(PAYMENT, REFUND, paid=1, refunded=1)) == (
        BillLine("W1", "2026112201", None, FIFTY, Decimal("0.30")),
        BillLine("W1", "2026112201", "R1", TWENTY, Decimal("-0.12")),
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (packed(PAYMENT, paid=2, refunded=0), "has 1 lines 交易, and says that they are 2"),
        (packed(PAYMENT, paid=1, refunded=1), "has 0 lines 退款, and says that they are 1"),
        (packed(PAYMENT + ",x", paid=1, refunded=0), "has 26 fields, the heading 25"),
        (packed(PAYMENT.replace("50.00", "fifty"), paid=1, refunded=0), "line W1 has no amount"),
        (packed(row("转账", "5.00", "0.00"), paid=0, refunded=0), "neither 交易 nor 退款: 转账"),
        (packed(paid=0, refunded=0, heading="支付宝交易号,商户订单号"), "no column 业务类型"),
        (packed(PAYMENT, paid=1, refunded=0, end=""), "no beginning or no end"),
        (archive({"a.csv": "x"}), "has 0 files of details"),
        (packed(PAYMENT, paid=1, refunded=0)[:-30], "no whole ZIP"),
        (b"<html>", "no whole ZIP"),
    ],
)
def test_a_bill_that_is_not_whole_is_refused(content: bytes, why: str):
    with pytest.raises(BadBill, match=why):
        alipay_bill.read(content)


@pytest.mark.processes
def test_the_bill_of_a_day_is_got_from_alipay():
    key = private_key()
    with alipay_company(key) as company:
        public = f"-----BEGIN PUBLIC KEY-----\n{company.public_key}\n-----END PUBLIC KEY-----"
        alipay = Alipay(
            Sdk(url=company.url, app_id=ALIPAY_APP, private_key=pem(key), public_key=public),
            url=company.url,
            app_id=ALIPAY_APP,
            seller_id=ALIPAY_SELLER,
            ways=frozenset({Way.CODE}),
            notify_url="http://127.0.0.1:1/api/channels/alipay/notify",
        )
        today = datetime.now(BEIJING).date()
        assert alipay.bill(today) == ()

        order = {"description": "电费, 11 月", "return_url": "", "way": Way.CODE, "payer": None}
        alipay.order(out_trade_no="A1", amount=FIFTY, **order)  # type: ignore[arg-type]
        company.pay(company.books.find("A1"))
        payment = alipay.payment("A1")
        assert payment is not None
        alipay.refund(Refund("R1", payment, TWENTY))

        # 50.00 × 0.006 = 0.30 kept, 20.00 × 0.006 = 0.12 given back
        assert alipay.bill(today) == (
            BillLine("A1", payment.transaction_id, None, FIFTY, Decimal("0.30")),
            BillLine("A1", payment.transaction_id, "R1", TWENTY, Decimal("-0.12")),
        )

        company.spoil_bill = lambda packed: packed[:-9]
        with pytest.raises(ChannelRefused, match="is damaged"):
            alipay.bill(today)
        company.is_away = True
        with pytest.raises(ChannelAway):
            alipay.bill(today)
