"""What the cloud decided, entry by entry: what each changes in the ledger, and what is done once that is on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID

from edge.entered import enter
from edge.ledger import standing
from edge.ledger.ledger_file import StoreFull
from edge.ledger.rows import Lending, Off
from edge.ledger.store import Hold, Store
from edge.uplink.recalling import recall
from edge.uplink.withdrawing import withdraw
from prepaid import ledger
from prepaid.ledger import Reason
from prepaid.point import ServicePoint
from prepaid.reading import Supply
from prepaid.seal import KeySet
from prepaid.wire.downlog import (
    BrakeReleased,
    Carried,
    CloudKeys,
    CodeVoided,
    Credited,
    Debited,
    Decided,
    Down,
    Lent,
    Pinned,
    PointEnded,
    PointSet,
    Recall,
    Resumed,
    Standing,
    TapsClosed,
    TariffSet,
    Visit,
    Withdraw,
)
from prepaid.wire.uplog import EmergencyTaken, GatewayAlarm, Trouble

log = logging.getLogger(__name__)


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


Learn = Callable[[CloudKeys], KeySet | None]
"""Keeps the cloud's new keys for good, before the entry counts as applied: all that are good now, None if they are
known already. Raises ValueError if they cannot be used, OSError if they cannot be kept."""


class DownLog:
    """The cloud's log as it is applied here. trust is told of keys of the cloud that are good from now on.

    learn is for a gateway that was enrolled, and can keep them.
    """

    def __init__(
        self,
        store: Store,
        agent: Lines,
        *,
        now: Callable[[], datetime],
        learn: Learn | None,
        trust: Callable[[KeySet], None],
    ) -> None:
        self._store = store
        self._agent = agent
        self._now = now
        self._learn = learn
        self._trust = trust
        self.is_rebuilt = asyncio.Event()

    def take(self, message: Down) -> Callable[[], None]:
        """Writes what a message says, in a transaction; what is returned is to be done once that is committed.

        Raises Cannot, TransferIdReused, BadTariff or StoreFull.
        """
        match message:
            case PointSet(point=point):
                enter(self._store, self._as_undone(point))
                return lambda: self._agent.take_up(point.id)
            case PointEnded(point=id):
                self._store.end_point(id)
                return self._saying(self._agent.reload, "point %s is no longer served", id)
            case Decided(point=point):
                self._decided(message)
                return lambda: self._agent.take_up(point.id)
            case TariffSet():
                self._store.save_tariff(message)
                return self._agent.wake_all  # by it a purse may last less long than was planned
            case Credited(transfer=transfer, number=number):
                purse = _purse(transfer)
                typed = None if number is None else self._store.typed(purse, number)
                self._store.credit(transfer, purse, number)
                wake = partial(self._agent.wake_purse, purse)
                text = "%s credited to purse %s"
                if typed is not None:
                    text += ", in the place of the code that gave it already"
                return self._saying(wake, text, transfer.amount, purse)
            case CodeVoided(purse=purse, number=number):
                typed = self._store.void_code(purse, number)
                wake = partial(self._agent.wake_purse, purse)
                if typed is None:
                    return wake
                text = "%s that a code gave as credit %s are taken from purse %s: the cloud knows nothing of it"
                return self._saying(wake, text, typed.amount, number, purse)
            case Withdraw(transfer=transfer):
                purse = _emptied(transfer)
                if self._store.hold is Hold.REBUILDING:
                    return lambda: None  # asked of another store; the cloud says what became of it
                withdraw(self._store, message, purse, self._now())
                return lambda: self._agent.wake_purse(purse)
            case Recall():
                if self._store.hold is not Hold.REBUILDING:  # then all it has came from the cloud
                    recall(self._store, message)
                return lambda: None
            case Visit(point=id):
                return lambda: self._agent.wake([id])
            case Pinned(point=id, override=override):
                self._store.save_override(id, override)
                wake = partial(self._agent.wake, [id])
                return self._saying(wake, "point %s is pinned to %s", id, override)
            case BrakeReleased(by=by):
                self._release_brake(by)
                return self._agent.wake_all
            case EmergencyTaken() | TapsClosed() if self._store.hold is Hold.REBUILDING:
                return lambda: (
                    None
                )  # it was said to another store; what still holds of it comes with Lent
            case EmergencyTaken(purse=purse, at=at, by=by):
                wake = partial(self._agent.wake_purse, purse)
                if self._store.lent(purse) is not None:
                    return wake
                self._store.save_lent(purse, Lending(at, by))
                text = "emergency credit is taken for purse %s, by the %s"
                return self._saying(wake, text, purse, by)
            case TapsClosed(point=id, at=at):
                self._close_taps(id, at)
                return lambda: self._agent.wake([id])
            case CloudKeys():
                return self._learned(message)
            case Debited(log=None, transfer=transfer):
                # Not asked whether the purse holds so much: what it lacks by that shows in both ledgers alike.
                purse = _emptied(transfer)
                self._store.post(transfer)
                wake = partial(self._agent.wake_purse, purse)
                text = "%s are taken out of purse %s: the cloud has booked it while we were away"
                return self._saying(wake, text, transfer.amount, purse)
            case Standing() | Carried() | Debited() | Lent() | Resumed():
                if message.log != self._store.log or self._store.hold is not Hold.REBUILDING:
                    return lambda: None  # it was said to a store that has been replaced since
                return self._rebuild(message)
            case _:
                raise AssertionError(f"not a message: {message}")

    def _saying(self, then: Callable[[], None], text: str, *values: object) -> Callable[[], None]:
        """What is to be done, and said: not before it is on disk, and not of all that a ledger is rebuilt from."""
        level = logging.DEBUG if self._store.hold is Hold.REBUILDING else logging.INFO

        def done() -> None:
            log.log(level, text, *values)
            then()

        return done

    def _as_undone(self, point: ServicePoint) -> ServicePoint:
        """A point as the cloud has it; but for a meter that was linked wrongly, while the cloud has yet to hear that
        it was undone."""
        linked = self._store.linked(point.id)
        if linked is None or linked.undone is None or linked.undone <= self._store.acked():
            return point
        return replace(point, meter=linked.instead_of) if point.meter == linked.meter else point

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
        return lambda: self._trust(keys)

    def _release_brake(self, by: str) -> None:
        store = self._store
        store.save_brake(store.brake().released())
        if store.trouble_since(Trouble.BRAKED) is not None:
            store.save_trouble(Trouble.BRAKED, None)
            text = f"the brake was released by {by}"
            store.append(GatewayAlarm(self._now(), Trouble.BRAKED, is_over=True, text=text))
            log.info("%s; cuts go on", text)

    def _close_taps(self, point: UUID, at: datetime) -> None:
        """The answer counts for a supply that is off now: not for one that goes off later, nor for one that has come
        back and gone off again since it was given."""
        row, off = self._store.supply(point), self._store.off(point)
        if off is not None and off.since is not None and at < off.since:
            log.info("the taps of point %s were said to be closed before it went off", point)
        elif row is not None and row.seen is Supply.OFF:
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
                if message.braked_at is not None:
                    store.save_brake(replace(store.brake(), pulled_at=message.braked_at))
                    store.save_trouble(Trouble.BRAKED, message.braked_at)
                text = f"log {store.log} goes on from {store.instead_of()}"
                store.append(GatewayAlarm(self._now(), Trouble.TAKEN_OVER, is_over=True, text=text))
                return self._rebuilt

    def _rebuilt(self) -> None:
        log.info("the ledger is rebuilt; %s service points are served", len(self._store.points()))
        self._agent.resume()
        self.is_rebuilt.set()


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
