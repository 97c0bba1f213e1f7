"""The ledger's upkeep: opened or rebuilt, kept small, and the last to suffer where the disk runs full."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from edge import codes
from edge.ledger import ledger_file
from edge.ledger.ledger_file import StoreDamaged, StoreFull
from edge.ledger.store import Hold, Store, StoreHeld
from prepaid.wire.uplog import GatewayAlarm, Trouble

log = logging.getLogger(__name__)

MARK_S = 600.0  # the unit in which it is counted how long something is kept
LOOK_S = 60.0  # between two looks at the disk
BATCH = 500  # entries or charges forgotten in one transaction


def open_ledger(
    path: Path,
    gateway_no: str,
    *,
    now: datetime,
    open_store: Callable[[Path, str], Store] = Store,
) -> Store:
    """The gateway's ledger; an empty one, to be rebuilt from the cloud's copy, where the file is damaged.

    Raises StoreTaken, StoreUnusable, StoreFull.
    """
    try:
        store = open_store(path, gateway_no)
    except StoreDamaged as error:
        log.critical("%s", error)
        with closing(ledger_file.take(path)) as lock:
            noted = ledger_file.noted(lock)
            instead_of = noted.log if noted is not None else None
            aside = ledger_file.renew(
                path,
                gateway_no,
                hold=Hold.REBUILDING if instead_of else Hold.REPLACED,
                instead_of=instead_of,
                why="damaged",
                now=now,
            )
        log.error(
            "the damaged ledger is kept as %s; a new one is %s",
            aside,
            "rebuilt from what the cloud knows"
            if instead_of
            else "empty, as it is not known which it was: run `wattwell edge takeover`",
        )
        store = open_store(path, gateway_no)
    if store.hold is not None:
        log.warning(
            "the ledger is held (%s): nothing is read, charged or switched until the cloud has said where "
            "it stands",
            store.hold,
        )
    return store


class Upkeep:
    """Forgets what is older than kept, and defends the ledger against a full disk.

    A file of reserve_bytes stands by. Once the disk is full it is removed, readings are no longer kept,
    and acknowledged entries are forgotten, the oldest first: credits, charges and switch commands have
    that room to themselves. When it is used up too, StoreFull stops charging and switching, because what
    cannot be written down is not done.
    """

    def __init__(
        self,
        store: Store,
        path: Path,
        *,
        kept: timedelta,
        reserve_bytes: int,
        now: Callable[[], datetime],
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._store = store
        self._folder = path.parent.absolute()
        self._reserve = path.with_suffix(".reserve")
        self._kept_marks = max(1, int(kept.total_seconds() / MARK_S))
        self._reserve_bytes = reserve_bytes
        self._now = now
        self._free_bytes = free_bytes
        self._is_making_room = False
        store.make_room = self.make_room

    async def run(self) -> None:
        """Until cancelled."""
        marked = asyncio.get_running_loop().time()
        while True:
            self.look()
            if asyncio.get_running_loop().time() >= marked + MARK_S:
                marked += MARK_S
                await self.forget()
            await asyncio.sleep(LOOK_S)

    async def forget(self) -> None:
        """Notes that time has passed, and forgets what is old now, a few at a time: others work in between."""
        try:
            with self._store.transaction():
                number = self._store.mark()
            is_more = True
            while is_more:
                await asyncio.sleep(0)
                with self._store.transaction():
                    is_more = self._store.prune(before=number - self._kept_marks, most=BATCH)
        except StoreFull as error:
            log.debug("nothing is forgotten now: %s", error)

    def look(self) -> None:
        """Has what was committed on disk; puts the reserve back where there is room for it twice, and says when it
        begins or ceases to be missing."""
        self._store.to_disk()
        if not self._reserve.exists():
            if self._free_bytes(self._folder) >= 2 * self._reserve_bytes:
                self._put_reserve()
        elif self._reserve.stat().st_size != self._reserve_bytes:
            self._reserve.unlink()  # it was cut short, or is to be of another size
            return self.look()
        self._store.keeps_readings = self._reserve.exists()
        self._tell()
        self._calm()
        return None

    def make_room(self) -> None:
        """Once a write has found the disk full: gives up the reserve, then history."""
        if self._is_making_room:
            return
        self._is_making_room = True
        try:
            if self._reserve.exists():
                self._reserve.unlink()
                log.error(
                    "the disk of %s is full: readings are no longer kept, credits, charges and switch "
                    "commands have the last %s bytes; make room on it",
                    *(self._folder, self._reserve_bytes),
                )
            self._store.keeps_readings = False
            with self._store.transaction():
                forgotten = self._store.prune_entries(most=BATCH)
            self._store.checkpoint()
            if forgotten:
                log.warning("%s acknowledged entries are forgotten to make room", forgotten)
        except StoreFull as error:
            log.debug("there is no room to make: %s", error)
        finally:
            self._is_making_room = False

    def _put_reserve(self) -> None:
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._reserve_bytes)
                os.fsync(file.fileno())
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            log.warning("no reserve can be kept in %s: %s", self._folder, error.strerror)

    def _calm(self) -> None:
        try:
            codes.calm(self._store, self._now())
        except StoreFull as error:
            log.debug("wrong codes are not forgotten now: %s", error)

    def _tell(self) -> None:
        """Tells that the disk is short of room, or no longer, once each."""
        store, is_on = self._store, not self._store.keeps_readings
        if store.hold is not None or is_on == (store.trouble_since(Trouble.DISK_FULL) is not None):
            return
        at = self._now()
        text = (
            f"less than {2 * self._reserve_bytes // 1024 // 1024 or 1} MB are free: readings are not kept"
            if is_on
            else "there is room again: readings are kept"
        )
        try:
            with store.transaction():
                store.save_trouble(Trouble.DISK_FULL, at if is_on else None)
                store.append(GatewayAlarm(at, Trouble.DISK_FULL, not is_on, text))
        except (StoreFull, StoreHeld) as error:
            log.error("an alarm (%s) cannot be noted: %s", text, error)
        else:
            log.log(logging.ERROR if is_on else logging.INFO, "%s: %s", self._folder, text)
