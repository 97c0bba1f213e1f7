"""Codes after the cloud's database was put back to a backup: new ones are taken, lost ones come to an end."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import restored, unknown_codes
from cloud.services.unknown_codes import CodeCard, NoSuchCode
from edge.codes import HasArrived, enter
from prepaid import offline_code
from prepaid.money import Money
from prepaid.offline_code import Credit
from tests.cloud.test_offline import (
    KEY,
    begin,
    books,
    held,
    internet_returns,
    issue,
    pay,
    town,
    type_in,
)
from tests.cloud.test_takeover import Town
from tests.edge.simulated import clock, simulated, top_up

__all__ = ["town"]

pytestmark = pytest.mark.processes


def put_back(town: Town) -> None:
    """What follows on a database that was put back: what the gateway has beside it was lost."""
    with town.cloud.database.system() as session:
        restored.rename_logs(session, now=clock())


def lost_code(town: Town, number: int, yuan: str) -> str:
    """A code of the database that was lost."""
    return offline_code.make(KEY, purse=town.cloud.purse, credit=Credit(number, Money.yuan(yuan)))


def open_codes(town: Town) -> list[CodeCard]:
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        return unknown_codes.of_gateway(session, town.cloud.gateway_id)


def void(town: Town, number: int) -> None:
    cloud = town.cloud
    by = SignedIn(cloud.user_id, cloud.organization_id, "home", "home")
    with cloud.database.organization(cloud.organization_id) as session:
        unknown_codes.void(session, cloud.gateway_id, cloud.purse, number, by=by, now=clock())


def unknown_alarms(town: Town) -> list[bool]:
    return [is_over for kind, is_over in town.cloud.alarms() if kind == "code-unknown"]


@simulated
async def test_a_code_of_a_database_that_was_put_back_is_not_taken_for_one_that_was_lost(
    town: Town,
):
    await begin(town)
    store = town.first.store
    with store.transaction():  # paid after the backup, and arrived before the database was lost
        lost = top_up("7.00", purse=town.cloud.purse, cause="sandbox:lost")
        store.credit(lost, town.cloud.purse, 2)
    put_back(town)

    code = issue(town, pay(town, "50.00"))
    type_in(town, code)
    # 0.00 + 7.00, of which the cloud knows nothing, + 50.00; there 8.00 + 50.00
    assert books(town)["gateway"] == "57.00"

    await internet_returns(town)
    assert books(town)["gateway"] == "57.00"
    # 58.00 - 16 kWh at 0.50: the 7.00 are still to be found again
    assert books(town)["cloud"] == "50.00"
    assert unknown_alarms(town) == []
    with pytest.raises(HasArrived):
        type_in(town, code)
    await town.first.stop()


@simulated
async def test_a_lost_code_is_told_and_a_credit_of_its_number_settles_it(town: Town):
    await begin(town)
    enter(town.first.store, KEY, lost_code(town, 2, "50.00"), town.cloud.purse, clock())
    await internet_returns(town)
    assert unknown_alarms(town) == [False]
    (code,) = open_codes(town)
    assert (code.number, code.amount, code.is_voided) == (2, Money.yuan("50.00"), False)
    assert books(town) == held("50.00", "0.00", "10.00")

    pay(town, "30.00")  # gets the number
    await internet_returns(town)

    assert books(town) == held("30.00", "30.00", "10.00")
    assert sorted(unknown_alarms(town)) == [False, True]
    assert open_codes(town) == []
    await town.first.stop()


@simulated
async def test_a_lost_code_is_voided_by_staff_once_its_payment_was_booked_again(town: Town):
    await begin(town)
    put_back(town)
    enter(town.first.store, KEY, lost_code(town, 2, "50.00"), town.cloud.purse, clock())
    await internet_returns(town)
    pay(town, "50.00")  # found in the channel's bill, and booked
    await internet_returns(town)
    assert books(town) == held("100.00", "50.00", "10.00")

    void(town, 2)
    assert open_codes(town)[0].is_voided
    void(town, 2)
    await internet_returns(town)

    assert books(town) == held("50.00", "50.00", "10.00")
    assert sorted(unknown_alarms(town)) == [False, True]
    assert open_codes(town) == []
    with pytest.raises(NoSuchCode):
        void(town, 2)
    with pytest.raises(HasArrived):
        type_in(town, lost_code(town, 2, "50.00"))
    with town.cloud.database.system() as session:
        acts = session.execute(select(tables.AuditEntry.act)).scalars().all()
    assert acts.count("void-code") == 1
    await town.first.stop()
