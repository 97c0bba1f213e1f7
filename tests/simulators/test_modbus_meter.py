"""Modbus meters of the bench: the registers of every profile, asked by our own master."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from protocols.exchange import Refused
from protocols.modbus import master, profile, tcp
from protocols.modbus.profile import DIRECT, Supply
from simulators.modbus_meter import BACKWARD

HOUR = 3600
SWITCHED = [name for name in profile.names() if (s := profile.load(name).switch) and s.on]


def meters(name, *, more="", head="", base=2200):
    return f"""
{head}
[[meter]]
protocol = "modbus-rtu"
line = "L1"
address = "1"
profile = "{name}"
opening = "100.00"
base = {base}
varying = 0
{more}
"""


@pytest.mark.parametrize("name", profile.names())
def test_the_energy_of_every_profile_is_what_flowed(bench, clock, name):
    its = bench(meters(name))
    clock.pass_s(HOUR)

    total = its.ask(profile.read_energy(1, profile.load(name), DIRECT), modbus=True)

    # 2.2 kW, or 2.2 m3 an hour; a meter that shows tenths or whole units cuts the rest
    assert Decimal("102") <= total <= Decimal("102.20")


@pytest.mark.parametrize("name", profile.names())
def test_every_register_that_a_profile_reads_is_there_and_can_be_read(bench, clock, name):
    its = bench(meters(name))
    layout = profile.load(name)
    readable = [r.name for r in layout.registers.values() if r.access != "w"]

    values = its.ask(profile.read_values(1, layout, readable, DIRECT), modbus=True)

    assert set(values) == set(readable)
    for one, value in values.items():
        unit = layout.registers[one].unit
        if unit == "Hz":
            assert value == 50
        if unit == "kWh" and any(part in one for part in BACKWARD):
            assert value == 0


def test_live_values_follow_the_load(bench):
    its = bench(meters("acrel_ddsy1352"))
    names = ["voltage", "current", "power_active", "frequency"]

    values = its.ask(
        profile.read_values(1, profile.load("acrel_ddsy1352"), names, DIRECT), modbus=True
    )

    # 2200 W at 220 V: 10 A
    assert values == {
        "voltage": Decimal("220.0"),
        "current": Decimal("10.00"),
        "power_active": Decimal("2.200"),
        "frequency": Decimal("50.00"),
    }


@pytest.mark.parametrize("name", SWITCHED)
def test_the_relay_or_valve_of_a_profile_is_switched_and_read_back(bench, clock, name):
    its = bench(meters(name, more="travel_ms = 5000"))
    layout = profile.load(name)
    assert layout.switch is not None

    its.ask(profile.switch(1, layout, Supply.OFF), modbus=True)
    clock.pass_s(5)
    stands = its.ask(profile.read_supply(1, layout), modbus=True)
    assert stands is (Supply.OFF if layout.switch.is_off else None)
    before = its.meter.register.total
    clock.pass_s(HOUR)
    assert its.meter.register.total == before

    its.ask(profile.switch(1, layout, Supply.ON), modbus=True)
    clock.pass_s(5)
    stands = its.ask(profile.read_supply(1, layout), modbus=True)
    assert stands is (Supply.ON if layout.switch.is_on else None)
    clock.pass_s(HOUR)
    # 2.2 in an hour
    assert its.meter.register.total - before == 22 * 360 * 10**9


def test_a_valve_in_motion_is_neither_on_nor_off(bench, clock):
    its = bench(meters("xintai_water_valve", more="travel_ms = 5000"))
    layout = profile.load("xintai_water_valve")

    its.ask(profile.switch(1, layout, Supply.OFF), modbus=True)

    assert its.ask(profile.read_supply(1, layout), modbus=True) is None


def test_a_half_open_valve_says_so_and_half_the_water_runs(bench, clock):
    its = bench(meters("xintai_water_valve", more="faults = { half_open_valve = 1 }"))
    layout = profile.load("xintai_water_valve")

    its.ask(profile.switch(1, layout, Supply.OFF), modbus=True)
    clock.pass_s(HOUR)

    values = its.ask(
        profile.read_values(1, layout, ["valve_state", "volume_forward", "flow_rate"], DIRECT),
        modbus=True,
    )
    # Half of 2.2 m3 an hour
    assert values == {
        "valve_state": "0004",
        "volume_forward": Decimal("101.1"),
        "flow_rate": Decimal("1.1"),
    }


def test_an_empty_battery_moves_no_valve(bench, clock):
    its = bench(meters("xintai_water_valve", more="battery_days = 10", head="time_scale = 86400"))
    layout = profile.load("xintai_water_valve")
    clock.pass_s(9)
    low = its.ask(profile.read_values(1, layout, ["valve_state"], DIRECT), modbus=True)
    assert low == {"valve_state": "0009"}
    clock.pass_s(1)

    its.ask(profile.switch(1, layout, Supply.OFF), modbus=True)

    assert its.ask(profile.read_supply(1, layout), modbus=True) is Supply.ON


def test_a_stuck_relay_of_a_modbus_meter_lets_energy_flow_on(bench, clock):
    its = bench(meters("acrel_ddsy1352", more="faults = { stuck_relay = 1 }"))
    layout = profile.load("acrel_ddsy1352")

    its.ask(profile.switch(1, layout, Supply.OFF), modbus=True)
    clock.pass_s(HOUR)

    # This model repeats the order, and what flows contradicts it
    order = its.ask(profile.read_values(1, layout, ["force_state"], DIRECT), modbus=True)
    assert order == {"force_state": 1}
    assert its.ask(profile.read_supply(1, layout), modbus=True) is Supply.ON
    assert its.ask(profile.read_energy(1, layout, DIRECT), modbus=True) == Decimal("102.20")


def test_a_relay_whose_key_is_wrong_refuses(bench):
    its = bench(meters("fineco_em115"))

    with pytest.raises(Refused) as refused:
        its.ask(master.write_registers(1, address=0x0566, values=[0x0001, 0xAAAA]), modbus=True)

    assert refused.value.code == 0x03
    assert not its.meter.is_off


@pytest.mark.parametrize(
    ("name", "exchange", "code"),
    [
        ("acrel_ddsy1352", master.read_holding(1, address=0x4000, count=1), 0x02),
        ("acrel_ddsy1352", master.read_input(1, address=0, count=1), 0x01),
        ("acrel_ddsy1352", master.write_single_register(1, address=0x57, value=1), 0x01),
        ("acrel_ddsy1352", master.write_registers(1, address=0x0000, values=[1]), 0x02),
        ("eastron_sdm120", master.read_input(1, address=0x0001, count=2), 0x02),
        ("eastron_sdm630", master.read_input(1, address=0x0000, count=82), 0x03),
    ],
)
def test_what_a_meter_does_not_have_is_refused_by_its_exception(bench, name, exchange, code):
    its = bench(meters(name))

    with pytest.raises(Refused) as refused:
        its.ask(exchange, modbus=True)

    assert refused.value.code == code


def test_written_settings_and_values_of_the_file_are_read_back_and_survive(bench):
    text = meters("acrel_ddsy1352", more="values = { power_limit = 9 }", head='state = "state"')
    its = bench(text)
    layout = profile.load("acrel_ddsy1352")
    its.ask(master.write_registers(1, address=0x0038, values=[40]), modbus=True)
    its.ask(profile.switch(1, layout, Supply.OFF), modbus=True)
    its.building.save()
    its.building.close()

    again = bench(text)

    values = again.ask(
        profile.read_values(1, layout, ["ct_ratio", "power_limit"], DIRECT), modbus=True
    )
    assert values == {"ct_ratio": 40, "power_limit": 9}
    assert again.ask(profile.read_supply(1, layout), modbus=True) is Supply.OFF
    assert again.meter.is_off


TCP = """
[[line]]
name = "L1"
modbus_tcp = 0
delay_ms = [0, 0]
{more}

