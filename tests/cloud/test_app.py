"""The web program: how it starts and ends, and what people and programs are told when something is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from cloud import app, auth, tables
from cloud.errors import CannotStart
from cloud.events import CHANNEL, Change, Events, changed
from cloud.services import topups
from cloud.settings import Settings
from cloud.web import COOKIE
from wattwell import supervise

pytestmark = pytest.mark.processes

SOON_S = 60.0  # for a program to start and answer, on a machine with other work


def test_a_taken_port_is_one_sentence(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            CannotStart, match=f"{listen} cannot be listened on: Address already in use"
        ):
            app.run(settings.model_copy(update={"listen": listen}))


def test_a_database_that_is_away_is_one_sentence_without_the_password(settings_file):
    settings = Settings.load(settings_file)  # there is no database at its address
    listen = f"127.0.0.1:{supervise.free_port()}"
    with pytest.raises(CannotStart) as raised:
        app.run(settings.model_copy(update={"listen": listen}))
    assert str(raised.value).startswith("The database does not answer: ")
    assert "\n" not in str(raised.value)
    assert "wattwell:x" not in str(raised.value)


def test_a_wrong_database_password_is_one_sentence(settings, url):
    user, _, rest = url.partition("@")
    wrong = f"{user}x@{rest}"
    with pytest.raises(CannotStart, match="password authentication failed"):
        app.run(
            settings.model_copy(
                update={"listen": f"127.0.0.1:{supervise.free_port()}", "database_url": wrong}
            )
        )


def test_a_database_that_is_empty_or_of_another_version_is_one_sentence(
    settings, database, database_url
):
    said = "is empty, or of another version: run `wattwell cloud migrate` first"
    listen = f"127.0.0.1:{supervise.free_port()}"
    with pytest.raises(CannotStart, match=said):
        app.run(settings.model_copy(update={"listen": listen, "database_url": database_url}))

    with database.system() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(CannotStart, match=said):
        app.run(settings.model_copy(update={"listen": listen}))


def test_a_database_role_that_sees_everybodys_rows_is_one_sentence(settings, all_seeing):
    listen = f"127.0.0.1:{supervise.free_port()}"
    with pytest.raises(CannotStart, match="role postgres is a superuser"):
        app.run(settings.model_copy(update={"listen": listen, "database_url": all_seeing}))


@pytest.fixture
def served(settings_file, url) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The web program in a process of its own, and its address."""
    (settings_file.parent / "secrets" / "database_url").write_text(url)
    listen = f"127.0.0.1:{supervise.free_port()}"
    program = (
        "import sys; from pathlib import Path; from cloud import app;"
        "from cloud.settings import Settings; app.run(Settings.load(Path(sys.argv[1])))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(settings_file)],
        env={**os.environ, "WATTWELL_LISTEN": listen},
        stderr=subprocess.PIPE,
    )
    try:
        _wait_for(lambda: httpx.get(f"http://{listen}/api/health").status_code == 200)
        yield listen, process
    finally:
        process.kill()
        process.wait()


def test_it_ends_with_a_failure_when_the_part_that_hears_of_changes_dies(served, database):
    _, process = served
    # Its connection listens soon after the first answer; a change that cannot be read ends that part.
    for _ in range(int(SOON_S / 0.2)):
        with database.system() as session:
            session.execute(text("SELECT pg_notify(:c, 'no JSON')"), {"c": CHANNEL})
        try:
            process.wait(0.2)
            break
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 1
    said = process.stderr.read().decode()
    assert "pages would no longer be told of changes" in said
    assert "a part of it died" in said


def test_it_serves_and_ends_at_once_when_told_to_although_a_page_is_open(served, home, database):
    listen, process = served
    with database.system() as session:
        token = auth.login(session, "home", "correct horse", now=tables.utc_now())
    with httpx.stream(
        "GET", f"http://{listen}/rooms/stream", cookies={COOKIE: str(token)}, timeout=SOON_S
    ) as stream:
        assert stream.status_code == 200
        next(stream.iter_lines())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=SOON_S) == 0
    assert (
        "graceful shutdown exceeded" not in process.stderr.read().decode()
    )  # by which streams are cut by force


