"""The counter: money taken in a shift and counted; what was taken wrongly is taken back; gifts and moves."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from cloud import tables
from cloud.errors import CloudError
from cloud.services import topups
from cloud.services.money import (
    counter,
    grants,
    loose_cash,
    moves,
    orders,
    purses,
    refunds,
    reversals,
    shifts,
)
from cloud.services.money.rules import BadFee, Rules
from cloud.services.people import limits
from cloud.tables import TopUp, utc_now
from prepaid.money import ZERO
from tests.cloud.money.office import Office, yuan

pytestmark = pytest.mark.processes


def reverse(office: Office, topup: UUID, by=None) -> UUID:
    with office.session() as session:
        row = reversals.reverse(session, by or office.cashier, topup, why="多收了", now=office.now)
        return row.id


def summary(office: Office) -> shifts.Summary:
    with office.session() as session:
        shift = shifts.mine(session, office.cashier)
        return shifts.one(session, office.home.organization_id, shift.id)


def close(office: Office, counted: str) -> shifts.Summary:
    with office.session() as session:
        return shifts.close(
            session,
            office.cashier,
            counted=yuan(counted),
            handed_to="王会计",
            note="",
            now=office.now,
        )


def test_a_shift_takes_reverses_pays_out_counts_and_shows_what_is_missing(office):
    office.now = utc_now()
    with pytest.raises(shifts.NoShift):
        office.take("100")
    office.open_shift(float_="200")
    office.take("100")
    wrong = office.take("1000")
    office.take("50", way="pos")
    assert summary(office).expected == yuan(
        "1300"
    )  # 200 + 100 + 1000; the slip is not in the drawer

    # ¥1,000 were typed for ¥100: taken back whole, by himself, as soon as the gateway has booked it.
    id = reverse(office, wrong)
    assert summary(office).expected == yuan("1300")
    assert office.gateway() == ["booked"]
    assert office.state(id) == "done"
    assert summary(office).expected == yuan("300")
    assert office.books() == {
        "electricity": "150.00",
        "Assets:Clearing:cash": "-100.00",
        "Assets:Clearing:pos": "-50.00",
    }
    with pytest.raises(reversals.PartlyGone):
        reverse(office, wrong)

    # ¥299.50 are counted: ¥0.50 are missing.
    closed = close(office, "299.50")
    assert (str(closed.expected), str(closed.difference)) == ("300.00", "-0.50")
    assert [(each.way, each.count, str(each.net)) for each in closed.taken] == [
        ("cash", 2, "100.00"),
        ("pos", 1, "50.00"),
    ]
    with pytest.raises(shifts.NoShift):
        close(office, "0")
    office.open_shift()
    assert summary(office).expected == ZERO


def test_what_is_of_another_shift_or_day_is_reversed_by_two_people_and_what_is_spent_not_at_all(
    office, channel
):
    office.now = utc_now()
    office.open_shift()
    first, second, third = office.take("10"), office.take("20"), office.take("30")
    paid = office.pay(channel, "5")
    with pytest.raises(reversals.NotReversible, match="sandbox"):
        reverse(office, paid)
    # Another's top-up waits for a second person, who may not be the one who asks.
    id = reverse(office, first, by=office.boss)
    assert office.state(id) == "waits"
    with pytest.raises(CloudError):
        office.decide()
    with office.session() as session:
        row = session.get_one(tables.Withdrawal, id)
        row.cancelled_at = office.now
        session.add(row)
    # Yesterday's does too.
    with office.session() as session:
        topup = session.get_one(TopUp, second)
        assert not reversals.needs_second(session, office.cashier, topup, now=office.now)
        assert reversals.needs_second(
            session, office.cashier, topup, now=office.now + timedelta(days=1)
        )
    # 10 + 20 + 30 + 5 = 65 came, 40 were used at the gateway, which the office does not know of.
    refused = reverse(office, third)
    assert office.gateway(used="40") == ["short"]
    assert office.state(refused) == "refused"
    assert office.balance() == yuan("65")


def test_cash_given_back_after_its_shift_was_closed_is_in_the_next_drawer_or_in_none_until_claimed(
    office,
):
    office.now = utc_now()
    office.open_shift()
    first, second = office.take("10"), office.take("20")
    both = [reverse(office, each) for each in (first, second)]
    close(office, "30")  # the gateway has not answered: the money is still in the drawer
    assert office.gateway() == ["booked", "booked"]

    def loose() -> list[tuple[str, str]]:
        with office.session() as session:
            found = loose_cash.listed(session, office.home.organization_id, now=office.now)
            return sorted((each.kind, str(each.amount)) for each in found)

    # Nobody's shift was open: it was of no drawer, until the cashier says that it was in his.
    assert loose() == [("withdrawal", "-10.00"), ("withdrawal", "-20.00")]
    with pytest.raises(shifts.NoShift), office.session() as session:
        loose_cash.claim(session, office.cashier, "withdrawal", both[0], now=office.now)
    office.open_shift(float_="100")
    with office.session() as session:
        loose_cash.claim(session, office.cashier, "withdrawal", both[0], now=office.now)
    with pytest.raises(loose_cash.NotLoose), office.session() as session:
        loose_cash.claim(session, office.cashier, "withdrawal", both[0], now=office.now)
    assert loose() == [("withdrawal", "-20.00")]
    assert summary(office).expected == yuan("90")  # 100 - 10

    # And what is booked while the one who asked has a shift open is out of that drawer.
    third = office.take("40")
    close(office, "130")
    office.open_shift()
    reverse(office, third)
    office.decide()
    office.gateway()
    assert summary(office).expected == -yuan("40")


def test_an_order_says_what_the_purse_held_before_and_after_it(office, channel):
    office.now = utc_now()
    office.open_shift()
    office.take("30")
    office.pay(channel, "20")
    with office.session() as session:
        refunds.request(
            session, office.cashier, office.purse, yuan("5"), refunds.How.CASH, "x", office.now
        )
        given = {"kind": grants.Kind.GIFT, "amount": yuan("8"), "why": "春节", "now": office.now}
        grants.give(session, office.boss, office.purse, **given)
    office.gateway()
    with office.session() as session:
        listed = orders.listed(session, office.boss, orders.Wanted())
    # 0 + 30 = 30, + 20 = 50, + 8 = 58, and 58 - 5 = 53 once the gateway has booked the refund.
    assert sorted((each.kind, str(each.before), str(each.after)) for each in listed.orders) == [
        ("gift", "50.00", "58.00"),
        ("refund", "58.00", "53.00"),
        ("topup", "0.00", "30.00"),
        ("topup", "30.00", "50.00"),
    ]


def test_a_slip_is_entered_once_and_a_cashier_takes_no_more_than_he_may(office):
    office.now = utc_now()
    office.open_shift()
    with office.session() as session:
        user = session.get_one(tables.User, office.cashier.user_id)
        user.most_topup_fen, user.most_a_day_fen = 10_000, 15_000
        session.add(user)

    def take(amount: str, *, way: str = "bank", voucher: str = "S-1", key: UUID | None = None):
        with office.session() as session:
            return counter.take(
                session,
                office.cashier,
                office.purse,
                amount=yuan(amount),
                way=way,
                voucher=voucher,
                idempotency_key=key or uuid4(),
            ).id

    key = uuid4()
    first = take("80", key=key)
    assert take("80", key=key) == first  # the button was pressed twice
    with pytest.raises(topups.KeyReused):
        take("81", key=key)
    with pytest.raises(counter.VoucherUsed, match=r"S-1 .*¥80\.00"):
        take("20")
    with pytest.raises(counter.NoVoucher):
        take("20", voucher=" ")
    with pytest.raises(limits.AboveLimit):
        take("100.01", way="cash", voucher="")
    with pytest.raises(limits.AboveDailyLimit):
        take("70.01", way="cash", voucher="")
    take("70", way="cash", voucher="")
    assert office.balance() == yuan("150")


def test_a_customer_is_found_by_room_name_meter_and_the_end_of_the_phone_number(office):
    with office.session() as session:
        account = session.get_one(tables.Account, office.home.account_id)
        account.phone = "138 0013 8000"

    def found(q: str) -> set[str]:
        with office.session() as session:
            return {each.phone for each in counter.find(session, office.cashier, q)}

    for q in ("0301", "张三", "home-电", "8000", "13800138000", "张三 8000"):
        assert found(q) == {"138****8000"}, q
    for q in ("800", "1380", "李四"):  # too short, or how it begins
        assert found(q) == set(), q


def test_receipts_are_numbered_in_a_row_and_copies_say_so(office, channel):
    office.now = utc_now()
    office.open_shift()
    tickets = [office.take("10"), office.pay(channel, "20"), office.take("30")]
    printed = []
    for id in (*tickets, tickets[0], tickets[0]):
        with office.session() as session:
            topup = session.get_one(TopUp, id)
            got = counter.print_receipt(session, office.cashier, topup, now=office.now)
            printed.append((got.number, got.copy))
    assert printed == [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)]


def test_the_service_fee_is_reversed_with_its_top_up(office):
    with pytest.raises(BadFee):
        office.rule(Rules(fee_basis_points=1001))
    office.now = utc_now()
    office.rule(Rules(fee_basis_points=100, alone=ZERO))
    office.open_shift()
    # 1 % of ¥200.00 are ¥2.00.
    topup = office.take("200")
    assert office.books() == {
        "electricity": "198.00",
        "Assets:Clearing:cash": "-200.00",
        "Income:service-fee": "2.00",
    }
    reverse(office, topup)
    office.gateway()
    assert office.books() == {}
    assert summary(office).expected == ZERO


def test_an_adjustment_against_the_customer_needs_two_people_and_his_gateway(office, channel):
    office.pay(channel, "50")
    with office.session() as session:
        row = grants.charge_back(
            session, office.cashier, office.purse, amount=yuan("12"), why="表慢", now=office.now
        )
    assert office.gateway() == []
    office.decide()
    assert office.gateway() == ["booked"]
    assert office.state(row.id) == "done"
    # And one in his favour is credited.
    with office.session() as session:
        grants.give(
            session,
            office.boss,
            office.purse,
            kind=grants.Kind.ADJUSTMENT,
            amount=yuan("2"),
            why="表快",
            now=office.now,
        )
    assert office.books() == {
        "electricity": "40.00",
        "Assets:Clearing:sandbox": "-50.00",
        "Expenses:adjustment": "-2.00",
        "Income:adjustment": "12.00",
    }


def test_money_goes_to_another_purse_only_by_the_customers_word_and_a_gift_does_not(
    office, channel
):
    mine, other = office.home.electricity_purse, office.home.water_purse
    office.pay(channel, "50")
    with office.session() as session:
        grants.give(
            session,
            office.boss,
            mine,
            kind=grants.Kind.GIFT,
            amount=yuan("10"),
            why="x",
            now=office.now,
        )

    def move(amount: str, customer: str = "张三, by phone") -> UUID:
        with office.session() as session:
            return moves.move(
                session,
                office.cashier,
                mine,
                other,
                amount=yuan(amount),
                customer=customer,
                why="水费不够",
                now=office.now,
            ).id

    with pytest.raises(moves.NoOrder):
        move("10", customer="  ")
    with pytest.raises(refunds.NotRefundable, match=r"¥50\.00"):
        move("50.01")
    id = move("20")
    assert office.follow_up() == 0
    assert office.gateway() == ["booked"]
    assert office.books()["water" if "water" in office.books() else "electricity"] == "40.00"
    assert office.follow_up() == 1
    assert office.follow_up() == 0
    assert office.state(id) == "done"
    assert office.books() == {
        "electricity": "40.00",
        "water": "20.00",
        "Assets:Clearing:sandbox": "-50.00",
        "Expenses:gift": "-10.00",
    }
    with office.session() as session:
        assert purses.refundable_now(session, mine) == yuan("30")  # 50 - 20; the gift is none
        assert purses.refundable_now(session, other) == yuan("20")
