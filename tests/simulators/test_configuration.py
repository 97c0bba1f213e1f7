"""meters.toml: its mistakes are told all at once, each with its place; its example is a bench."""

from __future__ import annotations

from decimal import Decimal
from importlib import resources

import pytest

from simulators.building import Building
from simulators.configuration import BadConfig, load

LINE = """
[[line]]
name = "L1"
tcp = 0
"""
POWER = """
[[meter]]
protocol = "dlt645-2007"
line = "L1"
address = "202610450101"
"""


def complaints(folder, text):
    path = folder / "meters.toml"
    path.write_text(text)
    with pytest.raises(BadConfig) as refused:
        load(path)
    return [line.removeprefix(str(path)) for line in str(refused.value).splitlines()]


def test_every_mistake_is_told_at_once_with_its_line_and_meter(tmp_path):
    told = complaints(
        tmp_path,
        """time_scale = 0
[[line]]
name = "L1"
tcp = 0
baud = 2401

[[meter]]
protocol = "dlt645-2007"
line = "L1"
address = "4711"

[[meter]]
protocol = "dlt645-2007"
line = "L9"
address = "202610450101"
faults = { stuck_relais = 1 }

[[meter]]
protocol = "modbus-rtu"
line = "L1"
address = "248"
profile = "acrel_ddsy1353"

[[meter]]
protocol = "profibus"
line = "L1"
address = "1"
""",
    )

    wanted = [
        (": time_scale:", "from 1 to 86400"),
        (":2: line L1: baud:", "2400"),
        (":7: meter 4711: address:", "12 digits"),
        (":12: meter 202610450101: faults.stuck_relais:", "stuck_relay"),
        (":18: meter 248: address:", "1 to 247"),
        (":18: meter 248: profile: there is no acrel_ddsy1353", "acrel_ddsy1352"),
        (":24: meter 1: protocol: must be one of", "cjt188-2004"),
    ]
    for place, hint in wanted:
        assert any(line.startswith(place) and hint in line for line in told), (place, told)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (LINE + POWER + 'periods = { "08:00" = 1 }', "periods: from 00:00 on"),
        (LINE + POWER + 'periods = { "00:00" = 5 }', "periods.00:00: there are 4 tariffs"),
        (LINE + POWER + 'parameters = { "04000103" = "0015" }', "04000103 has 2 digits"),
        (LINE + POWER + 'parameters = { "04000501" = "0015" }', "not one value that can be"),
        (LINE + POWER + "faults = { reset_register = 1 }", "say when with faults_after_s"),
        (LINE + POWER + "faults = { silence = 2 }", "faults.silence"),
        (LINE + POWER + POWER, "two_on_one_address = 1 } makes a second"),
        (LINE + LINE + POWER, "there are two of this name"),
        (LINE, "there must be a [[meter]]"),
        (POWER, "there must be a [[line]]"),
        (LINE.replace("tcp", "modbus_tcp") + POWER, "line L1 is Modbus TCP"),
        (
            LINE.replace("tcp = 0", "modbus_tcp = 0\nfaults = { echo = 1 }") + POWER,
            "faults.echo: a connection has none",
        ),
        (LINE + POWER + 'purse = { sells = "money", balance = "1.005" }', "purse.balance"),
        (
            LINE
            + '[[meter]]\nprotocol = "cjt188-2004"\nline = "L1"\naddress = "78330026100101"\n'
            + 'purse = { balance = "1", prices = ["2", "3"] }',
            "purse.steps_m3: one less than prices",
        ),
        (
            LINE + '[[meter]]\nprotocol = "modbus-rtu"\nline = "L1"\naddress = "1"\n'
            'profile = "ytl_orwe504"\nvalues = { relais = 1 }',
            "values.relais: ytl_orwe504 has no such register",
        ),
        (
            LINE + '[[meter]]\nprotocol = "modbus-rtu"\nline = "L1"\naddress = "1"\n'
            'profile = "ytl_orwe514"\nperiods = { "00:00" = 3 }',
            "periods.00:00: ytl_orwe514 counts under 2 rate numbers",
        ),
        (
            LINE + '[[meter]]\nprotocol = "modbus-rtu"\nline = "L1"\naddress = "1"\n'
            'profile = "ytl_orwe514"\nperiods = { "08:00" = 2 }',
            "periods: from 00:00 on",
        ),
        *(
            (
                LINE + '[[meter]]\nprotocol = "modbus-rtu"\nline = "L1"\naddress = "1"\n'
                f'profile = "eastron_sdm230"\nvalues = {{ {name} = {value} }}',
                f"values.{name}: {value} does not fit into a register of {kind}",
            )
            for name, value, kind in (
                ("meter_code", 65536, "u16"),
                ("meter_code", -1, "u16"),
                ("serial_number", 4294967296, "u32"),
                ("baud_index", 16777217, "float32"),
            )
        ),
        (LINE + '[[meter]]\nline = "L1"', "meter without address: protocol: is missing"),
        (LINE + POWER + 'colour = "red"', "colour: there is no such key"),
        (LINE.replace("tcp", "tpc") + POWER, "tpc: there is no such key"),
        (
            LINE + POWER + 'happens = [{ what = "power-off" }]',
            "happens.0.after_s: is missing",
        ),
        ("line = [1]\nmeter = [2]", "line ?: a table is wanted"),
        ("line = [1]\nmeter = [2]", "meter ?: a table is wanted"),
    ],
)
def test_a_contradiction_is_refused_by_name(tmp_path, text, complaint):
    assert any(complaint in line for line in complaints(tmp_path, text))


