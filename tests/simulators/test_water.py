"""A water meter of the bench, asked by our own master over a line in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from protocols import bcd
from protocols.cj188 import frame as frames
from protocols.cj188 import items, master
from protocols.cj188.items import Valve
from protocols.cj188.master import ValveCommand
from protocols.exchange import Refused

METER = "78330026100101"
HOUR = 3600
DAY = 24 * HOUR
PURSE = 'purse = { balance = "3.00", prices = ["2.00", "4.00"], steps_m3 = [1] }'


def meters(more="", head=""):
    return f"""
{head}
[[meter]]
protocol = "cjt188-2004"
line = "L1"
address = "{METER}"
opening = "10.00"
base_l_per_h = 500
varying_l_per_h = 0
valve_travel_ms = 10000
{more}
"""


def reading(its):
    return its.ask(master.read_water(METER, serial=1), cj188=True)


def write(its, di, data):
    return its.ask(master.write(METER, di, data, serial=1), cj188=True)


def read(its, di):
    return its.ask(master.read(METER, di, serial=1), cj188=True)


def turn(its, command):
    return its.ask(master.write_valve(METER, command, serial=1), cj188=True)


def test_a_valve_is_answered_for_before_it_has_moved(bench, clock):
    its = bench(meters())

    status = turn(its, ValveCommand.CLOSE)
    assert status is not None
    assert status.valve is Valve.OPEN
    clock.pass_s(9)
    assert reading(its).status.valve is Valve.OPEN
    clock.pass_s(1)

    assert reading(its).status.valve is Valve.CLOSED
    before = reading(its).total
    clock.pass_s(DAY)
    assert reading(its).total == before


def test_an_exercise_closes_and_opens_again(bench, clock):
    its = bench(meters())
    request = frames.Frame(0x10, METER, master.WRITE, b"\xaa")

    its.ask(master.ask(request, items.VALVE, high_first=True, serial=1), cj188=True)
    clock.pass_s(10)
    assert reading(its).status.valve is Valve.CLOSED
    clock.pass_s(10)

    assert reading(its).status.valve is Valve.OPEN


def test_the_valve_is_exercised_by_itself_at_noon_of_its_day(bench, clock):
    its = bench(meters("exercise_day = 22"))

    clock.pass_s(16 * HOUR + 10)  # 12:00:10 on the 22nd
    assert reading(its).status.valve is Valve.CLOSED
    clock.pass_s(10)

    assert reading(its).status.valve is Valve.OPEN


def test_a_settlement_day_keeps_the_total_and_the_months_before(bench, clock):
    its = bench(meters("settlement_day = 22"))

    clock.pass_s(5 * HOUR)

    # 500 L/h: 12.00 at midnight, 12.50 an hour after
    assert (reading(its).total, reading(its).settlement) == (Decimal("12.50"), Decimal("12.00"))
    assert items.decode_quantity(read(its, 0xD120)).cubic_metres == Decimal("12.00")
    assert items.decode_quantity(read(its, 0xD121)).cubic_metres == 0


def test_days_prices_key_and_base_are_written_and_read(bench):
    its = bench(meters())

    assert write(its, 0xA011, b"\x15") == b""
    assert read(its, 0x8103) == b"\x15"
    assert write(its, 0xA012, b"\x20") == b""
    assert read(its, 0x8104) == b"\x20"
    prices = bytes.fromhex("850200 150000 100400 300000 500500")
    assert len(write(its, 0xA010, prices + b"\x01")) == 2  # the status word
    assert read(its, 0x8102) == prices
    assert write(its, 0xA014, b"\x03" + bytes(8)) == b"\x03"
    assert read(its, 0x8106) == b"\x03"
    assert len(write(its, 0xA016, items.encode_volume(Decimal("77.50")))) == 2
    assert reading(its).total == Decimal("77.50")


@pytest.mark.parametrize(
    ("di", "data"),
    [(0xA011, "32"), (0xA011, "1A"), (0xA012, "0115"), (0x8105, "00" * 15), (0xA016, "0000000029")],
)
def test_what_cannot_be_written_is_refused(bench, di, data):
    its = bench(meters(PURSE))

    with pytest.raises(Refused):
        write(its, di, bytes.fromhex(data))


def test_after_its_start_the_meter_keeps_its_base_and_address(bench):
    its = bench(meters())

    write(its, 0xA019, b"")

    with pytest.raises(Refused):
        write(its, 0xA016, items.encode_volume(Decimal("1.00")))
    with pytest.raises(Refused):
        its.ask(master.write_address("78330026100199", serial=1), cj188=True)
    assert its.ask(master.read_address(), cj188=True) == METER


def test_the_clock_drifts_and_is_set(bench, clock):
    its = bench(meters("drift_s_per_day = -60.0"))
    clock.pass_s(2 * DAY)

    behind = clock.local_time() - reading(its).clock
    assert timedelta(seconds=119) <= behind <= timedelta(seconds=121)
    at = datetime(2026, 12, 1, 8, 0)  # noqa: DTZ001
    its.ask(master.write_clock(METER, at, serial=1), cj188=True)

    assert reading(its).clock == at


def test_the_purse_pays_by_steps_closes_the_valve_and_a_purchase_opens_it(bench, clock):
    its = bench(meters(PURSE))
    # The first steps of this period are used up: 10.00 stand in the register. 500 L × 4.00 = 2.00 an hour
    clock.pass_s(HOUR)
    account = its.ask(master.read_account(METER, serial=1), cj188=True)
    assert (account.remaining, account.total_purchased) == (Decimal("1.00"), Decimal("3.00"))

    clock.pass_s(HOUR)
    assert reading(its).status.valve is Valve.CLOSED
    # The last yuan lasts half an hour; the valve takes ten seconds more, 1.39 L
    assert reading(its).total == Decimal("10.75")

    bought = its.ask(master.buy(METER, Decimal("20.00"), serial=1), cj188=True)
    assert bought.purchase_no == 1
    # What ran while the valve closed, 0.0056 yuan, is paid first
    assert bought.remaining == Decimal("19.99")
    clock.pass_s(10)
    assert reading(its).status.valve is Valve.OPEN


@pytest.mark.parametrize(("number", "is_taken"), [(1, True), (2, False), (9, False)])
def test_a_purchase_must_carry_the_next_number(bench, number, is_taken):
    its = bench(meters(PURSE))
    purchase = items.encode_purchase(number, Decimal("5.00"))

    if is_taken:
        assert write(its, 0xA013, purchase) == purchase
        assert write(its, 0xA013, purchase) == purchase  # said again, taken once
    else:
        with pytest.raises(Refused):
            write(its, 0xA013, purchase)

    account = its.ask(master.read_account(METER, serial=1), cj188=True)
    assert account.remaining == (Decimal("8.00") if is_taken else Decimal("3.00"))


def test_a_battery_that_runs_down_first_says_so_and_then_moves_no_valve(bench, clock):
    its = bench(meters("battery_days = 10", head="time_scale = 86400"))

    clock.pass_s(8)
    assert not reading(its).status.battery_low
    clock.pass_s(1)
    assert reading(its).status.battery_low
    turn(its, ValveCommand.CLOSE)
    clock.pass_s(10)
    assert reading(its).status.valve is Valve.CLOSED
    turn(its, ValveCommand.OPEN)
    clock.pass_s(60)

    assert reading(its).status.valve is Valve.CLOSED


def test_all_of_it_survives_a_restart(bench, clock):
    text = meters(PURSE + "\nsettlement_day = 22", head='state = "state"')
    its = bench(text)
    clock.pass_s(5 * HOUR)
    its.ask(master.buy(METER, Decimal("20.00"), serial=1), cj188=True)
    write(its, 0xA012, bcd.from_digits("20"))
    turn(its, ValveCommand.CLOSE)
    its.building.save()
    before = its.meter.state()
    its.building.close()

    again = bench(text)

    assert again.meter.state() == before
