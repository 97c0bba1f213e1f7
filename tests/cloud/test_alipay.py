"""The channel alipay, by its SDK, against a simulated gateway over HTTP: what is signed and said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from cloud.channels import (
    ChannelAway,
    ChannelRefused,
    Forged,
    Payer,
    Payment,
    Refund,
    Refunded,
    RefundState,
    Way,
)
from cloud.channels.alipay import Alipay, Sdk
from prepaid.money import Money
from simulators import alipay as simulated
from simulators.payments import Owed
from tests.cloud.companies import ALIPAY_APP, ALIPAY_SELLER, alipay_company, pem, private_key

NUMBER = "A" * 32
FIFTY = Money.yuan("50")


@pytest.fixture(scope="module")
def merchant_key() -> rsa.RSAPrivateKey:
    return private_key()


@pytest.fixture
def company(merchant_key) -> Iterator[simulated.Alipay]:
    with alipay_company(merchant_key) as company:
        yield company


def channel(company: simulated.Alipay, key: rsa.RSAPrivateKey, public_key: str) -> Alipay:
    public = f"-----BEGIN PUBLIC KEY-----\n{public_key}\n-----END PUBLIC KEY-----"
    sdk = Sdk(url=company.url, app_id=ALIPAY_APP, private_key=pem(key), public_key=public)
    return Alipay(
        sdk,
        url=company.url,
        app_id=ALIPAY_APP,
        seller_id=ALIPAY_SELLER,
        ways=frozenset({Way.PAGE, Way.CODE}),
        notify_url="http://127.0.0.1:1/api/channels/alipay/notify",
    )


@pytest.fixture
def alipay(company, merchant_key) -> Alipay:
    return channel(company, merchant_key, company.public_key)


def order(alipay: Alipay, way: Way = Way.CODE, number: str = NUMBER, amount: Money = FIFTY) -> str:
    return alipay.order(
        out_trade_no=number,
        amount=amount,
        description="预付电费 & 水费",
        return_url="http://127.0.0.1:8080/t/x/topups/1",
        way=way,
        payer=Payer(),
    ).pay_url


def pay(company: simulated.Alipay) -> None:
    company.pay(company.books.find(NUMBER))


def notice(company: simulated.Alipay, **changed: str) -> bytes:
    found = company.books.find(NUMBER)
    return urlencode(company.notice(Owed(found, None, 0, found.amount_fen), **changed)).encode()


def read(alipay: Alipay, body: bytes) -> object:
    return alipay.read_notice({}, body, now=datetime.now(UTC))


def test_a_code_to_scan_is_given_and_repeating_it_gives_the_same(alipay):
    code = order(alipay)
    assert code.startswith("https://qr.alipay.com/")
    assert order(alipay) == code
    with pytest.raises(ChannelRefused, match="CONTEXT_INCONSISTENT"):
        order(alipay, amount=Money.yuan("51"))


def test_a_page_is_an_address_that_we_sign_and_the_company_takes(alipay, company):
    before = datetime.now(UTC)
    made = alipay.order(
        out_trade_no=NUMBER,
        amount=FIFTY,
        description="预付电费 & 水费",
        return_url="http://127.0.0.1:8080/t/x",
        way=Way.PAGE,
        payer=Payer(),
    )
    assert timedelta(minutes=29) < made.expires_at - before < timedelta(minutes=31)
    shown = httpx.get(made.pay_url)
    assert "¥50.00" in shown.text
    assert "预付电费 &amp; 水费" in shown.text
    paid = httpx.post(
        f"{company.url.removesuffix('/gateway.do')}/cashier", data={"out_trade_no": NUMBER}
    )
    assert paid.headers["location"] == "http://127.0.0.1:8080/t/x"
    assert alipay.payment(NUMBER) is not None

    altered = made.pay_url.replace("50.00", "0.01")
    assert "invalid-signature" in httpx.get(altered).text


def test_a_payment_is_found_once_it_is_made(alipay, company):
    assert alipay.payment(NUMBER) is None
    order(alipay)
    assert alipay.payment(NUMBER) is None
    pay(company)

    found = alipay.payment(NUMBER)
    assert found is not None
    assert (found.out_trade_no, found.amount) == (NUMBER, FIFTY)
    assert found.transaction_id == company.books.find(NUMBER).transaction_id
    assert abs(found.paid_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_order_that_nobody_has_opened_is_not_closed_for_good(alipay, company):
    assert alipay.close(NUMBER) is False
    httpx.get(order(alipay, Way.PAGE))
    assert alipay.payment(NUMBER) is None
    assert alipay.close(NUMBER) is True
    assert alipay.close(NUMBER) is True
    with pytest.raises(ChannelRefused, match="TRADE_HAS_CLOSE"):
        order(alipay)


def test_a_paid_order_is_not_closed(alipay, company):
    order(alipay)
    pay(company)
    with pytest.raises(ChannelRefused, match="TRADE_HAS_SUCCESS"):
        alipay.close(NUMBER)


def test_a_refund_is_one_refund_however_often_it_is_asked_for(alipay, company):
    order(alipay)
    pay(company)
    payment = alipay.payment(NUMBER)
    assert payment is not None
    refund = Refund("R" * 32, payment, FIFTY)
    assert [alipay.refund(refund).state for _ in range(3)] == [RefundState.DONE] * 3
    assert company.books.find(NUMBER).refunded_fen == 5000
    with pytest.raises(ChannelRefused):
        alipay.refund(Refund("S" * 32, payment, FIFTY))
    assert alipay.payment(NUMBER) is None  # nothing is there to be credited any more


def test_a_refund_of_a_payment_that_is_not_there_is_refused(alipay):
    unknown = Payment(NUMBER, "2000001", FIFTY, datetime.now(UTC))
    with pytest.raises(ChannelRefused, match="TRADE_NOT_EXIST"):
        alipay.refund(Refund("R" * 32, unknown, FIFTY))


def test_a_notice_signed_by_the_company_is_read(alipay, company):
    order(alipay)
    pay(company)
    assert read(alipay, notice(company)) == alipay.payment(NUMBER)


def test_a_notice_of_a_refund_is_no_payment(alipay, company):
    order(alipay)
    pay(company)
    payment = alipay.payment(NUMBER)
    assert payment is not None
    alipay.refund(Refund("R" * 32, payment, FIFTY))
    found = company.books.find(NUMBER)
    body = urlencode(company.notice(Owed(found, found.refunds["R" * 32], 0, 5000))).encode()

    said = read(alipay, body)
    assert isinstance(said, Refunded)
    assert (said.out_refund_no, said.transaction_id) == ("R" * 32, payment.transaction_id)
    assert (said.amount, said.state) == (FIFTY, RefundState.DONE)


def test_a_notice_altered_in_any_field_is_forged(alipay, company):
    order(alipay)
    pay(company)
    found = company.books.find(NUMBER)
    values = company.notice(Owed(found, None, 0, 5000))
    for name in values:
        for altered in ({name: values[name] + "1"}, {name: ""}):
            with pytest.raises(Forged):
                read(alipay, urlencode(values | altered).encode())
    without = {name: value for name, value in values.items() if name != "sign"}
    for body in (
        urlencode(without).encode(),
        urlencode(values).encode() + b"&total_amount=0.01",
        b"",
        b"\xff",
        b"sign",
        b"&" * 200,
    ):
        with pytest.raises(Forged):
            read(alipay, body)


@pytest.mark.parametrize(
    "changed",
    [
        {"app_id": "2021000000000099"},
        {"seller_id": "2088000000000099"},
        {"total_amount": "0.00"},
        {"total_amount": "50"},
        {"total_amount": "-50.00"},
        {"total_amount": "٥٠.00"},
        {"total_amount": "5e1"},
        {"gmt_payment": "yesterday"},
        {"trade_no": ""},
        {"out_trade_no": ""},
    ],
)
def test_a_signed_notice_that_says_something_else_is_refused(alipay, company, changed):
    order(alipay)
    pay(company)
    with pytest.raises(Forged):
        read(alipay, notice(company, **changed))


@pytest.mark.parametrize("status", ["WAIT_BUYER_PAY", "TRADE_CLOSED"])
def test_a_signed_notice_that_nothing_was_paid_is_of_no_consequence(alipay, company, status):
    order(alipay)
    pay(company)
    assert read(alipay, notice(company, trade_status=status)) is None


def test_a_company_that_is_away_or_not_who_it_says_is_away(alipay, company, merchant_key):
    company.is_away = True
    for ask in (order, lambda one: one.payment(NUMBER), lambda one: one.close(NUMBER)):
        with pytest.raises(ChannelAway):
            ask(alipay)
    company.is_away = False

    company.key = private_key()  # somebody else answers in its place
    with pytest.raises(ChannelAway):
        order(alipay)


def test_a_key_that_is_not_the_applications_is_said_in_the_log(company, caplog):
    stranger = channel(company, private_key(), company.public_key)
    with pytest.raises(ChannelAway):
        order(stranger)
    assert "isv.invalid-signature" in caplog.text
