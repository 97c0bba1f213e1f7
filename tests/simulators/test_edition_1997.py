"""A meter of DL/T 645-1997, asked by our own master over a line in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from protocols import bcd
from protocols.dlt645 import master, master97
from protocols.exchange import Refused
from tests.simulators.conftest import Silent

METER = "199800000042"
HOUR = 3600
PERMISSION = (4, "111111")


@pytest.fixture
def its(bench):
    return bench(
        f"""
[[meter]]
protocol = "dlt645-1997"
line = "L1"
address = "{METER}"
opening = "100.00"
base_w = 4400
varying_w = 0
passwords = {{ "4" = "111111" }}
programming_key = true
periods = {{ "00:00" = 1, "21:00" = 2 }}
parameters = {{ "04000B01" = "2200" }}
"""
    )


def value(its, di):
    values = its.ask(master97.read_values(METER, di))
    return values[0].value if len(values) == 1 else [one.value for one in values]


def test_energies_demands_and_last_months_stand_under_two_bytes(its, clock):
    clock.pass_s(5 * HOUR)

    # 4.4 kW: from 21:00 to midnight in tariff 2, else in 1; 100.00 was a quarter in each
    assert its.ask(master97.read_energy(METER)) == Decimal("122.00")
    assert value(its, 0x901F)[:3] == [Decimal("122.00"), Decimal("33.80"), Decimal("38.20")]
    assert value(its, 0x9410) == Decimal("117.60")  # at midnight, four hours on
    assert value(its, 0xA010) == Decimal("4.4000")
    assert value(its, 0xB410) == "11-21 20:15"
    assert value(its, 0x90FF)[0] == Decimal("122.00")


def test_variables_have_the_formats_of_1997(its):
    assert value(its, 0xB611) == 220
    assert value(its, 0xB621) == Decimal("20.00")
    assert value(its, 0xB630) == Decimal("4.4000")
    with pytest.raises(Refused, match="data identifier error"):
        value(its, 0xB612)


def test_functions_of_the_other_edition_meet_silence(its):
    with pytest.raises(Silent):
        its.ask(master.read_energy(METER))
    with pytest.raises(Silent):
        its.ask(master.read_status(METER))


def test_parameters_clock_and_tables_are_written_and_counted(its, clock):
    its.ask(master97.write(METER, 0xC111, b"\x30", permission=PERMISSION))
    assert value(its, 0xC111) == 30
    assert value(its, 0xB212) == 1
    assert value(its, 0xB210) == "11-21 20:00"
    its.ask(master97.write(METER, 0xC331, bcd.from_digits("000003"), permission=PERMISSION))
    clock.pass_s(1800)
    assert value(its, 0x9013) == Decimal("27.20")  # 25.00 and half an hour of 4.4 kW
    its.ask(master97.write(METER, 0xC011, bcd.from_digits("063000"), permission=PERMISSION))
    assert value(its, 0xC011) == "06:30:00"
    with pytest.raises(Refused, match="password"):
        its.ask(master97.write(METER, 0xC111, b"\x15", permission=(4, "999999")))


def test_a_new_address_is_taken_and_the_last_reply_repeated(its):
    its.ask(master97.write_address("199800000043"))

    energy = its.ask(master97.read("199800000043", 0x9010))
    assert its.ask(master97.reread("199800000043")) == b"\x10\x90" + energy


def test_the_broadcast_time_is_heard(its, clock):
    its.say(master.broadcast_time(clock.local_time() + timedelta(minutes=2)))

    assert its.meter.now == datetime(2026, 11, 21, 20, 2)  # noqa: DTZ001
