"""Whose log is followed: an old copy of ours is recognised by its hash, and one ledger goes on from another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from edge.ledger.store import Hold, Store
from edge.uplink.downlog import Lines
from prepaid.wire.entry import Cursor
from prepaid.wire.envelope import Halt, Takeover

log = logging.getLogger(__name__)


class Succession:
    """Where the cloud's copy of our log and ours part, ours is held, set aside, and a new one asks to be followed.

    forget is called when what was under way to the cloud is void; asks is what is to be said to it until it follows.
    """

    def __init__(
        self,
        store: Store,
        agent: Lines,
        *,
        now: Callable[[], datetime],
        forget: Callable[[], None],
    ) -> None:
        self._store = store
        self._agent = agent
        self._now = now
        self._forget = forget
        self.asks: Takeover | None = None

    def judge(self, cursor: Cursor | None, halt: Halt | None) -> None:
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

    def give_way(self, why: str) -> None:
        """Ours is held for another machine, which the cloud enrolled in our place; why is a sentence of the cloud."""
        if self._store.hold is not Hold.REPLACED:
            log.error(
                "%s Nothing is read, charged or switched by this one. If it is the one that shall "
                "serve, enrol it again with a new token",
                why,
            )
            self._hold(Hold.REPLACED)

    def _trouble(self, cursor: Cursor | None, halt: Halt | None) -> Hold | None:
        store = self._store
        self.asks = None
        if cursor is None:
            return None
        if cursor.log != store.log:
            if cursor.log != store.instead_of():
                return Hold.REPLACED
            # We have taken over from this one: the cloud's database was set back to before that.
            self.asks = Takeover(store.log, cursor.log)
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
            self._forget()
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
        self._forget()
        self._agent.pause()

    def ask(self, cursor: Cursor | None) -> bool:
        """Asks the cloud to follow our log in the place of another, until it says that it does; whether it is to be
        asked at once, or with the heartbeat."""
        store = self._store
        if cursor is not None and cursor.log == store.log:
            self.asks = None
            return False
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
            self.asks = None
            return False
        was, self.asks = self.asks, Takeover(store.log, instead_of)
        return self.asks != was
