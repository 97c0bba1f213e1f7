"""What other programs are told: an event is written for each webhook in the transaction in which it happened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlmodel import Session

from cloud.db import execute
from cloud.tables import utc_now

Value = str | int | bool | UUID | datetime | None


class Event(StrEnum):
    """What may have happened. The names are part of what receivers rely on: never change one."""

    TOPUP_CREDITED = "topup.credited"  # 充值入账
    SUPPLY_CHANGED = "supply.changed"  # 通断变化
    ALARM_RAISED = "alarm.raised"  # 报警
    ALARM_ENDED = "alarm.ended"  # 报警解除
    ACCOUNT_OPENED = "account.opened"  # 开户
    ACCOUNT_CLOSED = "account.closed"  # 销户
    TEST = "webhook.test"  # somebody tries whether the receiver hears


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, when it was so, and what is to be said of it: ids, and values as the API has them."""

    event: Event
    at: datetime
    data: Mapping[str, Value]


def tell(session: Session, organization_id: UUID, happened: Iterable[Happened]) -> None:
    """Writes what happened for each webhook of the organization that wants to hear of it.

    It is sent when and if the session's transaction commits.
    """
    told = list(happened)
    if told:
        execute(session, f"WITH {TOLD} SELECT", **told_values(organization_id, told))


TOLD = """
    told AS (
        INSERT INTO webhook_deliveries (organization_id, id, created_at, webhook_id, event, body, attempts, due_at)
        SELECT w.organization_id, gen_random_uuid(), h.at, w.id, h.event, h.body, 0, %(due)s
        FROM json_to_recordset(CAST(%(happened)s AS json)) AS h (event text, at timestamptz, body text)
        JOIN webhooks w ON w.events ? h.event
        WHERE w.organization_id = %(organization)s AND w.ended_at IS NULL
    )
"""
"""tell as part of a statement that writes what happened, with told_values."""


def told_values(organization_id: UUID, happened: Iterable[Happened]) -> dict[str, object]:
    rows = [
        {"event": one.event.value, "at": one.at.isoformat(), "body": body(one)} for one in happened
    ]
    # Due at once, not when it happened: the clock of a gateway may be ahead.
    return {"organization": organization_id, "happened": json.dumps(rows), "due": utc_now()}


def gateway_alarm(
    gateway_id: UUID, kind: str, *, at: datetime, is_over: bool, text: str
) -> Happened:
    """That an alarm of a whole gateway was raised, or is over."""
    return Happened(
        Event.ALARM_ENDED if is_over else Event.ALARM_RAISED,
        at,
        {"kind": kind, "point_id": None, "room_id": None, "gateway_id": gateway_id, "text": text},
    )


def row(organization_id: UUID, webhook_id: UUID, happened: Happened) -> dict[str, object]:
    """A delivery that is due at once."""
    return {
        "organization_id": organization_id,
        "id": uuid4(),
        "created_at": happened.at,
        "webhook_id": webhook_id,
        "event": happened.event.value,
        "body": body(happened),
        "attempts": 0,
        "due_at": utc_now(),  # not when it happened: the clock of a gateway may be ahead
    }


def body(happened: Happened) -> str:
    """{"type": …, "timestamp": …, "data": {…}}, without spaces, as it is signed and sent."""
    said = {
        "type": happened.event.value,
        "timestamp": _written(happened.at),
        "data": {name: _written(value) for name, value in happened.data.items()},
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _written(value: Value) -> str | int | bool | None:
    match value:
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value
