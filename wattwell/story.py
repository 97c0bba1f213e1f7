"""What happens to one purse of the demonstration building: it runs out, is cut, paid and supplied again.

Everything told here is read from the ledgers of the two sides, and paid for as a tenant pays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import httpx
from sqlalchemy import select

from cloud import auth
from cloud.db import Database
from cloud.services import board
from cloud.services.board import PointCard, RoomCard
from cloud.services.money.stages import Stages, stages_of
from cloud.tables import Balance, Gateway, Organization, ServicePoint
from edge.ledger import onlooker
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.wire.uplog import SupplyChanged, read_up
from wattwell import seed
from wattwell.programs import Programs, wait_for

ROOM = "101"
TOP_UP = Money.yuan("5")


class StoryBroken(Exception):
    """Something that must happen did not, or the ledgers differ. The text says what."""


@dataclass(frozen=True, slots=True)
class Cut:
    """commanded_at: the meter acknowledged the command; verified_at: its relay was read open."""

    commanded_at: datetime
    verified_at: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """The story's times (UTC), what the relay was read as on the way, and both ledgers at one moment."""

    cut: Cut
    stages: Stages
    read_back: tuple[Supply, ...]
    cloud: dict[UUID, Money]
    gateway: dict[UUID, Money]
    purse_id: UUID

    def as_json(self) -> dict[str, object]:
        def at(moment: datetime | None) -> str | None:
            return moment.astimezone(UTC).isoformat() if moment else None

        return {
            "room": ROOM,
            "cut_at": at(self.cut.commanded_at),
            "cut_verified_at": at(self.cut.verified_at),
            "paid_at": at(self.stages.paid_at),
            "credited_at": at(self.stages.credited_at),
            "delivered_at": at(self.stages.delivered_at),
            "armed_at": at(self.stages.armed_at),
            "restored_at": at(self.stages.restored_at),
            "read_back": [str(supply) for supply in self.read_back],
            "balance_cloud_fen": self.cloud[self.purse_id].fen,
            "balance_gateway_fen": self.gateway[self.purse_id].fen,
            "purses": len(self.cloud),
            "purses_that_differ": sum(
                self.cloud.get(purse) != self.gateway.get(purse)
                for purse in self.cloud.keys() | self.gateway.keys()
            ),
        }


