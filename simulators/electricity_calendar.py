"""What a simulated electricity meter does by its calendar, minute by minute: demand, freezes, settlement days,
load records, and the change to its stand-by tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from protocols.dlt645 import freeze
from simulators import electricity_items, parameters, records
from simulators.records import stamp

if TYPE_CHECKING:
    from simulators.electricity import ElectricityMeter

TIMED, DAILY = 0x00, 0x06
SWITCHES = {
    parameters.ZONE_SWITCH: 0x02,
    parameters.PERIOD_SWITCH: 0x03,
    parameters.PRICE_SWITCH: 0x05,
    parameters.STEP_SWITCH: 0x07,
}
"""When a stand-by set becomes the running one, and the freeze that is kept then."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """What the parameters say about when, read once for each revision of them.

    load is the load record classes that are on, with their intervals; load_start is MMDDhhmm.
    """

    switches: tuple[tuple[str, int], ...]
    hourly_start: datetime | None
    hourly: timedelta
    daily: str
    settlement: tuple[str, ...]
    load_start: str
    load: tuple[tuple[int, timedelta], ...]
    period: int
    slide: int


def keep(meter: ElectricityMeter) -> None:
    """Do all that is due at the minute that begins by the meter's own clock."""
    revision = meter.parameters.revision
    if meter.timetable is None or meter.timetable[0] != revision:
        meter.timetable = (revision, _timetable(meter))
    timetable = meter.timetable[1]
    now = meter.now
    shown = f"{now:%y%m%d%H%M}"
    _measure_demand(meter, timetable, shown)
    for which, (at, kind) in enumerate(timetable.switches):
        if at == shown:
            freeze_now(meter, kind)
            _switch_set(meter, which)
    if meter.freeze_pattern != EVERY and fits(meter.freeze_pattern, shown[2:]):
        freeze_now(meter, TIMED)
    if timetable.hourly_start is not None and records.is_due(
        now, timetable.hourly_start, timetable.hourly
    ):
        freeze_now(meter, freeze.HOURLY)
    if timetable.daily == shown[6:]:
        freeze_now(meter, DAILY)
    if now.minute == 0 and shown[4:8] in timetable.settlement:
        settle(meter)
    if timetable.load:
        _record_load(meter, timetable, now)


EVERY = "99999999"


def _timetable(meter: ElectricityMeter) -> Timetable:
    mine = meter.parameters
    mode = mine.word(parameters.LOAD_MODE)
    return Timetable(
        switches=tuple((mine.digits(di), kind) for di, kind in SWITCHES.items()),
        hourly_start=_time(mine.digits(parameters.HOURLY_START)),
        hourly=timedelta(minutes=mine.count(parameters.HOURLY_INTERVAL)),
        daily=mine.digits(parameters.DAILY_TIME),
        settlement=tuple(mine.digits(di) for di in parameters.SETTLEMENT_DAYS),
        load_start=mine.digits(parameters.LOAD_START),
        load=tuple(
            (which, timedelta(minutes=mine.count(parameters.LOAD_INTERVAL - 1 + which)))
            for which in records.SIX
            if mode >> (which - 1) & 1
        ),
        period=mine.count(parameters.DEMAND_PERIOD) or 15,
        slide=mine.count(parameters.DEMAND_SLIDE) or 1,
    )


def _time(shown: str) -> datetime | None:
    """YYMMDDhhmm, or None where it is no date."""
    try:
        return datetime.strptime(shown, "%y%m%d%H%M")  # noqa: DTZ007
    except ValueError:
        return None


def fits(pattern: str, shown: str) -> bool:
    """Whether MMDDhhmm is one of a pattern with 99 for any."""
    return all(pattern[at : at + 2] in ("99", shown[at : at + 2]) for at in range(0, 8, 2))


def _measure_demand(meter: ElectricityMeter, timetable: Timetable, shown: str) -> None:
    if len(meter.minutes) < timetable.period or meter.minute % timetable.slide:
        return
    w = meter.present_demand_w
    for which in (0, meter.tariff):
        largest = meter.demand[which]
        if w > largest.w:
            meter.demand[which] = type(largest)(w, shown)


def _switch_set(meter: ElectricityMeter, which: int) -> None:
    mine = meter.parameters
    match which:
        case 0:
            meter.second_zones = not meter.second_zones
        case 1:
            meter.second_periods = not meter.second_periods
        case 2:
            mine.swap(parameters.PRICES, parameters.NEXT_PRICES, meter.make.tariffs)
        case _:
            most = parameters.MOST_STEPS
            mine.swap(parameters.STEP_LIMITS, parameters.NEXT_STEP_LIMITS, most)
            mine.swap(parameters.STEP_PRICES, parameters.NEXT_STEP_PRICES, most + 1)


def freeze_now(meter: ElectricityMeter, kind: int) -> None:
    """Keep what the mode word of this kind of freeze enables; nothing where it is 0."""
    mode = meter.parameters.word(freeze.mode_of(kind))
    if mode:
        groups = electricity_items.frozen(meter, None if kind == freeze.HOURLY else mode)
        meter.freezes.add(kind, {records.TIME: stamp(meter.now, "%y%m%d%H%M")} | groups)


def settle(meter: ElectricityMeter) -> None:
    """A settlement day 结算日: keep energy and demand, and begin the demand anew."""
    from simulators.electricity import Demand, Settled

    meter.settled.appendleft(Settled([meter.register.total, *meter.by_tariff], meter.demand))
    meter.demand = [Demand() for _ in meter.demand]


def _record_load(meter: ElectricityMeter, timetable: Timetable, now: datetime) -> None:
    start = _time(f"{now:%y}{timetable.load_start}")
    if start is not None:
        due = [which for which, every in timetable.load if records.is_due(now, start, every)]
        if due:
            meter.load.add(now, {c: electricity_items.load_class(meter, c) for c in due})
