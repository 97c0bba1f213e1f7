"""Top-ups: ordered once, credited once, however often the channel says so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import select, text

from cloud import tables
from cloud.auth import SignedIn
from cloud.channels import ChannelAway, Refunded, RefundState, Way
from cloud.services import channel_refunds, ledger, scopes, topups
from cloud.services.money import sweeps
from cloud.services.money.stages import stages_of
from prepaid import ledger as ledger_rules
from prepaid.ledger import clearing, returning
from prepaid.money import ZERO, Money
from prepaid.wire.downlog import Credited, read_down
from tests.cloud.conftest import FakeChannel

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def begin(database, channel, home, yuan: str, key: UUID, **changed):
    return topups.create(
        database,
        channel,
        **{
            "organization_id": home.organization_id,
            "account_id": home.account_id,
            "purse_id": home.electricity_purse,
            "amount": Money.yuan(yuan),
            "idempotency_key": key,
            "page_url": "http://cloud.test/t/x/topups",
            **changed,
        },
    )


def sweep(database, *channels, now, is_stopping=lambda: False) -> int:
    return sweeps.sweep(database, {c.name: c for c in channels}, now=now, is_stopping=is_stopping)


def credits(database, home) -> list[str]:
    """The amounts of the Credited entries in the gateway's down-log."""
    with database.system() as session:
        bodies = session.execute(
            select(tables.DownEntry.body)
            .where(tables.DownEntry.gateway_id == home.gateway_id)
            .order_by(tables.DownEntry.seq)
        ).scalars()
        messages = [read_down(body) for body in bodies]
    return [str(m.transfer.amount) for m in messages if isinstance(m, Credited)]


def held(database, home) -> Money:
    with database.system() as session:
        return ledger.balance(session, home.electricity_purse)


def test_an_order_repeated_with_its_key_is_one_order(database, channel, home):
    key = uuid4()
    first = begin(database, channel, home, "50", key)
    again = begin(database, channel, home, "50", key)

    assert (first.id, first.pay_url) == (again.id, again.pay_url)
    assert first.pay_url == f"http://pay.test/pay/{first.out_trade_no}"
    assert len(channel.orders) == 1
    assert held(database, home) == ZERO


def test_orders_at_the_same_time_with_one_key_are_one_order(database, channel, home):
    key = uuid4()
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: begin(database, channel, home, "50", key), range(8)))
    assert len({topup.id for topup in made}) == 1


@pytest.mark.parametrize("changed", [{"amount": Money.yuan("51")}, {"purse_id": "water"}])
def test_another_amount_or_purse_under_one_key_is_refused(database, channel, home, changed):
    key = uuid4()
    begin(database, channel, home, "50", key)
    if "purse_id" in changed:
        changed = {"purse_id": home.water_purse}
    with pytest.raises(topups.KeyReused):
        begin(database, channel, home, "50", key, **changed)


@pytest.mark.parametrize("yuan", ["0", "-5", "10000.01"])
def test_an_amount_that_nobody_tops_up_is_refused(database, channel, home, yuan):
    with pytest.raises(topups.BadAmount, match="at most ¥10000"):
        begin(database, channel, home, yuan, uuid4())


def test_another_accounts_purse_is_not_to_be_topped_up(database, channel, build):
    ours, theirs = build("ours"), build("theirs")
    with pytest.raises(scopes.NoSuchPurse):
        begin(database, channel, ours, "5", uuid4(), purse_id=theirs.electricity_purse)
    with pytest.raises(scopes.NoSuchPurse):
        begin(database, channel, ours, "5", uuid4(), account_id=theirs.account_id)


def test_an_order_while_the_channel_is_away_keeps_nothing_and_may_be_repeated(
    database, channel, home
):
    key = uuid4()
    channel.is_away = True
    with pytest.raises(ChannelAway):
        begin(database, channel, home, "50", key)
    with database.system() as session:
        assert session.execute(select(tables.TopUp)).first() is None

    channel.is_away = False
    assert begin(database, channel, home, "50", key).pay_url is not None


