"""What happens by the clock. Several may run; the one that holds the lock in the database leads and does the jobs."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlmodel import col

from cloud import metrics
from cloud.channels import Channel, configured
from cloud.db import Database, check_role, connect_args, place
from cloud.errors import first_line
from cloud.jobs import JOBS, ZONE, Context, Job
from cloud.said import Said
from cloud.services import job_runs
from cloud.services.operation.readiness import LEADER_LOCK
from cloud.settings import Settings
from cloud.tables import Organization, utc_now

log = logging.getLogger(__name__)

CHECK_S = 0.5
RETRY_S = 2.0
AGAIN = timedelta(minutes=15)  # a job of the day that failed is tried again
AT_ONCE = 6


def run(settings: Settings) -> None:
    """Leads, or waits to lead, until told to stop by SIGTERM or SIGINT.

    Raises CannotStart if row-level security does not bind our role in the database.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    metrics.serve(settings, metrics.SCHEDULER)
    database = Database(settings.database_url, connections=AT_ONCE + 2)
    runner = Runner(database, settings, configured.channels(settings), stop)
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
                _lead(connection, runner, stop)
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
    connection: psycopg.Connection[tuple[object, ...]], runner: Runner, stop: threading.Event
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
    metrics.LEADS.set(1)
    scheduler = BackgroundScheduler(
        timezone=ZONE, executors={"default": {"type": "threadpool", "max_workers": AT_ONCE}}
    )
    runner.plan(scheduler)
    scheduler.start()
    try:
        while not stop.wait(CHECK_S):
            connection.execute("SELECT 1")
            runner.take_requests(scheduler)
    finally:
        scheduler.shutdown(wait=True)
        metrics.LEADS.set(0)
        log.info("this scheduler leads no more")


def _is_leader(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
    return row is not None and row[0] is True


class Runner:
    """Runs jobs and records each run. One job is never run twice at a time by one runner."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        channels: Mapping[str, Channel],
        stop: threading.Event,
        jobs: Sequence[Job] = JOBS,
    ) -> None:
        self._database = database
        self._settings = settings
        self._channels = channels
        self._stop = stop
        self._jobs = {job.name: job for job in jobs}
        self._running = {job.name: threading.Lock() for job in jobs}

    def plan(self, scheduler: BackgroundScheduler) -> None:
        """Gives all jobs to the scheduler: those whose time has passed without a run that succeeded at once."""
        now = utc_now()
        with self._database.system() as session:
            left = job_runs.note_interrupted(session, now=now)
        for name in left:
            log.warning("the run of %s was interrupted; it is done again", name)
        for job in self._jobs.values():
            if job.every is not None:
                scheduler.add_job(
                    self.run,
                    "interval",
                    seconds=job.every.total_seconds(),
                    next_run_time=now,
                    args=[job],
                    **self._options(job),
                )
            elif job.at is not None:
                scheduler.add_job(
                    self._of_the_day,
                    "cron",
                    hour=job.at.hour,
                    minute=job.at.minute,
                    args=[scheduler, job],
                    **self._options(job),
                )
                if self.due(job, now=now):
                    self._soon(scheduler, job, now)

    def _options(self, job: Job) -> dict[str, Any]:
        return {
            "name": job.name,
            "coalesce": True,
            "misfire_grace_time": None,
            "max_instances": 1,
        }

    def _soon(self, scheduler: BackgroundScheduler, job: Job, at: datetime) -> None:
        scheduler.add_job(
            self._of_the_day, "date", run_date=at, args=[scheduler, job], **self._options(job)
        )

    def _of_the_day(self, scheduler: BackgroundScheduler, job: Job) -> None:
        """Does the job of a day, and what of it failed again after a while."""
        if not self.run(job) and not self._stop.is_set():
            log.warning("%s is tried again in %s", job.name, AGAIN)
            self._soon(scheduler, job, utc_now() + AGAIN)

    def due(self, job: Job, *, now: datetime) -> list[UUID | None]:
        """The organizations that a job is to be run for (None: all at once).

        Of a job of the day those for which it was not done, or failed, since it was due: so what was interrupted
        goes on where it was.
        """
        whose: list[UUID | None] = [None]
        due = job.due(now)
        with self._database.system() as session:
            if job.for_each:
                ids = session.execute(select(col(Organization.id)).order_by(col(Organization.id)))
                whose = list(ids.scalars())
            if due is None:
                return whose
            done = job_runs.succeeded(session, job.name)
        return [each for each in whose if each not in done or done[each] < due]

    def take_requests(self, scheduler: BackgroundScheduler) -> None:
        """Gives the runs that people have asked for to the scheduler."""
        with self._database.system() as session:
            runs = job_runs.take(session, now=utc_now())
        for run in runs:
            scheduler.add_job(
                self.run_requested,
                args=[run],
                name=f"{run.job}, asked for",
                misfire_grace_time=None,
            )

    def run_requested(self, run: job_runs.Run) -> None:
        """Does a run that was asked for, after the one that goes on."""
        job = self._jobs.get(run.job)
        if job is None:
            error = "this version has no such job"
            with self._database.system() as session:
                job_runs.end(session, run.id, now=utc_now(), said=None, error=error)
            return
        with self._running[job.name]:
            self._guarded(job, run.organization_id, run.id)

    def run(self, job: Job) -> bool:
        """Runs a job for all that it is due for; whether all went well. Does not raise."""
        with self._running[job.name]:
            try:
                due = self.due(job, now=utc_now())
            except OperationalError as error:
                log.warning("%s was not done: %s", job.name, first_line(error))
                return False
            well = [self._recorded(job, each) for each in due if not self._stop.is_set()]
        return all(well) and len(well) == len(due)

    def _recorded(self, job: Job, organization_id: UUID | None) -> bool:
        try:
            with self._database.system() as session:
                run_id = job_runs.begin(session, job.name, organization_id, now=utc_now())
        except OperationalError as error:
            log.warning("%s was not done: %s", job.name, first_line(error))
            return False
        return self._guarded(job, organization_id, run_id)

    def _guarded(self, job: Job, organization_id: UUID | None, run_id: UUID) -> bool:
        """Runs a job and records how it ended; whether it went well. What nobody foresaw must not end the others."""
        context = Context(
            database=self._database,
            settings=self._settings,
            channels=self._channels,
            organization_id=organization_id,
            now=utc_now(),
            is_stopping=self._stop.is_set,
        )
        began = time.perf_counter()
        said: Said | None = None
        failed: str | None = None
        try:
            said = job.run(context)
        except OperationalError as error:
            failed = first_line(error.orig or error)
            log.warning("%s was not done: %s", job.name, failed)
        except Exception as error:
            failed = f"{type(error).__name__}: {first_line(error)}"
            log.exception("%s failed", job.name)
        if failed is None and job.at is not None and self._stop.is_set():
            failed = job_runs.INTERRUPTED  # it may have ended early
        metrics.JOBS.labels(job.name, "failed" if failed is not None else "done").inc()
        metrics.JOB_SECONDS.labels(job.name).observe(time.perf_counter() - began)
        if said is not None:
            log.info("%s: %s", job.name, said)
        try:
            with self._database.system() as session:
                job_runs.end(session, run_id, now=utc_now(), said=said, error=failed)
        except OperationalError as error:
            # The next leader notes it as interrupted, and it is done again: it may be.
            log.warning("the run of %s cannot be recorded: %s", job.name, first_line(error))
            return False
        return failed is None
