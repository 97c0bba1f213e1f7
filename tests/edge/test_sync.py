"""The two logs over a link that loses, doubles and reorders."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.sync import MOST_BYTES, Sync
from prepaid import ledger, wire
from prepaid.ledger import Reason, Transfer
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Override, Why
from prepaid.wire import (
    BrakeReleased,
    Credited,
    Cursor,
    Down,
    Entry,
    Envelope,
    GatewayAlarm,
    Pinned,
    PointSet,
    Read,
    SupplyChanged,
    Trouble,
    Visit,
)
from simulators.clock import SimulatedLoop
from tests.edge.simulated import (
    ELECTRICITY,
    EVENING,
    POWER_TARIFF,
    PURSE,
    WATER,
    Room,
    simulated,
    top_up,
    until,
)
from tests.prepaid.values import read


class Cloud:
    """The other end: it applies cursor + 1, answers with its cursor, and keeps its own log."""

    def __init__(self, room: Room) -> None:
        self.is_up = False
        self.key = Ed25519PrivateKey.generate()
        self.log = uuid4()
        self.entries: list[Entry] = []
        self.applied: list[Entry] = []
        self.theirs: Cursor | None = None
        self.received: list[Envelope] = []
        self.answers = True
        self.mishap: random.Random | None = None
        self.room = room
        self.sync = Sync(
            room.store,
            room.agent,
            self,
            key=self.key.public_key(),
            resend_s=5,
            heartbeat_s=30,
        )
        room.store.on_append = self.sync.stir

    def connect(self) -> None:
        self.is_up = True
        self.sync.link_changed()

    def write(self, message: Down) -> Entry:
        entry = Entry(self.log, len(self.entries) + 1, wire.write_down(message))
        self.entries.append(wire.sign(entry, self.key))
        return self.entries[-1]

    def publish(self, payload: bytes) -> None:
        """Link: what the gateway says."""
        assert self.is_up
        if self.mishap and self.mishap.random() < 0.3:
            return
        envelope = wire.unpack(payload)
        self.received.append(envelope)
        self.theirs = envelope.cursor
        for entry in envelope.entries:
            if entry.seq == len(self.applied) + 1:
                self.applied.append(entry)
        if self.answers:
            self.say()

    def say(self) -> None:
        at = self.theirs.seq if self.theirs else 0
        log = self.room.store.log
        cursor = Cursor(log, len(self.applied)) if self.applied else None
        self.send(Envelope(tuple(self.entries[at:]), cursor))

    def send(self, envelope: Envelope) -> None:
        times = self.mishap.choice([0, 1, 1, 1, 2]) if self.mishap else 1
        for _ in range(times):
            delay_s = self.mishap.uniform(0.01, 3) if self.mishap else 0.01
            asyncio.get_running_loop().call_later(delay_s, self.sync.deliver, wire.pack(envelope))


def note(room: Room, count: int, text: str = "1.00") -> None:
    with room.store.transaction():
        for _ in range(count):
            room.store.append(Read(ELECTRICITY.id, read(text)))


@simulated
async def test_entries_go_up_in_order_once_the_link_is_there_and_are_not_sent_again(
    tmp_path: Path,
):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    note(room, 450)
    await asyncio.sleep(60)
    assert cloud.received == []

    cloud.connect()
    await until(lambda: room.store.acked() == 450, within_s=2)

    assert [entry.seq for entry in cloud.applied] == list(range(1, 451))
    assert [len(e.entries) for e in cloud.received if e.entries] == [200, 200, 50]
    running.cancel()


@simulated
async def test_a_batch_stays_under_the_brokers_limit(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    changed = SupplyChanged(ELECTRICITY.id, EVENING, None, None, Why.HELD, None)
    long = wire.Alarm(
        ELECTRICITY.id, EVENING, wire.AlarmKind.SILENT, is_over=False, text='"' * 3000
    )
    with room.store.transaction():
        room.store.append(changed)
        for _ in range(199):
            room.store.append(long)

    cloud.connect()
    await until(lambda: room.store.acked() == 200, within_s=5)

    assert max(len(wire.pack(envelope)) for envelope in cloud.received) <= MOST_BYTES
    running.cancel()


@simulated
async def test_what_is_not_acknowledged_is_sent_again_after_five_seconds(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    cloud.answers = False
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    note(room, 1)

    await asyncio.sleep(12)

    assert [e.entries[0].seq for e in cloud.received if e.entries] == [1, 1, 1]
    running.cancel()


@simulated
async def test_a_quiet_gateway_shows_every_half_minute_that_it_is_there(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    await asyncio.sleep(95)

    assert (
        cloud.received == [Envelope((), None, room.store.log)] * 4
    )  # at once, and after 30, 60 and 90 s
    running.cancel()


@simulated
@pytest.mark.parametrize("begin", [random.Random(n).uniform(0, 30) for n in range(20)])
async def test_at_whatever_instant_it_begins_the_next_word_is_said_once_and_waited_for(
    tmp_path: Path, begin: float
):
    # x + 30 - x is less than 30 for some x: then the time had come, and nothing was due.
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    loop.begin_at(begin)
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    await asyncio.sleep(95)

    assert len(cloud.received) == 4  # at once, and after 30, 60 and 90 s
    running.cancel()


@simulated
async def test_a_greeting_is_repeated_until_the_cloud_answers(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    cloud.answers = False
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    await asyncio.sleep(10)

    assert len(cloud.received) == 4  # at once, and after 1, 3 and 7 s
    running.cancel()


@simulated
async def test_a_credit_is_booked_before_its_cursor_is_sent_and_wakes_the_line(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    await room.use("100.00")
    await room.use("102.00")
    assert room.meter.contact_open
    running = asyncio.create_task(cloud.sync.run())
    serving = asyncio.create_task(room.agent.run())
    cloud.connect()
    await asyncio.sleep(10)

    cloud.write(Credited(top_up("20.00")))
    cloud.say()

    await until(lambda: not room.meter.command_open, within_s=1)  # armed
    assert room.store.balance(PURSE) == Money.yuan("20.00")
    assert cloud.theirs == Cursor(cloud.log, 1)
    running.cancel()
    serving.cancel()


@simulated
async def test_whatever_the_link_does_each_entry_is_applied_once_on_either_side(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    cloud.mishap = random.Random(7)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    for n in range(40):
        note(room, n % 3)
        cloud.write(Credited(top_up("1.00", cause=f"sandbox:story:{n}")))
        await asyncio.sleep(2)
        if n % 10 == 9:
            cloud.is_up = False
            cloud.sync.link_changed()
            await asyncio.sleep(3)
            cloud.connect()
    cloud.mishap = None
    cloud.say()
    await until(lambda: cloud.theirs == Cursor(cloud.log, 40), within_s=60)
    await until(lambda: room.store.acked() == room.store.last_seq(), within_s=60)

    assert room.store.balance(PURSE) == Money.yuan("41.00")  # 1.00 it had, and forty
    assert [entry.seq for entry in cloud.applied] == list(range(1, room.store.last_seq() + 1))
    running.cancel()


@simulated
async def test_points_and_tariffs_are_taken_up_and_visited(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    serving = asyncio.create_task(room.agent.run())
    running = asyncio.create_task(cloud.sync.run())
    other = wire.PointSet(
        wire.ServicePoint(
            id=UUID(int=9),
            name="0302 水",
            meter=WATER.meter,
            tariff="water",
            purse=WATER.purse,
            policy=WATER.policy,
        )
    )

    cloud.write(POWER_TARIFF)
    cloud.write(other)
    cloud.connect()

    await until(lambda: room.store.position(UUID(int=9)) is not None, within_s=2)
    running.cancel()
    serving.cancel()


@simulated
async def test_a_gateway_that_had_nothing_to_do_takes_up_its_first_point(tmp_path: Path):
    room = Room(tmp_path, points=())
    cloud = Cloud(room)
    serving = asyncio.create_task(room.agent.run())
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    await asyncio.sleep(5)

    cloud.write(PointSet(ELECTRICITY))
    cloud.say()

    await until(lambda: room.store.position(ELECTRICITY.id) is not None, within_s=2)
    running.cancel()
    serving.cancel()


@simulated
async def test_an_operators_new_entry_of_a_point_lifts_its_hold(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    await room.use("100.00")
    await room.use("99000.00")
    assert room.store.history(ELECTRICITY.id).doubt is not None

    cloud.write(PointSet(ELECTRICITY))
    cloud.connect()

    await until(lambda: room.store.history(ELECTRICITY.id).doubt is None, within_s=2)
    running.cancel()


async def applied(tmp_path: Path, *messages: Down) -> Room:
    """The room after the cloud's messages, all of which moved the cursor."""
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    for message in messages:
        cloud.write(message)
    cloud.connect()
    await until(lambda: room.store.cursor() == Cursor(cloud.log, len(messages)), within_s=2)
    running.cancel()
    return room


