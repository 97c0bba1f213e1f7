"""What the page is made from: the meter room, the link, the log, the door."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from edge.field.room import MeterRoom
from edge.field.status import Link, Status, status
from edge.page.logbook import Logbook
from edge.page.pin import Pin
from edge.page.session import Sessions


@dataclass(frozen=True, slots=True)
class Desk:
    """pin and sessions are None for whoever needs none: the owner of the ledger, over the socket beside it."""

    room: MeterRoom
    link: Link
    logbook: Logbook
    pin: Pin | None = None
    sessions: Sessions | None = None
    is_https: bool = False
    code_key: bytes | None = None  # of offline top-up codes

    def status(self) -> Status:
        return status(self.room, self.link)

    def zone(self) -> tzinfo | None:
        """That of the first tariff: a gateway's own is often UTC. None is the machine's."""
        for point in self.room.store.points().values():
            if (tariff := self.room.store.tariff(point.tariff)) is not None:
                return ZoneInfo(tariff.timezone)
        return None
