"""The ledger: each transfer once, and balances that are always the fold of the transfers."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from cloud import tables
from cloud.services import ledger
from prepaid.ledger import (
    Reason,
    Transfer,
    TransferIdReused,
    clearing,
    credit_balance,
    income,
    prepaid,
)
from prepaid.money import ZERO, Money

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def top_up(purse: UUID, yuan: str, cause: str, at: datetime = NOON) -> Transfer:
    return Transfer(clearing("sandbox"), prepaid(purse), Money.yuan(yuan), Reason.TOP_UP, cause, at)


def charge(purse: UUID, yuan: str, cause: str, at: datetime = NOON) -> Transfer:
    return Transfer(prepaid(purse), income("energy"), Money.yuan(yuan), Reason.CHARGE, cause, at)


def books(session) -> dict[str, str]:
    """Every book with what it holds: credits less debits, in yuan."""
    rows = session.execute(select(tables.Transfer)).scalars().all()
    names = {row.debit for row in rows} | {row.credit for row in rows}
    totals: Counter[str] = Counter()
    for row in rows:
        totals[row.credit] += row.amount_fen
        totals[row.debit] -= row.amount_fen
    return {name: str(Money(totals[name])) for name in names}


def test_a_resident_tops_up_50_uses_12_kwh_and_tops_up_10(database, home):
    purse, other = home.electricity_purse, home.water_purse
    mine = prepaid(purse)
    with database.system() as session:
        # ¥50 is paid through the sandbox channel.
        ledger.post(session, home.organization_id, [top_up(purse, "50", "sandbox:T1")])
        assert books(session) == {mine: "50.00", "Assets:Clearing:sandbox": "-50.00"}
        assert ledger.balance(session, purse) == Money.yuan("50")

        # 12 kWh at 0.50 = ¥6.00, in two charges: 7 kWh = 3.50 and 5 kWh = 2.50.
        used = [charge(purse, "3.50", "p:energy:1"), charge(purse, "2.50", "p:energy:2")]
        ledger.post(session, home.organization_id, used)
        assert books(session) == {
            mine: "44.00",
            "Assets:Clearing:sandbox": "-50.00",
            "Income:energy": "6.00",
        }
        assert ledger.balance(session, purse) == Money.yuan("44")

        # ¥10 more: 44 + 10 = 54.
        ledger.post(session, home.organization_id, [top_up(purse, "10", "sandbox:T2")])
        assert ledger.balance(session, purse) == Money.yuan("54")
        assert ledger.balance(session, other) == ZERO


def test_a_transfer_posted_again_moves_nothing(database, home):
    transfers = [
        top_up(home.electricity_purse, "50", "sandbox:T1"),
        charge(home.electricity_purse, "3.50", "p:energy:1"),
    ]
    with database.system() as session:
        assert ledger.post(session, home.organization_id, transfers) == 2
    with database.system() as session:
        assert ledger.post(session, home.organization_id, transfers + transfers) == 0
        assert ledger.balance(session, home.electricity_purse) == Money.yuan("46.50")
        assert daily(session) == [(home.electricity_purse, NOON.date(), 350)]


def daily(session) -> list[tuple[object, ...]]:
    rows = session.execute(
        text("SELECT purse_id, day, charged_fen FROM daily_charges ORDER BY day")
    )
    return [tuple(row) for row in rows]


def test_an_id_with_other_content_is_refused_and_changes_nothing(database, home):
    first = top_up(home.electricity_purse, "50", "sandbox:T1")
    with database.system() as session:
        ledger.post(session, home.organization_id, [first])
    for other in (
        replace(first, amount=Money.yuan("500")),
        replace(first, credit=prepaid(home.water_purse)),
        replace(first, at=NOON + timedelta(seconds=1)),
    ):
        with pytest.raises(TransferIdReused), database.system() as session:
            ledger.post(session, home.organization_id, [charge(home.water_purse, "1", "x"), other])
    with database.system() as session:
        assert ledger.balance(session, home.electricity_purse) == Money.yuan("50")
        assert ledger.balance(session, home.water_purse) == ZERO


def test_two_contents_of_one_id_in_one_posting_are_refused(database, home):
    first = top_up(home.electricity_purse, "50", "sandbox:T1")
    with pytest.raises(TransferIdReused), database.system() as session:
        ledger.post(session, home.organization_id, [first, replace(first, amount=Money.yuan("5"))])


def test_an_id_booked_by_another_organization_is_refused(database, build):
    one, two = build("one"), build("two")
    with database.organization(one.organization_id) as session:
        ledger.post(
            session, one.organization_id, [top_up(one.electricity_purse, "5", "sandbox:T1")]
        )
    with pytest.raises(TransferIdReused), database.organization(two.organization_id) as session:
        ledger.post(
            session, two.organization_id, [top_up(two.electricity_purse, "5", "sandbox:T1")]
        )


def test_charges_count_for_the_day_they_were_read_in_utc(database, home):
    purse = home.electricity_purse
    late = datetime(2026, 3, 2, 23, 59, tzinfo=UTC)
    with database.system() as session:
        ledger.post(
            session,
            home.organization_id,
            [
                charge(purse, "1", "a", NOON),
                charge(purse, "2", "b", late),
                charge(purse, "4", "c", late + timedelta(minutes=1)),
                top_up(purse, "100", "sandbox:T1"),
            ],
        )
        assert daily(session) == [
            (purse, NOON.date(), 300),
            (purse, NOON.date() + timedelta(days=1), 400),
        ]


def test_postings_at_the_same_time_neither_deadlock_nor_lose_a_fen(database, home):
    # 8 threads post 25 batches each, over two purses, in their own order; some transfers in several batches.
    chance = random.Random(7)
    purses = [home.electricity_purse, home.water_purse]
    shared = [top_up(purses[i % 2], "1.01", f"shared:{i}") for i in range(20)]
    batches = []
    for number in range(200):
        mine = [charge(chance.choice(purses), "0.07", f"{number}:{i}") for i in range(3)]
        batch = mine + chance.sample(shared, 3)
        chance.shuffle(batch)
        batches.append(batch)

    def post(batch: list[Transfer]) -> None:
        with database.organization(home.organization_id) as session:
            ledger.post(session, home.organization_id, batch)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(post, batches))

    given = {transfer.id: transfer for batch in batches for transfer in batch}
    with database.system() as session:
        for purse in purses:
            book = prepaid(purse)
            assert ledger.balance(session, purse) == credit_balance(book, given.values())
            assert ledger.transfers_of(session, book) == sorted(
                (t for t in given.values() if book in (t.debit, t.credit)),
                key=lambda t: (t.at, t.id),
            )


def test_a_transfer_for_no_purse_of_the_organization_is_refused_by_the_database(database, home):
    from sqlalchemy.exc import IntegrityError

    with pytest.raises(IntegrityError), database.system() as session:
        ledger.post(session, home.organization_id, [top_up(uuid4(), "1", "sandbox:T1")])
