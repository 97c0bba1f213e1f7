"""A Modbus meter in the hands of the gateway: electricity costs ¥0.50 a kWh, the purse holds ¥1.00."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from prepaid.money import Money
from prepaid.point import Restore
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.uplog import Alarm, AlarmKind, Charged, Read, SupplyChanged
from tests.edge.simulated import ELECTRICITY, PURSE, WATER, ModbusMeter, Room, simulated

POINT = replace(
    ELECTRICITY,
    meter=replace(
        ELECTRICITY.meter,
        meter_no="DDS238-0301",
        protocol="modbus",
        address="1",
        settings={"profile": "hiking_dds238_2"},
    ),
    policy=replace(ELECTRICITY.policy, restore=Restore.DIRECT),
)
OFF, ON = "011000 1A000102 0000", "011000 1A000102 0001"


class Hiking(ModbusMeter):
    """Its relay is on, and 1 A flows while it is."""

    def __init__(self) -> None:
        super().__init__("hiking_dds238_2")
        self.show("relay", "0001")
        self.show("current", "0064")
        self.has_welded = False

    def write(self, table, address, values) -> None:  # type: ignore[no-untyped-def]
        super().write(table, address, values)
        flows = self.has_welded or values[0] == 1
        self.show("current", "0064" if flows else "0000")


def room_of(meter: Hiking, folder: Path) -> Room:
    room = Room(folder, points=(POINT,))
    room.wire.meters.append(meter)
    return room


async def use(room: Room, meter: Hiking, total: str) -> None:
    """Ten seconds pass, the register shows this many hundredths of a kWh, and the meter is visited."""
    await asyncio.sleep(10)
    meter.show("energy_total", f"{int(total) >> 16:04X} {int(total) & 0xFFFF:04X}")
    await room.agent.visit(POINT)


def orders(room: Room) -> list[str]:
    """The writes of the relay, without their CRC."""
    told = {bytes.fromhex(OFF): "off", bytes.fromhex(ON): "on"}
    return [told[request[:-2]] for request in room.wire.requests if request[1] == 0x10]


@simulated
async def test_a_modbus_meter_is_read_charged_cut_and_restored(tmp_path: Path):
    meter = Hiking()
    room = room_of(meter, tmp_path)
    await use(room, meter, "10000")

    # 1.20 kWh × 0.50 = 0.60, leaves 0.40; 0.81 kWh more: 2.01 × 0.50 = 1.005 → 1.01 in all, leaves -0.01
    await use(room, meter, "10120")
    assert room.store.balance(PURSE) == Money.yuan("0.40")
    assert orders(room) == []
    await use(room, meter, "10201")

    assert room.store.balance(PURSE) == Money.yuan("-0.01")
    assert orders(room) == ["off"]
    cut = room.told(SupplyChanged)[-1]
    assert (cut.supply, cut.wanted, cut.why) == (Supply.OFF, Supply.OFF, Why.NO_CREDIT)
    told = [transfer for charged in room.told(Charged) for transfer in charged.transfers]
    assert [transfer.amount for transfer in told] == [Money.yuan("0.60"), Money.yuan("0.41")]

    room.credit("20.00")
    await use(room, meter, "10201")

    assert orders(room) == ["off", "on"]
    back = room.told(SupplyChanged)[-1]
    assert (back.supply, back.wanted, back.why) == (Supply.ON, Supply.ON, Why.CREDIT)
    assert room.store.intent(POINT.id) is None


@simulated
async def test_a_relay_that_is_stuck_is_told_three_times_and_then_a_person_is(tmp_path: Path):
    meter = Hiking()
    meter.has_welded = True
    room = room_of(meter, tmp_path)
    await use(room, meter, "10000")

    for _ in range(6):
        await use(room, meter, "10300")  # 3 kWh × 0.50 = 1.50, leaves -0.50

    assert orders(room) == ["off"] * 3
    (alarm,) = [one for one in room.told(Alarm) if one.alarm is AlarmKind.SWITCH_FAILED]
    assert "still on after 3 commands to go off" in alarm.text


@simulated
async def test_without_consent_a_relay_is_not_closed_from_afar_and_a_person_is_told_why(
    tmp_path: Path,
):
    meter = Hiking()
    meter.show("relay", "0000")
    meter.show("current", "0000")
    room = Room(
        tmp_path,
        points=(replace(POINT, policy=replace(POINT.policy, restore=Restore.ALLOW_CLOSE)),),
    )
    room.wire.meters.append(meter)

    await room.agent.visit(next(iter(room.store.points().values())))

    assert orders(room) == []
    (alarm,) = [one for one in room.told(Alarm) if one.alarm is AlarmKind.CANNOT_SWITCH]
    assert "can only be closed from here" in alarm.text


@simulated
async def test_nobody_is_cut_whose_relay_could_not_be_closed_again_until_the_site_has_consented(
    tmp_path: Path,
):
    meter = Hiking()
    careful = replace(POINT, policy=replace(POINT.policy, restore=Restore.ALLOW_CLOSE))
    room = Room(tmp_path, points=(careful,))
    room.wire.meters.append(meter)
    for shown in ("10000", "10300", "10300"):  # 3 kWh × 0.50 = 1.50 of 1.00
        meter.show("energy_total", f"0000 {int(shown):04X}")
        await room.agent.visit(careful)
        await asyncio.sleep(5)

    def told() -> list[bool]:
        return [a.is_over for a in room.told(Alarm) if a.alarm is AlarmKind.CANNOT_SWITCH]

    assert (orders(room), told()) == ([], [False])

    with room.store.transaction():
        room.store.save_point(POINT)  # may be closed directly
    room.agent.take_up(POINT.id)
    await room.agent.visit(POINT)

    assert (orders(room), told()) == (["off"], [False, True])


@simulated
async def test_three_protocols_are_read_on_one_line(tmp_path: Path):
    meter = Hiking()
    meter.show("energy_total", "0000 2710")
    ours = replace(POINT, id=UUID(int=9))
    room = Room(tmp_path, points=(ELECTRICITY, WATER, ours))
    room.wire.meters.append(meter)
    agent = asyncio.create_task(room.agent.run())

    await asyncio.sleep(5)

    # 100.00 kWh in the DL/T 645 meter, 10.00 m3 in the CJ/T 188 meter, 10000 hundredths of a kWh in the Modbus meter
    read = {r.point: (r.reading.total, r.reading.supply) for r in room.told(Read)}
    assert read == {
        ELECTRICITY.id: (Decimal("100.00"), Supply.ON),
        WATER.id: (Decimal("10.00"), Supply.ON),
        ours.id: (Decimal("100.00"), Supply.ON),
    }
    agent.cancel()
