"""Sending what is in the outbox: each event until it is taken, ever more rarely, and then given up for a person."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import httpx
from sqlalchemy import Row, text, update
from sqlmodel import Session, col

from cloud.db import Database
from cloud.services.integration import addresses, signing
from cloud.services.integration.addresses import NotReachable
from cloud.settings import Settings
from cloud.tables import Webhook, WebhookDelivery

log = logging.getLogger(__name__)

# How long after each failed attempt the next follows; after the last of them a delivery is dead.
# As recommended by Standard Webhooks 1.0.0, Deliverability and reliability.
PAUSES = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
MOST_ATTEMPTS = len(PAUSES) + 1
AT_ONCE = 200  # deliveries that are taken at a time
SENDERS = 8  # webhooks that are sent to at the same time
LEASE = timedelta(minutes=10)  # by then whoever took a delivery has said what came of it
AFTER_ANOTHER = timedelta(minutes=1)  # for those behind one that failed
OLD_SECRET_FOR = timedelta(days=1)
KEPT_FOR = timedelta(days=30)
TIMEOUT = httpx.Timeout(20, connect=5)


class Fault(StrEnum):
    """Why a delivery was not taken."""

    REFUSED = "refused"  # an answer that is not 2xx; status says which
    GONE = "gone"  # 410: the receiver wants nothing more
    NO_ANSWER = "no-answer"
    TOO_SLOW = "too-slow"
    NO_ADDRESS = "no-address"
    FORBIDDEN = "forbidden"  # not a public address, and not allowed by the settings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt. again_in is what the receiver asked for, if it did."""

    status: int | None = None
    fault: Fault | None = None
    again_in: timedelta | None = None


_TAKE = text("""
    UPDATE webhook_deliveries d SET due_at = :lease
    FROM webhooks w
    WHERE w.id = d.webhook_id AND d.id IN (
        SELECT id FROM webhook_deliveries WHERE due_at <= :now
        ORDER BY due_at, created_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
    RETURNING d.id, d.webhook_id, d.body, d.attempts, d.created_at, w.url, w.secret_number,
              w.rotated_at, w.ended_at
""")