def test_a_bench_without_state_begins_anew_and_writes_nothing(tmp_path, clock):
    path = tmp_path / "meters.toml"
    path.write_text(LINE + POWER + 'opening = "5.00"')

    building = Building(load(path), tmp_path, clock, clock.local_time)
    clock.pass_s(3600)
    building.save()
    building.close()

    assert [file.name for file in tmp_path.iterdir()] == ["meters.toml"]


def test_the_faults_of_a_line_are_shown_with_each_of_its_meters(tmp_path, clock):
    (tmp_path / "meters.toml").write_text(
        LINE + "faults = { noise = 0.02 }\n" + POWER + "faults = { rollover = 1 }\n"
    )

    bench = Building(load(tmp_path / "meters.toml"), tmp_path, clock)

    assert [faults for *_, faults in bench.rows()] == ["noise, rollover"]


def test_units_of_modbus_are_told_apart_by_their_line(tmp_path, clock):
    unit = (
        '[[meter]]\nprotocol = "modbus-rtu"\nline = "{}"\naddress = "1"\nprofile = "ytl_orwe504"\n'
    )
    path = tmp_path / "meters.toml"
    path.write_text(LINE + LINE.replace("L1", "L2") + unit.format("L1") + unit.format("L2"))

    building = Building(load(path), tmp_path, clock, clock.local_time)

    assert len(building.meters) == 2


def test_the_example_is_a_bench_with_a_meter_of_each_protocol(tmp_path, clock):
    path = tmp_path / "meters.toml"
    path.write_text(resources.files("simulators").joinpath("example.toml").read_text("utf-8"))

    config = load(path)
    building = Building(config, tmp_path, clock, clock.local_time)
    clock.pass_s(3600)
    building.save()

    assert {meter.protocol for meter in config.meter} == {
        "dlt645-2007",
        "dlt645-1997",
        "cjt188-2004",
        "modbus-rtu",
        "modbus-tcp",
    }
    assert len(building.meters) == len(config.meter) + 1  # one has a twin
    assert building.meters["dlt645-2007:202610450101"].register.shown > Decimal("4823.61")
    assert [row[4] for row in building.rows()].count("none") == 3  # L1 has noise and truncation
    building.close()
