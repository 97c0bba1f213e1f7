"""Credit numbers and offline codes: what is numbered, which top-up has a code, and what a typed one says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import codes, downlog, estate, ledger, topups, uplog
from cloud.services.codes import HasArrived, NoGateway, NotEnrolled, NotPaid, TooFarAhead
from cloud.services.gateway_keys import code_key
from cloud.services.scopes import NoSuchTopUp
from prepaid import offline_code
from prepaid.ledger import Reason, Transfer, expenses, prepaid
from prepaid.money import Money
from prepaid.offline_code import WINDOW, Credit
from prepaid.point import Policy
from prepaid.wire.downlog import Credited, read_down
from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.envelope import Envelope
from prepaid.wire.uplog import CodeEntered, write_up
from tests.cloud.conftest import enrol, meter

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET = "c" * 43
LOG = UUID(int=1)


def sent(database, home) -> list[tuple[str, int | None]]:
    """Amount and number of each credit in the gateway's down-log."""
    with database.system() as session:
        bodies = session.execute(
            select(tables.DownEntry.body)
            .where(tables.DownEntry.gateway_id == home.gateway_id)
            .order_by(tables.DownEntry.seq)
        ).scalars()
        messages = [read_down(body) for body in bodies]
    return [(str(m.transfer.amount), m.number) for m in messages if isinstance(m, Credited)]


@pytest.fixture
def pay(database, home, order):
    """Pays an order; the top-up's id."""

    def pay(yuan: str) -> UUID:
        payment = order(yuan)
        topups.book(database, payment, channel="sandbox", now=NOON)
        return UUID(payment.out_trade_no)

    return pay


@pytest.fixture
def issue(database, home):
    def issue(topup: UUID, now: datetime = NOON, **whose: UUID) -> codes.Issued:
        with database.system() as session:
            return codes.issue(session, topup, code_secret=SECRET, now=now, **whose)

    return issue


@pytest.fixture
def hear(database, home):
    """Receives what the gateway says, as the worker does."""
    said = 0

    def hear(*messages: CodeEntered, cursor: int | None = None, now: datetime = NOON) -> None:
        nonlocal said
        entries = []
        for message in messages:
            said += 1
            entries.append(Entry(LOG, said, write_up(message)))
        with database.system() as session:
            gateway = uplog.gateway_of(session, home.gateway_no)
            at = None if cursor is None else Cursor(gateway.down_log, cursor)
            uplog.receive(session, gateway, Envelope(tuple(entries), at), now=now)

    return hear


@pytest.fixture(autouse=True)
def enrolled(database, home) -> None:
    enrol(database, home.organization_id, home.gateway_id)


def top_up(database, id: UUID) -> tables.TopUp:
    with database.system() as session:
        return session.get_one(tables.TopUp, id)


def down_seq(database, home) -> int:
    with database.system() as session:
        return session.get_one(tables.Gateway, home.gateway_id).down_seq


def alarms(database) -> list[tuple[str, bool]]:
    with database.system() as session:
        rows = session.execute(select(tables.GatewayAlarm)).scalars()
        return [(row.kind, row.is_over) for row in rows]


# Numbers.


def test_a_purses_credits_are_numbered_in_the_order_in_which_they_go_down(database, home, pay):
    by = SignedIn(home.user_id, home.organization_id, "home", "home")
    first = pay("50")
    with database.organization(home.organization_id) as session:
        second = topups.record_cash(
            session,
            purse_id=home.electricity_purse,
            amount=Money.yuan("20"),
            by=by,
            idempotency_key=uuid4(),
        ).id
        topups.record_cash(
            session,
            purse_id=home.water_purse,
            amount=Money.yuan("7"),
            by=by,
            idempotency_key=uuid4(),
        )
    pay("30")

    assert sent(database, home) == [("50.00", 1), ("20.00", 2), ("7.00", 1), ("30.00", 3)]
    assert [top_up(database, id).credit_number for id in (first, second)] == [1, 2]


