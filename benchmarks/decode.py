"""How fast frames are decoded, beside the decoders that others ship.

    python benchmarks/decode.py [--rounds 30] [--frames 2000]

Each round times every contender on the same frames, one after the other and each round in another
order, so that a slow moment of the machine falls on all. Printed are the median and the quartiles
of the time per frame, and of the ratio within a round. Before anything is timed, all must give the
same values. Resynchronisation and every check stay on: the same decoder object takes all frames of
a contender, as it takes those of a line.
"""

from __future__ import annotations

import argparse
import gc
import platform
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib.metadata import version
from statistics import quantiles
from struct import Struct, pack
from time import thread_time_ns
from typing import Any

from dlt645.protocol.frame import Frame as TheirFrame
from dlt645.protocol.protocol import DLT645Protocol
from dlt645.service.clientsvc.client_service import MeterClientService
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU
from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure
from protocols.cj188 import frame as cj188
from protocols.cj188.items import decode_water
from protocols.dlt645 import frame as dlt645
from protocols.dlt645 import master
from protocols.dlt645.items import decode_item
from protocols.modbus import frame as modbus

Decode = Callable[[bytes], Any]
"""Bytes of one frame to what it says."""

AIM = 4
FRAMES, SEED = 2000, 645
REGISTERS = (2, 10, 28, 100)


@dataclass(frozen=True, slots=True)
class Race:
    """Ours first. `aim` says whether the ratio of the second to the first is a promise."""

    name: str
    frames: Sequence[bytes]
    contenders: dict[str, Decode]
    is_promise: bool = True


METER = "012345678901"
ITEMS = {
    # Identifier: size, decimals of the item
    0x00010000: (4, 2),
    0x02010100: (2, 1),
    0x02030000: (3, 4),
}


def dlt645_race(chosen: random.Random, count: int) -> Race:
    """Replies to the reads of a round: energy, voltage, power; four FE before each."""
    frames = []
    for _ in range(count):
        di = chosen.choice(list(ITEMS))
        size, _ = ITEMS[di]
        data = bytes(chosen.randrange(8) << 4 | chosen.randrange(10) for _ in range(size))
        frames.append(
            dlt645.encode(dlt645.Frame(METER, 0x91, di.to_bytes(4, "little") + data), preamble=4)
        )
    return Race(
        "DL/T 645 reply to address, identifier, value",
        frames,
        {"ours": _ours_dlt645(), "dlt645": _theirs_dlt645()},
    )


def _ours_dlt645() -> Decode:
    feed = dlt645.Decoder(replies_only=True).feed

    def decode(data: bytes) -> tuple[int, Any]:
        (frame,) = feed(data)
        di, content = master.content(frame, address=METER)
        (value,) = decode_item(di, content)
        return di, value.value

    return decode


def _theirs_dlt645() -> Decode:
    service = MeterClientService(client=None)
    # It keeps addresses in the order of the wire.
    service.set_address("".join(METER[at : at + 2] for at in range(10, -1, -2)))

    def decode(data: bytes) -> tuple[int, Decimal]:
        _, frame = DLT645Protocol.deserialize_with_remaining(data)
        item = service.handle_response(frame)
        return item.di, item.value

    return decode


def without_debug_text(race: Race) -> Race:
    """The same again, for when the text of their debug line is not built: they build it for every
    frame, also when nobody logs."""
    return replace(race, name=f"{race.name}, their debug text spared", is_promise=False)


def modbus_race(chosen: random.Random, count: int, registers: int) -> Race:
    """Replies to one read of holding registers, each with other values."""
    request = modbus.encode(modbus.Frame(1, 0x03, pack(">HH", 0, registers)))
    frames = []
    for _ in range(count):
        values = [chosen.randrange(0x10000) for _ in range(registers)]
        data = pack(f">B{registers}H", 2 * registers, *values)
        frames.append(modbus.encode(modbus.Frame(1, 0x03, data)))
    return Race(
        f"Modbus reply of {registers} registers to unit and values",
        frames,
        {
            "ours": _ours_modbus(modbus.Decoder(requests=False).feed, registers),
            "pymodbus": _pymodbus(),
            "ours, knowing the request": _ours_knowing(request, registers),
        },
    )


def _ours_modbus(feed: Callable[[bytes], list[modbus.Frame]], registers: int) -> Decode:
    values = Struct(f">x{registers}H")

    def decode(data: bytes) -> tuple[int, tuple[int, ...]]:
        (frame,) = feed(data)
        if frame.unit != 1 or frame.function != 0x03:
            raise ValueError("another reply")
        return frame.unit, values.unpack(frame.data)

    return decode


def _ours_knowing(request: bytes, registers: int) -> Decode:
    """As a master reads: a decoder for each reply, which checks too that it answers the request."""
    values = Struct(f">x{registers}H")

    def decode(data: bytes) -> tuple[int, tuple[int, ...]]:
        (frame,) = modbus.ReplyDecoder(request, echoes=False).feed(data)
        return frame.unit, values.unpack(frame.data)

    return decode


