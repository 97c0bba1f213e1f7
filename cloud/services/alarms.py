"""The alarms that are on: of service points, and troubles of gateways. What is over is left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from cloud.auth import EVERYWHERE, Scope
from cloud.services import scopes
from prepaid.reading import Supply
from prepaid.register.evidence import Kind
from prepaid.supply import Why
from prepaid.wire.uplog import AlarmKind, Trouble

SHOWN = (
    AlarmKind.SILENT,
    AlarmKind.WRONG_ENTRY,
    AlarmKind.IMPLAUSIBLE,
    AlarmKind.STUCK,
    AlarmKind.USED_WHILE_OFF,
    AlarmKind.LEAK,
    AlarmKind.SWITCH_FAILED,
    AlarmKind.CANNOT_SWITCH,
    AlarmKind.CUT_WAITS,
    AlarmKind.NO_TARIFF,
    AlarmKind.CLOCK_WRONG,
)
"""What a person has to look into. A low balance is the customer's, and shows as one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What speaks against a reading, as prepaid.register.evidence.Evidence has it; text is in English."""

    kind: Kind
    moved: Decimal | None
    limit: Decimal | None
    unit: str
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Who has seen to an alarm, when, and why it may wait: services.acknowledgements."""

    by: str
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class PointAlarm:
    """An alarm of a service point that is on since at. text is for logs, in English; findings are of the
    reading that held the point, where one did; seen is None until somebody has seen to it."""

    point_id: UUID
    point: str
    commodity: str
    meter_no: str
    room_id: UUID
    room: str
    building: str
    kind: AlarmKind
    at: datetime
    text: str
    wanted: Supply | None
    why: Why | None
    findings: tuple[Finding, ...]
    seen: Seen | None


@dataclass(frozen=True, slots=True)
class GatewayTrouble:
    """A trouble of a gateway that is on since at. of a brake: released_by says who has released
    it, where the gateway has not been told yet, and held_back how many points it keeps from being cut. seen is None
    until somebody has seen to it."""

    gateway_id: UUID
    gateway_no: str
    site: str
    kind: Trouble
    at: datetime
    text: str
    released_by: str | None
    held_back: int
    seen: Seen | None


# An alarm is on if the last that was said of it is not that it is over: one step in an index for each.
_POINTS = text(f"""
    SELECT a.point_id, a.kind, a.at, a.text, p.name AS point, p.commodity, p.meter_no, t.unit,
           r.id AS room_id, r.name AS room, b.name AS building, s.wanted, s.why,
           k.why AS seen_why, k.acknowledged_at, u.name AS seen_by
    FROM points p
    CROSS JOIN unnest(CAST(:kinds AS text[])) AS of(kind)
    CROSS JOIN LATERAL (
        SELECT * FROM alarms WHERE point_id = p.id AND kind = of.kind
        ORDER BY at DESC, is_over DESC LIMIT 1
    ) a
    LEFT JOIN alarm_acknowledgements k ON k.point_id = p.id AND k.kind = a.kind AND k.at = a.at
    LEFT JOIN users u ON u.id = k.acknowledged_by
    JOIN point_states s ON s.point_id = p.id
    JOIN tariffs t ON t.id = p.tariff_id
    JOIN rooms r ON r.id = p.room_id
    JOIN buildings b ON b.id = r.building_id
    WHERE p.organization_id = :organization AND p.ended_at IS NULL AND NOT a.is_over
      AND (CAST(:rooms AS uuid[]) IS NULL OR p.room_id = ANY(:rooms)) AND {scopes.BUILDING}
    ORDER BY a.at DESC, r.name, p.name, a.kind
""")

_FINDINGS = text("""
    SELECT e.point_id, e.at, e.kind, e.moved, e.against, e.text FROM evidence e
    JOIN unnest(CAST(:points AS uuid[]), CAST(:times AS timestamptz[])) AS of(point_id, at)
      ON of.point_id = e.point_id AND of.at = e.at
    ORDER BY e.effect = 'held' DESC, e.kind
