"""Meters as physical things."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.cj188.items import Valve
from protocols.cj188.master import ValveCommand
from protocols.dlt645.relay import RelayCommand
from simulators import water as water_meters
from simulators.electricity import ElectricityMeter
from simulators.physics import SECOND, UNIT, Load, Register, Resident
from simulators.water import WaterMeter

HOUR = 3600


def electricity(clock, *, scale=1, presses_after_s=None):
    return ElectricityMeter(
        "202310450101",
        clock=clock,
        local_time=clock.local_time,
        register=Register(Decimal("100.00"), Load(2000, 0, 1), scale),
        passwords={2: "000000"},
        resident=None if presses_after_s is None else Resident(presses_after_s * SECOND),
    )


def water(clock):
    return WaterMeter(
        "78330023100101",
        clock=clock,
        local_time=clock.local_time,
        register=Register(Decimal("10.00"), Load(600, 0, 1), 1),
        make=water_meters.Make(travel=10 * SECOND),
    )


def shown(meter) -> Decimal:
    meter.advance()
    return meter.register.shown


def test_energy_is_load_times_time(clock):
    meter = electricity(clock)

    clock.pass_s(3 * HOUR)

    # 2 kW × 3 h = 6 kWh
    assert shown(meter) == Decimal("106.00")


def test_a_register_shows_whole_steps_and_keeps_what_lies_below_them(clock):
    meter = electricity(clock)

    # 2 kW fill a step of 0.01 kWh in 18 s
    clock.pass_s(17)
    assert shown(meter) == Decimal("100.00")
    clock.pass_s(1)
    assert shown(meter) == Decimal("100.01")


def test_the_time_scale_lets_consumption_run_faster_than_the_clock(clock):
    meter = electricity(clock, scale=240)

    clock.pass_s(30)

    # 30 s × 240 = 2 h at 2 kW: 4 kWh
    assert shown(meter) == Decimal("104.00")


@settings(deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=HOUR), min_size=1, max_size=8))
def test_a_register_does_not_depend_on_how_often_it_is_looked_at(looks):
    load = Load(300, 2500, seed=7)
    often, once = Register(Decimal(0), load, 60), Register(Decimal(0), load, 60)
    at = 0

    for seconds in looks:
        often.run(at, at + seconds * SECOND)
        at += seconds * SECOND
    once.run(0, at)

    assert often.total == once.total
    assert load.base * at * 60 <= once.total <= (load.base + load.varying) * at * 60


def test_a_register_starts_again_behind_its_six_digits(clock):
    register = Register(Decimal("999999.99"), Load(0, 0, 1), 1)

    register.total += UNIT // 100

    assert register.shown == Decimal("0.00")


def test_nothing_is_used_while_the_relay_is_open(clock):
    meter = electricity(clock)
    clock.pass_s(HOUR)
    meter.advance()

    meter.relay(RelayCommand.TRIP, 0)
    clock.pass_s(10 * HOUR)

    assert meter.contact_open
    assert shown(meter) == Decimal("102.00")
    assert meter.power_w == 0


def test_allow_close_waits_for_the_button(clock):
    meter = electricity(clock)
    meter.relay(RelayCommand.TRIP, 0)
    meter.relay(RelayCommand.ALLOW_CLOSE, 0)
    clock.pass_s(HOUR)
    assert shown(meter) == Decimal("100.00")
    assert (meter.contact_open, meter.command_open) == (True, False)

    meter.press_button()
    clock.pass_s(HOUR)

    assert not meter.contact_open
    assert shown(meter) == Decimal("102.00")


def test_the_button_does_nothing_until_closing_is_allowed(clock):
    meter = electricity(clock)
    meter.relay(RelayCommand.TRIP, 0)

    meter.press_button()

    assert meter.contact_open


def test_a_resident_presses_the_button_and_use_goes_on_from_that_instant(clock):
    meter = electricity(clock, presses_after_s=4)
    meter.relay(RelayCommand.TRIP, 0)
    meter.relay(RelayCommand.ALLOW_CLOSE, 0)

    clock.pass_s(4 + HOUR)

    # Looked at only now: an hour at 2 kW since the button was pressed, nothing in the 4 s before.
    meter.advance()
    assert not meter.contact_open
    assert meter.register.total == 100 * UNIT + 2 * UNIT


def test_allowing_twice_does_not_make_the_resident_wait_again(clock):
    meter = electricity(clock, presses_after_s=4)
    meter.relay(RelayCommand.TRIP, 0)
    meter.relay(RelayCommand.ALLOW_CLOSE, 0)

    clock.pass_s(3)
    meter.advance()
    meter.relay(RelayCommand.ALLOW_CLOSE, 0)
    clock.pass_s(1)
    meter.advance()

    assert not meter.contact_open


def test_a_trip_takes_the_permission_back(clock):
    meter = electricity(clock, presses_after_s=4)
    meter.relay(RelayCommand.TRIP, 0)
    meter.relay(RelayCommand.ALLOW_CLOSE, 0)

    meter.relay(RelayCommand.TRIP, 0)
    clock.pass_s(HOUR)

    assert shown(meter) == Decimal("100.00")
    assert meter.contact_open


def test_direct_close_needs_no_button(clock):
    meter = electricity(clock)
    meter.relay(RelayCommand.TRIP, 0)

    meter.relay(RelayCommand.CLOSE, 0)

    assert not meter.contact_open


def test_a_timed_trip_ends_by_itself(clock):
    meter = electricity(clock)
    meter.relay(RelayCommand.TRIP_THEN_CLOSE, 30)

    clock.pass_s(30 * 60 + HOUR)

    assert shown(meter) == Decimal("102.00")


def test_water_runs_until_the_valve_has_arrived(clock):
    meter = water(clock)
    clock.pass_s(HOUR)
    meter.advance()

    meter.move_valve(ValveCommand.CLOSE)
    clock.pass_s(9)
    meter.advance()
    assert meter.status().valve is Valve.OPEN
    clock.pass_s(HOUR)
    meter.advance()

    # 600 L in an hour, and in the 10 s of travel 600 L/h × 10 s = 1.666… L
    assert meter.status().valve is Valve.CLOSED
    assert meter.register.total == 10 * UNIT + 600 * (HOUR + 10) * SECOND


def test_no_water_runs_before_an_opening_valve_has_arrived(clock):
    meter = water(clock)
    meter.move_valve(ValveCommand.CLOSE)
    clock.pass_s(10)
    meter.advance()
    before = meter.register.total

    meter.move_valve(ValveCommand.OPEN)
    clock.pass_s(10)
    meter.advance()
    assert meter.register.total == before
    clock.pass_s(HOUR)

    # 600 L
    assert shown(meter) == Decimal("10.60")


def test_a_valve_told_to_turn_round_stays_where_it_was(clock):
    meter = water(clock)
    meter.move_valve(ValveCommand.CLOSE)
    clock.pass_s(5)
    meter.advance()

    meter.move_valve(ValveCommand.OPEN)
    clock.pass_s(20)
    meter.advance()

    assert meter.status().valve is Valve.OPEN


def test_a_state_gives_the_same_meter_again(clock):
    meter, pipe = electricity(clock, presses_after_s=4), water(clock)
    meter.relay(RelayCommand.TRIP, 0)
    meter.relay(RelayCommand.ALLOW_CLOSE, 0)
    pipe.move_valve(ValveCommand.CLOSE)
    clock.pass_s(3)
    meter.advance()
    pipe.advance()

    meter_again, pipe_again = electricity(clock, presses_after_s=4), water(clock)
    meter_again.resume(meter.state())
    pipe_again.resume(pipe.state())
    clock.pass_s(20)

    for one, other in ((meter, meter_again), (pipe, pipe_again)):
        one.advance()
        other.advance()
        assert one.state() == other.state()
    assert not meter_again.contact_open
    assert pipe_again.status().valve is Valve.CLOSED
