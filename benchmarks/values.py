"""How many useful values a second of line time gives: ten registers of a Modbus meter at 9600, on a simulated line at
its true rate, by the real bus and the fetching that the drivers do.

The reference is the best merged plan: every way to cut the ten registers into requests that this meter takes is
tried, and the quickest is timed as the wire itself would be: its bytes, the delay that the meter really took in the
same seconds, and the gap that must follow. 1.00 loses nothing and plans no worse. Beside it each register by a
request of its own, by the same bus.

    python -m benchmarks.values [--rounds 5] [--seconds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure
from edge.drivers import modbus
from edge.lines.bus import BITS_PER_BYTE, GAP_BITS, GAP_S, Bus
from edge.lines.place import SerialAt
from edge.lines.ports import port_to
from protocols.exchange import Exchange
from protocols.modbus import profile as profiles
from protocols.modbus.frame import Frame
from protocols.modbus.profile import Cost, Profile, Read, Register

BAUD = 9600
BYTE_S = BITS_PER_BYTE / BAUD
MUST_GAP_S = max(GAP_S, GAP_BITS / BAUD)
BAR = 0.93
SECONDS = 3.0  # for each meter and each way in each round
ROUTE = 8 + 5  # bytes of a request, and around the registers of its answer


@dataclass(frozen=True, slots=True)
class Case:
    """Ten registers of a model; fills_gaps is whether it answers addresses that its profile does not know."""

    name: str
    profile: str
    registers: tuple[str, ...]
    fills_gaps: bool = False


PHASES = ("voltage_a", "voltage_b", "voltage_c", "current_a", "current_b", "current_c")
STREWN = (
    *("voltage", "current", "power_active", "power_apparent", "power_reactive"),
    *("power_factor", "frequency", "energy_import", "energy_total", "demand_power"),
)
CASES = (
    Case(
        "side by side",
        "acrel_ddsy1352",
        (
            *("energy_total", "energy_sharp", "energy_peak", "energy_flat", "energy_valley"),
            *("voltage", "current", "power_active", "power_factor", "frequency"),
        ),
    ),
    Case(
        "in clusters",
        "chint_dtsu666",
        (*PHASES, "power_total", "pf_total", "frequency", "energy_import"),
    ),
    Case("strewn, gaps refused", "eastron_sdm120", STREWN),
    Case("strewn, gaps answered", "eastron_sdm120", STREWN, fills_gaps=True),
)


@dataclass(frozen=True, slots=True)
class Result:
    """Values a second as fetched and by one register a request, each against the best plan on the wire itself in the
    same seconds; best is that in the seconds of the first."""

    fetched: float
    singly: float
    best: float


# The gateway.


async def measure(case: Case, seconds: float, folder: Path, *, seed: int) -> Result:
    """One round of a case: learn, then fetch together and singly for so long each."""
    config = folder / "meters.toml"
    config.write_text(
        f'seed = {seed}\n[[line]]\nname = "L1"\npty = "L1.tty"\nbaud = {BAUD}\n'
        f'[[meter]]\nprotocol = "modbus-rtu"\nline = "L1"\naddress = "1"\nprofile = "{case.profile}"\n'
        f"fills_gaps = {str(case.fills_gaps).lower()}\n"
    )
    simulator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.line", "--serve", str(config)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**28,
    )
    assert simulator.stdin is not None
    assert simulator.stdout is not None
    await simulator.stdout.readline()
    bus = Bus("L1", port_to(SerialAt(str(folder / "L1.tty"), BAUD, "8N1")), baud=BAUD, delay_s=0.2)
    profile = profiles.load(case.profile)
    together = _Together(bus, profile, case)
    for _ in range(8):
        await together.fetch()  # what the meter refuses, and how long it takes, is learned
    fetched, first = await _rate(together.fetch, seconds)
    singly, second = await _rate(lambda: _singly(bus, profile, case), seconds)
    bus.close()
    simulator.stdin.close()
    wire = json.loads(await simulator.stdout.read())["L1"]
    await simulator.wait()
    best, best_then = (_best(case, profile, _delay_s(wire, *when)) for when in (first, second))
    return Result(fetched / best, singly / best_then, best)


class _Together:
    """Fetches the ten as a driver does, and remembers what the meter refuses."""

    def __init__(self, bus: Bus, profile: Profile, case: Case) -> None:
        self._bus = bus
        self._profile = profile
        self._case = case
        self._refused: frozenset[Read] = frozenset()

    async def fetch(self) -> None:
        turn_us = -(-round(self._bus.turn_s("M") * 1e6) // 10_000) * 10_000
        cost = Cost(round(self._bus.byte_s * 1e6), turn_us)
        fetched = await self._bus.run(
            lambda: profiles.fetch(
                1,
                self._profile,
                self._case.registers,
                cost=cost,
                refused=self._refused,
                is_bold=True,
            ),
            modbus.decoder,
            whom="M",
        )
        self._refused = fetched.refused
        for name in self._case.registers:
            keys = self._profile.registers[name].keys
            assert all(key in fetched.words for key in keys), f"{name} did not come"


async def _singly(bus: Bus, profile: Profile, case: Case) -> None:
    def ask(name: str) -> Callable[[], Exchange[Frame, object]]:
        return lambda: profiles.read_values(1, profile, [name], profiles.DIRECT)

    for name in case.registers:
        await bus.run(ask(name), modbus.decoder, whom="M")


async def _rate(
    fetch: Callable[[], Awaitable[None]], seconds: float
) -> tuple[float, tuple[float, float]]:
    """Useful values a second, and from when until when."""
    began, fetches = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        await fetch()
        fetches += 1
    ended = time.monotonic()
    return 10 * fetches / (ended - began), (began, ended)


# The reference.


def _delay_s(wire: dict[str, list[list[float | str]]], began: float, ended: float) -> float:
    """How long the meter took on average, from the last byte of a request to the first of its answer."""
    asked = [float(at) for at, _ in wire["asked"]]
    answers = [float(begin) for begin, _ in wire["said"]]
    taken = [
        min(begun) - at - 8 * BYTE_S
        for at, until in itertools.pairwise([*asked, float("inf")])
        if began <= at < ended and (begun := [one for one in answers if at < one < until])
    ]
    return max(0.0, statistics.mean(taken))


def _best(case: Case, profile: Profile, delay_s: float) -> float:
    """Values a second of the quickest of all ways to read the ten."""
    registers = sorted(
        (profile.registers[name] for name in case.registers),
        key=lambda one: (one.function, one.address),
    )
    known = {key for one in profile.registers.values() if one.access != "w" for key in one.keys}
    known |= {(3, at) for start, count in profile.blocks for at in range(start, start + count)}
    quickest = float("inf")
    for cuts in itertools.product((False, True), repeat=len(registers) - 1):
        parts: list[list[Register]] = [[registers[0]]]
        for one, is_cut in zip(registers[1:], cuts, strict=True):
            if is_cut:
                parts.append([])
            parts[-1].append(one)
        counts = [_registers_of(part, profile, known, case) for part in parts]
        if all(counts):
            times = ((ROUTE + 2 * count) * BYTE_S + delay_s + MUST_GAP_S for count in counts)
            quickest = min(quickest, sum(times))
    return len(registers) / quickest


def _registers_of(
    part: Sequence[Register], profile: Profile, known: set[tuple[int, int]], case: Case
) -> int:
    """How many registers one read of these has; 0 where the meter would refuse it."""
    start, end = part[0].address, part[-1].address + part[-1].count
    if profile.even_reads:
        start, end = start - start % 2, end + end % 2
    inside = all((part[0].function, at) in known for at in range(part[0].address, part[-1].address))
    is_one = part[0].function == part[-1].function and end - start <= profile.largest_read
    return end - start if is_one and (case.fills_gaps or inside) else 0


# What is told.


def race(rounds: int, seconds: float) -> dict[str, list[Result]]:
    results: dict[str, list[Result]] = {case.name: [] for case in CASES}
    for seed in range(rounds):
        for case in CASES:
            with tempfile.TemporaryDirectory() as folder:
                result = asyncio.run(measure(case, seconds, Path(folder), seed=seed))
                results[case.name].append(result)
    return results


def figures(rounds: int, seconds: float = SECONDS) -> list[Figure]:
    """Useful values of ten registers against the best merged plan, by how they lie; and of one a request."""
    results = race(rounds, seconds)
    found = []
    for case in CASES:
        mine = results[case.name]
        against = f"best merged plan, {statistics.median(one.best for one in mine):.0f} values/s"
        found.append(
            Figure(
                "values",
                f"ten registers {case.name}",
                tuple(one.fetched for one in mine),
                against=against,
                bar=BAR,
            )
        )
        found.append(
            Figure(
                "values",
                f"one a request, {case.name}",
                tuple(one.singly for one in mine),
                against=against,
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="How many useful values a second of line gives.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    wanted = parser.parse_args()
    for one in figures(wanted.rounds, wanted.seconds):
        sys.stdout.write(f"{one.name:40}{one.told:28}{one.promise:10}{one.against}\n")


if __name__ == "__main__":
    main()
