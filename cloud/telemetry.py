"""Readings to InfluxDB 时序库, where one is configured, for boards that draw years of them.

It follows the readings that are stored, and is no part of storing them: what the time series database does not take
now it is sent later, from where the cursor stands. What is sent twice is one value there, as it has the same series
and time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from cloud import tables
from cloud.db import Database
from cloud.errors import first_line
from cloud.settings import Settings

log = logging.getLogger(__name__)

TARGET = "influxdb"
AT_ONCE = 5000
SETTLES = timedelta(seconds=60)  # longer than a worker takes for a message
TIMEOUT_MS = 10_000

_ROWS = text("""
    SELECT r.number, r.at, r.total, r.supply, r.bands, p.commodity, p.id AS point_id, p.name AS point,
           m.name AS room, b.name AS building, s.name AS site
    FROM readings r JOIN points p ON p.id = r.point_id
    JOIN rooms m ON m.id = p.room_id JOIN buildings b ON b.id = m.building_id JOIN sites s ON s.id = b.site_id
    WHERE r.number > :after AND r.number <= :upto ORDER BY r.number LIMIT :most
""")


class TelemetryAway(Exception):
    """The time series database does not take what it is sent. Try again later; nothing is lost."""


@dataclass(slots=True)
class Outage:
    """Since when the time series database is away, so that it is told once."""

    since: datetime | None = None


OUTAGE = Outage()


def send(
    database: Database,
    settings: Settings,
    *,
    now: datetime,
    is_stopping: Callable[[], bool],
    outage: Outage = OUTAGE,
) -> int:
    """Sends what was stored since the last time and has settled; how many readings. 0 where none is configured.

    A reading's number is given before it is committed, so the numbers of the last minute are left for the next
    time. Raises TelemetryAway when an outage begins; as long as it lasts it is only noted.
    """
    if settings.influx_url is None:
        return 0
    # Loaded only where there is one: it is a tenth of what every program of the cloud would load to start.
    from influxdb_client.client.influxdb_client import InfluxDBClient
    from influxdb_client.client.write_api import SYNCHRONOUS
    from influxdb_client.rest import ApiException
    from urllib3.exceptions import HTTPError

    upto = _settled(database, now)
    sent = 0
    try:
        with InfluxDBClient(
            url=settings.influx_url,
            token=settings.influx_token or "",
            org=settings.influx_organization,
            timeout=TIMEOUT_MS,
        ) as client:
            writing = client.write_api(write_options=SYNCHRONOUS)
            while not is_stopping():
                with database.system() as session:
                    cursor = session.get_one(tables.TelemetryCursor, TARGET)
                    given = {"after": cursor.sent, "upto": upto, "most": AT_ONCE}
                    rows = session.execute(_ROWS, given).all()
                if not rows:
                    break
                writing.write(settings.influx_bucket, record=list(lines(rows)))
                with database.system() as session:
                    session.get_one(tables.TelemetryCursor, TARGET).sent = rows[-1].number
                sent += len(rows)
    except (ApiException, HTTPError, OSError) as error:
        if outage.since is None:
            outage.since = now
            raise TelemetryAway(
                f"{settings.influx_url} takes no readings: {first_line(error)}"
            ) from error
        log.debug("%s is still away", settings.influx_url)
        return sent
    if outage.since is not None:
        log.info("%s takes readings again, away since %s", settings.influx_url, outage.since)
        outage.since = None
    return sent


def _settled(database: Database, now: datetime) -> int:
    """The number up to which all readings are committed, or never will be."""
    with database.system() as session:
        cursor = session.get(tables.TelemetryCursor, TARGET)
        if cursor is None:
            cursor = tables.TelemetryCursor(target=TARGET, sent=0, upto=0, upto_at=now)
            session.add(cursor)
            cursor.upto = _newest(session)
        settled = cursor.upto if now - cursor.upto_at >= SETTLES else cursor.sent
        if now - cursor.upto_at >= SETTLES:
            cursor.upto, cursor.upto_at = _newest(session), now
        return settled


def _newest(session: Session) -> int:
    newest: int = session.execute(text("SELECT last_value FROM readings_number")).scalar_one()
    return newest


def lines(rows: Sequence[Any]) -> Iterator[str]:
    """Each reading as a line of InfluxDB's line protocol, its registers as exact decimals."""
    for row in rows:
        tags = {
            "site": row.site,
            "building": row.building,
            "room": row.room,
            "point": row.point,
            "point_id": str(row.point_id),
            "commodity": row.commodity,
        }
        fields = {"total": str(row.total)}
        bands: Mapping[str, str] = row.bands or {}
        fields |= {f"total_{band}": total for band, total in bands.items()}
        if row.supply is not None:
            fields["supply"] = f'"{row.supply}"'
        at = int(row.at.timestamp()) * 1_000_000_000 + row.at.microsecond * 1000
        tagged = ",".join(f"{name}={_escaped(value)}" for name, value in tags.items() if value)
        valued = ",".join(f"{_escaped(name)}={value}" for name, value in fields.items())
        yield f"readings,{tagged} {valued} {at}"


def _escaped(value: str) -> str:
    """A tag, or a name: commas, equal signs and spaces get a backslash, line ends become spaces."""
    value = " ".join(value.splitlines()).replace("\\", "/")
    for sign in ",= ":
        value = value.replace(sign, f"\\{sign}")
    return value