[[meter]]
protocol = "modbus-tcp"
line = "L1"
address = "5"
profile = "eastron_sdm630"
opening = "100.00"
base = 0
varying = 0
"""


async def ask_over_tcp(bench, more="", *, within_s=2.0):
    its = bench(TCP.format(more=more))
    server = its.building.modbus_tcp(its.building.config.line[0])
    await server.open(0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    exchange = tcp.over_tcp(
        profile.read_energy(5, profile.load("eastron_sdm630"), DIRECT), transaction=7
    )
    decoder = tcp.Decoder()
    try:
        writer.write(next(exchange))
        while True:
            async with asyncio.timeout(within_s):
                data = await reader.read(512)
            if not data:
                raise ConnectionResetError("the gateway hung up")
            for frame in decoder.feed(data):
                writer.write(exchange.send(frame))
    except StopIteration as end:
        return end.value
    finally:
        writer.close()
        await server.close()


async def test_a_meter_answers_over_modbus_tcp(bench):
    assert await ask_over_tcp(bench) == Decimal("100")


async def test_a_gateway_may_be_silent_or_hang_up_in_the_middle(bench):
    with pytest.raises(TimeoutError):
        await ask_over_tcp(bench, "faults = { silence = 1 }", within_s=0.2)
    with pytest.raises(ConnectionResetError):
        await ask_over_tcp(bench, "faults = { truncation = 1 }")


def test_what_is_given_for_a_measured_register_stands_there_instead_of_what_is_measured(bench):
    # the mains of the bench are 220 V; 2200 W at that are 10 A
    its = bench(meters("acrel_ddsy1352", more="values = { voltage = 187 }"))
    layout = profile.load("acrel_ddsy1352")

    values = its.ask(profile.read_values(1, layout, ["voltage", "current"], DIRECT), modbus=True)

    assert values == {"voltage": 187, "current": 10}


def test_energy_is_counted_under_the_rate_number_of_the_hour(bench, clock):
    # the bench begins at 20:00; 2.2 kW: an hour of rate 2, three of rate 4; what was there before is flat
    periods = 'periods = { "00:00" = 4, "08:00" = 2, "21:00" = 4 }'
    its = bench(meters("acrel_dtsy1352", more=periods))
    layout = profile.load("acrel_dtsy1352")
    clock.pass_s(4 * HOUR)

    names = ["energy_total", *(rate.register for rate in layout.bands)]
    values = its.ask(profile.read_values(1, layout, names, DIRECT), modbus=True)

    assert values == {
        "energy_total": Decimal("108.80"),
        "energy_sharp": Decimal("0.00"),
        "energy_peak": Decimal("2.20"),
        "energy_flat": Decimal("100.00"),
        "energy_valley": Decimal("6.60"),
    }
    # over midnight rate 4 goes on, to 08:00
    clock.pass_s(9 * HOUR)
    later = its.ask(profile.read_values(1, layout, names, DIRECT), modbus=True)
    assert later["energy_valley"] == Decimal("24.20")  # eight hours more
    assert later["energy_peak"] == Decimal("4.40")  # one hour more


def test_what_was_counted_under_each_rate_number_survives(bench, clock):
    text = meters("acrel_dtsy1352", head='state = "state"', more='periods = { "00:00" = 1 }')
    its = bench(text)
    clock.pass_s(HOUR)
    its.ask(master.read_holding(1, address=0, count=2), modbus=True)
    its.building.save()
    its.building.close()

    layout = profile.load("acrel_dtsy1352")
    values = bench(text).ask(
        profile.read_values(1, layout, ["energy_sharp", "energy_flat"], DIRECT), modbus=True
    )

    assert values == {"energy_sharp": Decimal("2.20"), "energy_flat": Decimal("100.00")}