def deliver(
    database: Database, settings: Settings, *, now: datetime, is_stopping: Callable[[], bool]
) -> int:
    """Sends what is due, and says how many were taken.

    No transaction is open while a receiver is asked. Each webhook is sent its own in order; one that fails
    lets those behind it wait, so that a receiver that is down is not asked for each.
    """
    with database.system() as session:
        taken = session.execute(_TAKE, {"now": now, "lease": now + LEASE, "most": AT_ONCE}).all()
    by_webhook: defaultdict[UUID, list[Row[tuple[object, ...]]]] = defaultdict(list)
    for due in sorted(taken, key=lambda row: row.created_at):
        by_webhook[due.webhook_id].append(due)
    if not by_webhook:
        return 0
    with (
        httpx.Client(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as client,
        ThreadPoolExecutor(SENDERS) as threads,
    ):
        sent = threads.map(
            lambda due: _send_all(database, settings, client, due, now, is_stopping),
            by_webhook.values(),
        )
        return sum(sent)


def _send_all(
    database: Database,
    settings: Settings,
    client: httpx.Client,
    due: Sequence[Row[tuple[object, ...]]],
    now: datetime,
    is_stopping: Callable[[], bool],
) -> int:
    """The deliveries of one webhook, until one fails."""
    taken = 0
    for index, delivery in enumerate(due):
        if is_stopping():
            _put_back(database, due[index:], now)
            break
        outcome = _send(settings, client, delivery, now)
        with database.system() as session:
            _note(session, delivery, outcome, now=now)
        if outcome.fault is not None:
            _put_back(database, due[index + 1 :], now + AFTER_ANOTHER)
            break
        taken += 1
    return taken


def _send(
    settings: Settings, client: httpx.Client, delivery: Row[tuple[object, ...]], now: datetime
) -> Outcome:
    if delivery.ended_at is not None:
        return Outcome(fault=Fault.GONE)
    url = httpx.URL(delivery.url)
    try:
        target = addresses.resolve(delivery.url, settings.webhook_networks)
    except NotReachable as error:
        return Outcome(fault=Fault.FORBIDDEN if error.is_forbidden else Fault.NO_ADDRESS)
    body = delivery.body.encode()
    headers = signing.headers(
        _secrets(settings, delivery, now), message_id=delivery.id, at=now, body=body
    )
    request = client.build_request(
        "POST",
        url.copy_with(host=str(target.address)),
        content=body,
        headers={
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": "Wattwell",
            **headers,
        },
        extensions={"sni_hostname": target.host},
    )
    try:
        answer = client.send(request, stream=True)  # what it says beside its status is not read
        answer.close()
    except httpx.TimeoutException:
        return Outcome(fault=Fault.TOO_SLOW)
    except httpx.HTTPError:
        return Outcome(fault=Fault.NO_ANSWER)
    return _outcome(answer)


def _outcome(answer: httpx.Response) -> Outcome:
    if answer.is_success:
        return Outcome(answer.status_code)
    if answer.status_code == httpx.codes.GONE:
        return Outcome(answer.status_code, Fault.GONE)
    said = answer.headers.get("retry-after", "")
    again_in = timedelta(seconds=int(said[:6])) if said.isdigit() and said.isascii() else None
    return Outcome(answer.status_code, Fault.REFUSED, again_in)


def _secrets(settings: Settings, delivery: Row[tuple[object, ...]], now: datetime) -> list[str]:
    """The secret in use, and for a day the one before it."""
    number = delivery.secret_number
    is_fresh = delivery.rotated_at is not None and now - delivery.rotated_at < OLD_SECRET_FOR
    return [
        signing.secret(settings.code_secret, webhook_id=delivery.webhook_id, number=each)
        for each in (number, number - 1)[: 2 if is_fresh else 1]
    ]


def _note(
    session: Session, delivery: Row[tuple[object, ...]], outcome: Outcome, *, now: datetime
) -> None:
    attempts = delivery.attempts + 1
    due_at = dead_at = delivered_at = None
    if outcome.fault is None:
        delivered_at = now
    elif outcome.fault is Fault.GONE or attempts >= MOST_ATTEMPTS:
        dead_at = now
    else:
        due_at = now + _pause(delivery.id, attempts, outcome)
    session.execute(
        update(WebhookDelivery)
        .where(col(WebhookDelivery.id) == delivery.id, col(WebhookDelivery.delivered_at).is_(None))
        .values(
            attempts=attempts,
            tried_at=now,
            status=outcome.status,
            fault=outcome.fault.value if outcome.fault else None,
            due_at=due_at,
            dead_at=dead_at,
            delivered_at=delivered_at,
        )
    )
    if dead_at is not None:
        log.warning("an event for webhook %s was given up: %s", delivery.webhook_id, outcome.fault)
    if outcome.status == httpx.codes.GONE:
        session.execute(
            update(Webhook)
            .where(col(Webhook.id) == delivery.webhook_id, col(Webhook.ended_at).is_(None))
            .values(ended_at=now)
        )
        log.warning("webhook %s ended: its receiver says that it is gone", delivery.webhook_id)


def _pause(delivery_id: UUID, attempts: int, outcome: Outcome) -> timedelta:
    """Up to a tenth longer than planned, each delivery by another part, so that not all come at once again."""
    pause = PAUSES[attempts - 1]
    longer = pause * (delivery_id.int % 1000) / 10_000
    return max(pause + longer, min(outcome.again_in or timedelta(0), PAUSES[-1]))


def _put_back(database: Database, due: Sequence[Row[tuple[object, ...]]], at: datetime) -> None:
    if due:
        with database.system() as session:
            session.execute(
                update(WebhookDelivery)
                .where(
                    col(WebhookDelivery.id).in_([delivery.id for delivery in due]),
                    col(WebhookDelivery.due_at).is_not(None),
                )
                .values(due_at=at)
            )


def forget(session: Session, *, now: datetime) -> int:
    """Deletes what was delivered or given up long ago; how many. Needs a system session."""
    done = session.execute(
        text(
            "DELETE FROM webhook_deliveries WHERE due_at IS NULL"
            " AND coalesce(delivered_at, dead_at) < :before"
        ),
        {"before": now - KEPT_FOR},
    )
    return int(done.rowcount)  # type: ignore[attr-defined]
