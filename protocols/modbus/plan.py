"""Which requests fetch some registers of a meter for the least time of its line."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final, TypeAlias

from protocols.modbus.layout import Profile, Register

OVERHEAD_BYTES: Final = 13
"""Of one exchange beside its registers: a request of 8, and 5 around what is answered (RTU)."""


@dataclass(frozen=True, slots=True, order=True)
class Read:
    """One request: function 3 or 4."""

    function: int
    address: int
    count: int

    def holds(self, other: "Read") -> bool:
        """Whether all of the other is within this."""
        end, other_end = self.address + self.count, other.address + other.count
        return (
            self.function == other.function and self.address <= other.address and other_end <= end
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What a line's time goes on, in microseconds: for each byte, and for each turn from a request's end to
    the first byte of the answer and from its last to the next request."""

    byte_us: int
    turn_us: int

    def of(self, read: Read) -> int:
        """A read and its answer."""
        return (OVERHEAD_BYTES + 2 * read.count) * self.byte_us + self.turn_us


Steps: TypeAlias = tuple[tuple[Read, tuple[Register, ...]], ...]
"""Reads, each with the registers that it is for, in order of address."""

USUAL: Final = Cost(byte_us=1146, turn_us=60_000)
"""9600 with eleven bits a byte, a meter that begins within 30 ms, and a gap as long."""


def plan(
    profile: Profile,
    wanted: Collection[str],
    *,
    cost: Cost = USUAL,
    refused: frozenset[Read] = frozenset(),
    is_bold: bool = False,
) -> tuple[Read, ...]:
    """The reads that fetch the wanted registers and those they depend on, in order of address.

    No other reads of this meter cost less. Neighbours are read together, also over a gap that is cheaper to
    read than to ask around, where the gap is registers of the profile or lies in one of its blocks: a meter
    may refuse a read that touches an address it does not know. Values are never cut in two.

    A bold plan reads unknown addresses along too: many meters answer 0 for them. Who runs it must know what to do
    with one that refuses, or is silent.

    refused are reads that this meter has refused: none is planned that has one of them within, and a register
    that it refuses alone is left out.

    Raises ValueError for a name that is not in the profile or cannot be read.
    """
    return tuple(read for read, _ in steps(profile, frozenset(wanted), cost, refused, is_bold))


@lru_cache(maxsize=1024)
def steps(
    profile: Profile,
    wanted: frozenset[str],
    cost: Cost,
    refused: frozenset[Read],
    is_bold: bool,
) -> Steps:
    """The reads of `plan`, each with the registers that it is for."""
    here = [one for one in needed(profile, wanted) if covering(profile, [one]) not in refused]
    found: Steps = ()
    for _, registers in groupby(here, key=lambda one: one.function):
        found += _cheapest(profile, list(registers), cost, refused, is_bold)
    return found


def needed(profile: Profile, wanted: Collection[str]) -> list[Register]:
    """The wanted registers and those they depend on, by function and address. Raises ValueError as `plan`."""
    found: dict[str, Register] = {}
    for name in wanted:
        register = profile.registers.get(name)
        if register is None:
            raise ValueError(f"{profile.name} has no register {name!r}")
        if register.access == "w":
            raise ValueError(f"{profile.name}: {name} cannot be read")
        found[name] = register
        for other in (register.point, register.prefix):
            if other is not None:
                found[other] = profile.registers[other]
    return sorted(found.values(), key=lambda one: (one.function, one.address, one.count))


def covering(profile: Profile, registers: Sequence[Register]) -> Read:
    """The one read for registers of one function, in order of address; even where the meter wants it so."""
    start = registers[0].address
    end = max(one.address + one.count for one in registers)
    if profile.even_reads:
        start -= start & 1
        end += end & 1
    return Read(registers[0].function, start, end - start)


def _cheapest(
    profile: Profile,
    registers: list[Register],
    cost: Cost,
    refused: frozenset[Read],
    is_bold: bool,
) -> Steps:
    """The cheapest way to the first n registers is that to the first m, and one read for the rest of them."""
    known = None if is_bold else _documented(profile, registers[0].function)
    best: list[tuple[int, Steps]] = [(0, ())]
    for end in range(1, len(registers) + 1):
        ways: list[tuple[int, Steps]] = []
        for begin in reversed(range(end)):
            part = registers[begin:end]
            read = covering(profile, part)
            if len(part) > 1 and not _is_allowed(profile, read, known, refused):
                break  # nor is a longer one
            spent, before = best[begin]
            ways.append((spent + cost.of(read), (*before, (read, tuple(part)))))
        best.append(min(ways, key=lambda way: (way[0], len(way[1]))))
    return best[-1][1]


def _is_allowed(
    profile: Profile, read: Read, known: frozenset[int] | None, refused: frozenset[Read]
) -> bool:
    """Whether a read of several registers may be tried; only known addresses, or any where that is None."""
    inside = range(read.address, read.address + read.count)
    if profile.even_reads:
        inside = inside[1:-1]  # an odd end is read along, whether or not it is known
    return (
        read.count <= profile.largest_read
        and (known is None or known.issuperset(inside))
        and not any(read.holds(one) for one in refused)
    )


@lru_cache(maxsize=64)
def _documented(profile: Profile, function: int) -> frozenset[int]:
    """The addresses that the profile knows, or has in one of its blocks."""
    known = {at for start, count in profile.blocks for at in range(start, start + count)}
    for register in profile.registers.values():
        if register.access != "w":
            known |= {address for used, address in register.keys if used == function}
    return frozenset(known)
