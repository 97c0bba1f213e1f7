"""Whatever is asked of a meter of the bench or written to it, it answers or is silent; the bench goes on."""

from __future__ import annotations

import random
from importlib import resources

import pytest

from protocols import bcd
from protocols.cj188 import frame as cj188
from protocols.dlt645 import frame as dlt645
from protocols.modbus import frame as modbus
from simulators.building import Building
from simulators.configuration import load

SHARED = [0x00, 0x01, 0x02, 0x03, 0x05, 0x09, 0x0A, 0x10, 0x15, 0x28, 0x30, 0x33, 0x80, 0x90, 0xFF]
OPERATOR = bytes(4)
PASSWORDS = {2: bytes(3), 4: bytes.fromhex("111111")}


def some_bytes(chance: random.Random, size: int) -> bytes:
    """BCD, or anything."""
    if chance.random() < 0.6:
        return bcd.from_digits("".join(chance.choices("0123456789", k=2 * size)))
    return chance.randbytes(size)


def identifier(chance: random.Random) -> bytes:
    di3 = chance.choice([*range(7), 4, 4, 4, 0x1D, 0x1E, 0x07])
    rest = [chance.choice([*SHARED, chance.randrange(256)]) for _ in range(3)]
    return bytes([*rest[::-1], di3])


def dlt645_2007(chance: random.Random) -> bytes:
    level = chance.choice((2, 4, 4, 7, 0x98, 0x99))
    who = bytes([level]) + PASSWORDS.get(level, bytes(3)) + OPERATOR
    function = chance.choice((0x03, 0x08, 0x11, 0x11, 0x12, 0x14, 0x14, 0x16, *range(0x17, 0x1E)))
    match function:
        case 0x11:
            data = identifier(chance) + some_bytes(chance, chance.choice((0, 0, 0, 1, 6)))
        case 0x12:
            data = identifier(chance) + chance.randbytes(1)
        case 0x14:
            sizes = (0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 32, 42)
            data = identifier(chance) + who + some_bytes(chance, chance.choice(sizes))
        case 0x03:
            di = chance.choice((0x070000FF, 0x070001FF, 0x070102FF, 0x078102FF)).to_bytes(
                4, "little"
            )
            data = di + OPERATOR + chance.randbytes(chance.choice((0, 6, 16, 22, 24)))
        case 0x1C:
            until = chance.choice((b"\x99" * 6, some_bytes(chance, 6)))
            data = who + bytes([chance.choice((0x1A, 0x1B, 0x1D, 0x3A, 0x77)), 1]) + until
        case 0x1B:
            data = who + identifier(chance)
        case _:
            data = who[:8] if function in (0x19, 0x1A) else some_bytes(chance, chance.randrange(14))
    return dlt645.encode(dlt645.Frame("202610450101", function, data))


def dlt645_1997(chance: random.Random) -> bytes:
    function = chance.choice((1, 1, 1, 2, 3, 4, 4, 0x0C, 0x0F, 0x10))
    di = bytes([chance.randrange(256), chance.choice((0x90, 0xA0, 0xB0, 0xB2, 0xB6, 0xC0, 0xC3))])
    password = b"\x04" + bytes(3)
    match function:
        case 1 | 2:
            data = di
        case 4:
            data = di + password + some_bytes(chance, chance.choice((0, 1, 2, 3, 4, 6)))
        case _:
            data = some_bytes(chance, chance.choice((0, 1, 8)))
    return dlt645.encode(dlt645.Frame("199800000042", function, data))


def water(chance: random.Random) -> bytes:
    known = (0x901F, 0xD120, 0x8102, 0x8105, 0xA010, 0xA011, 0xA013, 0xA014, 0xA015, 0xA016, 0xA017)
    di = chance.choice((*known, chance.randrange(0x10000))).to_bytes(
        2, chance.choice(("big", "little"))
    )
    data = di + b"\x01" + some_bytes(chance, chance.choice((0, 0, 1, 5, 7, 9, 15, 16)))
    control = chance.choice((0x01, 0x03, 0x04, 0x04, 0x09, 0x16))
    return cj188.encode(cj188.Frame(0x10, "78330026100101", control, data))


def registers(chance: random.Random) -> bytes:
    function = chance.choice((1, 3, 3, 4, 6, 0x10))
    address = chance.choice((chance.randrange(0x70), chance.randrange(0x10000)))
    head = address.to_bytes(2, "big")
    count = chance.choice((0, 1, 2, 60, 200))
    if function == 6:
        data = head + chance.randbytes(2)
    elif function == 0x10:
        words = min(count, 60)
        data = head + words.to_bytes(2, "big") + bytes([2 * words]) + chance.randbytes(2 * words)
    else:
        data = head + count.to_bytes(2, "big")
    return modbus.encode(modbus.Frame(1, function, data))


@pytest.mark.parametrize("request_of", [dlt645_2007, dlt645_1997, water, registers])
def test_no_request_stops_the_bench(tmp_path, clock, request_of):
    path = tmp_path / "meters.toml"
    path.write_text(resources.files("simulators").joinpath("example.toml").read_text("utf-8"))
    building = Building(load(path), tmp_path, clock, clock.local_time)
    stations = [s for line in building.config.line for s in building.stations(line)]
    chance = random.Random(f"anything but {request_of.__name__}")
    answered = 0

    for at in range(1500):
        request = request_of(chance)
        answered += sum(bool(station.hear(request)) for station in stations)
        if at % 10 == 0:
            clock.pass_s(chance.choice((1, 60, 600)))

    building.save()
    building.close()
    again = Building(load(path), tmp_path, clock, clock.local_time)
    assert [meter.state() for meter in again.meters.values()]
    assert answered > 500
    again.close()
