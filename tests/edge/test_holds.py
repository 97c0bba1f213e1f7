"""A ledger that the cloud knows otherwise is held, set aside and asked for again; and what is not taken for one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.ledger.rows import Intent
from edge.ledger.store import Hold, Store, StoreHeld
from edge.uplink.sync import Sync
from prepaid.money import ZERO, Money
from prepaid.reading import Supply
from prepaid.seal import KeySet, seal
from prepaid.wire.downlog import (
    Carried,
    Credited,
    Down,
    PointEnded,
    PointSet,
    Resumed,
    write_down,
)
from prepaid.wire.entry import NO_ENTRY, Cursor, Entry, sign
from prepaid.wire.envelope import Envelope, Halt, Takeover, unpack
from prepaid.wire.uplog import Read
from tests.edge.simulated import ELECTRICITY, PURSE, Room, clock, simulated, top_up
from tests.prepaid.values import read

KEY = Ed25519PrivateKey.generate()


class Wires:
    """The other end of the link: what the gateway says is kept, what the test says is heard."""

    def __init__(self, room: Room) -> None:
        self.is_up = True
        self.said: list[Envelope] = []
        self.log = uuid4()
        self.sync = Sync(
            room.store,
            room.agent,
            self,
            keys=KeySet([KEY.public_key()]),
            resend_s=5,
            heartbeat_s=30,
            now=clock,
        )
        room.store.on_append = self.sync.stir
        self.running = asyncio.create_task(self.sync.run())

    def publish(self, payload: bytes) -> None:
        self.said.append(unpack(payload))

    async def hear(
        self, cursor: Cursor | None, *messages: Down, first: int = 1, halt: Halt | None = None
    ) -> None:
        entries = tuple(
            sign(Entry(self.log, seq, write_down(message)), KEY)
            for seq, message in enumerate(messages, first)
        )
        await asyncio.sleep(0.1)  # it has said something that can be answered
        envelope = Envelope(entries, cursor, halt=halt, nonce=self.said[-1].nonce, at=clock())
        self.sync.deliver(seal(envelope, KEY, gateway_no="GW-0001"))
        await asyncio.sleep(0.1)


def note(room: Room, count: int) -> None:
    with room.store.transaction():
        for n in range(count):
            room.store.append(Read(ELECTRICITY.id, read(f"{n}.00")))


def set_aside(folder: Path) -> list[Path]:
    return list(folder.glob("ledger.sqlite.set-aside-*"))


def head(store: Store) -> Cursor:
    return Cursor(store.log, store.last_seq(), store.hash_at(store.last_seq()))


@simulated
async def test_a_log_that_the_cloud_has_otherwise_is_set_aside_and_another_asks_to_be_followed(
    tmp_path: Path,
):
    room = Room(tmp_path)
    link = Wires(room)
    note(room, 3)
    old = room.store.log

    await link.hear(Cursor(old, 2, "f" * 64))

    store = room.store
    assert (store.hold, store.instead_of()) == (Hold.REBUILDING, old)
    assert store.log != old
    assert store.balance(PURSE) == ZERO
    assert link.said[-1].takeover == Takeover(store.log, old)
    (aside,) = set_aside(tmp_path)
    kept = Store(aside, "GW-0001")
    assert (kept.log, kept.balance(PURSE)) == (old, Money.yuan("1.00"))
    kept.close()
    link.running.cancel()


@simulated
@pytest.mark.parametrize("more", [1, 100])
async def test_a_log_of_which_the_cloud_has_more_is_set_aside(tmp_path: Path, more: int):
    room = Room(tmp_path)
    link = Wires(room)
    note(room, 3)
    old = room.store.log

    await link.hear(Cursor(old, 3 + more, "f" * 64))

    assert (room.store.hold, room.store.instead_of()) == (Hold.REBUILDING, old)
    link.running.cancel()


@simulated
async def test_what_the_cloud_says_to_a_copy_is_no_matter_of_the_right_ledger(tmp_path: Path):
    room = Room(tmp_path)
    link = Wires(room)
    note(room, 3)
    log = room.store.log

    await link.hear(head(room.store), halt=Halt.FORKED)

    assert (room.store.log, room.store.hold) == (log, None)
    assert room.store.acked() == 3
    link.running.cancel()


@simulated
async def test_a_cloud_that_was_set_back_is_no_reason_to_begin_again(tmp_path: Path):
    room = Room(tmp_path)
    link = Wires(room)
    note(room, 3)
    store = room.store
    await link.hear(head(store))

    await link.hear(Cursor(store.log, 1, store.hash_at(1)))
    assert (store.hold, store.acked()) == (None, 1)
    await link.hear(Cursor(store.log, 0, NO_ENTRY))
    assert (store.hold, store.acked()) == (None, 0)
    await link.hear(None)
    assert (store.hold, store.acked()) == (None, 0)
    link.running.cancel()


@simulated
async def test_a_cloud_that_was_set_back_to_before_a_takeover_is_asked_again(tmp_path: Path):
    room = Room(tmp_path)
    link = Wires(room)
    old = room.store.log
    await link.hear(Cursor(old, 7, "f" * 64))
    new = room.store.log
    await link.hear(Cursor(new, 0, NO_ENTRY), Resumed(new))
    assert room.store.hold is None
    balance = room.store.balance(PURSE)

    await link.hear(Cursor(old, 7, "f" * 64))
    assert (room.store.hold, room.store.log) == (None, new)
    link.sync.link_changed()
    await asyncio.sleep(0.1)
    assert link.said[-1].takeover == Takeover(new, old)
    # It has everything; what is told to a store that is rebuilt is not for it.
    await link.hear(Cursor(new, 0, NO_ENTRY), Carried(new, PURSE, Money(500)), first=2)
    assert room.store.balance(PURSE) == balance
    link.running.cancel()


@simulated
async def test_a_rebuilt_ledger_serves_once_everything_was_told_and_not_before(tmp_path: Path):
    room = Room(tmp_path)
    link = Wires(room)
    await link.hear(Cursor(room.store.log, 7, "f" * 64))
    store, log = room.store, room.store.log

    await link.hear(Cursor(log, 0, NO_ENTRY), Credited(top_up("20.00")))
    await link.hear(Cursor(log, 0, NO_ENTRY), Carried(log, PURSE, Money(500)), first=2)
    # Said twice, and to a store before this one: nothing changes.
    await link.hear(Cursor(log, 0, NO_ENTRY), Carried(log, PURSE, Money(500)), first=3)
    await link.hear(Cursor(log, 0, NO_ENTRY), Carried(uuid4(), PURSE, Money(900)), first=4)
    await link.hear(Cursor(log, 0, NO_ENTRY), Resumed(uuid4()), first=5)
    assert store.hold is Hold.REBUILDING
    await link.hear(Cursor(log, 0, NO_ENTRY), Resumed(log), first=6)

    assert store.hold is None
    assert store.balance(PURSE) == Money.yuan("15.00")  # 20.00 - 5.00
    assert store.check(within_s=None)
    link.running.cancel()


@simulated
async def test_a_point_that_was_ended_long_ago_does_not_keep_a_ledger_from_being_rebuilt(
    tmp_path: Path,
):
    room = Room(tmp_path)
    link = Wires(room)
    await link.hear(Cursor(room.store.log, 7, "f" * 64))
    store, log = room.store, room.store.log

    # All that the cloud ever said is said again to a new ledger.
    again = (PointSet(ELECTRICITY), PointEnded(ELECTRICITY.id), Resumed(log))
    await link.hear(Cursor(log, 0, NO_ENTRY), *again)

    assert not link.running.done()
    assert store.hold is None
    assert store.points() == {}
    link.running.cancel()


@simulated
@pytest.mark.parametrize("hold", list(Hold))
async def test_a_held_ledger_books_and_commands_nothing(tmp_path: Path, hold: Hold):
    room = Room(tmp_path)
    await room.use("100.00")
    store = room.store
    with store.transaction():
        store.save_hold(hold)
    before = (store.balance(PURSE), store.last_seq(), store.position(ELECTRICITY.id))

    with pytest.raises(StoreHeld):
        await room.use("150.00")
    with pytest.raises(StoreHeld), store.transaction():
        store.save_intent(ELECTRICITY.id, Intent(Supply.OFF, clock(), None, 1, False))

    assert (store.balance(PURSE), store.last_seq(), store.position(ELECTRICITY.id)) == before
    assert not room.meter.contact_open
    serving = asyncio.create_task(room.agent.run())
    await asyncio.sleep(600)
    assert not serving.done()
    assert (store.balance(PURSE), store.last_seq(), store.position(ELECTRICITY.id)) == before
    assert not room.meter.contact_open
    serving.cancel()


@simulated
async def test_a_held_ledger_tells_nothing_and_books_no_credit(tmp_path: Path):
    room = Room(tmp_path)
    note(room, 3)
    with room.store.transaction():
        room.store.save_hold(Hold.REPLACED)
    link = Wires(room)
    other = Cursor(uuid4(), 5, "f" * 64)

    await link.hear(other, Credited(top_up("20.00")), halt=Halt.REPLACED)
    await asyncio.sleep(120)

    assert all(not envelope.entries for envelope in link.said)
    assert all(envelope.sender == room.store.log for envelope in link.said)
    assert room.store.balance(PURSE) == Money.yuan("1.00")
    # Should the cloud follow it after all, it goes on.
    await link.hear(Cursor(room.store.log, 0, NO_ENTRY))
    assert room.store.hold is None
    link.running.cancel()
