"""Where a service point stands as far as the cloud was told, taken over by a new store."""

from __future__ import annotations

from datetime import timedelta

from edge.ledger.rows import SupplyRow
from edge.ledger.store import Store
from prepaid.point import ServicePoint
from prepaid.register.evidence import Kind
from prepaid.register.history import Doubt, History
from prepaid.wire.downlog import Standing


def save(store: Store, standing: Standing) -> None:
    """The point is read, charged and switched from there on. Inside a transaction."""
    point = standing.point
    if standing.position is not None:
        store.save_position(point, standing.position)
    store.save_history(point, _history(standing, store.point(point)))
    if standing.why is not None:
        store.save_supply(
            point, SupplyRow(standing.supply, standing.wanted, standing.why, standing.commanded_at)
        )
    for alarm, since in standing.alarms.items():
        store.save_alarm(point, alarm, since)


def _history(standing: Standing, point: ServicePoint | None) -> History:
    """What a spare gateway knows of a register: the cloud was told of no more than the doubtful reading, and where
    the one charged last was read. Where that is another place than the meter's now, what is read there is held."""
    is_elsewhere = point is not None and standing.place not in (None, point.meter.place)
    charged_at = standing.place if is_elsewhere else None
    if standing.doubt is None:
        return History(charged_at=charged_at)
    charged = standing.position.reading.at if standing.position is not None else standing.doubt.at
    since = max(standing.doubt.at - charged, timedelta(0))
    kind = Kind.ELSEWHERE if is_elsewhere else Kind.JUMP
    return History(doubt=Doubt(standing.doubt, since, kind), charged_at=charged_at)
