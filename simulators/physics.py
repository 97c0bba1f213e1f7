"""What all simulated meters are made of: a load, a register, a clock that drifts, a battery that runs down.

Plain objects without I/O. Instants are microseconds of the bench's own clock, which is an argument, so that a
day passes in a test at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

Clock = Callable[[], int]
"""Microseconds that have passed for the bench since it was first switched on; never backwards."""

LocalTime = Callable[[], datetime]
"""The true time where the meters are, without a zone."""

State = dict[str, object]
"""What survives of a meter when its program ends, as JSON has it."""

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
QUARTER_HOUR = 900 * SECOND
UNIT = 1000 * 3600 * SECOND  # 1 kWh in W·µs, and 1 m3 in L/h·µs
STEP = UNIT // 100
MAINS_V = 220
EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Load:
    """What a household draws: in each quarter of an hour base plus a part of varying, by seed.

    In watts, or in litres an hour: thousandths of the register's unit, for an hour.
    """

    base: int
    varying: int
    seed: int

    def at(self, quarter: int) -> int:
        """The draw in the n-th quarter of an hour; the same whenever it is asked."""
        return self.base + _part(self.seed, quarter, self.varying)


@lru_cache(maxsize=65536)
def _part(seed: int, quarter: int, varying: int) -> int:
    return random.Random(f"{seed}:{quarter}").randint(0, varying) if varying else 0


class Register:
    """A cumulative register 示数 of six whole digits that shows steps of 0.01 and loses nothing below them.

    time_scale lets physics run faster than the clock: in one second of the clock the load draws what it
    would in time_scale seconds.
    """

    def __init__(self, opening: Decimal, load: Load, time_scale: int) -> None:
        self.load = load
        self.time_scale = time_scale
        self.total = int(opening * UNIT)

    def run(self, since: int, until: int) -> int:
        """Let the load draw from one instant of the clock to another; what it drew."""
        drawn = self.drawn(since, until)
        self.total += drawn
        return drawn

    def drawn(self, since: int, until: int) -> int:
        """What the load draws between two instants, in W·µs or L/h·µs."""
        now, end = since * self.time_scale, until * self.time_scale
        drawn = 0
        while now < end:
            quarter = now // QUARTER_HOUR
            stop = min(end, (quarter + 1) * QUARTER_HOUR)
            drawn += self.load.at(quarter) * (stop - now)
            now = stop
        return drawn

    def draw(self, at: int) -> int:
        """The load at an instant of the clock."""
        return self.load.at(at * self.time_scale // QUARTER_HOUR)

    def steady_until(self, at: int) -> int:
        """The instant up to which the load stays as it is."""
        quarter = at * self.time_scale // QUARTER_HOUR
        return -(-(quarter + 1) * QUARTER_HOUR // self.time_scale)

    @property
    def shown(self) -> Decimal:
        """kWh or m3 as read out; behind 999999.99 stands 0."""
        return shown(self.total)


def shown(total: int) -> Decimal:
    """W·µs or L/h·µs as a register of six whole digits shows them."""
    return Decimal(total // STEP % 10**8).scaleb(-2)


class OwnClock:
    """The clock in a meter: error ahead of the true time when it was last set, and running away since.

    A drift of one billionth is 86 microseconds in a day; time_scale makes it so many times faster.
    """

    def __init__(
        self,
        clock: Clock,
        local_time: LocalTime,
        *,
        error: timedelta,
        drift_ppb: int,
        time_scale: int,
    ) -> None:
        self._clock = clock
        self._local_time = local_time
        self._drift = drift_ppb * time_scale
        self._error = error // MICROSECOND
        self._set_at = clock()
        self._true = 0  # microseconds of the true time since EPOCH when the clock stood at 0
        self.look()

    def look(self) -> int:
        """The instant of the bench's clock; from now on `at` follows the true time as it is now."""
        now = self._clock()
        self._true = (self._local_time() - EPOCH) // MICROSECOND - now
        return now

    def error_at(self, at: int) -> timedelta:
        """How far the meter's clock is ahead of the true time."""
        return timedelta(microseconds=self._error + self._drift * (at - self._set_at) // 10**9)

    def set_error(self, error: timedelta, at: int) -> None:
        """The clock was set right, or wrong, at an instant."""
        self._error = error // MICROSECOND
        self._set_at = at

    def microseconds(self, at: int) -> int:
        """What the meter's clock shows at an instant, since EPOCH."""
        return self._true + at + self._error + self._drift * (at - self._set_at) // 10**9

    def at(self, at: int) -> datetime:
        """What the meter's clock shows at an instant, without a zone."""
        return EPOCH + timedelta(microseconds=self.microseconds(at))

    def state(self) -> list[int]:
        return [self._error, self._set_at]

    def resume(self, state: object) -> None:
        """Raises ValueError if it is no state of a clock."""
        match state:
            case [int(error), int(set_at)]:
                self._error, self._set_at = error, set_at
            case other:
                raise ValueError(f"clock is {other!r}")


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery that lasts so many days of physics from when the bench was first switched on; None: for ever."""

    days: int | None
    time_scale: int

    LOW = 100
    FULL = 1000

    def left(self, at: int) -> int:
        """Thousandths of its charge at an instant of the clock."""
        if self.days is None:
            return self.FULL
        used = at * self.time_scale * self.FULL // (self.days * DAY) if self.days else self.FULL
        return max(0, self.FULL - used)

    def is_low(self, at: int) -> bool:
        """A tenth is left, or less."""
        return self.left(at) <= self.LOW

    def is_empty(self, at: int) -> bool:
        return self.left(at) == 0

    def volts(self, at: int) -> Decimal:
        """3.60 V full, 2.60 V empty, and straight between."""
        return Decimal(260 + self.left(at) // 10).scaleb(-2)


@dataclass(frozen=True, slots=True)
class Resident:
    """Somebody at home, who presses the meter's button some time after it lights up 允许合闸."""

    presses_after: int
    """Microseconds of the clock."""


def whole(state: State, name: str) -> int:
    """The whole number under a name. Raises KeyError, or ValueError if it is something else."""
    value = state[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, not a whole number")
    return value


def whole_or_none(state: State, name: str) -> int | None:
    """The whole number under a name, or None where it is null. Raises as `whole`."""
    return None if state[name] is None else whole(state, name)
