"""Which time is believed: what a source tells, weighed against what is known already. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

SLACK = timedelta(
    seconds=2
)  # two sources that are no further apart than this, and their errors, agree
LIVE = timedelta(minutes=2)  # how long after its last word a source speaks for itself


class Source(StrEnum):
    """Who told the time, the best first."""

    SYSTEM = "system"  # 系统时钟: the machine's clock, while a time service keeps it
    CLOUD = "cloud"  # 云端时间: signed, in answer to a question of ours
    METERS = "meters"  # 表计时钟: several meters that agree


_ORDER = tuple(Source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a clock is trusted 可信时钟.

    It is off by most_error at most; the machine's own runs drift_ppm millionths wrong at most (a quartz in a
    hot meter room, with room to spare), so that one word holds for a month. No source but the cloud is
    believed that is further than most_back before the latest time that was ever trusted.

    Raises ValueError for a limit below nothing.
    """

    most_error: timedelta = timedelta(minutes=5)
    drift_ppm: int = 100
    most_back: timedelta = timedelta(minutes=10)

    def __post_init__(self) -> None:
        if self.most_error <= timedelta(0) or self.most_back < timedelta(0) or self.drift_ppm < 0:
            raise ValueError(f"no such rules of a clock: {self}")


@dataclass(frozen=True, slots=True)
class Told:
    """A time (UTC) that held when the clock that does not jump stood at tick (seconds), right to within error."""

    source: Source
    at: datetime
    tick: float
    error: timedelta

    def at_tick(self, tick: float) -> datetime:
        """The time at another instant, held over by the clock that does not jump."""
        return self.at + timedelta(seconds=tick - self.tick)

    def error_at(self, tick: float, rules: Rules) -> timedelta:
        """How far off it may be at another instant: the longer ago it was told, the further."""
        return self.error + timedelta(seconds=abs(tick - self.tick)) * rules.drift_ppm / 1_000_000

    def moved_to(self, tick: float, rules: Rules) -> Told:
        """The same, said of another instant."""
        return replace(self, at=self.at_tick(tick), tick=tick, error=self.error_at(tick, rules))

    def is_live(self, tick: float) -> bool:
        return timedelta(seconds=tick - self.tick) <= LIVE


@dataclass(frozen=True, slots=True)
class Weighed:
    """What is known after a source has spoken; remark is for a person, where it contradicts what was known."""

    known: Told | None
    remark: str | None = None


def weigh(known: Told | None, told: Told, *, floor: datetime | None, rules: Rules) -> Weighed:
    """What is known once a source has told the time; floor is the latest time that was ever trusted.

    Of two that agree, the machine's clock counts while it is kept, else the more certain. Of two that
    contradict each other the better source counts; but a word of the cloud counts more than a better one
    that is only held over. What meters say never overthrows what is certain enough to be trusted.
    """
    if floor is not None and told.source is not Source.CLOUD and told.at < floor - rules.most_back:
        return Weighed(
            known, f"{told.source} says {told.at}, but {floor} has been; it is not believed"
        )
    if known is None or known.error_at(told.tick, rules) > rules.most_error:
        return Weighed(told)
    error, apart = known.error_at(told.tick, rules), abs(known.at_tick(told.tick) - told.at)
    is_as_good = _ORDER.index(told.source) <= _ORDER.index(known.source)
    if apart <= error + told.error + SLACK:
        if known.source is Source.SYSTEM and known.is_live(told.tick):
            return Weighed(told if told.source is Source.SYSTEM else known)
        is_better = told.source is Source.SYSTEM or told.error < error
        return Weighed(told if is_better else known)
    if is_as_good or (told.source is Source.CLOUD and not known.is_live(told.tick)):
        return Weighed(
            told, f"{told.source} says {told.at}, {apart} off what {known.source} said; it counts"
        )
    return Weighed(
        known,
        f"{told.source} says {told.at}, {apart} off what {known.source} said; it does not count",
    )
