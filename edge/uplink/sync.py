"""The two logs over a link: ours up, the cloud's down, each by sequence and cursor.

The cloud's cursor in our log carries the hash of its entry. Where that is none of ours, an old copy of the
ledger was put back: it is held, set aside, and a new one rebuilt from what the cloud knows.

Only what the cloud has signed is heard (prepaid.seal), and its cursor only in an answer to our own words.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from edge.ledger import standing
from edge.ledger.ledger_file import StoreFull
from edge.ledger.rows import Lending, Off
from edge.ledger.store import Hold, Store
from edge.uplink.answers import Answers
from edge.uplink.forgeries import Forgeries
from edge.uplink.withdrawing import withdraw
from prepaid import ledger, wire
from prepaid.ledger import Reason, TransferIdReused
from prepaid.reading import Supply
from prepaid.seal import KeySet, NotSigned
from prepaid.tariff_document import BadTariff
from prepaid.wire import (
    BadMessage,
    BrakeReleased,
    Carried,
    CloudKeys,
    Credited,
    Cursor,
    Debited,
    Decided,
    Down,
    EmergencyTaken,
    Entry,
    Envelope,
    Follow,
    GatewayAlarm,
    Halt,
    Lent,
    Pinned,
    PointEnded,
    PointSet,
    Resumed,
    Standing,
    Takeover,
    TapsClosed,
    TariffSet,
    Trouble,
    Visit,
    Withdraw,
)

log = logging.getLogger(__name__)

MOST_ENTRIES = 200
MOST_BYTES = 256 * 1024
ABOUT_ENTRY = 300  # bytes of an entry on the wire, beside its body
RETRY_FULL_S = 5.0
GREET_S = 1.0  # until the cloud has answered on a new connection, doubling up to resend_s


class Link(Protocol):
    """A way to the cloud that may be up or down. Payloads may be lost, doubled and reordered on it."""

    is_up: bool

    def publish(self, payload: bytes) -> None:
        """Send while it is up; lost otherwise."""
        ...


class Lines(Protocol):
    """Who serves the meters, and is told what the cloud decided (edge.agent)."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cut_again(self) -> None: ...

    def reload(self) -> None: ...

    def take_decision(self, said: Decided) -> None: ...

    def take_up(self, point: UUID) -> None: ...

    def wake(self, points: Iterable[UUID]) -> None: ...

    def wake_purse(self, purse: UUID) -> None: ...

    def wake_all(self) -> None: ...


class Cannot(Exception):
    """An entry of the cloud that cannot be applied: it is kept with the reason, and the log goes on."""


@dataclass(slots=True)
class _Sent:
    """A batch under way: its last entry, and when it was sent or the cloud last came nearer to it."""

    until: int
    at: float


