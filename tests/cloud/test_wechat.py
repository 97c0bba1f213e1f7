"""The channel wechat, by its SDK, against a simulated WeChat Pay over HTTP: what is signed, sealed and said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

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
from cloud.channels.configured import channels, wechat_login
from cloud.channels.wechat import WeChat
from cloud.channels.wechat_line import Line
from cloud.settings import Settings
from prepaid.money import Money
from simulators.payments import Owed
from simulators.wechat_keys import PlatformKeys
from simulators.wechatpay import WeChatPay
from tests.cloud.companies import (
    APPID,
    KEY_SERIAL,
    MCHID,
    V3_KEY,
    pem,
    private_key,
    wechat_pay,
    wechat_settings,
)

NUMBER = "W" * 32
FIFTY = Money.yuan("50")


@pytest.fixture(scope="module")
def merchant_key() -> rsa.RSAPrivateKey:
    return private_key()


@pytest.fixture(params=["public key", "certificates"])
def company(request, merchant_key) -> Iterator[WeChatPay]:
    with wechat_pay(merchant_key, signs_by_public_key=request.param == "public key") as company:
        yield company


def settings_of(company: WeChatPay, merchant_key: rsa.RSAPrivateKey) -> Settings:
    return Settings.model_validate(
        {
            "database_url": "postgresql://wattwell:x@127.0.0.1:1/wattwell",
            "nats_url": "nats://cloud:x@127.0.0.1:1",
            "session_secret": "s" * 43,
            "code_secret": "c" * 43,
            "signing_key": "A" * 43 + "=",
            "listen": "127.0.0.1:8080",
            "brokers": ["mqtt://127.0.0.1:1883"],
            "public_url": "http://127.0.0.1:8080",
            **wechat_settings(company, merchant_key),
        }
    )


@pytest.fixture
def wechat(company, merchant_key) -> WeChat:
    (channel,) = channels(settings_of(company, merchant_key)).values()
    assert isinstance(channel, WeChat)
    return channel


def order(wechat: WeChat, way: Way = Way.CODE, number: str = NUMBER, amount: Money = FIFTY) -> str:
    return wechat.order(
        out_trade_no=number,
        amount=amount,
        description="预付电费",
        return_url="http://127.0.0.1:8080/t/x/topups/1",
        way=way,
        payer=Payer(ip="203.0.113.7", openid="oUpF8uMuAJO"),
    ).pay_url


def notice(
    company: WeChatPay, number: str = NUMBER, **changed: object
) -> tuple[dict[str, str], bytes]:
    """The headers and body of a notice of a paid order, with what its sealed part says changed."""
    found = company.books.find(number)
    body = company.notice(Owed(found, None, 0, found.amount_fen))
    if changed:
        values = company._transaction(found) | changed
        body = company.keys.notice("TRANSACTION.SUCCESS", values, kind="transaction")
    headers = {name.lower(): value for name, value in company.keys.headers(body).items()}
    return headers, body


def paid(wechat: WeChat, company: WeChatPay) -> None:
    company.scan(order(wechat))


@pytest.mark.parametrize(
    ("way", "begins"),
    [(Way.CODE, "weixin://wxpay/bizpayurl"), (Way.BRIDGE, "wx"), (Way.PAGE, "http://127.0.0.1")],
)
def test_each_way_gives_where_to_pay_and_repeating_it_the_same(wechat, way, begins):
    link = order(wechat, way)
    assert link.startswith(begins)
    assert order(wechat, way) == link
    with pytest.raises(ChannelRefused, match="INVALID_REQUEST"):
        order(wechat, way, amount=Money.yuan("51"))


def test_a_page_link_lasts_five_minutes_and_leads_back_to_us(wechat):
    before = datetime.now(UTC)
    made = wechat.order(
        out_trade_no=NUMBER,
        amount=FIFTY,
        description="预付电费",
        return_url="http://127.0.0.1:8080/t/x/topups/1?a=b",
        way=Way.PAGE,
        payer=Payer(ip="203.0.113.7"),
    )
    back = parse_qs(urlsplit(made.pay_url).query)["redirect_url"]
    assert back == ["http://127.0.0.1:8080/t/x/topups/1?a=b"]
    assert timedelta(minutes=5) <= made.expires_at - before < timedelta(minutes=6)


def test_a_payment_is_found_once_it_is_made(wechat, company):
    assert wechat.payment(NUMBER) is None
    link = order(wechat)
    assert wechat.payment(NUMBER) is None
    company.scan(link)

    found = wechat.payment(NUMBER)
    assert found is not None
    assert (found.out_trade_no, found.amount) == (NUMBER, FIFTY)
    assert found.transaction_id.startswith("42000")
    assert abs(found.paid_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_closed_order_cannot_be_paid_and_a_paid_one_not_closed(wechat, company):
    order(wechat)
    wechat.close(NUMBER)
    wechat.close(NUMBER)
    wechat.close("X" * 32)
    assert wechat.payment(NUMBER) is None
    with pytest.raises(ChannelRefused, match="ORDER_CLOSED"):
        order(wechat)

    company.scan(order(wechat, number="P" * 32))
    with pytest.raises(ChannelRefused, match="ORDERPAID"):
        wechat.close("P" * 32)


def test_what_a_page_inside_wechat_passes_to_the_bridge_is_signed_by_the_merchant(wechat, company):
    bridge = wechat.bridge(order(wechat, Way.BRIDGE))
    assert httpx.post(f"{company.url}/bridge", json=bridge | {"nonceStr": "x"}).status_code == 401
    assert wechat.payment(NUMBER) is None

    assert httpx.post(f"{company.url}/bridge", json=bridge).status_code == 200
    assert wechat.payment(NUMBER) is not None


def test_a_refund_is_one_refund_however_often_it_is_asked_for(wechat, company):
    paid(wechat, company)
    payment = wechat.payment(NUMBER)
    assert payment is not None
    refund = Refund("R" * 32, payment, FIFTY)
    assert [wechat.refund(refund).state for _ in range(3)] == [RefundState.UNDER_WAY] * 3
    company.books.settle()

    done = wechat.refund(refund)
    assert (done.state, done.amount, done.said) == (RefundState.DONE, FIFTY, "SUCCESS")
    assert done.at is not None
    assert len(company.books.find(NUMBER).refunds) == 1
    with pytest.raises(ChannelRefused, match="INVALID_REQUEST"):  # nothing is left to give back
        wechat.refund(Refund("S" * 32, payment, FIFTY))
    with pytest.raises(ChannelRefused, match="given back"):
        wechat.payment(NUMBER)


def test_a_refund_of_a_payment_that_is_not_there_is_refused(wechat):
    unknown = Payment(NUMBER, "4200001", FIFTY, datetime.now(UTC))
    with pytest.raises(ChannelRefused, match="RESOURCE_NOT_EXISTS"):
        wechat.refund(Refund("R" * 32, unknown, FIFTY))


def test_a_notice_signed_and_sealed_by_the_company_is_read(wechat, company):
    paid(wechat, company)
    headers, body = notice(company)
    assert wechat.read_notice(headers, body, now=datetime.now(UTC)) == wechat.payment(NUMBER)


def test_a_notice_of_a_refund_is_read(wechat, company):
    paid(wechat, company)
    payment = wechat.payment(NUMBER)
    assert payment is not None
    wechat.refund(Refund("R" * 32, payment, FIFTY))
    company.books.settle("ABNORMAL")
    (refund,) = company.books.find(NUMBER).refunds.values()
    body = company.notice(Owed(company.books.find(NUMBER), refund, 0, 5000))

    headers = httpx.Headers(company.keys.headers(body))
    said = wechat.read_notice(headers, body, now=datetime.now(UTC))
    assert isinstance(said, Refunded)
    assert (said.out_refund_no, said.transaction_id) == ("R" * 32, payment.transaction_id)
    assert (said.state, said.said) == (RefundState.FAILED, "ABNORMAL")


@pytest.mark.parametrize("seconds", [-301, 301, 86400])
def test_a_notice_kept_for_later_is_refused(wechat, company, seconds):
    paid(wechat, company)
    headers, body = notice(company)
    with pytest.raises(Forged, match="not sent just now"):
        wechat.read_notice(headers, body, now=datetime.now(UTC) + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "changed",
    [
        {"wechatpay-timestamp": ""},
        {"wechatpay-timestamp": "٣"},
        {"wechatpay-timestamp": "1" * 400},
        {"wechatpay-nonce": "another"},
        {"wechatpay-signature": ""},
        {"wechatpay-signature": "not base64"},
        {"wechatpay-signature": "WECHATPAY/SIGNTEST/AAAA"},
        {"wechatpay-serial": ""},
        {"wechatpay-serial": "not hexadecimal"},
        {"wechatpay-serial": "5157F09EFDC096DE15EBE81A47057A72"},
        {"wechatpay-signature-type": "WECHATPAY2-SM2-WITH-SM3"},
    ],
)
def test_a_notice_with_other_headers_is_forged(wechat, company, changed):
    paid(wechat, company)
    headers, body = notice(company)
    with pytest.raises(Forged):
        wechat.read_notice(headers | changed, body, now=datetime.now(UTC))


def test_a_notice_altered_by_one_byte_is_forged(wechat, company):
    paid(wechat, company)
    headers, body = notice(company)
    for index in range(0, len(body), 7):
        altered = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
        with pytest.raises(Forged):
            wechat.read_notice(headers, altered, now=datetime.now(UTC))
    with pytest.raises(Forged):
        wechat.read_notice(headers, b"\xff" + body, now=datetime.now(UTC))


@pytest.mark.parametrize(
    "changed",
    [
        {"mchid": "1900000110"},
        {"appid": "wxffffffffffffffff"},
        {"amount": {"total": 0, "currency": "CNY"}},
        {"amount": {"total": 50.0, "currency": "CNY"}},
        {"amount": {"total": "5000", "currency": "CNY"}},
        {"amount": {"total": 5000, "currency": "USD"}},
        {"amount": None},
        {"transaction_id": ""},
        {"success_time": "2026-03-02T12:00:00"},
        {"success_time": None},
        {"out_trade_no": ""},
    ],
)
def test_a_signed_notice_that_says_something_else_is_refused(wechat, company, changed):
    paid(wechat, company)
    headers, body = notice(company, **changed)
    with pytest.raises(Forged):
        wechat.read_notice(headers, body, now=datetime.now(UTC))


def test_a_signed_notice_that_nothing_was_paid_is_of_no_consequence(wechat, company):
    paid(wechat, company)
    headers, body = notice(company, trade_state="CLOSED")
    assert wechat.read_notice(headers, body, now=datetime.now(UTC)) is None


def test_a_notice_sealed_with_another_key_is_forged(wechat, company):
    paid(wechat, company)
    _, body = notice(company)
    values = json.loads(body)
    values["resource"]["nonce"] = "000000000000"
    body = json.dumps(values).encode()
    headers = httpx.Headers(company.keys.headers(body))
    with pytest.raises(Forged, match="not sealed with our key"):
        wechat.read_notice(headers, body, now=datetime.now(UTC))


def test_a_company_that_is_away_or_not_who_it_says_is_away(wechat, company):
    order(wechat)
    company.is_away = True
    with pytest.raises(ChannelAway):
        order(wechat)
    with pytest.raises(ChannelAway):
        wechat.payment(NUMBER)
    company.is_away = False
    assert wechat.payment(NUMBER) is None

    # Somebody else answers in its place, with keys of their own.
    company.keys = PlatformKeys("z" * 32, signs_by_public_key=company.keys.signs_by_public_key)
    with pytest.raises(ChannelAway):
        wechat.payment(NUMBER)


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def certified(merchant_key) -> Iterator[WeChatPay]:
    with wechat_pay(merchant_key, signs_by_public_key=False) as company:
        yield company


@pytest.fixture
def by_certificates(certified, merchant_key, clock) -> WeChat:
    """The channel as a merchant without WeChat Pay's public key has it, by our clock."""
    line = Line(
        url=certified.url,
        mchid=MCHID,
        key_serial=KEY_SERIAL,
        private_key=pem(merchant_key),
        v3_key=V3_KEY,
        public_key=None,
        public_key_id=None,
        clock=clock,
    )
    ways = frozenset({Way.CODE})
    return WeChat(line, mchid=MCHID, appid=APPID, ways=ways, notify_url="http://127.0.0.1/n")


