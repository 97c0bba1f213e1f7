"""An office with two people and one customer, whose gateway is a ledger that the test plays."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.channels import Payment
from cloud.db import Database
from cloud.permissions import Role
from cloud.services import channel_refunds, ledger, topups
from cloud.services.approvals import decide, listed
from cloud.services.money import counter, rules, shifts, withdrawal_answers, withdrawals
from cloud.services.money.rules import Rules
from prepaid.ledger import Reason, Transfer, income, prepaid
from prepaid.money import ZERO, Money
from prepaid.wire.downlog import Credited, Withdraw, read_down
from prepaid.wire.uplog import Refusal, Withdrawn
from tests.cloud.conftest import NOON, Estate, FakeChannel


def yuan(text: str) -> Money:
    return Money.yuan(text)


@dataclass
class Office:
    """boss is the estate's administrator, cashier takes money; rules let refunds up to ¥500 go by one person."""

    database: Database
    home: Estate
    boss: SignedIn
    cashier: SignedIn
    now: datetime = NOON
    used: Money = ZERO  # at the gateway, and not told yet
    charges: int = 0
    answers: dict[UUID, Refusal | None] = field(default_factory=dict)

    @classmethod
    def of(cls, database: Database, home: Estate) -> Office:
        people = []
        with database.system() as session:
            for login, role in (("boss", Role.ADMINISTRATOR), ("cashier", Role.CASHIER)):
                user = tables.User(
                    organization_id=home.organization_id,
                    login=login,
                    name=login,
                    roles=[role.value],
                    is_everywhere=True,
                )
                session.add(user)
                session.flush()
                people.append(
                    SignedIn(user.id, home.organization_id, login, login, frozenset({role}))
                )
        office = cls(database, home, *people)
        office.rule(Rules(alone=yuan("500")))
        return office

    def session(self) -> AbstractContextManager[Session]:
        return self.database.organization(self.home.organization_id)

    def rule(self, wanted: Rules) -> None:
        with self.session() as session:
            rules.save(session, self.boss, wanted, now=self.now)

    # Money in.

    def open_shift(self, by: SignedIn | None = None, float_: str = "0") -> None:
        with self.session() as session:
            shifts.open_(session, by or self.cashier, yuan(float_), now=self.now)

    def take(self, amount: str, *, way: str = "cash", by: SignedIn | None = None) -> UUID:
        """Money taken at the counter for electricity: the top-up."""
        with self.session() as session:
            topup = counter.take(
                session,
                by or self.cashier,
                self.purse,
                amount=yuan(amount),
                way=way,
                voucher="" if way == "cash" else str(uuid4()),
                idempotency_key=uuid4(),
            )
            return topup.id

    def pay(self, channel: FakeChannel, amount: str) -> UUID:
        """Money paid through the channel for electricity: the top-up."""
        topup = topups.create(
            self.database,
            channel,
            organization_id=self.home.organization_id,
            account_id=self.home.account_id,
            purse_id=self.purse,
            amount=yuan(amount),
            idempotency_key=uuid4(),
            page_url="http://cloud.test",
        )
        payment = Payment(topup.out_trade_no, f"T{topup.id.hex[:20]}", yuan(amount), self.now)
        with self.database.system() as session:
            topups.confirm(session, payment, channel=channel.name, now=self.now)
        return topup.id

    def charge(self, amount: str) -> None:
        """The customer uses supply, and the gateway tells it."""
        self.charges += 1
        used = Transfer(
            prepaid(self.purse),
            income("energy"),
            yuan(amount),
            Reason.CHARGE,
            f"p:energy:{self.charges}",
            self.now,
        )
        with self.database.system() as session:
            ledger.post(session, self.home.organization_id, [used])

    @property
    def purse(self) -> UUID:
        return self.home.electricity_purse

    # The gateway.

    def gateway(self, *, used: str = "0") -> list[str]:
        """The gateway applies all that it was sent, having used this much that the cloud has not heard of; each
        answer as it was given: booked, or the refusal."""
        balance, said = -yuan(used), []
        charged = self._charged()
        with self.database.system() as session:
            gateway = session.get_one(
                tables.Gateway, self.home.gateway_id, with_for_update={"key_share": True}
            )
            for body in self._entries(session):
                match read_down(body):
                    case Credited(transfer=transfer) if transfer.credit == prepaid(self.purse):
                        balance += transfer.amount
                    case Withdraw(transfer=transfer) if transfer.debit == prepaid(self.purse):
                        is_there = balance - charged >= transfer.amount
                        is_new = transfer.id not in self.answers
                        refusal = self.answers.setdefault(
                            transfer.id, None if is_there else Refusal.SHORT
                        )
                        if refusal is None:
                            balance -= transfer.amount
                        if is_new:
                            said.append("booked" if refusal is None else refusal.value)
                        answer = Withdrawn(
                            self.purse, transfer, refusal, balance - charged, self.now
                        )
                        withdrawal_answers.answered(session, gateway, answer, now=self.now)
        return said

    def _charged(self) -> Money:
        with self.session() as session:
            rows = ledger.transfers_of(session, prepaid(self.purse))
        return sum((t.amount for t in rows if t.reason is Reason.CHARGE), ZERO)

    def _entries(self, session: Session) -> list[str]:
        row = tables.DownEntry
        found = session.execute(
            select(col(row.body))
            .where(col(row.gateway_id) == self.home.gateway_id)
            .order_by(col(row.seq))
        ).scalars()
        return list(found)

    # A second person, and the channel.

    def decide(self, *, approved: bool = True, by: SignedIn | None = None) -> None:
        """The boss decides on what is proposed."""
        with self.session() as session:
            for waiting in listed(session, by or self.boss, is_open=True):
                decide(
                    session,
                    by or self.boss,
                    waiting.id,
                    approved=approved,
                    why="seen",
                    now=self.now,
                )

    def sweep(self, channel: FakeChannel) -> int:
        return channel_refunds.sweep(
            self.database, {channel.name: channel}, now=self.now, is_stopping=lambda: False
        )

    def follow_up(self) -> int:
        return withdrawal_answers.follow_up(self.database, now=self.now)

    # What is so.

    def books(self) -> dict[str, str]:
        """Every book that holds something: credits less debits, in yuan. The purses by their purposes."""
        with self.session() as session:
            rows = session.execute(select(tables.Transfer)).scalars().all()
        totals: Counter[str] = Counter()
        for row in rows:
            totals[row.credit] += row.amount_fen
            totals[row.debit] -= row.amount_fen
        names = {
            prepaid(self.home.electricity_purse): "electricity",
            prepaid(self.home.water_purse): "water",
        }
        assert sum(totals.values()) == 0
        return {names.get(n, n): str(Money(fen)) for n, fen in sorted(totals.items()) if fen}

    def balance(self, purse: UUID | None = None) -> Money:
        with self.session() as session:
            return ledger.balance(session, purse or self.purse)

    def state(self, withdrawal: UUID) -> str:
        with self.session() as session:
            return withdrawals.state(session.get_one(tables.Withdrawal, withdrawal)).value


EARLY = datetime(2026, 1, 1, tzinfo=UTC)
