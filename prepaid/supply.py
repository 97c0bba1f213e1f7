"""What supply should this service point have now, and why.

Two questions, answered one after the other: which supply is wanted (wanted), and whether it may be brought
about now (_cut_waits, _restore_waits). docs/supply.md holds the same rules as a table, which the tests run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from prepaid import money, quantity
from prepaid.credit import cut_level
from prepaid.money import Money
from prepaid.point import Policy, Restore
from prepaid.reading import Supply
from prepaid.record import record

AT_ONCE = timedelta(0)
AGREEING = 2
"""A cut needs so many fresh readings in a row that agree."""


class Why(StrEnum):
    """The rule that decided."""

    # Which supply is wanted.
    PROTECTED = "protected"  # 保电
    KEPT = "kept"  # 强制保电: kept supplied by an operator
    FORCED_OFF = "forced-off"  # 强制拉闸: cut off by an operator
    LEAK = "leak"  # 疑似漏水: too much flowed when the valve was opened, and nobody has closed the taps yet
    HELD = "held"  # 读数存疑: left as it is until an operator has looked
    VACANT = "vacant"  # 空置: nobody pays, the site's rule says what is supplied
    NO_TARIFF = "no-tariff"  # 无价格方案: nothing can be charged
    CREDIT = "credit"  # 余额充足
    OVERDRAFT = "overdraft"  # 透支用电
    EMERGENCY = "emergency"  # 应急用电
    NO_CREDIT = "no-credit"  # 欠费
    # Why a cut waits.
    CLOCK = "clock"  # 时钟不可信: what the clock decides cannot be decided
    QUIET = "quiet"  # 免停时段
    NOT_WARNED = "not-warned"  # 告知未满: the customer was not told long enough ago
    BRAKED = "braked"  # 批量拉闸保护: too many cuts at once
    STALE = "stale"  # 读数过期
    UNCONFIRMED = "unconfirmed"  # 待复读: to be read once more
    CURRENT = "current"  # 电流过大
    # Why a cut or a restoration waits.
    DWELL = "dwell"  # 动作间隔: the switch has only just moved
    # Why a restoration waits.
    STAGGERED = "staggered"  # 错峰送电: power has come back, one point after another
    TAPS = "taps"  # 待确认用水点已关闭: an open tap would flood the room


ASKS_TAPS = (Why.TAPS, Why.LEAK)
"""The rules that end once somebody has said that all taps are closed."""


@dataclass(frozen=True, slots=True)
class Override:
    """A supply that an operator has pinned until an instant (UTC): OFF 强制拉闸 or ON 保电. why is for people.

    Raises ValueError if it pins ARMED, or if until has no time zone.
    """

    supply: Supply
    until: datetime
    by: str
    why: str

    def __post_init__(self) -> None:
        if self.supply is Supply.ARMED:
            raise ValueError("an override pins ON or OFF; how supply returns is the policy's")
        if self.until.tzinfo is None:
            raise ValueError(f"the end of an override needs a time zone: {self.until}")


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the gateway knows of a service point when it decides.

    now is UTC, by a wall clock that is_clock_trusted says is right; how long ago something was (…_ago,
    off_for) is measured by a clock that does not jump. None is "never", or "it cannot be known".
    """

    now: datetime
    is_clock_trusted: bool
    # The purse that pays.
    available: Money  # after all charges
    is_emergency_taken: bool  # until credit.is_repaid
    warned_ago: timedelta | None  # since the customer was given the final alarm, in this shortage
    # The readings.
    is_held: bool
    is_leaking: bool  # a leak was found behind the valve (prepaid.leak), and that alarm is on
    has_tariff: bool
    read_ago: timedelta | None  # since the last good reading
    agreeing: int  # how many fresh readings in a row agree, the last one counted
    # What people have decided. Overrides that are known to have ended are left out.
    overrides: tuple[Override, ...]  # in the order in which they were given
    is_braked: bool  # Brake.is_on, of the site
    are_taps_closed: bool  # the customer has said so, since the supply went off
    # The switch.
    has_switch: bool  # a meter without one is decided for, but never commanded
    seen: Supply | None
    current_a: Decimal | None  # what flows through it, in ampere; negative where it is fed back
    put_off: int  # how often this cut was put off for the current
    switched_ago: timedelta | None  # since it last moved
    off_for: timedelta | None  # how long it has been off
    power_back_ago: timedelta | None  # since power returned to the building
    place: int  # of this point among those restored after it, from 0
    vacant: Supply | None = None  # what the site supplies while nobody pays; None: somebody pays

    def __post_init__(self) -> None:
        money.typed(self.available, "what is available")
        if self.current_a is not None:
            quantity.exact(self.current_a, "a current")


