"""The partitions of readings, one for each month (UTC), made before the month begins.

What is told of a time that has none, as by a gateway whose clock is years off, lies in parts.readings_other. A
partition is seen through readings alone, where row-level security says whose rows they are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session

AHEAD = 3  # months beyond this one
BEHIND = 12  # months before it: so much may come late


def prepare(session: Session, *, now: datetime) -> int:
    """Makes the partitions from a year ago to three months ahead that are not there; how many it made.

    Readings of such a month that lie in readings_other go with it. Needs a system session.
    """
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(BEHIND):
        month = (month - timedelta(days=1)).replace(day=1)
    made = 0
    for _ in range(BEHIND + AHEAD + 1):
        following = (month + timedelta(days=32)).replace(day=1)
        made += make(session, since=month, until=following)
        month = following
    return made


def make_month(session: Session, *, year: int, month: int) -> bool:
    """Makes the partition of one month, if it is not there. Needs a system session."""
    since = datetime(year, month, 1, tzinfo=UTC)
    return make(session, since=since, until=(since + timedelta(days=32)).replace(day=1))


def make(session: Session, *, since: datetime, until: datetime) -> bool:
    """Makes the partition of a month, from its first instant to that of the next, if it is not there."""
    name = f"parts.readings_{since:%Y_%m}"
    if session.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar_one() is not None:
        return False
    bounds = {"since": since, "until": until}
    session.execute(text(f"CREATE TABLE {name} (LIKE readings INCLUDING CONSTRAINTS)"))
    session.execute(
        text(f"""
            WITH moved AS (
                DELETE FROM parts.readings_other WHERE at >= :since AND at < :until RETURNING *
            ) INSERT INTO {name} SELECT * FROM moved
        """),
        bounds,
    )
    session.execute(
        text(
            f"ALTER TABLE readings ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{since.isoformat()}') TO ('{until.isoformat()}')"
        )
    )
    session.execute(text(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"))
    session.execute(text(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY"))
    is_system = "(SELECT current_setting('wattwell.system', true) = 'on')"
    session.execute(
        text(f"CREATE POLICY whose ON {name} USING ({is_system}) WITH CHECK ({is_system})")
    )
    return True
