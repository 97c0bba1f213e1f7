"""Whether a meter's clock is right, is to be set, or is a person's matter; and when it may be set. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from edge.clocks.witness import Quorum
from prepaid.calendar import micros
from prepaid.point import Meter
from prepaid.tariff import Tariff

LARGEST = timedelta(minutes=5)
"""A meter takes no larger correction (DL/T 645-2007, broadcast time)."""

CERTAIN = timedelta(seconds=15)  # our own time must be no further off to set others by it
MARGIN = timedelta(
    minutes=6
)  # from what hangs on the time of day; more than the largest correction
HALF_HOUR = timedelta(minutes=30)
_MINUTES = re.compile(r"[+-]?[0-9]{1,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRules:
    """What is done about meters' clocks. zone is what they show, where their own settings do not say."""

    zone: ZoneInfo
    quorum: Quorum
    sets_meters: bool  # 广播校时
    sets_by_address: bool  # those that no broadcast reaches
    set_from: timedelta  # how far off a clock is left alone


@dataclass(frozen=True, slots=True)
class MeterClock:
    """A meter's clock as last read: how far ahead of ours it was then, and on which day it was last set."""

    at: datetime
    ahead: timedelta
    set_on: date | None


class Verdict(StrEnum):
    RIGHT = "right"
    OFF = "off"  # to be set
    WRONG = "wrong"  # further off than it can be set: a person must look
    UNSURE = "unsure"  # our own time is not certain enough to tell


def judge(ahead: timedelta, *, error: timedelta, rules: ClockRules) -> Verdict:
    """What a meter's clock is that is so far ahead of ours, which is right to within error."""
    apart = abs(ahead)
    if apart - error > LARGEST:
        return Verdict.WRONG
    if error > CERTAIN:
        return Verdict.RIGHT if apart + error <= LARGEST else Verdict.UNSURE
    if apart > rules.set_from:
        return Verdict.OFF if apart + error <= LARGEST else Verdict.UNSURE
    return Verdict.RIGHT


def may_set(local: datetime, tariffs: Iterable[Tariff]) -> bool:
    """Whether clocks may be set at this local time: nothing begins or ends near it.

    Full and half hours are where meters change bands, freeze, settle, and begin a day; beside them what the
    tariffs change at.
    """
    since_half = timedelta(minutes=local.minute % 30, seconds=local.second)
    if not MARGIN <= since_half <= HALF_HOUR - MARGIN:
        return False
    since, until = micros(local - MARGIN), micros(local + MARGIN)
    return all(len(tariff.stretches(since, until)) == 1 for tariff in tariffs)


def zone_of(meter: Meter, rules: ClockRules) -> tzinfo:
    """The zone of what a meter's clock shows: its own setting "utc_offset_min", else that of the rules."""
    minutes = meter.settings.get("utc_offset_min", "")
    if _MINUTES.fullmatch(minutes) and abs(int(minutes)) < 24 * 60:
        return timezone(timedelta(minutes=int(minutes)))
    return rules.zone


def read_as(shown: datetime, zone: tzinfo) -> datetime:
    """What a meter's clock shows, as an instant (UTC)."""
    return shown.replace(tzinfo=zone).astimezone(UTC)