@record
@dataclass(frozen=True, slots=True)
class Desired:
    """The supply to bring about now, None where nothing may be changed, and the rule that says so.

    again_in is when it must be decided anew at the latest: AT_ONCE by another reading, None with the next
    one. is_alarm: a person must be told, because waiting alone will not end it.
    """

    supply: Supply | None
    why: Why
    again_in: timedelta | None = None
    is_alarm: bool = False


def desired(policy: Policy, situation: Situation) -> Desired:
    """The supply that a service point should be given now. Decides anew each time; remembers nothing.

    Where it is so already, that is the answer; else what stands in the way, if anything does. A caller who
    is about to cut for want of credit (OFF, NO_CREDIT) notes it with the site's Brake first.
    """
    want = wanted(policy, situation)
    if is_satisfied(want, situation.seen, policy.restore, has_switch=situation.has_switch):
        return want
    if want.supply is Supply.ON:
        waits = _restore_waits(policy, situation)
    elif want.why is Why.NO_CREDIT:
        waits = _money_waits(policy, situation) or _cut_waits(policy, situation)
    else:
        waits = _cut_waits(policy, situation)
    return waits or want


def wanted(policy: Policy, situation: Situation) -> Desired:
    """Which supply people, evidence and money want, in this order, whether or not it may be brought about now.

    Where nobody pays neither money nor a reading's doubt is asked.

    A protected point is cut by nobody; to cut it, end its protection first, as a meter told to protect
    (保电) demands as well. Of overrides the last that was given counts.
    """
    override = _in_force(situation)
    if _is_protected(policy, situation):
        return Desired(Supply.ON, Why.PROTECTED)
    if override is not None:
        return _by_hand(override, situation)
    if situation.is_leaking and not situation.are_taps_closed:
        return Desired(Supply.OFF, Why.LEAK, is_alarm=True)
    if situation.vacant is not None:
        return Desired(situation.vacant, Why.VACANT)
    if situation.is_held:
        return Desired(None, Why.HELD, is_alarm=True)
    if not situation.has_tariff:
        return Desired(None, Why.NO_TARIFF, is_alarm=True)
    return _by_money(policy, situation)


def _by_hand(override: Override, situation: Situation) -> Desired:
    """What the override in force wants. A doubtful clock ends none and begins none: somebody may be at work
    on a line that was cut off by hand, so it is neither cut nor restored until it is known what holds."""
    if situation.is_clock_trusted:
        again_in = override.until - situation.now
        if override.supply is Supply.ON:
            return Desired(Supply.ON, Why.KEPT, again_in=again_in)
        return Desired(Supply.OFF, Why.FORCED_OFF, again_in=again_in)
    if any(given.supply is Supply.OFF for given in situation.overrides):
        return Desired(None, Why.CLOCK, is_alarm=True)
    return Desired(Supply.ON, Why.KEPT)


