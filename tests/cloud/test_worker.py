"""The worker with a real broker and database: what a gateway's client sees of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import nats
import psycopg
import pytest
from nats.aio.client import Client
from sqlalchemy import select, text

from cloud import tables
from cloud.errors import CannotStart
from cloud.services import downlog, ledger, topups
from cloud.services.plain_readings import Said
from cloud.settings import Settings
from cloud.worker import Worker
from prepaid.ledger import Reason, Transfer, income, prepaid
from prepaid.money import Money
from prepaid.rating import Position
from prepaid.reading import Reading
from prepaid.seal import KeySet
from prepaid.wire.downlog import Credited, PointSet, TariffSet, read_down
from prepaid.wire.entry import NO_ENTRY, Cursor, Entry, verify
from prepaid.wire.envelope import Envelope, pack
from prepaid.wire.uplog import Charged, Read, write_up

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LOG = UUID(int=1)
SOON_S = 60.0


@pytest.fixture
def worker_settings(settings_file: Path, url: str, broker) -> Settings:
    secrets = settings_file.parent / "secrets"
    (secrets / "database_url").write_text(url)
    (secrets / "nats_url").write_text(broker.nats_url)
    return Settings.load(settings_file)


@asynccontextmanager
async def working(settings: Settings, workers: int = 1) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(Worker(settings).run()) for _ in range(workers)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Gateway:
    """What a gateway says and hears on the wire, by hand."""

    def __init__(self, client: Client, gateway_no: str, keys: KeySet) -> None:
        self.client = client
        self.keys = keys
        self.gateway_no = gateway_no
        self.heard: asyncio.Queue[Envelope] = asyncio.Queue()

    @classmethod
    async def open(cls, url: str, gateway_no: str, keys: KeySet) -> Gateway:
        self = cls(await nats.connect(url), gateway_no, keys)

        async def hear(message: nats.aio.msg.Msg) -> None:
            self.heard.put_nowait(self.keys.unseal(message.data, gateway_no=gateway_no))

        await self.client.subscribe(f"wattwell.{gateway_no}.down", cb=hear)
        await self.client.flush()
        return self

    async def say(self, *entries: Entry, cursor: Cursor | None = None) -> None:
        envelope = pack(Envelope(entries, cursor))
        await self.client.publish(f"wattwell.{self.gateway_no}.up", envelope)
        await self.client.flush()

    async def hear(self, is_it=lambda envelope: True) -> Envelope:
        """The next envelope that is it."""
        async with asyncio.timeout(SOON_S):
            while True:
                envelope = await self.heard.get()
                if is_it(envelope):
                    return envelope

    async def ask(self, *entries: Entry, expect: int) -> None:
        """Says it until the cloud's cursor is there, as a gateway does."""
        async with asyncio.timeout(SOON_S):
            while True:
                await self.say(*entries)
                try:
                    async with asyncio.timeout(0.5):
                        await self.hear(lambda e: e.cursor is not None and e.cursor.seq >= expect)
                except TimeoutError:
                    continue
                return


@pytest.fixture
def trusted(keys) -> KeySet:
    return KeySet([keys.cloud.public_key()])


@pytest.fixture
async def gateway(broker, home, trusted) -> AsyncIterator[Gateway]:
    opened = await Gateway.open(broker.nats_url, home.gateway_no, trusted)
    yield opened
    await opened.client.close()


def charge(home, seq: int, fen: int) -> Entry:
    point, purse = home.electricity, home.electricity_purse
    transfer = Transfer(
        prepaid(purse), income("energy"), Money(fen), Reason.CHARGE, f"{point}:energy:{seq}", NOON
    )
    position = Position(
        Reading("M1", NOON, Decimal(seq), None),
        running=(),
        counted=(),
        fees_until=NOON,
        opened_at=NOON,
        number=seq,
    )
    return Entry(LOG, seq, write_up(Charged(point, position, (transfer,))))


def balance(database, home) -> Money:
    with database.system() as session:
        return ledger.balance(session, home.electricity_purse)


async def test_entries_are_answered_with_the_cursor_after_the_commit(
    database, home, gateway, worker_settings
):
    async with working(worker_settings):
        await gateway.ask(charge(home, 1, 100), charge(home, 2, 50), expect=2)
        assert balance(database, home) == Money(-150)
        await gateway.say(charge(home, 1, 100), charge(home, 2, 50))
        answer = await gateway.hear()
        assert answer.cursor == Cursor(LOG, 2)
    assert balance(database, home) == Money(-150)


