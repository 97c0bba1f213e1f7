"""Closing, handing over and changing rooms: worked stories, amounts by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col

from cloud import auth
from cloud.auth import SignedIn
from cloud.errors import NoSuchLink
from cloud.permissions import Role
from cloud.services import approvals, estate, ledger
from cloud.services.accounts import (
    acts,
    closing,
    emptying,
    listing,
    moving,
    opening,
    settlement,
    standings,
    stating,
    vacancy,
)
from cloud.services.accounts.closing import AlreadyClosed
from cloud.services.accounts.drafts import FirstMoney, Holder
from cloud.services.accounts.moving import Balance, Owes
from cloud.services.accounts.opening import Delivery
from cloud.services.accounts.settlement import IsSettled, NotClosed, NotFinal
from cloud.services.accounts.tenures import BadReading, Typed
from cloud.services.money import grants, purses, rules, withdrawal_answers
from cloud.services.money.refunds import How
from cloud.services.money.rules import Rules
from cloud.tables import Account, Occupancy, Purse, ServicePoint, Site, User, Withdrawal
from prepaid.ledger import Reason, Transfer, income, prepaid, receivable
from prepaid.money import ZERO, Money
from prepaid.point import Opening
from prepaid.purse import Purpose
from prepaid.reading import Supply
from prepaid.wire.downlog import Debited, Withdraw
from prepaid.wire.uplog import Charged, Read, Withdrawn
from tests.cloud.accounts.conftest import NOW, add_vacant, point_told, told

pytestmark = pytest.mark.processes

YUAN = Money.yuan
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def act(database, home):
    """Does something in a transaction of its own."""

    def act(what, *args, **given):
        with database.organization(home.organization_id) as session:
            return what(session, *args, **given)

    return act


@pytest.fixture
def house(act, home, by, gateway):
    """李四 in room 0401, who paid 50.00 for electricity and 30.00 for water; the gateway knows, from 100 on."""
    act(rules.save, by, Rules(alone=YUAN("500")), now=NOW)  # refunds need no second person
    room = act(add_vacant, home, "0401")
    draft = room.draft(
        money=(
            FirstMoney(Purpose.ELECTRICITY, YUAN("50")),
            FirstMoney(Purpose.WATER, YUAN("30")),
        )
    )
    account = act(opening.open_account, by, draft, key=uuid4(), now=NOW)
    power, water = (act(purse_id, account.id, p) for p in ("electricity", "water"))
    gateway.says(
        gateway.opens(room.electricity, power, "100.00", NOW, "0401-电"),
        gateway.opens(room.water, water, "10.00", NOW, "0401-水"),
    )
    return room, account, power, water


def purse_id(session, account_id, purpose):
    return session.execute(
        select(col(Purse.id)).where(
            col(Purse.account_id) == account_id, col(Purse.purpose) == purpose
        )
    ).scalar_one()


def charge(gateway, point, purse, yuan, number=1):
    """A charge of the gateway, as it comes with the position after it."""
    at = NOW + timedelta(minutes=number)
    opened = gateway.opens(point, purse, "100.00", at, "0401-电")
    position = opened.position.__class__(
        opened.position.reading, (), (), at, NOW, number, opened.position.payer
    )
    transfer = Transfer(
        prepaid(purse), income("energy"), YUAN(yuan), Reason.CHARGE, f"{point}:{number}", at
    )
    return Charged(point, position, (transfer,))


def ends(gateway, room, at=LATER):
    """The gateway has read both meters: nobody pays from there on."""
    return (
        gateway.opens(room.electricity, None, "140.00", at),
        gateway.opens(room.water, None, "12.00", at),
    )


def book_withdrawals(session_of, gateway, home):
    """The gateway books what is to be taken out of purses."""
    with session_of() as session:
        asked = [m for m in told(session, home.gateway_id) if isinstance(m, Withdraw)]
        left = {
            m.transfer.debit: ledger.balance(session, ledger.purse_of(m.transfer.debit))
            for m in asked
        }
    answers = [
        Withdrawn(
            ledger.purse_of(m.transfer.debit),
            m.transfer,
            None,
            left[m.transfer.debit] - m.transfer.amount,
            LATER,
        )
        for m in asked
    ]
    gateway.says(*answers, now=LATER)


def test_who_moves_out_pays_to_the_last_reading_and_gets_back_what_is_left(
    database, act, home, by, gateway, house
):
    room, account, power, water = house
    gateway.says(charge(gateway, room.electricity, power, "12.00"))

    act(closing.close, by, account.id, typed={}, why="搬走", now=LATER)
    with pytest.raises(NotFinal, match="0401 水"):
        act(settlement.settle, by, account.id, how=How.CASH, why="搬走", now=LATER)
    assert act(point_told, home.gateway_id, room.electricity).purse is None

    # Use between the closing and the gateway's last reading: 8.00 more, which is still this customer's.
    gateway.says(charge(gateway, room.electricity, power, "8.00", 2), *ends(gateway, room))
    standing = act(standings.of, by, account.id)
    assert {r.name: str(r.total) for r in standing.readings} == {
        "0401 电": "140.00",
        "0401 水": "12.00",
    }
    # 50.00 - 12.00 - 8.00, and 30.00
    assert standing.refundable == YUAN("60.00")
    act(settlement.settle, by, account.id, how=How.CASH, why="搬走", now=LATER)
    rows = act(lambda s: s.execute(select(Withdrawal)).scalars().all())
    assert {row.purse_id: row.amount_fen for row in rows} == {power: 3000, water: 3000}
    assert act(lambda s: s.get_one(Account, account.id).settled_at) is None

    book_withdrawals(lambda: database.organization(home.organization_id), gateway, home)
    assert act(settlement.finish_all, home.organization_id, now=LATER) == 1

    assert act(lambda s: s.get_one(Account, account.id).settled_at) == LATER
    assert {act(ledger.balance, purse) for purse in (power, water)} == {ZERO}
    with pytest.raises(IsSettled):
        act(settlement.settle, by, account.id, how=How.CASH, why="again", now=LATER)


def test_a_purse_that_lacks_becomes_a_debt_which_the_other_purse_pays_first(
    database, act, home, by, gateway, house
):
    room, account, power, _ = house
    # 50.00 - 57.20: 7.20 is lacking; of the 30.00 for water 22.80 goes back.
    gateway.says(charge(gateway, room.electricity, power, "57.20"))
    act(closing.close, by, account.id, typed={}, why="搬走", now=LATER)
    gateway.says(*ends(gateway, room))
    assert act(standings.of, by, account.id).refundable == YUAN("22.80")

    act(settlement.settle, by, account.id, how=How.CASH, why="搬走", now=LATER)
    book_withdrawals(lambda: database.organization(home.organization_id), gateway, home)
    act(settlement.finish_all, home.organization_id, now=LATER)

    assert act(listing.owed, account.id) == ZERO
    moved = act(ledger.transfers_of, receivable(account.id))
    assert {(t.reason, str(t.amount)) for t in moved} == {
        (Reason.DEBT, "7.20"),
        (Reason.REPAYMENT, "7.20"),
    }
    amounts = select(col(Withdrawal.amount_fen)).where(col(Withdrawal.how).is_not(None))
    assert act(lambda s: s.execute(amounts).scalars().all()) == [2280]


def test_a_closed_account_leaves_a_vacant_room_that_is_off_and_billed_to_nobody(
    database, act, home, by, gateway, house, settings
):
    room, account, power, _ = house
    seen = Typed(Decimal("138.00"), NOW + timedelta(minutes=30))
    token = auth.tenant_token(settings, account.id)
    act(closing.close, by, account.id, typed={room.electricity: seen}, why="搬走", now=LATER)

    point = act(point_told, home.gateway_id, room.electricity)
    assert (point.purse, point.while_vacant) == (None, Supply.OFF)
    assert point.opening == Opening(Decimal("138.00"), seen.at)
    with database.system() as session, pytest.raises(NoSuchLink):
        auth.tenant(session, settings, token, now=LATER)
    with pytest.raises(AlreadyClosed):
        act(closing.close, by, account.id, typed={}, why="again", now=LATER)

    # The gateway divides at 138.00; 4.5 kWh are used by nobody.
    gateway.says(
        gateway.opens(room.electricity, None, "138.00", seen.at),
        gateway.opens(room.water, None, "12.00", LATER),
    )
    reading = gateway.opens(room.electricity, None, "142.50", LATER).position.reading
    gateway.says(Read(room.electricity, reading))
    vacant = {each.name: each for each in act(vacancy.points, by)}
    assert vacant["0401 电"].used == Decimal("4.50")
    assert vacant["0401 电"].left_by == "李四"
    assert act(ledger.balance, power) == YUAN("50.00")


def test_the_site_says_whether_vacant_rooms_are_supplied(session, home, by, vacant):
    room = vacant()
    assert point_told(session, home.gateway_id, room.electricity).while_vacant is Supply.OFF

    assert vacancy.supply_while_vacant(session, by, home.site_id, Supply.ON, now=NOW) == 2

    assert point_told(session, home.gateway_id, room.electricity).while_vacant is Supply.ON
    assert vacancy.supply_while_vacant(session, by, home.site_id, Supply.ON, now=NOW) == 0


def test_only_a_closed_account_is_settled(act, by, house):
    with pytest.raises(NotClosed):
        act(settlement.settle, by, house[1].id, how=How.CASH, why="x", now=NOW)


def test_a_room_goes_over_with_its_balance_and_nothing_is_told_to_the_gateway(
    act, home, by, gateway, house
):
    room, account, power, _ = house
    gateway.says(charge(gateway, room.electricity, power, "12.00"))
    before = len(act(told, home.gateway_id))

    next_one = act(
        moving.transfer,
        by,
        account.id,
        Holder("王五"),
        Balance.WITH_ROOM,
        typed={},
        why="过户",
        now=LATER,
    )

    assert len(act(told, home.gateway_id)) == before
    # 38.00 and 30.00 go along.
    assert act(closing.balance_of, next_one.id) == YUAN("68.00")
    assert act(closing.balance_of, account.id) == ZERO
    assert act(closing.open_rooms, next_one.id) == (room.room_id,)
    assert act(lambda s: s.get_one(Account, account.id).settled_at) == LATER
    gateway.says(charge(gateway, room.electricity, power, "1.00", 2))
    assert act(closing.balance_of, next_one.id) == YUAN("67.00")
    (first, _), *_ = act(acts.of_account, next_one.id)
    assert (first.act, first.other_id) == ("taken-over", account.id)


def test_a_room_goes_over_without_the_balance_which_goes_back_to_who_leaves(
    act, home, by, gateway, house
):
    room, account, power, _ = house
    next_one = act(
        moving.transfer,
        by,
        account.id,
        Holder("王五"),
        Balance.WITH_HOLDER,
        typed={},
        why="过户",
        now=LATER,
    )
    new_power = act(purse_id, next_one.id, "electricity")
    assert act(point_told, home.gateway_id, room.electricity).purse == new_power != power
    gateway.has_everything()

    # A charge that was on its way is of who leaves.
    gateway.says(
        charge(gateway, room.electricity, power, "5.00"),
        gateway.opens(room.electricity, new_power, "110.00", LATER),
        gateway.opens(room.water, act(purse_id, next_one.id, "water"), "10.00", LATER),
    )

    assert act(ledger.balance, new_power) == ZERO
    # 45.00 + 30.00
    assert act(standings.of, by, account.id).refundable == YUAN("75.00")
    assert {m.delivery for m in act(opening.meters, next_one.id, now=LATER)} == {Delivery.BEGUN}
    assert act(lambda s: s.get_one(Account, account.id).closed_at) == LATER


def test_nothing_goes_over_while_anything_is_owed(act, by, gateway, house):
    room, account, power, _ = house
    gateway.says(charge(gateway, room.electricity, power, "57.20"))
    with pytest.raises(Owes, match=r"¥7\.20 is owed"):
        act(
            moving.transfer,
            by,
            account.id,
            Holder("王五"),
            Balance.WITH_ROOM,
            typed={},
            why="过户",
            now=LATER,
        )


def test_a_customer_changes_rooms_and_the_purses_go_along(act, home, by, gateway, house):
    room, account, power, water = house
    other = act(add_vacant, home, "0402")
    act(
        moving.change_room,
        by,
        account.id,
        from_room=room.room_id,
        to_room=other.room_id,
        typed={},
        why="换到 0402",
        now=LATER,
    )
    assert act(point_told, home.gateway_id, room.electricity).purse is None
    assert act(point_told, home.gateway_id, other.electricity).purse == power
    assert act(point_told, home.gateway_id, other.water).purse == water
    assert act(closing.open_rooms, account.id) == (other.room_id,)
    # And back again, into a room that is free.
    act(
        moving.change_room,
        by,
        account.id,
        from_room=other.room_id,
        to_room=room.room_id,
        typed={},
        why="换回",
        now=LATER + timedelta(minutes=1),
    )
    spent = act(lambda s: s.execute(select(Occupancy)).scalars().all())
    assert len([o for o in spent if o.account_id == account.id]) == 3


def test_who_moves_to_a_room_at_another_gateway_takes_the_money_along_once_and_gifts_stay_gifts(
    database, act, home, by, gateway, house
):
    room, account, power, _ = house
    give = {"kind": grants.Kind.GIFT, "amount": YUAN("8"), "why": "春节", "now": NOW}
    act(grants.give, by, power, **give)
    there = act(lambda s: estate.add_gateway(s, s.get_one(Site, home.site_id), "GW-2"))
    other = act(add_vacant, home, "0402", there)
    act(
        moving.change_room,
        by,
        account.id,
        from_room=room.room_id,
        to_room=other.room_id,
        typed={},
        why="换到 0402",
        now=LATER,
    )

    def empty() -> int:
        return emptying.empty_all(database, home.organization_id, now=LATER)

    assert empty() == 0  # the old gateway has not said where the use ended
    gateway.says(charge(gateway, room.electricity, power, "3.00"), *ends(gateway, room))
    assert empty() == 2
    assert empty() == 0  # it is asked for already
    session_of = partial(database.organization, home.organization_id)
    for _ in range(2):  # and answered twice
        book_withdrawals(session_of, gateway, home)
        withdrawal_answers.follow_up(database, now=LATER)
    assert empty() == 2  # both end
    assert empty() == 0

    with session_of() as session:
        held = {
            (p.purpose, p.gateway_id == there.id): ledger.balance(session, p.id)
            for p in session.execute(
                select(Purse).where(col(Purse.account_id) == account.id)
            ).scalars()
        }
        (new,) = session.execute(
            select(col(Purse.id)).where(
                col(Purse.gateway_id) == there.id, col(Purse.purpose) == "electricity"
            )
        ).scalars()
        # 50.00 + 8.00 given - 3.00 used, of the gift first: 50.00 of it were paid for.
        assert purses.refundable_now(session, new) == YUAN("50")
    assert held == {
        ("electricity", False): ZERO,
        ("water", False): ZERO,
        ("electricity", True): YUAN("55"),
        ("water", True): YUAN("30"),
    }


def test_an_account_whose_gateway_never_returns_ends_at_what_two_people_state_until_it_returns_after_all(
    database, act, home, by, gateway, house
):
    room, account, power, _ = house
    gateway.says(charge(gateway, room.electricity, power, "12.00"))
    act(closing.close, by, account.id, typed={}, why="搬走", now=LATER)
    stated = {
        room.electricity: Typed(Decimal("124.00"), LATER),
        room.water: Typed(Decimal("12.00"), LATER),
    }

    def propose(readings, now=LATER):
        return act(stating.propose, by, account.id, readings, why="网关被拆走", now=now)

    with pytest.raises(stating.GatewayIsThere):
        propose(stated, now=NOW + timedelta(seconds=30))
    with pytest.raises(stating.NotStated, match="0401 水"):
        propose({room.electricity: stated[room.electricity]})
    with pytest.raises(stating.Behind):
        propose({**stated, room.electricity: Typed(Decimal("99.00"), LATER)})
    approval = propose(stated)
    with pytest.raises(NotFinal):
        act(settlement.settle, by, account.id, how=How.CASH, why="结清", now=LATER)
    with pytest.raises(approvals.OwnProposal):
        act(approvals.decide, by, approval.id, approved=True, why="", now=LATER)
    act(approvals.decide, another(database, home), approval.id, approved=True, why="", now=LATER)

    # 50.00 - 12.00 charged - 24 kWh at 0.50 = 26.00; 30.00 - 2 m3 at 3.00 = 24.00.
    standing = act(standings.of, by, account.id)
    assert [str(each.balance) for each in standing.left] == ["26.00", "24.00"]
    assert {(each.total, each.stated_by) for each in standing.readings} == {(None, "second")}
    act(settlement.settle, by, account.id, how=How.CASH, why="结清", now=LATER)
    # Nobody waits for the gateway: it is asked for nothing, and is to hear what is booked if it comes back.
    heard = act(told, home.gateway_id)
    assert not [m for m in heard if isinstance(m, Withdraw)]
    taken = [m.transfer for m in heard if isinstance(m, Debited)]
    assert sorted(str(t.amount) for t in taken) == ["12.00", "24.00", "26.00", "6.00"]
    assert act(closing.balance_of, account.id) == ZERO
    assert act(lambda s: s.get_one(Account, account.id)).settled_at is not None

    # The gateway comes back: it had charged 10.00 more for electricity, and nothing for water.
    assert act(stating.take_back, home.organization_id, now=LATER) == 0
    gateway.says(charge(gateway, room.electricity, power, "10.00", 2), *ends(gateway, room))
    assert act(stating.take_back, home.organization_id, now=LATER) == 2
    assert act(stating.take_back, home.organization_id, now=LATER) == 0
    # 12.00 and 6.00 go back, 10.00 are charged: 8.00 are to be settled again.
    assert act(closing.balance_of, account.id) == YUAN("8")
    assert act(lambda s: s.get_one(Account, account.id)).settled_at is None


def another(database, home) -> SignedIn:
    """A second member of staff, who approves."""
    with database.system() as session:
        user = User(
            organization_id=home.organization_id,
            login="second",
            name="second",
            roles=[Role.APPROVER.value],
            is_everywhere=True,
        )
        session.add(user)
        session.flush()
        return auth.of_user(session, user)


def test_a_reading_that_no_register_shows_closes_nothing(act, by, house):
    room, account, *_ = house
    wrong = Typed(Decimal("1000000"), NOW)
    with pytest.raises(BadReading, match="6 digits"):
        act(closing.close, by, account.id, typed={room.water: wrong}, why="搬走", now=LATER)
    assert act(lambda s: s.get_one(Account, account.id).closed_at) is None
    assert act(lambda s: s.get_one(ServicePoint, room.water).purse_id) is not None
