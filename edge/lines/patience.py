"""How long to wait for a meter: as long as its own answers took, and some more. It measures nothing itself."""

from __future__ import annotations

import math
from collections import deque

KEPT = 64  # answers looked back upon
QUANTILE = 0.98  # of 64 answers the slowest one is taken for an accident
FEW = 49  # of so many the slowest counts
FACTOR = 2.0  # one answer says little about the next, so twice as long
MARGIN_S = 0.03
MOST_WIDENED = 8
MOST_ROUNDS = 32


class Patience:
    """The wait for one meter, in seconds: least_s is what line and adapter need by themselves, most_s what the
    standard allows besides.

    wait_s is how long to wait now, most_s for a meter that has not answered yet; usual_s is what nearly all of the
    last answers that came in time kept within, 0 before there are any.
    """

    __slots__ = ("_answers", "_least_s", "_most_s", "_widened", "usual_s", "wait_s")

    def __init__(self, *, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._answers: deque[float] = deque(maxlen=KEPT)
        self._widened = 0  # time-outs since the last answer
        self.usual_s = 0.0
        self.wait_s = most_s

    @property
    def has_answered(self) -> bool:
        """Whether it ever answered in time."""
        return bool(self._answers)

    def note_answer(self, after_s: float) -> None:
        """Learn from an answer to a request that was sent once. To one that was sent again it is not known which of
        them was answered: such an answer teaches nothing, and the wait stays wide."""
        after_s = max(0.0, after_s)
        is_as_usual = self._is_as_usual(after_s)
        self._answers.append(after_s)
        if is_as_usual and not self._widened:
            return
        self._widened = 0
        if not is_as_usual:
            place = math.ceil(QUANTILE * len(self._answers)) - 1
            self.usual_s = sorted(self._answers)[place]
        self.wait_s = self._wait_s()

    def note_silence(self) -> None:
        """Nothing answered in time: the next wait is twice as long."""
        self._widened = min(self._widened + 1, MOST_WIDENED)
        self.wait_s = self._wait_s()

    def _is_as_usual(self, after_s: float) -> bool:
        """Whether one more answer, in the place of the oldest of KEPT, leaves what is usual as it is: for most it
        does."""
        if len(self._answers) < FEW:
            return after_s <= self.usual_s and self.has_answered
        if len(self._answers) < KEPT:
            return False
        oldest_s = self._answers[0]
        return after_s == oldest_s or (after_s <= self.usual_s and oldest_s < self.usual_s)

    def _wait_s(self) -> float:
        if not self._answers:
            return self._most_s
        wait_s = (FACTOR * self.usual_s + MARGIN_S) * 2.0**self._widened
        return min(max(wait_s, self._least_s), self._most_s)


def rounds_off(misses: int) -> int:
    """How many rounds of its line a meter is left alone after so many misses in a row: 1, 2, 4 to 32.

    Raises ValueError if it has not missed.
    """
    if misses < 1:
        raise ValueError("a meter that has not missed is not left alone")
    return int(min(2 ** min(misses - 1, 10), MOST_ROUNDS))
