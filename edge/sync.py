"""The two logs over a link: ours up, the cloud's down, each by sequence and cursor."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.agent import Agent
from edge.store import Store, StoreFull
from prepaid import ledger, wire
from prepaid.ledger import Reason, TransferIdReused
from prepaid.tariff_document import BadTariff
from prepaid.wire import (
    BadMessage,
    Credited,
    Cursor,
    Down,
    Entry,
    Envelope,
    PointSet,
    TariffSet,
    Visit,
)

log = logging.getLogger(__name__)

MOST_ENTRIES = 200
MOST_BYTES = 256 * 1024
RETRY_FULL_S = 5.0
GREET_S = 1.0  # until the cloud has answered on a new connection, doubling up to resend_s


class Link(Protocol):
    """A way to the cloud that may be up or down. Payloads may be lost, doubled and reordered on it."""

    is_up: bool

    def publish(self, payload: bytes) -> None:
        """Send while it is up; lost otherwise."""
        ...


class Cannot(Exception):
    """An entry of the cloud that cannot be applied: it is kept with the reason, and the log goes on."""


@dataclass(slots=True)
class _Sent:
    """A batch under way: its last entry, and when it was sent or the cloud last came nearer to it."""

    until: int
    at: float


class Sync:
    """Sends what the cloud has not applied, applies what it sends. One batch is under way at a time."""

    def __init__(
        self,
        store: Store,
        agent: Agent,
        link: Link,
        *,
        key: Ed25519PublicKey,
        resend_s: float,
        heartbeat_s: float,
    ) -> None:
        self._store = store
        self._agent = agent
        self._link = link
        self._key = key
        self._resend_s = resend_s
        self._heartbeat_s = heartbeat_s
        self._inbox: deque[bytes] = deque()
        self._stirred = asyncio.Event()
        self._sent: _Sent | None = None
        self._spoke_at = float("-inf")
        self._greet_s: float | None = GREET_S  # None once the cloud was heard
        self._must_answer = False
        self._is_full = False

    def stir(self) -> None:
        """Something may be there to send."""
        self._stirred.set()

    def link_changed(self) -> None:
        """The link has come up or gone down: whatever was under way may be lost."""
        self._sent = None
        self._spoke_at = float("-inf")
        self._greet_s = GREET_S
        self._stirred.set()

    def deliver(self, payload: bytes) -> None:
        """A payload from the cloud."""
        self._inbox.append(payload)
        self._stirred.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._stirred.clear()
            while self._inbox:
                await self._receive(self._inbox.popleft())
            due = self._speak() if self._link.is_up else None
            try:
                async with asyncio.timeout_at(due):
                    await self._stirred.wait()
            except TimeoutError:
                continue

    # Up.

    def _speak(self) -> float:
        """Send what is due; and the instant at which something may be due again, which is yet to come."""
        now = asyncio.get_running_loop().time()
        if self._sent is not None and now >= self._sent.at + self._resend_s:
            self._sent = None
        batch = self._batch() if self._sent is None else ()
        if batch:
            self._sent = _Sent(batch[-1].seq, now)
        silence_s = min(self._greet_s or self._heartbeat_s, self._heartbeat_s)
        if batch or self._must_answer or now >= self._spoke_at + silence_s:
            self._link.publish(wire.pack(Envelope(batch, self._store.cursor())))
            self._must_answer = False
            if self._greet_s is not None and self._spoke_at > float("-inf"):
                self._greet_s = silence_s = min(2 * self._greet_s, self._resend_s)
            self._spoke_at = now
        due = self._spoke_at + silence_s
        if self._sent is not None:
            due = min(due, self._sent.at + self._resend_s)
        return due

    def _batch(self) -> tuple[Entry, ...]:
        batch: list[Entry] = []
        size = 0
        for entry in self._store.unacked(MOST_ENTRIES):
            size += len(wire.pack(Envelope((entry,))))
            if batch and size > MOST_BYTES:
                break
            batch.append(entry)
        return tuple(batch)

    # Down.

    async def _receive(self, payload: bytes) -> None:
        try:
            envelope = wire.unpack(payload)
        except BadMessage as error:
            log.warning("a message on our topic is no envelope, and is dropped: %s", _short(error))
            return
        self._greet_s = None
        while True:
            try:
                self._acknowledged(envelope.cursor)
                if envelope.entries:
                    self._must_answer = True
                    self._apply(envelope.entries)
                break
            except StoreFull as error:
                if not self._is_full:
                    log.error("%s; nothing from the cloud is applied meanwhile", error)
                self._is_full = True
                await asyncio.sleep(RETRY_FULL_S)
        if self._is_full:
            log.info("the ledger can be written again")
            self._is_full = False

    def _acknowledged(self, cursor: Cursor | None) -> None:
        store = self._store
        if cursor is None:
            seq = 0
        elif cursor.log != store.log:
            log.error("the cloud follows log %s, ours is %s", cursor.log, store.log)
            return
        else:
            seq = cursor.seq
        if seq > store.last_seq():
            log.error(
                "the cloud has applied entry %s of our log, which ends at %s: was the ledger restored "
                "from a backup?",
                seq,
                store.last_seq(),
            )
            return
        if seq != store.acked():
            with store.transaction():
                store.acknowledge(seq)
            if self._sent is not None:
                self._sent.at = asyncio.get_running_loop().time()
        if self._sent is not None and seq >= self._sent.until:
            self._sent = None

    def _apply(self, entries: tuple[Entry, ...]) -> None:
        effects: list[Callable[[], None]] = []
        with self._store.transaction():
            for entry in entries:
                at = self._store.cursor()
                if at is not None and entry.log != at.log:
                    log.error("entries of log %s came; this gateway follows %s", entry.log, at.log)
                    break
                expected = 1 if at is None else at.seq + 1
                if entry.seq < expected:
                    continue
                if entry.seq > expected:
                    break
                try:
                    wire.verify(entry, self._key)
                except BadMessage as error:
                    log.error("%s: it and all after it are dropped", error)
                    break
                try:
                    effects.append(self._take(wire.read_down(entry.body)))
                except (BadMessage, BadTariff, TransferIdReused, Cannot) as error:
                    log.error(
                        "entry %s from the cloud is kept, not applied: %s", entry.seq, _short(error)
                    )
                    self._store.reject(entry, str(error))
                self._store.move_cursor(Cursor(entry.log, entry.seq))
        for effect in effects:
            effect()

    def _take(self, message: Down) -> Callable[[], None]:
        """Write what a message says; what is returned is to be done once that is committed."""
        match message:
            case PointSet(point=point):
                self._store.save_point(point)
                self._store.save_doubt(point.id, None)  # an operator has looked
                return lambda: self._agent.take_up(point.id)
            case TariffSet():
                self._store.save_tariff(message)
                return lambda: None
            case Credited(transfer=transfer):
                purse = _purse(transfer)
                self._store.post(transfer)
                log.info("%s credited to purse %s", transfer.amount, purse)
                return lambda: self._agent.wake_purse(purse)
            case Visit(point=id):
                return lambda: self._agent.wake([id])
            case _:
                raise AssertionError(f"not a message: {message}")


def _short(error: Exception) -> str:
    """The first lines of an error that may quote a whole message."""
    return " ".join(str(error).split())[:300]


def _purse(transfer: ledger.Transfer) -> UUID:
    """The purse that a credit fills. Raises Cannot if the cloud may not write such a transfer."""
    try:
        filled, emptied = ledger.purse_of(transfer.credit), ledger.purse_of(transfer.debit)
    except ValueError as error:
        raise Cannot(f"a purse is not named by a UUID: {error}") from error
    if filled is None or emptied is not None or transfer.reason is Reason.CHARGE:
        raise Cannot(f"a {transfer.reason} from {transfer.debit} to {transfer.credit} is no credit")
    return filled
