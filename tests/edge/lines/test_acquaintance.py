"""What the gateway remembers of how its meters want to be asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from edge.drivers import Known
from edge.lines.acquaintance import Acquaintances
from prepaid.wire.downlog import PointSet, TariffSet
from prepaid.wire.uplog import Charged, Read
from protocols import bcd
from protocols.dlt645.frame import Decoder
from tests.edge.simulated import ELECTRICITY, ElectricityMeter, Room, simulated, tariff

TRUSTED = replace(ELECTRICITY, trusts_meter_bands=True)
REFUSED = frozenset({0x0001FF00})


def known(met: Acquaintances, meter: object = TRUSTED.meter) -> frozenset[int]:
    assert isinstance(meter, type(TRUSTED.meter))
    return met.known(TRUSTED.id, meter, byte_s=0.001, turn_s=0.05).refused


def test_what_a_meter_refuses_is_forgotten_with_the_meter():
    met = Acquaintances()
    met.note(TRUSTED.id, TRUSTED.meter, REFUSED)

    assert known(met) == REFUSED
    assert not known(met, replace(TRUSTED.meter, meter_no="another"))
    assert not known(met, replace(TRUSTED.meter, settings={}))


def test_what_a_request_costs_is_told_in_steps():
    # 11 bits at 2400: 4583 µs; 41 ms are told as 50
    told = Acquaintances().known(TRUSTED.id, TRUSTED.meter, byte_s=11 / 2400, turn_s=0.041)

    assert told == Known(frozenset(), byte_us=4583, turn_us=50_000)


def show(meter: ElectricityMeter, *energies: str, block: bool) -> None:
    """Total and rates; by the block too, or not."""
    sent = [bcd.encode(Decimal(one), size=4, decimals=2) for one in energies]
    meter.registers |= {0x00010000 | rate << 8: one for rate, one in enumerate(sent)}
    meter.registers.pop(0x0001FF00, None)
    if block:
        meter.registers[0x0001FF00] = b"".join(sent)


def asked(room: Room) -> list[bytes]:
    """The identifiers asked for since the last call."""
    sent = [frame for request in room.wire.requests for frame in Decoder().feed(request)]
    room.wire.requests.clear()
    return [frame.data[::-1] for frame in sent]


BY_BAND = tariff("power", "electricity", "0.50").document | {
    "versions": [
        {
            "effective_from": "2026-01-01T00:00:00+08:00",
            "bands": [{"band": "valley", "from": "22:00", "to": "06:00"}, {"band": "peak"}],
            "components": [
                {"item": "energy", "kind": "rate", "price": {"peak": "0.50", "valley": "0.10"}}
            ],
        }
    ]
}
BANDS = {**TRUSTED.meter.settings, "bands": "peak,valley"}


@simulated
async def test_a_trusted_meter_says_in_which_band_its_customer_is_charged(tmp_path: Path):
    point = replace(TRUSTED, meter=replace(TRUSTED.meter, settings=BANDS))
    room = Room(tmp_path, [point])
    with room.store.transaction():
        room.store.save_tariff(TariffSet(BY_BAND))
    show(room.meter, "100.00", "60.00", "40.00", block=True)
    await room.agent.visit(point)

    # 18:00 in Shanghai, and the meter counts as valley: 1 kWh at ¥0.10
    show(room.meter, "101.00", "60.00", "41.00", block=True)
    await room.agent.visit(point)

    (charged,) = (message for message in room.told(Charged) if message.transfers)
    assert charged.transfers[0].amount.fen == 10
    assert room.told(Read)[-1].reading.bands == {
        "peak": Decimal("60.00"),
        "valley": Decimal("41.00"),
    }


@simulated
async def test_a_meter_that_refuses_the_block_of_its_bands_is_asked_for_it_once(tmp_path: Path):
    point = replace(TRUSTED, meter=replace(TRUSTED.meter, settings=BANDS))
    room = Room(tmp_path, [point])
    show(room.meter, "100.00", "60.00", "40.00", block=False)
    block = bytes.fromhex("0001FF00")

    await room.agent.visit(point)
    assert asked(room).count(block) == 1
    await room.agent.visit(point)
    assert block not in asked(room)

    # its entry changes: another meter perhaps
    changed = replace(point, meter=replace(point.meter, address="201709320072", digits=8))
    with room.store.transaction():
        room.store.save_point(PointSet(changed).point)
    room.agent.reload()
    await room.agent.visit(changed)
    assert asked(room).count(block) == 1
