"""WeChat Pay's trade bill 交易账单 of a day, as a file: what was paid and given back, line by line.

A heading, the lines, a heading of totals, the totals; each field begins with a backtick, amounts are yuan.
"""

from __future__ import annotations

import hashlib
import zlib
from decimal import Decimal, InvalidOperation

from cloud.channels import BadBill, BillLine
from prepaid.money import Money

LARGEST = 512 * 1024 * 1024

NUMBER, OURS = "微信订单号", "商户订单号"
STATE, AMOUNT = "交易状态", "订单金额"
REFUND, REFUNDED = "商户退款单号", "申请退款金额"
FEE, COUNT = "手续费", "总交易单数"
NEEDED = (NUMBER, OURS, STATE, AMOUNT, REFUND, REFUNDED, FEE)


def read(packed: bytes, *, sha1: str) -> tuple[BillLine, ...]:
    """The lines of a bill as it is downloaded (gzip). sha1 is of the plain file, in hex.

    Raises BadBill.
    """
    plain = _unpacked(packed)
    if hashlib.sha1(plain, usedforsecurity=False).hexdigest() != sha1.lower():
        raise BadBill("its SHA1 is another than WeChat Pay said")
    try:
        rows = [line for line in plain.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BadBill("it is not UTF-8") from error
    if len(rows) < 3:
        raise BadBill("it has no totals")
    heading = [name.strip() for name in rows[0].split(",")]
    if missing := [name for name in NEEDED if name not in heading]:
        raise BadBill(f"it has no column {', '.join(missing)}")
    lines = tuple(_line(_named(heading, row)) for row in rows[1:-2])
    totals = _named([name.strip() for name in rows[-2].split(",")], rows[-1])
    if totals.get(COUNT) != str(len(lines)):
        raise BadBill(f"it has {len(lines)} lines, and says that they are {totals.get(COUNT)}")
    return lines


def _unpacked(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = unpacker.decompress(packed, LARGEST)
    except zlib.error as error:
        raise BadBill("it is not packed with gzip") from error
    if not unpacker.eof:
        raise BadBill("it is cut off, or larger than any bill")
    return plain


def _named(heading: list[str], row: str) -> dict[str, str]:
    if not row.startswith("`"):
        raise BadBill("a field does not begin with a backtick")
    fields = row[1:].split(",`")  # a comma alone may be part of a description
    if len(fields) != len(heading):
        raise BadBill(f"a line has {len(fields)} fields, the heading {len(heading)}")
    return dict(zip(heading, fields, strict=True))


def _line(fields: dict[str, str]) -> BillLine:
    is_refund = fields[STATE] == "REFUND"
    try:
        amount = Money.yuan(fields[REFUNDED if is_refund else AMOUNT])
        fee = Decimal(fields[FEE])
    except (ValueError, InvalidOperation) as error:
        raise BadBill(f"line {fields[OURS]} has no amount") from error
    return BillLine(
        out_trade_no=fields[OURS],
        transaction_id=fields[NUMBER],
        out_refund_no=fields[REFUND] if is_refund else None,
        amount=amount,
        fee=fee,
    )
