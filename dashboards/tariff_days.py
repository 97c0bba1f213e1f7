"""Which kinds of day a price calendar tells apart, and when in each of them which rule holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dashboards.words import N_
from prepaid.calendar import DayKind, Timetable

Say = Callable[[str], str]
"""A message in the reader's language."""

Sort = tuple[int, DayKind]
"""ISO weekday, and what the day counts as."""

Pattern = tuple[tuple[int, int, str | None], ...]

MONTHS = (
    *(N_("Jan"), N_("Feb"), N_("Mar"), N_("Apr"), N_("May"), N_("Jun")),
    *(N_("Jul"), N_("Aug"), N_("Sep"), N_("Oct"), N_("Nov"), N_("Dec")),
)
WEEKDAYS = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
KINDS = {
    DayKind.WORKDAY: N_("workdays"),
    DayKind.WEEKEND: N_("weekends"),
    DayKind.HOLIDAY: N_("holidays"),
}
MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class DayPlan:
    """Days that are alike: of these months and sorts. hours: (from minute, before minute, what holds then)."""

    months: tuple[int, ...]
    sorts: tuple[Sort, ...]
    hours: Pattern


def day_plans(timetable: Timetable, names: Sequence[str]) -> list[DayPlan]:
    """Every kind of day in the calendar, as few plans as there are different days; at least one.

    names says for each rule what holds by it: its band. Rules of one name are not told apart.
    """
    alike: dict[tuple[Pattern, ...], list[Sort]] = {}
    for sort in _sorts(timetable):
        year = tuple(_hours(timetable, names, month, sort) for month in range(1, 13))
        alike.setdefault(year, []).append(sort)
    plans = []
    for year, sorts in alike.items():
        months: dict[Pattern, list[int]] = {}
        for month, hours in enumerate(year, start=1):
            months.setdefault(hours, []).append(month)
        plans += [DayPlan(tuple(of), tuple(sorts), hours) for hours, of in months.items()]
    return plans


def label(plan: DayPlan, timetable: Timetable, say: Say) -> str:
    """The days in words: "every day", "Jul–Aug · workdays"."""
    parts = []
    if len(plan.months) < 12:
        parts.append(runs(plan.months, MONTHS, say))
    if set(plan.sorts) != set(_sorts(timetable)):
        parts.append(_days(plan.sorts, _sorts(timetable), say))
    return " · ".join(parts) or say(N_("every day"))


def _sorts(timetable: Timetable) -> list[Sort]:
    calendar = timetable.calendar
    sorts = [(weekday, DayKind.WORKDAY) for weekday in range(1, 8 if calendar.workdays else 6)]
    sorts += [(weekday, DayKind.WEEKEND) for weekday in (6, 7)]
    if calendar.holidays:
        sorts += [(weekday, DayKind.HOLIDAY) for weekday in range(1, 8)]
    return sorts


def _hours(timetable: Timetable, names: Sequence[str], month: int, sort: Sort) -> Pattern:
    weekday, kind = sort
    meant = [
        (rule, name)
        for rule, name in zip(timetable.rules, names, strict=True)
        if rule.is_on(month=month, weekday=weekday, kind=kind)
    ]
    edges = sorted({0, MINUTES}.union(*({rule.start, rule.end} for rule, _ in meant)))
    hours: list[tuple[int, int, str | None]] = []
    for start, end in pairwise(edges):
        name = next((name for rule, name in meant if rule.is_at(start)), None)
        if hours and hours[-1][2] == name:
            start = hours.pop()[0]
        hours.append((start, end, name))
    return tuple(hours)


def _days(sorts: tuple[Sort, ...], all_sorts: list[Sort], say: Say) -> str:
    named = []
    for kind, word in KINDS.items():
        weekdays = [weekday for weekday, one in sorts if one is kind]
        of_kind = [weekday for weekday, one in all_sorts if one is kind]
        if weekdays and weekdays == of_kind:
            named.append(say(word))
        elif weekdays:
            days = runs(tuple(weekdays), WEEKDAYS, say)
            named.append(days if kind is not DayKind.HOLIDAY else f"{say(word)} ({days})")
    return ", ".join(named)


def runs(numbers: tuple[int, ...], names: tuple[str, ...], say: Say) -> str:
    """Numbers from 1 on as names, those that follow each other as a run: Jan, May–Aug."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        say(names[run[0] - 1])
        if len(run) == 1
        else f"{say(names[run[0] - 1])}–{say(names[run[-1] - 1])}"
        for run in runs
    )
