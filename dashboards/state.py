"""What a service point and a room look like to a person: one state each, in words, with an icon and a tone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from dashboards.words import N_
from prepaid.credit import CreditState
from prepaid.money import ZERO, Money
from prepaid.reading import Supply
from prepaid.supply import Why

if TYPE_CHECKING:
    from cloud.services.board import PointCard, RoomCard


class Tone(StrEnum):
    """How a state is coloured. Never the only signal: each state has its icon and words too."""

    GOOD = "good"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"
    NONE = "none"


class Flag(StrEnum):
    """What a room can be found by on the board; the first that a room has is its state."""

    CUT = "cut"  # 已断电
    ARMED = "armed"  # 待合闸
    SWITCHING = "switching"  # 动作中
    HELD = "held"  # 读数存疑
    SILENT = "silent"  # 失联
    OFFLINE = "offline"  # 网关离线
    LOW = "low"  # 余额不足
    NORMAL = "normal"  # 正常
    VACANT = "vacant"  # 未开户


@dataclass(frozen=True, slots=True)
class Look:
    """label is a message id, icon the name of a Tabler icon."""

    label: str
    icon: str
    tone: Tone


FLAGS = {
    Flag.CUT: Look(N_("Cut off"), "plug-connected-x", Tone.BAD),
    Flag.ARMED: Look(N_("Press button"), "hand-finger", Tone.WARN),
    Flag.SWITCHING: Look(N_("Switching"), "refresh", Tone.BUSY),
    Flag.HELD: Look(N_("Reading in doubt"), "zoom-question", Tone.WARN),
    Flag.SILENT: Look(N_("Silent"), "antenna-bars-off", Tone.BAD),
    Flag.OFFLINE: Look(N_("Gateway offline"), "cloud-off", Tone.WARN),
    Flag.LOW: Look(N_("Low balance"), "alert-triangle", Tone.WARN),
    Flag.NORMAL: Look(N_("Normal"), "circle-check", Tone.GOOD),
    Flag.VACANT: Look(N_("No account"), "door", Tone.NONE),
}

ALWAYS_COUNTED = (Flag.CUT, Flag.SILENT, Flag.LOW, Flag.NORMAL)
"""The counts a manager looks for even when they are nought."""

ELECTRICITY = {
    "on": Look(N_("Power on"), "bolt", Tone.GOOD),
    "off": Look(N_("Power off"), "bolt-off", Tone.BAD),
    "armed": Look(N_("Press button to close"), "hand-finger", Tone.WARN),
    "turning-on": Look(N_("Turning power on"), "refresh", Tone.BUSY),
    "turning-off": Look(N_("Cutting power"), "refresh", Tone.BUSY),
    "unknown": Look(N_("Not read yet"), "help", Tone.NONE),
}
WATER = {
    "on": Look(N_("Water on"), "droplet", Tone.GOOD),
    "off": Look(N_("Water off"), "droplet-off", Tone.BAD),
    "armed": Look(N_("Press button to open"), "hand-finger", Tone.WARN),
    "turning-on": Look(N_("Opening valve"), "refresh", Tone.BUSY),
    "turning-off": Look(N_("Closing valve"), "refresh", Tone.BUSY),
    "unknown": Look(N_("Not read yet"), "help", Tone.NONE),
}
REASONS = {
    Why.PROTECTED: N_("protected from cut-off"),
    Why.KEPT: N_("kept on by an operator"),
    Why.FORCED_OFF: N_("cut off by an operator"),
    Why.HELD: N_("reading in doubt"),
    Why.VACANT: N_("vacant, by the site's rule"),
    Why.NO_TARIFF: N_("no tariff"),
    Why.CREDIT: N_("in credit"),
    Why.OVERDRAFT: N_("on overdraft"),
    Why.EMERGENCY: N_("on emergency credit"),
    Why.NO_CREDIT: N_("out of credit"),
    Why.CLOCK: N_("clock in doubt"),
    Why.QUIET: N_("quiet hours"),
    Why.NOT_WARNED: N_("customer not told long enough ago"),
    Why.BRAKED: N_("too many cuts at once"),
    Why.STALE: N_("reading too old"),
    Why.UNCONFIRMED: N_("being read once more"),
    Why.CURRENT: N_("current too high to cut"),
    Why.DWELL: N_("switch has only just moved"),
    Why.STAGGERED: N_("coming back in turn"),
    Why.TAPS: N_("taps to be closed first"),
    Why.LEAK: N_("a leak is suspected"),
}


CREDIT = {
    CreditState.OK: Look(N_("Enough credit"), "circle-check", Tone.GOOD),
    CreditState.LOW: Look(N_("Low balance"), "alert-triangle", Tone.WARN),
    CreditState.EC_OFFERED: Look(N_("Emergency credit can be taken"), "lifebuoy", Tone.WARN),
    CreditState.EC_SELECTED: Look(N_("Emergency credit taken"), "lifebuoy", Tone.WARN),
    CreditState.EC_IN_USE: Look(N_("Supplied on emergency credit"), "lifebuoy", Tone.WARN),
    CreditState.EXHAUSTED: Look(N_("Credit used up"), "battery", Tone.BAD),
}
"""Where a purse stands 余额状态."""


@dataclass(frozen=True, slots=True)
class PointState:
    """key is one of the keys of ELECTRICITY; reason a message id, empty while all is as it should be."""

    key: str
    look: Look
    reason: str
    is_low: bool

    @property
    def is_switching(self) -> bool:
        return self.key.startswith("turning")


def of_point(point: PointCard) -> PointState:
    """What is supplied now, or what is being switched to while wanted and seen differ."""
    key = _supply_key(point)
    is_low = point.purse_id is not None and point.balance <= point.alarm_at
    looks = ELECTRICITY if point.commodity == "electricity" else WATER
    reason = ""
    if point.is_held:
        reason = REASONS[Why.HELD]
    elif is_credit_on_its_way(point):
        reason = N_("credit on its way")
    elif point.why is not None and point.why is not Why.CREDIT:
        reason = REASONS[point.why]
    return PointState(key, looks[key], reason, is_low)


def is_credit_on_its_way(point: PointCard) -> bool:
    """Whether a purse has been filled and its gateway, which decides, has not yet been heard to know."""
    return point.why is Why.NO_CREDIT and point.supply is Supply.OFF and point.balance > ZERO


def _supply_key(point: PointCard) -> str:
    match point.supply, point.wanted:
        case None, _:
            return "unknown"
        case ((Supply.ON | Supply.ARMED), Supply.OFF):
            return "turning-off"
        case Supply.OFF, Supply.ON:
            return "turning-on"
        case Supply.OFF, _:
            return "off"
        case Supply.ARMED, _:
            return "armed"
        case _:
            return "on"


@dataclass(frozen=True, slots=True)
class RoomState:
    """Every flag of a room, the gravest first."""

    flags: tuple[Flag, ...]

    @property
    def look(self) -> Look:
        return FLAGS[self.flags[0]]


_FLAG_OF_KEY = {
    "off": Flag.CUT,
    "armed": Flag.ARMED,
    "turning-on": Flag.SWITCHING,
    "turning-off": Flag.SWITCHING,
}


def of_room(room: RoomCard) -> RoomState:
    found: set[Flag] = set()
    for point in room.points:
        state = of_point(point)
        if state.key in _FLAG_OF_KEY and not (point.purse_id is None and state.key == "off"):
            found.add(_FLAG_OF_KEY[state.key])
        found |= {
            flag
            for flag, is_so in (
                (Flag.HELD, point.is_held),
                (Flag.SILENT, point.is_silent),
                (Flag.OFFLINE, not point.gateway_online),
                (Flag.LOW, state.is_low and state.key != "off"),
            )
            if is_so
        }
    if room.account_id is None or not room.points:
        found.add(Flag.VACANT)
    return RoomState(tuple(flag for flag in Flag if flag in (found or {Flag.NORMAL})))


@dataclass(frozen=True, slots=True)
class Summary:
    """Of some rooms: how many have each flag, and what their purses hold together."""

    rooms: int
    counts: dict[Flag, int]
    prepaid: Money
    owed: Money


def summarize(rooms: Iterable[RoomCard]) -> Summary:
    listed = list(rooms)
    flags = [flag for room in listed for flag in of_room(room).flags]
    # A purse may pay for several service points; its money counts once.
    balances = {
        point.purse_id: point.balance for room in listed for point in room.points if point.purse_id
    }
    return Summary(
        rooms=len(listed),
        counts={flag: flags.count(flag) for flag in Flag},
        prepaid=sum((held for held in balances.values() if held > ZERO), ZERO),
        owed=sum((held for held in balances.values() if held < ZERO), ZERO),
    )
