"""Cycle 周期: days, months or years in a row, as tiers count in them and fixed fees are charged by them."""

from __future__ import annotations

import functools
from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from prepaid.calendar import Calendar, instant, micros
from prepaid.decimals import millionths


class Every(StrEnum):
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Cycle:
    """Periods that follow each other, each from 00:00 of its first day in a zone; they are numbered.

    A month's period begins on day, a year's on day of month. A day that a month does not have (31, or
    29 February) is its last one.
    """

    every: Every
    day: int = 1
    month: int = 1

    def around(self, zone: str, at_us: int) -> tuple[int, int, int]:
        """The period that holds an instant: its number, and where it begins and ends, in microseconds since 1970.

        Raises OverflowError or ValueError in the first and the last year that dates have (1 and 9999).
        """
        local = Calendar(zone).local(instant(at_us)).date()
        match self.every:
            case Every.DAY:
                number = local.toordinal()
            case Every.MONTH:
                number = local.year * 12 + local.month - 1
            case Every.YEAR:
                number = local.year
        while at_us < self._begins(zone, number):
            number -= 1
        while at_us >= self._begins(zone, number + 1):
            number += 1
        return number, self._begins(zone, number), self._begins(zone, number + 1)

    def gone(self, zone: str, at_us: int) -> int:
        """The periods gone by at an instant, in millionths: their number, and the part of this one half-up."""
        number, since, until = self.around(zone, at_us)
        return number * 1_000_000 + millionths(at_us - since, until - since)

    def month_of(self, number: int) -> int:
        """The month in which a period begins, 1 to 12."""
        return self._first_day(number).month

    def _begins(self, zone: str, number: int) -> int:
        return _midnight(zone, self._first_day(number))

    def _first_day(self, number: int) -> date:
        match self.every:
            case Every.DAY:
                return date.fromordinal(number)
            case Every.MONTH:
                year, month = number // 12, number % 12 + 1
            case Every.YEAR:
                year, month = number, self.month
        return date(year, month, min(self.day, monthrange(year, month)[1]))


@functools.lru_cache(maxsize=8192)
def _midnight(zone: str, day: date) -> int:
    return micros(Calendar(zone).begins(day))
