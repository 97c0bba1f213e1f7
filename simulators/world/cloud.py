"""The cloud of the world: its own services on PostgreSQL, called as workers, pages and the scheduler call them."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, text, update
from sqlmodel import Session, col

from cloud import tables
from cloud.channels import (
    Payment,
)
from cloud.db import Database
from cloud.services import (
    answers,
    channel_refunds,
    codes,
    downlog,
    emergency,
    overrides,
    plain_readings,
    taps,
    topups,
    uplog,
)
from cloud.services.devices import changes, decisions
from cloud.services.devices.exchanges import Registers
from cloud.services.devices.photos import Picture
from cloud.services.downlog import Batch
from cloud.services.money import refunds, sweeps
from cloud.services.plain_readings import Said
from prepaid.money import ZERO, Money
from prepaid.point import Meter
from prepaid.reading import Supply
from prepaid.wire.downlog import PointSet, TariffSet, Visit
from prepaid.wire.envelope import unpack
from simulators.world.broken import Broken
from simulators.world.company import CHANNEL, Company
from simulators.world.organizations import Estate, publish_tariff
from simulators.world.plan import Plan

CODE_SECRET = "the world's own, which no gateway but its own is given"
LONGEST_PIN = timedelta(days=30)
SWEEP = timedelta(minutes=2)
LOCKED_WITHIN_S = 5.0


class WorkerDies(Exception):
    """A worker is killed before it commits: all that it did is undone, and nobody is answered."""


@dataclass(frozen=True, slots=True)
class Code:
    """Twenty digits, and the credit of a purse that they are for: its number, its transfer, how much."""

    digits: str
    purse: UUID
    number: int
    transfer: UUID
    amount: Money


class Cloud:
    """now gives the cloud's time; send carries a payload down to whoever listens on a gateway's topic."""

    def __init__(
        self,
        database: Database,
        key: Ed25519PrivateKey,
        plan: Plan,
        dice: random.Random,
        *,
        now: Callable[[], datetime],
        send: Callable[[str, bytes], None],
    ) -> None:
        self.database = database
        self._key = key
        self.plan = plan
        self.dice = dice
        self.now = now
        self._send = send
        self.channel: Any = Company(now)  # what else a channel can do nobody asks for here
        self.payments: dict[
            str, tuple[UUID, Payment]
        ] = {}  # by transaction; the purse that it is for
        self.worker_dies = 0.0
        self._heard: dict[str, int] = {}  # so many messages of each gateway
        self._heard_at: dict[str, datetime] = {}
        self._has: dict[str, int] = {}  # of our log, as each gateway said last
        # Purses and points where something was not offered or asked, and how much was heard then.
        self._vain: dict[UUID, int] = {}
        self._meters: dict[UUID, Meter] = {}  # of the points where it was exchanged

    # As a worker does.

    def receive(self, gateway_no: str, payload: bytes) -> None:
        """What cloud.worker.Worker does with a message, each step in its order."""
        self._heard[gateway_no] = self._heard.get(gateway_no, 0) + 1
        envelope = unpack(payload)
        now = self._heard_at[gateway_no] = self.now()
        dies = self.dice.random() < self.worker_dies
        try:
            with self.database.system() as session:
                (answer,) = plain_readings.take(session, [Said(gateway_no, envelope)], now=now)
                gateway_id = None  # of whom nothing is to be sent again
                if answer is None:
                    gateway = uplog.gateway_of(session, gateway_no)
                    assert gateway is not None
                    answer = answers.answer(session, gateway, envelope, now=now)
                    gateway_id, self._has[gateway_no] = gateway.id, gateway.down_acked
                if dies and self.dice.random() < 0.5:
                    raise WorkerDies
        except WorkerDies:
            return
        if not dies:
            self._answer([answer], gateway_id)

    def push(self, gateway_no: str, gateway_id: UUID) -> None:
        """Sends what is due: a worker hears of new entries, and looks again while a gateway has not taken them.

        To one that was not heard of late it would find nothing due.
        """
        heard_at = self._heard_at.get(gateway_no)
        if heard_at is None or self.now() - heard_at > downlog.ONLINE:
            return
        with self.database.system() as session:
            batches = downlog.claim(session, now=self.now(), gateway_id=gateway_id)
        self._answer(batches, gateway_id)

    def _answer(self, batches: Sequence[Batch], gateway_id: UUID | None) -> None:
        for batch in batches:
            self._send(batch.gateway_no, answers.seal(batch, self._key, at=self.now()))
            if batch.entries and gateway_id is not None:
                again_s = downlog.RESEND.total_seconds() + 0.5
                asyncio.get_running_loop().call_later(again_s, self._push_again, batch, gateway_id)

    def _push_again(self, batch: Batch, gateway_id: UUID) -> None:
        if self._has.get(batch.gateway_no, 0) < batch.entries[-1].seq:
            self.push(batch.gateway_no, gateway_id)

    def _soon(self, estate: Estate) -> None:
        asyncio.get_running_loop().call_later(0.05, self.push, estate.gateway_no, estate.gateway_id)

    # As pages and the scheduler do.

    def top_up(self, estate: Estate, purse: int, fen: int, how: str) -> UUID:
        """A customer pays; how tells what becomes of the channel's notice. The top-up's id."""
        key = UUID(int=self.dice.getrandbits(128), version=4)
        for _ in range(2 if how == "asked twice" else 1):
            topup = topups.create(
                self.database,
                self.channel,
                organization_id=estate.organization_id,
                account_id=estate.accounts[0],
                purse_id=estate.purses[purse],
                amount=Money(fen),
                idempotency_key=key,
                page_url="http://cloud.test/t",
            )
        if how == "lost":
            self._date(topup.id)
        transaction = f"{len(self.payments)}-{topup.id}"
        payment = Payment(topup.out_trade_no, transaction, Money(fen), self.now())
        self.channel.paid[topup.out_trade_no] = payment
        self.payments[transaction] = (estate.purses[purse], payment)
        if how == "at once":
            self._at_once(payment)
        for _ in range({"lost": 0, "at once": 0, "twice": 2}.get(how, 1)):
            topups.book(self.database, payment, channel=CHANNEL, now=self.now())
        self._soon(estate)
        return topup.id

    def _date(self, topup: UUID) -> None:
        """It was ordered now, by the time of this world: the sweep goes by that."""
        with self.database.system() as session:
            row = tables.TopUp
            session.execute(update(row).where(col(row.id) == topup).values(created_at=self.now()))

    def code(self, topup: UUID) -> Code | None:
        """The code of a top-up, as its customer's page shows it; None once it has come to the gateway."""
        with self.database.system() as session:
            try:
                issued = codes.issue(session, topup, code_secret=CODE_SECRET, now=self.now())
            except codes.HasArrived:
                return None
            row = session.get_one(tables.TopUp, topup)
            assert row.credit_number is not None
            transfer = session.execute(
                select(col(tables.Credit.transfer_id)).where(
                    col(tables.Credit.purse_id) == row.purse_id,
                    col(tables.Credit.number) == row.credit_number,
                )
            ).scalar_one()
            return Code(issued.code, row.purse_id, row.credit_number, transfer, issued.amount)

    def borrow(self, estate: Estate, purse: int) -> bool:
        """Whether emergency credit was offered, and is taken, on the customer's page."""
        id = estate.purses[purse]
        if self._is_vain(estate, id):
            return False
        try:
            with self.database.organization(estate.organization_id) as session:
                emergency.take(session, id, by=emergency.By.CUSTOMER, now=self.now())
        except emergency.NotOffered:
            self._vain[id] = self._heard.get(estate.gateway_no, 0)
            return False
        self._soon(estate)
        return True

    def close_taps(self, estate: Estate, point: UUID) -> bool:
        """Whether it was asked for; then the customer says so on the page."""
        if self._is_vain(estate, point):
            return False
        try:
            with self.database.organization(estate.organization_id) as session:
                taps.confirm(session, point, now=self.now())
        except taps.NotAsked:
            self._vain[point] = self._heard.get(estate.gateway_no, 0)
            return False
        self._soon(estate)
        return True

    def _is_vain(self, estate: Estate, id: UUID) -> bool:
        """Whether the page would say what it said before: it goes by what the gateway has told."""
        return self._vain.get(id) == self._heard.get(estate.gateway_no, 0)

    def refund(self, estate: Estate, purse: int, percent: int) -> None:
        """Asks for a part of what can be given back, by the ways it came."""
        with self.database.organization(estate.organization_id) as session:
            row = session.get_one(tables.Purse, estate.purses[purse])
            most = refunds.most_of(session, row)
            amount = Money(most.fen * percent // 100)
            if amount == ZERO:
                return
            refunds.request(
                session,
                estate.operator,
                row.id,
                amount,
                refunds.How.SOURCE,
                "the weather",
                self.now(),
            )
        self._soon(estate)

    def give_back(self) -> None:
        """The scheduler asks the channel for what the gateways have booked."""
        channel_refunds.sweep(
            self.database, {CHANNEL: self.channel}, now=self.now(), is_stopping=lambda: False
        )

    def _at_once(self, payment: Payment) -> None:
        """Two web programs are given one notice: the second meets what the first has not yet committed."""
        arrived: list[bool] = []
        now = self.now()
        other = threading.Thread(
            target=lambda: arrived.append(
                topups.book(self.database, payment, channel=CHANNEL, now=now)
            )
        )
        with self.database.system() as session:
            topups.confirm(session, payment, channel=CHANNEL, now=now)
            session.flush()
            other.start()
            self._wait_until_it_waits(session, other)
        other.join()
        if arrived != [True]:
            raise Broken("payments", f"{payment} came twice at once, and the second is not known")

    def _wait_until_it_waits(self, session: Session, other: threading.Thread) -> None:
        """Until the database says that somebody waits for us, or nobody had to."""
        end = time.monotonic() + LOCKED_WITHIN_S
        while other.is_alive() and time.monotonic() < end:
            waiting = session.execute(
                text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            ).scalar_one()
            if waiting:
                return
            time.sleep(0.001)

    def sweep(self) -> int:
        """The scheduler asks the channel about orders whose notice never came."""
        return sweeps.sweep(
            self.database, {CHANNEL: self.channel}, now=self.now(), is_stopping=lambda: False
        )

    def pin(self, estate: Estate, point: int, supply: Supply, until: datetime) -> None:
        id = estate.points[point].id
        with self.database.organization(estate.organization_id) as session:
            standing = overrides.in_force(session, id, now=self.now())
            try:
                overrides.pin(
                    session,
                    id,
                    supply=supply,
                    until=until,
                    why="the weather",
                    instead_of=standing.id if standing else None,
                    by=estate.operator,
                    longest=LONGEST_PIN,
                    now=self.now(),
                )
            except overrides.Protected:
                return
        self._soon(estate)

    def unpin(self, estate: Estate, point: int) -> None:
        id = estate.points[point].id
        with self.database.organization(estate.organization_id) as session:
            standing = overrides.in_force(session, id, now=self.now())
            if standing is not None:
                overrides.end(session, id, standing.id, by=estate.operator, now=self.now())
        self._soon(estate)

    def release_brake(self, estate: Estate) -> bool:
        """Whether there was one to release."""
        with self.database.organization(estate.organization_id) as session:
            try:
                overrides.release_brake(
                    session, estate.gateway_id, by=estate.operator, now=self.now()
                )
            except overrides.NotBraked:
                return False
        self._soon(estate)
        return True

    def change_tariff(self, estate: Estate, point: int) -> None:
        """From its next reading on a point is charged by another document."""
        commodity = estate.commodities[point]
        document = self.plan.tariffs[f"{commodity}-2"]
        with self.database.system() as session:
            published = publish_tariff(session, estate.organization_id, document)
            (gateway,) = downlog.lock(session, [estate.gateway_id])
            row = session.get_one(tables.ServicePoint, estate.points[point].id)
            row.tariff_id = published.id
            session.add(row)
            meter = self._meters.get(estate.points[point].id, estate.points[point].meter)
            changed = replace(estate.points[point], tariff=f"{commodity}-2", meter=meter)
            downlog.append(session, gateway, [TariffSet(document), PointSet(changed)])
        self._soon(estate)

    def exchange(self, estate: Estate, place: int, *, closing: Decimal, opening: Decimal) -> str:
        """A technician writes down what the old meter shows and the new one, and whether the old one went past its
        last digit since what the page says is charged; the new one's address."""
        point, now = estate.points[place], self.now()
        new = replace(point.meter, meter_no=(no := _next_number(point.meter.meter_no)), address=no)
        with self.database.organization(estate.organization_id) as session:
            row = session.get_one(tables.ServicePoint, point.id)
            charged = decisions.last_charged(session, row)
            rounds = int(charged is not None and closing < charged.reading.total)
            changes.change_meter(
                session,
                point.id,
                new,
                Registers(closing, now, opening, now, rounds),
                model=None,
                why="the weather",
                pictures=[Picture("closing", b"\x89PNG\r\n\x1a\n")],
                by=estate.operator,
                now=now,
            )
        self._meters[point.id] = new
        self._soon(estate)
        return new.address

    def visit_all(self, estate: Estate) -> None:
        with self.database.system() as session:
            (gateway,) = downlog.lock(session, [estate.gateway_id])
            downlog.append(session, gateway, [Visit(point.id) for point in estate.points])
        self._soon(estate)


def _next_number(meter_no: str) -> str:
    """A number of the same make that no meter of this world has."""
    return f"{int(meter_no[:4]) + 1000:04}{meter_no[4:]}"
