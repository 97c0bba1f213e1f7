from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.calendar import Calendar, DayKind, Hours, Timetable

NIGHT = Hours(start=22 * 60, end=6 * 60)
SHANGHAI = Calendar("Asia/Shanghai")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def cuts(timetable: Timetable, since: str, until: str) -> list[tuple[str, int | None]]:
    """The stretches between two instants, as (UTC time at which each begins, rule)."""
    found = list(timetable.stretches(utc(since), utc(until)))
    assert [end for _, end, _ in found[:-1]] == [begin for begin, _, _ in found[1:]]
    return [(f"{begin:%d %H:%M}", index) for begin, _, index in found]


def test_a_listed_holiday_is_nothing_else_and_a_listed_weekend_day_is_a_workday():
    calendar = Calendar(
        "Asia/Shanghai",
        holidays=frozenset({date(2026, 10, 1), date(2026, 10, 3)}),
        workdays=frozenset({date(2026, 10, 10)}),
    )
    assert calendar.kind(date(2026, 10, 1)) is DayKind.HOLIDAY  # a Thursday
    assert calendar.kind(date(2026, 10, 3)) is DayKind.HOLIDAY  # a Saturday
    assert calendar.kind(date(2026, 10, 10)) is DayKind.WORKDAY  # a Saturday
    assert calendar.kind(date(2026, 10, 11)) is DayKind.WEEKEND
    assert calendar.kind(date(2026, 10, 12)) is DayKind.WORKDAY


def test_hours_that_start_later_than_they_end_run_over_midnight():
    # 22:00 in Shanghai is 14:00 UTC, 06:00 is 22:00 UTC of the day before
    found = cuts(Timetable(SHANGHAI, (NIGHT,)), "2026-05-01T00:00+08:00", "2026-05-02T12:00+08:00")
    assert found == [("30 16:00", 0), ("30 22:00", None), ("01 14:00", 0), ("01 22:00", None)]


def test_the_first_rule_that_matches_holds():
    noon = Hours(start=12 * 60, end=13 * 60)
    timetable = Timetable(SHANGHAI, (noon, NIGHT, Hours(start=0, end=1440)))
    assert timetable.at(utc("2026-05-01T11:59:59.999999+08:00")) == 2
    assert timetable.at(utc("2026-05-01T12:00+08:00")) == 0
    assert timetable.at(utc("2026-05-01T12:59:59.999999+08:00")) == 0
    assert timetable.at(utc("2026-05-01T13:00+08:00")) == 2
    assert timetable.at(utc("2026-05-01T22:00+08:00")) == 1


def test_hours_over_midnight_belong_to_the_day_of_the_instant_itself():
    # On workdays: Monday 00:00 to 06:00 is in them, Saturday 00:00 to 06:00 is not.
    night = Timetable(SHANGHAI, (Hours(22 * 60, 6 * 60, days=DayKind.WORKDAY),))
    assert night.at(utc("2026-05-16T03:00+08:00")) is None  # a Saturday, after a Friday evening
    assert night.at(utc("2026-05-18T03:00+08:00")) == 0  # a Monday, after a Sunday evening


def test_months_and_weekdays_are_those_that_clocks_show():
    summer = Timetable(SHANGHAI, (Hours(0, 1440, months=frozenset({7}), days=frozenset({3, 6})),))
    # 2026-07-01 is a Wednesday; in Shanghai it begins at 16:00 UTC of 30 June
    assert summer.at(utc("2026-06-30T15:59:59+00:00")) is None
    assert summer.at(utc("2026-06-30T16:00+00:00")) == 0
    assert summer.at(utc("2026-07-01T16:00+00:00")) is None
    assert summer.at(utc("2026-07-04T12:00+08:00")) == 0


def test_an_hour_that_is_skipped_is_in_no_rule_and_cuts_where_clocks_jump():
    # Berlin, 2026-03-29: 02:00 becomes 03:00, at 01:00 UTC
    berlin = Timetable(Calendar("Europe/Berlin"), (Hours(150, 300),))  # 02:30 to 05:00
    assert cuts(berlin, "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00") == [
        ("28 23:00", None),
        ("29 01:00", 0),
        ("29 03:00", None),
    ]


