"""A DL/T 645-2007 meter of the bench, asked by our own master over a line in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from protocols import bcd
from protocols.dlt645 import load_record, master
from protocols.dlt645.master import RelayCommand
from protocols.exchange import Refused

METER = "202610450101"
LEVEL_2 = {"level": 2, "password": "000000", "operator": "00000007"}
LEVEL_4 = {"level": 4, "password": "111111", "operator": "00000009"}
HOUR = 3600
PURSE = 'purse = {{ sells = "money", balance = "{balance}", {limits} prices = ["0.50"] }}'


def meters(*, head="", more="", key=True, base_w=2000):
    return f"""
{head}
[[meter]]
protocol = "dlt645-2007"
line = "L1"
address = "{METER}"
opening = "100.00"
base_w = {base_w}
varying_w = 0
passwords = {{ "2" = "000000", "4" = "111111" }}
programming_key = {str(key).lower()}
{more}
"""


def value(bench, di):
    values = bench.ask(master.read_values(METER, di))
    return values[0].value if len(values) == 1 else [one.value for one in values]


def control(command, *, deadline=None, **more):
    return master.control(METER, command, **LEVEL_4, deadline=deadline, **more)


# Passwords and the key


def test_a_wrong_password_is_refused_by_its_bit(bench):
    its = bench(meters())

    with pytest.raises(Refused) as refused:
        its.ask(master.write(METER, 0x04000103, b"\x30", **LEVEL_4 | {"password": "999999"}))

    assert refused.value.code == 0x04


def test_a_password_of_a_level_that_may_not_is_refused(bench):
    its = bench(meters())

    with pytest.raises(Refused, match="not authorised"):
        its.ask(master.clear_meter(METER, **LEVEL_4))

    assert value(its, 0x00010000) == Decimal("100.00")


def test_after_so_many_wrong_passwords_none_is_taken_until_the_next_day(bench, clock):
    its = bench(meters(more="lockout_after = 3"))
    for _ in range(3):
        with pytest.raises(Refused):
            its.ask(_wrong_trip())

    with pytest.raises(Refused):
        its.ask(control(RelayCommand.TRIP))
    clock.pass_s(4 * HOUR + 1)  # from 20:00 to past midnight

    its.ask(control(RelayCommand.TRIP))
    assert its.meter.contact_open


def _wrong_trip():
    return master.control(
        METER,
        RelayCommand.TRIP,
        level=4,
        password="222222",
        operator="00000009",
        deadline=None,
    )


def test_nothing_is_written_while_the_programming_key_is_not_held(bench, clock):
    its = bench(
        meters(
            key=False,
            more='happens = [{ what = "programming-key", after_s = 60, lasts_s = 60 }]',
        )
    )
    writing = (0x04000103, b"\x30")

    for exchange in (
        master.write(METER, *writing, **LEVEL_4),
        master.change_password(METER, level=4, old=(2, "000000"), new_password="123456"),
        master.reset_demand(METER, **LEVEL_4),
        master.clear_meter(METER, **LEVEL_2),
        master.clear_events(METER, **LEVEL_2),
    ):
        with pytest.raises(Refused) as refused:
            its.ask(exchange)
        assert refused.value.code == 0x04
    clock.pass_s(61)

    its.ask(master.write(METER, *writing, **LEVEL_4))
    assert value(its, 0x04000103) == 30
    assert its.ask(master.read_status(METER)).raw & 0x0008
    clock.pass_s(60)
    assert not its.ask(master.read_status(METER)).raw & 0x0008


def test_a_changed_password_is_the_one_that_counts(bench):
    its = bench(meters())

    its.ask(master.change_password(METER, level=4, old=(4, "111111"), new_password="123456"))

    with pytest.raises(Refused):
        its.ask(control(RelayCommand.TRIP))
    its.ask(
        master.control(
            METER, RelayCommand.TRIP, level=4, password="123456", operator="00000009", deadline=None
        )
    )
    assert its.meter.contact_open


# The relay


@pytest.mark.parametrize(("ahead_s", "is_taken"), [(0, True), (120, False), (-120, True)])
def test_the_deadline_of_a_command_is_held_against_the_meters_own_clock(
    bench, clock, ahead_s, is_taken
):
    its = bench(meters(more=f"clock_error_s = {ahead_s}"))
    in_a_minute = clock.local_time() + timedelta(minutes=1)

    if is_taken:
        its.ask(control(RelayCommand.TRIP, deadline=in_a_minute))
    else:
        with pytest.raises(Refused):
            its.ask(control(RelayCommand.TRIP, deadline=in_a_minute))

    assert its.meter.contact_open is is_taken


def test_a_clock_that_drifts_refuses_after_days_what_it_took_at_first(bench, clock):
    its = bench(meters(more="drift_s_per_day = 30.0"))
    clock.pass_s(3 * 24 * HOUR)

    # 3 days × 30 s: 90 s ahead, so a deadline in a minute has passed
    drifted = its.ask(master.read_clock(METER)) - clock.local_time()
    with pytest.raises(Refused):
        its.ask(control(RelayCommand.TRIP, deadline=clock.local_time() + timedelta(minutes=1)))

    assert timedelta(seconds=89) <= drifted <= timedelta(seconds=91)


def test_a_broadcast_sets_the_clock_once_a_day_and_by_five_minutes_at_most(bench, clock):
    its = bench(meters(more="clock_error_s = 200"))

    its.say(master.broadcast_time(clock.local_time()))
    assert its.ask(master.read_clock(METER)) == clock.local_time()
    its.say(master.broadcast_time(clock.local_time() + timedelta(minutes=4)))
    assert its.ask(master.read_clock(METER)) == clock.local_time()
    clock.pass_s(24 * HOUR)
    its.say(master.broadcast_time(clock.local_time() + timedelta(minutes=6)))
    assert its.ask(master.read_clock(METER)) == clock.local_time()
    its.say(master.broadcast_time(clock.local_time() + timedelta(minutes=4)))
    assert its.ask(master.read_clock(METER)) == clock.local_time() + timedelta(minutes=4)


def test_each_relay_command_is_answered_with_its_word(bench, clock):
    its = bench(meters(more="answers_with_word = true"))

    said = [
        its.ask(control(command, trip_minutes=minutes)).states
        for command, minutes in (
            (RelayCommand.TRIP, 0),
            (RelayCommand.ALLOW_CLOSE, 0),
            (RelayCommand.CLOSE, 0),
            (RelayCommand.TRIP_THEN_CLOSE, 5),
            (RelayCommand.CLOSE, 0),
            (RelayCommand.TRIP_THEN_ALLOW_CLOSE, 5),
            (RelayCommand.ALARM_ON, 0),
            (RelayCommand.ALARM_OFF, 0),
            (RelayCommand.KEEP_POWER_ON, 0),
            (RelayCommand.KEEP_POWER_OFF, 0),
        )
    ]

    assert said == [
        ("tripped",),
        ("close permitted",),
        ("direct close done",),
        ("auto-restore running",),
        ("direct close done",),
        ("auto-restore running",),
        ("alarm on",),
        ("alarm off",),
        ("keep power on",),
        ("keep power off",),
    ]


def test_a_delayed_trip_shows_the_command_at_once_and_the_contact_later(bench, clock):
    its = bench(
        meters(
            more='answers_with_word = true\nparameters = { "04001401" = "0005" }\nrelay_travel_ms = 500'
        )
    )

    reply = its.ask(control(RelayCommand.TRIP))

    assert reply.states == ("trip delayed",)
    status = its.ask(master.read_status(METER))
    assert (status.contact_open, status.command_open) == (False, True)
    clock.pass_s(300)
    assert not its.ask(master.read_status(METER)).contact_open
    clock.pass_s(1)
    assert its.ask(master.read_status(METER)).contact_open


def test_a_delayed_trip_is_taken_back_by_allow_close(bench, clock):
    its = bench(meters(more='parameters = { "04001401" = "0005" }'))
    its.ask(control(RelayCommand.TRIP))

    its.ask(control(RelayCommand.ALLOW_CLOSE))
    clock.pass_s(600)

    status = its.ask(master.read_status(METER))
    assert (status.contact_open, status.command_open) == (False, False)


def test_a_timed_trip_restores_after_its_minutes(bench, clock):
    its = bench(meters())
    its.ask(control(RelayCommand.TRIP_THEN_CLOSE, trip_minutes=10))

    clock.pass_s(599)
    assert its.ask(master.read_status(METER)).contact_open
    clock.pass_s(1)

    assert not its.ask(master.read_status(METER)).contact_open


def test_a_timed_trip_with_close_permission_waits_for_the_button(bench, clock):
    its = bench(meters(more='happens = [{ what = "button", after_s = 900 }]'))
    its.ask(control(RelayCommand.TRIP_THEN_ALLOW_CLOSE, trip_minutes=10))

    clock.pass_s(899)
    status = its.ask(master.read_status(METER))
    assert (status.contact_open, status.command_open) == (True, False)
    clock.pass_s(1)

    assert not its.ask(master.read_status(METER)).contact_open


@pytest.mark.parametrize(
    ("before", "command", "minutes", "reason"),
    [
        (RelayCommand.KEEP_POWER_ON, RelayCommand.TRIP, 0, "trip refused: keep power"),
        (
            RelayCommand.KEEP_POWER_ON,
            RelayCommand.TRIP_THEN_CLOSE,
            5,
            "auto-restore refused: keep power",
        ),
        (RelayCommand.ALARM_ON, RelayCommand.TRIP_THEN_CLOSE, 0, "restore time invalid"),
        (
            RelayCommand.TRIP,
            RelayCommand.TRIP_THEN_ALLOW_CLOSE,
            5,
            "auto-restore refused: already open",
        ),
    ],
)
def test_a_relay_says_why_it_does_not_obey(bench, before, command, minutes, reason):
    its = bench(meters(more="answers_with_word = true"))
    its.ask(control(before))

    with pytest.raises(Refused) as refused:
        its.ask(control(command, trip_minutes=minutes))

    assert refused.value.reasons == ("other error", reason)


# Energy by the meter's own tables


def test_energy_falls_into_the_tariff_of_the_meters_own_clock(bench, clock):
    # 20:00 true time; the meter is an hour ahead, so 21:00 there, and its valley begins at 22:00
    its = bench(
        meters(more='clock_error_s = 3600\nperiods = { "00:00" = 4, "08:00" = 2, "22:00" = 4 }')
    )
    clock.pass_s(3 * HOUR)

    # 2 kW: one hour in tariff 2, two in tariff 4; the opening is a quarter in each
    total, *tariffs = value(its, 0x0001FF00)
    assert total == Decimal("106.00")
    assert tariffs == [Decimal("25.00"), Decimal("27.00"), Decimal("25.00"), Decimal("29.00")]


def test_a_written_day_table_holds_from_then_on(bench, clock):
    its = bench(meters())
    # 00:00 tariff 1, 21:00 tariff 3; on the line NN comes first
    table = bcd.from_digits("000001") + bcd.from_digits("210003")
    its.ask(master.write(METER, 0x04010001, table, **LEVEL_4))

    clock.pass_s(2 * HOUR)

    _, first, _, third, _ = value(its, 0x0001FF00)
    assert (first, third) == (Decimal("27.00"), Decimal("27.00"))


def test_the_stand_by_table_takes_over_at_its_minute_and_freezes_the_registers(bench, clock):
    its = bench(meters())
    other = bcd.from_digits("000002")
    its.ask(master.write(METER, 0x04020001, other, **LEVEL_4))
    switch = bcd.from_digits("2611212100")
    its.ask(master.write(METER, 0x04000107, switch, **LEVEL_4))

    clock.pass_s(2 * HOUR)

    _, first, second, *_ = value(its, 0x0001FF00)
    assert (first, second) == (Decimal("27.00"), Decimal("27.00"))
    assert its.ask(master.read_status(METER)).raw & 0x0001
    frozen = {one.name: one.value for one in its.ask(master.read_freeze(METER, 3, 1))}
    assert frozen["freeze time"] == "2026-11-21 21:00"
    assert frozen["forward active energy total"] == Decimal("102.00")


@pytest.mark.parametrize(
    ("di", "data", "error"),
    [
        (0x04000201, "15", 0x10),  # year zones
        (0x04000203, "15", 0x20),  # day periods
        (0x04000204, "64", 0x40),  # tariffs
        (0x04010001, "000005", 0x40),  # tariff 5 of 4
        (0x04000501, "0000", 0x02),  # a status word is read
        (0x04000103, "0015", 0x01),  # a byte too many
    ],
)
def test_a_write_that_cannot_be_is_refused_by_its_bit(bench, di, data, error):
    its = bench(meters())

    with pytest.raises(Refused) as refused:
        its.ask(master.write(METER, di, bcd.from_digits(data), **LEVEL_4))

    assert refused.value.code == error


def test_demand_is_the_mean_of_its_period_and_is_kept_with_its_time(bench, clock):
    its = bench(meters(base_w=3000))

    clock.pass_s(20 * 60)

    # 3 kW without a break: 3.0000 kW, first over the fifteen minutes that end at 20:15
    assert value(its, 0x01010000) == [Decimal("3.0000"), "2026-11-21 20:15"]
    assert value(its, 0x02800004) == Decimal("3.0000")
    its.ask(master.reset_demand(METER, **LEVEL_4))
    assert value(its, 0x01010000)[0] == 0
    at, operator, demand, *_ = value(its, 0x03300201)
    assert (at, operator, demand) == ("2026-11-21 20:20:00", "00000009", Decimal("3.0000"))


def test_a_settlement_day_keeps_energy_and_demand(bench, clock):
    its = bench(meters(more='parameters = { "04000B01" = "2200" }'))

    clock.pass_s(5 * HOUR)

    # The 22nd begins four hours on: 108.00 then, 110.00 now
    assert value(its, 0x00010001) == Decimal("108.00")
    assert value(its, 0x000100FF)[:3] == [Decimal("110.00"), Decimal("108.00"), Decimal("0.00")]
    assert value(its, 0x01010001)[0] == Decimal("2.0000")
    assert value(its, 0x000B0000) == Decimal("2.00")


# Freezes, events, load records


@pytest.mark.parametrize(
    ("when", "kind", "passes_s", "time", "energy"),
    [
        ("99999999", 1, 0, "2026-11-21 20:00", "100.00"),
        ("99999930", 0, 3600, "2026-11-21 20:30", "101.00"),
        ("99992100", 0, 7200, "2026-11-21 21:00", "102.00"),
        ("11212110", 0, 7200, "2026-11-21 21:10", "102.33"),
    ],
)
def test_a_freeze_is_kept_when_it_was_ordered(bench, clock, when, kind, passes_s, time, energy):
    its = bench(meters())

    its.ask(master.freeze(METER, when))
    clock.pass_s(passes_s)

    frozen = {one.name: one.value for one in its.ask(master.read_freeze(METER, kind, 1))}
    assert frozen["freeze time"] == time
    assert frozen["forward active energy total"] == Decimal(energy)
    assert frozen["active power total"] == Decimal("2.0000")


def test_a_broadcast_freezes_without_an_answer(bench):
    its = bench(meters())

    assert its.say(master.broadcast_freeze("99999999")) == []

    assert its.ask(master.read_freeze(METER, 1, 1))


def test_hours_and_days_are_frozen_by_themselves(bench, clock):
    its = bench(meters())

    clock.pass_s(5 * HOUR)

    # 21, 22, 23, 0 and 1 o'clock; midnight, with 108.00, is also a day
    hours = [its.ask(master.read_freeze(METER, 4, back))[1].value for back in (1, 2, 5)]
    assert hours == [Decimal("110.00"), Decimal("108.00"), Decimal("102.00")]
    day = {one.name: one.value for one in its.ask(master.read_freeze(METER, 6, 1))}
    assert (day["freeze time"], day["forward active energy total"]) == (
        "2026-11-22 00:00",
        Decimal("108.00"),
    )
    with pytest.raises(Refused, match="no such data"):
        its.ask(master.read_freeze(METER, 6, 2))


def test_trips_and_closes_are_recorded_with_operator_and_energy(bench, clock):
    its = bench(meters())
    clock.pass_s(HOUR)

    its.ask(control(RelayCommand.TRIP))
    clock.pass_s(60)
    its.ask(control(RelayCommand.CLOSE))

    assert value(its, 0x1D000001) == 1
    assert value(its, 0x1D000101) == "2026-11-21 21:00:00"
    assert value(its, 0x1D000201) == "00000009"
    assert value(its, 0x1D000301) == Decimal("102.00")
    assert value(its, 0x1E000001) == 1
    assert value(its, 0x1E000101) == "2026-11-21 21:01:00"


def test_covers_and_power_cuts_are_recorded_from_start_to_end(bench, clock):
    its = bench(
        meters(
            more="""happens = [
  { what = "cover-open", after_s = 1800, lasts_s = 1800 },
  { what = "terminal-cover-open", after_s = 1800, lasts_s = 60 },
  { what = "power-off", after_s = 7200, lasts_s = 600 },
]"""
        )
    )
    clock.pass_s(7300)
    assert its.say(next(master.read_energy(METER))) == []
    clock.pass_s(7000)

    start, end, before, *others = value(its, 0x03300D01)
    assert (start, end) == ("2026-11-21 20:30:00", "2026-11-21 21:00:00")
    # 2 kW: 101.00 at 20:30, 102.00 at 21:00
    assert (before, others[5]) == (Decimal("101.00"), Decimal("102.00"))
    assert value(its, 0x03300E00) == 1
    assert value(its, 0x03110000) == 1
    assert value(its, 0x03110001) == ["2026-11-21 22:00:00", "2026-11-21 22:10:00"]
    # 14300 s, less 600 s without mains: 13700 s × 2 kW = 7.61 kWh
    assert value(its, 0x00010000) == Decimal("107.61")


def test_programming_of_one_operator_is_one_record(bench, clock):
    its = bench(meters())

    its.ask(master.write(METER, 0x04000103, b"\x30", **LEVEL_4))
    clock.pass_s(60)
    its.ask(master.write(METER, 0x04000104, b"\x05", **LEVEL_4))
    clock.pass_s(600)
    its.ask(master.write(METER, 0x04000103, b"\x15", **LEVEL_4))

    assert value(its, 0x03300000) == 2
    at, operator, *identifiers = value(its, 0x03300002)
    assert (at, operator) == ("2026-11-21 20:00:00", "00000009")
    assert identifiers[:3] == ["04000103", "04000104", "FFFFFFFF"]


def test_setting_the_clock_is_recorded_before_and_after(bench, clock):
    its = bench(meters())

    its.ask(master.write_clock(METER, datetime(2026, 11, 21, 19, 30), **LEVEL_4))  # noqa: DTZ001

    assert its.ask(master.read_clock(METER)) == datetime(2026, 11, 21, 19, 30)  # noqa: DTZ001
    assert value(its, 0x03300401) == ["00000009", "2026-11-21 20:00:00", "2026-11-21 19:30:00"]


@pytest.mark.parametrize(
    ("di", "data", "event", "size"),
    [
        (0x04010001, "000002", 0x03300501, 682),
        (0x04010000, "010102", 0x03300601, 94),
        (0x04000801, "3E", 0x03300701, 11),
        (0x04030001, "26010102", 0x03300801, 1026),
        (0x04000601, "0A", 0x03300901, 11),
        (0x04000B01, "1512", 0x03300C01, 16),
    ],
)
def test_a_programmed_table_leaves_what_stood_before(bench, di, data, event, size):
    its = bench(meters())

    its.ask(master.write(METER, di, bytes.fromhex(data)[::-1], **LEVEL_4))

    assert value(its, event & 0xFFFFFF00) == 1
    assert len(its.ask(master.read(METER, event))) == size
    assert value(its, event)[1] == "00000009"


def test_events_are_cleared_but_for_the_record_of_it(bench):
    its = bench(meters())
    its.ask(control(RelayCommand.TRIP))
    its.ask(master.write(METER, 0x04000103, b"\x30", **LEVEL_4))

    its.ask(master.clear_events(METER, 0x033000FF, **LEVEL_2))
    assert value(its, 0x03300000) == 0
    assert value(its, 0x1D000001) == 1
    its.ask(master.clear_events(METER, **LEVEL_2))

    assert value(its, 0x1D000001) == 0
    assert value(its, 0x03300300) == 2
    assert value(its, 0x03300301)[1:] == ["00000007", "FFFFFFFF"]


def test_clearing_the_meter_leaves_its_record_alone(bench, clock):
    its = bench(meters())
    clock.pass_s(HOUR)
    its.ask(master.freeze(METER, "99999999"))
    its.ask(control(RelayCommand.TRIP))

    its.ask(master.clear_meter(METER, **LEVEL_2))

    assert value(its, 0x00010000) == 0
    assert value(its, 0x1D000001) == 0
    at, operator, forward, *_ = value(its, 0x03300101)
    assert (at, operator, forward) == ("2026-11-21 21:00:00", "00000007", Decimal("102.00"))
    with pytest.raises(Refused):
        its.ask(master.read_freeze(METER, 1, 1))


def test_load_records_are_read_from_a_time_on_by_class_and_by_count(bench, clock):
    its = bench(meters(more='parameters = { "04000901" = "3F", "04000A05" = "0030" }'))
    clock.pass_s(HOUR)

    # Every quarter of an hour from 20:15 on; class 4, energy, at 20:30 and 21:00 alone
    def read(di, blocks, since=None):
        data = its.ask(master.read_load_record(METER, di, blocks=blocks, since=since))
        return load_record.decode_records(data)

    assert [one.at for one in read(0x06000000, 10)] == [
        "2026-11-21 20:15",
        "2026-11-21 20:30",
        "2026-11-21 20:45",
        "2026-11-21 21:00",
    ]
    assert [one.at for one in read(0x06000002, 1)] == ["2026-11-21 21:00"]
    since = datetime(2026, 11, 21, 20, 40)  # noqa: DTZ001
    assert [one.at for one in read(0x06040001, 5, since)] == ["2026-11-21 21:00"]
    energy = {one.name: one.value for one in read(0x06040000, 1)[0].values}
    assert energy["forward active energy total"] == Decimal("101.00")
    assert read(0x06000001, 1, datetime(2026, 11, 22)) == []  # noqa: DTZ001


def test_a_block_longer_than_a_frame_comes_in_parts(bench, clock):
    its = bench(meters(more='parameters = { "04000901" = "3F" }'))
    clock.pass_s(HOUR)

    data = its.ask(master.read_load_record(METER, 0x06000000, blocks=4))

    # Each record: 2 + 1 + 5, then 17 + 24 + 8 + 16 + 16 + 6 with six AA, sum and E5: 103 bytes
    assert len(data) == 4 * 103


# The purse


def test_consumption_empties_the_purse_and_each_limit_does_its_work(bench, clock):
    limits = 'alarm_1 = "2.00", alarm_2 = "1.00", overdraft = "0.50",'
    its = bench(
        meters(
            head="resident_presses_after_s = 60",
            more=PURSE.format(balance="3.00", limits=limits),
        )
    )
    # 2 kW × 0.50 = 1.00 yuan an hour
    assert value(its, 0x00900200) == Decimal("3.00")

    clock.pass_s(HOUR)
    assert not its.ask(master.read_status(METER)).alarm
    clock.pass_s(1)
    warned = its.ask(master.read_status(METER))
    assert (warned.alarm, warned.contact_open, warned.prepayment.name) == (True, False, "MONEY")

    clock.pass_s(HOUR)
    low = its.ask(master.read_status(METER))
    assert (low.contact_open, low.command_open) == (True, False)
    clock.pass_s(60)
    assert not its.ask(master.read_status(METER)).contact_open

    # 1.00 and the overdraft of 0.50 last an hour and a half
    clock.pass_s(HOUR + HOUR // 2 - 60)
    assert not its.ask(master.read_status(METER)).contact_open
    clock.pass_s(60)
    gone = its.ask(master.read_status(METER))
    assert (gone.contact_open, gone.command_open) == (True, True)
    assert (value(its, 0x00900200), value(its, 0x00900201)) == (Decimal(0), Decimal("0.50"))
    assert its.ask(master.read(METER, 0x04000501))[1] & 0x40  # status word 1, bit 14: overdraft


def test_keep_power_holds_an_empty_purse_on_until_it_is_taken_back(bench, clock):
    its = bench(meters(more=PURSE.format(balance="1.00", limits="")))
    its.ask(control(RelayCommand.KEEP_POWER_ON))
    clock.pass_s(2 * HOUR)
    assert not its.ask(master.read_status(METER)).contact_open

    its.ask(control(RelayCommand.KEEP_POWER_OFF))

    assert its.ask(master.read_status(METER)).contact_open
    assert value(its, 0x00900201) == Decimal("1.00")


def authenticated(its):
    factor = bcd.from_digits(METER).ljust(8, b"\0")
    payload = bytes(16) + factor
    return its.ask(master.authenticate(METER, 0x070000FF, payload, operator="00000009"))


def recharge(its, *, fen, count, customer=METER, mac=b"\x01\x02\x03\x04", di=0x070102FF):
    payload = fen.to_bytes(4, "little") + count.to_bytes(4, "little") + mac
    payload += bcd.from_digits(customer) + mac
    return its.ask(master.authenticate(METER, di, payload, operator="00000009"))


def test_a_purchase_repays_the_overdraft_and_permits_closing(bench, clock):
    its = bench(meters(more=PURSE.format(balance="1.00", limits='overdraft = "0.50",')))
    clock.pass_s(2 * HOUR)
    assert its.meter.contact_open
    assert len(authenticated(its)) == 12

    recharge(its, fen=1050, count=1)

    assert (value(its, 0x00900200), value(its, 0x00900201)) == (Decimal("10.00"), Decimal(0))
    status = its.ask(master.read_status(METER))
    assert (status.contact_open, status.command_open) == (True, False)
    shown = [value(its, 0x03330001 | item << 8) for item in range(1, 7)]
    assert shown == [
        "2026-11-21 22:00",
        Decimal(1),
        Decimal("10.50"),
        Decimal("0.00"),
        Decimal("10.00"),
        Decimal("10.50"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"count": 0}, "repeated recharge"),
        ({"count": 2}, "recharge count wrong"),
        ({"customer": "000000000001"}, "customer number does not match"),
        ({"fen": 10_000}, "would exceed the hoarding limit"),
        ({"mac": b"\xff" * 4}, "ESAM verification failed"),
    ],
)
def test_a_purchase_that_is_not_in_order_adds_nothing(bench, change, reason):
    its = bench(meters(more=PURSE.format(balance="3.00", limits='hoarding = "50.00",')))
    authenticated(its)

    with pytest.raises(Refused) as refused:
        recharge(its, **{"fen": 1000, "count": 1} | change)

    assert refused.value.reasons == (reason,)
    assert value(its, 0x00900200) == Decimal("3.00")


def test_an_account_is_opened_with_its_customer_before_it_is_recharged(bench):
    its = bench(meters(more=PURSE.format(balance="0.00", limits="account_open = false,")))
    authenticated(its)
    assert its.ask(master.read_status(METER)).raw & 0x8000
    with pytest.raises(Refused, match="other error"):
        recharge(its, fen=1000, count=1)

    recharge(its, fen=2000, count=1, customer="000000004711", di=0x070101FF)

    assert not its.ask(master.read_status(METER)).raw & 0x8000
    assert value(its, 0x0400040E) == "000000004711"
    recharge(its, fen=1000, count=2, customer="000000004711")
    assert value(its, 0x00900200) == Decimal("30.00")


def test_without_authentication_or_after_its_five_minutes_no_purchase_is_taken(bench, clock):
    its = bench(meters(more=PURSE.format(balance="3.00", limits="")))

    with pytest.raises(Refused, match="identity authentication failed"):
        recharge(its, fen=1000, count=1)
    authenticated(its)
    clock.pass_s(299)
    recharge(its, fen=1000, count=1)
    clock.pass_s(1)

    with pytest.raises(Refused, match="identity authentication failed"):
        recharge(its, fen=1000, count=2)


def test_a_price_with_a_mac_is_written_without_the_key_once_authenticated(bench):
    its = bench(meters(key=False, more=PURSE.format(balance="3.00", limits="")))

    def write(di, mac=b"\x01\x02\x03\x04", data="00007500"):
        return its.ask(
            master.seal(
                METER,
                0x14,
                bcd.from_digits(data) + mac,
                operator="00000009",
                di=di,
                level=master.CLASS_1,
            )
        )

    with pytest.raises(Refused, match="not authorised"):
        write(0x04050101)
    authenticated(its)
    write(0x04050101)
    assert value(its, 0x02800020) == Decimal("0.7500")
    with pytest.raises(Refused, match="not authorised"):
        write(0x04050101, mac=b"\xff" * 4)
    with pytest.raises(Refused, match="not authorised"):
        write(0x04000103, data="30")  # of class 2: it needs ciphertext


def test_two_hundred_wrong_macs_suspend_the_meter_until_its_date_changes(bench, clock):
    its = bench(meters(more="answers_with_word = true\n" + PURSE.format(balance="3.00", limits="")))
    authenticated(its)
    for _ in range(200):
        with pytest.raises(Refused, match="ESAM verification failed"):
            recharge(its, fen=1, count=1, mac=b"\xff" * 4)

    with pytest.raises(Refused, match="meter suspended"):
        recharge(its, fen=1, count=1)
    with pytest.raises(Refused, match="meter suspended"):
        its.ask(control(RelayCommand.TRIP))
    clock.pass_s(4 * HOUR)

    authenticated(its)
    recharge(its, fen=1, count=1)


def test_the_state_of_the_purse_is_told_by_the_module(bench):
    its = bench(meters(more=PURSE.format(balance="3.00", limits="")))
    authenticated(its)
    recharge(its, fen=200, count=1)

    told = its.ask(master.authenticate(METER, 0x078102FF, b"", operator="00000009"))

    # Balance 5.00 yuan as 500, its MAC, one purchase, its MAC, customer number, key state
    assert told[:4] == (500).to_bytes(4, "little")
    assert told[8:12] == (1).to_bytes(4, "little")
    assert told[16:22] == bcd.from_digits(METER)
    assert len(told) == 26


def test_a_meter_that_sells_energy_counts_kilowatt_hours(bench, clock):
    its = bench(meters(more='purse = { sells = "energy", balance = "3.00" }'))

    clock.pass_s(HOUR)
    assert value(its, 0x00900100) == Decimal("1.00")
    with pytest.raises(Refused, match="no such data"):
        value(its, 0x00900200)
    clock.pass_s(HOUR)

    # 3 kWh last an hour and a half; then it is off
    assert its.ask(master.read_status(METER)).contact_open
    assert value(its, 0x00010000) == Decimal("103.00")


def test_step_prices_are_added_by_the_energy_of_the_period(bench, clock):
    # Price 0.50, and above 101.00 kWh of the period 0.10 more
    parameters = (
        'parameters = { "04000207" = "01", "04060001" = "00010100", "04060102" = "00001000" }'
    )
    its = bench(meters(more=parameters + "\n" + PURSE.format(balance="10.00", limits="")))
    assert value(its, 0x02800020) == Decimal("0.5000")

    clock.pass_s(HOUR)

    # 1 kWh × 0.50 + 1 kWh × 0.60 = 1.10
    assert value(its, 0x02800020) == Decimal("0.6000")
    assert value(its, 0x00900200) == Decimal("8.90")


# Other services


def test_address_baud_output_and_identity_are_set(bench):
    its = bench(meters())

    assert its.ask(master.read_address()) == METER
    its.ask(master.select_output(METER, master.Output.PERIOD_SWITCHING))
    its.ask(master.change_baud(METER, 9600))
    (answer,) = [a for s in its.stations for a in s.hear(next(master.read_energy(METER)))]
    assert answer.baud == 9600
    its.ask(master.write_address("202610450999"))

    assert its.ask(master.read_energy("202610450999")) == Decimal("100.00")
    assert its.meter.output == 2


def test_variables_follow_the_load_on_one_phase_and_on_three(bench, tmp_path):
    one = bench(meters(base_w=2200))
    assert value(one, 0x02010100) == Decimal("220.0")
    assert value(one, 0x02020100) == Decimal("10.000")
    assert value(one, 0x02030000) == Decimal("2.2000")
    with pytest.raises(Refused):
        value(one, 0x02010200)

    three = bench(meters(base_w=6600, more="phases = 3"))
    assert value(three, 0x0201FF00) == [Decimal("220.0")] * 3
    assert value(three, 0x0202FF00) == [Decimal("10.000")] * 3
    assert value(three, 0x0203FF00) == [Decimal("6.6000")] + [Decimal("2.2000")] * 3


def test_the_clock_battery_runs_down_and_says_so(bench, clock):
    its = bench(meters(head="time_scale = 86400", more="battery_days = 100"))

    clock.pass_s(89)
    assert not its.ask(master.read(METER, 0x04000501))[0] & 0x04
    clock.pass_s(1)

    assert its.ask(master.read(METER, 0x04000501))[0] & 0x04
    assert value(its, 0x02800008) == Decimal("2.70")


def test_all_of_it_survives_a_restart(bench, clock):
    text = meters(
        head='state = "state"',
        more='parameters = { "04000901" = "3F" }\n'
        + PURSE.format(balance="30.00", limits='alarm_1 = "2.00",'),
    )
    its = bench(text)
    clock.pass_s(5 * HOUR)
    authenticated(its)
    recharge(its, fen=500, count=1)
    its.ask(master.write(METER, 0x04000103, b"\x30", **LEVEL_4))
    its.ask(master.freeze(METER, "99999999"))
    its.ask(control(RelayCommand.TRIP_THEN_CLOSE, trip_minutes=10))
    its.building.save()
    before = its.meter.state()
    its.building.close()

    again = bench(text)

    assert again.meter.state() == before
    clock.pass_s(600)
    assert not again.ask(master.read_status(METER)).contact_open


def test_a_program_that_stood_still_was_a_power_cut_for_its_meters(bench, clock, tmp_path):
    text = meters(head='state = "state"')
    its = bench(text)
    clock.pass_s(HOUR)
    its.building.save()
    its.building.close()

    # The bench's clock stands still while it is off; the true time goes on by half an hour.
    off_until = clock.local_time() + timedelta(minutes=30)
    clock.local_time = lambda: off_until
    again = bench(text)

    assert value(again, 0x03110001) == ["2026-11-21 21:00:00", "2026-11-21 21:30:00"]
    assert value(again, 0x00010000) == Decimal("102.00")
