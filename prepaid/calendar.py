"""Civil days and hours of a place: which hours of which days a rule means, and the instants at which it cuts time.

A day is the date that clocks there show. So a day of daylight saving time has 23 or 25 hours, an hour
that is skipped is in no rule, and an hour that comes twice is in its rules twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

EVERY_MONTH = frozenset(range(1, 13))
MINUTES = 24 * 60

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_MINUTE_US = 60_000_000
_KEPT_PARTS = 256
DAY_US = MINUTES * _MINUTE_US


class DayKind(StrEnum):
    """What a day counts as."""

    WORKDAY = "workday"  # 工作日, with weekend days that are worked 调休
    WEEKEND = "weekend"  # 周末
    HOLIDAY = "holiday"  # 节假日


@dataclass(frozen=True, slots=True)
class Hours:
    """Some hours of some days 时段: from start to before end, in minutes of the local day (0 to 1440).

    A start later than the end runs over midnight: 1320 to 360 is from 22:00 to 24:00 and from 00:00 to
    06:00, each of a day that is meant. days are a kind of day, ISO weekdays (1 Monday to 7 Sunday, listed
    holidays like any other), or None for every day.

    Raises ValueError if the hours are none at all, or no such months, weekdays or minutes exist.
    """

    start: int
    end: int
    months: frozenset[int] = EVERY_MONTH
    days: DayKind | frozenset[int] | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.start < MINUTES and 0 <= self.end <= MINUTES):
            raise ValueError(f"no minutes of a day: from {self.start} to {self.end}")
        if self.start == self.end:
            raise ValueError(f"from minute {self.start} to itself is no time at all")
        if not self.months or not self.months <= EVERY_MONTH:
            raise ValueError(f"no months: {sorted(self.months)}")
        if isinstance(self.days, frozenset) and not (self.days and self.days <= set(range(1, 8))):
            raise ValueError(f"no ISO weekdays: {sorted(self.days)}")

    def is_on(self, *, month: int, weekday: int, kind: DayKind) -> bool:
        """Whether such a day is meant."""
        if month not in self.months:
            return False
        if isinstance(self.days, DayKind):
            return self.days is kind
        return self.days is None or weekday in self.days

    def is_at(self, minute: int) -> bool:
        """Whether a minute of a day that is meant is."""
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of a place: zone is an IANA name, holidays its 节假日, workdays its worked weekend days 调休.

    Raises zoneinfo.ZoneInfoNotFoundError or ValueError, when used, if there is no such zone.
    """

    zone: str
    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()

    def kind(self, day: date) -> DayKind:
        """What a day counts as. A listed holiday is nothing else."""
        if day in self.holidays:
            return DayKind.HOLIDAY
        if day in self.workdays or day.isoweekday() <= 5:
            return DayKind.WORKDAY
        return DayKind.WEEKEND

    def local(self, at: datetime) -> datetime:
        """What a clock there shows at an instant."""
        return at.astimezone(ZoneInfo(self.zone))

    def begins(self, day: date) -> datetime:
        """The instant, in UTC, at which a local day begins: 00:00, or where clocks skip it the next time there is."""
        zone = ZoneInfo(self.zone)
        midnight = datetime.combine(day, time(), zone).astimezone(UTC)
        if midnight.astimezone(zone).date() == day and midnight.astimezone(zone).time() == time():
            return midnight
        # 00:00 is skipped: the day begins with the transition, which lies before or at this instant.
        earlier = midnight - timedelta(hours=24)
        return instant(self._transition(micros(earlier), micros(midnight)))

    def offsets(self, day: int) -> list[tuple[int, int, int]]:
        """A UTC day in stretches of one offset from UTC: (from, to, offset), all in microseconds since 1970.

        day counts from 1970-01-01.
        """
        begin, end = day * DAY_US, (day + 1) * DAY_US
        before, after = self._offset(begin), self._offset(end)
        if before == after:
            return [(begin, end, before)]
        change = self._transition(begin, end)
        return [(begin, change, before), (change, end, after)]

    def _offset(self, at_us: int) -> int:
        offset = instant(at_us).astimezone(ZoneInfo(self.zone)).utcoffset()
        assert offset is not None  # the zone of a ZoneInfo has an offset
        return offset // _MICROSECOND

    def _transition(self, before_us: int, after_us: int) -> int:
        """The first second of the offset that holds at after_us; another holds at before_us."""
        second = 1_000_000
        low, high = before_us // second, -(-after_us // second)
        new = self._offset(high * second)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle * second) == new:
                high = middle
            else:
                low = middle
        return high * second


