"""Whether an installation can do its work 就绪: schema, workers with their broker, a scheduler that leads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.db import SCHEMA

BEAT = timedelta(seconds=10)
LATE = timedelta(seconds=45)
FORGOTTEN = timedelta(days=1)
LEADER_LOCK = 4711
"""The advisory lock that the leading scheduler holds."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that must work; said is for whoever looks after it, in English."""

    name: str
    is_well: bool
    said: str


def beat(session: Session, name: str, *, has_broker: bool, now: datetime) -> None:
    """A worker says that it works, and whether its broker answers. Needs a system session."""
    old = tables.Heartbeat
    session.execute(delete(old).where(col(old.at) < now - FORGOTTEN))
    row = insert(tables.Heartbeat).values(name=name, at=now, has_broker=has_broker)
    session.execute(
        row.on_conflict_do_update(
            index_elements=["name"], set_={"at": now, "has_broker": has_broker}
        )
    )


def look(session: Session, *, now: datetime) -> list[Part]:
    """Needs a system session."""
    return [_schema(session), *_workers(session, now), _scheduler(session)]


def _schema(session: Session) -> Part:
    found = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    said = "of this version" if found == SCHEMA else f"{found}, this program is of {SCHEMA}"
    return Part("schema", found == SCHEMA, said)


def _workers(session: Session, now: datetime) -> list[Part]:
    row = tables.Heartbeat
    beats = session.execute(select(row).where(col(row.at) > now - LATE)).scalars().all()
    last = session.execute(select(col(row.at)).order_by(col(row.at).desc()).limit(1)).scalar()
    count = len(beats)
    with_broker = sum(1 for each in beats if each.has_broker)
    said = f"{count} heard" if count else f"none heard since {last}" if last else "none heard yet"
    return [
        Part("worker", count > 0, said),
        Part("broker", with_broker > 0, f"{with_broker} of {count} workers have it"),
    ]


def _scheduler(session: Session) -> Part:
    leads = session.execute(
        text("""
            SELECT exists (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                WHERE l.locktype = 'advisory' AND l.objid = :lock AND l.classid = 0 AND l.granted
                  AND d.datname = current_database())
        """),
        {"lock": LEADER_LOCK},
    ).scalar_one()
    return Part("scheduler", leads, "one leads" if leads else "none leads")
