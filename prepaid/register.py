"""A register movement, judged: how far it went, what speaks for and against it, and what that does to money.

Two rules meet here. What the meter *can* do in the time (max_per_hour, its digits) is physics: nothing
beyond it is ever charged by itself. What is *usual* is statistics: it may raise a suspicion, and it
decides where physics leaves more than one explanation (a register that went back may have rolled over),
but it never makes an impossible movement possible, and never refuses one that was seen to go forward.

Nothing is dropped: what is not charged is held, and stays between the reading charged last and the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal, localcontext
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from prepaid.decimals import EXACT
from prepaid.point import Meter
from prepaid.reading import Reading
from prepaid.usual import NO_TIME, Usual, micros

_HOUR = micros(timedelta(hours=1))


class Kind(StrEnum):
    """What a movement looks like."""

    MOVED = "moved"  # 正常走字
    STILL = "still"  # 未走字
    HIGH = "high"  # 用量偏高: possible, but far above the usual
    ROLLOVER = "rollover"  # 翻转: past the last digit and on from zero
    UNSEEN_ROUND = "unseen-round"  # 可能多转一圈: there was time to go round once more
    STUCK = "stuck"  # 停走
    JUMP = "jump"  # 突变: further off than the meter can have run
    BACKWARDS = "backwards"  # 倒走: no further back than the meter can have run
    RESET = "reset"  # 清零: as little as can have been counted from zero
    OTHER_METER = "other-meter"  # 表号不符: another number answered
    DUPLICATE_ADDRESS = "duplicate-address"  # 重址: two registers answer in turn
    ELSEWHERE = "elsewhere"  # 改址: read at another place than the reading charged last
    GARBLED = "garbled"  # 误读: no register of so many digits can show it
    RECOVERED = "recovered"  # 恢复: the reading in doubt did not last
    CLOCK = "clock"  # 时钟异常: two clocks differ on how long it took
    OFFSET = "offset"  # 抵扣预估: it was charged ahead, as an estimate
    ESTIMATE = "estimate"  # 预估用量
    ACCEPTED = "accepted"  # 人工确认
    DISMISSED = "dismissed"  # 人工排除
    METER_CHANGE = "meter-change"  # 换表


class Confidence(StrEnum):
    """How sure the kind is."""

    CERTAIN = "certain"  # 确定: arithmetic, or a person's word
    LIKELY = "likely"  # 很可能: nothing else explains it as well
    SUSPECTED = "suspected"  # 疑似: one explanation among several


class Effect(StrEnum):
    """What the reading does to money."""

    CHARGED = "charged"  # 计费
    ESTIMATED = "charged-as-estimate"  # 预估计费
    HELD = "held"  # 挂起: nothing charged until it is cleared up
    NOTHING = "nothing-to-charge"  # 无费用


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that speaks about a movement 判据.

    moved is how far the register is ahead of the reading before, a rollover undone, and limit what it was
    measured against, both in the register's unit and before the multiplier; None where the kind has no
    such number. text is for logs, in English.
    """

    kind: Kind
    confidence: Confidence
    effect: Effect
    moved: Decimal | None
    limit: Decimal | None
    text: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reading that could not be true 存疑读数.

    since is how long after the reading charged last it came; negative once a later one was charged. It is
    open while it holds the point. After that it is remembered for a while: a register that comes back on
    the same address is another meter's. is_duplicate once that was seen.
    """

    reading: Reading
    since: timedelta
    kind: Kind
    is_open: bool = True
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was charged as an estimate and no register has shown yet 预估未抵扣.

    quantity is in the point's unit; over is how much of the time since the register last moved it is for.
    """

    quantity: Decimal = Decimal(0)
    over: timedelta = NO_TIME


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a register beside the position. Keep it with the position, in the same transaction.

    charged_at is the place (Meter.place) at which the reading charged last was read, where it is read at another
    since; None where it is read there still.
    """

    usual: Usual = field(default_factory=Usual)
    doubt: Doubt | None = None
    ahead: Ahead = field(default_factory=Ahead)
    charged_at: tuple[str, ...] | None = None

    @property
    def is_held(self) -> bool:
        return self.doubt is not None and (self.doubt.is_open or self.doubt.is_duplicate)


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


class _Finding(NamedTuple):
    kind: Kind
    confidence: Confidence
    moved: Decimal | None
    limit: Decimal | None
    text: str


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
        doubts = _doubts(before, after, meter, since, most, history)
        clock = _clock(before, after, elapsed, meter)
        if doubts:
            return _held(before, after, meter, doubts, clock, since, history)
        return _charged(before, after, meter, elapsed, most, history, clock)


def read_elsewhere(history: History, was: Meter, now: Meter) -> History:
    """The history once a meter is read as now says, and no more as was.

    What answers there may be another register, and one within reach cannot be told from ours: so what is read is held
    until a person has compared the two, or it is read where it was again.
    """
    charged_at = history.charged_at or was.place
    if now.place != charged_at:
        return replace(history, charged_at=charged_at)
    doubt = history.doubt
    if doubt is not None and doubt.kind is Kind.ELSEWHERE:
        doubt = None
    return replace(history, charged_at=None, doubt=doubt)


def can_pass(meter: Meter, time: timedelta) -> Decimal:
    """The most that a register can move in a time: whole steps, and one more at each end.

    Call it where decimals are exact.
    """
    steps = meter.max_per_hour * micros(time) // (_HOUR * meter.step)
    return (steps + 2) * meter.step


def ahead_of(before: Reading, after: Reading, meter: Meter) -> Decimal:
    """How far one register is ahead of another, in one round at most; never negative. Both can be shown."""
    moved = after.total - before.total
    return moved if moved >= 0 else moved + round_of(meter)


def round_of(meter: Meter) -> Decimal:
    """What a register counts before it shows the same again."""
    return _round_of(meter.digits)


@lru_cache(maxsize=32)
def _round_of(digits: int) -> Decimal:
    return Decimal(1).scaleb(digits)


def is_shown(reading: Reading, meter: Meter) -> bool:
    """Whether a register of so many digits can show it."""
    return reading.total.is_finite() and 0 <= reading.total < round_of(meter)


# What speaks against a reading.


def _doubts(
    before: Reading,
    after: Reading,
    meter: Meter,
    since: timedelta,
    most: Decimal,
    history: History,
) -> tuple[_Finding, ...]:
    """Why the reading is held, the most telling first; nothing if it can be charged. most can pass since then."""
    if history.charged_at is not None and after.meter_no == before.meter_no:
        return (_elsewhere(before, after, meter),)
    doubts = _contradictions(before, after, meter, since, most, history)
    if history.doubt is not None and (
        again := _duplicate(before, after, meter, since, history.doubt, doubts)
    ):
        return (again, *doubts)
    return doubts


def _elsewhere(before: Reading, after: Reading, meter: Meter) -> _Finding:
    """That it is read at another place: by no number can anybody but a person say that it is the same register."""
    moved = after.total - before.total if is_shown(after, meter) else None
    text = f"{after.total} is read at another place than {before.total}, which is charged"
    return _Finding(Kind.ELSEWHERE, Confidence.SUSPECTED, moved, None, text)


def _contradictions(
    before: Reading,
    after: Reading,
    meter: Meter,
    since: timedelta,
    most: Decimal,
    history: History,
) -> tuple[_Finding, ...]:
    if after.meter_no != before.meter_no:
        text = f"meter {after.meter_no} answered in place of {before.meter_no}"
        return (_Finding(Kind.OTHER_METER, Confidence.CERTAIN, None, None, text),)
    for reading in (after, before):
        if not is_shown(reading, meter):
            largest = round_of(meter) - meter.step
            text = f"a register of {meter.digits} digits cannot show {reading.total}"
            return (_Finding(Kind.GARBLED, Confidence.CERTAIN, None, largest, text),)
    if after.total < before.total:
        return _back(before, after, meter, since, most, history)
    moved = after.total - before.total
    if moved > most:
        return (_too_fast(moved, most, since),)
    if goes_on := _goes_on(before, after, meter, most, history):
        return (goes_on,)
    return _another_round(moved, meter, since, most, history)


def _too_fast(moved: Decimal, most: Decimal, since: timedelta) -> _Finding:
    text = f"register moved {moved} in {since}; at most {most} can pass this meter"
    return _Finding(Kind.JUMP, Confidence.LIKELY, moved, most, text)


def _back(
    before: Reading,
    after: Reading,
    meter: Meter,
    since: timedelta,
    most: Decimal,
    history: History,
) -> tuple[_Finding, ...]:
    """A register that shows less than before: it rolled over, started anew, ran backwards or is another.

    A rollover is believed only where it is usual too. Physics alone would believe it of any meter that
    was not read for long enough, and charge a whole register.
    """
    moved = ahead_of(before, after, meter)
    found: list[_Finding] = []
    went = f"register went back from {before.total} to {after.total}"
    if moved <= most:
        usual = _usual(meter, since, history.usual)
        goes_on = _goes_on(before, after, meter, most, history)
        if moved <= usual and goes_on is None:
            return _another_round(moved, meter, since, most, history)
        again = "" if goes_on is None else f", and {goes_on.text}"
        text = f"{went}; {moved} over a rollover is possible, up to {usual} is usual{again}"
        found.append(_Finding(Kind.ROLLOVER, Confidence.SUSPECTED, moved, usual, text))
    back = before.total - after.total
    if after.total == 0 or (after.total <= most and back > most):
        text = f"{went}; at most {most} since it was reset"
        found.append(_Finding(Kind.RESET, Confidence.LIKELY, after.total, most, text))
    elif back <= most:
        text = f"{went}; at most {most} can pass this meter"
        found.append(_Finding(Kind.BACKWARDS, Confidence.LIKELY, -back, most, text))
        if after.total <= most:
            text = f"{went}; at most {most} since it was reset"
            found.append(_Finding(Kind.RESET, Confidence.LIKELY, after.total, most, text))
    else:
        text = f"{went}; at most {most} can pass this meter, forwards or backwards"
        found.append(_Finding(Kind.JUMP, Confidence.LIKELY, -back, most, text))
    if len(found) > 1:
        found = [finding._replace(confidence=Confidence.SUSPECTED) for finding in found]
    return tuple(found)


def _usual(meter: Meter, since: timedelta, usual: Usual) -> Decimal:
    limits = meter.thresholds
    average = usual.over(since, meter, times=limits.times_usual)
    return limits.always_usual if average is None else max(limits.always_usual, average)


def _goes_on(
    before: Reading, after: Reading, meter: Meter, most: Decimal, history: History
) -> _Finding | None:
    """That a reading follows the one in doubt. With time enough a jump becomes possible; it was not when
    it happened, so it stays an operator's."""
    doubt = history.doubt
    if (
        doubt is None
        or not doubt.is_open
        or doubt.reading.meter_no != before.meter_no
        or not is_shown(doubt.reading, meter)
    ):
        return None
    moved = ahead_of(before, after, meter)
    if moved < ahead_of(before, doubt.reading, meter):
        return None
    text = f"it goes on from the doubtful {doubt.reading.total}"
    return _Finding(doubt.kind, Confidence.LIKELY, moved, most, text)