def test_a_payment_is_credited_and_sent_to_the_gateway_in_one_step(database, home, order):
    payment = order("50")
    assert topups.book(database, payment, channel="sandbox", now=NOON)

    # 50.00 paid; the purse held nothing.
    assert held(database, home) == Money.yuan("50")
    assert credits(database, home) == ["50.00"]
    with database.organization(home.organization_id) as session:
        topup = session.execute(select(tables.TopUp)).scalar_one()
        stages = stages_of(session, topup.id, now=NOON, account_id=home.account_id)
        assert (stages.paid_at, stages.credited_at) == (payment.paid_at, NOON)
        assert (stages.delivered_at, stages.restored_at, stages.gateway_online) == (
            None,
            None,
            False,
        )
        with pytest.raises(scopes.NoSuchTopUp):
            stages_of(session, topup.id, now=NOON, account_id=uuid4())


def test_a_hundred_notices_at_the_same_time_credit_once(database, home, order):
    payment = order("50")
    with ThreadPoolExecutor(15) as threads:
        booked = list(
            threads.map(
                lambda _: topups.book(database, payment, channel="sandbox", now=NOON), range(100)
            )
        )
    assert booked == [True] * 100
    assert held(database, home) == Money.yuan("50")
    assert credits(database, home) == ["50.00"]


def test_many_orders_at_the_same_time_are_all_credited(database, home, order):
    payments = [order("1.01") for _ in range(20)]
    with ThreadPoolExecutor(10) as threads:
        list(
            threads.map(
                lambda p: topups.book(database, p, channel="sandbox", now=NOON), payments * 3
            )
        )
    assert held(database, home) == Money.yuan("20.20")
    assert credits(database, home) == ["1.01"] * 20


def test_a_payment_of_another_amount_is_kept_for_a_person_and_credits_nothing(
    database, home, order
):
    payment = order("50")
    less = replace(payment, amount=Money.yuan("0.50"))
    assert not topups.book(database, less, channel="sandbox", now=NOON)
    assert not topups.book(database, less, channel="sandbox", now=NOON)

    assert held(database, home) == ZERO
    with database.system() as session:
        (kept,) = session.execute(select(tables.RefusedNotice)).scalars()
        assert kept.amount_fen == 50
        assert "¥0.50 was paid, ¥50.00 was ordered" in kept.reason
    assert topups.book(
        database, payment, channel="sandbox", now=NOON
    )  # the right one is still taken


def test_an_order_paid_a_second_time_is_credited_once_and_the_second_payment_goes_back(
    database, channel, home, order
):
    payment = order("50")
    second = replace(payment, transaction_id="T-other", paid_at=NOON + timedelta(minutes=1))
    assert topups.book(database, payment, channel="sandbox", now=NOON)
    for _ in range(2):
        assert topups.book(database, second, channel="sandbox", now=NOON)
    assert topups.book(database, payment, channel="sandbox", now=NOON)

    assert held(database, home) == Money.yuan("50")
    assert credits(database, home) == ["50.00"]
    # 50.00 + 50.00 collected; of that 50.00 are owed to the customer in cash.
    assert books(database) == {clearing("sandbox"): -10000, returning("sandbox"): 5000}

    assert give_back(database, channel) == 1
    assert give_back(database, channel) == 0
    assert [r.payment.transaction_id for r in channel.refunds.values()] == ["T-other"]
    assert books(database) == {clearing("sandbox"): -5000, returning("sandbox"): 0}


def books(database) -> dict[str, int]:
    """What clearing and returning hold, in fen; what the channel owes us is below zero."""
    with database.system() as session:
        return {
            book: ledger_rules.credit_balance(book, ledger.transfers_of(session, book)).fen
            for book in (clearing("sandbox"), returning("sandbox"))
        }


def give_back(database, *channels, now=None) -> int:
    now = now or datetime.now(UTC)
    by_name = {c.name: c for c in channels}
    return channel_refunds.sweep(database, by_name, now=now, is_stopping=lambda: False)


def twin(database, channel, home, first: UUID):
    return begin(database, channel, home, "50", uuid4(), twin_of=first, way=Way.CODE)


