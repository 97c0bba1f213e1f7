"""The two logs over a link: ours up, the cloud's down, each by sequence and cursor.

The cloud's cursor in our log carries the hash of its entry. Where that is none of ours, an old copy of the
ledger was put back: it is held, set aside, and a new one rebuilt from what the cloud knows.

Only what the cloud has signed is heard (prepaid.seal), and its cursor only in an answer to our own words.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from edge.ledger.ledger_file import StoreFull, StoreUnusable
from edge.ledger.store import Hold, Store, StoreHeld
from edge.uplink.answers import Answers
from edge.uplink.downlog import Cannot, DownLog, Learn, Lines
from edge.uplink.forgeries import Forgeries
from edge.uplink.succession import Succession
from prepaid.ledger import TransferIdReused
from prepaid.seal import KeySet, NotSigned
from prepaid.tariff_document import BadTariff
from prepaid.wire.downlog import read_down
from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.envelope import Envelope, Follow, Halt, pack
from prepaid.wire.message import BadMessage
from prepaid.wire.uplog import GatewayAlarm, Trouble

log = logging.getLogger(__name__)

MOST_ENTRIES = 200
MOST_BYTES = 256 * 1024
ABOUT_ENTRY = 300  # bytes of an entry on the wire, beside its body
RETRY_FULL_S = 5.0
OF_THE_LEDGER = (StoreFull, StoreHeld, StoreUnusable, sqlite3.Error)
"""What says nothing of an entry: it is applied once the ledger is right."""
GREET_S = 1.0  # until the cloud has answered on a new connection, doubling up to resend_s


class Link(Protocol):
    """A way to the cloud that may be up or down. Payloads may be lost, doubled and reordered on it."""

    is_up: bool

    def publish(self, payload: bytes) -> None:
        """Send while it is up; lost otherwise."""
        ...


@dataclass(slots=True)
class _Sent:
    """A batch under way: its last entry, and when it was sent or the cloud last came nearer to it."""

    until: int
    at: float


CloudTime = Callable[[datetime, timedelta], None]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _no_matter(at: datetime, round_trip: timedelta) -> None:
    """Nobody asks what time the cloud has."""


class Sync:
    """Sends what the cloud has not applied, applies what it sends. One batch is under way at a time.

    on_time is told the cloud's time (UTC) with each answer that came soon after our word, and how long it took.
    credential is the number of the credentials by which we speak, so that the cloud ends older ones; learn is for a
    gateway that was enrolled, and can keep new keys.
    """

    def __init__(
        self,
        store: Store,
        agent: Lines,
        link: Link,
        *,
        keys: KeySet,
        resend_s: float,
        heartbeat_s: float,
        now: Callable[[], datetime] = _utc_now,
        on_time: CloudTime = _no_matter,
        credential: int | None = None,
        learn: Learn | None = None,
    ) -> None:
        self._store = store
        self._agent = agent
        self._link = link
        self._keys = keys
        self._resend_s = resend_s
        self._heartbeat_s = heartbeat_s
        self._now = now
        self._on_time = on_time
        self._credential = credential
        self._inbox: deque[tuple[bytes, float]] = deque()  # with the loop's time when it came
        self._answers = Answers()
        self._forgeries = Forgeries()
        self._stirred = asyncio.Event()
        self._sent: _Sent | None = None
        self._spoke_at = float("-inf")
        self._greet_s: float | None = GREET_S  # None once the cloud was heard
        self._must_answer = False
        self._is_full = False
        self._lacking: int | None = None  # what the cloud asks for, and we cannot give
        self._succession = Succession(store, agent, now=now, forget=self._forget)
        self._down = DownLog(store, agent, now=now, learn=learn, trust=self._trust)
        self.is_heard = asyncio.Event()  # the cloud has said where it is in our log
        self.is_rebuilt = self._down.is_rebuilt

    def trust(self, keys: KeySet, *, credential: int | None) -> None:
        """The cloud's keys are others from now on, and the credentials by which we speak."""
        self._keys, self._credential = keys, credential

    def give_way(self, why: str) -> None:
        """Another machine serves in our place, as the sentence says: nothing is read, charged or switched by us."""
        self._succession.give_way(why)

    def _trust(self, keys: KeySet) -> None:
        self.trust(keys, credential=self._credential)

    def _forget(self) -> None:
        self._sent = None

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
        """A payload on our topic."""
        self._inbox.append((payload, asyncio.get_running_loop().time()))
        self._stirred.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._stirred.clear()
            while self._inbox:
                await self._receive(*self._inbox.popleft())
            due = self._speak() if self._link.is_up else None
            try:
                async with asyncio.timeout_at(due):
                    await self._stirred.wait()
            except TimeoutError:
                continue

    async def first_word(
        self,
        *,
        within_s: float,
        refused_s: float = 0.0,
        is_refused: Callable[[], bool] = lambda: False,
    ) -> None:
        """Lets supply be cut once the cloud has said where it is in our log, or if it says nothing.

        So an old copy of a ledger that was put back is found out before anybody is cut by it, and also, while the
        broker refuses us and for refused_s at the most, that another machine serves in our place.
        """
        if self._store.is_vouched_for():
            return self._agent.cut_again()
        try:
            async with asyncio.timeout(within_s):
                await self.is_heard.wait()
        except TimeoutError:
            if is_refused():
                with suppress(TimeoutError):
                    async with asyncio.timeout(refused_s):
                        await self.is_heard.wait()
        if not self.is_heard.is_set():
            log.info("the cloud does not answer; it is decided without it")
        return self._agent.cut_again()

    # Up.

    def _speak(self) -> float:
        """Send what is due; and the instant at which something may be due again, which is yet to come."""
        now = asyncio.get_running_loop().time()
        if self._sent is not None and now >= self._sent.at + self._resend_s:
            self._sent = None
        is_held = self._store.hold is not None
        batch = self._batch() if self._sent is None and not is_held else ()
        if batch:
            self._sent = _Sent(batch[-1].seq, now)
        silence_s = min(self._greet_s or self._heartbeat_s, self._heartbeat_s)
        if batch or self._must_answer or now >= self._spoke_at + silence_s:
            nonce = self._answers.expect(at=now)
            said = Envelope(
                batch,
                self._store.cursor(),
                self._store.log,
                self._succession.asks,
                nonce=nonce,
                credential=self._credential,
            )
            self._link.publish(pack(said))
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
            size += ABOUT_ENTRY + len(json.dumps(entry.body))  # with its quotes escaped
            if batch and size > MOST_BYTES:
                break
            batch.append(entry)
        return tuple(batch)

    # Down.

    async def _receive(self, payload: bytes, came_at: float) -> None:
        try:
            envelope = self._keys.unseal(payload, gateway_no=self._store.gateway_no)
        except NotSigned as error:
            self._forgeries.drop(error, at=came_at)
            return
        except BadMessage as error:
            log.error("the cloud signed what is no envelope; it is dropped: %s", _short(error))
            return
        self._forgeries.heard(at=came_at)
        answers = self._answers.take(envelope.nonce, at=came_at)
        if answers is not None:
            self._greet_s = None
            if answers.tells_time and envelope.at is not None:
                self._on_time(envelope.at, answers.round_trip)
        while True:
            try:
                if answers is not None:
                    self._acknowledged(envelope.cursor, envelope.halt)
                    self._follow(envelope.follow)
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

    def _acknowledged(self, cursor: Cursor | None, halt: Halt | None) -> None:
        store = self._store
        if store.hold is not Hold.REBUILDING:
            self._succession.judge(cursor, halt)
        if store.hold is Hold.REBUILDING and self._succession.ask(cursor):
            self._must_answer = True
        if store.hold is None:
            self._move_acked(cursor.seq if cursor is not None else 0)
            if cursor is not None and cursor.log == store.log:
                store.vouch()
        self.is_heard.set()

    def _move_acked(self, seq: int) -> None:
        store = self._store
        if seq != store.acked():
            if seq < store.last_seq() and store.hash_at(seq + 1) is None:
                if self._lacking != seq:
                    log.error(
                        "the cloud asks for entries of our log after %s, which are no longer kept: was its "
                        "database set back? Run `wattwell edge takeover` to go on from what it knows",
                        seq,
                    )
                self._lacking = seq
                return
            with store.transaction(is_derived=True):  # the cloud says it again
                store.acknowledge(seq)
            if self._sent is not None:
                self._sent.at = asyncio.get_running_loop().time()
        if self._sent is not None and seq >= self._sent.until:
            self._sent = None

    def _apply(self, entries: tuple[Entry, ...]) -> None:
        if self._store.hold not in (None, Hold.REBUILDING):
            return
        effects: list[Callable[[], None]] = []
        refused: list[str] = []
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
                    self._keys.verify(entry)
                except BadMessage as error:
                    log.error("%s: it and all after it are dropped", error)
                    break
                try:
                    with self._store.apart():
                        effects.append(self._down.take(read_down(entry.body)))
                except (BadMessage, BadTariff, TransferIdReused, Cannot) as error:
                    log.error(
                        "entry %s from the cloud is kept, not applied: %s", entry.seq, _short(error)
                    )
                    self._store.reject(entry, str(error))
                    refused.append(f"entry {entry.seq}: {_short(error)}")
                except OF_THE_LEDGER:
                    raise
                except Exception as error:
                    # It would end the program, come again after each restart, and keep all meters waiting.
                    log.exception("entry %s from the cloud is kept, not applied", entry.seq)
                    self._store.reject(entry, f"{type(error).__name__}: {error}")
                    refused.append(f"entry {entry.seq}: {type(error).__name__}: {_short(error)}")
                self._store.move_cursor(Cursor(entry.log, entry.seq))
            if refused and self._store.hold is None:  # who is rebuilt has told it before
                text = f"{len(refused)} of the cloud's entries cannot be applied; {refused[0]}"
                alarm = GatewayAlarm(self._now(), Trouble.ENTRY_REFUSED, is_over=False, text=text)
                self._store.append(alarm)
        for effect in effects:
            effect()

    def _follow(self, follow: Follow | None) -> None:
        """The cloud's log for us has another name: its database was put back, and what we have of it that was
        written since counts for nothing in it."""
        at = self._store.cursor()
        if follow is None or self._store.hold is not None or at is None:
            return
        if at.log != follow.instead_of or at.log == follow.log:
            return
        log.warning(
            "the cloud's database was put back to a backup: its log for us is %s from entry %s on, no more %s, "
            "of which we have %s",
            *(follow.log, follow.seq, at.log, at.seq),
        )
        with self._store.transaction():
            self._store.move_cursor(Cursor(follow.log, follow.seq))
        self._must_answer = True


def _short(error: Exception) -> str:
    """The first lines of an error that may quote a whole message."""
    return " ".join(str(error).split())[:300]