def test_payments_at_the_same_time_have_numbers_without_a_gap_or_a_double(database, home, order):
    payments = [order("1") for _ in range(12)]
    with ThreadPoolExecutor(6) as threads:
        list(
            threads.map(
                lambda p: topups.book(database, p, channel="sandbox", now=NOON), payments * 2
            )
        )
    assert sent(database, home) == [("1.00", number) for number in range(1, 13)]


def test_what_was_paid_before_there_was_a_meter_keeps_its_numbers(database, home):
    by = SignedIn(home.user_id, home.organization_id, "home", "home")
    with database.system() as session:
        room = session.get_one(tables.Room, home.room_id)
        building = session.get_one(tables.Building, room.building_id)
        other = estate.add_room(session, building, "0302", 3)
        account = estate.open_account(session, other, "李四")
        purse = estate.add_purse(session, account, "electricity")
        paid = [
            topups.record_cash(
                session,
                purse_id=purse.id,
                amount=Money.yuan(yuan),
                by=by,
                idempotency_key=uuid4(),
            ).id
            for yuan in ("10", "20")
        ]
        # A subsidy that was booked, and not numbered: it goes down last.
        ledger.post(
            session,
            home.organization_id,
            [
                Transfer(
                    expenses("subsidy"),
                    prepaid(purse.id),
                    Money.yuan("5"),
                    Reason.SUBSIDY,
                    "subsidy:1",
                    NOON,
                )
            ],
        )
        with pytest.raises(NoGateway):
            codes.issue(session, paid[0], code_secret=SECRET, now=NOON)
        estate.add_point(
            session,
            room=other,
            gateway=session.get_one(tables.Gateway, home.gateway_id),
            purse=purse,
            name="0302 电",
            commodity="electricity",
            meter=meter("M-0302", "000000000399"),
            tariff_code="power",
            policy=Policy(),
        )
    assert sent(database, home) == [("10.00", 1), ("20.00", 2), ("5.00", 3)]
    first, second = (top_up(database, id) for id in paid)
    assert first.down_seq is not None
    assert second.down_seq == first.down_seq + 1


# Codes.


def test_the_same_top_up_always_has_the_same_code_and_it_opens_just_that_credit(
    database, home, pay, issue
):
    pay("20")
    id = pay("50")
    issued = issue(id)
    again = issue(id, now=NOON + timedelta(days=3))

    assert (again.code, again.issued_at) == (issued.code, NOON)
    assert top_up(database, id).code_issued_at == NOON
    key = code_key(SECRET, gateway_no=home.gateway_no)
    opened = offline_code.check(key, issued.code, purse=home.electricity_purse, last=0)
    assert opened == Credit(2, Money.yuan("50"))
    assert (issued.gateway_no, issued.amount) == (home.gateway_no, Money.yuan("50"))


def test_only_what_is_paid_and_has_not_arrived_has_a_code(database, home, order, pay, issue, hear):
    unpaid = UUID(order("5").out_trade_no)
    with pytest.raises(NotPaid):
        issue(unpaid)
    id = pay("50")
    hear(cursor=down_seq(database, home))
    with pytest.raises(HasArrived):
        issue(id)
    assert top_up(database, id).code_issued_at is None


def test_a_gateway_that_is_not_enrolled_can_check_no_code(database, home, pay, issue):
    id = pay("50")
    with database.system() as session:
        session.execute(text("UPDATE gateway_credentials SET ended_at = now()"))
    with pytest.raises(NotEnrolled, match=f"Gateway {home.gateway_no} is not enrolled"):
        issue(id)
    with database.system() as session:
        shown = codes.waiting(session, [home.electricity_purse], code_secret=SECRET, now=NOON)
    assert shown == ()


