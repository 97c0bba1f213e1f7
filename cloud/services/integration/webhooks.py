"""Webhooks 事件推送: where events go, by whose wish; what became of each; and sending again what was given up."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit
from cloud.services.integration import addresses, outbox, signing
from cloud.services.integration.deliveries import Fault
from cloud.services.integration.outbox import Event, Happened
from cloud.tables import Webhook, WebhookDelivery

log = logging.getLogger(__name__)

MOST = 20  # of an organization at a time
SHOWN = 50  # deliveries on a webhook's page


class NoSuchWebhook(CloudError):
    status = 404
    sentence = "There is no such webhook."


class NoSuchDelivery(CloudError):
    status = 404
    sentence = "There is no such delivery."


class TooManyWebhooks(CloudError):
    status = 409
    sentence = "An organization has at most {most} webhooks. End one that is no longer needed."


class NoEvents(CloudError):
    status = 422
    sentence = "Choose at least one event."
    field = "events"


class WebhookEnded(CloudError):
    status = 409
    sentence = "This webhook has ended, so nothing is sent to it any more. Add it anew."


@dataclass(frozen=True, slots=True)
class WebhookCard:
    """A webhook; waiting and dead count its deliveries, failing_since is of the oldest that was tried in vain."""

    webhook_id: UUID
    url: str
    events: tuple[Event, ...]
    made_at: datetime
    made_by: str
    rotated_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    waiting: int
    dead: int
    delivered_at: datetime | None
    failing_since: datetime | None
    secret_number: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way. due_at is when it is tried next."""

    delivery_id: UUID
    event: Event
    at: datetime
    body: str
    attempts: int
    due_at: datetime | None
    tried_at: datetime | None
    status: int | None
    fault: Fault | None
    delivered_at: datetime | None
    dead_at: datetime | None


_CARDS = text("""
    SELECT w.id, w.url, w.events, w.created_at, w.rotated_at, w.ended_at, w.secret_number,
           made.name AS made_by, ended.name AS ended_by,
           d.waiting, d.dead, d.delivered_at, d.failing_since
    FROM webhooks w
    JOIN users made ON made.id = w.made_by
    LEFT JOIN users ended ON ended.id = w.ended_by
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE due_at IS NOT NULL) AS waiting,
               count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead,
               max(delivered_at) AS delivered_at,
               min(created_at) FILTER (WHERE due_at IS NOT NULL AND attempts > 0) AS failing_since
        FROM webhook_deliveries WHERE webhook_id = w.id
    ) d
    WHERE w.organization_id = :organization AND (CAST(:webhook AS uuid) IS NULL OR w.id = :webhook)
    ORDER BY w.ended_at IS NOT NULL, w.created_at DESC
""")


def of_organization(session: Session, by: SignedIn) -> list[WebhookCard]:
    """Those in use first, the newest first."""
    return _cards(session, by, None)


def one(session: Session, by: SignedIn, webhook_id: UUID) -> WebhookCard:
    """Raises NoSuchWebhook."""
    for card in _cards(session, by, webhook_id):
        return card
    raise NoSuchWebhook


def _cards(session: Session, by: SignedIn, webhook_id: UUID | None) -> list[WebhookCard]:
    found = session.execute(_CARDS, {"organization": by.organization_id, "webhook": webhook_id})
    return [
        WebhookCard(
            webhook_id=row.id,
            url=row.url,
            events=tuple(event for event in Event if event in row.events),
            made_at=row.created_at,
            made_by=row.made_by,
            rotated_at=row.rotated_at,
            ended_at=row.ended_at,
            ended_by=row.ended_by,
            waiting=row.waiting,
            dead=row.dead,
            delivered_at=row.delivered_at,
            failing_since=row.failing_since,
            secret_number=row.secret_number,
        )
        for row in found
    ]


def add(
    session: Session, *, url: str, events: Iterable[Event], by: SignedIn, now: datetime
) -> UUID:
    """A webhook for these events, from now on; its id.

    Whether something is sent to its address is looked at each time: see addresses. Raises BadUrl, NoEvents or
    TooManyWebhooks.
    """
    url = addresses.check(url)
    wanted = _wanted(events)
    in_use = session.execute(
        select(func.count()).where(
            col(Webhook.organization_id) == by.organization_id, col(Webhook.ended_at).is_(None)
        )
    ).scalar_one()
    if in_use >= MOST:
        raise TooManyWebhooks(most=MOST)
    webhook = Webhook(
        organization_id=by.organization_id,
        created_at=now,
        url=url,
        events=wanted,
        made_by=by.user_id,
    )
    session.add(webhook)
    session.flush()
    _note(session, by, "add-webhook", webhook, now=now)
    log.info("%s added webhook %s to %s", by.login, webhook.id, url)
    return webhook.id


def change(
    session: Session,
    webhook_id: UUID,
    *,
    url: str,
    events: Iterable[Event],
    by: SignedIn,
    now: datetime,
) -> None:
    """Other events, or another address, from now on; what waits goes there too.

    Raises NoSuchWebhook, WebhookEnded, BadUrl or NoEvents.
    """
    webhook = _locked(session, webhook_id, by)
    before = _shown(webhook)
    webhook.url, webhook.events = addresses.check(url), _wanted(events)
    session.add(webhook)
    _note(session, by, "change-webhook", webhook, before=before, now=now)


