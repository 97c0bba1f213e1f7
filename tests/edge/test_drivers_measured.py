"""What drivers read of the momentary values, and by how many requests."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from edge.drivers import Known, Measured, cj188, dlt645, dlt645_1997, modbus
from prepaid.momentary import Measurand
from protocols import bcd
from protocols.cj188 import slave as cj188_slave
from protocols.cj188.items import Valve
from protocols.modbus import profile as profiles
from tests.edge.simulated import ELECTRICITY, WATER, ElectricityMeter, ModbusMeter
from tests.edge.test_drivers import ask_water
from tests.edge.test_drivers_bands import Line
from tests.edge.test_drivers_modbus import DIRECTLY, entry

METER = ELECTRICITY.meter


def number(value: str, *, size: int, decimals: int) -> bytes:
    return bcd.encode(Decimal(value), size=size, decimals=decimals)


VOLTS = [number(volts, size=2, decimals=1) for volts in ("220.1", "221.2", "222.3")]
AMPERES = [number(amperes, size=3, decimals=3) for amperes in ("1.500", "2.500", "3.500")]
KILOWATTS = [number(kw, size=3, decimals=4) for kw in ("1.6000", "0.3000", "0.5000", "0.8000")]
FACTOR = number("0.980", size=2, decimals=3)
HERTZ = number("49.98", size=2, decimals=2)
THREE_PHASES = {
    Measurand.VOLTAGE_A: Decimal("220.1"),
    Measurand.VOLTAGE_B: Decimal("221.2"),
    Measurand.VOLTAGE_C: Decimal("222.3"),
    Measurand.CURRENT_A: Decimal("1.500"),
    Measurand.CURRENT_B: Decimal("2.500"),
    Measurand.CURRENT_C: Decimal("3.500"),
    Measurand.POWER: Decimal("1.6000"),
    Measurand.POWER_A: Decimal("0.3000"),
    Measurand.POWER_B: Decimal("0.5000"),
    Measurand.POWER_C: Decimal("0.8000"),
    Measurand.POWER_FACTOR: Decimal("0.980"),
    Measurand.FREQUENCY: Decimal("49.98"),
}


def three_phase_meter() -> Line:
    meter = ElectricityMeter(METER.address, "100.00")
    meter.registers |= {
        0x0201FF00: b"".join(VOLTS),
        0x0202FF00: b"".join(AMPERES),
        0x0203FF00: b"".join(KILOWATTS),
        0x0206FF00: FACTOR * 4,
        0x02800002: HERTZ,
    }
    return Line(meter)


def single_phase_meter() -> Line:
    """It refuses blocks, as many with one phase do."""
    meter = ElectricityMeter(METER.address, "100.00")
    meter.registers |= {
        0x02010100: VOLTS[0],
        0x02020100: AMPERES[0],
        0x02030000: KILOWATTS[1],
        0x02060000: FACTOR,
    }
    return Line(meter)


def test_three_phases_are_measured_by_five_requests():
    line = three_phase_meter()

    measured = line.run(dlt645.measure(METER))

    assert measured == Measured(THREE_PHASES)
    assert line.asked == ["0201FF00", "0202FF00", "0203FF00", "0206FF00", "02800002"]


def test_a_meter_that_refuses_blocks_is_asked_only_for_what_it_has_from_then_on():
    line = single_phase_meter()

    first = line.run(dlt645.measure(METER))
    line.asked.clear()
    again = line.run(dlt645.measure(METER, Known(refused=first.refused)))

    assert again == first
    assert first.values == {
        Measurand.VOLTAGE_A: Decimal("220.1"),
        Measurand.CURRENT_A: Decimal("1.500"),
        Measurand.POWER: Decimal("0.3000"),
        Measurand.POWER_FACTOR: Decimal("0.980"),
    }
    assert line.asked == ["02010100", "02020100", "02030000", "02060000"]


def test_a_block_of_one_phase_and_phases_filled_with_ff_are_what_they_are():
    line = three_phase_meter()
    assert isinstance(line.meter, ElectricityMeter)
    line.meter.registers[0x0201FF00] = VOLTS[0]
    line.meter.registers[0x0202FF00] = AMPERES[0] + b"\xff" * 6

    values = line.run(dlt645.measure(METER)).values

    assert Measurand.VOLTAGE_A in values
    assert Measurand.CURRENT_A in values
    assert not values.keys() & {Measurand.VOLTAGE_B, Measurand.CURRENT_B, Measurand.CURRENT_C}


def test_what_is_learned_of_the_values_and_of_the_bands_is_kept_together():
    line = single_phase_meter()
    seen = line.run(dlt645.read(METER, with_bands=True))

    measured = line.run(dlt645.measure(METER, Known(refused=seen.refused)))

    assert seen.refused < measured.refused


def test_a_meter_of_1997_is_measured_item_by_item():
    meter = ElectricityMeter(METER.address, "100.00")
    meter.registers |= {
        0xB611: number("220", size=2, decimals=0),
        0xB621: number("1.50", size=2, decimals=2),
        0xB630: KILOWATTS[1],
    }
    line = Line(meter)

    measured = line.run(dlt645_1997.measure(METER))
    line.asked.clear()
    line.run(dlt645_1997.measure(METER, Known(refused=measured.refused)))

    assert measured.values == {
        Measurand.VOLTAGE_A: 220,
        Measurand.CURRENT_A: Decimal("1.50"),
        Measurand.POWER: Decimal("0.3000"),
    }
    assert line.asked == ["B611", "B621", "B630"]
    assert line.run(dlt645_1997.current(METER)) == Decimal("1.50")


@pytest.mark.parametrize(
    ("valve", "is_abnormal"), [(Valve.OPEN, False), (Valve.CLOSED, False), (Valve.ABNORMAL, True)]
)
def test_a_water_meter_tells_of_its_battery_and_its_valve(valve: Valve, is_abnormal: bool):
    meter = cj188_slave.MeterState(WATER.meter.address, total=Decimal("10.00"))
    meter.valve = valve
    meter.battery_low = True

    assert ask_water(meter, cj188.measure(WATER.meter)) == Measured(
        {}, is_battery_low=True, is_valve_abnormal=is_abnormal
    )


@pytest.mark.parametrize(
    ("profile", "shown", "settings", "values"),
    [
        # 2203 × 0.1 V; 150 × 0.01 A; 330 × 0.001 kW; 980 × 0.001; 5000 × 0.01 Hz
        ("acrel_ddsy1352",
         {"voltage": "089B", "current": "0096", "power_active": "014A", "power_factor": "03D4", "frequency": "1388"},
         DIRECTLY,
         {"voltage-a": "220.3", "current-a": "1.5", "power": "0.33", "power-factor": "0.98", "frequency": "50"}),
        # 435C4CCDH is the float 220.3, 43A50000H 330 W
        ("eastron_sdm120", {"voltage": "435C 4CCD", "power_active": "43A5 0000"}, {},
         {"voltage-a": "220.3", "current-a": "0", "power": "0.330", "power-factor": "0", "frequency": "0"}),
    ],
)  # fmt: skip
def test_a_modbus_meter_gives_its_values_in_one_unit_each(
    profile: str, shown: dict[str, str], settings: dict[str, str], values: dict[str, str]
):
    line = Line(ModbusMeter(profile))
    for name, sent in shown.items():
        assert isinstance(line.meter, ModbusMeter)
        line.meter.show(name, sent)

    measured = line.run(modbus.measure(entry(profile, **settings)))

    assert {what.value: value for what, value in measured.values.items()} == {
        name: Decimal(value) for name, value in values.items()
    }


def test_a_valve_on_modbus_tells_of_flow_battery_and_what_ails_it_by_one_request():
    line = Line(ModbusMeter("xintai_water_valve"))
    assert isinstance(line.meter, ModbusMeter)
    line.meter.show("valve_state", "000C")  # abnormal, and the battery is low
    line.meter.show("flow_rate", "0000 803F")  # 1.0
    line.meter.show("battery", "6666 6640")  # 3.6

    assert line.run(modbus.measure(entry("xintai_water_valve"))) == Measured(
        {Measurand.FLOW: Decimal(1), Measurand.BATTERY: Decimal("3.6")},
        is_battery_low=True,
        is_valve_abnormal=True,
    )
    assert len(line.asked) == 1


@pytest.mark.parametrize("name", profiles.names())
def test_every_model_can_be_measured(name: str):
    meter = replace(entry(name, **DIRECTLY))
    line = Line(ModbusMeter(name))

    measured = line.run(modbus.measure(meter))

    profile = profiles.load(name)
    known = {modbus.MEASURED[one] for one in modbus.MEASURED if one in profile.registers}
    assert measured.values.keys() == known
    assert len(line.asked) <= 5
