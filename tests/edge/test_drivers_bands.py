"""What drivers read of the meter's own bands, and how they ask a meter that refuses a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from edge.drivers import BadMeter, Driver, Known, Seen, dlt645, dlt645_1997, modbus, wants_bands
from prepaid.point import Restore
from prepaid.reading import Supply
from protocols import bcd
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import slave as dlt645_slave
from protocols.exchange import Refused
from protocols.modbus import frame as modbus_frame
from protocols.modbus import slave as modbus_slave
from protocols.modbus.slave import Table
from tests.edge.simulated import ELECTRICITY, EVENING, ElectricityMeter, ModbusMeter
from tests.edge.test_drivers_modbus import DIRECTLY, entry

METER = ELECTRICITY.meter
LOCAL = EVENING.replace(tzinfo=None)
FOUR = ["100.00", "10.00", "20.00", "30.00", "40.00"]
BY_NAME = {
    "sharp": Decimal("10.00"),
    "peak": Decimal("20.00"),
    "flat": Decimal("30.00"),
    "valley": Decimal("40.00"),
}


class Line:
    """A meter that is asked at once, and what it was asked: identifiers, or addresses and counts."""

    def __init__(self, meter: ElectricityMeter | ModbusMeter) -> None:
        self.meter = meter
        self.asked: list[Any] = []
        self.said: Callable[[dlt645_frame.Frame], dlt645_frame.Frame | None] = lambda frame: None

    def run(self, exchange: Any) -> Any:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(self._answer(request))
        except StopIteration as end:
            return end.value

    def _answer(self, request: bytes) -> Any:
        if isinstance(self.meter, ModbusMeter):
            (frame,) = modbus_frame.Decoder(requests=True).feed(request)
            self.asked.append(
                (int.from_bytes(frame.data[:2], "big"), int.from_bytes(frame.data[2:4], "big"))
            )
            return modbus_slave.answer(self.meter, frame)
        asked = dlt645_frame.decode(request)
        self.asked.append(f"{int.from_bytes(asked.data, 'little'):0{2 * len(asked.data)}X}")
        return self.said(asked) or dlt645_slave.answer(self.meter, asked, LOCAL)


def registers(*totals: str) -> bytes:
    return b"".join(bcd.encode(Decimal(total), size=4, decimals=2) for total in totals)


def meter_of_2007(*, block: bool = True) -> Line:
    meter = ElectricityMeter(METER.address, FOUR[0])
    for rate, total in enumerate(FOUR):
        meter.registers[0x00010000 | rate << 8] = registers(total)
    if block:
        meter.registers[0x0001FF00] = registers(*FOUR)
    return Line(meter)


def meter_of_1997(*, block: bool = True) -> Line:
    meter = ElectricityMeter(METER.address, FOUR[0])
    for rate, total in enumerate(FOUR):
        meter.registers[0x9010 + rate] = registers(total)
    if block:
        meter.registers[0x901F] = registers(*FOUR)
    return Line(meter)


EDITIONS = [
    (dlt645, meter_of_2007, "0001FF00", "00010100", ["04000503"]),
    (dlt645_1997, meter_of_1997, "901F", "9011", []),
]


@pytest.mark.parametrize(("driver", "make", "block", "_", "after"), EDITIONS)
def test_total_and_bands_come_by_one_request(
    driver: Driver, make: Callable[..., Line], block: str, _: str, after: list[str]
):
    line = make()

    seen = line.run(driver.read(METER, with_bands=True))

    assert (seen.total, seen.bands) == (Decimal("100.00"), BY_NAME)
    assert line.asked == [block, *after]
    assert seen.refused == frozenset()


@pytest.mark.parametrize(("driver", "make", "block", "first", "after"), EDITIONS)
def test_a_meter_that_refuses_the_block_is_asked_one_by_one_and_remembered(
    driver: Driver, make: Callable[..., Line], block: str, first: str, after: list[str]
):
    line = make(block=False)

    seen = line.run(driver.read(METER, with_bands=True))
    assert (seen.total, seen.bands) == (Decimal("100.00"), BY_NAME)
    line.asked.clear()
    again = line.run(driver.read(METER, Known(refused=seen.refused), with_bands=True))

    assert again == seen
    # four rates, no fifth any more, and the total
    assert block not in line.asked
    assert line.asked[0] == first
    assert len(line.asked) == 5 + len(after)


def test_an_answer_too_short_for_a_block_is_a_refusal():
    line = meter_of_2007()
    line.meter.registers[0x0001FF00] = registers("100.00")

    seen = line.run(dlt645.read(METER, with_bands=True))

    assert (seen.total, seen.bands) == (Decimal("100.00"), BY_NAME)
    assert 0x0001FF00 in seen.refused


def test_an_answer_that_is_no_block_at_all_is_a_refusal_too():
    line = meter_of_2007()
    line.meter.registers[0x0001FF00] = registers(*FOUR)[:-1]

    assert line.run(dlt645.read(METER, with_bands=True)).bands == BY_NAME


def test_another_error_is_not_learned_of_a_single_rate():
    line = meter_of_2007(block=False)
    line.said = lambda frame: (
        replace(frame, control=0xD1, data=b"\x01")
        if frame.data == bytes.fromhex("00030100")
        else None
    )

    seen = line.run(dlt645.read(METER, with_bands=True))
    line.said = lambda frame: None

    assert seen.bands == {"sharp": Decimal("10.00"), "peak": Decimal("20.00")}
    again = line.run(dlt645.read(METER, Known(refused=seen.refused), with_bands=True))
    assert again.bands == BY_NAME


def test_a_meter_without_rates_is_asked_for_its_total_alone_from_then_on():
    line = Line(ElectricityMeter(METER.address, "100.00"))
    seen = line.run(dlt645.read(METER, with_bands=True))
    line.asked.clear()

    again = line.run(dlt645.read(METER, Known(refused=seen.refused), with_bands=True))

    assert again.total == Decimal("100.00")
    assert again.bands is None
    assert line.asked == ["00010000", "04000503"]


def test_the_settings_say_which_band_each_rate_number_is():
    meter = replace(METER, settings={**METER.settings, "bands": "peak, valley"})

    seen = meter_of_2007().run(dlt645.read(meter, with_bands=True))

    assert seen.bands == {"peak": Decimal("10.00"), "valley": Decimal("20.00")}


@pytest.mark.parametrize("bands", ["", "peak,,valley", "peak,peak"])
def test_bands_that_name_no_band_or_one_twice_are_refused(bands: str):
    meter = replace(METER, settings={**METER.settings, "bands": bands})

    with pytest.raises(BadMeter, match=f"bands of meter {METER.meter_no} must name"):
        next(dlt645.read(meter, with_bands=True))


def test_bands_are_read_where_they_are_charged_by_or_named():
    named = replace(ELECTRICITY, meter=replace(METER, settings={"bands": "peak,valley"}))

    assert not wants_bands(ELECTRICITY)
    assert wants_bands(named)
    assert wants_bands(replace(ELECTRICITY, trusts_meter_bands=True))


def test_without_being_asked_for_bands_nothing_more_is_read_than_before():
    line = meter_of_2007()

    assert line.run(dlt645.read(METER)) == Seen(Decimal("100.00"), Supply.ON)
    assert line.asked == ["00010000", "04000503"]


def test_a_meter_of_1997_says_nothing_of_a_supply_and_takes_no_command():
    line = meter_of_1997()

    assert line.run(dlt645_1997.read(METER)) == Seen(Decimal("100.00"), None)
    assert line.run(dlt645_1997.state(METER)) is None
    assert not dlt645_1997.hides_armed(METER)
    with pytest.raises(BadMeter, match=r"DL/T 645-1997, which has no command to switch"):
        line.run(dlt645_1997.switch(METER, Supply.OFF, Restore.DIRECT, EVENING))


# Modbus.


def acrel() -> Line:
    meter = ModbusMeter("acrel_dtsy1352")
    for name, total in zip(("total", "sharp", "peak", "flat", "valley"), FOUR, strict=True):
        meter.show(f"energy_{name}", f"0000 {int(Decimal(total) * 100):04X}")
    return Line(meter)


def test_the_registers_of_bands_are_read_with_the_total_by_one_request():
    line = acrel()

    seen = line.run(modbus.read(entry("acrel_dtsy1352", **DIRECTLY), with_bands=True))

    assert (seen.total, seen.bands) == (Decimal("100.00"), BY_NAME)
    assert line.asked[0] == (0x0000, 10)


def test_bands_are_multiplied_as_the_total_is():
    seen = acrel().run(modbus.read(entry("acrel_dtsy1352", pt="1", ct="40"), with_bands=True))

    assert seen.total == 4000
    assert seen.bands == {band: 40 * total for band, total in BY_NAME.items()}


def test_the_ratio_set_in_the_meter_is_read_along_with_the_total():
    # 0 to 8FH would be 140 registers: two requests; total and bands by the first
    meter = ModbusMeter("acrel_adl400")
    for name, sent in {"energy_total": "0001 E240", "pt_ratio": "0001", "ct_ratio": "0028"}.items():
        meter.show(name, sent)
    line = Line(meter)

    seen = line.run(modbus.read(entry("acrel_adl400"), with_bands=True))

    assert seen.total == Decimal("49382.40")
    assert line.asked == [(0x0000, 10), (0x008D, 2)]


def test_rates_that_have_but_a_number_must_be_named_by_somebody():
    line = Line(ModbusMeter("ytl_orwe514"))
    line.meter.show("energy_t1", "0001 E240")

    with pytest.raises(BadMeter, match=r"M-1 .* counts 2 rates by number alone"):
        line.run(modbus.read(entry("ytl_orwe514"), with_bands=True))
    seen = line.run(modbus.read(entry("ytl_orwe514", bands="peak,valley"), with_bands=True))
    assert seen.bands == {"peak": Decimal("1234.56"), "valley": Decimal("0.00")}
    with pytest.raises(BadMeter, match=r"names 3, but its profile .* has registers for 2"):
        line.run(modbus.read(entry("ytl_orwe514", bands="peak,flat,valley"), with_bands=True))


def test_a_model_without_bands_is_read_all_the_same():
    line = Line(ModbusMeter("hiking_dds238_2"))

    assert line.run(modbus.read(entry("hiking_dds238_2"), with_bands=True)).bands is None


def test_total_and_supply_come_by_one_request_where_that_is_cheaper():
    # the total at 1 and 2, the valve at 1CH; 25 registers between them take 57 ms at 9600, a second request 75
    line = Line(ModbusMeter("xintai_water_valve"))
    line.meter.show("valve_state", "0001")

    assert line.run(modbus.read(entry("xintai_water_valve"))).supply is Supply.ON
    assert line.asked == [(1, 28)]
    # at 2400 they take 229 ms, a second request with a quick meter 60 + 40
    line.asked.clear()
    line.run(modbus.read(entry("xintai_water_valve"), Known(byte_us=4583, turn_us=40_000)))
    assert line.asked == [(1, 2), (28, 1)]


def test_what_flows_is_not_asked_for_again_where_it_was_read_along():
    line = Line(ModbusMeter("xintai_water_valve"))
    line.meter.show("valve_state", "0002")
    line.meter.show("flow_rate", "0000 803F")  # 1.0, all four bytes reversed: a valve that leaks

    assert line.run(modbus.read(entry("xintai_water_valve"))).supply is Supply.ON
    assert line.asked == [(1, 28)]


def test_a_modbus_meter_that_refuses_a_gap_is_asked_around_it_from_then_on():
    line = Line(ModbusMeter("xintai_water_valve"))
    line.meter.show("volume_forward", "1F85 0B3F")
    line.meter.show("valve_state", "0001")
    del line.meter.tables[Table.HOLDING][0x0010]
    known = entry("xintai_water_valve")

    seen = line.run(modbus.read(known))
    line.asked.clear()
    again = line.run(modbus.read(known, Known(refused=seen.refused)))

    assert (seen.total, seen.supply) == (Decimal("0.545"), Supply.ON)
    assert again == seen
    assert line.asked == [(1, 2), (28, 1)]


def test_a_relay_that_fails_once_is_asked_again_the_next_time():
    line = Line(ModbusMeter("hiking_dds238_2"))
    line.meter.show("relay", "0001")
    known, fails = entry("hiking_dds238_2"), [True]
    read = line.meter.read

    def failing(table: Table, address: int, count: int) -> Any:
        if fails[0] and address + count > 0x001A:
            raise modbus_slave.Declined(modbus_slave.Fault.FAILURE)
        return read(table, address, count)

    line.meter.read = failing  # type: ignore[method-assign]
    seen = line.run(modbus.read(known))
    assert (seen.supply, seen.refused) == (None, frozenset())
    fails[0] = False

    assert line.run(modbus.read(known, Known(refused=seen.refused))).supply is Supply.ON


def test_a_meter_that_refuses_its_ratios_says_so():
    line = Line(ModbusMeter("chint_dtsu666"))
    for name in ("pt_ratio", "ct_ratio"):
        for _, address in line.meter.profile.registers[name].keys:
            del line.meter.tables[Table.HOLDING][address]

    with pytest.raises(Refused, match="illegal data address"):
        line.run(modbus.read(entry("chint_dtsu666")))