def test_of_two_orders_for_the_same_money_the_one_paid_first_is_credited(
    database, channel, home, order
):
    first = order("50")
    other = twin(database, channel, home, UUID(first.out_trade_no))
    assert other.way == "code"
    for_other = replace(first, out_trade_no=other.out_trade_no, transaction_id="T-twin")

    assert topups.book(database, for_other, channel="sandbox", now=NOON)
    assert topups.book(database, first, channel="sandbox", now=NOON)
    assert topups.book(database, first, channel="sandbox", now=NOON)

    assert held(database, home) == Money.yuan("50")
    assert give_back(database, channel) == 1
    (refund,) = channel.refunds.values()
    assert (refund.payment.out_trade_no, refund.amount) == (first.out_trade_no, Money.yuan("50"))
    with database.system() as session:
        late = session.get_one(tables.TopUp, UUID(first.out_trade_no))
        assert (late.paid_at, late.credited_at) == (first.paid_at, None)


def test_two_orders_for_the_same_money_paid_at_the_same_time_credit_once(
    database, channel, home, order
):
    first = order("50")
    other = twin(database, channel, home, UUID(first.out_trade_no))
    for_other = replace(first, out_trade_no=other.out_trade_no, transaction_id="T-twin")
    with ThreadPoolExecutor(10) as threads:
        booked = threads.map(
            lambda payment: topups.book(database, payment, channel="sandbox", now=NOON),
            [first, for_other] * 20,
        )
        assert all(booked)
    assert held(database, home) == Money.yuan("50")
    assert give_back(database, channel) == 1


def test_when_one_of_two_orders_is_paid_the_other_is_closed(database, channel, home, order):
    first = order("50")
    other = twin(database, channel, home, UUID(first.out_trade_no))
    topups.book(database, first, channel="sandbox", now=NOON)

    now = datetime.now(UTC)
    sweep(database, channel, now=now + timedelta(minutes=2))
    assert channel.closed == []  # too young: WeChat Pay closes none under 5 minutes
    for _ in range(3):
        sweep(database, channel, now=now + timedelta(minutes=6))
    assert channel.closed == [other.out_trade_no]


def test_a_twin_that_the_channel_has_not_seen_yet_is_asked_about_until_its_time_is_over(
    database, channel, home, order
):
    first = order("50")
    other = twin(database, channel, home, UUID(first.out_trade_no))
    topups.book(database, first, channel="sandbox", now=NOON)
    now = datetime.now(UTC)
    with database.system() as session:
        ends = {"at": now + timedelta(minutes=30)}
        session.execute(text("UPDATE topups SET expires_at = :at"), ends)
    channel.has_seen_orders = False

    sweep(database, channel, now=now + timedelta(minutes=6))
    sweep(database, channel, now=now + timedelta(minutes=13))
    assert channel.closed == [other.out_trade_no] * 2  # it may be paid yet
    sweep(database, channel, now=now + timedelta(minutes=41))
    channel.asked.clear()
    sweep(database, channel, now=now + timedelta(minutes=200))
    assert channel.asked == []


def test_an_order_whose_time_is_over_is_closed_unless_it_was_paid(database, channel, home, order):
    paid, unpaid = order("50"), order("30")
    channel.paid[paid.out_trade_no] = paid
    with database.system() as session:
        ends = {"at": datetime.now(UTC) + timedelta(minutes=30)}
        session.execute(text("UPDATE topups SET expires_at = :at"), ends)

    now = datetime.now(UTC)
    channel.paid.clear()
    sweep(database, channel, now=now + timedelta(minutes=39))
    assert channel.closed == []  # somebody may just be paying
    channel.paid[paid.out_trade_no] = paid
    sweep(database, channel, now=now + timedelta(minutes=90))
    assert channel.closed == [unpaid.out_trade_no]
    assert held(database, home) == Money.yuan("50")


def test_a_refund_is_asked_for_until_the_channel_says_it_is_done(database, channel, home, order):
    payment = order("50")
    topups.book(database, payment, channel="sandbox", now=NOON)
    second = replace(payment, transaction_id="T-other")
    topups.book(database, second, channel="sandbox", now=NOON)
    now = datetime.now(UTC)

    channel.is_away = True
    assert give_back(database, channel, now=now) == 0
    channel.is_away = False
    channel.refunds_are = RefundState.UNDER_WAY
    assert give_back(database, channel, now=now + timedelta(seconds=30)) == 0
    assert channel.refunds == {}  # not within a minute of the last question
    assert give_back(database, channel, now=now + timedelta(minutes=2)) == 0
    assert refund_of(database).accepted_at == now + timedelta(minutes=2)
    channel.refunds_are = RefundState.DONE
    assert give_back(database, channel, now=now + timedelta(minutes=5)) == 1

    done = refund_of(database)
    assert (done.done_at, done.failed_at, done.said) == (NOON, None, "DONE")
    assert len(channel.refunds) == 1  # under one number all the time


