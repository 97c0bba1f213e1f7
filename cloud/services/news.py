"""News 通知内容: what customers are told by text message, worded and kept, each once; services.notices sends it."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session

from cloud import auth
from cloud.settings import Settings
from cloud.tables import Notice
from prepaid.money import Money

FRESH = timedelta(hours=2)  # what is older when it is first seen is no news any more
NIGHT = (time(22), time(7))  # at the site; then only what is urgent is sent
_CHINA = re.compile(r"1\d{10}")
_ANYWHERE = re.compile(r"\+[1-9]\d{7,14}")


class Event(StrEnum):
    """What a customer is told of."""

    LOW = "low-balance"  # 余额不足: may wait for the morning
    FINAL = "final-balance"  # 余额告急
    CUT = "cut-off"  # 已断电, 已关阀
    TOPPED_UP = "topped-up"  # 充值到账, for who has asked to be told


WORDS = {
    Event.LOW: "【{site}】{room}{what}余额不足，现有 {balance}，请及时充值：{link}",
    Event.FINAL: "【{site}】{room}{what}余额告急，现有 {balance}，用完将停供，请尽快充值：{link}",
    Event.CUT: "【{site}】{room}{what}余额已用完，已停供，充值后恢复：{link}",
    Event.TOPPED_UP: "【{site}】{room}{what}充值 {amount} 已到账{fee}，现有 {balance}：{link}",
}
"""In the customers' language: providers in China send registered texts only."""

PAID_FOR = {"electricity": "电费", "water": "水费", "utility": "水电费", "property": "物业费"}

_WATER = frozenset({"water", "cold_water", "hot_water"})

# What is on and was not told: an alarm of credit, a supply that was cut for want of it. Each by the key that tells
# one time from the next.
_NEWS = text("""
    SELECT n.organization_id, n.event, n.key, a.id AS account_id, a.phone, a.link_number, r.name AS room,
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

_TOPPED_UP = text("""
    SELECT t.organization_id, 'topped-up:' || t.id AS key, a.id AS account_id, a.phone, a.link_number, p.purpose,
           r.name AS room, s.name AS site, t.amount_fen, t.fee_fen,
           coalesce(t.balance_after_fen, 0) AS balance_fen
    FROM topups t
    JOIN purses p ON p.id = t.purse_id
    JOIN accounts a ON a.id = p.account_id AND a.closed_at IS NULL AND a.phone IS NOT NULL AND a.told_of_topups
    JOIN LATERAL (
        SELECT room_id FROM occupancies o WHERE o.account_id = a.id AND o.ended_at IS NULL
        ORDER BY o.started_at, o.room_id LIMIT 1
    ) o ON true
    JOIN rooms r ON r.id = o.room_id
    JOIN buildings d ON d.id = r.building_id
    JOIN sites s ON s.id = d.site_id
    WHERE t.credited_at > :since AND NOT EXISTS (
        SELECT FROM notices n WHERE n.organization_id = t.organization_id AND n.key = 'topped-up:' || t.id)
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
            link=auth.tenant_url(settings, news.account_id, number=news.link_number),
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
    rows += _topped_up(session, settings, now=now)
    if rows:
        session.execute(insert(Notice).on_conflict_do_nothing(), rows)
    return len(rows)


def _topped_up(session: Session, settings: Settings, *, now: datetime) -> list[dict[str, object]]:
    """Of top-ups that have arrived, for the accounts that have asked to be told."""
    rows: list[dict[str, object]] = []
    for news in session.execute(_TOPPED_UP, {"since": now - FRESH}).all():
        phone = number_of(news.phone)
        if phone is None:
            continue
        fee = f"（含服务费 ¥{Money(news.fee_fen)}）" if news.fee_fen else ""
        body = WORDS[Event.TOPPED_UP].format(
            site=news.site,
            room=news.room,
            what=PAID_FOR[news.purpose],
            amount=f"¥{Money(news.amount_fen)}",
            fee=fee,
            balance=f"¥{Money(news.balance_fen)}",
            link=auth.tenant_url(settings, news.account_id, number=news.link_number),
        )
        rows.append(
            {
                "organization_id": news.organization_id,
                "account_id": news.account_id,
                "key": news.key,
                "event": Event.TOPPED_UP.value,
                "phone": phone,
                "body": body,
                "due_at": now,
            }
        )
    return rows


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
