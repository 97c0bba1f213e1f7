"""A gateway's program and the cloud's, with a disk that dies, a backup put back and a spare gateway between them."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlmodel import col

from cloud import tables
from cloud.auth import SignedIn
from cloud.db import Database
from cloud.permissions import Role
from cloud.services import answers, downlog, estate, ledger, pointsets, uplog
from cloud.services.downlog import Batch
from cloud.services.money import refunds, rules, withdrawals
from cloud.services.money.refunds import How
from cloud.services.money.rules import Rules
from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.ledger import ledger_file
from edge.ledger.store import Hold, Store
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from edge.uplink.sync import Sync
from prepaid.ledger import Reason, Transfer, clearing, prepaid
from prepaid.money import Money
from prepaid.point import Policy, ServicePoint
from prepaid.register.evidence import Kind
from prepaid.register.history import History
from prepaid.seal import KeySet
from prepaid.wire.downlog import BrakeReleased, Credited
from prepaid.wire.envelope import Envelope, Halt, Takeover, unpack
from prepaid.wire.uplog import GatewayAlarm, Trouble
from tests.edge.simulated import ELECTRICITY, ElectricityMeter, Wire, clock, simulated, until

pytestmark = pytest.mark.processes

KEY = Ed25519PrivateKey.generate()
GATEWAY_NO = "GW-0001"


class Cloud:
    """The real services on a real database, at the other end of a link without mishaps."""

    def __init__(self, database: Database, home, policy: Policy) -> None:
        self.database = database
        self.organization_id = home.organization_id
        self.listeners: list[Sync] = []
        self.is_there = True
        with database.system() as session:
            site = session.get(tables.Site, home.site_id)
            first_room = session.get(tables.Room, home.room_id)
            building = session.get(tables.Building, first_room.building_id)
            room = estate.add_room(session, building, "0302", 3)
            gateway = estate.add_gateway(session, site, GATEWAY_NO)
            account = estate.open_account(session, room, "李四")
            purse = estate.add_purse(session, account, "electricity")
            point = estate.add_point(
                session,
                room=room,
                gateway=gateway,
                purse=purse,
                name="0302 电",
                commodity="electricity",
                meter=ELECTRICITY.meter,
                tariff_code="power",
                policy=policy,
            )
            self.account_id, self.user_id = account.id, home.user_id
            self.gateway_id, self.purse, self.point_id = gateway.id, purse.id, point.id

    def receive(self, envelope: Envelope) -> Batch:
        """What the worker does with an envelope: the answer."""
        with self.database.system() as session:
            gateway = uplog.gateway_of(session, GATEWAY_NO)
            assert gateway is not None
            return answers.answer(session, gateway, envelope, now=clock())

    def push(self) -> Batch:
        """What the worker sends when it hears that there is something new."""
        with self.database.system() as session:
            (batch,) = downlog.claim(session, now=clock(), gateway_id=self.gateway_id)
            return batch

    def tell(self, answer: Batch) -> None:
        """Every program that listens to the gateway's topic hears it."""
        payload = answers.seal(answer, KEY, at=clock())
        for sync in self.listeners:
            asyncio.get_running_loop().call_later(0.01, sync.deliver, payload)

    def top_up(self, yuan: str, cause: str) -> None:
        book = prepaid(self.purse)
        transfer = Transfer(
            clearing("sandbox"), book, Money.yuan(yuan), Reason.TOP_UP, cause, clock()
        )
        with self.database.system() as session:
            ledger.post(session, self.organization_id, [transfer])
            (gateway,) = downlog.lock(session, [self.gateway_id])
            downlog.append(session, gateway, [Credited(transfer)])

    @property
    def balance(self) -> Money:
        with self.database.system() as session:
            return ledger.balance(session, self.purse)

    @property
    def gateway(self) -> tables.Gateway:
        with self.database.system() as session:
            return session.get(tables.Gateway, self.gateway_id)

    def rejected(self) -> list[tuple[int, str]]:
        with self.database.system() as session:
            rows = session.execute(select(tables.Rejected)).scalars()
            return [(row.seq, row.reason) for row in rows]

    def alarms(self) -> list[tuple[str, bool]]:
        row = tables.GatewayAlarm
        with self.database.system() as session:
            found = session.execute(select(row).order_by(col(row.at), col(row.is_over))).scalars()
            return [(alarm.kind, alarm.is_over) for alarm in found]


