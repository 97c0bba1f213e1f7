"""Messages of readings, from their bytes to committed rows, against binary COPY of the same rows into the same table.

Ours unpacks, checks each entry and the chain of hashes, writes readings, the points' states and the cursor, and tells
open pages; the COPY writes the readings alone, as a superuser, past row-level security. Messages wait as a busy
worker finds them: as many as it takes together, each of another gateway, in one transaction; and one at a time, in a
transaction each. The COPY is one for each message, and commits as often as ours. Of charged readings, which a worker
takes one message at a time, ours also checks and posts the charges, moves purses and keeps positions; the COPY writes
readings and transfers. Alternated in each round.

    python -m benchmarks --only ingest
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from uuid import UUID, uuid4

from sqlalchemy import text

from benchmarks.charging import points_of, visits
from benchmarks.cloud import GATEWAY_NO, Cloud, opened
from benchmarks.figure import Figure
from cloud.services import answers, plain_readings, uplog
from cloud.services.plain_readings import Said
from cloud.worker import TOGETHER
from prepaid.ledger import Transfer
from prepaid.point import ServicePoint
from prepaid.reading import Reading, Supply
from prepaid.wire.entry import NO_ENTRY, Cursor, Entry
from prepaid.wire.envelope import Envelope, pack, unpack
from prepaid.wire.uplog import Charged, Read, Up, write_up

GATEWAYS = (GATEWAY_NO, *(f"{GATEWAY_NO}-{number}" for number in range(2, TOGETHER + 1)))
POINTS = 64  # of a gateway
SIZES = {256: 0.5, 32: 0.3}  # readings in a message: the bar
READINGS = 2048  # in a round
CHARGED, CHARGED_MESSAGES = (
    128,
    4,
)  # readings in a message whose readings are charged, an entry each; in a round
Row = tuple[UUID, Reading]
Visit = tuple[Read, Charged]


class Gateway:
    """Makes messages in the order of its log."""

    def __init__(self, points: tuple[UUID, ...]) -> None:
        self._points = points
        self._log, self.seq, self._hash = uuid4(), 0, NO_ENTRY
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

    def message(self, size: int, *, cursor: Cursor | None = None) -> bytes:
        """So many readings, and the gateway's cursor in the cloud's log."""
        return self.said(
            [Read(point, reading, known=0) for point, reading in self.rows(size)], cursor
        )

    def said(self, messages: Iterable[Up], cursor: Cursor | None) -> bytes:
        entries = []
        for message in messages:
            self.seq += 1
            body = write_up(message)
            entry = Entry(self._log, self.seq, body, previous=self._hash)
            self._hash = entry.hash()
            entries.append(entry)
        return pack(Envelope(tuple(entries), cursor, self._log, nonce="n"))


def take(cloud: Cloud, *payloads: bytes, gateway_nos: Sequence[str] = GATEWAYS) -> None:
    """As a worker does with messages that wait, each of another gateway."""
    said = [
        Said(gateway_no, unpack(payload))
        for gateway_no, payload in zip(gateway_nos, payloads, strict=False)
    ]
    now = datetime.now(UTC)
    with cloud.database.system() as session:
        if None in plain_readings.take(session, said, now=now):
            (one,) = said
            gateway = uplog.gateway_of(session, one.gateway_no)
            assert gateway is not None
            answers.answer(session, gateway, one.envelope, now=now)


def down_cursor(cloud: Cloud, gateway_no: str = GATEWAY_NO) -> Cursor:
    """That of a gateway which has all that the cloud has for it."""
    with cloud.database.system() as session:
        gateway = uplog.gateway_of(session, gateway_no)
        assert gateway is not None
        return Cursor(gateway.down_log, gateway.down_seq)


def visited(points: Iterable[ServicePoint], began: datetime, known: int) -> Iterator[Visit]:
    """What a gateway tells of points that it reads in turn, every ten seconds, and charges at each reading."""
    every = timedelta(seconds=10)
    told = [visits(point, began=began, every=every, known=known) for point in points]
    while True:
        yield from (next(point) for point in told)


def copy(cloud: Cloud, messages: Sequence[tuple[list[Row], Sequence[Transfer]]]) -> None:
    """A COPY for the readings of each message, and one for its transfers, all in one transaction."""
    for rows, transfers in messages:
        _copy_readings(cloud, rows)
        if transfers:
            _copy_transfers(cloud, transfers)
    cloud.raw.commit()


def _copy_readings(cloud: Cloud, rows: list[Row]) -> None:
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


def _copy_transfers(cloud: Cloud, transfers: Sequence[Transfer]) -> None:
    columns = "id, organization_id, debit, credit, amount_fen, reason, cause, at, posted_at"
    now = datetime.now(UTC)
    with (
        cloud.raw.cursor() as cursor,
        cursor.copy(f"COPY transfers ({columns}) FROM STDIN (FORMAT BINARY)") as out,
    ):
        out.set_types(["uuid", "uuid", *["text"] * 2, "int8", *["text"] * 2, *["timestamptz"] * 2])
        for one in transfers:
            out.write_row(
                (
                    *(one.id, cloud.organization_id, one.debit, one.credit, one.amount.fen),
                    *(one.reason.value, one.cause, one.at, now),
                )
            )


def figures(rounds: int) -> list[Figure]:
    together: dict[int, list[float]] = {size: [] for size in SIZES}
    alone: dict[int, list[float]] = {size: [] for size in SIZES}
    charged: list[float] = []
    with opened(POINTS * len(GATEWAYS), gateway_nos=GATEWAYS) as cloud:
        cursors = [down_cursor(cloud, gateway_no) for gateway_no in GATEWAYS]
        gateways = [Gateway(cloud.points[n :: len(GATEWAYS)]) for n in range(len(GATEWAYS))]
        for gateway_no, gateway, cursor in zip(GATEWAYS, gateways, cursors, strict=True):
            take(cloud, gateway.message(POINTS, cursor=cursor), gateway_nos=[gateway_no])
        points, known = points_of(cloud)
        month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        ours_said, others = (
            visited(points.values(), month + timedelta(seconds=late), known) for late in (3, 6)
        )
        take(cloud, gateways[0].said(_entries(islice(ours_said, POINTS)), cursors[0]))
        deque(islice(others, POINTS), maxlen=0)  # the first readings, which open the positions
        gc.collect()
        gc.freeze()  # as a worker does
        for _ in range(rounds):
            for size in SIZES:
                for found, many in ((together, len(GATEWAYS)), (alone, 1)):
                    asked = list(zip(gateways, cursors, strict=True))[:many]
                    count = READINGS // size // many
                    messages = [[g.message(size, cursor=c) for g, c in asked] for _ in range(count)]
                    batches = [[(g.rows(size), ()) for g, _ in asked] for _ in range(count)]
                    found[size].append(_compared(cloud, messages, batches))
            messages = [
                [gateways[0].said(_entries(islice(ours_said, CHARGED)), cursors[0])]
                for _ in range(CHARGED_MESSAGES)
            ]
            told = [tuple(islice(others, CHARGED)) for _ in range(CHARGED_MESSAGES)]
            charged.append(_compared(cloud, messages, [[_rows(each)] for each in told]))
        _check(cloud, gateways)
    return [
        *(
            Figure(
                "cloud",
                f"ingest, {size} readings a message",
                tuple(together[size]),
                against="binary COPY of the same rows",
                bar=bar,
                unit=" ×",
            )
            for size, bar in SIZES.items()
        ),
        *(
            Figure(
                "cloud",
                f"ingest, {size} readings a message, one at a time",
                tuple(alone[size]),
                against="binary COPY of the same rows",
                unit=" ×",
            )
            for size in SIZES
        ),
        Figure(
            "cloud",
            f"ingest, {CHARGED} readings a message, all charged",
            tuple(charged),
            against="binary COPY of readings and transfers",
            unit=" ×",
        ),
    ]


def _check(cloud: Cloud, gateways: Sequence[Gateway]) -> None:
    """All that was said is kept."""
    with cloud.database.system() as session:
        for gateway_no, gateway in zip(GATEWAYS, gateways, strict=True):
            seen = uplog.gateway_of(session, gateway_no)
            assert seen is not None
            assert seen.up_seq == gateway.seq
        rejected = session.execute(text("SELECT count(*) FROM rejected")).scalar_one()
        assert rejected == 0


def _entries(told: Iterable[Visit]) -> Iterator[Up]:
    return (message for visit in told for message in visit)


def _rows(told: Iterable[Visit]) -> tuple[list[Row], tuple[Transfer, ...]]:
    told = tuple(told)
    return (
        [(read.point, read.reading) for read, _ in told],
        tuple(transfer for _, charge in told for transfer in charge.transfers),
    )


def _compared(
    cloud: Cloud,
    messages: Sequence[Sequence[bytes]],
    batches: Sequence[Sequence[tuple[list[Row], Sequence[Transfer]]]],
) -> float:
    """How long the COPY takes, in times of how long we take for as many, those that wait together in one."""
    began = time.perf_counter()
    for each in messages:
        take(cloud, *each)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    for waiting in batches:
        copy(cloud, waiting)
    return (time.perf_counter() - began) / ours
