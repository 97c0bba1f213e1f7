"""The service points of the world, as they really are."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from prepaid.point import Policy, ServicePoint
from simulators import oracle
from simulators.world.meters import AnyMeter
from simulators.world.organizations import Estate


@dataclass(frozen=True, slots=True)
class Exchange:
    """Of a point's meter for another: what the old one counted last, and the new one first."""

    meter_no: str
    closing: Decimal
    opening: Decimal
    shown: set[Decimal]


@dataclass(slots=True)
class Point:
    """A service point, its meter, and where its account really stands after which position.

    exchange is of the meter that was there before; is_exchange_known: its gateway has booked it.
    """

    estate: Estate
    place: int
    point: ServicePoint
    meter: AnyMeter
    accounts: dict[bytes, oracle.Account]
    latest: bytes | None = None
    exchange: Exchange | None = None
    is_exchange_known: bool = True
    by_new: set[bytes] = field(default_factory=set)  # accounts that stand at the present meter

    @property
    def policy(self) -> Policy:
        return self.point.policy

    @property
    def id(self) -> str:
        return str(self.point.id)

    def counted(self, account: bytes, total: Decimal) -> Decimal:
        """What its register shows, counted on from where an account stands, be it that of the meter before."""
        if self.exchange is None or account in self.by_new:
            return total
        return self.exchange.closing + total - self.exchange.opening
