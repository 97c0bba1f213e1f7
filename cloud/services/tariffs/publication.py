"""Publication 发布: an approved draft becomes the tariff's newest document, and goes down to its gateways.

That a gateway has it is known when its cursor in our log has passed the entry, and not before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, estate
from cloud.services.approvals import Approval
from cloud.services.tariffs import checks, drafts
from prepaid.wire.downlog import TariffSet


class TariffMoved(CloudError):
    status = 409
    sentence = (
        "Another version of this tariff was published since the draft was begun. Open the draft, look at it"
        " again and propose it anew."
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A gateway that was told of a publication; delivered_at is None until it has it."""

    gateway_id: UUID
    gateway_no: str
    site: str
    points: int
    number: int
    sent_at: datetime
    delivered_at: datetime | None
    heard_at: datetime | None


def publish(session: Session, approval: Approval, by: SignedIn, now: datetime) -> None:
    """The executor of an approved draft. Raises NoSuchDraft, DraftFaulty or TariffMoved."""
    draft = session.get(tables.TariffDraft, approval.subject)
    if draft is None or draft.published_at is not None or draft.dropped_at is not None:
        raise drafts.NoSuchDraft
    row: tables.TariffDocument | None = session.execute(
        select(tables.TariffDocument)
        .where(col(tables.TariffDocument.code) == draft.document.get("code"))
        .with_for_update()
    ).scalar_one_or_none()
    found = checks.faults(draft.document, row.document if row else None, now=now)
    if found:
        raise drafts.DraftFaulty(faults="; ".join(found[:3]))
    if row is None:
        row = estate.publish_tariff(session, by.organization_id, draft.document)
        publication = session.execute(
            select(tables.TariffPublication).where(
                col(tables.TariffPublication.tariff_id) == row.id
            )
        ).scalar_one()
        publication.draft_id, publication.approved_by = draft.id, by.user_id
    else:
        number = newest(session, row.id)
        if number != draft.basis:
            raise TariffMoved
        row.document = draft.document
        publication = tables.TariffPublication(
            organization_id=row.organization_id,
            tariff_id=row.id,
            number=number + 1,
            document=draft.document,
            draft_id=draft.id,
            approved_by=by.user_id,
        )
        session.add(publication)
        session.flush()
        _send(session, row, publication, now)
    draft.published_at = now
    audit.record(
        session,
        by,
        "publish",
        of="tariff",
        id=row.id,
        after={"code": row.code, "number": publication.number},
        now=now,
    )


def newest(session: Session, tariff_id: UUID) -> int:
    """The number of the newest publication of a tariff."""
    publication = tables.TariffPublication
    number: int = session.execute(
        select(func.coalesce(func.max(publication.number), 0)).where(
            col(publication.tariff_id) == tariff_id
        )
    ).scalar_one()
    return number


def _send(
    session: Session,
    tariff: tables.TariffDocument,
    publication: tables.TariffPublication,
    now: datetime,
) -> None:
    point = tables.ServicePoint
    ids = session.execute(
        select(col(point.gateway_id)).where(col(point.tariff_id) == tariff.id).distinct()
    ).scalars()
    for gateway in downlog.lock(session, list(ids)):
        seq = downlog.append(session, gateway, [TariffSet(tariff.document)])
        session.add(
            tables.TariffDelivery(
                organization_id=tariff.organization_id,
                publication_id=publication.id,
                gateway_id=gateway.id,
                down_seq=seq,
                sent_at=now,
            )
        )
    session.flush()


DELIVERED = """
    UPDATE tariff_deliveries SET delivered_at = %(now)s
    WHERE gateway_id = %(gateway)s AND down_seq <= %(acked)s AND delivered_at IS NULL
"""
"""What the gateway's cursor in our log has passed is delivered."""


_DELIVERIES = text("""
    SELECT DISTINCT ON (g.gateway_no) g.id, g.gateway_no, s.name AS site, v.number, d.sent_at, d.delivered_at,
           g.heard_at,
           (SELECT count(*) FROM points p WHERE p.gateway_id = g.id AND p.tariff_id = :tariff) AS points
    FROM tariff_deliveries d
    JOIN tariff_publications v ON v.id = d.publication_id
    JOIN gateways g ON g.id = d.gateway_id JOIN sites s ON s.id = g.site_id
    WHERE v.tariff_id = :tariff
    ORDER BY g.gateway_no, v.number DESC
""")


def deliveries(session: Session, tariff_id: UUID) -> list[Delivery]:
    """By gateway the newest publication of a tariff that it was told of since there are publications."""
    return [
        Delivery(
            row.id,
            row.gateway_no,
            row.site,
            row.points,
            row.number,
            row.sent_at,
            row.delivered_at,
            row.heard_at,
        )
        for row in session.execute(_DELIVERIES, {"tariff": tariff_id})
    ]