Learn = Callable[[CloudKeys], KeySet | None]
"""Keeps the cloud's new keys for good, before the entry counts as applied: all that are good now, None if they are
known already. Raises ValueError if they cannot be used, OSError if they cannot be kept."""

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
        self._learn = learn
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
        self._asks: Takeover | None = None  # to be followed, until the cloud does
        self.is_heard = asyncio.Event()  # the cloud has said where it is in our log
        self.is_rebuilt = asyncio.Event()

    def trust(self, keys: KeySet, *, credential: int | None) -> None:
        """The cloud's keys are others from now on, and the credentials by which we speak."""
        self._keys, self._credential = keys, credential

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

    async def first_word(self, *, within_s: float) -> None:
        """Lets supply be cut once the cloud has said where it is in our log, or if it says nothing.

        So an old copy of a ledger that was put back is found out before anybody is cut by it.
        """
        if self._store.is_vouched_for():
            return self._agent.cut_again()
        try:
            async with asyncio.timeout(within_s):
                await self.is_heard.wait()
        except TimeoutError:
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
                self._asks,
                nonce=nonce,
                credential=self._credential,
            )
            self._link.publish(wire.pack(said))
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
            self._judge(cursor, halt)
        if store.hold is Hold.REBUILDING:
            self._ask(cursor)
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

    # An old store, and a new one in its place.

    def _judge(self, cursor: Cursor | None, halt: Halt | None) -> None:
        """Compares our log with the cloud's copy, and begins again where it is not the same."""
        store, was = self._store, self._store.hold
        found = self._trouble(cursor, halt)
        if was is Hold.RESTORED and cursor is not None:
            self._begin_again(cursor.log, "it was put back from a backup")
        elif found in (Hold.BEHIND, Hold.FORKED):
            what = "more entries of it" if found is Hold.BEHIND else "others under the same numbers"
            if was is not found:
                log.error("our log ends at %s and the cloud has %s", store.last_seq(), what)
                self._hold(found)
            self._begin_again(store.log, "an old copy of it was put back")
        elif found is Hold.REPLACED:
            if was is not found:
                assert cursor is not None
                log.error(
                    "the cloud follows log %s of this gateway, ours is %s: nothing is read, charged or "
                    "switched by it. If this is the gateway that shall serve, run `wattwell edge takeover`",
                    *(cursor.log, store.log),
                )
                self._hold(found)
        elif was is Hold.RESTORED or (was is not None and cursor is not None):
            log.info("the cloud follows our log: it is no longer held (%s)", was)
            self._hold(None)

    def _trouble(self, cursor: Cursor | None, halt: Halt | None) -> Hold | None:
        store = self._store
        self._asks = None
        if cursor is None:
            return None
        if cursor.log != store.log:
            if cursor.log != store.instead_of():
                return Hold.REPLACED
            # We have taken over from this one: the cloud's database was set back to before that.
            self._asks = Takeover(store.log, cursor.log)
            return None
        if cursor.seq > store.last_seq():
            return Hold.BEHIND
        known = store.hash_at(cursor.seq)
        if known is None or cursor.hash is None:
            return Hold.FORKED if halt is Halt.FORKED else None
        # What the cloud said to another copy of our ledger is no matter of ours: the hash says which is right.
        return Hold.FORKED if cursor.hash != known else None

    def _hold(self, hold: Hold | None) -> None:
        with self._store.transaction():
            self._store.save_hold(hold)
        if hold is not None:
            self._sent = None
            self._agent.pause()
        else:
            self._agent.resume()

    def _begin_again(self, instead_of: UUID, why: str) -> None:
        aside = self._store.begin_again(instead_of=instead_of, why="set-aside", now=self._now())
        log.error(
            "the ledger is rebuilt from what the cloud knows, because %s; the old one is kept as %s. "
            "Until it is rebuilt nothing is read, charged or switched",
            *(why, aside),
        )
        self._sent = None
        self._agent.pause()

    def _ask(self, cursor: Cursor | None) -> None:
        """Asks the cloud to follow our log in the place of another, until it says that it does."""
        store = self._store
        if cursor is not None and cursor.log == store.log:
            self._asks = None
            return
        instead_of = store.instead_of()
        if instead_of is None and cursor is not None:
            # A person has told us to take over, whichever store it is from.
            instead_of = cursor.log
            with store.transaction():
                store.save_instead_of(instead_of)
        if cursor is not None and cursor.log != instead_of:
            log.error(
                "the cloud follows log %s, not %s from which this ledger is to go on; if this is the "
                "gateway that shall serve, run `wattwell edge takeover`",
                *(cursor.log, instead_of),
            )
            self._asks = None
            return
        asks = Takeover(store.log, instead_of)
        self._must_answer = self._must_answer or asks != self._asks  # else with the heartbeat
        self._asks = asks

    def _apply(self, entries: tuple[Entry, ...]) -> None:
        if self._store.hold not in (None, Hold.REBUILDING):
            return
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
                    self._keys.verify(entry)
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

    def _take(self, message: Down) -> Callable[[], None]:
        """Write what a message says; what is returned is to be done once that is committed."""
        match message:
            case PointSet(point=point, is_again=is_again):
                self._store.save_point(point)
                history = self._store.history(point.id)
                if history.doubt is not None and not is_again:  # an operator has looked
                    self._store.save_history(point.id, replace(history, doubt=None))
                return lambda: self._agent.take_up(point.id)
            case PointEnded(point=id):
                self._store.end_point(id)
                log.info("point %s is no longer served", id)
                return self._agent.reload
            case Decided(point=point):
                self._decided(message)
                return lambda: self._agent.take_up(point.id)
            case TariffSet():
                self._store.save_tariff(message)
                return lambda: None
            case Credited(transfer=transfer, number=number):
                purse = _purse(transfer)
                self._store.credit(transfer, purse, number)
                log.info("%s credited to purse %s", transfer.amount, purse)
                return lambda: self._agent.wake_purse(purse)
            case Withdraw(transfer=transfer):
                purse = _emptied(transfer)
                if self._store.hold is Hold.REBUILDING:
                    return lambda: None  # asked of another store; the cloud says what became of it
                withdraw(self._store, message, purse, self._now())
                return lambda: self._agent.wake_purse(purse)
            case Visit(point=id):
                return lambda: self._agent.wake([id])
            case Pinned(point=id, override=override):
                self._store.save_override(id, override)
                log.info("point %s is pinned to %s", id, override)
                return lambda: self._agent.wake([id])
            case BrakeReleased(by=by):
                self._release_brake(by)
                return self._agent.wake_all
            case EmergencyTaken() | TapsClosed() if self._store.hold is Hold.REBUILDING:
                return lambda: (
                    None
                )  # it was said to another store; what still holds of it comes with Lent
            case EmergencyTaken(purse=purse, at=at, by=by):
                if self._store.lent(purse) is None:
                    self._store.save_lent(purse, Lending(at, by))
                    log.info("emergency credit is taken for purse %s, by the %s", purse, by)
                return lambda: self._agent.wake_purse(purse)
            case TapsClosed(point=id, at=at):
                self._close_taps(id, at)
                return lambda: self._agent.wake([id])
            case CloudKeys():
                return self._learned(message)
            case Standing() | Carried() | Debited() | Lent() | Resumed():
                if message.log != self._store.log or self._store.hold is not Hold.REBUILDING:
                    return lambda: None  # it was said to a store that has been replaced since
                return self._rebuild(message)
            case _:
                raise AssertionError(f"not a message: {message}")

    def _decided(self, message: Decided) -> None:
        """A store that is being rebuilt hears again what was decided long ago: of that it takes the point, for its
        position comes from the cloud. What the store before it may not have booked is told to it by its name."""
        if self._store.hold is Hold.REBUILDING:
            self._store.save_point(message.point)
        elif message.log in (None, self._store.log):
            self._agent.take_decision(message)

    def _learned(self, message: CloudKeys) -> Callable[[], None]:
        if self._learn is None:
            raise Cannot("the cloud has other keys, and cloud.key is in gateway.toml: enrol it")
        try:
            keys = self._learn(message)
        except ValueError as error:
            raise Cannot(f"keys that cannot be used: {error}") from error
        except OSError as error:
            raise StoreFull(f"the cloud's new keys cannot be written: {error.strerror}") from error
        if keys is None:
            return lambda: None
        log.info("the cloud's keys are %s from now on", ", ".join(keys.ids))
        return lambda: self.trust(keys, credential=self._credential)

    def _release_brake(self, by: str) -> None:
        store = self._store
        store.save_brake(store.brake().released())
        if store.trouble_since(Trouble.BRAKED) is not None:
            store.save_trouble(Trouble.BRAKED, None)
            text = f"the brake was released by {by}"
            store.append(GatewayAlarm(self._now(), Trouble.BRAKED, is_over=True, text=text))
            log.info("%s; cuts go on", text)

    def _close_taps(self, point: UUID, at: datetime) -> None:
        """The answer counts for a supply that is off now, not for one that goes off later."""
        row, off = self._store.supply(point), self._store.off(point)
        if row is not None and row.seen is Supply.OFF:
            self._store.save_off(point, Off(off.since if off is not None else None, at))
            log.info("the taps of point %s are said to be closed", point)

    def _rebuild(
        self, message: Standing | Carried | Debited | Lent | Resumed
    ) -> Callable[[], None]:
        store = self._store
        match message:
            case Standing():
                standing.save(store, message)
                return lambda: None
            case Carried():
                store.save_carried(message.purse, message.charged)
                return lambda: None
            case Debited(transfer=transfer):
                _emptied(transfer)
                store.post(transfer)
                return lambda: None
            case Lent():
                store.save_lent(message.purse, Lending(message.at, message.by))
                return lambda: None
            case Resumed():
                store.save_hold(None)
                text = f"log {store.log} goes on from {store.instead_of()}"
                store.append(GatewayAlarm(self._now(), Trouble.TAKEN_OVER, is_over=True, text=text))
                return self._rebuilt

    def _rebuilt(self) -> None:
        log.info("the ledger is rebuilt; %s service points are served", len(self._store.points()))
        self._agent.resume()
        self.is_rebuilt.set()