@simulated
async def test_a_transfer_id_used_for_two_contents_is_kept_apart_and_the_log_goes_on(
    tmp_path: Path,
):
    room = await applied(
        tmp_path,
        Credited(top_up("20.00")),
        Credited(top_up("30.00")),
        Credited(top_up("5.00", cause="sandbox:3")),
    )

    assert room.store.balance(PURSE) == Money.yuan("26.00")  # 1.00 + 20.00 + 5.00
    ((seq, reason),) = room.store.rejected()
    assert seq == 2
    assert "comes again as 30.00" in reason


@simulated
async def test_a_bad_tariff_and_a_charge_from_the_cloud_are_kept_apart(tmp_path: Path):
    charge = Transfer(
        ledger.prepaid(PURSE),
        ledger.income("energy"),
        Money.yuan("1.00"),
        Reason.CHARGE,
        "x",
        EVENING,
    )
    room = await applied(
        tmp_path, wire.TariffSet({"code": "x"}), Credited(charge), Visit(ELECTRICITY.id)
    )

    assert [seq for seq, _ in room.store.rejected()] == [1, 2]
    assert room.store.balance(PURSE) == Money.yuan("1.00")


@simulated
async def test_money_that_the_cloud_did_not_sign_is_not_booked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    forged = Entry(cloud.log, 1, wire.write_down(Credited(top_up("20.00"))))
    true = cloud.write(Credited(top_up("20.00")))
    altered = Entry(true.log, 1, true.body.replace("2000", "9000"), true.signature)
    cloud.entries.clear()

    for entry in (forged, altered, wire.sign(forged, Ed25519PrivateKey.generate())):
        cloud.send(Envelope((entry,), None))
    cloud.sync.deliver(b"{not json")
    await asyncio.sleep(1)

    assert room.store.balance(PURSE) == Money.yuan("1.00")
    assert room.store.cursor() is None
    messages = [record.getMessage() for record in caplog.records]
    assert sum("is not signed by this gateway's cloud" in message for message in messages) == 3
    assert sum("is no envelope" in message for message in messages) == 1
    running.cancel()


