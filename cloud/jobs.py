"""The jobs 定时任务: what happens by the clock, one line each. cloud.scheduler runs them, page /jobs shows them.

Each may be run twice, be interrupted and begun again, or be run by an old leader that does not know it yet,
with one effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from cloud import auth, telemetry
from cloud.backups import folder
from cloud.channels import Channel
from cloud.db import Database
from cloud.notices import configured
from cloud.said import Said
from cloud.services import channel_refunds, gateways, news, notices, signing_keys
from cloud.services.accounts import emptying, households, settlement, stating
from cloud.services.integration import deliveries
from cloud.services.money import bill_days, sweeps, withdrawal_answers
from cloud.services.people import audit_checks
from cloud.services.readings import partitions, rerating
from cloud.services.tariffs import assignments, rehearsal
from cloud.settings import Settings

ZONE = ZoneInfo("Asia/Shanghai")
"""The zone of the time of day at which jobs run."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a job works with. organization_id is whose run it is, None for a job that is run for all at once."""

    database: Database
    settings: Settings
    channels: Mapping[str, Channel]
    organization_id: UUID | None
    now: datetime
    is_stopping: Callable[[], bool]

    @property
    def organization(self) -> UUID:
        """Whose run it is, in a job that is run for each."""
        if self.organization_id is None:
            raise ValueError("this job is run for all organizations at once")
        return self.organization_id


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done every so often, or once a day at a time of day in ZONE; with neither, when it is asked for.

    name is for programs; what says it to people in English, to be translated where it is shown. run gives
    what was done, None if there was nothing to do. With for_each it is run for each organization by itself,
    and the others go on where it fails for one.

    Raises ValueError for one with both.
    """

    name: str
    what: str
    run: Callable[[Context], Said | None]
    every: timedelta | None = None
    at: time | None = None
    for_each: bool = False

    def __post_init__(self) -> None:
        if self.every is not None and self.at is not None:
            raise ValueError(f"job {self.name} is run every so often, or at a time of day")

    def due(self, now: datetime) -> datetime | None:
        """When the run of the day was due last; None for a job without a time of day."""
        if self.at is None:
            return None
        local = now.astimezone(ZONE)
        due = local.replace(hour=self.at.hour, minute=self.at.minute, second=0, microsecond=0)
        return due if due <= local else due - timedelta(days=1)


def _tell_households(job: Context) -> Said | None:
    with job.database.organization(job.organization) as session:
        told = households.bring_up(session, job.organization, now=job.now)
    if not told:
        return None
    return Said("Told gateways of {points} service points who live there now.", points=told)


def _finish_closed(job: Context) -> Said | None:
    with job.database.organization(job.organization) as session:
        stating.take_back(session, job.organization, now=job.now)
        done = settlement.finish_all(session, job.organization, now=job.now)
    return Said("{accounts} closed accounts are settled.", accounts=done) if done else None


def _empty_purses(job: Context) -> Said | None:
    done = emptying.empty_all(job.database, job.organization, now=job.now)
    if not done:
        return None
    return Said("Followed {purses} purses of customers who changed rooms.", purses=done)


def _ask_for_payments(job: Context) -> Said | None:
    booked = sweeps.sweep(job.database, job.channels, now=job.now, is_stopping=job.is_stopping)
    return (
        Said("Booked {payments} payments whose notice never came.", payments=booked)
        if booked
        else None
    )


def _give_back(job: Context) -> Said | None:
    done = channel_refunds.sweep(
        job.database, job.channels, now=job.now, is_stopping=job.is_stopping
    )
    return Said("Gave back {payments} payments.", payments=done) if done else None


def _follow_withdrawals(job: Context) -> Said | None:
    done = withdrawal_answers.follow_up(job.database, now=job.now)
    return Said("Followed up {withdrawals} withdrawals.", withdrawals=done) if done else None


def _write_notices(job: Context) -> Said | None:
    if job.settings.twilio_account_sid is None:
        return None
    with job.database.system() as session:
        written = news.write(session, job.settings, now=job.now)
    return Said("Worded {notices} notices to customers.", notices=written) if written else None


def _send_notices(job: Context) -> Said | None:
    provider = configured.provider(job.settings)
    if provider is None:
        return None
    sent = notices.send_all(job.database, provider, now=job.now, is_stopping=job.is_stopping)
    notices.look_up(job.database, provider, now=job.now, is_stopping=job.is_stopping)
    return Said("Sent {notices} notices to customers.", notices=sent) if sent else None


def _compare_bills(job: Context) -> Said | None:
    done = bill_days.compare_all(
        job.database, job.channels, now=job.now, is_stopping=job.is_stopping
    )
    if not done.days:
        return None
    return Said(
        "Compared {days} daily bills, booked {booked} lost payments; {open} differences are open.",
        days=done.days,
        booked=done.booked,
        open=done.open,
    )


def _note_silent(job: Context) -> Said | None:
    with job.database.system() as session:
        silent = gateways.note_silent(session, now=job.now)
    return Said("{gateways} gateways went silent.", gateways=silent) if silent else None


def _send_events(job: Context) -> Said | None:
    sent = deliveries.deliver(job.database, job.settings, now=job.now, is_stopping=job.is_stopping)
    return Said("Sent {events} events to webhooks.", events=sent) if sent else None


def _forget_events(job: Context) -> Said | None:
    with job.database.system() as session:
        deliveries.forget(session, now=job.now)
    return None


def _announce_keys(job: Context) -> Said | None:
    with job.database.system() as session:
        told = signing_keys.announce(session, job.settings)
    return Said("Told {gateways} gateways the keys of the cloud.", gateways=told) if told else None


def _forget(job: Context) -> Said | None:
    with job.database.system() as session:
        auth.forget(session, now=job.now)
    return None


def _back_up(job: Context) -> Said | None:
    done = folder.back_up(job.settings, now=job.now)
    if done is None:
        return None
    made, deleted = done
    return Said(
        "Wrote {name}, {size} MB; deleted {deleted} older ones.",
        name=made.path.name,
        size=f"{made.size / 1e6:.1f}",
        deleted=deleted,
    )


def _verify_audit(job: Context) -> Said | None:
    with job.database.organization(job.organization) as session:
        found = audit_checks.check(session, job.organization, now=job.now)
    if found is None:
        return None
    if found.fault is not None:
        return Said("The audit log is broken at entry {entry}.", entry=found.broken or 0)
    return Said("The audit log is whole: {entries} entries.", entries=found.entries)


def _prepare_partitions(job: Context) -> Said | None:
    with job.database.system() as session:
        made = partitions.prepare(session, now=job.now)
    return Said("Made {months} partitions for readings.", months=made) if made else None


def _rerate(job: Context) -> Said:
    return _rerated(job, from_the_first=False)


def _rerate_everything(job: Context) -> Said:
    return _rerated(job, from_the_first=True)


def _rerated(job: Context, *, from_the_first: bool) -> Said:
    found = rerating.rerate(
        job.database,
        job.organization,
        now=job.now,
        is_stopping=job.is_stopping,
        from_the_first=from_the_first,
    )
    return Said(
        "Rated {readings} readings of {points} points again: {charges} charges agree, {differences} differ.",
        readings=found.readings,
        points=found.points,
        charges=found.charges - found.differences,
        differences=found.differences,
    )


def _rehearse(job: Context) -> Said | None:
    done = rehearsal.work(job.database, now=job.now, is_stopping=job.is_stopping)
    return Said("Rehearsed {drafts} tariff drafts.", drafts=done) if done else None


def _apply_assignments(job: Context) -> Said | None:
    with job.database.organization(job.organization) as session:
        moved = assignments.apply_due(session, now=job.now)
    return Said("Gave {points} points their new tariff.", points=moved) if moved else None


def _send_telemetry(job: Context) -> Said | None:
    sent = telemetry.send(job.database, job.settings, now=job.now, is_stopping=job.is_stopping)
    return (
        Said("Sent {readings} readings to the time series database.", readings=sent)
        if sent
        else None
    )


SECONDS_15 = timedelta(seconds=15)

JOBS: tuple[Job, ...] = (
    Job("back-up", "Back up the database", _back_up, at=time(2, 30)),
    Job(
        "tell-households",
        "Tell gateways how many people live where",
        _tell_households,
        every=timedelta(minutes=15),
        for_each=True,
    ),
    Job(
        "finish-closed-accounts",
        "Note which closed accounts are settled",
        _finish_closed,
        every=timedelta(minutes=1),
        for_each=True,
    ),
    Job(
        "empty-purses",
        "Move what is left to the purse of a customer's new room",
        _empty_purses,
        every=SECONDS_15,
        for_each=True,
    ),
    Job(
        "announce-keys",
        "Tell gateways the keys of the cloud",
        _announce_keys,
        every=timedelta(minutes=1),
    ),
    Job(
        "ask-for-payments",
        "Ask payment channels about unanswered orders",
        _ask_for_payments,
        every=SECONDS_15,
    ),
    Job(
        "write-notices",
        "Word what customers are to be told by text message",
        _write_notices,
        every=SECONDS_15,
    ),
    Job("send-notices", "Send text messages to customers", _send_notices, every=SECONDS_15),
    Job(
        "compare-bills",
        "Compare the payment channels' daily bills with the books",
        _compare_bills,
        at=time(11),  # WeChat Pay's and Alipay's are ready by ten
    ),
    Job("give-back-payments", "Give back second payments", _give_back, every=SECONDS_15),
    Job(
        "follow-withdrawals",
        "Credit what was moved between purses, or booked after it was cancelled",
        _follow_withdrawals,
        every=SECONDS_15,
    ),
    Job("note-silent-gateways", "Notice gateways that went silent", _note_silent, every=SECONDS_15),
    Job("send-events", "Send events to webhooks", _send_events, every=timedelta(seconds=5)),
    Job("forget-events", "Forget events of a month ago", _forget_events, every=timedelta(hours=1)),
    Job("forget-sign-ins", "Forget sign-ins that have ended", _forget, every=timedelta(hours=1)),
    Job(
        "send-telemetry",
        "Send readings to the time series database, where one is configured",
        _send_telemetry,
        every=timedelta(seconds=20),
    ),
    Job(
        "rehearse",
        "Work out rehearsals of tariff drafts",
        _rehearse,
        every=timedelta(seconds=5),
    ),
    Job(
        "apply-tariffs",
        "Give points the tariff that begins now",
        _apply_assignments,
        every=timedelta(minutes=1),
        for_each=True,
    ),
    Job(
        "prepare-partitions",
        "Make room for the readings of the next months",
        _prepare_partitions,
        at=time(1, 30),
    ),
    Job("verify-audit", "Verify the audit log", _verify_audit, at=time(3, 40), for_each=True),
    Job("rerate", "Rate the day's readings again", _rerate, at=time(3, 10), for_each=True),
    Job(
        "rerate-everything",
        "Rate all readings again, from the first",
        _rerate_everything,
        for_each=True,
    ),
)
BY_NAME: Mapping[str, Job] = {job.name: job for job in JOBS}
