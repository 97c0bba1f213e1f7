"""Each day the channels' bills are compared with books and gateways; what differs is a list of work."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from cloud import auth, tables
from cloud.channels import BillLine, ChannelAway, Payment
from cloud.services import topups
from cloud.services.money import bill_days
from cloud.services.money.bill_days import Compared, NoSuchDifference, NoteMissing
from cloud.services.reconciliation import BEIJING
from prepaid.money import Money
from tests.cloud.conftest import NOON, FakeChannel
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture

DAY = NOON.astimezone(BEIJING).date()
MORNING = datetime(2026, 3, 3, 3, tzinfo=UTC)  # 11:00 in Beijing, the day after


class BilledChannel(FakeChannel):
    """A channel that makes a bill of each day."""

    def __init__(self) -> None:
        super().__init__()
        self.bills: dict[date, tuple[BillLine, ...]] = {}
        self.got: list[date] = []

    def bill(self, day: date) -> tuple[BillLine, ...]:
        if self.is_away:
            raise ChannelAway
        self.got.append(day)
        return self.bills.get(day, ())

    def collects(self, payment: Payment, *, fee: str = "0.30") -> None:
        """The payment is made, and in the bill of its day."""
        self.paid[payment.out_trade_no] = payment
        line = BillLine(
            payment.out_trade_no, payment.transaction_id, None, payment.amount, Decimal(fee)
        )
        day = payment.paid_at.astimezone(BEIJING).date()
        self.bills[day] = (*self.bills.get(day, ()), line)


@pytest.fixture
def channel() -> BilledChannel:
    return BilledChannel()


@pytest.fixture
def ordered(database, order):
    """Orders ¥50 on the day."""

    def ordered(number: str, yuan: str = "50", at: datetime = NOON) -> Payment:
        payment = replace(order(yuan), transaction_id=number, paid_at=at)
        with database.system() as session:
            session.execute(text("UPDATE topups SET created_at = :at"), {"at": NOON})
        return payment

    return ordered


@pytest.fixture
def compare(database, channel):
    def compare(now: datetime = MORNING) -> Compared:
        return bill_days.compare_all(
            database, {"sandbox": channel}, now=now, is_stopping=lambda: False
        )

    return compare


@pytest.fixture
def listed(database, home):
    def listed(organization_id=None) -> list[tables.BillDifference]:
        whose = organization_id or home.organization_id
        with database.organization(whose) as session:
            found = bill_days.differences(session, whose, since=DAY)
            return [one.difference for one in found]

    return listed


def book(database, payment: Payment) -> None:
    assert topups.book(database, payment, channel="sandbox", now=payment.paid_at)


def deliver(database) -> None:
    with database.system() as session:
        session.execute(text("UPDATE topups SET delivered_at = credited_at"))


def test_a_day_on_which_all_three_agree_is_kept_with_its_sums(
    database, home, channel, ordered, compare, listed
):
    for number in ("T1", "T2"):
        payment = ordered(number)
        channel.collects(payment)
        book(database, payment)
    deliver(database)

    assert compare() == Compared(days=1, booked=0, open=0)

    assert listed() == []
    with database.organization(home.organization_id) as session:
        (day,) = bill_days.days(session, home.organization_id, since=DAY)
    # 2 × 50.00 paid; 2 × 0.30 kept = 0.60 yuan = 60 000 thousandths of a fen
    assert (day.day, day.payments, day.paid_fen, day.booked_fen) == (DAY, 2, 10000, 10000)
    assert (day.refunds, day.refunded_fen, day.fee_milli_fen) == (0, 0, 60_000)
    assert compare() == Compared(days=0, booked=0, open=0)  # a day that agrees is got once


def test_a_payment_that_only_the_bill_tells_is_asked_for_and_booked(
    database, home, channel, ordered, compare, listed
):
    channel.collects(ordered("T1"))

    assert compare() == Compared(days=1, booked=1, open=0)

    with database.system() as session:
        credited = session.execute(text("SELECT credited_at, amount_fen FROM topups")).one()
    assert (credited.credited_at is not None, credited.amount_fen) == (True, 5000)
    (gone,) = listed()
    assert (gone.kind, gone.gone_at) == ("theirs-only", MORNING)


def test_what_the_bill_says_is_not_enough_to_credit(database, channel, ordered, compare, listed):
    channel.collects(ordered("T1"))
    channel.paid.clear()  # asked for the order, it says that nothing was paid

    assert compare() == Compared(days=1, booked=0, open=1)
    assert [one.kind for one in listed()] == ["theirs-only"]


def test_a_difference_stays_until_a_later_bill_no_longer_has_it(
    database, channel, ordered, compare, listed
):
    payment = ordered("T1")
    book(database, payment)
    deliver(database)
    assert compare() == Compared(days=1, booked=0, open=1)
    (missing,) = listed()
    assert (missing.kind, missing.ours_fen, missing.theirs_fen) == ("ours-only", 5000, None)

    channel.collects(payment)
    tomorrow = MORNING + timedelta(days=1)
    assert compare(tomorrow).open == 0

    (gone,) = listed()
    assert (gone.id, gone.gone_at) == (missing.id, tomorrow)


def test_two_amounts_for_one_payment_wait_for_a_person_who_says_how_it_was_settled(
    database, home, channel, ordered, compare, listed
):
    payment = ordered("T1")
    book(database, payment)
    deliver(database)
    channel.collects(replace(payment, amount=Money.yuan("30")))
    assert compare().open == 1
    (one,) = listed()
    assert (one.kind, one.ours_fen, one.theirs_fen) == ("amount", 5000, 3000)

    def settle(note: str) -> tables.BillDifference:
        with database.organization(home.organization_id) as session:
            user = session.get_one(tables.User, home.user_id)
            by: Any = auth.SignedIn(user.id, user.organization_id, user.login, user.name)
            return bill_days.settle(session, one.id, by=by, note=note, now=MORNING)

    with pytest.raises(NoteMissing):
        settle("  ")
    settled = settle("微信客服确认为 30.00，已退 20.00")
    assert (settled.settled_by, settled.note) == (home.user_id, "微信客服确认为 30.00，已退 20.00")
    with pytest.raises(NoSuchDifference):
        settle("again")
    assert compare(MORNING + timedelta(days=1)).open == 0  # settled stays settled


def test_a_credit_that_its_gateway_has_not_booked_for_a_day_is_a_difference(
    database, channel, ordered, compare, listed
):
    early = ordered("T1", at=NOON - timedelta(hours=10))
    channel.collects(early)
    book(database, early)
    late = ordered("T2")
    channel.collects(late)
    book(database, late)

    # 11:00 is 25 hours after the one credit was booked and 15 hours after the other
    assert compare().open == 1
    (one,) = listed()
    assert (one.kind, one.transaction_id, one.ours_fen) == ("not-delivered", "T1", 5000)

    deliver(database)
    assert compare(MORNING + timedelta(hours=1)).open == 0


def test_organizations_that_share_a_merchant_see_their_own_lines_and_the_oldest_what_is_nobodys(
    database, home, build, channel, ordered, compare, listed
):
    other = build("other")
    theirs = topups.create(
        database,
        channel,
        organization_id=other.organization_id,
        account_id=other.account_id,
        purse_id=other.electricity_purse,
        amount=Money.yuan("20"),
        idempotency_key=other.account_id,
        page_url="http://cloud.test/t/x/topups",
    )
    ours = ordered("T1")
    channel.collects(ours)
    book(database, ours)
    channel.collects(Payment(theirs.out_trade_no, "T2", Money.yuan("20"), NOON))
    channel.paid.clear()
    channel.collects(Payment("strange", "T3", Money.yuan("7"), NOON))
    deliver(database)

    assert compare().open == 2

    assert [one.out_trade_no for one in listed()] == ["strange"]
    assert [one.out_trade_no for one in listed(other.organization_id)] == [theirs.out_trade_no]
    sums = {}
    for each in (home, other):
        with database.organization(each.organization_id) as session:
            (day,) = bill_days.days(session, each.organization_id, since=DAY)
            sums[each.organization_id] = (day.paid_fen, day.booked_fen)
    # ours: 50.00 and the 7.00 of nobody in the bill; booked are 50.00
    assert sums == {home.organization_id: (5700, 5000), other.organization_id: (2000, 0)}


def test_a_bill_that_cannot_be_had_is_told_and_got_later(channel, ordered, compare, database):
    payment = ordered("T1")
    channel.collects(payment)
    book(database, payment)
    deliver(database)
    channel.is_away = True
    with pytest.raises(ChannelAway):
        compare()

    channel.is_away = False
    assert compare() == Compared(days=1, booked=0, open=0)


def test_a_bill_without_a_line_is_got_again_as_it_may_not_have_been_made(channel, ordered, compare):
    payment = ordered("T1")
    assert compare() == Compared(days=1, booked=0, open=0)

    channel.collects(payment)
    assert compare(MORNING + timedelta(hours=1)).booked == 1
    assert compare(MORNING + timedelta(days=2)).days == 2  # the two days after, both empty
    assert channel.got.count(DAY) == 2


def test_the_page_shows_days_and_differences_and_takes_how_one_was_settled(
    database, home, channel, ordered, compare, listed, staff
):
    payment = ordered("T1")
    book(database, payment)
    deliver(database)
    channel.collects(replace(payment, amount=Money.yuan("30")))
    compare()
    with database.system() as session:  # of this month, for the page
        for table in ("bill_days", "bill_differences"):
            session.execute(text(f"UPDATE {table} SET day = current_date - 1"))
    shown = staff.get("/bills").text
    for expected in ("有 1 条差错待处理", "金额不一致", "¥50.00", "¥30.00", payment.transaction_id):
        assert expected in shown
    (one,) = listed()

    assert staff.post(f"/bills/differences/{one.id}", data={"note": " "}).status_code == 422
    done = staff.post(f"/bills/differences/{one.id}", data={"note": "已核实"})

    assert (done.status_code, done.headers["location"]) == (303, "/bills")
    after = staff.get("/bills").text
    assert "没有差错" in after
    assert "已核实" in after
    assert staff.post(f"/bills/differences/{one.id}", data={"note": "again"}).status_code == 404
    with database.system() as session:
        act = session.execute(text("SELECT act, after FROM audit_entries ORDER BY number")).all()[
            -1
        ]
    assert (act.act, act.after["note"]) == ("settle-difference", "已核实")


def test_the_page_lists_payments_that_were_not_booked_and_what_became_of_them(
    staff, database, order
):
    payment = order("50")
    wrong = replace(payment, amount=Money.yuan("50.01"))
    assert not topups.book(database, wrong, channel="sandbox", now=NOON)

    def page() -> str:
        return staff.get("/bills", headers={"Accept-Language": "en"}).text

    assert "look it up at the channel" in page()
    assert "¥50.01" in page()
    assert topups.book(database, payment, channel="sandbox", now=NOON)
    assert "credited since, by a right notice" in page()
