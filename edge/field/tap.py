"""What passes a line, kept for a while, so that whoever stands before it sees the frames themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from edge.lines.port import Port
from edge.technician.parts import without_password

KEPT = 200
LONGEST = 512  # of bytes in one direction without a turn: a line that babbles fills no memory


@dataclass(frozen=True, slots=True)
class Heard:
    """Bytes that went one way; a request, or all that came until the next one."""

    at: datetime
    is_sent: bool
    data: bytes

    @property
    def hex(self) -> str:
        """As is shown: a request without its password."""
        return without_password(self.data) if self.is_sent else self.data.hex(" ").upper()


class Tap:
    """A Port that remembers the last that passed through it. now gives aware UTC."""

    def __init__(self, port: Port, now: Callable[[], datetime]) -> None:
        self._port = port
        self._now = now
        self._heard: deque[tuple[datetime, bool, bytearray]] = deque(maxlen=KEPT)
        self._count = 0

    def mark(self) -> int:
        """For since()."""
        return self._count

    def since(self, mark: int) -> list[Heard]:
        """What has passed since a mark, as far as it is still known."""
        new = min(self._count - mark, len(self._heard))
        return self.last(new)

    def last(self, most: int) -> list[Heard]:
        start = max(0, len(self._heard) - most)
        kept = list(self._heard)[start:]
        return [Heard(at, is_sent, bytes(data)) for at, is_sent, data in kept]

    async def write(self, data: bytes) -> None:
        if data:
            self._begin(is_sent=True, data=data)
        await self._port.write(data)

    async def read(self, until: float) -> bytes:
        data = await self._port.read(until)
        if data:
            self._came(data)
        return data

    def drain(self) -> bytes:
        data = self._port.drain()
        if data:
            self._came(data)
        return data

    def close(self) -> None:
        self._port.close()

    def _came(self, data: bytes) -> None:
        if self._heard and not self._heard[-1][1]:
            last = self._heard[-1][2]
            last += data[: LONGEST - len(last)]
        else:
            self._begin(is_sent=False, data=data)

    def _begin(self, *, is_sent: bool, data: bytes) -> None:
        self._heard.append((self._now(), is_sent, bytearray(data[:LONGEST])))
        self._count += 1