def _by_money(policy: Policy, situation: Situation) -> Desired:
    available = situation.available
    if available <= cut_level(policy, is_emergency_taken=situation.is_emergency_taken):
        return Desired(Supply.OFF, Why.NO_CREDIT)
    if available > policy.cut_at:
        return Desired(Supply.ON, Why.CREDIT)
    if available > policy.cut_at - policy.overdraft:
        return Desired(Supply.ON, Why.OVERDRAFT)
    return Desired(Supply.ON, Why.EMERGENCY)


def _money_waits(policy: Policy, situation: Situation) -> Desired | None:
    """What keeps a cut for want of credit from being made now."""
    if not situation.is_clock_trusted:
        return Desired(None, Why.CLOCK, is_alarm=True)
    if policy.quiet is not None and (end := policy.quiet.until(situation.now)) is not None:
        return Desired(None, Why.QUIET, again_in=end - situation.now)
    if (left := _left(policy.notice, situation.warned_ago)) > AT_ONCE:
        return Desired(None, Why.NOT_WARNED, again_in=left)
    if situation.is_braked:
        return Desired(None, Why.BRAKED, is_alarm=True)
    if situation.read_ago is None or situation.read_ago > policy.fresh_for:
        return Desired(None, Why.STALE, again_in=AT_ONCE, is_alarm=True)
    if situation.agreeing < AGREEING:
        return Desired(None, Why.UNCONFIRMED, again_in=AT_ONCE)
    return None


def _cut_waits(policy: Policy, situation: Situation) -> Desired | None:
    """What keeps any cut from being made now, an operator's too."""
    current_a, most_a = situation.current_a, policy.max_cut_current_a
    if current_a is not None and most_a is not None and abs(current_a) > most_a:
        is_alarm = situation.put_off >= policy.current_tries
        return Desired(None, Why.CURRENT, again_in=policy.current_again, is_alarm=is_alarm)
    return _dwells(policy, situation)


def _restore_waits(policy: Policy, situation: Situation) -> Desired | None:
    """What keeps the supply from being given back now."""
    # How long it was off may not be known; then it is asked as well.
    off_for = situation.off_for if situation.off_for is not None else timedelta.max
    is_long = policy.ask_after is not None and off_for > policy.ask_after
    if is_long and not situation.are_taps_closed:
        return Desired(None, Why.TAPS)
    if situation.power_back_ago is not None:
        left = situation.place * policy.stagger - situation.power_back_ago
        if left > AT_ONCE:
            return Desired(None, Why.STAGGERED, again_in=left)
    return _dwells(policy, situation)


def _dwells(policy: Policy, situation: Situation) -> Desired | None:
    if situation.switched_ago is not None and situation.switched_ago < policy.dwell:
        return Desired(None, Why.DWELL, again_in=policy.dwell - situation.switched_ago)
    return None


def _left(least: timedelta, ago: timedelta | None) -> timedelta:
    """How much of a least time is still to pass since something, all of it if that never was."""
    return least - (ago if ago is not None else AT_ONCE)


def _is_protected(policy: Policy, situation: Situation) -> bool:
    """While the clock is in doubt no protection ends."""
    end = policy.protected_until
    return policy.is_protected and (
        end is None or situation.now < end or not situation.is_clock_trusted
    )


def _in_force(situation: Situation) -> Override | None:
    """The last override that was given and has not ended; while the clock is in doubt none ends."""
    for override in reversed(situation.overrides):
        if situation.now < override.until or not situation.is_clock_trusted:
            return override
    return None


def is_satisfied(want: Desired, seen: Supply | None, restore: Restore, *, has_switch: bool) -> bool:
    """Whether the supply seen is the one wanted, so that nothing is left to be done by us.

    Where the customer closes the relay, ARMED is as far as we go. A supply that cannot be seen (None) is
    not the one wanted, unless the meter has no switch to be seen.
    """
    if want.supply is None or not has_switch:
        return True
    if want.supply is Supply.ON and restore is Restore.ALLOW_CLOSE:
        return seen in (Supply.ON, Supply.ARMED)
    return seen is want.supply
