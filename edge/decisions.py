"""What a person decided about a register, worked out at the gateway: by its clock, its last charge and its tariff."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edge.ledger.store import Store
from prepaid import handover, rating, resolution
from prepaid.rating import Charge, Position
from prepaid.reading import Reading
from prepaid.register.evidence import Evidence
from prepaid.register.history import History
from prepaid.resolution import BadDecision, Decision, Exchanged, Restarted
from prepaid.tariff import Tariff
from prepaid.wire.downlog import Decided
from prepaid.wire.uplog import Charged, DecisionTaken, Read

log = logging.getLogger(__name__)

INSTANT = timedelta(microseconds=1)
"""Two readings of a point never have one time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision leads to: positions one after the other, each with the charges that lead to it, the last one to
    go on from; the history to keep; and the readings to be told, in order."""

    positions: tuple[tuple[Position, tuple[Charge, ...]], ...]
    history: History
    told: tuple[tuple[Reading, tuple[Evidence, ...]], ...]

    @property
    def position(self) -> Position:
        return self.positions[-1][0]


def take(
    store: Store,
    said: Decided,
    before: Position | None,
    *,
    elapsed: timedelta,
    is_counted: bool,
    now: datetime,
) -> Outcome | None:
    """Books what a person decided about a register, and takes over the point. Inside a transaction.

    The charges lead up to the last unit of what was there before, and the next reading goes on from the first of
    what is there now. What cannot be booked is told to the cloud; then nothing is charged, and the point stays held.
    None where nothing was booked.
    """
    point, refused, outcome = said.point, None, None
    tariff, history = store.tariff(point.tariff), store.history(point.id)
    try:
        outcome = work_out(
            said,
            before,
            tariff,
            elapsed=elapsed,
            is_counted=is_counted,
            now=now,
            history=history,
        )
    except BadDecision as error:
        refused = str(error)
    if outcome is not None:
        cursor = store.cursor()
        known = 0 if cursor is None else cursor.seq
        place = outcome.history.charged_at or point.meter.place
        for reading, evidence in outcome.told:
            store.append(Read(point.id, reading, evidence, known=known))
        for position, charges in outcome.positions:
            transfers = rating.transfers(point, position, charges)
            for transfer in transfers:
                store.post(transfer)
            charged = Charged(
                point.id, position, transfers, is_start=True, known=known, place=place
            )
            store.append(charged)
        store.save_position(point.id, outcome.position)
        store.save_history(point.id, outcome.history)
    store.save_point(point)
    store.append(DecisionTaken(said.id, point.id, now, refused))
    level = logging.INFO if refused is None else logging.WARNING
    log.log(
        level,
        "%s: %s, as the office decided: %s",
        point.name,
        said.decision.kind,
        refused or "booked",
    )
    return outcome


def work_out(
    said: Decided,
    before: Position | None,
    tariff: Tariff | None,
    *,
    elapsed: timedelta,
    is_counted: bool,
    now: datetime,
    history: History,
) -> Outcome | None:
    """What the decision leads to; None if it was booked before, which a cloud that was put back may not know.

    before is the position up to now; elapsed the time since its reading, is_counted where a clock that does not jump
    has counted it. What a person wrote down is by his own watch: his times are moved between the last charge and now.

    Raises BadDecision, of which the cloud is to be told.
    """
    if tariff is None:
        raise BadDecision(
            f"tariff {said.point.tariff} is not at the gateway: nothing can be charged"
        )
    if before is None:
        return _first(said, tariff, now)
    if _is_booked(said.decision, before.reading):
        return None
    if said.after is not None and said.after.at < before.reading.at:
        raise BadDecision(
            f"since that reading of {said.after.total} another, {before.reading.total}, was charged at "
            f"{before.reading.at}"
        )
    apart = now - before.reading.at - elapsed
    if is_counted and abs(apart) > said.was.thresholds.clock_apart:
        before = rating.rebased(before, now - elapsed)
    decision, after = _by_our_clock(said, before.reading, now)
    resolved = resolution.resolve(
        decision,
        before.reading,
        after,
        said.was,
        elapsed=min(elapsed, _until(decision, after) - before.reading.at),
        history=history,
    )
    positions = _rated(said, tariff, before, decision, resolved)
    return Outcome(positions, resolved.history, _told(decision, resolved))


def _rated(
    said: Decided,
    tariff: Tariff,
    before: Position,
    decision: Decision,
    resolved: resolution.Resolved,
) -> tuple[tuple[Position, tuple[Charge, ...]], ...]:
    """The charges up to the decision, of the meter that was there, and to whoever paid."""
    last = resolved.reading
    if last == before.reading:
        return ((before, ()),)
    old = replace(said.point, meter=said.was)
    if not handover.is_due(old, before):
        return (rating.rate(old, tariff, before, last, moved=resolved.moved),)
    # Somebody else pays since a register of the old meter that the gateway never came to see.
    closing = decision.closing if isinstance(decision, Exchanged) else last
    found = handover.hand_over(old, tariff, before, closing, moved=resolved.moved)
    after = replace(found.after, reading=last)
    return ((found.closed, found.closing_charges), (found.opened, ()), (after, found.charges))


def _first(said: Decided, tariff: Tariff, now: datetime) -> Outcome:
    """Where nothing was ever charged, the new meter counts from its opening reading."""
    if not isinstance(said.decision, Exchanged):
        raise BadDecision("nothing was charged here yet, so there is nothing to go on from")
    opening = replace(said.decision.opening, at=min(said.decision.opening.at, now))
    position = rating.open_position(said.point, tariff, opening)
    return Outcome(((position, ()),), History(), ((opening, ()),))


def _is_booked(decision: Decision, last: Reading) -> bool:
    """Whether the register counts by the new meter already."""
    return (
        isinstance(decision, Exchanged)
        and decision.opening.meter_no != decision.closing.meter_no
        and last.meter_no == decision.opening.meter_no
    )


def _by_our_clock(said: Decided, last: Reading, now: datetime) -> tuple[Decision, Reading]:
    decision = said.decision
    match decision:
        case Exchanged(closing=closing, opening=opening):
            closed_at = _between(closing.at, last.at + INSTANT, now)
            opened_at = _between(opening.at, closed_at + INSTANT, now)
            opening = replace(opening, at=opened_at)
            return replace(
                decision, closing=replace(closing, at=closed_at), opening=opening
            ), opening
        case Restarted(at=at) if said.after is not None:
            after = replace(said.after, at=max(said.after.at, last.at + INSTANT))
            return replace(decision, at=_between(at, last.at + INSTANT, after.at)), after
        case _ if said.after is not None:
            return decision, replace(said.after, at=_between(said.after.at, last.at + INSTANT, now))
        case _:
            raise BadDecision("it does not say which reading it is about")


def _between(at: datetime, first: datetime, last: datetime) -> datetime:
    """first wins: a clock may have been put back."""
    return max(first, min(at, last))


def _until(decision: Decision, after: Reading) -> datetime:
    return decision.closing.at if isinstance(decision, Exchanged) else after.at


def _told(
    decision: Decision, resolved: resolution.Resolved
) -> tuple[tuple[Reading, tuple[Evidence, ...]], ...]:
    if isinstance(decision, Exchanged):
        return ((decision.closing, resolved.evidence), (resolved.reading, ()))
    return ((resolved.reading, resolved.evidence),)
