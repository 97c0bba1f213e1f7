"""Notices 通知: customers are told by text message that credit runs low or has run out, once for each time.

Two jobs: write finds what is to be told and keeps it worded; send_all gives it to the provider. A message whose
fate is not known, because no answer came, is looked up at the provider before it is sent again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime, time, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import auth
from cloud.db import Database
from cloud.notices import NotTaken, Provider, ProviderAway, Sent, State
from cloud.settings import Settings
from cloud.tables import Notice
from prepaid.money import Money

log = logging.getLogger(__name__)

FRESH = timedelta(hours=2)  # what is older when it is first seen is no news any more
LEASE = timedelta(minutes=5)
PAUSES = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2))
AT_ONCE = 50
NIGHT = (time(22), time(7))  # at the site; then only what is urgent is sent
_CHINA = re.compile(r"1\d{10}")
_ANYWHERE = re.compile(r"\+[1-9]\d{7,14}")


class Event(StrEnum):
    """What a customer is told of."""

    LOW = "low-balance"  # 余额不足: may wait for the morning
    FINAL = "final-balance"  # 余额告急
    CUT = "cut-off"  # 已断电, 已关阀


WORDS = {
    Event.LOW: "【{site}】{room}{what}余额不足，现有 {balance}，请及时充值：{link}",
    Event.FINAL: "【{site}】{room}{what}余额告急，现有 {balance}，用完将停供，请尽快充值：{link}",
    Event.CUT: "【{site}】{room}{what}余额已用完，已停供，充值后恢复：{link}",
}
"""In the customers' language: providers in China send registered texts only."""

_WATER = frozenset({"water", "cold_water", "hot_water"})

# What is on and was not told: an alarm of credit, a supply that was cut for want of it. Each by the key that tells
# one time from the next.
_NEWS = text("""
    SELECT n.organization_id, n.event, n.key, a.id AS account_id, a.phone, r.name AS room,
           s.name AS site, s.timezone, p.purse_id, t.document ->> 'commodity' AS commodity,
           coalesce(b.balance_fen, 0) AS balance_fen
    FROM (
        SELECT organization_id, point_id, kind AS event, kind || ':' || point_id || ':' || at AS key
        FROM alarms x
        WHERE kind IN ('low-balance', 'final-balance') AND NOT is_over AND at > :since
          AND NOT EXISTS (
              SELECT FROM alarms y
              WHERE y.point_id = x.point_id AND y.kind = x.kind AND y.is_over AND y.at >= x.at)
        UNION ALL
        SELECT organization_id, point_id, 'cut-off', 'cut-off:' || point_id || ':' || supply_at
        FROM point_states
        WHERE supply = 'off' AND why = 'no-credit' AND supply_at > :since
    ) n
    JOIN points p ON p.id = n.point_id AND p.ended_at IS NULL
    JOIN purses u ON u.id = p.purse_id
    JOIN accounts a ON a.id = u.account_id AND a.closed_at IS NULL AND a.phone IS NOT NULL
    JOIN tariffs t ON t.id = p.tariff_id
    JOIN rooms r ON r.id = p.room_id
    JOIN buildings d ON d.id = r.building_id
    JOIN sites s ON s.id = d.site_id
    LEFT JOIN balances b ON b.purse_id = u.id
    WHERE NOT EXISTS (
        SELECT FROM notices o WHERE o.organization_id = n.organization_id AND o.key = n.key)
    LIMIT 1000
""")


def write(session: Session, settings: Settings, *, now: datetime) -> int:
    """Words and keeps what customers are to be told; how many. Needs a system session."""
    rows = []
    for news in session.execute(_NEWS, {"since": now - FRESH}).all():
        phone = number_of(news.phone)
        if phone is None:
            continue
        event = Event(news.event)
        body = WORDS[event].format(
            site=news.site,
            room=news.room,
            what="水费" if news.commodity in _WATER else "电费",
            balance=f"¥{Money(news.balance_fen)}",
            link=auth.tenant_url(settings, news.account_id),
        )
        rows.append(
            {
                "organization_id": news.organization_id,
                "account_id": news.account_id,
                "key": news.key,
                "event": event.value,
                "phone": phone,
                "body": body,
                "due_at": due(event, now, ZoneInfo(news.timezone)),
            }
        )
    if rows:
        session.execute(insert(Notice).on_conflict_do_nothing(), rows)
    return len(rows)


def due(event: Event, now: datetime, zone: ZoneInfo) -> datetime:
    """When it may be sent: at once, or what is not urgent in the morning."""
    local = now.astimezone(zone)
    night, morning = NIGHT
    if event is not Event.LOW or morning <= local.time() < night:
        return now
    day = local.date() + timedelta(days=1) if local.time() >= night else local.date()
    return datetime.combine(day, morning, zone)


def number_of(phone: str) -> str | None:
    """The number with its country, from one as people write it; None if it is no number that takes a message."""
    plain = re.sub(r"[\s()-]", "", phone)
    if _CHINA.fullmatch(plain):
        return f"+86{plain}"
    return plain if _ANYWHERE.fullmatch(plain) else None


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
    _note(database, id, provider=provider.name, number=sent.number, sent_at=now, said=sent.said)
    if sent.state is not State.UNDER_WAY:
        with database.system() as session:
            hear(session, provider.name, sent, now=now)
    return True


def _note(database: Database, id: UUID, **values: object) -> None:
    with database.system() as session:
        session.execute(update(Notice).where(col(Notice.id) == id).values(**values))
