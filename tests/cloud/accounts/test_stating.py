"""An account that was ended without its gateway, and the gateway that comes back: both programs, both ledgers."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from cloud import tables
from cloud.auth import SignedIn, of_user
from cloud.services import approvals, ledger
from cloud.services.accounts import closing, opening, settlement, stating
from cloud.services.accounts.drafts import Draft, FirstMoney, Holder, PointDraft
from cloud.services.accounts.tenures import Typed
from cloud.services.money.refunds import How
from cloud.tables import Account, ServicePoint
from prepaid.money import ZERO, Money
from prepaid.purse import Purpose
from tests.cloud.accounts.test_closing import another
from tests.cloud.test_takeover import Town
from tests.edge.simulated import clock, simulated

pytestmark = pytest.mark.processes


class Office:
    """What people do to the account of the town while its gateway is away, and what is booked of it."""

    def __init__(self, town: Town, home) -> None:
        self.town, self.home = town, home
        self.old = town.cloud.purse
        with self.open() as session:
            self.by = of_user(session, session.get_one(tables.User, home.user_id))
        self.second: SignedIn = another(town.cloud.database, home)

    def open(self):
        return self.town.cloud.database.organization(self.home.organization_id)

    def end_without_gateway(self, total: str, *, now: datetime) -> None:
        """Closed, stated by two people to end at this register, and settled in cash."""
        account_id, point_id = self.town.cloud.account_id, self.town.cloud.point_id
        with self.open() as session:
            closing.close(session, self.by, account_id, typed={}, why="搬走", now=now)
        with self.open() as session:
            stated = {point_id: Typed(Decimal(total), now)}
            approval = stating.propose(
                session, self.by, account_id, stated, why="网关被拆走", now=now
            )
        with self.open() as session:
            approvals.decide(session, self.second, approval.id, approved=True, why="", now=now)
        with self.open() as session:
            settlement.settle(session, self.by, account_id, how=How.CASH, why="结清", now=now)
        assert (self.balance(self.old), self.is_settled()) == (ZERO, True)

    def let(self, total: str, yuan: str, *, now: datetime) -> UUID:
        """The next customer moves in at this register and pays; his purse."""
        with self.open() as session:
            point = session.get_one(ServicePoint, self.town.cloud.point_id)
            paying = PointDraft(
                point.id, Purpose.ELECTRICITY, typed_total=Decimal(total), typed_at=now
            )
            draft = Draft(
                room_ids=(point.room_id,),
                holder=Holder("王五"),
                points=(paying,),
                money=(FirstMoney(Purpose.ELECTRICITY, topup=Money.yuan(yuan)),),
            )
            opening.open_account(session, self.by, draft, key=uuid4(), now=now)
            assert point.purse_id is not None
            return point.purse_id

    def take_back(self) -> int:
        with self.open() as session:
            return stating.take_back(session, self.home.organization_id, now=clock())

    def balance(self, purse: UUID) -> Money:
        with self.open() as session:
            return ledger.balance(session, purse)

    def both(self, purse: UUID) -> tuple[Money, Money]:
        return self.town.first.store.balance(purse), self.balance(purse)

    def is_settled(self) -> bool:
        with self.open() as session:
            account = session.get_one(Account, self.town.cloud.account_id)
            return account.settled_at is not None

    def losses(self) -> list[int]:
        row = tables.Transfer
        with self.open() as session:
            found = session.execute(select(row.amount_fen).where(row.debit == stating.LOSS))
            return list(found.scalars())


@simulated
async def test_a_gateway_that_returns_books_what_was_settled_without_it_and_what_is_beyond_is_a_loss(
    database, home, tmp_path: Path
):
    town = Town(database, home, tmp_path)
    office = Office(town, home)
    await town.live()  # 10.00 paid, 2.00 used: it stands at 104
    await town.first.stop()
    await asyncio.sleep(600)
    # 8.00 - 4 kWh at 0.50 up to 108 = 6.00, which are paid out.
    office.end_without_gateway("108.00", now=clock())
    new = office.let("110.00", "20.00", now=clock())

    await town.first.start()
    await town.use(town.first, "116.00")
    # The gateway: 8.00 - 2.00 stated - 6.00 paid out - 3.00 for 104 to 110, which it charged to who paid then.
    assert office.both(office.old) == (Money.yuan("-3.00"), Money.yuan("-3.00"))
    assert office.take_back() == 1
    await asyncio.sleep(31)
    await town.use(town.first, "116.00")

    # The 2.00 go back, and 1.00 of the 3.00 is beyond what was stated: nobody's who lives there, before or after.
    assert office.both(office.old) == (ZERO, ZERO)
    assert office.losses() == [100]
    assert (office.is_settled(), office.take_back()) == (True, 0)
    # 20.00 - 6 kWh at 0.50 from the register at which he moved in.
    assert office.both(new) == (Money.yuan("17.00"), Money.yuan("17.00"))
    assert town.cloud.rejected() == []
    assert town.first.store.rejections() == 0
    await town.first.stop()


@simulated
async def test_a_gateway_that_returns_charges_up_to_the_stated_register_where_nobody_has_moved_in(
    database, home, tmp_path: Path
):
    town = Town(database, home, tmp_path)
    office = Office(town, home)
    await town.live()
    await town.first.stop()
    await asyncio.sleep(600)
    office.end_without_gateway("108.00", now=clock())

    await town.first.start()
    await town.use(town.first, "116.00")
    # 104 to 108 by the gateway, and not what was used in the vacant room after that.
    assert office.both(office.old) == (Money.yuan("-2.00"), Money.yuan("-2.00"))
    assert office.take_back() == 1
    await asyncio.sleep(31)
    await town.use(town.first, "116.00")
    assert office.both(office.old) == (ZERO, ZERO)
    assert (office.losses(), office.is_settled()) == ([], True)
    await town.first.stop()
