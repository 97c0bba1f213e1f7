"""How often one address may ask for what costs us work or could be guessed, and a program for anything."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from uuid import UUID

from cloud.errors import CloudError

WITHIN = timedelta(minutes=10)
MOST = 100  # of one address within that time: a site's gateways may all renew behind one
MOST_ADDRESSES = 10_000


class TooMany(CloudError):
    status = 429
    sentence = "Too many requests from this address. Try again in {seconds} seconds."


class TooManyOfKey(CloudError):
    status = 429
    sentence = "This key may ask {most} times a minute. Try again in {seconds} seconds."


class Attempts:
    """Counts in this process: with more processes more is let through, by so many times."""

    def __init__(self, *, most: int = MOST, within: timedelta = WITHIN) -> None:
        self._most = most
        self._within = within
        self._counts: dict[str, tuple[datetime, int]] = {}  # since when, and how many

    def count(self, address: str, *, now: datetime) -> None:
        """Raises TooMany."""
        wait = self._wait(address, self._most, now)
        if wait:
            raise TooMany(seconds=wait)

    def count_key(self, key_id: UUID, *, most: int, now: datetime) -> None:
        """Raises TooManyOfKey."""
        wait = self._wait(str(key_id), most, now)
        if wait:
            raise TooManyOfKey(most=most, seconds=wait)

    def _wait(self, address: str, most: int, now: datetime) -> int:
        """Seconds until it may ask again; 0 if it may now, and is counted."""
        since, count = self._counts.pop(address, (now, 0))
        if now - since >= self._within:
            since, count = now, 0
        self._counts[address] = (since, count + 1)
        if len(self._counts) > MOST_ADDRESSES:
            del self._counts[next(iter(self._counts))]  # who asked longest ago
        if count < most:
            return 0
        return max(1, math.ceil((since + self._within - now).total_seconds()))