class Machine:
    """A gateway in the meter room: a folder, a line, a link, and a program while it runs."""

    def __init__(self, cloud: Cloud, folder: Path, line: Wire) -> None:
        self.cloud = cloud
        self.path = folder / "ledger.sqlite"
        self.line = line
        self.is_up = True
        self.is_refused = False  # by the broker

    def publish(self, payload: bytes) -> None:
        if self.cloud.is_there:
            self.cloud.tell(self.cloud.receive(unpack(payload)))

    async def start(self) -> None:
        """As `wattwell edge run` does, of a machine that has just been switched on."""
        boot = uuid4()
        self.store = Store(self.path, GATEWAY_NO, boot=lambda: boot)
        bus = Bus("L1", self.line, baud=115200, delay_s=0)
        self.agent = Agent(
            self.store, {"L1": bus}, Clock.of_wall(clock), Pace(settle_s=60, least_s=1)
        )
        self.sync = Sync(
            self.store,
            self.agent,
            self,
            keys=KeySet([KEY.public_key()]),
            resend_s=5,
            heartbeat_s=30,
            now=clock,
        )
        self.store.on_append = self.sync.stir
        self.cloud.listeners.append(self.sync)
        self.agent.wait_with_cuts()
        if self.store.hold is not None:
            self.agent.pause()
        self.tasks = [
            asyncio.create_task(self.agent.run()),
            asyncio.create_task(self.sync.run()),
            asyncio.create_task(
                self.sync.first_word(within_s=5, refused_s=60, is_refused=lambda: self.is_refused)
            ),
        ]
        self.sync.link_changed()

    async def stop(self) -> None:
        """The power goes."""
        self.cloud.listeners.remove(self.sync)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.store.close()

    @property
    def balance(self) -> Money:
        return self.store.balance(self.cloud.purse)

    def is_settled(self) -> bool:
        """Whether neither side has news for the other."""
        store, gateway = self.store, self.cloud.gateway
        cursor = store.cursor()
        return (
            store.hold is None
            and gateway.up_log == store.log
            and gateway.up_seq == store.last_seq() == store.acked()
            and cursor is not None
            and cursor.seq == gateway.down_seq
        )


class Meter(ElectricityMeter):
    trips = 0

    def relay(self, command: Any, minutes: int) -> None:
        super().relay(command, minutes)
        self.trips += self.contact_open


class Town:
    """The estate, its meter, and a gateway that has charged it 2.00 of 10.00."""

    def __init__(
        self, database: Database, home, folder: Path, policy: Policy = ELECTRICITY.policy
    ) -> None:
        self.cloud = Cloud(database, home, policy)
        self.meter = Meter("201709320072", "100.00")
        self.line = Wire([self.meter])
        self.folder = folder
        self.first = self.machine("first")

    def machine(self, name: str) -> Machine:
        folder = self.folder / name
        folder.mkdir()
        return Machine(self.cloud, folder, self.line)

    async def live(self) -> None:
        self.cloud.top_up("10.00", "sandbox:1")
        await self.first.start()
        await self.use(self.first, "100.00")
        # 4 kWh at 0.50 are 2.00.
        await self.use(self.first, "104.00")
        assert self.first.balance == self.cloud.balance == Money.yuan("8.00")

    async def use(self, machine: Machine, total: str) -> None:
        """The register moves, is read within a minute, and the cloud is told."""
        self.meter.show(total)
        await asyncio.sleep(70)
        await until(machine.is_settled, within_s=30)


