"""A service point as the office, or a technician beside the meter, has entered it, taken over while it is served."""

from __future__ import annotations

import logging

from edge.ledger.store import Store
from prepaid.point import ServicePoint
from prepaid.register.history import read_elsewhere

log = logging.getLogger(__name__)


def enter(store: Store, point: ServicePoint) -> None:
    """Serves the point as it is entered now, from where its register was charged last. Inside a transaction.

    Where its meter is read at another place since (prepaid.register.history.read_elsewhere), what is read there is
    held until the office has compared the registers. A doubt stays: only a decision ends it.
    """
    known = store.point(point.id)
    if known is not None and store.position(point.id) is not None:
        before = store.history(point.id)
        after = read_elsewhere(before, known.meter, point.meter)
        if after != before:
            store.save_history(point.id, after)
            place = " ".join(point.meter.place)
            log.info(
                "%s is read at %s from now on, no more at %s", point.name, place, known.meter.place
            )
    store.save_point(point)
