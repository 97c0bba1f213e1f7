"""Rating again 复核: the charges that a point's readings lead to, worked out once more from what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext

from prepaid import rating
from prepaid.decimals import EXACT
from prepaid.ledger import Transfer
from prepaid.money import ZERO
from prepaid.point import ServicePoint
from prepaid.rating import Charge, Position
from prepaid.reading import Reading
from prepaid.register.evidence import Effect, Kind
from prepaid.register.reach import ahead_of, is_shown
from prepaid.tariff import Tariff


@dataclass(frozen=True, slots=True)
class Start:
    """A position from which rating goes on, whatever the readings before it lead to.

    until is the number of the last reading that was told to a store which another took over from at this position:
    what that one read later was never charged.
    """

    position: Position
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A stored reading: number grows in the order in which readings were told, evidence is what was told with it.

    offset is what of its movement was charged before, as an estimate.
    """

    reading: Reading
    number: int
    known: int | None
    evidence: Mapping[Kind, Effect] = field(default_factory=dict)
    offset: Decimal = Decimal(0)

    @property
    def is_held(self) -> bool:
        return Effect.HELD in self.evidence.values()

    @property
    def is_clock_set(self) -> bool:
        return Kind.CLOCK in self.evidence and not self.is_held


@dataclass(frozen=True, slots=True)
class Step:
    """From one reading to the next: the transfers that follow, none where nothing rose by a fen."""

    before: Reading | None
    after: Reading
    transfers: tuple[Transfer, ...]


Settings = Callable[[Read], tuple[ServicePoint, Tariff] | None]
"""By what a reading was rated; None: by nothing."""


def in_order(reads: Sequence[Read]) -> list[Read]:
    """The readings in the order in which they were charged.

    That is by time, for the reading that divides two payers is told after the one beyond it; but what was read
    after a clock was put back comes after what was read before.
    """
    found: list[tuple[int, datetime, int, Read]] = []
    epoch, latest = 0, None
    for read in sorted(reads, key=lambda read: read.number):
        at = read.reading.at
        if latest is not None and at <= latest and read.is_clock_set:
            epoch, latest = epoch + 1, at
        else:
            latest = at if latest is None else max(latest, at)
        found.append((epoch, at, read.number, read))
    return [read for *_, read in sorted(found, key=lambda each: each[:3])]


def charged(reads: Iterable[Read], starts: Mapping[datetime, Start]) -> list[Read]:
    """Of readings in order those that were charged, or could have been: no doubtful ones, none that a store read
    whose position was given up, and none that only closes the register of a meter that was changed.

    Where the reading of such a start is not among them, they come after it.
    """
    reads = list(reads)
    given_up = [
        (_place(reads, at, start.until), at, start.until)
        for at, start in starts.items()
        if start.until is not None
    ]
    found = []
    for place, read in enumerate(reads):
        at = read.reading.at
        if at not in starts and (read.is_held or Kind.METER_CHANGE in read.evidence):
            continue
        # By place too: a clock that was ahead and then put back has dated later what was charged before.
        if any(
            place > begun and at > since and read.number <= until
            for begun, since, until in given_up
        ):
            continue
        found.append(read)
    return found


def _place(reads: Sequence[Read], at: datetime, until: int) -> int:
    """Where among them the reading of a start stands; -1 where it is not there."""
    found = (
        place for place, read in enumerate(reads) if read.reading.at == at and read.number <= until
    )
    return max(found, default=-1)


def steps(
    position: Position | None,
    reads: Iterable[Read],
    starts: Mapping[datetime, Start],
    settings: Settings,
) -> Iterable[tuple[Position, Step]]:
    """The position after each reading, from a position or the first reading on, with the transfers that lead there.

    reads are in order and were charged. A reading of another meter than the position's is passed over: nobody has
    said yet where its register begins.
    """
    for read in reads:
        known = settings(read)
        if known is None:
            continue
        point, tariff = known
        start = starts.get(read.reading.at)
        before = None if position is None else position.reading
        if position is None:
            position = (
                start.position if start else rating.open_position(point, tariff, read.reading)
            )
            yield position, Step(None, read.reading, ())
            continue
        if start is not None and start.until is None and _goes_on(position, start.position):
            charges = _rise(position, start.position)
            position = start.position
            yield position, Step(before, read.reading, rating.transfers(point, position, charges))
            continue
        rated = _rated(point, tariff, position, read)
        if rated is None and start is None:
            continue
        transfers: tuple[Transfer, ...] = ()
        if rated is not None:
            position, charges = rated
            transfers = rating.transfers(point, position, charges)
        elif start is not None and _goes_on(position, start.position):
            # A meter was exchanged, and another store took over from there.
            charges = _rise(position, start.position)
            transfers = rating.transfers(point, start.position, charges)
        if start is not None:
            position = start.position
        yield position, Step(before, read.reading, transfers)


def _goes_on(position: Position, start: Position) -> bool:
    """Whether a start is a later position of the same account, so that its totals say what was charged between."""
    return position.opened_at == start.opened_at and position.payer == start.payer


def _rise(position: Position, start: Position) -> tuple[Charge, ...]:
    posted = {running.item: running.posted for running in position.running}
    rises = (
        Charge(running.item, running.posted - posted.get(running.item, ZERO))
        for running in start.running
    )
    return tuple(charge for charge in rises if charge.amount > ZERO)


def _rated(
    point: ServicePoint, tariff: Tariff, position: Position, read: Read
) -> tuple[Position, tuple[Charge, ...]] | None:
    before, after, meter = position.reading, read.reading, point.meter
    if after.meter_no != before.meter_no:
        return None
    if not (is_shown(before, meter) and is_shown(after, meter)):
        return None
    with localcontext(EXACT):
        moved = ahead_of(before, after, meter) - read.offset
    if moved < 0:
        return None
    return rating.rate(point, tariff, position, after, moved=moved)
