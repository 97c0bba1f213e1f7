"""A message of readings, from its bytes to committed rows, against binary COPY of the same rows into the same table.

Ours unpacks, checks each entry and the chain of hashes, writes readings, the points' states and the cursor, and tells
open pages; the COPY writes the readings alone, as a superuser, past row-level security. Alternated in each round.

    python -m benchmarks --only ingest
"""

from __future__ import annotations

import gc
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from benchmarks.cloud import GATEWAY_NO, Cloud, opened
from benchmarks.figure import Figure
from cloud.services import answers, plain_readings, uplog
from prepaid import wire
from prepaid.reading import Reading, Supply

POINTS = 64
SIZES = {256: 0.5, 32: 0.3}  # readings in a message: the bar
READINGS = 2048  # in a round
Row = tuple[UUID, Reading]


class Gateway:
    """Makes messages in the order of its log."""

    def __init__(self, points: tuple[UUID, ...]) -> None:
        self._points = points
        self._log, self.seq, self._hash = uuid4(), 0, wire.NO_ENTRY
        self._read = 0
        self._began = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    def rows(self, size: int) -> list[Row]:
        found = []
        for _ in range(size):
            point = self._points[self._read % len(self._points)]
            at = self._began + timedelta(seconds=10 * (self._read // len(self._points)))
            total = Decimal(self._read).scaleb(-2)
            found.append((point, Reading("202610450101", at, total, Supply.ON)))
            self._read += 1
        return found

    def message(self, size: int, *, cursor: wire.Cursor | None = None) -> bytes:
        """So many readings, and the gateway's cursor in the cloud's log."""
        entries = []
        for point, reading in self.rows(size):
            self.seq += 1
            body = wire.write_up(wire.Read(point, reading, known=0))
            entry = wire.Entry(self._log, self.seq, body, previous=self._hash)
            self._hash = entry.hash()
            entries.append(entry)
        return wire.pack(wire.Envelope(tuple(entries), cursor, self._log, nonce="n"))


def take(cloud: Cloud, payload: bytes) -> None:
    """As a worker does."""
    envelope = wire.unpack(payload)
    now = datetime.now(UTC)
    with cloud.database.system() as session:
        if plain_readings.take(session, GATEWAY_NO, envelope, now=now) is None:
            gateway = uplog.gateway_of(session, GATEWAY_NO)
            assert gateway is not None
            answers.answer(session, gateway, envelope, now=now)


def down_cursor(cloud: Cloud) -> wire.Cursor:
    """That of a gateway which has all that the cloud has for it."""
    with cloud.database.system() as session:
        gateway = uplog.gateway_of(session, GATEWAY_NO)
        assert gateway is not None
        return wire.Cursor(gateway.down_log, gateway.down_seq)


def copy(cloud: Cloud, rows: list[Row]) -> None:
    columns = "organization_id, point_id, at, meter_no, total, supply, number, known"
    with (
        cloud.raw.cursor() as cursor,
        cursor.copy(f"COPY readings ({columns}) FROM STDIN (FORMAT BINARY)") as out,
    ):
        out.set_types(["uuid", "uuid", "timestamptz", "text", "numeric", "text", "int8", "int8"])
        for number, (point, reading) in enumerate(rows):
            out.write_row(
                (
                    *(cloud.organization_id, point, reading.at, reading.meter_no),
                    *(reading.total, "on", number, 0),
                )
            )
    cloud.raw.commit()


def figures(rounds: int) -> list[Figure]:
    found: dict[int, list[float]] = {size: [] for size in SIZES}
    with opened(POINTS) as cloud:
        gateway, cursor = Gateway(cloud.points), down_cursor(cloud)
        take(cloud, gateway.message(POINTS, cursor=cursor))
        gc.collect()
        gc.freeze()  # as a worker does
        for _ in range(rounds):
            for size in SIZES:
                count = READINGS // size
                messages = [gateway.message(size, cursor=cursor) for _ in range(count)]
                batches = [gateway.rows(size) for _ in range(count)]
                began = time.perf_counter()
                for message in messages:
                    take(cloud, message)
                ours = time.perf_counter() - began
                began = time.perf_counter()
                for rows in batches:
                    copy(cloud, rows)
                found[size].append((time.perf_counter() - began) / ours)
        with cloud.database.system() as session:
            seen = uplog.gateway_of(session, GATEWAY_NO)
            assert seen is not None
            assert seen.up_seq == POINTS + rounds * READINGS * len(SIZES)
    return [
        Figure(
            "cloud",
            f"ingest, {size} readings a message",
            tuple(found[size]),
            against="binary COPY of the same rows",
            bar=bar,
            unit=" ×",
        )
        for size, bar in SIZES.items()
    ]
