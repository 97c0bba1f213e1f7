"""What a simulated DL/T 645 meter remembers: events 事件, freezes 冻结, load records 负荷记录.

Records are kept as they are sent, so that a state is read back whatever the meter has become.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate

from protocols import bcd
from protocols.dlt645 import freeze, items
from protocols.dlt645.events import RECORDS

PROGRAMMED, CLEARED, DEMAND_RESET, EVENTS_CLEARED, TIME_SET = (
    0x033000,
    0x033001,
    0x033002,
    0x033003,
    0x033004,
)
PERIODS_SET, ZONES_SET, REST_SET, HOLIDAYS_SET = 0x033005, 0x033006, 0x033007, 0x033008
SETTLEMENT_SET, COVER, TERMINAL_COVER = 0x03300C, 0x03300D, 0x03300E
POWER_DOWN = 0x031100
TRIPPED, CLOSED = 0x1D0000, 0x1E0000
ENERGY_BOUGHT, MONEY_BOUGHT = 0x033200, 0x033300
KEPT = {CLEARED, EVENTS_CLEARED}

SWITCHING = (6, 4, 4, 4, 4, 4, 4, 4)
BOUGHT = (5, 2, 4, 4, 4, 4)
SIZES = {TRIPPED: SWITCHING, CLOSED: SWITCHING, ENERGY_BOUGHT: BOUGHT, MONEY_BOUGHT: BOUGHT}
"""Records whose items are read one by one; the bytes of each."""


def stamp(at: datetime, layout: str = "%y%m%d%H%M%S") -> bytes:
    """A time as sent, low byte first."""
    return bcd.from_digits(at.strftime(layout))


class Events:
    """A count and the last ten records of each event, by the first three bytes of its identifier."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.records: dict[int, deque[bytes]] = {}

    def add(self, event: int, record: bytes) -> None:
        """It happened once more."""
        self.counts[event] = self.counts.get(event, 0) + 1
        self.records.setdefault(event, deque(maxlen=RECORDS)).appendleft(record)

    def amend(self, event: int, record: bytes) -> None:
        """The last record was not the whole of it."""
        self.records[event][0] = record

    def last(self, event: int) -> bytes | None:
        found = self.records.get(event)
        return found[0] if found else None

    def clear(self, di: int | None) -> None:
        """Forget all events, or those of one class, where FF is any byte; the records of clearing stay."""
        asked = b"\xff\xff\xff" if di is None else di.to_bytes(4, "big")[:3]
        for event in list(self.records):
            mine = event.to_bytes(3, "big")
            if event not in KEPT and all(a in (0xFF, b) for a, b in zip(asked, mine, strict=True)):
                del self.records[event], self.counts[event]

    def read(self, di: int) -> bytes | None:
        """What stands under an identifier of class 03, 1D or 1E; None where there is nothing."""
        event, back = di >> 8, di & 0xFF
        for sized, sizes in SIZES.items():
            part = event - sized
            if not 0 <= part <= len(sizes):
                continue
            if part == 0:
                return self._count(sized) if back == 1 and sizes is SWITCHING else None
            record = self._record(sized, back)
            ends = list(accumulate(sizes))
            return record and record[ends[part - 1] - sizes[part - 1] : ends[part - 1]]
        if back:
            return self._record(event, back)
        item = items.find(di)
        if item is None:
            return None
        # Events that this meter never has are counted, too: they have not happened.
        return self._count(event) if item.size == 3 else bytes(item.size)

    def _count(self, event: int) -> bytes:
        return bcd.from_digits(f"{self.counts.get(event, 0) % 10**6:06d}")

    def _record(self, event: int, back: int) -> bytes | None:
        found = self.records.get(event, deque())
        return found[back - 1] if 1 <= back <= len(found) else None

    def state(self) -> dict[str, list[object]]:
        return {
            f"{event:X}": [self.counts[event], *(record.hex() for record in records)]
            for event, records in self.records.items()
        }

    def resume(self, state: object) -> None:
        """Raises ValueError or TypeError if it is no state of events."""
        for name, kept in table(state).items():
            if not (isinstance(kept, list) and kept and isinstance(kept[0], int)):
                raise ValueError(f"event {name} is {kept!r}")
            count, *records = kept
            self.counts[int(name, 16)] = count
            self.records[int(name, 16)] = deque(map(unhex, records), maxlen=RECORDS)


DEPTHS = {0x00: 12, 0x01: 3, 0x02: 2, 0x03: 2, 0x04: 254, 0x05: 2, 0x06: 62, 0x07: 2}
TIME, WHOLE = 0x00, 0xFF


