"""A channel's daily bill: read whole or not at all, and compared with our books both ways."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import text

from cloud.channels import BillLine, ChannelAway, ChannelRefused, Payment, Way, wechat_bill
from cloud.channels.configured import channels
from cloud.services import channel_refunds, reconciliation, topups
from cloud.services.reconciliation import BEIJING, Kind
from prepaid.money import ZERO, Money
from simulators.payments import Order
from tests.cloud.companies import private_key, wechat_pay, wechat_settings

FIFTY, THIRTY = Money.yuan("50"), Money.yuan("30")
NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)  # 12:00 in Beijing
DAY = NOON.astimezone(BEIJING).date()


def bill(*rows: str, totals: str | None = None) -> tuple[bytes, str]:
    """A bill of these lines, with right totals unless others are given; and its SHA1."""
    heading = "微信订单号,商户订单号,交易状态,订单金额,商户退款单号,申请退款金额,商品名称,手续费"
    end = totals if totals is not None else f"`{len(rows)},`1.00"
    plain = "\r\n".join([heading, *rows, "总交易单数,订单总金额", end]).encode()
    return gzip.compress(plain), hashlib.sha1(plain, usedforsecurity=False).hexdigest()


PAID = "`4200001,`W1,`SUCCESS,`50.00,`0,`0.00,`预付电费, 3 月,`0.30000"
BACK = "`4200001,`W1,`REFUND,`0.00,`R1,`50.00,`预付电费, 3 月,`-0.30000"


def test_a_bill_is_read_line_by_line():
    packed, sha1 = bill(PAID, BACK)
    assert wechat_bill.read(packed, sha1=sha1.upper()) == (
        BillLine("W1", "4200001", None, FIFTY, Decimal("0.30000")),
        BillLine("W1", "4200001", "R1", FIFTY, Decimal("-0.30000")),
    )


@pytest.mark.parametrize(
    ("rows", "totals", "why"),
    [
        ((PAID,), "`2,`1.00", "it has 1 lines, and says that they are 2"),
        ((PAID[1:],), None, "does not begin with a backtick"),
        ((PAID + ",`more",), None, "has 9 fields, the heading 8"),
        ((PAID.replace("50.00", "fifty"),), None, "line W1 has no amount"),
        ((PAID.replace("0.30000", ""),), None, "line W1 has no amount"),
    ],
)
def test_a_bill_that_is_not_whole_is_refused(rows, totals, why):
    packed, sha1 = bill(*rows, totals=totals)
    with pytest.raises(wechat_bill.BadBill, match=why):
        wechat_bill.read(packed, sha1=sha1)


def test_a_bill_that_was_damaged_on_the_way_is_refused():
    packed, sha1 = bill(PAID)
    for damaged in (packed[:-4], b"", b"no gzip", packed[:20]):
        with pytest.raises(wechat_bill.BadBill):
            wechat_bill.read(damaged, sha1=sha1)
    with pytest.raises(wechat_bill.BadBill, match="SHA1"):
        wechat_bill.read(packed, sha1="0" * 40)
    other = gzip.compress(b"a,b\r\n`1,`2\r\nc\r\n`1")
    plain = hashlib.sha1(gzip.decompress(other), usedforsecurity=False).hexdigest()
    with pytest.raises(wechat_bill.BadBill, match="no column 微信订单号"):
        wechat_bill.read(other, sha1=plain)


def line(payment: Payment, **changed: object) -> BillLine:
    paid = BillLine(
        payment.out_trade_no, payment.transaction_id, None, payment.amount, Decimal("0.30")
    )
    return replace(paid, **changed)  # type: ignore[arg-type]


def compared(database, *lines: BillLine, day=DAY) -> reconciliation.Reconciled:
    with database.system() as session:
        return reconciliation.reconcile(session, channel="sandbox", day=day, bill=lines)


@pytest.fixture
def paid(database, order):
    """Orders and books a payment of ¥50 made at an instant."""

    def paid(number: str, at: datetime = NOON) -> Payment:
        payment = replace(order("50"), transaction_id=number, paid_at=at)
        assert topups.book(database, payment, channel="sandbox", now=at)
        return payment

    return paid


@pytest.mark.processes
def test_a_day_on_which_both_sides_agree_has_no_differences(database, paid):
    first, second = paid("T1"), paid("T2", at=NOON + timedelta(hours=11, minutes=59))
    paid("T3", at=NOON + timedelta(hours=12))  # of tomorrow
    found = compared(database, line(first), line(second))

    assert found.differences == ()
    # 50.00 + 50.00; 0.30 + 0.30
    assert (found.paid, found.refunded) == (Money.yuan("100"), ZERO)
    assert found.fee == Decimal("0.60")


@pytest.mark.processes
def test_what_only_one_side_has_or_has_otherwise_is_told_by_what_is_to_be_done(
    database, paid, order
):
    agreed, less, ours = paid("T1"), paid("T2"), paid("T3")
    lost = replace(order("30"), transaction_id="T4")
    lines = (line(agreed), line(less, amount=THIRTY), line(lost))
    told = {d.transaction_id: d for d in compared(database, *lines).differences}

    assert {n: d.kind for n, d in told.items()} == {
        "T2": Kind.AMOUNT,
        "T3": Kind.OURS_ONLY,
        "T4": Kind.THEIRS_ONLY,
    }
    assert (told["T2"].ours, told["T2"].theirs) == (FIFTY, THIRTY)
    assert (told["T3"].out_trade_no, told["T3"].theirs) == (ours.out_trade_no, None)
    assert (told["T4"].out_trade_no, told["T4"].ours) == (lost.out_trade_no, None)


@pytest.mark.processes
def test_what_was_never_booked_and_was_given_back_whole_there_is_no_difference(database, order):
    whole, part = (replace(order("50"), transaction_id=number) for number in ("T1", "T2"))
    lines = (
        line(whole),
        line(whole, out_refund_no="HAND1"),
        line(part),
        line(part, out_refund_no="HAND2", amount=THIRTY),
    )
    found = compared(database, *lines)
    assert {(d.transaction_id, d.kind) for d in found.differences} == {
        ("T2", Kind.THEIRS_ONLY),
        ("T2", Kind.REFUND_THEIRS_ONLY),
    }


@pytest.mark.processes
def test_second_payments_and_what_went_back_are_compared_too(database, channel, paid):
    first = paid("T1")
    second = replace(first, transaction_id="T2")
    topups.book(database, second, channel="sandbox", now=NOON)
    third = replace(first, transaction_id="T3")
    topups.book(database, third, channel="sandbox", now=NOON)
    channel_refunds.sweep(database, {"sandbox": channel}, now=NOON, is_stopping=lambda: False)
    number, unbilled = (refund.out_refund_no for refund in channel.refunds.values())

    back = line(second, out_refund_no=number)
    by_hand = line(first, out_refund_no="HAND", amount=THIRTY)
    found = compared(database, line(first), line(second), line(third), back, by_hand)

    # 50.00 and 30.00 went back.
    assert found.refunded == Money.yuan("80")
    assert {(d.kind, d.out_refund_no) for d in found.differences} == {
        (Kind.REFUND_OURS_ONLY, unbilled),
        (Kind.REFUND_THEIRS_ONLY, "HAND"),
    }


@pytest.mark.processes
def test_a_refund_taken_near_midnight_may_be_of_either_day(database, channel, paid):
    late = NOON + timedelta(hours=11, minutes=55)
    first = paid("T1", at=late)
    second = replace(first, transaction_id="T2")
    topups.book(database, second, channel="sandbox", now=late)
    channel_refunds.sweep(database, {"sandbox": channel}, now=late, is_stopping=lambda: False)
    (refund,) = channel.refunds.values()

    assert compared(database, line(first), line(second)).differences == ()
    back = line(second, out_refund_no=refund.out_refund_no)
    assert compared(database, back, day=DAY + timedelta(days=1)).differences == ()


@pytest.mark.processes
def test_the_bill_of_wechat_pay_agrees_with_our_books_after_a_day_of_trouble(
    database, home, settings
):
    key = private_key()
    with wechat_pay(key) as company:
        changed = {
            **wechat_settings(company, key),
            "public_url": "https://cloud.test",
            "sandbox_url": None,
        }
        by_name = channels(settings.model_copy(update=changed))
        wechat = by_name["wechat"]
        today = datetime.now(BEIJING).date()
        assert wechat.bill(today) == ()  # type: ignore[attr-defined]

        def begin(**more: object):
            return topups.create(
                database,
                wechat,
                organization_id=home.organization_id,
                account_id=home.account_id,
                purse_id=home.electricity_purse,
                amount=FIFTY,
                idempotency_key=uuid4(),
                page_url="http://cloud.test/t/x/topups",
                way=Way.CODE,
                **more,  # type: ignore[arg-type]
            )

        def order_of(topup) -> Order:
            return company.books.find(topup.out_trade_no)

        first = begin()
        twin, lost = begin(twin_of=first.id), begin()
        for topup in (first, twin, lost):
            company.pay(order_of(topup))
        for topup in (first, twin):
            payment = wechat.payment(topup.out_trade_no)
            assert payment is not None
            assert topups.book(database, payment, channel="wechat", now=datetime.now(UTC))
        now = datetime.now(UTC)
        channel_refunds.sweep(database, by_name, now=now, is_stopping=lambda: False)
        company.books.settle()
        with database.system() as session:  # at noon, whenever this test is run
            noon = datetime.combine(today, datetime.min.time(), BEIJING) + timedelta(hours=12)
            session.execute(text("UPDATE channel_refunds SET accepted_at = :at"), {"at": noon})

        def differences() -> list[tuple[Kind, str]]:
            lines = wechat.bill(today)  # type: ignore[attr-defined]
            with database.system() as session:
                found = reconciliation.reconcile(session, channel="wechat", day=today, bill=lines)
            # 3 × 0.30 of the payments, less 0.30 of the refund; 50.00 went back
            assert (found.fee, found.refunded) == (Decimal("0.60"), FIFTY)
            return [(d.kind, d.out_trade_no) for d in found.differences]

        assert differences() == [(Kind.THEIRS_ONLY, lost.out_trade_no)]
        payment = wechat.payment(lost.out_trade_no)
        assert payment is not None
        topups.book(database, payment, channel="wechat", now=now)
        assert differences() == []

        company.spoil_bill = lambda packed: packed[:-9]
        with pytest.raises(ChannelRefused, match="is damaged"):
            wechat.bill(today)  # type: ignore[attr-defined]
        company.is_away = True
        with pytest.raises(ChannelAway):
            wechat.bill(today)  # type: ignore[attr-defined]