def rotate(session: Session, webhook_id: UUID, *, by: SignedIn, now: datetime) -> None:
    """Gives it another secret. For a day each event is signed by the old one too.

    Raises NoSuchWebhook or WebhookEnded.
    """
    webhook = _locked(session, webhook_id, by)
    webhook.secret_number += 1
    webhook.rotated_at = now
    session.add(webhook)
    _note(session, by, "change-webhook-secret", webhook, now=now)
    log.info("%s gave webhook %s another secret", by.login, webhook.id)


def end(session: Session, webhook_id: UUID, *, by: SignedIn, now: datetime) -> None:
    """Nothing more is sent to it; what waits is given up. Raises NoSuchWebhook or WebhookEnded."""
    webhook = _locked(session, webhook_id, by)
    webhook.ended_at, webhook.ended_by = now, by.user_id
    session.add(webhook)
    session.execute(
        update(WebhookDelivery)
        .where(
            col(WebhookDelivery.webhook_id) == webhook.id, col(WebhookDelivery.due_at).is_not(None)
        )
        .values(due_at=None, dead_at=now)
    )
    _note(session, by, "end-webhook", webhook, now=now)
    log.info("%s ended webhook %s", by.login, webhook.id)


def try_out(session: Session, webhook_id: UUID, *, by: SignedIn, now: datetime) -> None:
    """Sends it an event webhook.test, whatever it wants to hear. Raises NoSuchWebhook or WebhookEnded."""
    webhook = _locked(session, webhook_id, by)
    happened = Happened(Event.TEST, now, {"by": by.name})
    session.execute(insert(WebhookDelivery), [outbox.row(by.organization_id, webhook.id, happened)])


def secret(code_secret: str, card: WebhookCard) -> str:
    """By what its receiver checks the signature."""
    return signing.secret(code_secret, webhook_id=card.webhook_id, number=card.secret_number)


def deliveries(session: Session, by: SignedIn, webhook_id: UUID) -> list[Delivery]:
    """The last of a webhook's, those that were given up first, the newest first."""
    row = WebhookDelivery
    found = session.execute(
        select(row)
        .where(col(row.webhook_id) == webhook_id, col(row.organization_id) == by.organization_id)
        .order_by(col(row.dead_at).is_(None), col(row.created_at).desc())
        .limit(SHOWN)
    ).scalars()
    return [
        Delivery(
            delivery_id=each.id,
            event=Event(each.event),
            at=each.created_at,
            body=each.body,
            attempts=each.attempts,
            due_at=each.due_at,
            tried_at=each.tried_at,
            status=each.status,
            fault=Fault(each.fault) if each.fault else None,
            delivered_at=each.delivered_at,
            dead_at=each.dead_at,
        )
        for each in found
    ]


def resend(
    session: Session, webhook_id: UUID, delivery_id: UUID | None, *, by: SignedIn, now: datetime
) -> int:
    """Sends a delivery again, or (None) all that were given up; how many. Its id stays the same.

    Raises NoSuchWebhook, WebhookEnded or NoSuchDelivery.
    """
    webhook = _locked(session, webhook_id, by)
    row = WebhookDelivery
    which = col(row.id) == delivery_id if delivery_id else col(row.dead_at).is_not(None)
    again = session.execute(
        update(row)
        .where(col(row.webhook_id) == webhook.id, which)
        .values(due_at=now, dead_at=None, delivered_at=None, attempts=0)
    )
    count = int(again.rowcount)  # type: ignore[attr-defined]
    if delivery_id is not None and not count:
        raise NoSuchDelivery
    audit.record(
        session, by, "resend-events", of="webhooks", id=webhook.id, after={"count": count}, now=now
    )
    return count


def _note(
    session: Session,
    by: SignedIn,
    act: str,
    webhook: Webhook,
    *,
    before: dict[str, object] | None = None,
    now: datetime,
) -> None:
    audit.record(
        session,
        by,
        act,
        of="webhooks",
        id=webhook.id,
        before=before,
        after=_shown(webhook),
        now=now,
    )


def _shown(webhook: Webhook) -> dict[str, object]:
    return {"url": webhook.url, "events": list(webhook.events)}


def _wanted(events: Iterable[Event]) -> list[str]:
    chosen = set(events) - {Event.TEST}
    wanted = [event.value for event in Event if event in chosen]
    if not wanted:
        raise NoEvents
    return wanted


def _locked(session: Session, webhook_id: UUID, by: SignedIn) -> Webhook:
    webhook: Webhook | None = session.execute(
        select(Webhook)
        .where(col(Webhook.id) == webhook_id, col(Webhook.organization_id) == by.organization_id)
        .with_for_update()
    ).scalar_one_or_none()
    if webhook is None:
        raise NoSuchWebhook
    if webhook.ended_at is not None:
        raise WebhookEnded
    return webhook