def _pymodbus() -> Decode:
    framer = FramerRTU(DecodePDU(is_server=False))

    def decode(data: bytes) -> tuple[int, tuple[int, ...]]:
        _, pdu = framer.handleFrame(data, 1, 0)
        return pdu.dev_id, pdu.registers

    return decode


def cj188_race(chosen: random.Random, count: int) -> Race:
    """Water readings; nobody to compare with, so the time alone."""
    frames = []
    for _ in range(count):
        total = bytes(chosen.randrange(10) << 4 | chosen.randrange(10) for _ in range(4))
        data = bytes.fromhex("901F00") + 2 * (total + b"\x2c") + bytes.fromhex("05301815062620")
        frames.append(cj188.encode(cj188.Frame(0x10, "78330011223344", 0x81, data + b"\0\0")))
    feed = cj188.Decoder(replies_only=True).feed

    def decode(data: bytes) -> Decimal:
        (frame,) = feed(data)
        return decode_water(frame.data[3:]).total

    return Race("CJ/T 188 reply to a water reading", frames, {"ours": decode}, is_promise=False)


def check(race: Race) -> None:
    """Raises AssertionError if the contenders read a frame differently."""
    for frame in race.frames:
        values = [decode(frame) for decode in race.contenders.values()]
        for value in values[1:]:
            assert _plain(value) == _plain(values[0]), f"{frame.hex()}: {values}"


def _plain(value: Any) -> Any:
    match value:
        case Decimal() | float():
            return round(float(value), 6)
        case tuple() | list():
            return [_plain(one) for one in value]
    return value


def run(race: Race, rounds: int) -> dict[str, list[float]]:
    """Nanoseconds per frame of every contender, one figure a round."""
    names = list(race.contenders)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            decode = race.contenders[name]
            gc.collect()
            gc.disable()
            began = thread_time_ns()
            for frame in race.frames:
                decode(frame)
            taken[name].append((thread_time_ns() - began) / len(race.frames))
            gc.enable()
    return taken


def spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def rows(race: Race, rounds: int) -> list[tuple[str, ...]]:
    """One for each contender: its time, how many times the other's time is that of ours."""
    check(race)
    taken = run(race, rounds)
    other = next((name for name in race.contenders if not name.startswith("ours")), None)
    lines = []
    for name, times in taken.items():
        ratio = verdict = ""
        if other is not None and name.startswith("ours"):
            ratios = [theirs / ours for theirs, ours in zip(taken[other], times, strict=True)]
            ratio = spread(ratios, 2)
            if race.is_promise:
                verdict = "yes" if quantiles(ratios, n=4)[1] >= AIM else "NO"
        lines.append((race.name, name, spread([t / 1000 for t in times], 2), ratio, verdict))
    return lines


def figures(rounds: int) -> list[Figure]:
    """How many times faster than each peer, for what is promised."""
    chosen = random.Random(SEED)
    races = [
        dlt645_race(chosen, FRAMES),
        *(modbus_race(chosen, FRAMES, registers) for registers in REGISTERS),
    ]
    found = []
    for race in races:
        check(race)
        taken = run(race, 2 * rounds)
        other = next(name for name in race.contenders if not name.startswith("ours"))
        for name in (name for name in taken if name.startswith("ours")):
            ratios = (t / o for t, o in zip(taken[other], taken[name], strict=True))
            found.append(
                Figure(
                    "decoding",
                    race.name.partition(" to ")[0] + name.removeprefix("ours"),
                    tuple(ratios),
                    against=other,
                    bar=AIM if race.is_promise else None,
                    unit=" ×",
                )
            )
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--rounds", type=int, default=30)
    asked.add_argument("--frames", type=int, default=FRAMES)
    asked.add_argument("--seed", type=int, default=SEED)
    options = asked.parse_args()
    chosen = random.Random(options.seed)

    dlt645_frames = dlt645_race(chosen, options.frames)
    table = Table(title="Decoding, median (quartiles)")
    for heading in ("frames", "who", "µs a frame", "times faster", f"at least {AIM}"):
        table.add_column(heading)
    races = [
        dlt645_frames,
        *(modbus_race(chosen, options.frames, registers) for registers in REGISTERS),
        cj188_race(chosen, options.frames),
    ]
    for race in races:
        for row in rows(race, options.rounds):
            table.add_row(*row)
    shown = TheirFrame.__repr__
    TheirFrame.__repr__ = object.__repr__  # type: ignore[method-assign]
    try:
        for row in rows(without_debug_text(dlt645_frames), options.rounds):
            table.add_row(*row)
    finally:
        TheirFrame.__repr__ = shown  # type: ignore[method-assign]

    console = Console(width=130)
    console.print(
        f"Python {platform.python_version()}, dlt645 {version('dlt645')}, pymodbus {version('pymodbus')};"
        f" {options.rounds} rounds of {options.frames} frames, seed {options.seed}"
    )
    console.print(table)


if __name__ == "__main__":
    main()
