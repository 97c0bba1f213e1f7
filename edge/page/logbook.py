"""The last lines of the log, kept in memory for the page."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

KEPT = 400
LONGEST = 500


@dataclass(frozen=True, slots=True)
class Line:
    at: datetime
    level: str
    name: str
    text: str


class Logbook(logging.Handler):
    """A handler that keeps what it is told, newest last."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[Line] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        at = datetime.fromtimestamp(record.created, UTC)
        text = record.getMessage()[:LONGEST]
        self._lines.append(Line(at, record.levelname.lower(), record.name, text))

    def lines(self) -> list[Line]:
        """Newest first."""
        return list(reversed(self._lines))
