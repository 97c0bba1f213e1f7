"""Jobs: what each does, what is kept of its runs, what is done again, and the page that shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy import text

from cloud import auth, tables
from cloud.jobs import JOBS, Context, Job
from cloud.said import Said
from cloud.scheduler import Runner
from cloud.services import downlog, gateways, job_runs
from cloud.tables import utc_now
from tests.cloud.conftest import NOON
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture

DAILY_4_AM = time(4)  # 20:00 UTC of the day before


def job(run: Callable[[Context], Said | None], **options: object) -> Job:
    given = {"every": timedelta(minutes=1)} if "at" not in options else {}
    return Job("test", "Test", run, **given, **options)  # type: ignore[arg-type]


@pytest.fixture
def runner(database, settings):
    def build(*jobs: Job) -> Runner:
        return Runner(database, settings, {}, threading.Event(), jobs)

    return build


@pytest.fixture
def runs(database, home):
    def runs(name: str = "test") -> list[job_runs.Run]:
        with database.system() as session:
            return job_runs.last(session, home.organization_id)[name]

    return runs


def test_a_gateway_that_went_silent_is_told_once(database, home, caplog):
    now = tables.utc_now()
    with database.system() as session:
        session.execute(
            text("UPDATE gateways SET heard_at = :at"),
            {"at": now - downlog.ONLINE - timedelta(seconds=1)},
        )
        assert gateways.note_silent(session, now=now) == 1
        assert gateways.note_silent(session, now=now) == 0
    assert caplog.text.count(f"gateway {home.gateway_no} is silent since") == 1


def test_what_has_ended_is_forgotten(database, home):
    with database.system() as session:
        session.execute(
            text(
                "INSERT INTO login_failures (login, who, failures, last_at)"
                " VALUES ('old', '', 9, now() - interval '2 days'), ('new', '', 9, now())"
            )
        )
        auth.forget(session, now=tables.utc_now())
        assert session.execute(text("SELECT login FROM login_failures")).scalars().all() == ["new"]


def test_every_job_of_the_installation_runs_on_a_fresh_estate_and_again(runner, runs, database):
    everything = runner(*JOBS)
    for _ in range(2):
        assert [each.name for each in JOBS if not everything.run(each)] == []
    for each in JOBS:
        assert runs(each.name)[0].error is None, each.name


def test_a_run_is_kept_with_what_it_says(runner, runs):
    done = runner(job(lambda _: Said("Did {n} things.", n=3)))
    assert done.run(job(lambda _: Said("Did {n} things.", n=3)))
    (run,) = runs()
    assert str(run.said) == "Did 3 things."
    assert run.started_at <= run.ended_at
    assert run.error is None


def test_of_the_runs_that_had_nothing_to_do_only_the_last_is_kept(runner, runs):
    answers = iter([None, Said("Found one."), None, None])
    each = job(lambda _: next(answers))
    for _ in range(4):
        runner(each).run(each)
    assert [run.said and str(run.said) for run in runs()] == [None, "Found one."]


def test_a_job_that_fails_is_recorded_and_the_next_is_run(runner, runs):
    def fail(_: Context) -> Said:
        raise RuntimeError("the disk is on fire")

    broken = job(fail)
    assert not runner(broken).run(broken)
    assert runs()[0].error == "RuntimeError: the disk is on fire"


def test_a_job_for_each_organization_goes_on_where_it_failed_for_one(runner, runs, build, home):
    theirs = build("theirs")
    done = []

    def work(context: Context) -> Said:
        if context.organization == theirs.organization_id and not done.count("failed"):
            done.append("failed")
            raise RuntimeError("not yet")
        done.append(context.organization)
        return Said("Done.")

    each = job(work, at=DAILY_4_AM, for_each=True)
    runner_ = runner(each)
    assert not runner_.run(each)
    assert sorted(map(str, done)) == sorted(["failed", str(home.organization_id)])

    assert runner_.run(each)  # only what failed is done again
    assert done[-1] == theirs.organization_id
    assert done.count(home.organization_id) == 1
    assert [run.organization_id for run in runs()] == [home.organization_id]


def test_a_job_of_the_day_is_done_once_a_day(runner):
    done: list[datetime] = []
    each = job(lambda context: done.append(context.now), at=DAILY_4_AM)  # type: ignore[func-returns-value]
    runner_ = runner(each)
    assert runner_.due(each, now=utc_now()) == [None]
    runner_.run(each)
    assert runner_.due(each, now=utc_now()) == []
    assert runner_.due(each, now=utc_now() + timedelta(days=1)) == [None]
    runner_.run(each)
    assert len(done) == 1


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 3, 2, 19, 59, tzinfo=UTC), datetime(2026, 3, 1, 20, tzinfo=UTC)),
        (datetime(2026, 3, 2, 20, 0, tzinfo=UTC), datetime(2026, 3, 2, 20, tzinfo=UTC)),
    ],
)
def test_a_time_of_day_is_that_of_the_site(now, due):
    assert job(lambda _: None, at=DAILY_4_AM).due(now) == due  # 04:00 in Shanghai is 20:00 UTC


def test_a_job_with_two_times_is_refused():
    with pytest.raises(ValueError, match="every so often, or at a time of day"):
        Job("x", "X", lambda _: None, every=timedelta(1), at=DAILY_4_AM)


def test_a_run_that_a_killed_scheduler_left_is_noted_and_done_again(runner, runs, database):
    each = job(lambda _: Said("Done."), at=DAILY_4_AM)
    with database.system() as session:
        job_runs.begin(session, "test", None, now=utc_now())
    with database.system() as session:
        assert job_runs.note_interrupted(session, now=utc_now()) == ["test"]
    assert runs()[0].error == job_runs.INTERRUPTED
    assert runner(each).due(each, now=utc_now()) == [None]


def test_a_run_is_asked_for_on_the_page_once_and_shown_with_who_asked(
    staff, database, runner, home
):
    for _ in range(2):
        assert staff.post("/jobs/note-silent-gateways").status_code == 303
    assert "即将运行" in staff.get("/jobs").text
    with database.system() as session:
        (asked,) = job_runs.take(session, now=utc_now())
        assert job_runs.take(session, now=utc_now()) == []
    runner(*JOBS).run_requested(asked)

    with database.system() as session:
        shown = job_runs.last(session, home.organization_id)["note-silent-gateways"][0]
    assert (shown.by, shown.error) == ("home", None)
    assert "没有需要处理的" in staff.get("/jobs").text


def test_the_page_says_that_the_scheduler_does_not_run(staff, runner):
    assert "定时程序没有运行" in staff.get("/jobs").text
    runner(*JOBS).run(next(each for each in JOBS if each.name == "announce-keys"))
    assert "定时程序没有运行" not in staff.get("/jobs").text


def test_what_a_job_says_of_all_organizations_is_shown_only_where_there_is_one(
    staff, runner, database, build
):
    with database.system() as session:
        session.execute(text("UPDATE gateways SET heard_at = :at"), {"at": NOON})
    runner(*JOBS).run(next(each for each in JOBS if each.name == "note-silent-gateways"))
    assert "1 台网关失联" in staff.get("/jobs").text
    build("theirs")
    page = staff.get("/jobs").text
    assert "1 台网关失联" not in page
    assert "已处理" in page


def test_there_is_no_run_of_a_job_that_does_not_exist(staff):
    assert staff.post("/jobs/nothing").status_code == 404
