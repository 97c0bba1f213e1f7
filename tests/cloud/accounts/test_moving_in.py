"""Moving out and in, by both programs: the services on a real database, a gateway with its ledger and line."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col

from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.services import ledger
from cloud.services.accounts import closing, opening, settlement, standings, vacancy
from cloud.services.accounts.drafts import Draft, FirstMoney, Holder, PointDraft
from cloud.services.accounts.opening import Delivery
from cloud.services.accounts.tenures import Typed
from cloud.services.money import rules
from cloud.services.money.refunds import How
from cloud.services.money.rules import Rules
from prepaid.money import ZERO, Money
from prepaid.point import Restore
from prepaid.purse import Purpose
from tests.cloud.test_takeover import Cloud, Machine, Meter
from tests.edge.simulated import ELECTRICITY, Wire, clock, simulated, until

pytestmark = pytest.mark.processes

YUAN = Money.yuan


class House:
    """Room 0302, its meter at 100.00 and its gateway; 李四 lives there, with 10.00."""

    def __init__(self, database, home, folder: Path) -> None:
        policy = replace(ELECTRICITY.policy, restore=Restore.DIRECT)
        self.cloud = Cloud(database, home, policy)
        self.meter = Meter("201709320072", "100.00")
        self.line = Wire([self.meter])
        self.gateway = Machine(self.cloud, folder, self.line)
        self.database, self.home = database, home
        with database.system() as session:
            user = session.get_one(tables.User, home.user_id)
            self.by: SignedIn = auth.of_user(session, user)
        self.office(rules.save, self.by, Rules(alone=YUAN("500")), now=clock())
        self.cloud.top_up("10.00", "sandbox:first")

    def office(self, what, *args, **given):
        """What somebody in the office does, in a transaction of its own."""
        with self.database.organization(self.home.organization_id) as session:
            return what(session, *args, **given)

    async def use(self, total: str) -> None:
        """The register comes to this, and the gateway has read it and told it."""
        await asyncio.sleep(10)
        self.meter.show(total)
        await until(self.has_read, within_s=180)

    def has_read(self) -> bool:
        position = self.gateway.store.position(self.cloud.point_id)
        shown = Decimal(int(self.meter.registers[0x00010000][::-1].hex())) / 100
        return position is not None and position.reading.total == shown

    async def settled(self) -> None:
        await until(self.gateway.is_settled, within_s=120)

    def balance(self, purse) -> Money:
        """On both sides, which agree."""
        here = self.office(ledger.balance, purse)
        assert here == self.gateway.store.balance(purse)
        return here


@simulated
async def test_one_customer_moves_out_and_the_next_moves_in_while_the_internet_is_away(
    database, home, tmp_path: Path
):
    house = House(database, home, tmp_path)
    cloud, gateway = house.cloud, house.gateway
    await gateway.start()
    await house.use("100.00")
    await house.use("104.00")
    await house.settled()
    # 10.00 - 4 kWh at 0.50
    assert house.balance(cloud.purse) == YUAN("8.00")

    # 李四 moves out; the office closes the account while the gateway is away.
    cloud.is_there = False
    house.office(closing.close, house.by, cloud.account_id, typed={}, why="搬走", now=clock())
    await house.use("106.00")
    assert not house.meter.contact_open
    waiting = house.office(standings.of, house.by, cloud.account_id)
    assert waiting.waits_for == ["0302 电"]
    cloud.is_there = True
    await until(lambda: house.meter.contact_open, within_s=180)
    await house.settled()
    # 8.00 - 2 kWh at 0.50, and the room is off though there is credit
    assert house.balance(cloud.purse) == YUAN("7.00")

    # 3 kWh are used by nobody, though the contact is open: somebody has put a wire around the meter's relay.
    await house.use("109.00")
    await asyncio.sleep(70)
    await house.settled()
    (vacant,) = [v for v in house.office(vacancy.points, house.by) if v.name == "0302 电"]
    assert (vacant.used, vacant.left_by) == (Decimal("3.00"), "李四")
    assert house.balance(cloud.purse) == YUAN("7.00")

    # What is left goes back, once the gateway has booked it.
    house.office(
        settlement.settle, house.by, cloud.account_id, how=How.CASH, why="搬走", now=clock()
    )
    await until(lambda: gateway.store.balance(cloud.purse) == ZERO, within_s=120)
    await house.settled()
    assert house.balance(cloud.purse) == ZERO
    assert house.office(settlement.finish_all, home.organization_id, now=clock()) == 1

    # 王五 moves in while the gateway is away again: the register was read off at 110.00.
    cloud.is_there = False
    await house.use("110.00")
    room = house.office(lambda s: s.get_one(tables.ServicePoint, cloud.point_id).room_id)
    read = Typed(Decimal("110.00"), clock())
    draft = Draft(
        room_ids=(room,),
        holder=Holder("王五"),
        points=(
            PointDraft(
                cloud.point_id,
                Purpose.ELECTRICITY,
                typed_total=read.total,
                typed_at=read.at,
            ),
        ),
        money=(FirstMoney(Purpose.ELECTRICITY, YUAN("20")),),
    )
    account = house.office(opening.open_account, house.by, draft, key=uuid4(), now=clock())
    (meter,) = house.office(opening.meters, account.id, now=clock())
    assert meter.delivery is Delivery.WAITS
    house.meter.show("113.00")
    house.line.is_silent = True  # the line is dead as well, until after the internet is back
    await asyncio.sleep(30)
    cloud.is_there = True
    await asyncio.sleep(60)
    house.line.is_silent = False
    await until(lambda: not house.meter.contact_open, within_s=600)
    await until(house.has_read, within_s=600)
    await house.settled()

    purse = house.office(
        lambda s: s.execute(
            select(col(tables.Purse.id)).where(col(tables.Purse.account_id) == account.id)
        ).scalar_one()
    )
    # 20.00 - 3 kWh since 110.00 at 0.50; nothing of it falls on who has left.
    assert house.balance(purse) == YUAN("18.50")
    assert house.balance(cloud.purse) == ZERO
    (meter,) = house.office(opening.meters, account.id, now=clock())
    assert (meter.delivery, meter.opened_total) == (Delivery.BEGUN, Decimal("110.00"))
    assert cloud.rejected() == []
    await gateway.stop()
