"""After the cloud's database was put back to a backup: it is told what is booked here and not there.

Credits are the customers' money, and the cloud alone can book them in its own ledger; what was taken out of a purse
may be paid out already. A person sees to both.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from edge.ledger.store import Store
from prepaid.ledger import Transfer
from prepaid.wire.downlog import Recall
from prepaid.wire.uplog import Recalled

log = logging.getLogger(__name__)

MOST = 100  # transfers of a kind in one entry


def recall(store: Store, asked: Recall) -> None:
    """Tells what each purse was credited, and what was taken out of it, that the cloud does not know; nothing of a
    purse of which it knows all.

    Inside a transaction. A credit that is asked for and is not here came with another store, or never: then nothing
    after it can be here either. What the cloud names as taken and is not here, it has booked by itself: then all that
    was taken is told.
    """
    taken = store.taken_out()
    pays_for: dict[UUID, list[UUID]] = {}
    for point in store.points().values():
        if point.purse is not None:
            pays_for.setdefault(point.purse, []).append(point.id)
    for purse in sorted({*store.credited_purses(), *taken}):
        credits = store.credits_after(purse, asked.known.get(purse))
        debits = _after(taken.get(purse, ()), asked.taken.get(purse))
        number, points = store.highest_credit(purse), tuple(sorted(pays_for.get(purse, ())))
        for first in range(0, max(len(credits), len(debits)), MOST):
            store.append(
                Recalled(
                    purse,
                    number,
                    tuple(credits[first : first + MOST]),
                    debits=tuple(debits[first : first + MOST]),
                    points=points,
                )
            )
        if credits or debits:
            log.warning(
                "%s credits and %s debits of purse %s are not in the cloud's database, and it is told of them",
                *(len(credits), len(debits), purse),
            )


def _after(transfers: Sequence[Transfer], known: UUID | None) -> Sequence[Transfer]:
    places = [place for place, transfer in enumerate(transfers, 1) if transfer.id == known]
    return transfers[places[0] if places else 0 :]