@pytest.fixture
def town(database, home, tmp_path) -> Town:
    return Town(database, home, tmp_path)


def prepare_takeover(machine: Machine) -> None:
    ledger_file.renew(
        machine.path,
        GATEWAY_NO,
        hold=Hold.REBUILDING,
        instead_of=None,
        why="set-aside",
        now=datetime.now(UTC),
    )


@simulated
async def test_a_spare_gateway_takes_over_a_dead_ones_lines_and_charges_what_passed_meanwhile(
    town: Town,
):
    await town.live()
    await town.first.stop()
    town.meter.show("106.00")
    spare = town.machine("spare")
    prepare_takeover(spare)

    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)
    assert spare.balance == Money.yuan("8.00")
    await town.use(spare, "106.00")

    # 2 kWh at 0.50 since the last charge: 1.00 more.
    assert spare.balance == town.cloud.balance == Money.yuan("7.00")
    assert spare.store.log == town.cloud.gateway.up_log
    assert town.cloud.rejected() == []
    assert town.cloud.alarms() == [("taken-over", False), ("taken-over", True)]
    await town.use(spare, "107.00")
    assert spare.balance == town.cloud.balance == Money.yuan("6.50")
    await spare.stop()


@simulated
async def test_a_brake_that_nobody_has_released_holds_on_a_spare_gateway_until_somebody_does(
    town: Town,
):
    await town.live()
    store = town.first.store
    with store.transaction():
        store.save_brake(replace(store.brake(), pulled_at=clock()))
        for trouble in (Trouble.BRAKED, Trouble.CLOCK, Trouble.DISK_FULL):
            store.save_trouble(trouble, clock())
            store.append(GatewayAlarm(clock(), trouble, is_over=False, text="as it is"))
    await until(town.first.is_settled, within_s=30)
    await town.first.stop()
    spare = town.machine("spare")
    prepare_takeover(spare)

    await spare.start()
    await town.use(spare, "130.00")  # 26 kWh at 0.50 are more than the 8.00 left
    assert spare.balance < Money(0)
    assert town.meter.trips == 0
    # The clock and the disk were the old machine's.
    assert [kind for kind, _ in town.cloud.alarms()].count("clock") == 2
    assert [kind for kind, _ in town.cloud.alarms()].count("disk-full") == 2
    assert town.cloud.alarms().count(("braked", True)) == 0

    with town.cloud.database.system() as session:
        (gateway,) = downlog.lock(session, [town.cloud.gateway_id])
        downlog.append(session, gateway, [BrakeReleased("王经理")])
    town.cloud.tell(town.cloud.push())
    await until(lambda: town.meter.trips == 1, within_s=90)
    await until(spare.is_settled, within_s=30)
    assert town.cloud.alarms().count(("braked", True)) == 1
    await spare.stop()


@simulated
async def test_a_brake_whose_release_a_dead_gateway_did_not_hear_is_off_on_the_spare_one(
    town: Town,
):
    await town.live()
    store = town.first.store
    with store.transaction():
        store.append(GatewayAlarm(clock(), Trouble.BRAKED, is_over=False, text="as it is"))
    await until(town.first.is_settled, within_s=30)
    await town.first.stop()
    with town.cloud.database.system() as session:
        (gateway,) = downlog.lock(session, [town.cloud.gateway_id])
        downlog.append(session, gateway, [BrakeReleased("王经理")])
    spare = town.machine("spare")
    prepare_takeover(spare)

    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)

    assert not spare.store.brake().is_on
    assert town.cloud.alarms().count(("braked", True)) == 1
    await spare.stop()