class Freezes:
    """The records of each kind of freeze, the last first: the groups of each by their DI1."""

    def __init__(self) -> None:
        self._kinds = {kind: deque[dict[int, bytes]](maxlen=n) for kind, n in DEPTHS.items()}
        self._state: dict[str, str] | None = None

    def add(self, kind: int, groups: dict[int, bytes]) -> None:
        self._kinds[kind].appendleft(groups)
        self._state = None

    def clear(self) -> None:
        for records in self._kinds.values():
            records.clear()
        self._state = None

    def read(self, di: int) -> bytes | None:
        """What stands under 05 kk ii nn; a whole record has AA between its groups."""
        kind, group, back = di >> 16 & 0xFF, di >> 8 & 0xFF, di & 0xFF
        records = self._kinds.get(kind, deque())
        if not 1 <= back <= len(records):
            return None
        record = records[back - 1]
        if group != WHOLE:
            return record.get(group)
        between = b"" if kind == freeze.HOURLY else freeze.SEPARATOR
        return between.join(record[at] for at in sorted(record))

    def state(self) -> dict[str, str]:
        """By kind one text, which is made anew only after a change: it is written with every answer."""
        if self._state is None:
            self._state = {
                str(kind): " ".join(map(packed, records))
                for kind, records in self._kinds.items()
                if records
            }
        return self._state

    def resume(self, state: object) -> None:
        """Raises ValueError if it is no state of freezes, KeyError for an unknown kind."""
        for kind, records in table(state).items():
            for one in reversed(str(records).split()):
                self.add(int(kind), unpacked(one))


def packed(parts: dict[int, bytes]) -> str:
    """Numbered bytes as one word of text."""
    return ",".join(f"{number}={data.hex()}" for number, data in parts.items())


def unpacked(text: str) -> dict[int, bytes]:
    """Raises ValueError if it is no such word."""
    pairs = (part.partition("=") for part in text.split(","))
    return {int(number): bytes.fromhex(data) for number, _, data in pairs}


CLASSES = 6
LOAD_DEPTH = 200
OLDEST, SINCE, NEWEST = 0x00, 0x01, 0x02


class LoadRecords:
    """Load records, the oldest first: minute, and by class 1 to 6 what was measured."""

    def __init__(self) -> None:
        self._records: deque[tuple[str, dict[int, bytes]]] = deque(maxlen=LOAD_DEPTH)
        self._state: str | None = None

    def add(self, at: datetime, classes: dict[int, bytes]) -> None:
        self._records.append((f"{at:%y%m%d%H%M}", classes))
        self._state = None

    def clear(self) -> None:
        self._records.clear()
        self._state = None

    def read(self, di: int, blocks: int, since: datetime | None) -> bytes | None:
        """As many records as asked under 06 cc 00 xx, b"" where none matches, None for another identifier."""
        wanted, middle, which = di >> 16 & 0xFF, di >> 8 & 0xFF, di & 0xFF
        if wanted > CLASSES or middle or which > NEWEST or (which == SINCE) != (since is not None):
            return None
        having = [one for one in self._records if not wanted or wanted in one[1]]
        if since is not None:
            having = [one for one in having if one[0] >= f"{since:%y%m%d%H%M}"]
        chosen = having[-blocks:] if which == NEWEST else having[:blocks]
        only = (wanted,) if wanted else range(1, CLASSES + 1)
        return b"".join(
            _load_record(at, [classes.get(c, b"") if c in only else b"" for c in SIX])
            for at, classes in chosen
        )

    def state(self) -> str:
        """One text, which is made anew only after a change: it is written with every answer."""
        if self._state is None:
            self._state = " ".join(f"{at}:{packed(classes)}" for at, classes in self._records)
        return self._state

    def resume(self, state: object) -> None:
        """Raises ValueError if it is no state of load records."""
        for one in str(state).split():
            at, _, classes = one.partition(":")
            self._records.append((at, unpacked(classes)))


SIX = tuple(range(1, CLASSES + 1))


def _load_record(at: str, blocks: Sequence[bytes]) -> bytes:
    """A0 A0, the length of what follows up to the sum, the minute, each block and AA, the sum, E5."""
    body = bcd.from_digits(at) + b"".join(block + b"\xaa" for block in blocks)
    record = b"\xa0\xa0" + bytes([len(body)]) + body
    return record + bytes([sum(record) & 0xFF, 0xE5])


def is_due(at: datetime, start: datetime, every: timedelta) -> bool:
    """Whether something that began at start and repeats is due at this minute."""
    return bool(every) and at >= start and (at - start) % every < timedelta(minutes=1)


def table(state: object) -> dict[str, object]:
    """Raises ValueError if a part of a state is not a table."""
    if not isinstance(state, dict):
        raise ValueError(f"{state!r} is not a table")
    return state


def unhex(data: object) -> bytes:
    """Raises ValueError if a part of a state is not bytes in hexadecimal."""
    if not isinstance(data, str):
        raise ValueError(f"{data!r} is not bytes")
    return bytes.fromhex(data)
