"""Assessment: how far a register went, and whether that is charged or held."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, localcontext

from prepaid.decimals import EXACT
from prepaid.point import Meter
from prepaid.reading import Reading
from prepaid.record import record
from prepaid.register.doubts import against
from prepaid.register.evidence import Confidence, Effect, Evidence, Finding, Kind, evidence_of
from prepaid.register.history import Doubt, History, settle
from prepaid.register.reach import ahead_of, can_pass, is_shown, round_of, usual_in
from prepaid.usual import NO_TIME, Usual


@record
@dataclass(frozen=True, slots=True)
class Assessment:
    """A movement, judged. moved is what is to be charged, in the register's unit; None: hold.

    offset is what of the movement is not charged because an estimate was; it is not in moved. All
    evidence has the same effect, and there is always some. history is the one to keep from now on.
    """

    moved: Decimal | None
    offset: Decimal
    evidence: tuple[Evidence, ...]
    history: History

    @property
    def text(self) -> str:
        """All evidence in one line, for logs."""
        return "; ".join(evidence.text for evidence in self.evidence)


def assess(
    before: Reading, after: Reading, meter: Meter, *, elapsed: timedelta, history: History
) -> Assessment:
    """How far the register went from the reading charged last to this one, or that it must be held.

    elapsed is the time between them by a clock that does not jump. moved is never negative and never
    more than can pass the meter in that time.

    Raises ValueError if elapsed is negative.
    """
    if elapsed < NO_TIME:
        raise ValueError(f"elapsed is {elapsed}; it must come from a clock that does not go back")
    with localcontext(EXACT):
        since = elapsed + history.ahead.over
        most = can_pass(meter, since)
        doubts = against(before, after, meter, since, most, history)
        clock = _clock(before, after, elapsed, meter)
        if doubts:
            return _held(before, after, meter, doubts, clock, since, history)
        return _charged(before, after, meter, elapsed, most, history, clock)


def _clock(
    before: Reading, after: Reading, elapsed: timedelta, meter: Meter
) -> tuple[Finding, ...]:
    apart = after.at - before.at - elapsed
    if abs(apart) <= meter.thresholds.clock_apart:
        return ()
    text = f"the clock went {after.at - before.at} on where {elapsed} passed"
    return (Finding(Kind.CLOCK, Confidence.CERTAIN, None, None, text),)


def _held(
    before: Reading,
    after: Reading,
    meter: Meter,
    doubts: tuple[Finding, ...],
    clock: tuple[Finding, ...],
    since: timedelta,
    history: History,
) -> Assessment:
    first = doubts[0]
    is_duplicate = first.kind is Kind.DUPLICATE_ADDRESS and first.confidence is Confidence.LIKELY
    new = Doubt(after, since, doubts[-1].kind, is_duplicate=is_duplicate)
    doubt = _kept(before, history.doubt, new, meter)
    evidence = evidence_of(Effect.HELD, (*doubts, *clock))
    return Assessment(None, Decimal(0), evidence, replace(history, doubt=doubt))


def _kept(before: Reading, old: Doubt | None, new: Doubt, meter: Meter) -> Doubt:
    """Of two doubtful readings the one that the other goes on from, so that neither becomes true with time."""
    if old is None or not (old.is_open or old.is_duplicate):
        return new
    if old.is_duplicate or not _is_comparable(before, new, meter):
        return old
    if new.is_duplicate or not _is_comparable(before, old, meter):
        return new
    is_nearer = ahead_of(before, new.reading, meter) < ahead_of(before, old.reading, meter)
    return new if is_nearer else old


def _is_comparable(before: Reading, doubt: Doubt, meter: Meter) -> bool:
    return doubt.reading.meter_no == before.meter_no and is_shown(doubt.reading, meter)


def _charged(
    before: Reading,
    after: Reading,
    meter: Meter,
    elapsed: timedelta,
    most: Decimal,
    history: History,
    clock: tuple[Finding, ...],
) -> Assessment:
    moved = ahead_of(before, after, meter)
    since = elapsed + history.ahead.over
    charged, settled = settle(moved, elapsed, meter, history)
    found = [_movement(before, after, moved, meter, since, history.usual, settled.usual)]
    further = moved + round_of(meter)
    if further <= most:
        text = f"there was time to go round once more and move {further}"
        found.append(Finding(Kind.UNSEEN_ROUND, Confidence.SUSPECTED, further, most, text))
    if history.doubt is not None:
        if history.doubt.is_open:
            text = f"the doubtful {history.doubt.reading.total} did not last"
            found.append(Finding(Kind.RECOVERED, Confidence.LIKELY, None, None, text))
        settled = replace(settled, doubt=_past(history.doubt, since, meter))
    offset = moved - charged
    if offset:
        text = f"{offset} of it was charged as an estimate"
        found.append(Finding(Kind.OFFSET, Confidence.CERTAIN, offset, None, text))
    effect = Effect.CHARGED if charged else Effect.NOTHING
    return Assessment(charged, offset, evidence_of(effect, (*found, *clock)), settled)


def _movement(
    before: Reading,
    after: Reading,
    moved: Decimal,
    meter: Meter,
    since: timedelta,
    usual: Usual,
    now: Usual,
) -> Finding:
    if not moved:
        if now.is_stuck(meter):
            expected = now.over(now.still, meter)
            text = f"register stands at {after.total} since {now.still}; {expected} is usual"
            return Finding(Kind.STUCK, Confidence.SUSPECTED, moved, expected, text)
        return Finding(Kind.STILL, Confidence.CERTAIN, moved, None, "register stands still")
    if after.total < before.total:
        text = f"register rolled over from {before.total} to {after.total}: {moved}"
        limit = usual_in(meter, since, usual)
        return Finding(Kind.ROLLOVER, Confidence.LIKELY, moved, limit, text)
    if moved > meter.thresholds.always_usual:
        average = usual.over(since, meter, times=meter.thresholds.times_usual)
        if average is not None and moved > average:
            text = f"register moved {moved}; up to {average} is usual"
            return Finding(Kind.HIGH, Confidence.SUSPECTED, moved, average, text)
    return Finding(Kind.MOVED, Confidence.CERTAIN, moved, None, f"register moved {moved}")


_FOREIGN = (Kind.JUMP, Kind.RESET, Kind.OTHER_METER)
"""What another register on the same address looks like. One that ran backwards is no other register."""


def _past(doubt: Doubt, since: timedelta, meter: Meter) -> Doubt | None:
    """A doubt as it is remembered after a later reading was charged."""
    age = since - doubt.since
    if doubt.kind not in _FOREIGN or age > meter.thresholds.duplicate_within:
        return None
    return replace(doubt, since=-age, is_open=False)