@simulated
async def test_a_gateway_whose_lines_another_has_taken_over_leaves_them_alone(town: Town):
    await town.live()
    await town.first.stop()
    spare = town.machine("spare")
    prepare_takeover(spare)
    await spare.start()
    await town.use(spare, "105.00")
    await spare.stop()

    await town.first.start()
    await until(lambda: town.first.store.hold is Hold.REPLACED, within_s=1)
    await asyncio.sleep(5)  # the visit that had begun ends
    requests = len(town.line.requests)
    await asyncio.sleep(300)

    assert len(town.line.requests) == requests
    assert town.cloud.gateway.up_log == spare_log(spare)
    assert town.cloud.balance == Money.yuan("7.50")
    await town.first.stop()
    # Also where the cloud is away at its next start.
    town.cloud.is_there = False
    await town.first.start()
    await asyncio.sleep(300)
    assert len(town.line.requests) == requests
    await town.first.stop()


@simulated
async def test_a_gateway_that_the_broker_shuts_out_for_another_machine_cuts_nobody_and_gives_way(
    town: Town,
):
    await town.live()
    await town.first.stop()
    # What is paid meanwhile this one does not know: to its knowledge 20 kWh at 0.50 are more than the 8.00 left.
    await asyncio.sleep(3600)
    town.meter.show("124.00")
    town.cloud.is_there, town.first.is_refused = False, True

    await town.first.start()
    await asyncio.sleep(30)
    assert town.first.balance == -Money.yuan("2.00")
    town.first.sync.give_way("Another machine has been enrolled as gateway GW-0001.")
    await asyncio.sleep(5)  # the visit that had begun ends
    requests = len(town.line.requests)
    await asyncio.sleep(300)

    assert town.first.store.hold is Hold.REPLACED
    assert len(town.line.requests) == requests
    assert town.meter.trips == 0
    await town.first.stop()


@simulated
async def test_a_gateway_that_the_broker_refuses_for_no_known_reason_decides_by_itself_after_a_minute(
    town: Town,
):
    await town.live()
    await town.first.stop()
    await asyncio.sleep(3600)
    town.meter.show("124.00")
    town.cloud.is_there, town.first.is_refused = False, True

    await town.first.start()
    await asyncio.sleep(60)
    assert town.meter.trips == 0
    await asyncio.sleep(60)

    assert town.meter.trips == 1
    await town.first.stop()


def spare_log(machine: Machine) -> UUID:
    store = Store(machine.path, GATEWAY_NO)
    store.close()
    return store.log


@simulated
async def test_a_new_gateway_under_a_known_number_does_nothing_until_it_is_told_to_take_over(
    town: Town, caplog
):
    await town.live()
    await town.first.stop()
    spare = town.machine("spare")

    await spare.start()
    await asyncio.sleep(120)

    assert spare.store.hold is Hold.REPLACED
    assert spare.store.points() == {}
    assert caplog.text.count("run `wattwell edge takeover`") == 1
    assert town.cloud.gateway.down_acked == town.cloud.gateway.down_seq
    await spare.stop()


@simulated
async def test_an_old_copy_put_back_cuts_nobody_and_is_rebuilt_from_what_the_cloud_knows(
    town: Town,
):
    await town.live()
    # 16 kWh are 8.00: nothing is left, and the meter is cut.
    await town.use(town.first, "120.00")
    await until(lambda: town.meter.contact_open, within_s=60)
    await until(town.first.is_settled, within_s=30)
    await town.first.stop()
    old = town.folder / "old.sqlite"
    shutil.copy(town.first.path, old)
    await town.first.start()
    town.cloud.top_up("20.00", "sandbox:2")
    await until(lambda: not town.meter.command_open, within_s=60)  # allowed to close
    town.meter.press_key()
    await town.use(town.first, "124.00")
    # 20.00 - 4 kWh at 0.50
    assert town.cloud.balance == Money.yuan("18.00")
    await town.first.stop()

    shutil.copy(old, town.first.path)
    trips = town.meter.trips
    await town.first.start()
    await town.use(town.first, "126.00")

    assert town.first.balance == town.cloud.balance == Money.yuan("17.00")
    assert town.meter.trips == trips
    assert not town.meter.contact_open
    assert town.cloud.rejected() == []
    assert len(list(town.first.path.parent.glob("ledger.sqlite.set-aside-*"))) == 1
    await town.first.stop()