@simulated
async def test_another_log_than_the_one_followed_is_refused(tmp_path: Path):
    room = await applied(tmp_path, Credited(top_up("20.00")))
    cloud = Cloud(room)  # a second cloud with its own log, and even the key
    running = asyncio.create_task(cloud.sync.run())

    cloud.write(Credited(top_up("50.00", cause="sandbox:other")))
    cloud.theirs = None
    cloud.say()
    await asyncio.sleep(1)

    assert room.store.balance(PURSE) == Money.yuan("21.00")
    running.cancel()


@simulated
async def test_a_full_disk_keeps_the_credit_waiting_and_loses_none(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    room.fill_disk()
    for n in range(100):
        cloud.write(Credited(top_up("1.00", cause=f"sandbox:{'x' * 100}{n}")))

    cloud.say()
    await asyncio.sleep(20)
    assert room.store.balance(PURSE) == Money.yuan("1.00")
    assert room.store.cursor() is None
    room.empty_disk()
    await until(lambda: room.store.balance(PURSE) == Money.yuan("101.00"), within_s=10)

    await until(lambda: cloud.theirs == Cursor(cloud.log, 100), within_s=10)
    running.cancel()


@simulated
async def test_what_an_operator_pins_is_kept_and_the_brake_is_released_and_told(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    with room.store.transaction():
        room.store.save_brake(replace(room.store.brake(), pulled_at=EVENING))
        room.store.save_trouble(Trouble.BRAKED, EVENING)
    kept = Override(Supply.ON, EVENING + timedelta(hours=1), by="王工", why="病人")

    cloud.write(Pinned(ELECTRICITY.id, kept))
    cloud.write(BrakeReleased("王工"))
    cloud.connect()

    await until(lambda: not room.store.brake().is_on, within_s=2)
    assert room.store.override(ELECTRICITY.id) == kept
    assert room.store.trouble_since(Trouble.BRAKED) is None
    told = room.told(GatewayAlarm)[-1]
    assert (told.alarm, told.is_over, "王工" in told.text) == (Trouble.BRAKED, True, True)
    cloud.write(Pinned(ELECTRICITY.id, None))
    cloud.say()
    await until(lambda: room.store.override(ELECTRICITY.id) is None, within_s=2)
    running.cancel()
