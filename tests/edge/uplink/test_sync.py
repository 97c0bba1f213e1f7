"""The two logs over a link that loses, doubles and reorders."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.clocks.clock import CloudTime
from edge.uplink.downlog import Learn
from edge.uplink.sync import MOST_BYTES, Sync
from prepaid import ledger, wire
from prepaid.enrolment import read_key, written_key
from prepaid.ledger import Reason, Transfer
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.seal import KeySet, seal
from prepaid.supply import Override, Why
from prepaid.wire import (
    BrakeReleased,
    CloudKeys,
    Credited,
    Cursor,
    Down,
    Entry,
    Envelope,
    GatewayAlarm,
    Halt,
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
    clock,
    simulated,
    top_up,
    until,
)
from tests.prepaid.values import read


class Cloud:
    """The other end: it applies cursor + 1, answers with its cursor, and keeps its own log."""

    def __init__(
        self, room: Room, learn: Learn | None = None, on_time: CloudTime | None = None
    ) -> None:
        self.is_up = False
        self.key = Ed25519PrivateKey.generate()
        self.log = uuid4()
        self.entries: list[Entry] = []
        self.applied: list[Entry] = []
        self.theirs: Cursor | None = None
        self.received: list[Envelope] = []
        self.answers = True
        self.mishap: random.Random | None = None
        self.clock = clock
        self.times: list[tuple[datetime, timedelta]] = []
        self.room = room
        self.sync = Sync(
            room.store,
            room.agent,
            self,
            keys=KeySet([self.key.public_key()]),
            resend_s=5,
            heartbeat_s=30,
            on_time=on_time or (lambda at, round_trip: self.times.append((at, round_trip))),
            learn=learn,
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
            self.say(nonce=envelope.nonce)

    def say(self, *, nonce: str | None = None) -> None:
        at = self.theirs.seq if self.theirs else 0
        log = self.room.store.log
        cursor = Cursor(log, len(self.applied)) if self.applied else None
        self.send(Envelope(tuple(self.entries[at:]), cursor, nonce=nonce, at=self.clock()))

    def send(self, envelope: Envelope) -> None:
        self.carry(seal(envelope, self.key, gateway_no=self.room.store.gateway_no))

    def carry(self, payload: bytes) -> None:
        times = self.mishap.choice([0, 1, 1, 1, 2]) if self.mishap else 1
        for _ in range(times):
            delay_s = self.mishap.uniform(0.01, 3) if self.mishap else 0.01
            asyncio.get_running_loop().call_later(delay_s, self.sync.deliver, payload)


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

    said = [replace(envelope, nonce=None) for envelope in cloud.received]
    assert said == [Envelope((), None, room.store.log)] * 4  # at once, and after 30, 60 and 90 s
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


def credits_that_nobody_signed(cloud: Cloud) -> list[bytes]:
    """¥20.00 in each way in which somebody who holds the broker could say it."""
    gateway_no = cloud.room.store.gateway_no
    stranger = Ed25519PrivateKey.generate()
    true = cloud.write(Credited(top_up("20.00")))
    forged = replace(true, signature=None)
    altered = replace(true, body=true.body.replace("2000", "9000"))
    sealed = seal(Envelope((true,)), cloud.key, gateway_no=gateway_no)
    cloud.entries.clear()
    return [
        wire.pack(Envelope((true,))),
        sealed.replace(b"2000", b"9000"),
        seal(Envelope((true,)), cloud.key, gateway_no="GW-0002"),
        seal(Envelope((wire.sign(forged, stranger),)), stranger, gateway_no=gateway_no),
        b"{not json",
        # Should a seal ever be given for what others wrote, the entries still speak for themselves.
        seal(Envelope((forged,)), cloud.key, gateway_no=gateway_no),
        seal(Envelope((altered,)), cloud.key, gateway_no=gateway_no),
    ]


@simulated
async def test_money_that_the_cloud_did_not_sign_is_not_booked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    for payload in credits_that_nobody_signed(cloud):
        cloud.carry(payload)
    await asyncio.sleep(1)

    assert room.store.balance(PURSE) == Money.yuan("1.00")
    assert room.store.cursor() is None
    messages = [record.getMessage() for record in caplog.records]
    assert sum("the cloud did not sign came" in message for message in messages) == 1
    assert sum("is not signed by this gateway's cloud" in message for message in messages) == 2
    running.cancel()


@simulated
async def test_messages_that_others_write_are_said_when_they_begin_and_when_they_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    for _ in range(20):
        cloud.carry(b'{"entries": []}')
        await asyncio.sleep(60)  # the cloud answers meanwhile
    during = [record.getMessage() for record in caplog.records]
    await asyncio.sleep(400)

    messages = [record.getMessage() for record in caplog.records]
    assert sum("the cloud did not sign came" in message for message in during) == 1
    assert not any("no message but the cloud's" in message for message in during)
    assert sum("20 had been dropped" in message for message in messages) == 1
    running.cancel()


@simulated
async def test_an_old_word_of_the_cloud_that_is_said_again_changes_nothing(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    heard: list[bytes] = []
    carry = cloud.carry
    cloud.carry = lambda payload: (heard.append(payload), carry(payload))[1]  # type: ignore[method-assign]
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    cloud.write(Credited(top_up("20.00")))
    for count in (2, 3, 4):
        note(room, count)
        await asyncio.sleep(40)
    acked, times = room.store.acked(), len(cloud.times)
    assert acked == len(cloud.applied) == 9

    for payload in heard:
        cloud.sync.deliver(payload)
    await asyncio.sleep(0.001)  # sooner than the cloud says anything new

    assert room.store.acked() == acked  # no old cursor is believed
    assert room.store.balance(PURSE) == Money.yuan("21.00")
    assert len(cloud.times) == times  # nor an old time
    running.cancel()


@simulated
async def test_one_key_of_the_cloud_follows_another_without_a_word_lost(tmp_path: Path):
    room = Room(tmp_path)
    kept: list[CloudKeys] = []

    def learn(message: CloudKeys) -> KeySet:
        kept.append(message)
        return KeySet(map(read_key, message.keys))

    cloud = Cloud(room, learn)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    old, new = cloud.key, Ed25519PrivateKey.generate()
    both = CloudKeys(1, tuple(written_key(key.public_key()) for key in (old, new)))
    cloud.write(both)
    await asyncio.sleep(40)
    assert kept == [both]

    cloud.key = new
    cloud.write(CloudKeys(2, (written_key(new.public_key()),)))
    await asyncio.sleep(40)
    cloud.write(Credited(top_up("20.00")))
    await asyncio.sleep(40)
    assert room.store.balance(PURSE) == Money.yuan("21.00")

    cloud.key = old
    cloud.entries.append(wire.sign(Entry(cloud.log, 4, "{}"), old))
    await asyncio.sleep(40)
    assert room.store.cursor() == Cursor(cloud.log, 3)  # the old key is good no more
    running.cancel()


@simulated
async def test_keys_that_cannot_be_kept_wait_and_what_follows_them_too(tmp_path: Path):
    room = Room(tmp_path)
    disk_is_full = True

    def learn(message: CloudKeys) -> KeySet:
        if disk_is_full:
            raise OSError(28, "No space left on device")
        return KeySet(map(read_key, message.keys))

    cloud = Cloud(room, learn)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    cloud.write(CloudKeys(1, (written_key(cloud.key.public_key()),)))
    cloud.write(Credited(top_up("20.00")))
    await asyncio.sleep(40)
    assert room.store.cursor() is None

    disk_is_full = False
    await asyncio.sleep(40)
    assert room.store.balance(PURSE) == Money.yuan("21.00")
    running.cancel()


@simulated
async def test_a_halt_that_is_no_answer_holds_nothing(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    note(room, 3)
    await asyncio.sleep(1)

    cloud.send(Envelope((), Cursor(uuid4(), 7), halt=Halt.REPLACED, nonce="another", at=clock()))
    await asyncio.sleep(1)

    assert room.store.hold is None
    running.cancel()


@simulated
async def test_the_clouds_time_is_told_with_the_time_its_answer_took(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    cloud.clock = lambda: clock() + timedelta(hours=1)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    await asyncio.sleep(1)

    # Said at 0 s, answered at once, and 10 ms on the way.
    assert cloud.times == [(EVENING + timedelta(hours=1), timedelta(seconds=0.01))]
    running.cancel()


@simulated
async def test_an_answer_that_took_long_tells_no_time_and_acknowledges_all_the_same(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    late = cloud.carry
    cloud.carry = lambda payload: asyncio.get_running_loop().call_later(31, late, payload)  # type: ignore[method-assign,assignment,return-value]
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    note(room, 3)
    await asyncio.sleep(60)

    assert cloud.received
    assert cloud.times == []
    assert room.store.acked() == 3
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
async def test_a_full_disk_keeps_the_credit_waiting_and_loses_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
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
    assert "credited to purse" not in caplog.text  # it is not said of what is not on disk
    room.empty_disk()
    await until(lambda: room.store.balance(PURSE) == Money.yuan("101.00"), within_s=10)

    await until(lambda: cloud.theirs == Cursor(cloud.log, 100), within_s=10)
    assert caplog.text.count("credited to purse") == 100
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
