"""Only what the cloud itself has said, to this gateway and now, is taken; its keys follow one another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prepaid.enrolment import read_key, written_key
from prepaid.money import Money
from prepaid.seal import KeySet, seal
from prepaid.wire.downlog import CloudKeys, Credited
from prepaid.wire.entry import Cursor, Entry, sign
from prepaid.wire.envelope import Envelope, Halt, pack
from tests.edge.simulated import (
    PURSE,
    Room,
    clock,
    simulated,
    top_up,
)
from tests.edge.uplink.other_end import Cloud, note


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
        pack(Envelope((true,))),
        sealed.replace(b"2000", b"9000"),
        seal(Envelope((true,)), cloud.key, gateway_no="GW-0002"),
        seal(Envelope((sign(forged, stranger),)), stranger, gateway_no=gateway_no),
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
    cloud.entries.append(sign(Entry(cloud.log, 4, "{}"), old))
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
