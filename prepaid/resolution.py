"""The ways out of a doubt: what a person has found out about a register, and what follows for its charges.

A decision never writes money. It says how far the register truly went, or what is charged as an estimate,
and from which reading it counts on; rating does the rest, with the position that was there. So the tier
reached, what is posted and the purse go on as if nothing had happened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Literal

from prepaid.decimals import EXACT
from prepaid.point import Meter
from prepaid.quantity import exact, exact_or_none
from prepaid.reading import Reading
from prepaid.register.evidence import Confidence, Effect, Evidence, Kind
from prepaid.register.history import Ahead, History, settle
from prepaid.register.reach import is_shown, round_of
from prepaid.usual import NO_TIME


class BadDecision(Exception):
    """What a person has decided cannot be, by the readings. Say so, and let them decide anew."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The reading is true 读数属实. rounds: how often the register went past its last digit on the way."""

    rounds: int
    kind: Literal["accepted"] = "accepted"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The meter was changed 换表: the old one's closing reading 止码, the new one's opening reading 起码.

    rounds as in Accepted, from counted_from up to closing: the register that had been charged when a
    person wrote this down (None: what is charged now). Charging goes on meanwhile, also past the last
    digit. between is what was used while there was no meter, in the old register's unit, by agreement.
    estimate_stands: the old register did not count what was estimated before (it was stuck), so the
    estimate is not taken off what it moved.

    Raises TypeError if between or counted_from is no Decimal.
    """

    closing: Reading
    opening: Reading
    rounds: int
    between: Decimal
    estimate_stands: bool
    counted_from: Decimal | None = None
    kind: Literal["exchanged"] = "exchanged"

    def __post_init__(self) -> None:
        exact(self.between, "between")
        if self.counted_from is not None:
            exact(self.counted_from, "counted_from")


@dataclass(frozen=True, slots=True)
class Restarted:
    """The register was set 清零: at a time from closing to opening, mostly 0. The meter is the same.

    Where nobody knows what it showed, closing is the reading charged last.

    Raises TypeError if a register is no Decimal.
    """

    closing: Decimal
    opening: Decimal
    at: datetime
    kind: Literal["restarted"] = "restarted"

    def __post_init__(self) -> None:
        exact(self.closing, "closing")
        exact(self.opening, "opening")


@dataclass(frozen=True, slots=True)
class Estimated:
    """Charge what is usual 按平均用量预估, or moved (in the register's unit) where the rule is another.

    It is taken off what the register moves when it can be read again.

    Raises TypeError if moved is neither a Decimal nor None.
    """

    moved: Decimal | None
    kind: Literal["estimated"] = "estimated"

    def __post_init__(self) -> None:
        exact_or_none(self.moved, "moved")


@dataclass(frozen=True, slots=True)
class Dismissed:
    """The doubtful readings were none of this register's 误读: they are forgotten, nothing is charged."""

    kind: Literal["dismissed"] = "dismissed"


Decision = Accepted | Exchanged | Restarted | Estimated | Dismissed


@dataclass(frozen=True, slots=True)
class Resolved:
    """What follows from a decision: charge moved, in the register's unit, and count on from reading.

    Rate it with the meter (and its multiplier) that was there until then. history is the one to keep.
    """

    moved: Decimal
    reading: Reading
    evidence: tuple[Evidence, ...]
    history: History


def resolve(
    decision: Decision,
    before: Reading,
    after: Reading,
    meter: Meter,
    *,
    elapsed: timedelta,
    history: History,
) -> Resolved:
    """What a decision on a reading leads to. before is the reading charged last, after the one in question.

    elapsed is the time between them by a clock that does not jump. moved is never negative, and may be
    more than can pass the meter: a person has said so.

    Raises BadDecision if the decision cannot be, by the readings.
    """
    with localcontext(EXACT):
        match decision:
            case Accepted():
                return _accepted(decision, before, after, meter, elapsed, history)
            case Exchanged():
                return change_meter(decision, before, meter, elapsed=elapsed, history=history)
            case Restarted():
                return _restarted(decision, before, after, meter, elapsed, history)
            case Estimated():
                return _estimated(decision, before, after, meter, elapsed, history)
            case Dismissed():
                text = "the doubtful readings were dismissed"
                evidence = _evidence(Kind.DISMISSED, Effect.NOTHING, None, text)
                return Resolved(Decimal(0), before, (evidence,), replace(history, doubt=None))


def change_meter(
    change: Exchanged, before: Reading, meter: Meter, *, elapsed: timedelta, history: History
) -> Resolved:
    """The old meter's last charge, and the new meter's first reading to count on from.

    meter is the old one; elapsed the time from the reading charged last to the change. Also without any
    doubt, where a meter is changed as planned. An estimate that is not used up goes on to the new meter.

    Raises BadDecision if closing is not the old meter's or behind the reading charged last.
    """
    with localcontext(EXACT):
        if change.closing.meter_no != before.meter_no:
            raise BadDecision(
                f"the closing reading is of meter {change.closing.meter_no}, but {before.meter_no} was charged"
            )
        if not before.at <= change.closing.at <= change.opening.at:
            raise BadDecision(
                f"the meter was charged at {before.at}, closed at {change.closing.at} and the next opened at "
                f"{change.opening.at}: these must follow each other"
            )
        if change.between < 0:
            raise BadDecision(f"what was used without a meter cannot be {change.between}")
        is_past = change.counted_from is not None and before.total < change.counted_from
        moved = _moved(before, change.closing, meter, change.rounds - is_past)
        known = replace(history, ahead=Ahead()) if change.estimate_stands else history
        charged, settled = settle(moved, elapsed, meter, known)
        text = (
            f"meter {before.meter_no} was closed at {change.closing.total}, {change.opening.meter_no} opened at "
            f"{change.opening.total}"
        )
        evidence = [_evidence(Kind.METER_CHANGE, _effect(charged), moved, text)]
        evidence += _offset(moved - charged)
        if change.between:
            text = f"{change.between} was used while there was no meter, by agreement"
            evidence.append(_evidence(Kind.ESTIMATE, Effect.ESTIMATED, change.between, text))
        usual = replace(settled.usual, still=NO_TIME)
        ahead = replace(settled.ahead, over=NO_TIME)
        return Resolved(
            charged + change.between,
            change.opening,
            tuple(evidence),
            History(usual, None, ahead),
        )


def to_estimate(elapsed: timedelta, history: History) -> timedelta:
    """The time for which nothing was charged and nothing estimated: since the register last moved."""
    return history.usual.still + elapsed - history.ahead.over


def _accepted(
    decision: Accepted,
    before: Reading,
    after: Reading,
    meter: Meter,
    elapsed: timedelta,
    history: History,
) -> Resolved:
    if after.meter_no != before.meter_no:
        raise BadDecision(
            f"{after.total} is of meter {after.meter_no}, not of {before.meter_no}; if that is the new meter, "
            "enter the change with the closing and opening readings"
        )
    moved = _moved(before, after, meter, decision.rounds)
    charged, settled = settle(moved, elapsed, meter, history)
    text = f"{after.total} was accepted as true"
    evidence = _evidence(Kind.ACCEPTED, _effect(charged), moved, text)
    return Resolved(
        charged, after, (evidence, *_offset(moved - charged)), replace(settled, doubt=None)
    )


def _restarted(
    decision: Restarted,
    before: Reading,
    after: Reading,
    meter: Meter,
    elapsed: timedelta,
    history: History,
) -> Resolved:
    if not before.at <= decision.at <= after.at:
        raise BadDecision(
            f"the register was charged at {before.at} and in doubt at {after.at}; it cannot have been reset at "
            f"{decision.at}"
        )
    closing = replace(before, at=decision.at, total=decision.closing)
    opening = replace(before, at=decision.at, total=decision.opening, bands=None)
    if not is_shown(opening, meter):
        raise BadDecision(f"a register of {meter.digits} digits cannot show {opening.total}")
    if after.total < opening.total:
        raise BadDecision(
            f"the register shows {after.total}, so it cannot have been set to {opening.total}"
        )
    moved = _moved(before, closing, meter, rounds=0)
    until = min(elapsed, max(NO_TIME, decision.at - before.at))
    charged, settled = settle(moved, until, meter, history)
    text = f"the register was set from {decision.closing} to {decision.opening}"
    if not moved:
        text += "; nothing is known of what was used before that, and nothing charged"
    evidence = _evidence(Kind.RESET, _effect(charged), moved, text)
    return Resolved(
        charged, opening, (evidence, *_offset(moved - charged)), replace(settled, doubt=None)
    )


def _estimated(
    decision: Estimated,
    before: Reading,
    after: Reading,
    meter: Meter,
    elapsed: timedelta,
    history: History,
) -> Resolved:
    time = to_estimate(elapsed, history)
    if time <= NO_TIME:
        raise BadDecision("the time since the register last moved is estimated already")
    moved = history.usual.over(time, meter) if decision.moved is None else decision.moved
    if moved is None:
        raise BadDecision(
            f"nothing is known of the usual usage: that takes {meter.thresholds.usual_from} of readings; enter "
            "the quantity"
        )
    if moved < 0:
        raise BadDecision(f"an estimate cannot be {moved}")
    text = f"{moved} was charged as an estimate for {time}"
    evidence = Evidence(Kind.ESTIMATE, Confidence.LIKELY, Effect.ESTIMATED, moved, None, text)
    ahead = Ahead(history.ahead.quantity + moved * meter.multiplier, history.ahead.over + time)
    usual = replace(history.usual, still=history.usual.still + elapsed)
    doubt = history.doubt
    if doubt is not None:
        # What is counted since the reading charged last now begins earlier, at the last movement.
        doubt = replace(doubt, since=doubt.since + time - elapsed)
    return Resolved(
        moved,
        replace(before, at=after.at),
        (evidence,),
        History(usual, doubt, ahead, history.charged_at),
    )


def _moved(before: Reading, after: Reading, meter: Meter, rounds: int) -> Decimal:
    """How far the register went by a person's word. Raises BadDecision if it would be less than nothing."""
    if not is_shown(after, meter):
        raise BadDecision(f"a register of {meter.digits} digits cannot show {after.total}")
    if rounds < 0:
        raise BadDecision(f"a register does not go round {rounds} times")
    moved = after.total - before.total + rounds * round_of(meter)
    if moved < 0:
        raise BadDecision(
            f"{after.total} is less than {before.total}, which is charged: say that the register went round, "
            "that it was reset or that the meter was changed"
        )
    return moved


def _offset(offset: Decimal) -> list[Evidence]:
    if not offset:
        return []
    text = f"{offset} of it was charged as an estimate"
    return [Evidence(Kind.OFFSET, Confidence.CERTAIN, Effect.NOTHING, offset, None, text)]


def _effect(charged: Decimal) -> Effect:
    return Effect.CHARGED if charged else Effect.NOTHING


def _evidence(kind: Kind, effect: Effect, moved: Decimal | None, text: str) -> Evidence:
    return Evidence(kind, Confidence.CERTAIN, effect, moved, None, text)
