"""The cloud's end of a gateway's link, with mishaps on purpose."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.clocks.clock import CloudTime
from edge.uplink.downlog import Learn
from edge.uplink.sync import Sync
from prepaid.seal import KeySet, seal
from prepaid.wire.downlog import Down, write_down
from prepaid.wire.entry import Cursor, Entry, sign
from prepaid.wire.envelope import Envelope, unpack
from prepaid.wire.uplog import Read
from tests.edge.simulated import (
    ELECTRICITY,
    Room,
    clock,
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
        entry = Entry(self.log, len(self.entries) + 1, write_down(message))
        self.entries.append(sign(entry, self.key))
        return self.entries[-1]

    def publish(self, payload: bytes) -> None:
        """Link: what the gateway says."""
        assert self.is_up
        if self.mishap and self.mishap.random() < 0.3:
            return
        envelope = unpack(payload)
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
