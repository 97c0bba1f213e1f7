"""What a line has done: a frozen value, added up from the start of the program."""

from __future__ import annotations

from dataclasses import dataclass, replace

LONGEST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class LineMetrics:
    """Of one line. Times in seconds; of the requests sent, each is answered, garbled, timed out or under way. What
    nobody must answer (a time that is told, a call to whoever is there) is none of them.

    useful_s is what answered requests needed: their bytes at the line's rate, the meter's own delay, and the gap
    that must follow. busy_s is all the time in which the line was not free, time-outs included. gap_s is the gap
    between an answer and the next request. delays are what nearly all answers of each meter kept within, as
    learned; silent are the meters that did not answer when they were last asked.

    missed counts the visits that began later after they were due than the bound of the overdraft allows. late_s is
    for how long the first of those that are due now has been. waited_s is the longest that a visit which moves a
    supply has waited for the line.
    """

    line: str
    since_s: float
    useful_s: float
    busy_s: float
    gap_s: float
    requests: int
    answers: int
    garbled: int
    timeouts: int
    retries: int
    silent: tuple[str, ...]
    delays: tuple[tuple[str, float], ...]
    missed: int = 0
    late_s: float = 0.0
    waited_s: float = 0.0

    @property
    def utilisation(self) -> float:
        """The share of all time that answered requests needed."""
        return self.useful_s / self.since_s if self.since_s > 0 else 0.0

    @property
    def yielding(self) -> float:
        """The share of the busy time that answered requests needed; 1 for a line that did nothing."""
        return self.useful_s / self.busy_s if self.busy_s > 0 else 1.0

    def after(self, earlier: LineMetrics) -> LineMetrics:
        """What came since an earlier value of the same line. Raises ValueError for another line."""
        if earlier.line != self.line:
            raise ValueError(f"metrics of line {self.line} after those of {earlier.line}")
        return replace(
            self,
            since_s=self.since_s - earlier.since_s,
            useful_s=self.useful_s - earlier.useful_s,
            busy_s=self.busy_s - earlier.busy_s,
            requests=self.requests - earlier.requests,
            answers=self.answers - earlier.answers,
            garbled=self.garbled - earlier.garbled,
            timeouts=self.timeouts - earlier.timeouts,
            retries=self.retries - earlier.retries,
            missed=self.missed - earlier.missed,
        )

    def __str__(self) -> str:
        """One line for the log."""
        said = (
            f"{self.utilisation:.1%} used, {self.yielding:.1%} of the busy time; gap {self.gap_s * 1000:.0f} ms; "
            f"{self.requests} requests, {self.answers} answers, {self.timeouts} time-outs, {self.garbled} garbled, "
            f"{self.retries} retries; {len(self.silent)} silent; {self.missed} deadlines missed"
        )
        if self.delays:
            usual = sorted(delay for _, delay in self.delays)[len(self.delays) // 2]
            slowest = sorted(self.delays, key=lambda item: -item[1])[:LONGEST_SHOWN]
            shown = ", ".join(f"{whom} {delay * 1000:.0f} ms" for whom, delay in slowest)
            said += f"; answers begin after {usual * 1000:.0f} ms, slowest {shown}"
        return said
