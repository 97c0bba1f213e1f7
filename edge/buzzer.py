"""The last warning at the meter itself: told once in a shortage to sound, and once, after a credit, to stop."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from edge.clocks.clock import Clock
from edge.drivers import BadMeter, Driver
from edge.ledger.store import Store
from edge.lines.acquaintance import whom
from edge.lines.bus import Bus, NoReply
from edge.warned import Buzzer
from prepaid.point import Meter, ServicePoint
from protocols.exchange import Exchange, ProtocolError, Refused

log = logging.getLogger(__name__)

TRIES = 3  # commands of which nothing is heard


class Buzzers:
    """Tells meters to warn. One that refuses, or never answers, is not told again until a restart."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._unheard: Counter[str] = Counter()
        self._refused: set[str] = set()

    async def tell(self, point: ServicePoint, driver: Driver, bus: Bus) -> None:
        """Let the meter sound or stop, where it does not already; a failure is tried again at a later visit.

        That it is to sound is written down before it is told, so that it is told to stop in any case. Raises
        LineAway, StoreFull, StoreHeld.
        """
        warned, meter = self._store.warned(point.id), point.meter
        if warned is None or (not warned.is_over and warned.buzzer is Buzzer.SOUNDS):
            return None
        who, is_on, now = whom(meter), not warned.is_over, self._clock.now().at
        if who in self._refused:
            return self._settle(point.id, Buzzer.SILENT)
        try:
            if driver.buzz(meter, now, is_on=is_on) is None:
                return self._settle(point.id, Buzzer.SILENT)
            if is_on:
                self._settle(point.id, Buzzer.ASKED)
            await bus.run(
                lambda: _command(driver, meter, now, is_on=is_on),
                driver.decoder,
                reply_s=driver.REPLY_S,
            )
        except (Refused, BadMeter) as error:
            log.warning("%s: its buzzer cannot be used: %s", point.name, error)
            self._refused.add(who)
            return self._settle(point.id, Buzzer.SILENT)
        except (NoReply, ProtocolError) as error:
            log.info("%s: its buzzer did not answer: %s", point.name, error)
            self._unheard[who] += 1
            if self._unheard[who] >= TRIES:
                self._refused.add(who)
            return None
        self._unheard.pop(who, None)
        log.info("%s: its meter %s", point.name, "warns" if is_on else "warns no longer")
        return self._settle(point.id, Buzzer.SOUNDS if is_on else Buzzer.SILENT)

    def _settle(self, point: UUID, buzzer: Buzzer) -> None:
        """What the buzzer does now; what is over and silent is forgotten."""
        warned = self._store.warned(point)
        if warned is None:
            return
        kept = (
            None if warned.is_over and buzzer is Buzzer.SILENT else replace(warned, buzzer=buzzer)
        )
        if kept != warned:
            with self._store.transaction():
                self._store.save_warned(point, kept)


def _command(driver: Driver, meter: Meter, now: datetime, *, is_on: bool) -> Exchange[Any, None]:
    command = driver.buzz(meter, now, is_on=is_on)
    assert command is not None  # it was asked before
    return command