def test_a_rotated_certificate_is_fetched_and_believed(certified, by_certificates, clock):
    wechat = by_certificates
    assert certified.certificates_asked == 0  # the program starts without asking
    paid(wechat, certified)
    assert certified.certificates_asked == 1

    certified.keys.rotate()
    clock.now += 60
    headers, body = notice(certified)
    assert wechat.read_notice(headers, body, now=datetime.now(UTC)) is not None
    assert certified.certificates_asked == 2


def test_forged_notices_do_not_make_us_ask_for_certificates_each_time(
    certified, by_certificates, clock
):
    wechat = by_certificates
    paid(wechat, certified)
    headers, body = notice(certified)
    for number in range(20):
        forged = headers | {"wechatpay-serial": f"{number:040X}"}
        with pytest.raises(Forged):
            wechat.read_notice(forged, body, now=datetime.now(UTC))
    assert certified.certificates_asked == 1
    assert wechat.read_notice(headers, body, now=datetime.now(UTC)) is not None


def test_while_certificates_cannot_be_had_the_known_ones_still_serve(
    certified, by_certificates, clock
):
    wechat = by_certificates
    paid(wechat, certified)
    certified.is_away = True
    clock.now += 60
    headers, body = notice(certified)
    with pytest.raises(Forged):
        wechat.read_notice(headers | {"wechatpay-serial": "AB"}, body, now=datetime.now(UTC))
    assert wechat.read_notice(headers, body, now=datetime.now(UTC)) is not None


def test_a_payer_inside_wechat_is_known_by_a_code_that_is_good_once(certified, merchant_key):
    login = wechat_login(settings_of(certified, merchant_key))
    assert login is not None
    address = login.address(return_url="http://127.0.0.1:8080/back", state="s1")
    back = httpx.get(address).headers["location"]
    assert back.startswith("http://127.0.0.1:8080/back?")
    (code,) = parse_qs(urlsplit(back).query)["code"]
    assert parse_qs(urlsplit(back).query)["state"] == ["s1"]

    assert login.openid(code).startswith("o")
    with pytest.raises(ChannelRefused, match="does not say who pays"):
        login.openid(code)
    assert "a" * 32 not in address
