"""Acknowledging alarms 告警确认: somebody has seen to them, one or many at once, and says why they may wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import alarms, audit
from cloud.services.money import purses
from prepaid.wire.uplog import AlarmKind, Trouble

MOST = 500


class NothingChosen(CloudError):
    status = 422
    field = "alarm"
    sentence = "Choose the alarms that you have seen to, at most {most} at once."


class NoneIsOn(CloudError):
    status = 409
    field = "alarm"
    sentence = "None of these alarms is on any more, or somebody else has seen to them already."


@dataclass(frozen=True, slots=True)
class Chosen:
    """An alarm by what it is of, and since when it is on: should it go and come again, it is another."""

    point_id: UUID
    kind: AlarmKind
    at: datetime


@dataclass(frozen=True, slots=True)
class ChosenTrouble:
    """The same of a trouble of a gateway."""

    gateway_id: UUID
    kind: Trouble
    at: datetime


def acknowledge(
    session: Session,
    by: SignedIn,
    chosen: Iterable[Chosen | ChosenTrouble],
    *,
    why: str,
    now: datetime,
) -> int:
    """How many of the chosen alarms are noted as seen to: those that are on, that nobody else was quicker to see to,
    and that are of points or gateways in by's scope. Each is in the audit log.

    Raises NothingChosen, NoneIsOn or purses.BadReason; then none is noted.
    """
    wanted = set(chosen)
    if not 0 < len(wanted) <= MOST:
        raise NothingChosen(most=MOST)
    told = purses.reason(why)
    noted = 0
    for each in _open(session, by, wanted):
        of, id = (
            ("point", each.point_id) if isinstance(each, Chosen) else ("gateway", each.gateway_id)
        )
        values = {
            "organization_id": by.organization_id,
            f"{of}_id": id,
            "kind": each.kind.value,
            "at": each.at,
            "why": told,
            "acknowledged_by": by.user_id,
            "acknowledged_at": now,
        }
        table = tables.AlarmAcknowledgement if of == "point" else tables.TroubleAcknowledgement
        new = insert(table).values(values).on_conflict_do_nothing().returning(col(table.kind))
        if session.execute(new).first() is None:
            continue  # somebody else did so since it was looked up
        noted += 1
        after = {"alarm": each.kind.value, "since": each.at.isoformat(), "why": told}
        audit.record(session, by, "acknowledge-alarm", of=of, id=id, after=after, now=now)
    if not noted:
        raise NoneIsOn
    events.changed(session, by.organization_id)
    return noted


def _open(
    session: Session, by: SignedIn, wanted: set[Chosen | ChosenTrouble]
) -> list[Chosen | ChosenTrouble]:
    """Which of them are on, and nobody has seen to."""
    found: list[Chosen | ChosenTrouble] = []
    if any(isinstance(each, Chosen) for each in wanted):
        on = alarms.of_points(session, by.organization_id, rooms=None, scope=by.scope)
        found += [Chosen(a.point_id, a.kind, a.at) for a in on if a.seen is None]
    if any(isinstance(each, ChosenTrouble) for each in wanted):
        troubles = alarms.of_gateways(session, by.organization_id, scope=by.scope)
        found += [ChosenTrouble(t.gateway_id, t.kind, t.at) for t in troubles if t.seen is None]
    return [each for each in found if each in wanted]
