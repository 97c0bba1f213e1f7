"""Notices 通知: text messages (services.news) are given to the provider, each once, and followed to their end.

A message whose fate is not known, because no answer came, is looked up at the provider before it is sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlmodel import Session, col

from cloud.db import Database
from cloud.notices import NotTaken, Provider, ProviderAway, Sent, State
from cloud.tables import Notice

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=5)
PAUSES = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2))
AT_ONCE = 50
LOOK_AFTER = timedelta(minutes=10)  # a report is given this long, then the provider is asked
LOOK_AGAIN = timedelta(hours=6)
LOOKED_FOR = timedelta(days=2)


def send_all(
    database: Database, provider: Provider, *, now: datetime, is_stopping: Callable[[], bool]
) -> int:
    """Sends what is due; how many went out. Several may run: each notice is taken by one of them."""
    done = 0
    with database.system() as session:
        waiting = session.execute(
            select(col(Notice.id), col(Notice.asked_at))
            .where(
                col(Notice.due_at) <= now,
                col(Notice.sent_at).is_(None),
                col(Notice.failed_at).is_(None),
            )
            .order_by(col(Notice.due_at))
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)
        ).all()
        session.execute(
            update(Notice)
            .where(col(Notice.id).in_([one.id for one in waiting]))
            .values(asked_at=now, due_at=now + LEASE, attempts=col(Notice.attempts) + 1)
        )
    for id, asked_at in waiting:
        if is_stopping():
            break
        done += _send(database, provider, id, asked_at=asked_at, now=now)
    return done


def look_up(
    database: Database, provider: Provider, *, now: datetime, is_stopping: Callable[[], bool]
) -> int:
    """Asks about messages whose report never came, or whose cost is not known; of how many something new was said."""
    row = Notice
    with database.system() as session:
        waiting = session.execute(
            select(col(row.id), col(row.number))
            .where(
                col(row.provider) == provider.name,
                col(row.sent_at).between(now - LOOKED_FOR, now - LOOK_AFTER),
                col(row.cost).is_(None)
                | (col(row.delivered_at).is_(None) & col(row.failed_at).is_(None)),
                col(row.looked_at).is_(None) | (col(row.looked_at) < now - LOOK_AGAIN),
            )
            .order_by(col(row.sent_at))
            .limit(AT_ONCE)
        ).all()
    heard = 0
    for id, number in waiting:
        if is_stopping():
            break
        try:
            found = provider.look(number)
        except ProviderAway as error:
            log.warning("the provider of messages is away, asked what came of one: %s", error)
            break
        _note(database, id, looked_at=now)
        if found is None:
            continue
        with database.system() as session:
            notice = session.get_one(Notice, id)
            is_new = found.state is not State.UNDER_WAY and notice.delivered_at is None
            is_new = is_new or (found.cost is not None and notice.cost is None)
            if found.state is not State.UNDER_WAY:
                hear(session, provider.name, found, now=now)
        _note(database, id, **_priced(found))
        heard += is_new
    return heard


def _priced(sent: Sent) -> dict[str, object]:
    """What the provider says of segments and cost; what it does not say yet is left as it was."""
    said: dict[str, object] = {"segments": sent.segments, "cost": sent.cost}
    if sent.cost is not None:
        said["currency"] = sent.currency
    return {name: value for name, value in said.items() if value is not None}


def hear(session: Session, provider: str, report: Sent, *, now: datetime) -> None:
    """What the provider reports of a message; an older state after a newer one changes nothing."""
    values: dict[str, object] = {"said": report.said}
    if report.state is State.DELIVERED:
        values |= {"delivered_at": now, "failed_at": None}
    elif report.state is State.FAILED:
        values |= {"failed_at": now}
    session.execute(
        update(Notice)
        .where(
            col(Notice.provider) == provider,
            col(Notice.number) == report.number,
            col(Notice.delivered_at).is_(None),
            col(Notice.failed_at).is_(None) | (report.state is State.DELIVERED),
        )
        .values(values)
    )


def _send(
    database: Database,
    provider: Provider,
    id: UUID,
    *,
    asked_at: datetime | None,
    now: datetime,
) -> bool:
    with database.system() as session:
        notice = session.get_one(Notice, id)
    try:
        sent = None
        if asked_at is not None:  # it was tried before, and no answer came
            since = notice.created_at - timedelta(days=1)
            sent = provider.find(to=notice.phone, text=notice.body, since=since)
        sent = sent or provider.send(to=notice.phone, text=notice.body)
    except NotTaken as error:
        log.warning("notice %s to a customer was not taken: %s", id, error)
        _note(database, id, failed_at=now, said=str(error))
        return False
    except ProviderAway as error:
        if notice.attempts > len(PAUSES):
            log.warning("notice %s to a customer is given up: %s", id, error)
            _note(database, id, failed_at=now, said=str(error))
        else:
            _note(database, id, due_at=now + PAUSES[notice.attempts - 1], said=str(error))
        return False
    _note(
        database,
        id,
        provider=provider.name,
        number=sent.number,
        sent_at=now,
        said=sent.said,
        **_priced(sent),
    )
    if sent.state is not State.UNDER_WAY:
        with database.system() as session:
            hear(session, provider.name, sent, now=now)
    return True


def _note(database: Database, id: UUID, **values: object) -> None:
    with database.system() as session:
        session.execute(update(Notice).where(col(Notice.id) == id).values(**values))
