"""Keeps the last trusted time in the ledger, and tells when the gateway's own time can decide nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from edge.clocks.clock import Clock, keeps_time, unkept
from edge.clocks.clock_settings import ClockSettings, SystemClock
from edge.clocks.system_clock import KernelClock, since_boot
from edge.ledger.ledger_file import StoreFull, this_boot
from edge.ledger.store import Store, StoreHeld
from prepaid.supply import Why
from prepaid.wire.uplog import GatewayAlarm, Trouble

log = logging.getLogger(__name__)

LOOK_S = 60.0
DOUBT_LOOK_S = 5.0  # the same while the clock is not trusted
SAVE_S = 600.0  # between two savings of a trusted time
PATIENCE = timedelta(minutes=2)  # a source may take so long to be heard of before a person is told


def clock_of(store: Store, settings: ClockSettings, wall: Callable[[], datetime]) -> Clock:
    """The gateway's own time on this machine, going on from what the ledger knows."""
    boot = this_boot()
    always = settings.system is SystemClock.ALWAYS
    system = {
        SystemClock.NTP: KernelClock().error,
        SystemClock.ALWAYS: keeps_time,
        SystemClock.NEVER: unkept,
    }[settings.system]
    return Clock(
        wall,
        tick=since_boot,
        system=system,
        rules=settings.rules,
        believes_wall=always,
        boot=boot,
        kept=store.kept_time(),
        latest=latest_told(store),
    )


def latest_told(store: Store) -> datetime | None:
    """The last time at which something was charged."""
    positions = (store.position(id) for id in store.points())
    return max((position.reading.at for position in positions if position), default=None)


class Timekeeper:
    """Watches the clock. wake lets points be visited whose cut has waited for it."""

    def __init__(
        self, store: Store, clock: Clock, *, wake: Callable[[Iterable[UUID]], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake
        self._was_trusted: bool | None = None
        self._saved: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S if self._was_trusted else DOUBT_LOOK_S)

    def look(self) -> None:
        """Say what has changed, once; and save the time now and then."""
        now = self._clock.now()
        if now.is_trusted is not self._was_trusted:
            self._say(is_trusted=now.is_trusted)
        if self._store.hold is not None:
            return
        try:
            self._tell()
            if now.is_trusted and (self._saved is None or now.tick >= self._saved + SAVE_S):
                self._save()
        except (StoreFull, StoreHeld) as error:
            log.debug("nothing is noted of the clock: %s", error)

    def _say(self, *, is_trusted: bool) -> None:
        known = self._clock.known()
        if is_trusted and known is not None:
            log.info("the clock is trusted: it is %s, as told by %s", known.at, known.source)
            if self._was_trusted is not None:
                self._wake(self._waiting())
        else:
            log.warning("the clock is not trusted; it shows %s", self._clock.now().at)
        self._was_trusted = is_trusted
        self._saved = None

    def _waiting(self) -> list[UUID]:
        """The points whose supply could not be decided without the clock."""
        rows = ((id, self._store.supply(id)) for id in self._store.points())
        return [id for id, row in rows if row is not None and row.why is Why.CLOCK]

    def _tell(self) -> None:
        """The alarm, once each: not before a source had time to be heard."""
        store, doubted = self._store, self._clock.doubted_for()
        is_told = store.trouble_since(Trouble.CLOCK) is not None
        if doubted is None and is_told:
            self._alarm("the clock is trusted again", is_on=False)
        elif doubted is not None and doubted >= PATIENCE and not is_told:
            self._alarm(
                "neither a time service, the cloud nor the meters have told the time: nobody is cut off for "
                "want of credit, and no override ends, until one of them does",
                is_on=True,
            )

    def _alarm(self, text: str, *, is_on: bool) -> None:
        at = self._clock.now().at
        with self._store.transaction():
            self._store.save_trouble(Trouble.CLOCK, at if is_on else None)
            self._store.append(GatewayAlarm(at, Trouble.CLOCK, not is_on, text))
        log.log(logging.ERROR if is_on else logging.INFO, "%s", text)

    def _save(self) -> None:
        kept = self._clock.kept_time()
        if kept is None:
            return
        with self._store.transaction():
            self._store.save_kept_time(kept)
        self._saved = self._clock.tick()
