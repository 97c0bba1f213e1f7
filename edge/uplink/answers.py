"""Which of our words the cloud answers, and how long it took."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

MOST = 64  # words that wait for an answer
PROMPT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Answered:
    """The cloud's word is an answer to one of ours, said so long before it came."""

    round_trip: timedelta
    is_repeated: bool

    @property
    def tells_time(self) -> bool:
        """Whether it came soon enough, and for the first time."""
        return not self.is_repeated and self.round_trip <= PROMPT


class Answers:
    """The nonces of our last words. Times are the event loop's, in seconds.

    Answers may be doubled and reordered on the way: one that is older than another taken before it says
    nothing any more.
    """

    def __init__(self) -> None:
        self._said: dict[str, float] = {}  # in the order in which they were said
        self._last: str | None = None  # answered

    def expect(self, *, at: float) -> str:
        """The nonce of a word said now."""
        nonce = secrets.token_urlsafe(12)
        self._said[nonce] = at
        if len(self._said) > MOST:
            del self._said[next(iter(self._said))]
        return nonce

    def take(self, nonce: str | None, *, at: float) -> Answered | None:
        """None if this is no answer, or an answer to what was said before something already answered."""
        if nonce is None or nonce not in self._said:
            return None
        while (oldest := next(iter(self._said))) != nonce:
            del self._said[oldest]
        is_repeated = nonce == self._last
        self._last = nonce
        return Answered(timedelta(seconds=at - self._said[nonce]), is_repeated)