def test_an_hour_that_comes_twice_is_in_its_rules_twice():
    # Berlin, 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC
    berlin = Timetable(Calendar("Europe/Berlin"), (Hours(150, 160),))  # 02:30 to 02:40
    assert cuts(berlin, "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00") == [
        ("24 22:00", None),
        ("25 00:30", 0),
        ("25 00:40", None),
        ("25 01:30", 0),
        ("25 01:40", None),
    ]


def test_zones_may_be_half_an_hour_or_a_quarter_off():
    kathmandu = Timetable(Calendar("Asia/Kathmandu"), (Hours(0, 60),))  # +05:45
    assert cuts(kathmandu, "2026-05-01T12:00+05:45", "2026-05-02T12:00+05:45") == [
        ("01 06:15", None),
        ("01 18:15", 0),
        ("01 19:15", None),
    ]
    adelaide = Timetable(Calendar("Australia/Adelaide"), (Hours(0, 60),))  # +09:30 in May
    assert cuts(adelaide, "2026-05-01T12:00+09:30", "2026-05-02T12:00+09:30")[1] == ("01 14:30", 0)


def test_a_day_begins_with_the_first_time_it_has():
    assert SHANGHAI.begins(date(2026, 5, 1)) == utc("2026-04-30T16:00+00:00")
    # Cairo, 2026-04-24: 00:00 becomes 01:00, so the day begins with 01:00 (22:00 UTC)
    assert Calendar("Africa/Cairo").begins(date(2026, 4, 24)) == utc("2026-04-24T01:00+03:00")
    # Havana, 2026-11-01: 01:00 becomes 00:00, so 00:00 comes twice; the day begins with the first
    assert Calendar("America/Havana").begins(date(2026, 11, 1)) == utc("2026-11-01T00:00-04:00")
    # Toronto, 1919-03-30: 23:30 became 00:30 of the 31st
    assert Calendar("America/Toronto").begins(date(1919, 3, 31)) == utc("1919-03-31T00:30-04:00")
    # Apia had no 2011-12-30 at all: it begins when the 31st does
    apia = Calendar("Pacific/Apia")
    assert apia.begins(date(2011, 12, 30)) == apia.begins(date(2011, 12, 31))


@pytest.mark.parametrize(
    "hours",
    [
        {"start": 60, "end": 60},
        {"start": 1440, "end": 60},
        {"start": -1, "end": 60},
        {"start": 0, "end": 1441},
        {"start": 0, "end": 60, "months": frozenset({13})},
        {"start": 0, "end": 60, "months": frozenset()},
        {"start": 0, "end": 60, "days": frozenset({0})},
        {"start": 0, "end": 60, "days": frozenset()},
    ],
)
def test_hours_that_no_clock_shows_are_refused(hours: dict[str, object]):
    with pytest.raises(ValueError):
        Hours(**hours)  # type: ignore[arg-type]


minutes = st.integers(0, 1439)
zones = st.sampled_from(
    [
        "Asia/Shanghai",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "America/Havana",
        "America/St_Johns",
        "Pacific/Apia",
    ]
)


@given(
    zones,
    st.lists(
        st.tuples(minutes, st.integers(1, 1440)).filter(lambda pair: pair[0] != pair[1]),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_a_stretch_is_in_one_rule_from_its_first_to_its_last_minute(zone, hours, data):
    days = st.none() | st.sampled_from(DayKind) | st.frozensets(st.integers(1, 7), min_size=1)
    months = st.frozensets(st.integers(1, 12), min_size=6)
    timetable = Timetable(
        Calendar(zone),
        tuple(
            Hours(start, end, months=data.draw(months), days=data.draw(days))
            for start, end in hours
        ),
    )
    since = utc("2008-01-01T00:00+00:00") + data.draw(
        st.timedeltas(timedelta(0), timedelta(days=8000))
    )
    until = since + data.draw(st.timedeltas(timedelta(minutes=1), timedelta(days=3)))

    stretches = list(timetable.stretches(since, until))

    assert stretches[0][0] == since
    assert stretches[-1][1] == until
    for begin, end, index in stretches:
        middle = begin + (end - begin) / 2
        last = end - timedelta(microseconds=1)
        assert {timetable.at(instant) for instant in (begin, middle, last)} == {index}
