"""Doubts: what speaks against a reading, so that it is held."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from prepaid.point import Meter
from prepaid.reading import Reading
from prepaid.register.evidence import Confidence, Finding, Kind
from prepaid.register.history import Doubt, History
from prepaid.register.reach import ahead_of, can_pass, is_shown, round_of, usual_in


def against(
    before: Reading,
    after: Reading,
    meter: Meter,
    since: timedelta,
    most: Decimal,
    history: History,
) -> tuple[Finding, ...]:
    """Why the reading is held, the most telling first; nothing if it can be charged. most can pass since then."""
    if history.charged_at is not None and after.meter_no == before.meter_no:
        return (_elsewhere(before, after, meter),)
    doubts = _contradictions(before, after, meter, since, most, history)
    if history.doubt is not None and (
        again := _duplicate(before, after, meter, since, history.doubt, doubts)
    ):
        return (again, *doubts)
    return doubts


def _elsewhere(before: Reading, after: Reading, meter: Meter) -> Finding:
    """That it is read at another place: by no number can anybody but a person say that it is the same register."""
    moved = after.total - before.total if is_shown(after, meter) else None
    text = f"{after.total} is read at another place than {before.total}, which is charged"
    return Finding(Kind.ELSEWHERE, Confidence.SUSPECTED, moved, None, text)


def _contradictions(
    before: Reading,
    after: Reading,
    meter: Meter,
    since: timedelta,
    most: Decimal,
    history: History,
) -> tuple[Finding, ...]:
    if after.meter_no != before.meter_no:
        text = f"meter {after.meter_no} answered in place of {before.meter_no}"
        return (Finding(Kind.OTHER_METER, Confidence.CERTAIN, None, None, text),)
    for reading in (after, before):
        if not is_shown(reading, meter):
            largest = round_of(meter) - meter.step
            text = f"a register of {meter.digits} digits cannot show {reading.total}"
            return (Finding(Kind.GARBLED, Confidence.CERTAIN, None, largest, text),)
    if after.total < before.total:
        return _back(before, after, meter, since, most, history)
    moved = after.total - before.total
    if moved > most:
        return (_too_fast(moved, most, since),)
    if goes_on := _goes_on(before, after, meter, most, history):
        return (goes_on,)
    return _another_round(moved, meter, since, most, history)


def _too_fast(moved: Decimal, most: Decimal, since: timedelta) -> Finding:
    text = f"register moved {moved} in {since}; at most {most} can pass this meter"
    return Finding(Kind.JUMP, Confidence.LIKELY, moved, most, text)


def _back(
    before: Reading,
    after: Reading,
    meter: Meter,
    since: timedelta,
    most: Decimal,
    history: History,
) -> tuple[Finding, ...]:
    """A register that shows less than before: it rolled over, started anew, ran backwards or is another.

    A rollover is believed only where it is usual too. Physics alone would believe it of any meter that
    was not read for long enough, and charge a whole register.
    """
    moved = ahead_of(before, after, meter)
    found: list[Finding] = []
    went = f"register went back from {before.total} to {after.total}"
    if moved <= most:
        usual = usual_in(meter, since, history.usual)
        goes_on = _goes_on(before, after, meter, most, history)
        if moved <= usual and goes_on is None:
            return _another_round(moved, meter, since, most, history)
        again = "" if goes_on is None else f", and {goes_on.text}"
        text = f"{went}; {moved} over a rollover is possible, up to {usual} is usual{again}"
        found.append(Finding(Kind.ROLLOVER, Confidence.SUSPECTED, moved, usual, text))
    back = before.total - after.total
    if after.total == 0 or (after.total <= most and back > most):
        text = f"{went}; at most {most} since it was reset"
        found.append(Finding(Kind.RESET, Confidence.LIKELY, after.total, most, text))
    elif back <= most:
        text = f"{went}; at most {most} can pass this meter"
        found.append(Finding(Kind.BACKWARDS, Confidence.LIKELY, -back, most, text))
        if after.total <= most:
            text = f"{went}; at most {most} since it was reset"
            found.append(Finding(Kind.RESET, Confidence.LIKELY, after.total, most, text))
    else:
        text = f"{went}; at most {most} can pass this meter, forwards or backwards"
        found.append(Finding(Kind.JUMP, Confidence.LIKELY, -back, most, text))
    if len(found) > 1:
        found = [finding._replace(confidence=Confidence.SUSPECTED) for finding in found]
    return tuple(found)


def _goes_on(
    before: Reading, after: Reading, meter: Meter, most: Decimal, history: History
) -> Finding | None:
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
    return Finding(doubt.kind, Confidence.LIKELY, moved, most, text)


def _another_round(
    moved: Decimal, meter: Meter, since: timedelta, most: Decimal, history: History
) -> tuple[Finding, ...]:
    """That one more round is not only possible but as usual: then nobody can say which it was."""
    further = moved + round_of(meter)
    if further > most:
        return ()
    usual = history.usual.over(since, meter, times=meter.thresholds.times_usual)
    if usual is None or further > usual:
        return ()
    text = f"register moved {moved}, or {further}: up to {usual} is usual"
    return (Finding(Kind.UNSEEN_ROUND, Confidence.SUSPECTED, further, usual, text),)


def _duplicate(
    before: Reading,
    after: Reading,
    meter: Meter,
    since: timedelta,
    doubt: Doubt,
    doubts: Sequence[Finding],
) -> Finding | None:
    """That two registers answer in turn: one was doubted, ours came back, and now the other goes on.

    Where the other has another number or was seen to move, ours is held too: what switches this address
    would switch both.
    """
    text = (
        f"{doubt.reading.total} of meter {doubt.reading.meter_no} and {before.total} answer in turn"
    )
    if doubt.is_duplicate:
        return Finding(Kind.DUPLICATE_ADDRESS, Confidence.LIKELY, None, None, text)
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
    return Finding(Kind.DUPLICATE_ADDRESS, confidence, None, None, text)