def _wait_for(is_so) -> None:
    event = threading.Event()
    for _ in range(int(SOON_S / 0.1)):
        try:
            if is_so():
                return
        except httpx.TransportError:
            pass
        event.wait(0.1)
    raise AssertionError("it did not come up")


def test_while_the_database_is_away_programs_get_503_and_a_sentence(settings_file):
    with TestClient(app.create_app(Settings.load(settings_file))) as web:
        answer = web.get("/api/health")
        assert answer.status_code == 503
        assert answer.json() == {
            "code": "DatabaseAway",
            "message": "The database does not answer. Nothing was changed; try again in a moment.",
            "fields": [],
        }
        web.cookies.set(COOKIE, "x")
        page = web.get("/rooms")
        assert page.status_code == 503
        assert page.headers["content-type"].startswith("text/html")


def test_the_log_never_holds_a_tenants_link(settings_file, caplog):
    with TestClient(app.create_app(Settings.load(settings_file))) as web:
        link = auth.tenant_url(Settings.load(settings_file), uuid4())
        token = link.rpartition("/")[2]
        for path in ("", "/stream", f"/topups/{uuid4()}"):
            assert web.get(f"/t/{token}{path}").status_code == 503
    assert "GET /t/{token}/topups/{topup_id}: the database does not answer" in caplog.text
    assert token not in caplog.text


def test_an_unknown_address_is_a_page_for_people_and_json_for_programs(web):
    assert web.get("/nowhere").headers["content-type"].startswith("text/html")
    assert web.get("/api/nowhere").json()["code"] == "NoSuchPage"


def test_staff_take_cash_through_the_api_once(database, web, home):
    with database.system() as session:
        web.cookies.set(
            COOKIE, str(auth.login(session, "home", "correct horse", now=tables.utc_now()))
        )
    asked = {
        "purse_id": str(home.electricity_purse),
        "amount_fen": 2000,
        "idempotency_key": str(uuid4()),
    }
    headers = {"Origin": "http://cloud.test"}
    first, again = (web.post("/api/topups", json=asked, headers=headers).json() for _ in range(2))
    assert first == again
    assert first["credited_at"] is not None
    shown = web.get("/api/rooms").json()[0]["points"]
    assert [point["balance_fen"] for point in shown] == [2000, 0]
    assert web.get(f"/api/topups/{first['id']}").json()["amount_fen"] == 2000
    assert web.get(f"/api/topups/{uuid4()}").status_code == 404


async def test_open_pages_are_told_of_their_own_organizations_changes_only(
    url, database, build, order, home
):
    other = build("other")
    events = Events(url)
    ours, theirs = events.subscribe(home.organization_id), events.subscribe(other.organization_id)
    listening = asyncio.create_task(events.run())
    payment = order("5")
    try:
        async with asyncio.timeout(SOON_S):
            while True:  # until it listens
                with database.system() as session:
                    changed(session, home.organization_id, room_id=home.room_id)
                try:
                    async with asyncio.timeout(0.2):
                        assert await anext(ours) == Change(
                            home.organization_id, room_id=home.room_id
                        )
                        break
                except TimeoutError:
                    continue
            await asyncio.to_thread(
                topups.book, database, payment, channel="sandbox", now=payment.paid_at
            )
            while (change := await anext(ours)).topup_id is None:
                pass
            assert change.account_id == home.account_id
            events.close()
            assert [change async for change in theirs] == []
            assert [change async for change in events.subscribe(home.organization_id)] == []
    finally:
        listening.cancel()


async def test_a_page_that_reads_slowly_is_told_to_read_everything_again():
    events = Events("postgresql://nowhere")
    organization = uuid4()
    subscription = events.subscribe(organization)
    for _ in range(1000):
        subscription.put(Change(organization, room_id=uuid4()))
    told = [await anext(subscription)]
    events.close()
    told += [change async for change in subscription]
    assert len(told) < 300
    assert Change(organization) in told


def test_the_static_files_are_served(web):
    assert web.get("/static/mark.svg").status_code == 200
