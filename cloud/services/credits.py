"""Credit numbers: what a purse is credited goes down to its gateway in an order, each with the next number."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, col

from cloud import tables
from cloud.db import execute
from cloud.services import downlog, ledger
from prepaid.ledger import Transfer, prepaid
from prepaid.wire.downlog import Credited, Debited


def number(
    session: Session, purse: tables.Purse, transfers: Iterable[Transfer]
) -> tuple[Credited, ...]:
    """What is to be said of transfers that credit a purse, each with the next number, which is kept.

    Needs the purse locked and the transfers posted: numbers go down in their order, and without gaps but where the
    database was put back to a backup (services.restored).
    """
    session.flush()
    numbered = number_of(session, purse.id, transfers)
    if numbered:
        set_committed_value(purse, "credits", numbered[-1].number)
    return numbered


COUNTED = """
    counted AS (
        UPDATE purses SET credits = credits + cardinality(CAST(%(transfers)s AS uuid[])) WHERE id = %(purse)s
        RETURNING organization_id, id, credits - cardinality(CAST(%(transfers)s AS uuid[])) AS before
    ), kept AS (
        INSERT INTO credits (organization_id, purse_id, number, transfer_id)
        SELECT c.organization_id, c.id, c.before + t.place, t.id
        FROM counted c, unnest(CAST(%(transfers)s AS uuid[])) WITH ORDINALITY AS t (id, place)
    )
"""
"""Numbers transfers of a locked purse that are posted, as part of a statement; the first number is before + 1."""


def number_of(
    session: Session, purse_id: UUID, transfers: Iterable[Transfer]
) -> tuple[Credited, ...]:
    """As number, for a purse of which no more is known than that it is locked."""
    given = list(transfers)
    ids = [transfer.id for transfer in given]
    count = f"WITH {COUNTED} SELECT before FROM counted"
    before: int = execute(session, count, purse=purse_id, transfers=ids).scalar_one()
    return tuple(Credited(transfer, n) for n, transfer in enumerate(given, before + 1))


def of_purse(session: Session, purse: tables.Purse) -> tuple[Credited, ...]:
    """All that a purse was ever credited, by number; what has none yet gets one. Needs the purse locked."""
    book, row = prepaid(purse.id), tables.Credit
    transfers = [t for t in ledger.transfers_of(session, book) if t.credit == book]
    found = session.execute(
        select(col(row.transfer_id), col(row.number)).where(col(row.purse_id) == purse.id)
    )
    numbers = {row.transfer_id: row.number for row in found}
    known = sorted(
        (Credited(t, numbers[t.id]) for t in transfers if t.id in numbers),
        key=lambda credited: credited.number or 0,
    )
    return (*known, *number(session, purse, [t for t in transfers if t.id not in numbers]))


def send_all(session: Session, gateway: tables.Gateway, purse: tables.Purse) -> None:
    """Appends all that a purse was credited before it had a gateway, and what left it; its top-ups are delivered with
    it.

    Needs the purse and the gateway locked.
    """
    credited = of_purse(session, purse)
    if not credited:
        return
    last = downlog.append(session, gateway, credited)
    taken = ledger.taken_out(session, [prepaid(purse.id)])
    downlog.append(session, gateway, [Debited(None, transfer) for transfer in taken])
    entries = {each.number: seq for seq, each in enumerate(credited, last - len(credited) + 1)}
    topup = tables.TopUp
    found = session.execute(
        select(topup).where(col(topup.purse_id) == purse.id, col(topup.credited_at).is_not(None))
    ).scalars()
    for each in found:
        each.gateway_id, each.down_seq = gateway.id, entries[each.credit_number]
    session.flush()
