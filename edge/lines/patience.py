"""How long to wait for a meter: as long as its own answers took, and some more. Pure: it measures nothing itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

KEPT = 64  # answers looked back upon
QUANTILE = 0.98  # of 64 answers the slowest one is taken for an accident
FACTOR = 2.0  # one answer says little about the next, so twice as long
MARGIN_S = 0.03
MOST_WIDENED = 8
MOST_ROUNDS = 32


@dataclass(frozen=True, slots=True)
class Patience:
    """The wait for one meter, in seconds: least_s is what line and adapter need by themselves, most_s what the
    standard allows besides. answers are the last that came in time, oldest first; widened counts the
    time-outs since. usual_s is what nearly all of the answers kept within; 0 before there are any."""

    least_s: float
    most_s: float
    answers: tuple[float, ...] = ()
    widened: int = 0
    usual_s: float = 0.0

    @property
    def wait_s(self) -> float:
        """How long to wait now: most_s for a meter that has not answered yet."""
        if not self.answers:
            return self.most_s
        wait_s = (FACTOR * self.usual_s + MARGIN_S) * 2.0**self.widened
        return min(max(wait_s, self.least_s), self.most_s)

    def after_answer(self, after_s: float) -> Patience:
        """With an answer to a request that was sent once. To one that was sent again it is not known which of
        them was answered: such an answer teaches nothing, and the wait stays wide."""
        after_s = max(0.0, after_s)
        answers = (*self.answers[1 - KEPT :], after_s)
        usual_s = self.usual_s
        if not self._is_as_usual(after_s):
            usual_s = sorted(answers)[math.ceil(QUANTILE * len(answers)) - 1]
        return Patience(self.least_s, self.most_s, answers, usual_s=usual_s)

    def _is_as_usual(self, after_s: float) -> bool:
        """Whether one more answer, in the place of the oldest, leaves what is usual as it is: for most it does."""
        if len(self.answers) < KEPT:
            return False
        oldest_s = self.answers[0]
        return after_s == oldest_s or (after_s <= self.usual_s and oldest_s < self.usual_s)

    def after_silence(self) -> Patience:
        """With a request that nothing answered in time: the next wait is twice as long."""
        return replace(self, widened=min(self.widened + 1, MOST_WIDENED))


def rounds_off(misses: int) -> int:
    """How many rounds of its line a meter is left alone after so many misses in a row: 1, 2, 4 to 32.

    Raises ValueError if it has not missed.
    """
    if misses < 1:
        raise ValueError("a meter that has not missed is not left alone")
    return int(min(2 ** min(misses - 1, 10), MOST_ROUNDS))
