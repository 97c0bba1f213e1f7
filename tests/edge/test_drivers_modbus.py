"""The Modbus driver against meters of their register profiles, over the simulated line."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from edge.drivers import BadMeter, Seen, modbus
from edge.lines.bus import Bus
from prepaid.point import Meter, Restore
from prepaid.reading import Supply
from protocols.exchange import Refused, Unexpected
from protocols.modbus import profile as profiles
from protocols.modbus.frame import READ_HOLDING, READ_INPUT
from protocols.modbus.slave import Table
from tests.edge.simulated import ELECTRICITY, EVENING, ModbusMeter, Wire, simulated

DIRECTLY = {"pt": "1", "ct": "1"}
CT_40 = {"energy_import": "4366 8000", "pt_ratio": "000A", "ct_ratio": "0028"}


def entry(profile: str, **settings: str) -> Meter:
    """What the cloud says of such a meter."""
    return replace(
        ELECTRICITY.meter,
        meter_no="M-1",
        protocol="modbus",
        address="1",
        settings={"profile": profile, **settings},
    )


class Line:
    """A bus with one meter."""

    def __init__(self, meter: ModbusMeter) -> None:
        self.wire = Wire([meter])
        self._bus = Bus("L1", self.wire, baud=9600, delay_s=0)

    async def read(self, meter: Meter) -> Seen:
        return await self._bus.run(lambda: modbus.read(meter), modbus.decoder)

    async def state(self, meter: Meter) -> Supply | None:
        return await self._bus.run(lambda: modbus.state(meter), modbus.decoder)

    async def switch(self, meter: Meter, supply: Supply, restore: Restore) -> None:
        await self._bus.run(lambda: modbus.switch(meter, supply, restore, EVENING), modbus.decoder)


@pytest.mark.parametrize(
    ("profile", "shown", "settings", "total", "supply"),
    [
        # 0001E240H = 123456, × 0.01; the person who connected it directly has said so. Not forced, the
        # meter does not say how its relay stands.
        ("acrel_ddsy1352", {"energy_total": "0001 E240"}, DIRECTLY, "1234.56", None),
        ("acrel_ddsy1352", {"energy_total": "0001 E240", "force_enable": "0001"}, DIRECTLY, "1234.56", "on"),
        # The same through transformers 200/5: × 40
        ("acrel_ddsy1352", {"energy_total": "0001 E240"}, {"pt": "1", "ct": "40"}, "49382.40", None),
        # 40 is set in the meter: 1234.56 × 40, and 10 of UrAt is PT 1
        ("acrel_adl400", {"energy_total": "0001 E240", "pt_ratio": "0001", "ct_ratio": "0028"}, {}, "49382.40", None),
        # 43668000H is the float 230.5
        ("chint_dtsu666", CT_40, {}, "9220.0", None),
        # A person knows better than the meter: it has been connected directly
        ("chint_dtsu666", CT_40, DIRECTLY, "230.5", None),
        ("eastron_sdm120", {"energy_total": "4366 8000"}, {}, "230.5", None),
        # Counts in MWh: 230.5 × 1000; the prefix 1 is the float 3F800000H
        ("eastron_sdm630", {"energy_total": "4366 8000", "energy_prefix": "3F80 0000"}, {}, "230500.0", None),
        ("ytl_orwe516", {"energy_total": "4366 8000"}, {}, "230.5", None),
        # Direct current, three decimals: 123456 × 0.001
        ("acrel_djsf1352", {"energy_import": "0001 E240"}, {}, "123.456", None),
        # A signed total below zero: -1 × 0.01
        ("acrel_adw300", {"energy_fwd": "FFFF FFFF"}, {}, "-0.01", None),
        ("hiking_dds238_2", {"energy_total": "0001 E240", "relay": "0001"}, {}, "1234.56", "on"),
        ("hiking_dds238_2", {"energy_total": "0001 E240"}, {}, "1234.56", "off"),
        ("fineco_em115", {"energy_total": "4366 8000", "relay_state": "AAAA"}, {}, "230.5", "off"),
        # All four bytes reversed: 3F0B851FH is 0.545
        ("xintai_water_valve", {"volume_forward": "1F85 0B3F", "valve_state": "0001"}, {}, "0.545", "on"),
        ("xintai_water_valve", {"volume_forward": "1F85 0B3F", "valve_state": "0002"}, {}, "0.545", "off"),
        # On its way
        ("xintai_water_valve", {"volume_forward": "1F85 0B3F"}, {}, "0.545", None),
    ],
)  # fmt: skip
@simulated
async def test_a_total_is_read_in_its_unit_with_the_supply_where_the_meter_can_say(
    profile: str,
    shown: dict[str, str],
    settings: dict[str, str],
    total: str,
    supply: str | None,
):
    meter = ModbusMeter(profile)
    for name, sent in shown.items():
        meter.show(name, sent)

    seen = await Line(meter).read(entry(profile, **settings))

    assert seen == Seen(Decimal(total), Supply(supply) if supply else None)


@pytest.mark.parametrize("profile", profiles.names())
@simulated
async def test_a_new_meter_of_every_profile_shows_nothing_yet(profile: str):
    meter = ModbusMeter(profile)
    for ratio in ("pt_ratio", "ct_ratio"):
        if ratio in meter.profile.registers:
            meter.show(ratio, "000A")

    line = Line(meter)
    seen = await line.read(entry(profile, **DIRECTLY))

    assert seen.total == 0
    assert {request[1] for request in line.wire.requests} <= {READ_HOLDING, READ_INPUT}


@pytest.mark.parametrize(
    ("profile", "settings", "before"),
    [
        ("acrel_ddsy1352", DIRECTLY, {"force_enable": "0001"}),
        ("acrel_dtsy1352", DIRECTLY, {"force_enable": "0001"}),
        ("fineco_em115", {}, {"relay_state": "5555", "serial_number": "00BC 614E"}),
        ("fineco_em737", {}, {"relay_state": "5555"}),
        ("hiking_dds238_2", {}, {"relay": "0001"}),
        ("xintai_water_valve", {}, {"valve_state": "0001"}),
    ],
)
@simulated
async def test_a_supply_is_cut_and_restored_and_read_back(
    profile: str, settings: dict[str, str], before: dict[str, str]
):
    meter = Relay(profile)
    for name, sent in before.items():
        meter.show(name, sent)
    line, known = Line(meter), entry(profile, **settings)
    assert await line.state(known) is Supply.ON

    await line.switch(known, Supply.OFF, Restore.DIRECT)
    assert await line.state(known) is Supply.OFF
    await line.switch(known, Supply.ON, Restore.DIRECT)
    assert await line.state(known) is Supply.ON
    # Nothing is ever written but the relay or valve.
    written = {
        int.from_bytes(request[2:4], "big")
        for request in line.wire.requests
        if request[1] not in (READ_HOLDING, READ_INPUT)
    }
    assert meter.profile.switch is not None
    assert meter.profile.switch.on is not None
    assert written == {meter.profile.switch.on.address}


class Relay(ModbusMeter):
    """It keeps what it was told where it is asked for it: the Fineco meters take it elsewhere."""

    def write(self, table: Table, address: int, values: Any) -> None:
        if self.profile.vendor == "Fineco":
            key, state = values
            serial = self.tables[Table.INPUT][0xFF00] << 16 | self.tables[Table.INPUT][0xFF01]
            assert key == (serial >> 24) + (serial >> 8) & 0x1234
            self.show("relay_state", f"{state:04X}")
        else:
            super().write(table, address, values)


@simulated
async def test_a_relay_that_repeats_its_order_is_not_believed_while_current_flows():
    meter = ModbusMeter("hiking_dds238_2")
    meter.show("relay", "0000")
    line, known = Line(meter), entry("hiking_dds238_2")

    meter.show("current", "0005")  # 0.05 A: nothing
    assert await line.state(known) is Supply.OFF
    meter.show("current", "0006")
    assert await line.state(known) is Supply.ON


@simulated
async def test_a_line_that_echoes_is_not_taken_for_the_valve_that_acknowledges_by_the_same_bytes():
    meter = ModbusMeter("xintai_water_valve")
    meter.show("valve_state", "0001")
    line, known = Line(meter), entry("xintai_water_valve")
    line.wire.echoes = True
    await line.read(known)

    line.wire.is_silent = True
    with pytest.raises(Exception, match="no reply on line L1 to 3 requests"):
        await line.switch(known, Supply.OFF, Restore.DIRECT)
    line.wire.is_silent = False
    await line.switch(known, Supply.OFF, Restore.DIRECT)

    assert await line.state(known) is Supply.OFF


@simulated
async def test_a_meter_without_the_register_of_its_relay_is_read_and_cannot_say_its_supply():
    meter = ModbusMeter("hiking_dds238_2")
    del meter.tables[Table.HOLDING][0x001A]

    seen = await Line(meter).read(entry("hiking_dds238_2"))

    assert (seen.total, seen.supply) == (0, None)


@simulated
async def test_a_meter_without_its_total_refuses():
    meter = ModbusMeter("hiking_dds238_2")
    meter.tables[Table.HOLDING].clear()

    with pytest.raises(Refused, match="illegal data address"):
        await Line(meter).read(entry("hiking_dds238_2"))


@simulated
async def test_a_total_that_is_no_number_is_not_a_reading():
    meter = ModbusMeter("eastron_sdm120")
    meter.show("energy_total", "7FC0 0000")

    with pytest.raises(Unexpected, match="no total"):
        await Line(meter).read(entry("eastron_sdm120"))


def test_a_relay_that_can_only_be_closed_from_afar_is_closed_only_with_consent():
    known = entry("hiking_dds238_2")

    with pytest.raises(BadMeter, match=r"M-1 .* no close permit"):
        next(modbus.switch(known, Supply.ON, Restore.ALLOW_CLOSE, EVENING))
    # Off needs no consent, and a valve has nobody at its wires.
    next(modbus.switch(known, Supply.OFF, Restore.ALLOW_CLOSE, EVENING))
    next(modbus.switch(entry("xintai_water_valve"), Supply.ON, Restore.ALLOW_CLOSE, EVENING))


@pytest.mark.parametrize("profile", ["eastron_sdm120", "ddm18sd"])
def test_a_meter_without_a_command_is_not_told_anything(profile: str):
    known = entry(profile)

    with pytest.raises(BadMeter, match="no command to go off is known for meter M-1"):
        next(modbus.switch(known, Supply.OFF, Restore.DIRECT, EVENING))
    assert not modbus.hides_armed(known)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (replace(entry("ddm18sd"), address="0"), "address of meter M-1 must be a unit"),
        (replace(entry("ddm18sd"), address="256"), "address of meter M-1"),
        (replace(entry("ddm18sd"), address="one"), "address of meter M-1"),
        (entry("moon"), "profile of meter M-1 cannot be used: no register profile 'moon'; there are acrel"),
        (replace(entry("ddm18sd"), settings={}), "profile of meter M-1"),
        (entry("acrel_ddsy1352"), 'must say "pt" and "ct"'),
        (entry("acrel_adl200"), 'must say "pt" and "ct"'),
        (entry("acrel_ddsy1352", ct="40"), "pt of meter M-1 must be a number above 0"),
        (entry("acrel_ddsy1352", pt="1", ct="0"), "ct of meter M-1"),
        (entry("acrel_ddsy1352", pt="1", ct="NaN"), "ct of meter M-1"),
    ],
)  # fmt: skip
def test_a_meters_entry_is_checked_before_anything_is_sent(known: Meter, message: str):
    with pytest.raises(BadMeter, match=message):
        next(modbus.read(known))


@pytest.mark.parametrize("settings", [{}, {"pt": "1", "ct": "40"}])
@simulated
async def test_only_one_of_driver_and_books_multiplies(settings: dict[str, str]):
    meter = ModbusMeter("acrel_adl400")
    for name, sent in {"energy_total": "0001 E240", "pt_ratio": "0001", "ct_ratio": "0028"}.items():
        meter.show(name, sent)
    twice = replace(entry("acrel_adl400", **settings), multiplier=Decimal(40))
    once = replace(entry("acrel_adl400", **DIRECTLY), multiplier=Decimal(40))

    with pytest.raises(BadMeter, match="M-1 would be multiplied twice: by PT 1 and CT 40"):
        await Line(meter).read(twice)
    assert (await Line(meter).read(once)).total == Decimal("1234.56")


@simulated
async def test_unset_ratios_are_not_multiplied_with():
    meter = ModbusMeter("acrel_adl400")
    meter.show("energy_total", "0001 E240")

    with pytest.raises(Unexpected, match="ratios PT 0 and CT 0"):
        await Line(meter).read(entry("acrel_adl400"))