def _another_round(
    moved: Decimal, meter: Meter, since: timedelta, most: Decimal, history: History
) -> tuple[_Finding, ...]:
    """That one more round is not only possible but as usual: then nobody can say which it was."""
    further = moved + round_of(meter)
    if further > most:
        return ()
    usual = history.usual.over(since, meter, times=meter.thresholds.times_usual)
    if usual is None or further > usual:
        return ()
    text = f"register moved {moved}, or {further}: up to {usual} is usual"
    return (_Finding(Kind.UNSEEN_ROUND, Confidence.SUSPECTED, further, usual, text),)


_FOREIGN = (Kind.JUMP, Kind.RESET, Kind.OTHER_METER)
"""What another register on the same address looks like. One that ran backwards is no other register."""


def _duplicate(
    before: Reading,
    after: Reading,
    meter: Meter,
    since: timedelta,
    doubt: Doubt,
    doubts: Sequence[_Finding],
) -> _Finding | None:
    """That two registers answer in turn: one was doubted, ours came back, and now the other goes on.

    Where the other has another number or was seen to move, ours is held too: what switches this address
    would switch both.
    """
    text = (
        f"{doubt.reading.total} of meter {doubt.reading.meter_no} and {before.total} answer in turn"
    )
    if doubt.is_duplicate:
        return _Finding(Kind.DUPLICATE_ADDRESS, Confidence.LIKELY, None, None, text)
    if (
        doubt.is_open
        or not doubts
        or doubts[0].kind is Kind.GARBLED
        or after.meter_no != doubt.reading.meter_no
    ):
        return None
    is_sure = after.meter_no != before.meter_no
    if not is_sure:
        further = ahead_of(doubt.reading, after, meter)
        if further > can_pass(meter, since - doubt.since):
            return None
        is_sure = further > 0
    confidence = Confidence.LIKELY if is_sure else Confidence.SUSPECTED
    return _Finding(Kind.DUPLICATE_ADDRESS, confidence, None, None, text)