class Story:
    """Looks on while the programs run; pays when told to."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._settings = programs.settings
        self._database = Database(programs.postgres.dsn(), connections=2)
        with self._database.system() as session:
            self._organization_id = session.execute(
                select(Organization.id).where(Organization.name == seed.ORGANIZATION)  # type: ignore[call-overload]
            ).scalar_one()
            self._account_id, self.purse_id = seed.find_purse(session, ROOM, "electricity")
            self._point_id = session.execute(
                select(ServicePoint.id).where(ServicePoint.purse_id == self.purse_id)  # type: ignore[call-overload]
            ).scalar_one()
        self.tenant_url = auth.tenant_url(self._settings, self._account_id)
        self._changes: list[SupplyChanged] = []
        self._looked_at = 0

    def close(self) -> None:
        self._database.close()

    def rooms(self) -> list[RoomCard]:
        """The room board, as the property manager sees it."""
        with self._database.organization(self._organization_id) as session:
            return board.rooms(session, self._organization_id, now=datetime.now(UTC))

    def point(self) -> PointCard:
        """The service point the story is about."""
        points = [point for room in self.rooms() for point in room.points]
        return next(point for point in points if point.point_id == self._point_id)

    def supply_changes(self) -> list[SupplyChanged]:
        """What the gateway read of the story's relay, oldest first, from the gateway's own log."""
        for seq, body in onlooker.read_log(self._programs.ledger, after=self._looked_at):
            self._looked_at = seq
            message = read_up(body)
            if isinstance(message, SupplyChanged) and message.point == self._point_id:
                self._changes.append(message)
        return self._changes

    def cut(self) -> Cut | None:
        """The cut that holds now, once the open relay has been read back."""
        found = None
        for change in reversed(self.supply_changes()):
            if change.supply is not Supply.OFF:
                break
            if change.commanded_at is not None:
                found = Cut(change.commanded_at, change.at)
        return found

    def pay(self) -> UUID:
        """Tops the purse up by TOP_UP; see pay."""
        return pay(
            self.tenant_url, origin=self._programs.url, purse_id=self.purse_id, amount=TOP_UP
        )

    def stages(self, topup_id: UUID) -> Stages:
        with self._database.organization(self._organization_id) as session:
            return stages_of(session, topup_id, now=datetime.now(UTC))

    def balances(self) -> tuple[dict[UUID, Money], dict[UUID, Money]] | None:
        """All purses in the cloud and on the gateway, at a moment when neither has news for the other."""
        before = onlooker.read_progress(self._programs.ledger)
        with self._database.system() as session:
            gateway = session.execute(select(Gateway)).scalar_one()
            cloud = {
                row.purse_id: Money(row.balance_fen)
                for row in session.execute(select(Balance)).scalars()
            }
        on_gateway = onlooker.read_balances(self._programs.ledger)
        after = onlooker.read_progress(self._programs.ledger)
        settled = (
            before == after
            and before.last_seq == gateway.up_seq
            and before.cloud_seq == gateway.down_seq
        )
        return (cloud, on_gateway) if settled else None

    def play(self, tell: Callable[[str], None], look: Callable[[], None]) -> Ending:
        """The whole story, paid through the sandbox channel; a minute or two. look is called meanwhile.

        Raises StoryBroken, or TimeoutError naming what did not happen.
        """
        tell(f"room {ROOM} has ¥{self.point().balance}; its meters are read while it runs out")
        cut = wait_for(self.cut, 300, f"the cut of room {ROOM}", look)
        tell(f"room {ROOM} has run out: cut, and the relay was read back open")
        topup_id = self.pay()
        tell(f"the tenant of {ROOM} has paid ¥{TOP_UP} by phone")
        wait_for(lambda: self.stages(topup_id).restored_at, 120, f"supply for room {ROOM}", look)
        tell(f"room {ROOM} has light again")
        cloud, gateway = wait_for(
            self.balances, 60, "a moment at which both ledgers have all news of each other", look
        )
        since_cut = [
            c.supply for c in self.supply_changes() if c.at >= cut.verified_at and c.supply
        ]
        read_back = tuple(dict.fromkeys(since_cut))
        ending = Ending(cut, self.stages(topup_id), read_back, cloud, gateway, self.purse_id)
        if cloud != gateway:
            raise StoryBroken(f"the ledgers differ: {ending.as_json()}")
        if not {Supply.OFF, Supply.ARMED, Supply.ON} <= set(read_back):
            raise StoryBroken(f"the relay was read back only as {', '.join(read_back)}")
        return ending


def pay(tenant_url: str, *, origin: str, purse_id: UUID, amount: Money) -> UUID:
    """Tops up as a tenant's browser does: the page's form, the channel's page, its pay button.

    Returns the top-up's id. Raises StoryBroken if a page does not answer as it should.
    """
    with httpx.Client(timeout=10) as browser:
        page = browser.get(tenant_url)
        ordered = browser.post(
            f"{tenant_url}/topups",
            data={"purse_id": str(purse_id), "amount": str(amount)},
            headers={"Origin": origin},
        )
        if page.status_code != 200 or ordered.status_code != 303:
            raise StoryBroken(
                f"the tenant's page answered {page.status_code}, its form {ordered.status_code}:"
                f" {ordered.text[:200]}"
            )
        paid = browser.post(ordered.headers["Location"])
        if paid.status_code != 303:
            raise StoryBroken(f"the payment page answered {paid.status_code}: {paid.text[:200]}")
        return UUID(paid.headers["Location"].rstrip("/").rpartition("/")[2])
