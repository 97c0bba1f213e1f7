"""Applies what gateways send and sends them what was decided. Run as many as needed: any serves any gateway."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session

from cloud import metrics
from cloud.db import Database, check_role, connect_args, is_away
from cloud.errors import CannotStart, first_line
from cloud.services import answers, downlog, plain_readings, uplog
from cloud.services.downlog import Batch
from cloud.services.operation import readiness
from cloud.services.operation.readiness import BEAT
from cloud.services.plain_readings import Said
from cloud.settings import Settings
from cloud.tables import utc_now
from prepaid.wire.envelope import Envelope, unpack
from prepaid.wire.message import BadMessage

log = logging.getLogger(__name__)

UP = "wattwell.*.up"
QUEUE = "workers"
AT_ONCE = 4
TOGETHER = 4  # messages in one transaction: all that is kept of them is locked until its end
WAITING_MOST = 1000
SWEEP_S = 1.0
RECONNECT_S = 1


async def run(settings: Settings) -> None:
    """Works until told to stop by SIGTERM or SIGINT, and through restarts of broker and database.

    Raises CannotStart if the broker refuses the password, or row-level security does not bind our role.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics.serve(settings, metrics.WORKER)
    worker = Worker(settings)
    work = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not work.done():
        work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    if not work.cancelled() and (error := work.exception()) is not None:
        raise error


