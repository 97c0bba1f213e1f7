"""What the meters' clocks say together: each may be wrong, several that agree are not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge.clocks.trust import Source, Told

READ_WITHIN = timedelta(seconds=2)
"""How far off a time can be for how it was read: meters show whole seconds, and date and time are two reads."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A meter's clock: it showed at (UTC) when ours that does not jump stood at tick."""

    meter: str
    at: datetime
    tick: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """How many meters must agree, within how much, for their time to be believed. Raises ValueError for one."""

    least: int = 2
    within: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        if self.least < 2 or self.within <= timedelta(0):
            raise ValueError(f"no quorum: {self.least} meters within {self.within}")


def agreed(witnesses: Sequence[Witness], quorum: Quorum) -> Told | None:
    """The time that the meters agree on, None where too few do.

    The largest group whose clocks show the same, within the quorum's tolerance, once each is carried to one
    instant; it must have the quorum's number, and be more than half of all that showed a time. Its median
    counts: a clock that the others only just suffer does not move it.
    """
    if not witnesses:
        return None
    tick = max(witness.tick for witness in witnesses)
    shown = sorted(witness.at + timedelta(seconds=tick - witness.tick) for witness in witnesses)
    group: list[datetime] = []
    for first in range(len(shown)):
        within = [at for at in shown[first:] if at - shown[first] <= quorum.within]
        if len(within) > len(group):
            group = within
    if len(group) < quorum.least or 2 * len(group) <= len(shown):
        return None
    median = group[(len(group) - 1) // 2]
    return Told(Source.METERS, median, tick, quorum.within + READ_WITHIN)
