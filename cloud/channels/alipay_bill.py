"""Alipay's trade bill 业务明细 of a day, as a file: what was paid and given back, line by line.

A ZIP of CSV files in GBK: the details and their summary by shop. Lines that begin with # stand around the
list; the last of them count it. Amounts are yuan; what goes out, refunds and the service fee, is below zero.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from cloud.channels import BadBill, BillLine
from prepaid.money import Money

LARGEST = 512 * 1024 * 1024

NUMBER, OURS, KIND = "支付宝交易号", "商户订单号", "业务类型"
AMOUNT, REFUND, FEE = "订单金额（元）", "退款批次号/请求号", "服务费（元）"
NEEDED = (NUMBER, OURS, KIND, AMOUNT, REFUND, FEE)
PAID, GIVEN_BACK = "交易", "退款"
BEGIN, END = "业务明细列表", "业务明细列表结束"
_COUNT = re.compile(r"#+\s*(?P<kind>交易|退款)合计[：:]\s*(?P<count>\d+)\s*笔")


def read(packed: bytes) -> tuple[BillLine, ...]:
    """The lines of a bill as it is downloaded. Raises BadBill."""
    rows = _details(packed)
    heading: list[str] | None = None
    lines: list[BillLine] = []
    counts: dict[str, int] = {}
    is_inside = is_ended = False
    for row in rows:
        first = row[0] if row else ""
        if first.startswith("#"):
            is_ended = is_ended or END in first
            is_inside = BEGIN in first and END not in first
            if counted := _COUNT.match(first):
                counts[counted["kind"]] = int(counted["count"])
        elif is_inside and heading is None:
            heading = row
            if missing := [name for name in NEEDED if name not in heading]:
                raise BadBill(f"it has no column {', '.join(missing)}")
        elif is_inside and heading is not None and any(row):
            if len(row) != len(heading):
                raise BadBill(f"a line has {len(row)} fields, the heading {len(heading)}")
            lines.append(_line(dict(zip(heading, row, strict=True))))
    if heading is None or not is_ended:
        raise BadBill("its list has no beginning or no end")
    for kind, is_refund in ((PAID, False), (GIVEN_BACK, True)):
        found = sum((line.out_refund_no is not None) is is_refund for line in lines)
        if counts.get(kind) != found:
            raise BadBill(f"it has {found} lines {kind}, and says that they are {counts.get(kind)}")
    return tuple(lines)


def _details(packed: bytes) -> Iterable[list[str]]:
    """The rows of the file with the details, fields without the tabs that keep Excel from rounding numbers."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as files:
            if sum(one.file_size for one in files.infolist()) > LARGEST:
                raise BadBill("it is larger than any bill")
            texts = [files.read(one).decode("gb18030") for one in files.infolist()]
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadBill("it is no whole ZIP file") from error
    except UnicodeDecodeError as error:
        raise BadBill("it is not in GBK") from error
    details = [text for text in texts if NUMBER in text]
    if len(details) != 1:
        raise BadBill(f"it has {len(details)} files of details")
    return [[field.strip() for field in row] for row in csv.reader(io.StringIO(details[0]))]


def _line(fields: dict[str, str]) -> BillLine:
    kind = fields[KIND]
    if kind not in (PAID, GIVEN_BACK):
        raise BadBill(f"line {fields[OURS]} is neither {PAID} nor {GIVEN_BACK}: {kind}")
    try:
        amount = Money.yuan(
            fields[AMOUNT].removeprefix("-") if kind == GIVEN_BACK else fields[AMOUNT]
        )
        fee = -Decimal(fields[FEE])
    except (ValueError, InvalidOperation) as error:
        raise BadBill(f"line {fields[OURS]} has no amount") from error
    return BillLine(
        out_trade_no=fields[OURS],
        transaction_id=fields[NUMBER],
        out_refund_no=fields[REFUND] if kind == GIVEN_BACK else None,
        amount=amount,
        fee=fee,
    )
