"""Quiet times 免停时段: hours and days in which nobody is cut off for want of credit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prepaid.calendar import Calendar, Hours, Timetable

FORESEEN = timedelta(days=31)
"""How far ahead the end of a quiet time is looked for; what lasts longer is looked at again then."""

_WEEK_AND_DAY = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Quiet hours by rule, and whole quiet days by date (examinations, heat, frost), both as clocks there show.

    Raises ValueError if the calendar's zone does not exist.
    """

    calendar: Calendar
    hours: tuple[Hours, ...] = ()
    days: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.calendar.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Asia" is a folder of them
            raise ValueError(f"there is no time zone called {self.calendar.zone}") from None

    def until(self, now: datetime) -> datetime | None:
        """When the quiet time that holds now ends (UTC), at most FORESEEN ahead; None if none holds.

        Accounting goes on meanwhile. At the end it is decided anew, from what is so then.
        """
        timetable, at = Timetable(self.calendar, self.hours), now
        while at - now < FORESEEN:
            day = self.calendar.local(at).date()
            if day in self.days:
                at = self.calendar.begins(day + timedelta(days=1))
            elif timetable.at(at) is not None:
                at = _end(timetable, at)
            else:
                break
        return min(at, now + FORESEEN) if at > now else None


def _end(timetable: Timetable, at: datetime) -> datetime:
    """The first instant from here at which no rule holds, at most a week and a day ahead."""
    for begin, _, rule in timetable.stretches(at, at + _WEEK_AND_DAY):
        if rule is None:
            return begin
    return at + _WEEK_AND_DAY