def test_a_refund_that_the_channel_cannot_do_is_left_to_a_person(
    database, channel, home, order, caplog
):
    payment = order("50")
    topups.book(database, payment, channel="sandbox", now=NOON)
    topups.book(database, replace(payment, transaction_id="T-x"), channel="sandbox", now=NOON)
    channel.refunds_are = RefundState.FAILED
    now = datetime.now(UTC)
    assert give_back(database, channel, now=now) == 0

    assert refund_of(database).failed_at == now
    assert "cannot give ¥50.00" in caplog.text
    channel.refunds.clear()
    give_back(database, channel, now=now + timedelta(days=1))
    assert channel.refunds == {}
    assert books(database)[returning("sandbox")] == 5000  # still owed


def refund_of(database) -> tables.ChannelRefund:
    with database.system() as session:
        return session.execute(select(tables.ChannelRefund)).scalar_one()


def test_a_payment_that_was_given_back_by_hand_before_we_heard_of_it_is_not_credited(
    database, home, order
):
    payment = order("50")
    by_hand = Refunded(
        out_refund_no="HAND1",
        out_trade_no=payment.out_trade_no,
        transaction_id=payment.transaction_id,
        amount=payment.amount,
        state=RefundState.DONE,
        said="SUCCESS",
        at=NOON,
    )
    for _ in range(2):
        with database.system() as session:
            assert not channel_refunds.hear(session, by_hand, channel="sandbox", now=NOON)
    assert not topups.book(database, payment, channel="sandbox", now=NOON)

    assert held(database, home) == ZERO
    with database.system() as session:
        kept = session.execute(select(tables.RefusedNotice.reason)).scalars().all()
    assert sorted(kept) == [
        f"The payment of order {payment.out_trade_no} is not as ordered:"
        " the channel said before that its money went back.",
        "¥50.00 were given back at the channel, not by us (SUCCESS)",
    ]


def test_one_payment_said_to_pay_two_orders_pays_the_first(database, home, order):
    one, two = order("50"), order("50")
    assert topups.book(database, one, channel="sandbox", now=NOON)
    same = replace(two, transaction_id=one.transaction_id, paid_at=NOON + timedelta(seconds=1))
    assert not topups.book(database, same, channel="sandbox", now=NOON)
    assert held(database, home) == Money.yuan("50")
    with database.system() as session:
        assert session.execute(select(tables.RefusedNotice)).scalar_one().topup_id == UUID(
            two.out_trade_no
        )


def test_a_payment_of_no_order_of_ours_is_refused(database, home, order):
    with pytest.raises(topups.NoSuchOrder, match="no order X1"):
        topups.book(database, replace(order("5"), out_trade_no="X1"), channel="sandbox", now=NOON)


def test_a_payment_said_by_another_channel_is_refused(database, home, order):
    with pytest.raises(topups.NoSuchOrder):
        topups.book(database, order("5"), channel="cash", now=NOON)


def test_cash_is_credited_at_once_and_once(database, home):
    by = SignedIn(home.user_id, home.organization_id, "home", "home")
    key = uuid4()
    for _ in range(2):
        with database.organization(home.organization_id) as session:
            topup = topups.record_cash(
                session,
                purse_id=home.electricity_purse,
                amount=Money.yuan("20"),
                by=by,
                idempotency_key=key,
            )
            assert topup.taken_by == home.user_id
            assert topup.credited_at is not None
    assert held(database, home) == Money.yuan("20")
    assert credits(database, home) == ["20.00"]


