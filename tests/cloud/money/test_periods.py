"""Months of the books: closed in order, locked, opened again by two people; the trial balance and statements."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from cloud.errors import CloudError
from cloud.services import approvals, ledger
from cloud.services.money import approving, periods, shifts, statements
from prepaid.ledger import Reason, Transfer, clearing, income, prepaid
from prepaid.money import ZERO
from tests.cloud.money.office import EARLY, Office, yuan

pytestmark = pytest.mark.processes

MARCH, APRIL, MAY = date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1)


def begin(month: date) -> datetime:
    return periods.begin_of(month)


def top_up(office: Office, amount: str, at: datetime, cause: str) -> Transfer:
    book = prepaid(office.purse)
    return Transfer(clearing("cash"), book, yuan(amount), Reason.TOP_UP, cause, at)


def charge(office: Office, amount: str, at: datetime, cause: str) -> Transfer:
    book = prepaid(office.purse)
    return Transfer(book, income("energy"), yuan(amount), Reason.CHARGE, cause, at)


def post(office: Office, *transfers: Transfer, carry_to: datetime | None = None) -> int:
    with office.session() as session:
        return ledger.post(session, office.home.organization_id, transfers, carry_to=carry_to)


def close(office: Office, month: date, now: datetime) -> periods.Closing:
    with office.session() as session:
        return periods.close(session, office.boss, month, now=now)


def trial(office: Office, since: datetime, until: datetime) -> dict[str, tuple[str, ...]]:
    """Of each item what it held before, its debits, its credits, and what it held then."""
    with office.session() as session:
        found = statements.trial_balance(
            session, office.home.organization_id, since=since, until=until
        )
    assert found.is_balanced
    return {
        row.item: tuple(str(m) for m in (row.opening, row.debits, row.credits, row.closing))
        for row in found.rows
    }


def test_the_books_of_two_months_and_of_one_day(office):
    # The month begins at midnight in Beijing, which is 16:00 UTC of the day before.
    assert begin(APRIL) == datetime(2026, 3, 31, 16, tzinfo=UTC)
    last_of_march = begin(APRIL) - timedelta(seconds=1)
    post(
        office,
        top_up(office, "100", datetime(2026, 3, 2, 4, tzinfo=UTC), "c1"),
        charge(office, "30", last_of_march, "p1"),
        charge(office, "5", begin(APRIL), "p2"),
        top_up(office, "20", datetime(2026, 4, 10, 4, tzinfo=UTC), "c2"),
    )
    march = {
        "Assets:Clearing:cash": ("0.00", "100.00", "0.00", "-100.00"),
        "Income:energy": ("0.00", "0.00", "30.00", "30.00"),
        "Liabilities:Prepaid": ("0.00", "30.00", "100.00", "70.00"),
    }
    april = {
        "Assets:Clearing:cash": ("-100.00", "20.00", "0.00", "-120.00"),
        "Income:energy": ("30.00", "0.00", "5.00", "35.00"),
        "Liabilities:Prepaid": ("70.00", "5.00", "20.00", "85.00"),
    }
    assert trial(office, begin(MARCH), begin(APRIL)) == march
    assert trial(office, begin(APRIL), begin(MAY)) == april
    # The same from what was kept when March was closed.
    close(office, MARCH, begin(APRIL))
    assert trial(office, begin(MARCH), begin(APRIL)) == march
    assert trial(office, begin(APRIL), begin(MAY)) == april
    day = datetime(2026, 4, 9, 16, tzinfo=UTC)
    assert trial(office, day, day + timedelta(days=1))["Liabilities:Prepaid"] == (
        *("65.00", "0.00", "20.00", "85.00"),
    )

    with office.session() as session:
        found = statements.statement(
            session,
            office.home.organization_id,
            prepaid(office.purse),
            since=begin(APRIL),
            until=begin(MAY),
        )
    assert (str(found.opening), str(found.closing)) == ("70.00", "85.00")
    assert [(str(line.amount), str(line.balance)) for line in found.lines] == [
        ("-5.00", "65.00"),
        ("20.00", "85.00"),
    ]


def test_a_closed_month_takes_nothing_from_people_and_what_gateways_tell_goes_into_the_open_one(
    office,
):
    in_march, now = datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 4, 5, tzinfo=UTC)
    first = top_up(office, "100", in_march, "c1")
    post(office, first)
    close(office, MARCH, now)
    closed = trial(office, begin(MARCH), begin(APRIL))

    with pytest.raises(ledger.PeriodClosed, match="2026-03"):
        post(office, top_up(office, "1", in_march, "c2"))
    assert post(office, first) == 0  # known is known, whenever it comes again
    late = charge(office, "7", in_march, "p1")
    assert post(office, late, carry_to=now) == 1
    assert post(office, late, carry_to=now + timedelta(days=40)) == 0

    assert office.balance() == yuan("93")
    assert trial(office, begin(MARCH), begin(APRIL)) == closed
    with office.session() as session:
        organization = office.home.organization_id
        april = statements.trial_balance(
            session, organization, since=begin(APRIL), until=begin(MAY)
        )
        assert april.late == yuan("7")
        found = statements.statement(
            session,
            organization,
            prepaid(office.purse),
            since=begin(APRIL),
            until=begin(MAY),
        )
        (line,) = found.lines
        assert (line.is_late, line.booked_at, line.at) == (True, now, in_march)


def test_months_are_closed_in_order_when_they_are_over_and_their_drawers_counted(office):
    with pytest.raises(periods.NotYet):
        close(office, MARCH, begin(APRIL) - timedelta(seconds=1))
    office.now = begin(MARCH)
    office.open_shift()
    with pytest.raises(periods.ShiftsOpen):
        close(office, MARCH, begin(APRIL))
    with office.session() as session:
        shifts.close(session, office.cashier, counted=ZERO, handed_to="", note="", now=begin(APRIL))
    close(office, MARCH, begin(APRIL))
    with pytest.raises(periods.NotNext, match="2026-04"):
        close(office, MAY, begin(date(2026, 7, 1)))
    assert close(office, MARCH, begin(MAY)).closed_at == begin(APRIL)  # again is nothing new
    close(office, APRIL, begin(MAY))
    with office.session() as session:
        assert periods.next_to_close(session, office.home.organization_id, now=EARLY) == MAY


def test_a_month_is_opened_again_by_two_people_and_the_mark_stays(office):
    at = datetime(2026, 3, 20, tzinfo=UTC)
    for month in (MARCH, APRIL):
        close(office, month, begin(date(2026, 6, 1)))

    def ask(month: date) -> None:
        with office.session() as session:
            approving.ask_to_reopen(
                session, office.cashier, month, why="漏记一笔", now=begin(date(2026, 6, 1))
            )

    ask(MARCH)
    with pytest.raises(periods.NotClosed, match="2026-04"):
        office.decide()  # not before April
    with office.session() as session:
        (waiting,) = approvals.listed(session, office.boss, is_open=True)
        approvals.decide(
            session, office.boss, waiting.id, approved=False, why="先开四月", now=office.now
        )
    ask(APRIL)
    with pytest.raises(CloudError):
        office.decide(by=office.cashier)
    office.decide()
    ask(MARCH)
    office.decide()

    assert post(office, top_up(office, "1", at, "c1")) == 1
    with office.session() as session:
        found = periods.closings(session, office.home.organization_id)
    assert [(each.month, each.reopen_asked_by, each.reopened_by, each.why) for each in found] == [
        (APRIL, "cashier", "boss", "漏记一笔"),
        (MARCH, "cashier", "boss", "漏记一笔"),
    ]
    # It can be closed again, with what came meanwhile.
    close(office, MARCH, begin(date(2026, 6, 1)))
    assert trial(office, begin(APRIL), begin(MAY))["Liabilities:Prepaid"][0] == "1.00"
