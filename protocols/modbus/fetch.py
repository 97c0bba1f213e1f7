"""Registers fetched from a meter by as few requests as it allows; what it refuses is found out once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from protocols.exchange import Exchange, Refused
from protocols.modbus import frame as frames
from protocols.modbus import master
from protocols.modbus.frame import Frame
from protocols.modbus.layout import Profile, Register, Words
from protocols.modbus.plan import Cost, Read, covering, steps

LASTING = frozenset({0x01, 0x02, 0x03})
"""Exceptions that say what a meter has not: function, address, count. A failure of the device may pass."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The words that the meter gave, and the reads that it refuses, those known before among them."""

    words: Words
    refused: frozenset[Read]


def fetch(
    unit: int,
    profile: Profile,
    wanted: Collection[str],
    *,
    cost: Cost,
    refused: frozenset[Read],
    is_bold: bool = False,
) -> Exchange[Frame, Fetched]:
    """The wanted registers and those they depend on, as far as the meter has them, by the cheapest plan,
    a bold one or not.

    What is refused together is read in halves, cut at the widest gap, down to the registers that are refused
    alone: so the smallest reads that are refused become known, and are not tried again by a plan that is told.

    Raises ValueError as `plan`, and Unexpected as `master`.
    """
    words: dict[tuple[int, int], int] = {}
    found = set(refused)
    for read, registers in steps(profile, frozenset(wanted), cost, refused, is_bold):
        yield from _halve(unit, profile, read, registers, words, found)
    return Fetched(words, refused if len(found) == len(refused) else frozenset(found))


def ask(unit: int, read: Read) -> Exchange[Frame, dict[tuple[int, int], int]]:
    """The words of one read."""
    by_function = master.read_holding if read.function == frames.READ_HOLDING else master.read_input
    values = yield from by_function(unit, address=read.address, count=read.count)
    return {(read.function, read.address + at): value for at, value in enumerate(values)}


def _halve(
    unit: int,
    profile: Profile,
    read: Read,
    registers: Sequence[Register],
    words: dict[tuple[int, int], int],
    refused: set[Read],
) -> Exchange[Frame, bool]:
    """Whether the meter gave all of these at the first asking; what it gave is in words."""
    try:
        words |= yield from ask(unit, read)
    except Refused as error:
        if len(registers) == 1:
            if error.code in LASTING:
                refused.add(read)
            return False
        at = _cut(registers)
        are_whole = True
        for half in (registers[:at], registers[at:]):
            is_whole = yield from _halve(
                unit, profile, covering(profile, half), half, words, refused
            )
            are_whole = are_whole and is_whole
        if are_whole and error.code in LASTING:
            refused.add(read)  # both are there, so it is what lies between them, or their number
        return False
    return True


def _cut(registers: Sequence[Register]) -> int:
    """Before which of the registers to cut: where the gap is widest, and among such nearest the middle."""
    middle = len(registers) / 2

    def gap(at: int) -> tuple[int, float]:
        before = registers[at - 1]
        wide = registers[at].address - before.address - before.count
        return (-wide, abs(at - middle))

    return min(range(1, len(registers)), key=gap)
