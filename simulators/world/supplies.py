"""The supply that a point should have: prepaid.supply, reckoned again by what is really so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prepaid.point import Policy
from prepaid.reading import Supply
from simulators.world.machine import Machine
from simulators.world.points import Point

if TYPE_CHECKING:
    from simulators.world.truth import Truth

QUIET_FROM, QUIET_TO, OFFSET = 22, 7, timedelta(hours=8)  # as the plan has it
CLOCK_OFF = timedelta(minutes=6)  # a clock that is trusted may be wrong by five


def wanted(truth: Truth, machine: Machine, point: Point, *, at_least_fen: int = 0) -> Supply | None:
    """The supply that a point should have, None where it may be either."""
    assert machine.store is not None
    policy, now = point.policy, truth.now()
    if policy.is_protected:
        return Supply.ON
    override = machine.store.override(point.point.id)
    if override is not None and override.until > now + CLOCK_OFF:
        if override.supply is Supply.OFF and policy.max_cut_current_a is not None:
            return None  # what flows may be too much to be cut
        if override.supply is Supply.ON and asks_for_taps(point):
            return None
        return override.supply
    if override is not None and override.until > now - CLOCK_OFF:
        return None
    available, level = truth.available(point.point.purse), level_of(machine, point)
    if available > level + at_least_fen:
        return None if asks_for_taps(point) else Supply.ON
    if available > level or at_least_fen:
        return None  # a cut for want of credit has a time of its own
    return None if is_quiet(policy, now) else Supply.OFF


def level_of(machine: Machine, point: Point) -> int:
    assert machine.store is not None
    assert point.point.purse is not None
    is_lent = machine.store.lent(point.point.purse) is not None
    return cut_fen(point.policy, is_lent=is_lent)


def asks_for_taps(point: Point) -> bool:
    """Whether its supply may wait for an answer about its taps: it asks for one, and is off."""
    return point.policy.ask_after is not None and point.meter.is_off


def is_quiet(policy: Policy, now: datetime) -> bool:
    hour = (now + OFFSET).hour
    return policy.quiet is not None and (hour >= QUIET_FROM or hour < QUIET_TO)


def cut_fen(policy: Policy, *, is_lent: bool) -> int:
    """The balance at which a purse is cut: prepaid.credit.cut_level, reckoned again."""
    level = policy.cut_at.fen - policy.overdraft.fen
    if policy.emergency is not None and (policy.emergency.is_automatic or is_lent):
        level -= policy.emergency.amount.fen
    return level
