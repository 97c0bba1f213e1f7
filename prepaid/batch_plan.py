"""What rating many meters at once does not reckon for each of them: where time is cut, and what holds in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from prepaid.calendar import micros
from prepaid.cycle import Cycle
from prepaid.tariff import Rate, Tariff, Terms, TierPeriod


@dataclass(frozen=True, slots=True)
class Block:
    """Slices first to before last under one version and one set of tier periods; by each the band's name."""

    first: int
    last: int
    version: int
    periods: tuple[TierPeriod | None, ...]
    bands: npt.NDArray[np.int64]  # of each slice, by the band's place in the version


@dataclass(frozen=True, slots=True)
class Plan:
    """What does not depend on the meter: where time is cut, and what holds in each slice between two edges."""

    tariff: Tariff
    edges: npt.NDArray[np.int64]  # instants, in microseconds since 1970
    reads: npt.NDArray[np.int64]  # which of the edges were read: the first is that of the position
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, tariff: Tariff, at: Sequence[datetime]) -> Plan:
        read = np.array([micros(one) for one in at], dtype=np.int64)
        stretches = list(tariff.stretches(int(read[0]), int(read[-1])))
        starts = np.array([start for start, _ in stretches], dtype=np.int64)
        edges = np.union1d(read, starts)
        held = np.searchsorted(starts, edges[:-1], side="right") - 1
        return cls(
            tariff,
            edges,
            np.searchsorted(edges, read),
            tuple(_blocks(tariff, [terms for _, terms in stretches], held)),
        )

    @property
    def versions(self) -> list[int]:
        return list(dict.fromkeys(block.version for block in self.blocks))

    def rates(self, place: int) -> list[Rate]:
        """What is at a place of the versions that hold, where it is a rate."""
        components = (
            self.tariff.versions[number].components[place : place + 1] for number in self.versions
        )
        return [one for found in components for one in found if isinstance(one, Rate)]


def _blocks(tariff: Tariff, terms: list[Terms], held: npt.NDArray[np.intp]) -> Iterator[Block]:
    """held: for each slice, which of the terms holds."""
    bands = np.array(
        [tariff.versions[one.version].bands.index(one.band) for one in terms], dtype=np.int64
    )[held]
    ends = np.searchsorted(held, np.arange(len(terms)), side="right").tolist()
    first = 0
    for number, one in enumerate(terms):
        following = terms[number + 1] if number + 1 < len(terms) else None
        is_same = following is not None and (following.version, following.periods) == (
            one.version,
            one.periods,
        )
        if not is_same:
            last = int(ends[number])
            yield Block(first, last, one.version, one.periods, bands[first:last])
            first = last


def gone_by(cycle: Cycle, zone: str, edges: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The periods gone by at instants that rise, in millionths: as Cycle.gone, of each."""
    gone = np.empty(len(edges), dtype=np.int64)
    first = 0
    while first < len(edges):
        number, since, until = cycle.around(zone, int(edges[first]))
        last = int(np.searchsorted(edges, until))
        span = until - since
        # At most a month of microseconds, times two million: just within 64 bits.
        part = (2_000_000 * (edges[first:last] - since) + span) // (2 * span)
        gone[first:last] = number * 1_000_000 + part
        first = last
    return gone
