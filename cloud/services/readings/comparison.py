"""What a re-rating expects, compared with what is booked; each difference is kept."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.services.readings.rated_points import POSITION, RatedPoint
from prepaid import ledger
from prepaid.rerating import Step


@dataclass(slots=True)
class Taken:
    """What rating the readings of a point in a window has come to.

    since and until are the times of the first and last reading; numbers says of each opening of the point's account
    up to which charge it had been rated before.
    """

    point: RatedPoint
    since: datetime
    until: datetime
    numbers: dict[datetime, int]
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Difference:
    """A charge of an item, booked otherwise than expected; None where no reading leads to it."""

    point_id: UUID
    item: str
    at: datetime
    booked_fen: int
    expected_fen: int
    step: Step | None


def compare(
    session: Session,
    organization_id: UUID,
    rated: list[Taken],
    now: datetime,
) -> tuple[int, int]:
    """How many charges there should be, and how many differences there are.

    The differences of each point in its time are kept, in the place of those that were found there before.
    """
    charges = found = 0
    booked = _booked(session, rated)
    for taken in rated:
        expected: defaultdict[_Key, int] = defaultdict(int)
        by_time = {step.after.at: step for step in taken.steps}
        for step in taken.steps:
            for transfer in step.transfers:
                expected[transfer.debit, transfer.credit, transfer.at] += transfer.amount.fen
        there = booked[taken.point.id]
        charges += len(expected)
        differences = {
            (credit.partition(":")[2], at): Difference(
                taken.point.id,
                credit.partition(":")[2],
                at,
                there.get((debit, credit, at), 0),
                expected.get((debit, credit, at), 0),
                by_time.get(at),
            )
            for debit, credit, at in sorted({*there, *expected}, key=lambda key: key[2])
            if there.get((debit, credit, at), 0) != expected.get((debit, credit, at), 0)
        }
        found += len(differences)
        _keep(session, organization_id, taken, list(differences.values()), now)
    return charges, found


_BOOKED = text("""
    SELECT debit, credit, amount_fen, cause, at FROM transfers
    WHERE reason = 'charge' AND debit = ANY(:books) AND at >= :since AND at <= :until
""")

_Key = tuple[str, str, datetime]  # debit, credit, at


def _booked(session: Session, rated: list[Taken]) -> defaultdict[UUID, dict[_Key, int]]:
    """By point the charges booked in its time that have not been compared before.

    A charge that names no point of ours is put to the first one that its purse pays for.
    """
    found: defaultdict[UUID, dict[_Key, int]] = defaultdict(dict)
    if not rated:
        return found
    by_point = {str(taken.point.id): taken for taken in rated}
    whose: dict[str, Taken] = {}
    for taken in rated:
        for purse in taken.point.purses | _payers(taken):
            whose.setdefault(ledger.prepaid(purse), taken)
    known = {str(id) for id in session.execute(select(col(tables.ServicePoint.id))).scalars()}
    rows = session.execute(
        _BOOKED,
        {
            "books": list(whose),
            "since": min(taken.since for taken in rated),
            "until": max(taken.until for taken in rated),
        },
    )
    for row in rows:
        point, _, rest = row.cause.partition(":")
        whole = by_point if point in known else {point: whose[row.debit]}
        if point not in whole or not whole[point].since <= row.at <= whole[point].until:
            continue
        taken = whole[point]
        if row.at == taken.point.waits_at:
            continue  # a clock that was ahead had dated others later
        opened, number = _named(rest)
        if opened is not None and point in by_point:
            before = taken.numbers.get(opened)
            if number <= (before or 0) or (before is None and opened < min(taken.numbers)):
                continue
        there = found[taken.point.id]
        key = (row.debit, row.credit, row.at)
        there[key] = there.get(key, 0) + row.amount_fen
    return found


def _payers(taken: Taken) -> set[UUID]:
    debits = {transfer.debit for step in taken.steps for transfer in step.transfers}
    purses = {ledger.purse_of(debit) for debit in debits}
    started = {start.position.payer for start in taken.point.starts.values()}
    return {purse for purse in purses | started if isinstance(purse, UUID)}


def _named(rest: str) -> tuple[datetime | None, int]:
    """The opening and the number in the name of a charge; None in one that has no such name."""
    opened, _, number = rest.partition(":")[2].rpartition(":")
    try:
        return datetime.fromisoformat(opened), int(number)
    except ValueError:
        return None, 0


def _keep(
    session: Session,
    organization_id: UUID,
    taken: Taken,
    differences: list[Difference],
    now: datetime,
) -> None:
    row, point = tables.RatingDifference, taken.point
    session.execute(
        delete(row).where(
            col(row.point_id) == point.id, col(row.at).between(taken.since, taken.until)
        )
    )
    if differences:
        session.execute(
            insert(row).on_conflict_do_nothing(),
            [
                {
                    "organization_id": organization_id,
                    "point_id": each.point_id,
                    "item": each.item,
                    "at": each.at,
                    "booked_fen": each.booked_fen,
                    "expected_fen": each.expected_fen,
                    "before_at": _before(each.step, "at"),
                    "before_total": _before(each.step, "total"),
                    "after_total": None if each.step is None else each.step.after.total,
                    "found_at": now,
                }
                for each in differences
            ],
        )
    if point.position is not None:
        values = {
            "at": point.at,
            "number": point.number,
            "position": POSITION.dump_python(point.position, mode="json"),
        }
        kept = insert(tables.Rated).values(
            organization_id=organization_id, point_id=point.id, **values
        )
        session.execute(kept.on_conflict_do_update(index_elements=["point_id"], set_=values))


def _before(step: Step | None, name: str) -> Any:
    return None if step is None or step.before is None else getattr(step.before, name)