class Worker:
    """One worker's connections: the broker, the database, and a connection that listens for new entries."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database_url, connections=AT_ONCE + 2)
        self._broker = Client()
        self._waiting: asyncio.Queue[Msg] = asyncio.Queue(WAITING_MOST)
        self._unknown: set[str] = set()
        self._revoked: set[str] = set()
        self._is_away = False
        self._name = f"{socket.gethostname()}-{os.getpid()}"

    async def run(self) -> None:
        """Works until cancelled. Raises CannotStart if the broker refuses us, or the database's role is wrong."""
        try:
            await self._connect()
            await self._check_role()
            # What is there now stays: it need not be looked through again at each message of many entries.
            gc.collect()
            gc.freeze()
            try:
                await self._serve()
            finally:
                # What was not answered is sent again by the gateway.
                await self._broker.close()
        finally:
            self._database.close()

    async def _serve(self) -> None:
        await self._broker.subscribe(UP, queue=QUEUE, cb=self._waiting.put)
        log.info("serving %s, database %s", UP, self._database.where)
        async with asyncio.TaskGroup() as group:
            group.create_task(_again_and_again("listening for new entries", self._listen))
            group.create_task(_again_and_again("sending again", self._resend))
            group.create_task(_again_and_again("saying that it works", self._beat))
            for _ in range(AT_ONCE):
                group.create_task(_again_and_again("taking messages", self._take))

    async def _connect(self) -> None:
        """Waits for the broker. Raises CannotStart if it refuses us."""
        is_away = False
        while True:
            # By itself the client would go on for ever, also with a wrong password; so try first without.
            trial = Client()
            try:
                await trial.connect(
                    self._settings.nats_url, allow_reconnect=False, error_cb=self._broker_error
                )
                await trial.close()
                break
            except (OSError, NatsError) as error:
                if "authorization" in str(error).lower():
                    raise CannotStart(
                        "The broker refuses the user or password in nats_url."
                    ) from None
                if not is_away:
                    log.warning("the broker does not answer: %s", first_line(error))
                is_away = True
                await asyncio.sleep(RECONNECT_S)
        await self._broker.connect(
            self._settings.nats_url,
            name="wattwell worker",
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_S,
            error_cb=self._broker_error,
            disconnected_cb=self._broker_lost,
            reconnected_cb=self._broker_back,
        )

    async def _check_role(self) -> None:
        """Waits for the database. Raises CannotStart."""
        while True:
            try:
                return await asyncio.to_thread(check_role, self._database)
            except OperationalError as error:
                self._database_away(error)
                await asyncio.sleep(RECONNECT_S)

    async def _broker_error(self, error: Exception) -> None:
        log.debug("broker: %s", error)

    async def _broker_lost(self) -> None:
        if not self._broker.is_closed and not self._broker.is_draining:
            log.warning("the broker is away")

    async def _broker_back(self) -> None:
        log.info("the broker answers again")

    async def _take(self) -> None:
        """Applies and answers the next messages: what waits is shared among us, a few at a time."""
        messages = [await self._waiting.get()]
        for _ in range(min(TOGETHER - 1, self._waiting.qsize() // AT_ONCE)):
            messages.append(self._waiting.get_nowait())
        metrics.WAITING.set(self._waiting.qsize())
        said = [one for message in messages if (one := _unpacked(message)) is not None]
        if said:
            for one in await self._apply(said):
                await self._apply([one])

    async def _apply(self, said: Sequence[Said]) -> Sequence[Said]:
        """Applies and answers what can be applied together, or one message; those that are to be applied alone."""
        began = time.perf_counter()
        try:
            found = await asyncio.to_thread(self._receive, said)
        except Exception as error:
            if isinstance(error, DBAPIError) and is_away(error):
                self._database_away(error)
            elif len(said) > 1:
                log.warning("messages are applied one by one: together %s", first_line(error))
                return said
            else:
                log.exception("a message of gateway %s could not be applied", said[0].gateway_no)
            metrics.MESSAGES.labels("failed").inc(len(said))  # the gateways send it again
            return ()
        self._database_back()
        alone = []
        for one, answer in zip(said, found, strict=True):
            if answer is None and len(said) > 1:
                alone.append(one)
                continue
            metrics.MESSAGE_SECONDS.observe(time.perf_counter() - began)
            metrics.MESSAGES.labels("ignored" if answer is None else "taken").inc()
            if answer is not None:
                metrics.ENTRIES.inc(len(one.envelope.entries))
                await self._send(answer)
        return alone

    def _receive(self, said: Sequence[Said]) -> list[Batch | None]:
        """What to answer to each, once all is committed: nothing to a gateway that is not ours, nor to a message that
        came with others and is to be applied alone."""
        now = utc_now()
        with self._database.system() as session:
            found = plain_readings.take(session, said, now=now)
            if found == [None]:
                found = [self._answer(session, *said[0], now=now)]
        return found

    def _answer(
        self, session: Session, gateway_no: str, envelope: Envelope, *, now: datetime
    ) -> Batch | None:
        gateway = uplog.gateway_of(session, gateway_no)
        if gateway is None:
            if gateway_no not in self._unknown and len(self._unknown) < WAITING_MOST:
                self._unknown.add(gateway_no)
                log.warning("gateway %s is not ours; what it sends is ignored", gateway_no)
            return None
        if gateway.revoked_at is not None:
            if gateway_no not in self._revoked:
                self._revoked.add(gateway_no)
                log.warning(
                    "gateway %s speaks though it was revoked; what it sends is ignored", gateway_no
                )
            return None
        self._revoked.discard(gateway_no)
        return answers.answer(session, gateway, envelope, now=now)

    async def _send(self, batch: Batch) -> None:
        payload = answers.seal(batch, self._settings.signing_key, at=utc_now())
        try:
            await self._broker.publish(f"wattwell.{batch.gateway_no}.down", payload)
            metrics.SENT.inc()
        except NatsError as error:
            # It is sent again while the gateway's cursor does not move.
            log.debug("gateway %s was not answered: %s", batch.gateway_no, error)

    async def _listen(self) -> None:
        """Sends entries as soon as they are committed, whoever wrote them, until the database is away."""
        try:
            async with await psycopg.AsyncConnection.connect(
                autocommit=True,
                **connect_args(self._settings.database_url),  # type: ignore[arg-type]
            ) as connection:
                await connection.execute(f"LISTEN {downlog.CHANNEL}")
                self._database_back()
                async for notify in connection.notifies():
                    await self._send_due(UUID(json.loads(notify.payload)))
        except psycopg.OperationalError as error:
            self._database_away(error)
            await asyncio.sleep(RECONNECT_S)

    async def _resend(self) -> None:
        """Sends again what gateways online have not taken: messages get lost, and so do workers."""
        await asyncio.sleep(SWEEP_S)
        await self._send_due(None)

    async def _beat(self) -> None:
        """Says in the database that this worker works, for /health/ready."""
        try:
            await asyncio.to_thread(self._note_beat)
        except DBAPIError as error:
            if not is_away(error):
                raise
            self._database_away(error)
        await asyncio.sleep(BEAT.total_seconds())

    def _note_beat(self) -> None:
        with self._database.system() as session:
            readiness.beat(session, self._name, has_broker=self._broker.is_connected, now=utc_now())

    async def _send_due(self, gateway_id: UUID | None) -> None:
        if not self._broker.is_connected:
            return
        try:
            batches = await asyncio.to_thread(self._claim, gateway_id)
        except DBAPIError as error:
            if not is_away(error):
                raise
            self._database_away(error)
            return
        self._database_back()
        for batch in batches:
            await self._send(batch)

    def _claim(self, gateway_id: UUID | None) -> list[Batch]:
        with self._database.system() as session:
            return downlog.claim(session, now=utc_now(), gateway_id=gateway_id)

    def _database_away(self, error: Exception) -> None:
        if not self._is_away:
            log.warning("the database at %s is away: %s", self._database.where, first_line(error))
        self._is_away = True

    def _database_back(self) -> None:
        if self._is_away:
            log.info("the database at %s answers again", self._database.where)
        self._is_away = False


def _unpacked(message: Msg) -> Said | None:
    """None if it is no envelope."""
    gateway_no = message.subject.split(".")[1]
    try:
        return Said(gateway_no, unpack(message.data))
    except BadMessage as error:
        log.warning("gateway %s sent no envelope, dropped: %s", gateway_no, first_line(error))
        metrics.MESSAGES.labels("no envelope").inc()
        return None


async def _again_and_again(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """One part of the worker, until cancelled: what nobody foresaw must not end the other parts."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("%s failed, it goes on", what)
            await asyncio.sleep(RECONNECT_S)