@simulated
async def test_a_restored_backup_is_held_even_where_no_cloud_can_say_how_old_it_is(
    town: Town, caplog
):
    await town.live()
    backup = town.folder / "backup.sqlite"
    ledger_file.backup(town.first.path, backup)
    town.cloud.top_up("20.00", "sandbox:2")
    await town.use(town.first, "105.00")
    await town.first.stop()
    ledger_file.restore(
        backup, town.first.path, GATEWAY_NO, hold=Hold.RESTORED, now=datetime.now(UTC)
    )
    # 8.00 in the backup would be used up here; there were 27.50.
    town.meter.show("125.00")
    town.cloud.is_there = False

    await town.first.start()
    await asyncio.sleep(3600)
    assert town.first.store.hold is Hold.RESTORED
    assert not town.meter.contact_open

    town.cloud.is_there = True
    await town.use(town.first, "125.00")
    # 28.00 - 21 kWh at 0.50 since 104
    assert town.first.balance == town.cloud.balance == Money.yuan("17.50")
    assert not town.meter.contact_open
    await town.first.stop()


@simulated
async def test_what_the_dead_gateway_told_nobody_is_charged_by_the_spare_and_never_twice(
    town: Town,
):
    await town.live()
    town.cloud.is_there = False
    town.meter.show("110.00")
    await asyncio.sleep(70)
    # The dead gateway knows of 110; its entries are still on their way when the spare has taken over.
    assert town.first.balance == Money.yuan("5.00")
    late = Envelope(tuple(town.first.store.unacked(100)), sender=town.first.store.log)
    assert late.entries
    await town.first.stop()
    town.cloud.is_there = True
    spare = town.machine("spare")
    prepare_takeover(spare)
    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)

    answer = town.cloud.receive(late)
    await town.use(spare, "112.00")

    assert answer.halt is Halt.REPLACED
    # 12 kWh at 0.50 of 10.00
    assert spare.balance == town.cloud.balance == Money.yuan("4.00")
    await spare.stop()


@simulated
async def test_of_two_spares_only_one_takes_over(town: Town):
    await town.live()
    old = town.first.store.log
    await town.first.stop()
    one, other = Takeover(uuid4(), old), Takeover(uuid4(), old)

    first = town.cloud.receive(Envelope(sender=one.log, takeover=one))
    second = town.cloud.receive(Envelope(sender=other.log, takeover=other))
    again = town.cloud.receive(Envelope(sender=one.log, takeover=one))
    back = town.cloud.receive(Envelope(sender=old, takeover=Takeover(old, one.log)))

    assert (first.halt, second.halt, again.halt) == (None, Halt.UNKNOWN, None)
    assert back.halt is Halt.REPLACED
    assert town.cloud.gateway.up_log == one.log
    assert town.cloud.alarms() == [("taken-over", False)]


@simulated
async def test_a_held_point_stays_held_by_the_same_reading_after_a_takeover(town: Town):
    await town.live()
    town.meter.show("99000.00")
    await until(
        lambda: town.first.store.history(town.cloud.point_id).doubt is not None, within_s=120
    )
    await until(town.first.is_settled, within_s=30)
    doubt = town.first.store.history(town.cloud.point_id).doubt
    await town.first.stop()
    spare = town.machine("spare")
    prepare_takeover(spare)

    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)

    again = spare.store.history(town.cloud.point_id).doubt
    assert doubt is not None
    assert again is not None
    assert again.reading == doubt.reading
    point: ServicePoint = spare.store.points()[town.cloud.point_id]
    assert replace(point, id=ELECTRICITY.id, name="", purse=ELECTRICITY.purse) == replace(
        ELECTRICITY, name=""
    )
    await spare.stop()


