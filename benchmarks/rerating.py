"""The night's re-rating: a day's readings with their charges, rated again from what is stored and compared.

POINTS points are read every quarter of an hour and charged by the rules that gateways use, and told to the cloud as
gateways tell it. Each round rates all of it again, in one process. From the time of a reading follows how long the
day of an estate of ROOMS rooms with two meters each takes; it must be over before the day begins.

    python -m benchmarks --only rerating
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from benchmarks.charging import points_of, visits
from benchmarks.cloud import GATEWAY_NO, Cloud, opened
from benchmarks.figure import Figure
from cloud.services import uplog
from cloud.services.readings import rerating
from prepaid.wire.entry import NO_ENTRY, Entry
from prepaid.wire.envelope import Envelope
from prepaid.wire.uplog import write_up

POINTS = 40
DAY = 96  # readings of a point
ROOMS, METERS = 10_000, 2  # of the estate, and of a room
NIGHT_MIN = 180  # from ten past three on


def _fill(cloud: Cloud) -> None:
    """Tells the cloud a day of all points, one message a quarter of an hour."""
    points, known = points_of(cloud)
    now = datetime.now(UTC)
    began = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
    log, seq, before = uuid4(), 0, NO_ENTRY
    quarter = timedelta(minutes=15)
    told = [visits(point, began=began, every=quarter, known=known) for point in points.values()]
    for _ in range(DAY):
        entries = []
        for message in (message for point in told for message in next(point)):
            seq += 1
            entries.append(Entry(log, seq, write_up(message), previous=before))
            before = entries[-1].hash()
        with cloud.database.system() as session:
            gateway = uplog.gateway_of(session, GATEWAY_NO)
            assert gateway is not None
            assert uplog.receive(session, gateway, Envelope(tuple(entries)), now=now) is None
            assert gateway.up_seq == seq


def figures(rounds: int) -> list[Figure]:
    each, day = [], []
    with opened(POINTS) as cloud:
        _fill(cloud)
        for _ in range(rounds):
            began = time.perf_counter()
            found = rerating.rerate(
                cloud.database,
                cloud.organization_id,
                now=datetime.now(UTC),
                is_stopping=lambda: False,
                from_the_first=True,
            )
            took = time.perf_counter() - began
            assert found.readings == POINTS * (DAY - 1)  # the newest of each waits
            assert found.differences == 0
            assert found.charges > 0
            each.append(took / found.readings * 1e6)
            day.append(took / found.readings * ROOMS * METERS * DAY / 60)
    name = f"re-rating a day of {ROOMS:,} rooms"
    return [
        Figure("cloud", name, tuple(day), "the night", NIGHT_MIN, is_most=True, unit=" min"),
        Figure("cloud", "re-rating, a reading", tuple(each), "", unit=" µs"),
    ]
