"""Transfers through services.ledger.post, against the least SQL that would write the same rows.

In batches: against one INSERT … SELECT of a JSON text for transfers, and one upsert each for balances and daily
charges. One by one: a whole top-up, confirmed (locked and found not to be paid yet, booked, numbered, told to its
gateway, to open pages and to webhooks) and committed, against an INSERT, an UPDATE and a commit.

    python -m benchmarks --only ledger
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from uuid import uuid4

from benchmarks.cloud import FEN, Cloud, opened, order
from benchmarks.figure import Figure
from cloud.channels import Payment
from cloud.services import ledger, topups
from prepaid.ledger import Reason, Transfer, clearing, income, prepaid
from prepaid.money import Money

POINTS = 64
BATCH, BATCHES = 500, 6
SINGLES = 200

_TRANSFERS = """
    INSERT INTO transfers (id, organization_id, debit, credit, amount_fen, reason, cause, at, posted_at)
    SELECT t.id, %s, t.debit, t.credit, t.fen, t.reason, t.cause, t.at, now()
    FROM json_to_recordset(%s::json) AS t
        (id uuid, debit text, credit text, fen bigint, reason text, cause text, at timestamptz)
"""
_BALANCES = """
    INSERT INTO balances AS b (organization_id, purse_id, balance_fen)
    SELECT %s, t.purse, -sum(t.fen) FROM json_to_recordset(%s::json) AS t (purse uuid, fen bigint) GROUP BY 2
    ON CONFLICT (purse_id) DO UPDATE SET balance_fen = b.balance_fen + excluded.balance_fen
"""
_CHARGES = """
    INSERT INTO daily_charges AS c (organization_id, purse_id, day, charged_fen)
    SELECT %s, t.purse, t.at::date, sum(t.fen)
    FROM json_to_recordset(%s::json) AS t (purse uuid, at timestamptz, fen bigint) GROUP BY 2, 3
    ON CONFLICT (purse_id, day) DO UPDATE SET charged_fen = c.charged_fen + excluded.charged_fen
"""


def charges(cloud: Cloud) -> list[Transfer]:
    now = datetime.now(UTC)
    purses = cloud.purses
    return [
        Transfer(
            prepaid(purses[n % len(purses)]),
            income("energy"),
            Money(1 + n),
            Reason.CHARGE,
            str(uuid4()),
            now,
        )
        for n in range(BATCH)
    ]


def post(cloud: Cloud, transfers: list[Transfer]) -> None:
    with cloud.database.system() as session:
        ledger.post(session, cloud.organization_id, transfers)


def write(cloud: Cloud, transfers: list[Transfer]) -> None:
    rows = json.dumps(
        [
            {
                "id": str(one.id),
                "purse": one.debit.rpartition(":")[2],
                "debit": one.debit,
                "credit": one.credit,
                "fen": one.amount.fen,
                "reason": one.reason.value,
                "cause": one.cause,
                "at": one.at.isoformat(),
            }
            for one in transfers
        ]
    )
    for statement in (_TRANSFERS, _BALANCES, _CHARGES):
        cloud.raw.execute(statement, (cloud.organization_id, rows))  # type: ignore[arg-type]
    cloud.raw.commit()


def top_up(cloud: Cloud) -> Transfer:
    book = prepaid(cloud.purses[0])
    return Transfer(
        clearing("cash"), book, Money(5000), Reason.TOP_UP, str(uuid4()), datetime.now(UTC)
    )


def confirm(cloud: Cloud, payment: Payment) -> None:
    """As the handler of a channel's callback does."""
    with cloud.database.system() as session:
        topups.confirm(session, payment, channel="sandbox", now=datetime.now(UTC))


def payments(cloud: Cloud) -> list[Payment]:
    """For SINGLES new orders."""
    now = datetime.now(UTC)
    ordered = [order(cloud, number) for number in range(SINGLES)]
    return [Payment(one.out_trade_no, one.id.hex, Money(FEN), now) for one in ordered]


def two_rows(cloud: Cloud, one: Transfer) -> None:
    cloud.raw.execute(
        "INSERT INTO transfers (id, organization_id, debit, credit, amount_fen, reason, cause, at, posted_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now())",
        (
            *(one.id, cloud.organization_id, one.debit, one.credit, one.amount.fen),
            *(one.reason.value, one.cause, one.at),
        ),
    )
    cloud.raw.execute(
        "UPDATE balances SET balance_fen = balance_fen + %s WHERE purse_id = %s",
        (one.amount.fen, cloud.purses[0]),
    )
    cloud.raw.commit()


def figures(rounds: int) -> list[Figure]:
    batches: list[float] = []
    singles: list[float] = []
    with opened(POINTS) as cloud:
        post(cloud, [top_up(cloud)])
        paid = [payments(cloud) for _ in range(rounds)]
        cloud.raw.execute("ANALYZE")  # as the server does by itself within minutes
        cloud.raw.commit()
        for round_payments in paid:
            mine = [charges(cloud) for _ in range(BATCHES)]
            others = [charges(cloud) for _ in range(BATCHES)]
            began = time.perf_counter()
            for batch in mine:
                post(cloud, batch)
            ours = time.perf_counter() - began
            began = time.perf_counter()
            for batch in others:
                write(cloud, batch)
            batches.append((time.perf_counter() - began) / ours)
            our_times, raw_times = [], []
            for payment in round_payments:
                other = top_up(cloud)
                began = time.perf_counter()
                confirm(cloud, payment)
                our_times.append(time.perf_counter() - began)
                began = time.perf_counter()
                two_rows(cloud, other)
                raw_times.append(time.perf_counter() - began)
            singles.append(_p99(our_times) / _p99(raw_times))
    return [
        Figure(
            "cloud",
            f"ledger, batches of {BATCH} transfers",
            tuple(batches),
            against="set-based SQL",
            bar=0.4,
            unit=" ×",
        ),
        Figure(
            "cloud",
            "a whole top-up committed, p99",
            tuple(singles),
            against="p99 of a raw two-row commit",
            bar=3.0,
            is_most=True,
            unit=" ×",
        ),
    ]


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]