""")

_GATEWAYS = text(f"""
    SELECT a.gateway_id, g.gateway_no, s.name AS site, a.kind, a.at, a.text,
           k.why AS seen_why, k.acknowledged_at, u.name AS seen_by,
           (SELECT d.body::jsonb ->> 'by' FROM down_entries d
            WHERE a.kind = :braked AND d.gateway_id = g.id AND d.seq > g.down_acked
              AND d.body::jsonb ->> 'kind' = 'brake-released'
            ORDER BY d.seq DESC LIMIT 1) AS released_by,
           (SELECT count(*) FROM points p JOIN point_states ps ON ps.point_id = p.id
            WHERE a.kind = :braked AND p.gateway_id = g.id AND p.ended_at IS NULL AND ps.why = :braked) AS held_back
    FROM gateways g
    JOIN sites s ON s.id = g.site_id
    CROSS JOIN unnest(CAST(:kinds AS text[])) AS of(kind)
    CROSS JOIN LATERAL (
        SELECT * FROM gateway_alarms WHERE gateway_id = g.id AND kind = of.kind
        ORDER BY at DESC, is_over DESC LIMIT 1
    ) a
    LEFT JOIN trouble_acknowledgements k ON k.gateway_id = g.id AND k.kind = a.kind AND k.at = a.at
    LEFT JOIN users u ON u.id = k.acknowledged_by
    WHERE g.organization_id = :organization AND NOT a.is_over AND {scopes.GATEWAY}
    ORDER BY a.at DESC, g.gateway_no, a.kind
""")


def of_points(
    session: Session,
    organization_id: UUID,
    *,
    rooms: Iterable[UUID] | None,
    scope: Scope = EVERYWHERE,
) -> list[PointAlarm]:
    """The alarms that are on in those of these rooms, or (None) of all, that are in scope; the newest first."""
    rows = session.execute(
        _POINTS,
        {
            "organization": organization_id,
            "rooms": None if rooms is None else list(rooms),
            "kinds": [kind.value for kind in SHOWN],
            **scopes.given(scope),
        },
    ).all()
    doubtful = [row for row in rows if row.kind == AlarmKind.IMPLAUSIBLE]
    findings: defaultdict[tuple[UUID, datetime], list[Finding]] = defaultdict(list)
    units = {row.point_id: row.unit for row in doubtful}
    for e in session.execute(
        _FINDINGS,
        {"points": [row.point_id for row in doubtful], "times": [row.at for row in doubtful]},
    ):
        found = Finding(Kind(e.kind), e.moved, e.against, units[e.point_id], e.text)
        findings[e.point_id, e.at].append(found)
    return [
        PointAlarm(
            point_id=row.point_id,
            point=row.point,
            commodity=row.commodity,
            meter_no=row.meter_no,
            room_id=row.room_id,
            room=row.room,
            building=row.building,
            kind=AlarmKind(row.kind),
            at=row.at,
            text=row.text,
            wanted=Supply(row.wanted) if row.wanted else None,
            why=Why(row.why) if row.why else None,
            findings=tuple(findings[row.point_id, row.at])
            if row.kind == AlarmKind.IMPLAUSIBLE
            else (),
            seen=_seen(row),
        )
        for row in rows
    ]


def _seen(row: Any) -> Seen | None:
    return (
        Seen(row.seen_by, row.acknowledged_at, row.seen_why) if row.seen_why is not None else None
    )


def of_gateways(
    session: Session, organization_id: UUID, *, scope: Scope = EVERYWHERE
) -> list[GatewayTrouble]:
    """The troubles that are on of gateways in scope, the newest first."""
    rows = session.execute(
        _GATEWAYS,
        {
            "organization": organization_id,
            "kinds": [kind.value for kind in Trouble],
            "braked": Trouble.BRAKED.value,
            **scopes.given(scope),
        },
    )
    return [
        GatewayTrouble(
            gateway_id=row.gateway_id,
            gateway_no=row.gateway_no,
            site=row.site,
            kind=Trouble(row.kind),
            at=row.at,
            text=row.text,
            released_by=row.released_by,
            held_back=row.held_back,
            seen=_seen(row),
        )
        for row in rows
    ]