def _clock(
    before: Reading, after: Reading, elapsed: timedelta, meter: Meter
) -> tuple[_Finding, ...]:
    apart = after.at - before.at - elapsed
    if abs(apart) <= meter.thresholds.clock_apart:
        return ()
    text = f"the clock went {after.at - before.at} on where {elapsed} passed"
    return (_Finding(Kind.CLOCK, Confidence.CERTAIN, None, None, text),)


def _held(
    before: Reading,
    after: Reading,
    meter: Meter,
    doubts: tuple[_Finding, ...],
    clock: tuple[_Finding, ...],
    since: timedelta,
    history: History,
) -> Assessment:
    first = doubts[0]
    is_duplicate = first.kind is Kind.DUPLICATE_ADDRESS and first.confidence is Confidence.LIKELY
    new = Doubt(after, since, doubts[-1].kind, is_duplicate=is_duplicate)
    doubt = _kept(before, history.doubt, new, meter)
    evidence = _with(Effect.HELD, (*doubts, *clock))
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


# What a reading is charged as.


def settle(
    moved: Decimal, elapsed: timedelta, meter: Meter, history: History
) -> tuple[Decimal, History]:
    """Of a true movement what is to be charged, and the history after it: an estimate is taken off first, and the
    reading charged last is one of where the meter is read now.

    Call it where decimals are exact.
    """
    ahead, usual = history.ahead, history.usual
    offset = Decimal(0)
    if ahead.quantity:
        offset = min(moved, ahead.quantity // (meter.multiplier * meter.step) * meter.step)
    if moved:
        was_stuck = usual.is_stuck(meter) and not ahead.over
        ahead = Ahead(ahead.quantity - offset * meter.multiplier)
    else:
        was_stuck = False
    usual = usual.moved_on(moved, elapsed, meter, was_stuck=was_stuck)
    return moved - offset, History(usual, history.doubt, ahead)


def _charged(
    before: Reading,
    after: Reading,
    meter: Meter,
    elapsed: timedelta,
    most: Decimal,
    history: History,
    clock: tuple[_Finding, ...],
) -> Assessment:
    moved = ahead_of(before, after, meter)
    since = elapsed + history.ahead.over
    charged, settled = settle(moved, elapsed, meter, history)
    found = [_movement(before, after, moved, meter, since, history.usual, settled.usual)]
    further = moved + round_of(meter)
    if further <= most:
        text = f"there was time to go round once more and move {further}"
        found.append(_Finding(Kind.UNSEEN_ROUND, Confidence.SUSPECTED, further, most, text))
    if history.doubt is not None:
        if history.doubt.is_open:
            text = f"the doubtful {history.doubt.reading.total} did not last"
            found.append(_Finding(Kind.RECOVERED, Confidence.LIKELY, None, None, text))
        settled = replace(settled, doubt=_past(history.doubt, since, meter))
    offset = moved - charged
    if offset:
        text = f"{offset} of it was charged as an estimate"
        found.append(_Finding(Kind.OFFSET, Confidence.CERTAIN, offset, None, text))
    effect = Effect.CHARGED if charged else Effect.NOTHING
    return Assessment(charged, offset, _with(effect, (*found, *clock)), settled)


def _movement(
    before: Reading,
    after: Reading,
    moved: Decimal,
    meter: Meter,
    since: timedelta,
    usual: Usual,
    now: Usual,
) -> _Finding:
    if not moved:
        if now.is_stuck(meter):
            expected = now.over(now.still, meter)
            text = f"register stands at {after.total} since {now.still}; {expected} is usual"
            return _Finding(Kind.STUCK, Confidence.SUSPECTED, moved, expected, text)
        return _Finding(Kind.STILL, Confidence.CERTAIN, moved, None, "register stands still")
    if after.total < before.total:
        text = f"register rolled over from {before.total} to {after.total}: {moved}"
        limit = _usual(meter, since, usual)
        return _Finding(Kind.ROLLOVER, Confidence.LIKELY, moved, limit, text)
    if moved > meter.thresholds.always_usual:
        average = usual.over(since, meter, times=meter.thresholds.times_usual)
        if average is not None and moved > average:
            text = f"register moved {moved}; up to {average} is usual"
            return _Finding(Kind.HIGH, Confidence.SUSPECTED, moved, average, text)
    return _Finding(Kind.MOVED, Confidence.CERTAIN, moved, None, f"register moved {moved}")


def _past(doubt: Doubt, since: timedelta, meter: Meter) -> Doubt | None:
    """A doubt as it is remembered after a later reading was charged."""
    age = since - doubt.since
    if doubt.kind not in _FOREIGN or age > meter.thresholds.duplicate_within:
        return None
    return replace(doubt, since=-age, is_open=False)


def _with(effect: Effect, found: Sequence[_Finding]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(one.kind, one.confidence, effect, one.moved, one.limit, one.text) for one in found
    )
