"""A scan finds exactly the meters that are on the line, also where they answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from decimal import Decimal

import pytest
from rich.console import Console

from edge.lines.place import Place, SerialAt
from edge.technician import scan as scanning
from edge.technician.answers import Protocol
from edge.technician.search import numbers
from edge.technician.search.found import Event, Found, Note, Progress
from edge.technician.search.search import Wanted
from protocols.cj188 import slave as cj188
from protocols.dlt645 import frame as dlt645_frame
from protocols.modbus import frame as modbus_frame
from protocols.modbus import slave as modbus
from tests.edge.simulated import simulated
from tests.wattwell.lines import PLACE, AnyMeter, Wire, bus, electricity
from wattwell.technician.scan_commands import look

ALL = tuple(Protocol)


def water(address: str, kind: int = 0x10) -> cj188.MeterState:
    """A meter that has counted so many hundredths of a cubic metre as its last four digits say."""
    return cj188.MeterState(address, type=kind, total=Decimal(address[-4:]).scaleb(-2))


async def events(
    meters: Iterable[AnyMeter] | Wire,
    protocols: tuple[Protocol, ...] = ALL,
    *,
    known: tuple[str, ...] = (),
    units: tuple[int, ...] = (1, 2, 3),
    by_pairs: bool = False,
) -> list[Event]:
    wire = meters if isinstance(meters, Wire) else Wire(meters)
    wanted = Wanted(known=known, units=units, reply_s=0.5, units_s=0.1, by_pairs=by_pairs)
    scan = scanning.scan([(PLACE, protocols)], lambda place: bus(wire), wanted)
    return [event async for event in scan]


def found(seen: list[Event]) -> list[tuple[str, str]]:
    return sorted((e.protocol.value, e.address) for e in seen if isinstance(e, Found))


def notes(seen: list[Event]) -> str:
    return " ".join(e.sentence for e in seen if isinstance(e, Note))


@simulated
async def test_one_meter_is_found_by_its_address_request():
    wire = Wire([electricity("201709320072")])

    seen = await events(wire, (Protocol.DLT645_2007,))

    assert found(seen) == [("dlt645-2007", "201709320072")]
    assert [str(e.said) for e in seen if isinstance(e, Found)] == ["186.00 kWh"]
    assert len(wire.requests) == 2  # whoever is there; and its register, by its own address


@simulated
async def test_meters_that_answer_at_once_are_parted_by_their_last_digits():
    addresses = ["202310450101", "202310450102", "202310450199", "000000000001"]

    seen = await events([electricity(a) for a in addresses], (Protocol.DLT645_2007,))

    # 0101 and 0001 end in the same pair: they are parted by the pair before
    assert found(seen) == sorted(("dlt645-2007", a) for a in addresses)
    assert "answer at once" in notes(seen)


@simulated
async def test_meters_that_differ_in_the_first_pair_alone_are_parted_at_the_last_question():
    seen = await events(
        [electricity("102310450101"), electricity("202310450101")], (Protocol.DLT645_2007,)
    )

    assert found(seen) == [("dlt645-2007", "102310450101"), ("dlt645-2007", "202310450101")]


@simulated
async def test_two_meters_of_one_address_are_said():
    wire = Wire([electricity("202310450101"), electricity("202310450101", "00999900")])

    seen = await events(wire, (Protocol.DLT645_2007,))

    assert found(seen) == []
    assert "Two meters have the address 202310450101" in notes(seen)
    # Whoever is there, then a hundred pairs; each of the two questions whose answer is clean is followed by three for
    # the register. Nothing more is asked of digits that both meters have.
    assert len(wire.requests) < 120


@simulated
async def test_electricity_and_water_on_one_line_are_all_found_and_nobody_else():
    meters = [
        electricity("202310450101"),
        electricity("202310450102"),
        electricity("202310450203"),
        water("78330011223344"),
    ]

    seen = await events(meters)

    assert found(seen) == [
        ("cjt188", "78330011223344"),
        ("dlt645-2007", "202310450101"),
        ("dlt645-2007", "202310450102"),
        ("dlt645-2007", "202310450203"),
    ]


@simulated
async def test_water_meters_of_different_types_are_parted_by_type():
    seen = await events(
        [water("78330011223344"), water("78330011223345", 0x11)], (Protocol.CJT188,)
    )

    assert found(seen) == [("cjt188", "78330011223344"), ("cjt188", "78330011223345")]


@simulated
async def test_water_meters_of_one_type_need_their_numbers():
    meters = [water("78330011223344"), water("78330011223345")]

    without = await events(meters, (Protocol.CJT188,))
    given = await events(
        meters, (Protocol.CJT188,), known=numbers.known_addresses("78330011223340-78330011223349")
    )

    # The addresses end in 44 and 45, whose bits together are 44: that one may come through
    assert ("cjt188", "78330011223345") not in found(without)
    assert "--known" in notes(without)
    assert found(given) == [("cjt188", "78330011223344"), ("cjt188", "78330011223345")]


@simulated
async def test_two_meters_of_a_known_address_are_said_and_not_passed_over():
    # what two meters say at once cannot be read, though the address is the right one
    power = [electricity("202310450101"), electricity("202310450101", total="00018612")]
    of_water = [water("78330023100102"), water("78330023100102")]
    of_water[1].total = Decimal("7.31")

    seen = await events(
        [*power, *of_water],
        (Protocol.DLT645_2007, Protocol.CJT188),
        known=("202310450101", "78330023100102"),
    )

    assert "Something answers for 78330023100102" in notes(seen)
    assert ("cjt188", "78330023100102") not in found(seen)


@simulated
async def test_modbus_units_are_found_by_any_answer():
    # Unit 3 has no register 0 and refuses: that is an answer too
    first = modbus.Registers(1)
    first.tables[modbus.Table.HOLDING][0] = 7
    third = modbus.Registers(3)

    seen = await events([first, third], (Protocol.MODBUS_RTU,))

    assert found(seen) == [("modbus-rtu", "1"), ("modbus-rtu", "3")]


@simulated
async def test_a_gateway_that_reaches_nobody_behind_it_is_no_meter():
    class Gateway(Wire):
        """Unit 2 is behind it; of the others it says that they do not answer."""

        async def write(self, data: bytes) -> None:
            await super().write(data)
            if data and data[0] != 2:
                code = 0x0A if data[0] == 1 else 0x0B
                nobody = modbus_frame.Frame(data[0], data[1] | 0x80, bytes([code]))
                self.arrive(modbus_frame.encode(nobody))

    seen = await events(Gateway([modbus.Registers(2)]), (Protocol.MODBUS_RTU,))

    assert found(seen) == [("modbus-rtu", "2")]


@simulated
async def test_an_echo_of_our_own_questions_is_nobody():
    wire = Wire([])
    wire.echoes = True

    seen = await events(wire)

    assert found(seen) == []
    assert notes(seen) == ""


@simulated
async def test_a_line_of_nothing_but_noise_ends_with_a_note_and_not_with_meters():
    wire = Wire([])
    wire.garbles = True

    seen = await events(wire, (Protocol.DLT645_2007,))

    assert found(seen) == []
    assert "that is noise" in notes(seen)
    assert len(wire.requests) < 1000


@simulated
async def test_a_line_that_talks_unasked_is_said():
    wire = Wire([electricity("201709320072")])
    asyncio.get_running_loop().call_later(0.2, wire.arrive, b"\x55\xaa")

    seen = await events(wire, (Protocol.DLT645_2007,))

    assert "bytes arrive unasked" in notes(seen)
    assert found(seen) == [("dlt645-2007", "201709320072")]


@simulated
async def test_a_meter_of_1997_is_found_where_none_of_2007_is():
    meter = electricity("000000000321")
    meter.registers = {0x9010: bytes.fromhex("00860100")}
    old = Wire([meter])

    seen = await events(old, (Protocol.DLT645_1997,))

    assert found(seen) == [("dlt645-1997", "000000000321")]


class OldAndNew(Wire):
    """A meter of 2007 that serves 1997 too, and one that knows 1997 alone: 11H and above say nothing to it."""

    def __init__(self) -> None:
        self.new = electricity("202310450101")
        self.new.registers[0x9010] = bytes.fromhex("00860100")
        self.old = electricity("000000000321")
        self.old.registers = {0x9010: bytes.fromhex("00860100")}
        super().__init__([])

    async def write(self, data: bytes) -> None:
        asked = dlt645_frame.Decoder().feed(data)
        is_old = bool(asked) and asked[0].function < 0x10
        self.meters = [self.new, self.old] if is_old else [self.new]
        await super().write(data)


@simulated
async def test_a_meter_of_1997_is_found_beside_one_of_2007_that_is_shown_once():
    seen = await events(OldAndNew(), (Protocol.DLT645_2007, Protocol.DLT645_1997))

    assert found(seen) == [("dlt645-1997", "000000000321"), ("dlt645-2007", "202310450101")]


@simulated
async def test_a_near_meter_that_drowns_the_others_hides_none_when_asked_by_pairs():
    wire = Wire([electricity("202310450101"), electricity("202310450102")])
    wire.first_drowns_others = True

    usual = await events(wire, (Protocol.DLT645_2007,))
    thorough = await events(wire, (Protocol.DLT645_2007,), by_pairs=True)

    assert len(found(usual)) == 1
    assert len(found(thorough)) == 2


@simulated
async def test_progress_never_runs_past_its_end():
    seen = await events([electricity("202310450101"), electricity("202310450102")])

    steps = [(e.done, e.total) for e in seen if isinstance(e, Progress)]
    assert steps == sorted(steps)
    assert all(done <= total for done, total in steps)
    assert steps[-1][0] == steps[-1][1]


@simulated
async def test_who_stops_a_scan_keeps_what_was_found():
    class Kept(list[Found]):
        def append(self, one: Found) -> None:
            super().append(one)
            some.set()

    some = asyncio.Event()
    kept = Kept()
    wire = Wire([electricity("202310450101"), electricity("202310450102")])
    wanted = Wanted(known=(), units=(), reply_s=0.5, units_s=0.1)
    scan = asyncio.create_task(
        look(
            [(PLACE, (Protocol.DLT645_2007,))],
            wanted,
            kept,
            [],
            Console(quiet=True),
            open_bus=lambda place: bus(wire),
            shows_rows=True,
        )
    )
    await some.wait()
    scan.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scan

    assert [one.address for one in kept] == ["202310450101"]


def test_modbus_is_looked_for_without_parity_too_but_a_serial_server_has_one_rate():
    serial = Place(SerialAt("/dev/ttyUSB0", 2400, "8E1"), delay_s=0)
    protocols = (Protocol.DLT645_2007, Protocol.MODBUS_RTU)

    visits = scanning.visits(serial, bauds=(2400, 9600), formats=(), protocols=protocols)

    assert [(str(place), len(asked)) for place, asked in visits] == [
        ("/dev/ttyUSB0 (2400 8E1)", 2),
        ("/dev/ttyUSB0 (2400 8N1)", 1),
        ("/dev/ttyUSB0 (9600 8E1)", 2),
        ("/dev/ttyUSB0 (9600 8N1)", 1),
    ]
    assert scanning.visits(PLACE, bauds=(2400, 9600), formats=(), protocols=protocols) == [
        (PLACE, protocols)
    ]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("201709320072", ("201709320072",)),
        ("000000000009-000000000011", ("000000000009", "000000000010", "000000000011")),
    ],
)
def test_known_addresses_are_single_or_a_range(text: str, addresses: tuple[str, ...]):
    assert numbers.known_addresses(text) == addresses


@pytest.mark.parametrize("text", ["1", "201709320072-1", "000000000002-000000000001", "A" * 12])
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(ValueError):
        numbers.known_addresses(text)


def test_units_are_single_or_ranges_within_1_to_247():
    assert numbers.units("1,5,17-19") == (1, 5, 17, 18, 19)
    for text in ("0", "248", "5-1", "x"):
        with pytest.raises(ValueError, match="is not a unit"):
            numbers.units(text)