async def test_what_the_cloud_decided_comes_down_signed_and_in_order(
    home, gateway, worker_settings, keys
):
    async with working(worker_settings):
        sent = None
        while sent is None:  # until the worker is there
            await gateway.say()
            try:
                async with asyncio.timeout(0.5):
                    sent = await gateway.hear(lambda envelope: len(envelope.entries) > 0)
            except TimeoutError:
                continue
    assert [entry.seq for entry in sent.entries] == [1, 2, 3, 4]
    for entry in sent.entries:
        assert entry.log == home.down_log
        verify(entry, keys.cloud.public_key())
    kinds = [type(read_down(entry.body)) for entry in sent.entries]
    assert kinds == [TariffSet, PointSet, TariffSet, PointSet]


async def test_a_credit_is_sent_at_once_and_again_until_the_gateway_has_it(
    database, home, gateway, worker_settings, order
):
    async with working(worker_settings):
        await gateway.ask(charge(home, 1, 1), expect=1)
        await gateway.say(cursor=Cursor(home.down_log, 4))
        await gateway.hear()
        payment = order("50")
        topups.book(database, payment, channel="sandbox", now=tables.utc_now())

        first = await gateway.hear(lambda envelope: len(envelope.entries) > 0)
        again = await gateway.hear(lambda envelope: len(envelope.entries) > 0)  # 5 s later
        assert first.entries == again.entries
        (entry,) = first.entries
        assert isinstance(read_down(entry.body), Credited)

        await gateway.say(cursor=Cursor(home.down_log, 5))
        await gateway.hear(lambda envelope: not envelope.entries)
    with database.system() as session:
        topup = session.execute(select(tables.TopUp)).scalar_one()
        assert topup.delivered_at is not None


async def test_bytes_that_are_no_envelope_and_unknown_gateways_are_dropped(
    home, gateway, worker_settings, caplog, broker, trusted
):
    stranger = await Gateway.open(broker.nats_url, "GW-nobody", trusted)
    async with working(worker_settings):
        await gateway.ask(charge(home, 1, 1), expect=1)
        for payload in (b"", b"\xff\x00", b"[]", b'{"entries": [{}]}', b"[" * 100000):
            await gateway.client.publish(f"wattwell.{home.gateway_no}.up", payload)
        for _ in range(3):
            await stranger.say(charge(home, 1, 1))
        await gateway.ask(charge(home, 2, 1), expect=2)
    await stranger.client.close()
    assert caplog.text.count("sent no envelope, dropped") == 5
    assert caplog.text.count("GW-nobody is not ours") == 1
    assert stranger.heard.empty()


async def test_a_message_that_cannot_be_kept_beside_others_is_applied_alone(
    database, home, build, worker_settings
):
    other = build("other")
    with database.system() as session:
        session.execute(
            text("UPDATE gateways SET up_log = :log, up_hash = :hash, down_acked = down_seq"),
            {"log": LOG, "hash": NO_ENTRY},
        )

    def said(estate, *totals: int) -> Said:
        entries: list[Entry] = []
        for seq, total in enumerate(totals, 1):  # all of one instant
            message = Read(estate.electricity, Reading("M1", NOON, Decimal(total), None))
            previous = entries[-1].hash() if entries else NO_ENTRY
            entries.append(Entry(LOG, seq, write_up(message), previous=previous))
        cursor = Cursor(estate.down_log, 4)
        return Said(estate.gateway_no, Envelope(tuple(entries), cursor, LOG))

    twice, once = said(home, 1, 2), said(other, 3)
    worker = Worker(worker_settings)

    alone = await worker._apply([twice, once])
    assert (alone, kept(database)) == ([twice], {(other.electricity, 3)})
    assert await worker._apply(alone) == []
    assert kept(database) == {(other.electricity, 3), (home.electricity, 1)}
    with database.system() as session:
        seen = session.execute(text("SELECT up_seq FROM gateways ORDER BY up_seq"))
        assert list(seen.scalars()) == [1, 2]


def kept(database) -> set[tuple[UUID, Decimal]]:
    with database.system() as session:
        return set(map(tuple, session.execute(text("SELECT point_id, total FROM readings"))))


