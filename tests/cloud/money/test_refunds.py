"""Refunds: what was paid and is unspent goes back, once the gateway has booked it, and never more."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select
from sqlmodel import col

from cloud import tables
from cloud.channels import RefundState
from cloud.errors import CloudError
from cloud.services import alarms, approvals, scopes, topups, uplog
from cloud.services.money import grants, purses, refunds, rules, shifts, withdrawals
from cloud.services.money.refunds import How
from cloud.services.money.rules import Rules
from cloud.tables import utc_now
from prepaid.money import ZERO, Money
from prepaid.wire.entry import NO_ENTRY, Entry
from prepaid.wire.envelope import Envelope
from prepaid.wire.uplog import Trouble, Withdrawn, write_up
from tests.cloud.money.office import Office, yuan

pytestmark = pytest.mark.processes


def ask(office: Office, amount: str, how: How = How.SOURCE, **more) -> UUID:
    with office.session() as session:
        row = refunds.request(
            session, office.cashier, office.purse, yuan(amount), how, "搬走", office.now, **more
        )
        return row.id


def parts(office: Office, id: UUID) -> list[tuple[str, str]]:
    """Of each part its way and amount, the fee included; the largest first."""
    with office.session() as session:
        return [
            (part.way, str(Money(part.amount_fen + part.fee_fen)))
            for part in refunds.parts_of(session, id)
        ]


def pay_out(office: Office, id: UUID, **more) -> None:
    with office.session() as session:
        for part in refunds.parts_of(session, id):
            if part.done_at is None and part.way in refunds.BY_HAND:
                refunds.pay_out(
                    session, office.cashier, part.id, way=part.way, now=office.now, **more
                )


def test_a_resident_pays_50_and_30_uses_20_is_given_10_and_gets_60_back_in_two_parts(
    office, channel
):
    mine = office.purse
    # ¥50 by the channel, a day later ¥30 cash.
    office.pay(channel, "50")
    office.now += timedelta(days=1)
    office.open_shift()
    office.take("30")
    assert office.books() == {
        "electricity": "80.00",
        "Assets:Clearing:sandbox": "-50.00",
        "Assets:Clearing:cash": "-30.00",
    }

    # ¥10 are a gift, and ¥20 are used: of the gift first, then of what was paid. 80 + 10 - 20 = 70.
    with office.session() as session:
        grants.give(
            session,
            office.boss,
            mine,
            kind=grants.Kind.GIFT,
            amount=yuan("10"),
            why="春节",
            now=office.now,
        )
    office.now += timedelta(hours=1)
    office.charge("20")
    assert office.balance() == yuan("70")
    with office.session() as session:
        assert purses.refundable_now(session, mine) == yuan("70")  # 80 - (20 - 10)

    # ¥60 are to go back: ¥30 of the newest, in cash, and ¥30 of the ¥50, by the channel.
    id = ask(office, "60")
    assert sorted(parts(office, id)) == [("cash", "30.00"), ("sandbox", "30.00")]
    before = office.books()
    assert office.state(id) == "sent"
    assert office.sweep(channel) == 0  # nothing is paid out yet
    assert office.books() == before

    # The gateway books it.
    assert office.gateway() == ["booked"]
    assert office.state(id) == "booked"
    assert office.books() == {
        "electricity": "10.00",
        "Assets:Clearing:sandbox": "-50.00",
        "Assets:Clearing:cash": "-30.00",
        "Expenses:gift": "-10.00",
        "Income:energy": "20.00",
        "Liabilities:Returning:refunds": "60.00",
    }

    # The channel gives ¥30 back of ¥50, and the cashier ¥30 out of the drawer.
    assert office.sweep(channel) == 1
    (asked,) = channel.refunds.values()
    assert (asked.amount, asked.payment.amount) == (yuan("30"), yuan("50"))
    assert office.state(id) == "booked"
    pay_out(office, id)
    assert office.state(id) == "done"
    assert office.books() == {
        "electricity": "10.00",
        "Assets:Clearing:sandbox": "-20.00",
        "Expenses:gift": "-10.00",
        "Income:energy": "20.00",
    }
    with office.session() as session:
        shift = shifts.mine(session, office.cashier)
        summary = shifts.one(session, office.home.organization_id, shift.id)
        assert summary.expected == ZERO  # 30 taken, 30 paid out
        assert purses.refundable_now(session, mine) == yuan("10")


def test_what_was_spent_behind_an_offline_gateway_is_refused_and_nothing_is_paid_out(
    office, channel
):
    office.pay(channel, "50")
    id = ask(office, "50")

    # The gateway was away: ¥0.01 were used that the office does not know of.
    assert office.gateway(used="0.01") == ["short"]

    assert office.state(id) == "refused"
    with office.session() as session:
        row = session.get_one(tables.Withdrawal, id)
        assert (row.refusal, row.left_fen) == ("short", 4999)
    assert office.sweep(channel) == 0
    assert office.balance() == yuan("50")
    # What is held is free again, and a smaller refund goes through.
    smaller = ask(office, "49.99")
    assert office.gateway(used="0.01") == ["booked"]
    assert office.state(smaller) == "booked"


def test_an_answer_that_comes_again_pays_out_once(office, channel):
    office.pay(channel, "50")
    id = ask(office, "20")
    for _ in range(3):
        office.gateway()
        office.sweep(channel)
    assert len(channel.refunds) == 1
    assert office.state(id) == "done"
    assert office.balance() == yuan("30")


def test_gifts_are_not_paid_out_and_what_is_held_cannot_be_asked_for_twice(office, channel):
    office.pay(channel, "50")
    with office.session() as session:
        grants.give(
            session,
            office.boss,
            office.purse,
            kind=grants.Kind.SUBSIDY,
            amount=yuan("100"),
            why="补助",
            now=office.now,
        )
    with pytest.raises(refunds.NotRefundable, match=r"At most ¥50\.00"):
        ask(office, "50.01")
    ask(office, "30")
    with pytest.raises(refunds.NotRefundable, match=r"At most ¥20\.00"):
        ask(office, "20.01")
    assert ask(office, "20") is not None


def test_of_one_top_up_no_more_goes_back_than_it_brought(office, channel):
    office.pay(channel, "50")
    office.now += timedelta(days=1)
    second = office.pay(channel, "20")
    with pytest.raises(refunds.NotRefundable, match=r"At most ¥20\.00"):
        ask(office, "20.01", of=second)
    ask(office, "15", of=second)
    with pytest.raises(refunds.NotRefundable, match=r"At most ¥5\.00"):
        ask(office, "6", of=second)
    # Without naming one, the newest go first: 5 of the second, then of the first.
    id = ask(office, "12")
    assert parts(office, id) == [("sandbox", "7.00"), ("sandbox", "5.00")]
    with pytest.raises(scopes.NoSuchTopUp):
        ask(office, "1", of=uuid4())


def test_above_the_limit_a_second_person_decides_and_until_then_the_gateway_is_not_asked(
    office, channel
):
    office.rule(Rules(alone=yuan("10")))
    office.pay(channel, "50")
    id = ask(office, "10.01")
    assert office.state(id) == "waits"
    assert office.gateway() == []
    with pytest.raises(refunds.NotRefundable):
        ask(office, "40")  # it is held all the same
    with pytest.raises(CloudError):
        office.decide(by=office.cashier)

    office.decide()

    assert office.state(id) == "sent"
    assert office.gateway() == ["booked"]
    assert ask(office, "10") is not None  # at the limit one person is enough


def test_what_waits_can_be_cancelled_and_is_then_not_approved(office, channel):
    office.rule(Rules(alone=ZERO))
    office.pay(channel, "50")
    id = ask(office, "50")
    with office.session() as session:
        withdrawals.cancel(session, office.cashier, id, now=office.now)
    assert office.state(id) == "cancelled"
    with pytest.raises(withdrawals.IsCancelled):
        office.decide()
    with office.session() as session:
        assert purses.refundable_now(session, office.purse) == yuan("50")
        (waiting,) = approvals.listed(session, office.boss, is_open=True)
        assert waiting.is_open


def test_what_a_second_person_refuses_or_the_first_takes_back_is_held_no_longer(office, channel):
    office.rule(Rules(alone=ZERO))
    office.pay(channel, "50")
    refused = ask(office, "30")
    with office.session() as session:
        assert purses.held(session, office.purse) == yuan("30")
    office.decide(approved=False)
    assert office.state(refused) == "cancelled"
    taken_back = ask(office, "50")  # all of it can be asked for again
    with office.session() as session:
        (waiting,) = approvals.listed(session, office.boss, is_open=True)
        approvals.withdraw(session, office.cashier, waiting.id, now=office.now)
    assert office.state(taken_back) == "cancelled"
    with office.session() as session:
        assert purses.held(session, office.purse) == ZERO
    assert office.gateway() == []


def test_an_organization_without_rules_lets_one_person_refund_what_a_household_tops_up(
    office, channel
):
    assert rules.NO_RULES.alone == yuan("200")
    with office.session() as session:
        session.execute(delete(tables.MoneyRules))
    office.pay(channel, "500")
    assert office.state(ask(office, "200")) == "sent"
    assert office.state(ask(office, "200.01")) == "waits"


def test_money_that_a_gateway_took_out_for_a_refund_we_do_not_know_of_is_an_alarm(office, channel):
    office.pay(channel, "50")
    id = ask(office, "30")
    with office.session() as session:  # the database is put back to before it was asked for
        row = session.get_one(tables.Withdrawal, id)
        transfer = withdrawals.transfer_of(row)
        session.execute(delete(tables.WithdrawalPart))
        session.execute(delete(tables.Withdrawal))
    said = Withdrawn(office.purse, transfer, None, yuan("20"), office.now)
    log = uuid4()
    for _ in range(2):  # it comes twice
        with office.database.system() as session:
            gateway = uplog.gateway_of(session, office.home.gateway_no)
            entry = Entry(log, 1, write_up(said), previous=NO_ENTRY)
            uplog.receive(session, gateway, Envelope((entry,), sender=log), now=office.now)
    with office.session() as session:
        (trouble,) = alarms.of_gateways(session, office.home.organization_id)
        kept = session.execute(select(tables.Rejected)).scalars().all()
    assert trouble.kind is Trouble.DEBIT_UNKNOWN
    assert "¥30.00" in trouble.text
    assert len(kept) == 1
    assert office.balance() == yuan("50")


def test_what_is_cancelled_and_booked_all_the_same_goes_back_to_the_purse(office, channel):
    office.pay(channel, "50")
    id = ask(office, "50")
    with office.session() as session:
        withdrawals.cancel(session, office.cashier, id, now=office.now)

    assert office.gateway() == ["booked"]
    assert office.balance() == ZERO
    assert office.sweep(channel) == 0
    assert office.follow_up() == 1
    assert office.follow_up() == 0

    assert office.state(id) == "undone"
    assert office.balance() == yuan("50")
    assert office.books() == {"electricity": "50.00", "Assets:Clearing:sandbox": "-50.00"}
    with office.session() as session:
        assert purses.refundable_now(session, office.purse) == yuan("50")
    with pytest.raises(withdrawals.IsAnswered), office.session() as session:
        withdrawals.cancel(session, office.cashier, id, now=office.now)


def test_a_part_that_its_channel_cannot_give_back_is_paid_out_by_hand(office, channel):
    office.open_shift()
    office.pay(channel, "50")
    id = ask(office, "50")
    with office.session() as session:
        (part,) = refunds.parts_of(session, id)
    with pytest.raises(refunds.NotBooked), office.session() as session:
        refunds.pay_out(session, office.cashier, part.id, way="cash", now=office.now)
    office.gateway()
    with pytest.raises(refunds.NotByHand), office.session() as session:
        refunds.pay_out(session, office.cashier, part.id, way="cash", now=office.now)

    channel.refunds_are = RefundState.FAILED
    office.sweep(channel)
    with pytest.raises(refunds.NoVoucher), office.session() as session:
        refunds.pay_out(session, office.cashier, part.id, way="bank", now=office.now)
    with office.session() as session:
        refunds.pay_out(session, office.cashier, part.id, way="bank", voucher="B-1", now=office.now)
    with pytest.raises(refunds.IsPaidOut, match="cashier"), office.session() as session:
        refunds.pay_out(session, office.cashier, part.id, way="cash", now=office.now)

    assert office.state(id) == "done"
    assert office.books() == {
        "Assets:Clearing:bank": "50.00",
        "Assets:Clearing:sandbox": "-50.00",
    }


def test_the_service_fee_is_shown_apart_and_goes_back_by_rule_and_part(office, channel):
    # 1.5 % of ¥100.00 are ¥1.50: ¥98.50 arrive.
    office.rule(Rules(fee_basis_points=150, is_fee_refunded=True, alone=yuan("500")))
    office.pay(channel, "100")
    assert office.books() == {
        "electricity": "98.50",
        "Assets:Clearing:sandbox": "-100.00",
        "Income:service-fee": "1.50",
    }
    # A third, ¥33.00: 33.00 / 98.50 × 1.50 = 0.5025, so ¥0.50 of the fee; the customer gets ¥33.50.
    first = ask(office, "33")
    assert parts(office, first) == [("sandbox", "33.50")]
    # The rest, ¥65.50: all of the fee is then back, ¥1.00.
    rest = ask(office, "65.50")
    assert parts(office, rest) == [("sandbox", "66.50")]
    office.gateway()
    office.sweep(channel)
    assert [str(asked.amount) for asked in channel.refunds.values()] in (
        ["33.50", "66.50"],
        ["33.50"],
    )
    office.now = utc_now() + timedelta(minutes=2)
    office.sweep(channel)
    assert office.books() == {}


def test_a_purse_that_no_gateway_charges_is_refunded_at_once(office, database, home):
    with database.system() as session:
        purse = tables.Purse(
            organization_id=home.organization_id, account_id=home.account_id, purpose="property"
        )
        session.add(purse)
        session.flush()
        topups.record_cash(
            session,
            purse_id=purse.id,
            amount=yuan("80"),
            by=office.cashier,
            idempotency_key=uuid4(),
        )
    with office.session() as session:
        row = refunds.request(
            session, office.cashier, purse.id, yuan("30"), How.CASH, "多交", office.now
        )
        assert withdrawals.state(row) is withdrawals.State.BOOKED
    assert office.balance(purse.id) == yuan("50")


def test_who_looks_at_an_old_page_is_told_that_another_was_quicker(office, channel):
    office.pay(channel, "50")
    with office.session() as session:
        seen = purses.version(session, purses.purse_of(session, office.cashier, office.purse))
    ask(office, "10", seen=seen)
    with pytest.raises(purses.ChangedMeanwhile):
        ask(office, "10", seen=seen)
    # The same request again, as when an answer was lost, is no other.
    key = uuid4()
    assert ask(office, "10", id=key) == ask(office, "10", id=key)
    with office.session() as session:
        assert purses.held(session, office.purse) == yuan("20")


def test_a_hundred_requests_at_once_hold_no_more_than_is_there(office, channel):
    # ¥55 are there, each asks for ¥10: five get it.
    office.pay(channel, "55")

    def one(_: int) -> str:
        try:
            ask(office, "10")
        except refunds.NotRefundable:
            return "refused"
        return "held"

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(one, range(100)))
    assert outcomes.count("held") == 5
    assert office.gateway() == ["booked"] * 5
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: office.gateway(), range(8)))  # a storm of the same answers
    with office.session() as session:
        rows = session.execute(
            select(tables.ChannelRefund).where(col(tables.ChannelRefund.channel) == "sandbox")
        ).scalars()
        assert [row.amount_fen for row in rows] == [1000] * 5
    assert office.balance() == yuan("5")


def test_whatever_happens_no_more_goes_back_than_was_paid_and_the_books_balance(office, channel):
    dice = random.Random(7)
    office.open_shift()
    paid = back = ZERO
    asked: list[UUID] = []
    for _ in range(80):
        office.now += timedelta(minutes=dice.randint(1, 60))
        amount = Money(dice.randint(1, 8000))
        match dice.choice(["pay", "take", "gift", "use", "ask", "ask", "gateway", "cancel"]):
            case "pay":
                office.pay(channel, str(amount))
                paid += amount
            case "take":
                office.take(str(amount))
                paid += amount
            case "gift":
                with office.session() as session:
                    grants.give(
                        session,
                        office.boss,
                        office.purse,
                        kind=grants.Kind.GIFT,
                        amount=amount,
                        why="x",
                        now=office.now,
                    )
            case "use":
                if amount <= office.balance():
                    office.charge(str(amount))
            case "ask":
                try:
                    asked.append(ask(office, str(amount), dice.choice(list(How))))
                except refunds.NotRefundable:
                    continue
            case "gateway":
                office.gateway()
            case "cancel" if asked:
                try:
                    with office.session() as session:
                        withdrawals.cancel(
                            session, office.cashier, dice.choice(asked), now=office.now
                        )
                except withdrawals.IsAnswered:
                    continue
        office.books()  # they balance, or it says so
    office.gateway()
    office.follow_up()
    with office.session() as session:
        rows = session.execute(select(tables.Withdrawal)).scalars()
        back = sum(
            (
                Money(row.amount_fen)
                for row in rows
                if row.booked_at is not None and row.undone_at is None
            ),
            ZERO,
        )
        by_topup = session.execute(select(tables.TopUp)).scalars()
        for topup in by_topup:
            assert refunds.left_of(session, topup) >= ZERO
    assert back <= paid
    assert office.balance() >= ZERO
