"""How often one address may ask for what costs us work or could be guessed."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from cloud.errors import CloudError

WITHIN = timedelta(minutes=10)
MOST = 100  # of one address within that time: a site's gateways may all renew behind one
MOST_ADDRESSES = 10_000


class TooMany(CloudError):
    status = 429
    sentence = "Too many requests from this address. Try again in {seconds} seconds."


class Attempts:
    """Counts in this process: with more processes more is let through, by so many times."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._counts: dict[str, tuple[datetime, int]] = {}  # since when, and how many

    def count(self, address: str, *, now: datetime) -> None:
        """Raises TooMany."""
        since, count = self._counts.pop(address, (now, 0))
        if now - since >= WITHIN:
            since, count = now, 0
        self._counts[address] = (since, count + 1)
        if len(self._counts) > MOST_ADDRESSES:
            del self._counts[next(iter(self._counts))]  # who asked longest ago
        if count >= self._most:
            raise TooMany(seconds=math.ceil((since + WITHIN - now).total_seconds()))
