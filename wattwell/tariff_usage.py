"""Readings from a file, as the rules take them: which of their intervals are meant, and how each is explained."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from prepaid import rating
from prepaid.point import Meter, Policy, ServicePoint
from prepaid.rating import Explanation
from prepaid.reading import Reading
from prepaid.tariff import Tariff
from wattwell.tariff_files import Usage

_METER = Meter("", "", "", "", digits=18, step=Decimal("0.01"), max_per_hour=Decimal(1))


class NoSuchInterval(Exception):
    """The readings have no such interval. Says which there are; ask for one of those."""


def readings(usage: Usage) -> list[Reading]:
    return [Reading("", at, register, None) for at, register in usage]


def numbered(usage: Usage, number: int | None) -> int:
    """The interval with a number from 1, or the last one. Raises NoSuchInterval."""
    count = len(usage) - 1
    if count == 0:
        raise NoSuchInterval("There is one reading, and it takes two to have used something.")
    if number is not None and number > count:
        raise NoSuchInterval(f"There is no interval {number}; the readings have {count}, from 1.")
    return number or count


def between(usage: Usage, tariff: Tariff, *, since: str | None, until: str | None) -> list[int]:
    """The numbers of the intervals that have a part from since to before until. Raises NoSuchInterval."""
    numbered(usage, None)
    zone = ZoneInfo(tariff.timezone)
    begin = _instant(since, zone) if since is not None else usage[0][0]
    end = _instant(until, zone) if until is not None else usage[-1][0]
    if since is not None and until is not None and begin >= end:
        raise NoSuchInterval(f"{since} is not before {until}.")
    found = [
        number
        for number in range(1, len(usage))
        if usage[number - 1][0] < end and begin < usage[number][0]
    ]
    if not found:
        first, last = (usage[place][0].astimezone(zone) for place in (0, -1))
        raise NoSuchInterval(
            f"Nothing was read in that time: the readings are from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}."
        )
    return found


def _instant(written: str, zone: ZoneInfo) -> datetime:
    """A time as people write it; where they leave out the distance from UTC, the zone's own."""
    try:
        given = datetime.fromisoformat(written)
        return (given if given.tzinfo else given.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NoSuchInterval(
            f"{written!r} is no time; write it like 2026-05-01 or 2026-05-01T10:30."
        ) from None


def explained(
    tariff: Tariff,
    usage: Usage,
    chosen: Collection[int],
    *,
    persons: int | None,
    households: int,
) -> list[Explanation]:
    """The chosen intervals explained, each with all that came before it."""
    point = ServicePoint(
        UUID(int=0),
        "",
        _METER,
        tariff.code,
        UUID(int=0),
        Policy(),
        persons=persons,
        households=households,
    )
    first, *later = readings(usage)
    position, found = rating.open_position(point, tariff, first), []
    for number, reading in enumerate(later, start=1):
        moved = reading.total - position.reading.total
        if number in chosen:
            found.append(rating.explain(point, tariff, position, reading, moved=moved))
        position, _ = rating.rate(point, tariff, position, reading, moved=moved)
    return found
