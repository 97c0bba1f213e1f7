"""After the cloud's database was put back to a backup: it is told which credits are booked here and not there.

They are the customers' money, and the cloud alone can book them in its own ledger; a person sees to it.
"""

from __future__ import annotations

import logging

from edge.ledger.store import Store
from prepaid.wire import Recall, Recalled

log = logging.getLogger(__name__)

MOST = 100  # credits in one entry


def recall(store: Store, asked: Recall) -> None:
    """Tells the credits of each purse that the cloud does not know; nothing of a purse of which it knows all.

    Inside a transaction. A credit that is asked for and is not here came with another store, or never: then nothing
    after it can be here either.
    """
    for purse in store.credited_purses():
        told = store.credits_after(purse, asked.known.get(purse))
        number = store.highest_credit(purse)
        for first in range(0, len(told), MOST):
            store.append(Recalled(purse, number, tuple(told[first : first + MOST])))
        if told:
            log.warning(
                "%s credits of purse %s are not in the cloud's database, and it is told of them",
                *(len(told), purse),
            )