async def test_several_workers_apply_a_log_once(database, home, gateway, worker_settings):
    log = [charge(home, seq, 1) for seq in range(1, 101)]
    async with working(worker_settings, workers=3):
        await gateway.ask(log[0], expect=1)
        for start in range(1, 100, 3):
            await gateway.say(*log[start : start + 5])
        await gateway.ask(*log, expect=100)
    assert balance(database, home) == Money(-100)


async def test_the_database_may_go_away_and_come_back(
    database, home, gateway, worker_settings, caplog, postgres, url
):
    caplog.set_level(logging.INFO)
    name = url.rpartition("/")[2]
    async with working(worker_settings):
        await gateway.ask(charge(home, 1, 1), expect=1)
        with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            await gateway.say(charge(home, 2, 1))
            await _until(lambda: "is away" in caplog.text)
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await gateway.ask(charge(home, 2, 1), expect=2)
    assert balance(database, home) == Money(-2)
    assert "answers again" in caplog.text


async def test_the_broker_may_be_killed_and_started_again(
    database, home, gateway, worker_settings, broker, trusted
):
    async with working(worker_settings):
        await gateway.ask(charge(home, 1, 1), expect=1)
        broker.program.process.kill()
        broker.program.process.wait()
        broker.restart()
        await gateway.client.close()
        again = await Gateway.open(broker.nats_url, home.gateway_no, trusted)
        await again.ask(charge(home, 2, 1), expect=2)
        await again.client.close()
    assert balance(database, home) == Money(-2)


async def _until(is_so) -> None:
    async with asyncio.timeout(SOON_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def test_a_wrong_broker_password_ends_the_worker_with_a_sentence(worker_settings, broker):
    wrong = broker.nats_url.replace("cloud:", "cloud:not-")
    with pytest.raises(CannotStart, match="refuses the user or password in nats_url"):
        asyncio.run(Worker(worker_settings.model_copy(update={"nats_url": wrong})).run())


def test_a_worker_whose_role_sees_everybodys_rows_does_not_start(worker_settings, all_seeing):
    wrong = worker_settings.model_copy(update={"database_url": all_seeing})
    with pytest.raises(CannotStart, match="role postgres is a superuser"):
        asyncio.run(Worker(wrong).run())


async def test_a_worker_goes_on_after_what_nobody_foresaw(
    database, home, gateway, worker_settings, order, caplog
):
    async with working(worker_settings):
        await gateway.ask(charge(home, 1, 1), expect=1)
        async with asyncio.timeout(SOON_S):
            while "listening for new entries failed, it goes on" not in caplog.text:
                with database.system() as session:
                    session.execute(text("SELECT pg_notify(:c, 'no JSON')"), {"c": downlog.CHANNEL})
                await asyncio.sleep(0.1)
        await gateway.say(cursor=Cursor(home.down_log, 4))
        await gateway.hear(lambda envelope: not envelope.entries)
        topups.book(database, order("50"), channel="sandbox", now=tables.utc_now())
        sent = await gateway.hear(lambda envelope: len(envelope.entries) > 0)
        await gateway.ask(charge(home, 2, 1), expect=2)
    assert isinstance(read_down(sent.entries[0].body), Credited)


@contextmanager
def worker_process(settings_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = (
        "import asyncio, sys; from pathlib import Path; from cloud import worker;"
        "from cloud.settings import Settings;"
        "asyncio.run(worker.run(Settings.load(Path(sys.argv[1]))))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(settings_file)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_worker_killed_at_any_moment_loses_and_doubles_nothing(
    database, home, gateway, worker_settings, settings_file
):
    log = [charge(home, seq, seq) for seq in range(1, 61)]
    done = 0
    for end in (30, 60):
        with worker_process(settings_file) as process:
            await gateway.ask(*log[done : done + 3], expect=done + 3)  # it works
            await gateway.say(*log[:end])
            os.kill(process.pid, signal.SIGKILL)
        with database.system() as session:
            done = session.get(tables.Gateway, home.gateway_id).up_seq
        # What is applied is applied whole: 1 + 2 + … + done fen.
        assert balance(database, home) == Money(-done * (done + 1) // 2 if done else 0)
    with worker_process(settings_file) as process:
        await gateway.ask(*log, expect=60)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=SOON_S) == 0
    assert balance(database, home) == Money(-1830)
