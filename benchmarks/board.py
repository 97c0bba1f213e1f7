"""The rooms board of 10,000 rooms: its query on the server, and the cards that are made of it.

python -m benchmarks --only board
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from benchmarks.cloud import Cloud, opened
from benchmarks.figure import Figure
from cloud.auth import EVERYWHERE
from cloud.services import board, scopes

ROOMS = 10_000
_FILL = """
    INSERT INTO rooms (organization_id, id, created_at, building_id, name, floor)
    SELECT r.organization_id, gen_random_uuid(), now(), r.building_id, 'R' || n, n / 100
    FROM rooms r, generate_series(1, {count}) n WHERE r.name = '00000'
"""


def figures(rounds: int) -> list[Figure]:
    asked, made = [], []
    with opened(100) as cloud:
        fill(cloud)
        for _ in range(rounds):
            now = datetime.now(UTC)
            with cloud.database.organization(cloud.organization_id) as session:
                began = time.perf_counter()
                asked_for = {
                    "organization": cloud.organization_id,
                    **dict.fromkeys(("rooms", "after", "most")),
                }
                found = session.execute(board._ROOMS, asked_for | scopes.given(EVERYWHERE)).all()
                asked.append((time.perf_counter() - began) * 1000)
                assert len(found) == ROOMS
                began = time.perf_counter()
                assert len(board.rooms(session, cloud.organization_id, now=now)) == ROOMS
                made.append((time.perf_counter() - began) * 1000)
    return [
        Figure(
            "cloud",
            "rooms board, query of 10,000 rooms",
            tuple(asked),
            against="the clock",
            bar=50,
            is_most=True,
            unit=" ms",
        ),
        Figure(
            "cloud", "rooms board, all cards made", tuple(made), against="the clock", unit=" ms"
        ),
    ]


def fill(cloud: Cloud) -> None:
    """Rooms beside the hundred that have a point, until there are ROOMS."""
    cloud.raw.execute(_FILL.format(count=ROOMS - 100))  # type: ignore[arg-type]
    cloud.raw.execute("ANALYZE")
    cloud.raw.commit()
