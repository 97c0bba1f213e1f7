"""A month without the internet: a paid top-up is typed as a code, what is lent is paid back, and all books agree."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import codes, emergency, ledger, taps, topups
from cloud.services.emergency import By
from cloud.services.gateway_keys import code_key
from edge.codes import HasArrived, IsTyped, Wrong, enter, take_emergency
from edge.ledger import ledger_file, onlooker
from prepaid import offline_code
from prepaid.ledger import income, prepaid
from prepaid.money import ZERO, Money
from prepaid.offline_code import Credit
from prepaid.point import EmergencyCredit, Restore
from prepaid.supply import Why
from tests.cloud.conftest import enrol
from tests.cloud.test_takeover import GATEWAY_NO, Town, prepare_takeover
from tests.edge.simulated import ELECTRICITY, clock, simulated, until

pytestmark = pytest.mark.processes

SECRET = "c" * 43
KEY = code_key(SECRET, gateway_no=GATEWAY_NO)


@pytest.fixture
def town(database, home, tmp_path) -> Town:
    town = Town(database, home, tmp_path)
    enrol(database, home.organization_id, town.cloud.gateway_id)
    return town


def pay(town: Town, yuan: str) -> UUID:
    """Cash at the counter; the top-up."""
    cloud = town.cloud
    by = SignedIn(cloud.user_id, cloud.organization_id, "home", "home")
    with cloud.database.organization(cloud.organization_id) as session:
        return topups.record_cash(
            session,
            purse_id=cloud.purse,
            amount=Money.yuan(yuan),
            by=by,
            idempotency_key=uuid4(),
        ).id


def issue(town: Town, topup: UUID) -> str:
    cloud = town.cloud
    with cloud.database.organization(cloud.organization_id) as session:
        return codes.issue(session, topup, code_secret=SECRET, now=clock()).code


def type_in(town: Town, code: str) -> None:
    enter(town.first.store, KEY, code, town.cloud.purse, clock())


def top_up(town: Town, id: UUID) -> tables.TopUp:
    with town.cloud.database.system() as session:
        return session.get_one(tables.TopUp, id)


def books(town: Town) -> dict[str, str]:
    """Every book of the purse: the gateway's balance and its fold, the cloud's, and what its transfers come to."""
    cloud = town.cloud
    with cloud.database.system() as session:
        book = prepaid(cloud.purse)
        moved = ledger.transfers_of(session, book)
        folded = sum(((t.amount if t.credit == book else -t.amount) for t in moved), ZERO)
        earned = sum((t.amount for t in moved if t.credit == income("electricity")), ZERO)
    path = town.first.path
    ledger_file.check_file(path)
    return {
        "gateway": str(town.first.balance),
        "its fold": str(onlooker.read_balances(path).get(cloud.purse, ZERO)),
        "cloud": str(cloud.balance),
        "its transfers": str(folded),
        "income": str(earned),
    }


def held(gateway: str, cloud: str, income: str) -> dict[str, str]:
    return {
        "gateway": gateway,
        "its fold": gateway,
        "cloud": cloud,
        "its transfers": cloud,
        "income": income,
    }


async def begin(town: Town) -> None:
    """10.00 are paid, 4 kWh at 0.50 are used; then the internet goes, and 16 kWh more use up the rest."""
    pay(town, "10.00")
    await town.first.start()
    await town.use(town.first, "100.00")
    await town.use(town.first, "104.00")
    assert books(town) == held("8.00", "8.00", "2.00")
    town.cloud.is_there = False
    town.meter.show("120.00")
    await until(lambda: town.meter.contact_open, within_s=120)
    # 20 kWh at 0.50 of 10.00; the cloud knows of 4.
    assert books(town) == held("0.00", "8.00", "2.00")


async def internet_returns(town: Town) -> None:
    town.cloud.is_there = True
    town.first.sync.link_changed()
    await until(town.first.is_settled, within_s=90)


@simulated
async def test_paid_while_offline_typed_lit_and_the_same_credit_once_when_the_internet_returns(
    town: Town,
):
    await begin(town)

    paid = pay(town, "50.00")
    assert books(town) == held("0.00", "58.00", "2.00")  # 8.00 + 50.00, and nobody to tell
    assert town.meter.contact_open

    type_in(town, issue(town, paid))
    typed = clock()
    assert books(town) == held("50.00", "58.00", "2.00")  # 0.00 + 50.00 by the code
    await until(lambda: not town.meter.command_open, within_s=1)  # allowed to close
    town.meter.press_key()

    town.meter.show("130.00")
    await asyncio.sleep(70)
    assert books(town) == held("45.00", "58.00", "2.00")  # 10 kWh at 0.50
    await asyncio.sleep(3600)
    assert books(town) == held("45.00", "58.00", "2.00")

    await internet_returns(town)
    # The cloud learns of 26 kWh at 0.50, 13.00 in all 15.00; the gateway of the same 50.00 as a transfer.
    assert books(town) == held("45.00", "45.00", "15.00")
    found = top_up(town, paid)
    assert found.code_entered_at == typed
    assert found.delivered_at is not None
    assert town.first.store.last_credit(town.cloud.purse) == 2
    assert [str(t.amount) for t in town.first.store.transfers() if t.reason == "top-up"] == [
        "10.00",
        "50.00",
    ]
    with pytest.raises(HasArrived):
        type_in(town, issued_again(town, paid))
    assert books(town) == held("45.00", "45.00", "15.00")
    assert town.cloud.rejected() == []
    await town.first.stop()


def issued_again(town: Town, topup: UUID) -> str:
    """The code that the customer has kept."""
    found = top_up(town, topup)
    assert found.credit_number is not None
    credit = Credit(found.credit_number, Money(found.amount_fen))
    return offline_code.make(KEY, purse=town.cloud.purse, credit=credit)


@simulated
async def test_a_code_typed_after_its_credit_has_come_gives_nothing_more(town: Town):
    await begin(town)
    paid = pay(town, "50.00")
    code = issue(town, paid)
    await internet_returns(town)
    assert books(town) == held("50.00", "50.00", "10.00")

    with pytest.raises(HasArrived):
        type_in(town, code)

    assert books(town) == held("50.00", "50.00", "10.00")
    assert top_up(town, paid).code_entered_at is None
    await town.first.stop()


@simulated
async def test_two_codes_in_the_wrong_order_and_one_of_them_twice(town: Town):
    await begin(town)
    first, second = pay(town, "50.00"), pay(town, "20.00")
    one, two = issue(town, first), issue(town, second)

    type_in(town, two)
    assert books(town) == held("20.00", "78.00", "2.00")
    type_in(town, one)
    assert books(town) == held("70.00", "78.00", "2.00")
    with pytest.raises(IsTyped):
        type_in(town, two)
    assert books(town) == held("70.00", "78.00", "2.00")

    await internet_returns(town)
    # 8.00 + 70.00 - 16 kWh at 0.50
    assert books(town) == held("70.00", "70.00", "10.00")
    assert top_up(town, first).code_entered_at is not None
    assert top_up(town, second).code_entered_at is not None
    await town.first.stop()


@simulated
async def test_only_one_of_two_top_ups_is_typed_and_both_are_there_in_the_end(town: Town):
    await begin(town)
    first, second = pay(town, "50.00"), pay(town, "20.00")
    type_in(town, issue(town, second))
    assert books(town) == held("20.00", "78.00", "2.00")

    await internet_returns(town)

    assert books(town) == held("70.00", "70.00", "10.00")
    assert top_up(town, first).code_entered_at is None
    assert top_up(town, first).delivered_at is not None
    await town.first.stop()


@simulated
async def test_a_spare_gateway_knows_which_codes_were_typed_at_the_dead_one(town: Town):
    await begin(town)
    paid = pay(town, "50.00")
    code = issue(town, paid)
    type_in(town, code)
    await internet_returns(town)
    assert books(town) == held("50.00", "50.00", "10.00")
    await town.first.stop()

    spare = town.machine("spare")
    prepare_takeover(spare)
    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)
    town.first = spare

    assert books(town) == held("50.00", "50.00", "10.00")
    assert spare.store.last_credit(town.cloud.purse) == 2
    with pytest.raises(HasArrived):
        type_in(town, code)
    await spare.stop()


@simulated
async def test_a_gateway_that_dies_before_it_told_of_a_code_has_the_credit_all_the_same(town: Town):
    await begin(town)
    code = issue(town, pay(town, "50.00"))
    type_in(town, code)
    await town.first.stop()  # with its disk
    town.cloud.is_there = True
    spare = town.machine("spare")
    prepare_takeover(spare)
    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)
    town.first = spare

    # What the dead one charged for 16 kWh is charged again from the register: 58.00 - 8.00.
    await town.use(spare, "120.00")
    assert books(town) == held("50.00", "50.00", "10.00")
    with pytest.raises(HasArrived):
        type_in(town, code)
    await spare.stop()


@simulated
async def test_guessing_gives_nothing_and_the_manager_hears_of_it(town: Town):
    await begin(town)
    code = issue(town, pay(town, "50.00"))
    wrong = code[:-1] + str((int(code[-1]) + 1) % 10)
    for _ in range(10):
        with pytest.raises(Wrong):
            type_in(town, wrong)
        await asyncio.sleep(900)
    assert books(town) == held("0.00", "58.00", "2.00")

    await internet_returns(town)

    assert ("codes-tried", False) in town.cloud.alarms()
    assert books(town) == held("50.00", "50.00", "10.00")
    await town.first.stop()


# Emergency credit and taps, told from a page.


@pytest.fixture
def lending_town(database, home, tmp_path) -> Town:
    policy = replace(
        ELECTRICITY.policy,
        emergency=EmergencyCredit(Money.yuan("10.00"), offered_at=Money.yuan("0.50")),
    )
    return Town(database, home, tmp_path, policy)


def lend(town: Town) -> emergency.Loan:
    cloud = town.cloud
    with cloud.database.organization(cloud.organization_id) as session:
        return emergency.take(session, cloud.purse, by=By.CUSTOMER, now=clock())


def loan(town: Town) -> emergency.Loan | None:
    cloud = town.cloud
    with cloud.database.system() as session:
        return emergency.open_loans(session, [cloud.purse]).get(cloud.purse)


async def run_dry(town: Town) -> None:
    """10.00 are paid and used up: the room is dark."""
    pay(town, "10.00")
    await town.first.start()
    await town.use(town.first, "100.00")
    await town.use(town.first, "120.00")
    await until(lambda: town.meter.contact_open, within_s=60)
    await until(town.first.is_settled, within_s=30)
    assert books(town) == held("0.00", "0.00", "10.00")


@simulated
async def test_emergency_credit_asked_for_on_the_page_lights_the_room_and_a_top_up_repays_it(
    lending_town: Town,
):
    town = lending_town
    await run_dry(town)

    taken = lend(town)
    assert (taken.by, taken.is_delivered) == (By.CUSTOMER, False)
    await until(lambda: not town.meter.command_open, within_s=45)
    town.meter.press_key()
    await town.use(town.first, "128.00")
    # 8 kWh at 0.50
    assert books(town) == held("-4.00", "-4.00", "14.00")
    known = loan(town)
    assert known is not None
    assert known.is_delivered
    assert lend(town).taken_at == taken.taken_at  # asked for again, nothing changes
    with town.cloud.database.system() as session:
        state = session.get_one(tables.PointState, town.cloud.point_id)
        assert state.why == Why.EMERGENCY

    pay(town, "20.00")
    await town.use(town.first, "128.00")
    assert books(town) == held("16.00", "16.00", "14.00")
    assert loan(town) is None
    with pytest.raises(emergency.NotOffered):
        lend(town)
    await town.first.stop()


@simulated
async def test_what_was_taken_at_the_gateway_is_known_to_the_cloud_and_to_a_spare(
    lending_town: Town,
):
    town = lending_town
    await run_dry(town)
    take_emergency(town.first.store, town.cloud.purse, clock())
    await until(town.first.is_settled, within_s=30)
    known = loan(town)
    assert known is not None
    assert known.by is By.GATEWAY
    await town.first.stop()

    spare = town.machine("spare")
    prepare_takeover(spare)
    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)

    assert spare.store.lent(town.cloud.purse) is not None
    await spare.stop()


@simulated
async def test_what_was_lent_and_repaid_long_ago_is_not_lent_again_by_a_rebuilt_ledger(
    lending_town: Town,
):
    town = lending_town
    await run_dry(town)
    lend(town)
    await until(lambda: not town.meter.command_open, within_s=45)
    pay(town, "20.00")
    await town.use(town.first, "120.00")
    assert loan(town) is None
    await town.first.stop()
    spare = town.machine("spare")
    prepare_takeover(spare)
    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)
    assert spare.store.lent(town.cloud.purse) is None
    await spare.stop()


@pytest.fixture
def asking_town(database, home, tmp_path) -> Town:
    policy = replace(ELECTRICITY.policy, restore=Restore.DIRECT, ask_after=timedelta(hours=1))
    return Town(database, home, tmp_path, policy)


def close_taps(town: Town) -> None:
    cloud = town.cloud
    with cloud.database.organization(cloud.organization_id) as session:
        taps.confirm(session, cloud.point_id, now=clock(), account_id=cloud.account_id)


@simulated
async def test_the_answer_that_the_taps_are_closed_gives_the_supply_back(asking_town: Town):
    town = asking_town
    await run_dry(town)
    with pytest.raises(taps.NotAsked):
        close_taps(town)
    await asyncio.sleep(3700)
    pay(town, "20.00")
    await asyncio.sleep(70)
    await until(town.first.is_settled, within_s=30)
    assert town.meter.contact_open

    close_taps(town)
    close_taps(town)

    await until(lambda: not town.meter.contact_open, within_s=45)
    with town.cloud.database.system() as session:
        bodies = session.execute(select(tables.DownEntry.body)).scalars()
        assert sum('"taps-closed"' in body for body in bodies) == 1
    await town.first.stop()
