"""What a seed decides before the story begins: the estates, their customers, and the weather that comes over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from prepaid.point import Policy

BEGIN = datetime(2026, 11, 11, 16, tzinfo=UTC)  # midnight where the meters are
ZONE = "Asia/Shanghai"
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
QUARTERS_PER_DAY = 96
MOST_W, MOST_L = 2000, 500  # what can pass a meter, in W and in L/h


class What(StrEnum):
    """What may happen."""

    TOP_UP = "top-up"
    LINK = "link"  # up for so long
    POWER_CUT = "power-cut"
    CUT_AT_COMMIT = "cut-at-commit"
    CUT_AT_REQUEST = "cut-at-request"
    CUT_AT_WORD = "cut-at-word"  # when it has told the cloud something
    NOISE = "noise"
    DEAD_METER = "dead-meter"
    LINE_AWAY = "line-away"
    DISK_FULL = "disk-full"
    CLOCK = "clock"
    CLOCK_RIGHT = "clock-right"
    BACKUP = "backup"
    RESTORE = "restore"
    OLD_COPY = "old-copy"
    SPARE = "spare"
    OLD_RETURNS = "old-returns"
    TARIFF = "tariff"
    PIN = "pin"
    UNPIN = "unpin"
    RELEASE = "release-brake"
    PROTECT = "protect"
    LIE = "lie"  # a gateway writes of another's point
    CODE = "code"  # paid, and typed at the gateway as twenty digits
    BORROW = "borrow"  # emergency credit, as soon as it is offered
    REFUND = "refund"  # so much is paid, and a part of what is left asked back so long after
    ANSWER = "answer"  # the taps are closed, where that is asked
    EXCHANGE = "exchange"  # another meter is put up


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """At so many seconds, to the estate of that number; which and number name what it happens to, by its kind."""

    at_s: float
    estate: int
    what: What
    which: int = 0
    lasts_s: float = 0.0
    number: int = 0
    more: str = ""

    def __str__(self) -> str:
        days, rest = divmod(int(self.at_s), 86400)
        when = f"day {days + 1} {rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
        said = [
            f"{name} {value:g}" for name, value in (("which", self.which), ("lasts", self.lasts_s))
        ]
        said += [f"number {self.number}"] * bool(self.number) + [self.more] * bool(self.more)
        return f"{when}  estate {self.estate}  {self.what:<15} {', '.join(said)}"


@dataclass(frozen=True, slots=True)
class PointPlan:
    """One service point: electricity or water, paid by the purse of that number in its estate."""

    commodity: str
    purse: int
    policy: Policy
    draws: tuple[int, ...]
    opening: Decimal
    presses_after_s: float | None


@dataclass(frozen=True, slots=True)
class EstatePlan:
    """One organization with one gateway and one line. tariffs by code; purposes of the purses in their order."""

    points: tuple[PointPlan, ...]
    purposes: tuple[str, ...]
    settle_s: float
    loss: float  # of messages, from 0 to 1
    doubling: float
    slow_s: float  # the longest a message takes
    worker_dies: float
    noise: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is decided beforehand."""

    seed: int
    days: int
    estates: tuple[EstatePlan, ...]
    tariffs: Mapping[str, Mapping[str, Any]]
    weather: tuple[Happening, ...]
    clocks_jump: bool

    @property
    def ends_s(self) -> float:
        return self.days * DAY_S

    @property
    def is_rated_in_parts(self) -> bool:
        """Whether readings are rated again as the nights do it, going on from before, or at the end all at once."""
        return self.seed % 4 == 0