def test_the_sweep_books_a_payment_whose_notice_never_came(database, channel, home, order):
    paid, waiting = order("50"), order("30")
    channel.paid[paid.out_trade_no] = paid
    now = datetime.now(UTC)

    assert sweep(database, channel, now=now) == 0  # too early to ask
    later = now + sweeps.SWEEP_AFTER + timedelta(seconds=1)
    assert sweep(database, channel, now=later) == 1
    assert sweep(database, channel, now=later + timedelta(hours=2)) == 0

    assert held(database, home) == Money.yuan("50")
    with database.system() as session:
        unpaid = session.execute(
            select(tables.TopUp).where(tables.TopUp.out_trade_no == waiting.out_trade_no)
        ).scalar_one()
        assert unpaid.credited_at is None


def test_the_sweep_asks_ever_more_rarely_and_not_for_ever(database, channel, home, order):
    payment = order("50")
    with database.system() as session:
        session.execute(text("UPDATE topups SET created_at = :at"), {"at": NOON})

    asked_at = []
    for minute in range(131):
        channel.asked.clear()
        sweep(database, channel, now=NOON + timedelta(minutes=minute))
        asked_at += [minute for _ in channel.asked]
    # 1 minute after the order; then the pause is as long as the order was old, at most an hour.
    assert asked_at == [1, 2, 4, 8, 16, 32, 64, 124]

    channel.paid[payment.out_trade_no] = payment
    too_late = NOON + sweeps.SWEEP_FOR + timedelta(minutes=1)
    assert sweep(database, channel, now=too_late) == 0


def test_the_sweep_leaves_a_channel_that_is_away_alone_and_asks_it_all_the_next_time(
    database, channel, home, order
):
    payments = [order(yuan) for yuan in ("50", "30", "20")]
    channel.paid = {payment.out_trade_no: payment for payment in payments}
    channel.is_away = True
    now = datetime.now(UTC) + timedelta(minutes=5)
    assert sweep(database, channel, now=now) == 0
    assert len(channel.asked) == 1
    channel.is_away = False
    assert sweep(database, channel, now=now + timedelta(seconds=15)) == 3


def test_the_sweep_ends_after_the_question_it_is_at_when_told_to(database, channel, order):
    for _ in range(3):
        order("50")
    now = datetime.now(UTC) + timedelta(minutes=5)
    assert sweep(database, channel, now=now, is_stopping=lambda: bool(channel.asked)) == 0
    assert len(channel.asked) == 1
    sweep(database, channel, now=now)
    assert len(set(channel.asked)) == len(channel.asked) == 3


def test_no_transaction_is_open_while_a_channel_is_asked(url, database, home):
    open_now: list[int] = []
    with psycopg.connect(url, autocommit=True) as connection:

        def look() -> None:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
                " AND backend_type = 'client backend'"
            ).fetchone()
            open_now.append(row[0])

        watched = FakeChannel(meanwhile=look)
        begin(database, watched, home, "50", uuid4())
        sweep(database, watched, now=datetime.now(UTC) + timedelta(minutes=5))
    assert open_now == [0, 0]


def test_the_same_key_while_the_channel_is_asked_is_one_order(database, home):
    key = uuid4()
    inner = FakeChannel()
    made = []
    outer = FakeChannel(meanwhile=lambda: made.append(begin(database, inner, home, "50", key)))
    made.append(begin(database, outer, home, "50", key))
    assert made[0].id == made[1].id
    assert list(outer.orders) == list(inner.orders) == [made[0].out_trade_no]
    with database.system() as session:
        assert len(session.execute(select(tables.TopUp)).all()) == 1


def test_another_organizations_purse_and_top_up_are_not_there_whatever_the_session_sees(
    database, home, build, order
):
    stranger = build("stranger")
    topup_id = UUID(order("50").out_trade_no)
    by = SignedIn(stranger.user_id, stranger.organization_id, "s", "s")
    with database.system() as session:  # sees all
        with pytest.raises(scopes.NoSuchTopUp):
            stages_of(session, topup_id, now=NOON, organization_id=stranger.organization_id)
        with pytest.raises(scopes.NoSuchPurse):
            topups.record_cash(
                session,
                purse_id=home.electricity_purse,
                amount=Money.yuan("1"),
                by=by,
                idempotency_key=uuid4(),
            )
        found = stages_of(session, topup_id, now=NOON, organization_id=home.organization_id)
    assert found.topup_id == topup_id
