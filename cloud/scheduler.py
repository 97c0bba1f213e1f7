"""What happens by the clock. Several may run; the one that holds the lock in the database leads."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from datetime import UTC, timedelta

import psycopg
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import delete, update
from sqlalchemy.exc import OperationalError
from sqlmodel import col

from cloud import events
from cloud.channels import Channel, configured
from cloud.db import Database, check_role, connect_args, place
from cloud.errors import first_line
from cloud.services import channel_refunds, downlog, signing_keys, topups
from cloud.settings import Settings
from cloud.tables import Gateway, LoginFailure, SignIn, utc_now

log = logging.getLogger(__name__)

LEADER_LOCK = 4711
CHECK_S = 0.5
RETRY_S = 2.0


def run(settings: Settings) -> None:
    """Leads, or waits to lead, until told to stop by SIGTERM or SIGINT.

    Raises CannotStart if row-level security does not bind our role in the database.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings.database_url, connections=3)
    channels = configured.channels(settings)
    is_away = False
    while not stop.is_set():
        try:
            with psycopg.connect(
                autocommit=True,
                **connect_args(settings.database_url),  # type: ignore[arg-type]
            ) as connection:
                if is_away:
                    log.info("the database at %s answers again", database.where)
                is_away = False
                check_role(database)
                _lead(connection, database, settings, channels, stop)
        except (psycopg.OperationalError, OperationalError) as error:
            if not is_away:
                log.warning(
                    "the database at %s is away: %s",
                    place(settings.database_url),
                    first_line(error),
                )
            is_away = True
            stop.wait(RETRY_S)
    database.close()


def _lead(
    connection: psycopg.Connection[tuple[object, ...]],
    database: Database,
    settings: Settings,
    channels: dict[str, Channel],
    stop: threading.Event,
) -> None:
    """Runs the jobs while this connection holds the lock. Raises OperationalError when it is lost."""
    is_told = False
    while not _is_leader(connection):
        if not is_told:
            log.info("another scheduler leads; this one waits")
        is_told = True
        if stop.wait(CHECK_S):
            return
    log.info("this scheduler leads")
    scheduler = _jobs(database, settings, channels, stop)
    scheduler.start()
    try:
        while not stop.wait(CHECK_S):
            connection.execute("SELECT 1")
    finally:
        scheduler.shutdown(wait=True)
        log.info("this scheduler leads no more")


def _is_leader(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
    return row is not None and row[0] is True


def _jobs(
    database: Database, settings: Settings, channels: dict[str, Channel], stop: threading.Event
) -> BackgroundScheduler:
    """Each job may be run twice, or by an old leader that does not know it yet, with one effect."""
    scheduler = BackgroundScheduler(timezone=UTC)

    def every(period: timedelta, job: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                job()
            except OperationalError as error:
                log.warning("%s was not done: %s", job.__name__, first_line(error))

        scheduler.add_job(
            guarded,
            "interval",
            seconds=period.total_seconds(),
            name=job.__name__,
            next_run_time=utc_now(),
            coalesce=True,
            misfire_grace_time=None,
            max_instances=1,
        )

    def ask_for_payments() -> None:
        topups.sweep(database, channels, now=utc_now(), is_stopping=stop.is_set)

    def give_back_second_payments() -> None:
        channel_refunds.sweep(database, channels, now=utc_now(), is_stopping=stop.is_set)

    def notice_silent_gateways() -> None:
        note_silent(database)

    def forget_sign_ins() -> None:
        forget(database)

    def announce_keys() -> None:
        with database.system() as session:
            signing_keys.announce(session, settings)

    every(timedelta(minutes=1), announce_keys)
    every(timedelta(seconds=15), ask_for_payments)
    every(timedelta(seconds=15), give_back_second_payments)
    every(timedelta(seconds=15), notice_silent_gateways)
    every(timedelta(hours=1), forget_sign_ins)
    return scheduler


def note_silent(database: Database) -> None:
    """Says once of each gateway that it went silent, to the log and to open pages."""
    now = utc_now()
    with database.system() as session:
        silent = session.execute(
            update(Gateway)
            .where(
                col(Gateway.silent_since).is_(None), col(Gateway.heard_at) <= now - downlog.ONLINE
            )
            .values(silent_since=col(Gateway.heard_at))
            .returning(col(Gateway.gateway_no), col(Gateway.organization_id), col(Gateway.heard_at))
        ).all()
        for gateway_no, organization_id, heard_at in silent:
            log.warning("gateway %s is silent since %s", gateway_no, heard_at)
            events.changed(session, organization_id)


def forget(database: Database) -> None:
    """Deletes ended sign-ins, and counts of wrong passwords that no longer matter."""
    now = utc_now()
    with database.system() as session:
        session.execute(delete(SignIn).where(col(SignIn.expires_at) <= now))
        session.execute(
            delete(LoginFailure).where(col(LoginFailure.last_at) <= now - timedelta(days=1))
        )