def test_nobody_gets_the_code_of_anothers_top_up(home, build, pay, issue):
    id = pay("50")
    theirs = build("theirs")
    for whose in (
        {"organization_id": theirs.organization_id},
        {"account_id": theirs.account_id},
    ):
        with pytest.raises(NoSuchTopUp):
            issue(id, **whose)
    with pytest.raises(NoSuchTopUp):
        issue(uuid4())
    ours = issue(id, organization_id=home.organization_id, account_id=home.account_id)
    assert ours.topup_id == id


def test_codes_are_shown_while_the_gateway_is_silent_the_oldest_first(database, home, pay, hear):
    def shown(now: datetime) -> list[str]:
        with database.organization(home.organization_id) as session:
            found = codes.waiting(session, [home.electricity_purse], code_secret=SECRET, now=now)
        return [str(issued.amount) for issued in found]

    pay("50")
    pay("20")
    assert shown(NOON) == ["50.00", "20.00"]  # it was never heard
    hear()
    assert shown(NOON) == []
    assert shown(NOON + downlog.ONLINE) == ["50.00", "20.00"]
    hear(cursor=down_seq(database, home) - 1)
    assert shown(NOON + downlog.ONLINE) == ["20.00"]


def test_no_code_is_made_that_the_gateway_would_not_take_yet(database, home, pay, issue, hear):
    pay("1")
    hear(cursor=down_seq(database, home))
    with database.system() as session:
        # As many were paid meanwhile as a code may be ahead.
        session.get_one(tables.Purse, home.electricity_purse).credits = WINDOW
    last, beyond = pay("1"), pay("1")
    assert issue(last).code[:3] == "101"
    with pytest.raises(TooFarAhead):
        issue(beyond)


# What was typed.


def test_a_typed_code_marks_its_top_up_as_arrived_and_the_log_changes_nothing_more(
    database, home, pay, hear
):
    id, typed = pay("50"), NOON + timedelta(minutes=10)
    heard = NOON + timedelta(days=2)
    hear(CodeEntered(home.electricity_purse, 1, Money.yuan("50"), typed), now=heard)
    hear(cursor=down_seq(database, home), now=heard)

    found = top_up(database, id)
    assert (found.code_entered_at, found.delivered_at) == (typed, typed)
    with database.system() as session:
        assert ledger.balance(session, home.electricity_purse) == Money.yuan("50")
    assert alarms(database) == []


def test_a_gateways_wrong_clock_brings_no_top_up_before_it_was_paid_nor_after_now(
    database, home, pay, hear
):
    early, late = pay("50"), pay("20")
    now = NOON + timedelta(days=2)
    hear(
        CodeEntered(home.electricity_purse, 1, Money.yuan("50"), datetime(1970, 1, 2, tzinfo=UTC)),
        CodeEntered(home.electricity_purse, 2, Money.yuan("20"), now + timedelta(days=900)),
        now=now,
    )
    assert [top_up(database, id).delivered_at for id in (early, late)] == [NOON, now]


@pytest.mark.parametrize(("number", "yuan"), [(1, "60"), (2, "50")])
def test_a_code_that_we_know_otherwise_or_not_at_all_is_alarmed_and_credits_nothing(
    database, home, pay, hear, number, yuan
):
    id = pay("50")
    hear(CodeEntered(home.electricity_purse, number, Money.yuan(yuan), NOON))

    assert alarms(database) == [("code-unknown", False)]
    assert top_up(database, id).code_entered_at is None
    with database.system() as session:
        assert ledger.balance(session, home.electricity_purse) == Money.yuan("50")


def test_a_code_for_a_purse_of_another_gateway_is_kept_with_its_reason(database, home, build, hear):
    theirs = build("theirs")
    hear(
        CodeEntered(theirs.electricity_purse, 1, Money.yuan("50"), NOON),
        CodeEntered(home.electricity_purse, 2**40, Money.yuan("50"), NOON),
    )
    with database.system() as session:
        reasons = session.execute(select(tables.Rejected.reason)).scalars().all()
    assert any("no service point of purse" in reason for reason in reasons)
    assert any("credit number that cannot be" in reason for reason in reasons)