@dataclass(frozen=True, slots=True)
class Timetable:
    """Rules in order, on a calendar: the first that matches an instant holds then, or None where none does."""

    calendar: Calendar
    rules: tuple[Hours, ...]
    _days: dict[tuple[int, int, DayKind], list[tuple[int, int | None]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _patterns: dict[tuple[int, ...], list[tuple[int, int | None]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _parts: dict[tuple[int, ...], list[tuple[int, int | None]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def at(self, at: datetime) -> int | None:
        """The index of the rule that holds at an instant, or None."""
        local = self.calendar.local(at)
        minute = local.hour * 60 + local.minute
        return _first(self._meant(local.date()), minute)

    def stretches(
        self, since: datetime, until: datetime
    ) -> Iterator[tuple[datetime, datetime, int | None]]:
        """The time from since to until, cut where another rule begins to hold: (from, to, index), in order, UTC.

        Nothing where until is not after since.
        """
        since_us, until_us = micros(since), micros(until)
        begin, held = since_us, self.at(since)
        for day in range(since_us // DAY_US, -(-until_us // DAY_US)):
            for start, index in self.day(day):
                if since_us < start < until_us and index != held:
                    yield instant(begin), instant(start), held
                    begin, held = start, index
        if since_us < until_us:
            yield instant(begin), instant(until_us), held

    def day(self, day: int) -> list[tuple[int, int | None]]:
        """A UTC day cut where another rule begins to hold: (from in microseconds since 1970, index).

        day counts from 1970-01-01; the first entry is at its beginning.
        """
        found: list[tuple[int, int | None]] = []
        for begin, end, offset in self.calendar.offsets(day):
            local = begin + offset
            first = local // DAY_US
            days = [
                self._pattern(date.fromordinal(_EPOCH_ORDINAL + ordinal))
                for ordinal in range(first, -(-(end + offset) // DAY_US))
            ]
            for start, index in self._joined(days, local - first * DAY_US, end - begin):
                if not found or found[-1][1] != index:
                    found.append((begin + start, index))
        return found

    def _joined(
        self, days: list[list[tuple[int, int | None]]], since: int, length: int
    ) -> list[tuple[int, int | None]]:
        """A part of the time of local days in a row: (microseconds after its beginning, index)."""
        key = (since, length, *map(id, days))  # each is kept in _patterns for good
        known = self._parts.get(key)
        if known is None:
            if len(self._parts) >= _KEPT_PARTS:
                self._parts.clear()
            known = self._parts[key] = []
            for number, pattern in enumerate(days):
                for start, index in pattern:
                    after = number * DAY_US + start - since
                    if after <= 0:
                        known[:] = [(0, index)]
                    elif after < length and known[-1][1] != index:
                        known.append((after, index))
        return known

    def local_day(self, day: date) -> list[tuple[int, int | None]]:
        """A local day as its clocks show it, cut where another rule begins to hold: (minute of the day, index)."""
        return [(start // _MINUTE_US, index) for start, index in self._pattern(day)]

    def _meant(self, day: date) -> list[tuple[int, Hours]]:
        month, weekday, kind = day.month, day.isoweekday(), self.calendar.kind(day)
        return [
            (index, rule)
            for index, rule in enumerate(self.rules)
            if rule.is_on(month=month, weekday=weekday, kind=kind)
        ]

    def _pattern(self, day: date) -> list[tuple[int, int | None]]:
        """A local day cut where another rule begins to hold: (microseconds after 00:00, index)."""
        key = (day.month, day.isoweekday(), self.calendar.kind(day))
        known = self._days.get(key)
        if known is None:
            meant = self._meant(day)
            rules = tuple(index for index, _ in meant)
            known = self._patterns.get(rules)
            if known is None:
                known = self._patterns[rules] = _cut(meant)
            self._days[key] = known
        return known


def _cut(meant: list[tuple[int, Hours]]) -> list[tuple[int, int | None]]:
    edges = {0}.union(*({rule.start, rule.end % MINUTES} for _, rule in meant))
    found: list[tuple[int, int | None]] = []
    for minute in sorted(edges):
        index = _first(meant, minute)
        if not found or found[-1][1] != index:
            found.append((minute * _MINUTE_US, index))
    return found


def _first(meant: list[tuple[int, Hours]], minute: int) -> int | None:
    return next((index for index, rule in meant if rule.is_at(minute)), None)


def micros(at: datetime) -> int:
    """An instant in whole microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def instant(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)
