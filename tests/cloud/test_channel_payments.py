"""Payments end to end over HTTP: our web program, our sweeps, and payment companies that misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import select

from cloud import tables
from cloud.app import create_app
from cloud.channels import Channel, Payer, Way
from cloud.services import channel_refunds, ledger, topups
from cloud.services.money import sweeps
from prepaid.money import ZERO, Money
from simulators.alipay import Alipay
from simulators.payments import Misbehaviour
from simulators.wechatpay import WeChatPay
from tests.cloud.companies import (
    alipay_company,
    alipay_settings,
    listening,
    private_key,
    serve,
    url_of,
    wechat_pay,
    wechat_settings,
)

pytestmark = pytest.mark.processes

FIFTY = Money.yuan("50")
Company = WeChatPay | Alipay


@dataclass
class Shop:
    """Our web program and a payment company, and an account that tops up."""

    url: str
    name: str
    company: Company
    channels: dict[str, Channel]
    order: Callable[..., tables.TopUp]
    held: Callable[[], Money]
    sweep: Callable[[timedelta], int]
    give_back: Callable[[timedelta], int]


@pytest.fixture(scope="module", params=["wechat", "alipay"])
def company(request) -> Iterator[tuple[str, Company, dict[str, object]]]:
    key = private_key()
    if request.param == "wechat":
        with wechat_pay(key) as wechat:
            yield request.param, wechat, wechat_settings(wechat, key)
    else:
        with alipay_company(key) as alipay:
            yield request.param, alipay, alipay_settings(alipay, key)


@pytest.fixture
def shop(company, settings, database, home) -> Iterator[Shop]:
    name, company, values = company
    company.books.misbehaviour = Misbehaviour.NONE
    company.books.take_due(float("inf"))
    bound = listening()
    changed = {**values, "public_url": url_of(bound), "sandbox_url": None}
    app = create_app(settings.model_copy(update=changed))
    channels: dict[str, Channel] = app.state.channels

    def order(yuan: str = "50", **more: object) -> tables.TopUp:
        return topups.create(
            database,
            channels[name],
            organization_id=home.organization_id,
            account_id=home.account_id,
            purse_id=home.electricity_purse,
            amount=Money.yuan(yuan),
            idempotency_key=uuid4(),
            page_url="http://cloud.test/t/x/topups",
            **{"way": Way.CODE, "payer": Payer(ip="203.0.113.7"), **more},  # type: ignore[arg-type]
        )

    def held() -> Money:
        with database.system() as session:
            return ledger.balance(session, home.electricity_purse)

    def sweep(later: timedelta) -> int:
        now = datetime.now(UTC) + later
        return sweeps.sweep(database, channels, now=now, is_stopping=lambda: False)

    def give_back(later: timedelta) -> int:
        now = datetime.now(UTC) + later
        return channel_refunds.sweep(database, channels, now=now, is_stopping=lambda: False)

    with serve(app, bound):
        yield Shop(url_of(bound), name, company, channels, order, held, sweep, give_back)
        app.state.events.close()


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)


def pay(shop: Shop, topup: tables.TopUp) -> None:
    if topup.way == Way.PAGE:
        httpx.get(topup.pay_url or "")  # where Alipay first hears of the order
    shop.company.pay(shop.company.books.find(topup.out_trade_no))


def refused(database) -> list[str]:
    with database.system() as session:
        return list(session.execute(select(tables.RefusedNotice.reason)).scalars())


def test_a_payment_is_credited_when_the_company_says_so(shop):
    topup = shop.order()
    pay(shop, topup)
    assert shop.held() == ZERO

    assert shop.company.deliver() == [200]
    assert shop.held() == FIFTY
    assert shop.sweep(minutes(2)) == 0


def test_a_notice_that_comes_twice_credits_once(shop):
    shop.company.books.misbehaviour = Misbehaviour.TWICE
    pay(shop, shop.order())
    assert shop.company.deliver() == [200, 200]
    assert shop.held() == FIFTY


def test_a_late_notice_finds_what_the_sweep_has_booked(shop):
    shop.company.books.misbehaviour = Misbehaviour.LATE
    pay(shop, shop.order())
    assert shop.company.deliver() == []
    assert shop.sweep(minutes(2)) == 1
    assert shop.held() == FIFTY

    assert shop.company.deliver(ahead_s=3600) == [200]
    assert shop.held() == FIFTY


def test_a_notice_that_never_comes_is_made_good_by_the_sweep(shop):
    shop.company.books.misbehaviour = Misbehaviour.NEVER
    pay(shop, shop.order())
    assert shop.company.deliver(ahead_s=86400) == []
    assert shop.sweep(minutes(2)) == 1
    assert shop.held() == FIFTY


def test_a_forged_notice_changes_nothing(shop, database):
    shop.company.books.misbehaviour = Misbehaviour.FORGED
    pay(shop, shop.order())
    assert shop.company.deliver() == [401]
    assert shop.held() == ZERO
    assert refused(database) == []


def test_a_notice_of_another_amount_is_not_credited_and_kept_for_a_person(shop, database):
    shop.company.books.misbehaviour = Misbehaviour.ALTERED
    pay(shop, shop.order())
    assert shop.company.deliver() == [400]
    assert shop.held() == ZERO
    (reason,) = refused(database)
    assert "¥50.01 was paid, ¥50.00 was ordered" in reason


def test_money_given_back_by_hand_before_its_payment_is_told_is_not_credited(shop, database):
    shop.company.books.misbehaviour = Misbehaviour.REFUND_FIRST
    pay(shop, shop.order())
    assert shop.company.deliver() == [200, 400]
    assert shop.sweep(minutes(2)) == 0
    assert shop.held() == ZERO
    assert len(refused(database)) == 2


def test_a_notice_signed_by_a_rotated_certificate_is_believed(settings, database, home):
    key = private_key()
    with wechat_pay(key, signs_by_public_key=False) as company:
        values = wechat_settings(company, key)
        bound = listening()
        changed = {**values, "public_url": url_of(bound), "sandbox_url": None}
        app = create_app(settings.model_copy(update=changed))
        company.keys.rotate()  # before our program has fetched any
        with serve(app, bound):
            topup = topups.create(
                database,
                app.state.channels["wechat"],
                organization_id=home.organization_id,
                account_id=home.account_id,
                purse_id=home.electricity_purse,
                amount=FIFTY,
                idempotency_key=uuid4(),
                page_url="http://cloud.test/t/x/topups",
                way=Way.CODE,
            )
            company.books.pay(company.books.find(topup.out_trade_no))
            assert company.deliver() == [200]
            app.state.events.close()
    with database.system() as session:
        assert ledger.balance(session, home.electricity_purse) == FIFTY


def test_a_hundred_notices_at_once_credit_once_and_are_all_answered(shop, database):
    topup = shop.order()
    pay(shop, topup)
    (owed,) = shop.company.books.take_due(float("inf"))

    # Each notice by a connection of its own: one that has idled may be hung up as it is used again.
    alone = httpx.Limits(max_keepalive_connections=0)
    with (
        httpx.Client(timeout=60, limits=alone) as client,
        ThreadPoolExecutor(20) as threads,
    ):
        answers = list(threads.map(lambda _: shop.company.send(client, owed), range(100)))

    assert answers == [200] * 100
    assert shop.held() == FIFTY
    with database.system() as session:
        assert len(session.execute(select(tables.Transfer)).all()) == 1


def test_a_commit_that_fails_is_not_answered_as_taken(shop, all_seeing):
    pay(shop, shop.order())
    with psycopg.connect(all_seeing, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100'; END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON transfers DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION no()"
        )
        (status,) = shop.company.deliver()
        assert status == 503
        assert shop.held() == ZERO

        connection.execute("DROP TRIGGER no ON transfers")
    assert shop.company.deliver(ahead_s=60) == [200]
    assert shop.held() == FIFTY


def test_a_second_payment_goes_back_to_who_paid_until_the_company_says_it_has(shop, database):
    first = shop.order()
    page = shop.order(way=Way.PAGE, twin_of=first.id)
    pay(shop, first)
    pay(shop, page)
    assert shop.company.deliver() == [200, 200]
    assert shop.held() == FIFTY

    if shop.name == "wechat":
        assert shop.give_back(minutes(0)) == 0  # accepted is not done
        assert shop.give_back(minutes(2)) == 0
        shop.company.books.settle()
    else:
        assert shop.give_back(minutes(0)) == 1
    assert shop.company.deliver() == [200]
    with database.system() as session:
        refund = session.execute(select(tables.ChannelRefund)).scalar_one()
    assert refund.topup_id == page.id
    assert refund.done_at is not None
    assert shop.company.books.find(page.out_trade_no).refunded_fen == 5000
    assert shop.give_back(minutes(60)) == 0
    assert shop.held() == FIFTY


def test_a_refund_whose_notice_never_comes_is_asked_about(shop):
    first = shop.order()
    other = shop.order(way=Way.PAGE, twin_of=first.id)
    pay(shop, first)
    pay(shop, other)
    shop.company.deliver()
    done = shop.give_back(minutes(0))
    shop.company.books.settle()
    shop.company.books.take_due(float("inf"))  # lost on the way

    assert done + shop.give_back(minutes(5)) == 1


def test_when_one_order_is_paid_its_twin_can_no_longer_be(shop):
    first = shop.order()
    twin = shop.order(way=Way.PAGE, twin_of=first.id)
    httpx.get(twin.pay_url)
    pay(shop, first)
    shop.company.deliver()
    shop.sweep(minutes(6))
    assert shop.company.books.find(twin.out_trade_no).is_closed
    assert not shop.company.books.find(first.out_trade_no).is_closed


def test_a_payment_while_we_are_away_is_delivered_again(shop):
    topup = shop.order()
    order = shop.company.books.find(topup.out_trade_no)
    there, order.notify_url = order.notify_url, "http://127.0.0.1:1/api/channels/notify"
    pay(shop, topup)
    assert shop.company.deliver() == [0]
    order.notify_url = there
    assert shop.company.deliver(ahead_s=60) == [200]
    assert shop.held() == FIFTY


def test_a_notice_of_no_order_of_ours_is_not_taken(shop):
    topup = shop.order()
    pay(shop, topup)
    (owed,) = shop.company.books.take_due(float("inf"))
    owed.order.out_trade_no = UUID(int=7).hex
    with httpx.Client() as client:
        assert shop.company.send(client, owed) == 404
    assert shop.held() == ZERO
