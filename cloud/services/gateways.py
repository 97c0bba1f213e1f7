"""What staff see of gateways: whether each is heard, and by which credentials it speaks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text, update
from sqlmodel import Session, col

from cloud import events
from cloud.auth import EVERYWHERE, Scope
from cloud.services import scopes
from cloud.services.downlog import ONLINE
from cloud.services.integration import outbox
from cloud.services.scopes import NoSuchGateway
from cloud.tables import Gateway

log = logging.getLogger(__name__)

SILENT = "silent"  # the kind of alarm by which webhooks are told


@dataclass(frozen=True, slots=True)
class GatewayCard:
    """A gateway as people see it.

    enrolled_at is when its machine was enrolled, renewed_at when it last got others by itself; both, and
    expires_at, are None unless it has credentials that are good now. token_until is until when a token can still be
    used; revoked_by who revoked the gateway, None if it is not revoked; knows_keys whether it has taken what it was
    last told of our signing keys.
    """

    gateway_id: UUID
    gateway_no: str
    site: str
    points: int
    heard_at: datetime | None
    is_online: bool
    enrolled_at: datetime | None
    renewed_at: datetime | None
    expires_at: datetime | None
    token_until: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    knows_keys: bool
    place: str
    ended_at: datetime | None

    @property
    def is_enrolled(self) -> bool:
        return self.expires_at is not None and self.revoked_at is None


_CARDS = text(f"""
    SELECT g.id AS gateway_id, g.gateway_no, s.name AS site, g.place, g.ended_at, g.heard_at, g.revoked_at,
           u.name AS revoked_by,
           (SELECT count(*) FROM points p WHERE p.gateway_id = g.id AND p.ended_at IS NULL) AS points,
           good.expires_at, good.renewed_at, g.keys_number <= g.down_acked AS knows_keys,
           (SELECT max(c.issued_at) FROM gateway_credentials c
             WHERE c.gateway_id = g.id AND c.public_key = good.public_key AND c.token_id IS NOT NULL) AS enrolled_at,
           (SELECT max(t.expires_at) FROM enrolment_tokens t
             WHERE t.gateway_id = g.id AND t.ended_at IS NULL AND t.used_at IS NULL AND t.expires_at > :now)
             AS token_until
    FROM gateways g
    JOIN sites s ON s.id = g.site_id
    LEFT JOIN users u ON u.id = g.revoked_by
    LEFT JOIN LATERAL (
        SELECT c.public_key, c.expires_at, CASE WHEN c.token_id IS NULL THEN c.issued_at END AS renewed_at
        FROM gateway_credentials c
        WHERE c.gateway_id = g.id AND c.ended_at IS NULL AND c.expires_at > :now
        ORDER BY c.number DESC LIMIT 1
    ) good ON true
    WHERE g.organization_id = :organization AND (CAST(:gateway AS uuid) IS NULL OR g.id = :gateway)
      AND (CAST(:gateway AS uuid) IS NOT NULL OR g.ended_at IS NULL) AND {scopes.GATEWAY}
    ORDER BY s.name, g.gateway_no
""")


def of_organization(
    session: Session, organization_id: UUID, *, now: datetime, scope: Scope = EVERYWHERE
) -> list[GatewayCard]:
    """All gateways in scope, by site and number."""
    return _cards(session, organization_id, None, now, scope)


def one(
    session: Session,
    organization_id: UUID,
    gateway_id: UUID,
    *,
    now: datetime,
    scope: Scope = EVERYWHERE,
) -> GatewayCard:
    """Raises NoSuchGateway."""
    found = _cards(session, organization_id, gateway_id, now, scope)
    if not found:
        raise NoSuchGateway
    return found[0]


def _cards(
    session: Session,
    organization_id: UUID,
    gateway_id: UUID | None,
    now: datetime,
    scope: Scope,
) -> list[GatewayCard]:
    given = {"organization": organization_id, "gateway": gateway_id, "now": now}
    rows = session.execute(_CARDS, given | scopes.given(scope))
    return [_card(row, now) for row in rows]


def _card(row: Any, now: datetime) -> GatewayCard:
    return GatewayCard(
        gateway_id=row.gateway_id,
        gateway_no=row.gateway_no,
        site=row.site,
        points=row.points,
        heard_at=row.heard_at,
        is_online=row.heard_at is not None
        and row.heard_at > now - ONLINE
        and row.revoked_at is None,
        enrolled_at=row.enrolled_at,
        renewed_at=row.renewed_at,
        expires_at=row.expires_at,
        token_until=row.token_until,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        knows_keys=row.knows_keys,
        place=row.place,
        ended_at=row.ended_at,
    )


def note_silent(session: Session, *, now: datetime) -> int:
    """Says once of each gateway that it went silent, to the log and to open pages; how many.

    Needs a system session.
    """
    silent = session.execute(
        update(Gateway)
        .where(col(Gateway.silent_since).is_(None), col(Gateway.heard_at) <= now - ONLINE)
        .values(silent_since=col(Gateway.heard_at))
        .returning(
            col(Gateway.id),
            col(Gateway.gateway_no),
            col(Gateway.organization_id),
            col(Gateway.heard_at),
        )
    ).all()
    for gateway_id, gateway_no, organization_id, heard_at in silent:
        log.warning("gateway %s is silent since %s", gateway_no, heard_at)
        events.changed(session, organization_id)
        tell_silence(session, organization_id, gateway_id, gateway_no, at=heard_at, is_over=False)
    return len(silent)


def tell_silence(
    session: Session,
    organization_id: UUID,
    gateway_id: UUID,
    gateway_no: str,
    *,
    at: datetime,
    is_over: bool,
) -> None:
    """Tells webhooks that a gateway went silent, or answers again."""
    said = f"gateway {gateway_no} {'answers again' if is_over else 'is silent'}"
    alarm = outbox.gateway_alarm(gateway_id, SILENT, at=at, is_over=is_over, text=said)
    outbox.tell(session, organization_id, [alarm])