def _short(error: Exception) -> str:
    """The first lines of an error that may quote a whole message."""
    return " ".join(str(error).split())[:300]


def _purse(transfer: ledger.Transfer) -> UUID:
    """The purse that a credit fills. Raises Cannot if the cloud may not write such a transfer."""
    filled, emptied = _purses(transfer)
    if filled is None or emptied is not None or transfer.reason is Reason.CHARGE:
        raise Cannot(f"a {transfer.reason} from {transfer.debit} to {transfer.credit} is no credit")
    return filled


def _emptied(transfer: ledger.Transfer) -> UUID:
    """The purse that a withdrawal is taken out of. Raises Cannot if it is none: charges are ours alone."""
    filled, emptied = _purses(transfer)
    if emptied is None or filled is not None or transfer.reason is Reason.CHARGE:
        raise Cannot(
            f"a {transfer.reason} from {transfer.debit} to {transfer.credit} is no withdrawal"
        )
    return emptied


def _purses(transfer: ledger.Transfer) -> tuple[UUID | None, UUID | None]:
    """The purses that a transfer fills and empties. Raises Cannot."""
    try:
        return ledger.purse_of(transfer.credit), ledger.purse_of(transfer.debit)
    except ValueError as error:
        raise Cannot(f"a purse is not named by a UUID: {error}") from error
