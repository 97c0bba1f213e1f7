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
from prepaid.wire import AlarmKind

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


def acknowledge(
    session: Session, by: SignedIn, chosen: Iterable[Chosen], *, why: str, now: datetime
) -> int:
    """How many of the chosen alarms are noted as seen to: those that are on, that nobody else was quicker to see to,
    and that are of points in by's scope. Each is in the audit log.

    Raises NothingChosen, NoneIsOn or purses.BadReason; then none is noted.
    """
    wanted = set(chosen)
    if not 0 < len(wanted) <= MOST:
        raise NothingChosen(most=MOST)
    told = purses.reason(why)
    on = alarms.of_points(session, by.organization_id, rooms=None, scope=by.scope)
    open_now = [each for each in on if each.seen is None]
    found = [each for each in open_now if Chosen(each.point_id, each.kind, each.at) in wanted]
    table = tables.AlarmAcknowledgement
    noted = 0
    for alarm in found:
        values = {
            "organization_id": by.organization_id,
            "point_id": alarm.point_id,
            "kind": alarm.kind.value,
            "at": alarm.at,
            "why": told,
            "acknowledged_by": by.user_id,
            "acknowledged_at": now,
        }
        new = insert(table).values(values).on_conflict_do_nothing().returning(col(table.point_id))
        if session.execute(new).first() is None:
            continue  # somebody else did so since it was looked up
        noted += 1
        after = {"alarm": alarm.kind.value, "since": alarm.at.isoformat(), "why": told}
        audit.record(
            session, by, "acknowledge-alarm", of="point", id=alarm.point_id, after=after, now=now
        )
    if not noted:
        raise NoneIsOn
    events.changed(session, by.organization_id)
    return noted