def corrected_while_dead(town: Town, address: str) -> None:
    """The office enters another address while no machine serves the line."""
    with town.cloud.database.system() as session:
        point = session.get_one(tables.ServicePoint, town.cloud.point_id)
        point.meter = {**point.meter, "address": address}
        point.address = address
        (gateway,) = downlog.lock(session, [town.cloud.gateway_id])
        pointsets.publish(session, gateway, point)


@simulated
async def test_a_spare_holds_what_it_reads_at_an_address_that_was_corrected_before_it_took_over(
    town: Town,
):
    await town.live()  # charged up to 104.00, of 201709320072
    await town.first.stop()
    town.line.meters.append(Meter("201709320099", "104.60"))  # within reach, and perhaps another's
    corrected_while_dead(town, "201709320099")
    spare = town.machine("spare")
    prepare_takeover(spare)

    await spare.start()
    await asyncio.sleep(70)
    await until(spare.is_settled, within_s=30)

    held = spare.store.history(town.cloud.point_id)
    assert held.doubt is not None
    assert (held.doubt.kind, held.doubt.reading.total) == (Kind.ELSEWHERE, Decimal("104.60"))
    assert spare.balance == town.cloud.balance == Money.yuan("8.00")

    # Another spare after that knows it, too, though the reading is told by now.
    await spare.stop()
    third = town.machine("third")
    prepare_takeover(third)
    await third.start()
    await asyncio.sleep(70)
    assert third.store.history(town.cloud.point_id).charged_at == held.charged_at is not None
    assert third.balance == Money.yuan("8.00")

    corrected_while_dead(town, "201709320072")  # it was right as it was
    town.cloud.tell(town.cloud.push())
    await town.use(third, "105.00")
    # 1 kWh at 0.50 by its own register
    assert third.balance == town.cloud.balance == Money.yuan("7.50")
    await third.stop()


@simulated
async def test_a_spare_of_a_point_that_was_never_moved_holds_nothing(town: Town):
    await town.live()
    await town.first.stop()
    spare = town.machine("spare")
    prepare_takeover(spare)

    await spare.start()
    await until(lambda: spare.store.hold is None, within_s=5)

    assert spare.store.history(town.cloud.point_id) == History()
    with town.cloud.database.system() as session:
        state = session.get_one(tables.PointState, town.cloud.point_id)
        assert tuple(state.place) == ELECTRICITY.meter.place
    await spare.stop()


@simulated
async def test_what_was_taken_out_of_a_purse_stays_so_and_what_nobody_answered_is_asked_again(
    town: Town,
):
    await town.live()
    by = SignedIn(
        town.cloud.user_id,
        town.cloud.organization_id,
        "home",
        "home",
        frozenset({Role.ADMINISTRATOR}),
    )

    def refund(yuan: str) -> UUID:
        with town.cloud.database.organization(town.cloud.organization_id) as session:
            rules.save(session, by, Rules(alone=Money.yuan("100")), now=clock())
            amount = Money.yuan(yuan)
            return refunds.request(session, by, town.cloud.purse, amount, How.CASH, "x", clock()).id

    def state(id: UUID) -> str:
        with town.cloud.database.system() as session:
            return withdrawals.state(session.get_one(tables.Withdrawal, id)).value

    booked = refund("3.00")
    town.cloud.tell(town.cloud.push())
    await until(lambda: state(booked) == "booked", within_s=40)
    await town.first.stop()
    town.meter.show("105.00")
    waiting, too_much = refund("4.00"), refund("1.00")
    spare = town.machine("spare")
    prepare_takeover(spare)

    await spare.start()
    await until(lambda: state(too_much) != "sent", within_s=60)

    # 10.00 came, 2.00 were used, 3.00 went back: 5.00 are there, and 4.00 of them are given; then 1.00 is there too.
    assert [state(id) for id in (booked, waiting, too_much)] == ["booked"] * 3
    await town.use(spare, "105.00")
    # 1 kWh more at 0.50: what nobody had read when the refunds were booked is owed.
    assert spare.balance == town.cloud.balance == Money.yuan("-0.50")
    assert town.cloud.rejected() == []
    await spare.stop()
