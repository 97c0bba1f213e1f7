"""What a database says in sums: by which a restored one is compared with the one that was backed up."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

Books = dict[str, Any]

_TRIAL = """
    SELECT book, sum(fen)::bigint FROM (
        SELECT debit AS book, -amount_fen AS fen FROM transfers
        UNION ALL SELECT credit, amount_fen FROM transfers
    ) t GROUP BY book ORDER BY book COLLATE "C"
"""
_WRONG_BALANCES = """
    SELECT count(*) FROM (
        SELECT substr(book, 21)::uuid AS purse_id, sum(fen) AS fen FROM (
            SELECT debit AS book, -amount_fen AS fen FROM transfers
            UNION ALL SELECT credit, amount_fen FROM transfers
        ) t WHERE book LIKE 'Liabilities:Prepaid:%' GROUP BY book
    ) f FULL JOIN balances b ON b.purse_id = f.purse_id
    WHERE coalesce(b.balance_fen, 0) <> coalesce(f.fen, 0)
"""
_HEADS = """
    SELECT gateway_no, up_log, up_seq, up_hash, down_seq, down_acked FROM gateways
    ORDER BY gateway_no COLLATE "C"
"""


def books(connection: psycopg.Connection[Any], tables: Sequence[str]) -> Books:
    """Rows of each table; the trial balance by root and as a hash; balances that are not what their transfers add up
    to; and a hash of where the gateways' logs stand."""
    trial = connection.execute(_TRIAL).fetchall()
    roots: dict[str, int] = {}
    for book, fen in trial:
        root = book.partition(":")[0]
        roots[root] = roots.get(root, 0) + fen
    (wrong,) = _one(connection, _WRONG_BALANCES)
    return {
        "rows": {table: _count(connection, table) for table in tables},
        "trial_balance_fen": roots,
        "trial_balance": _hash(trial),
        "wrong_balances": wrong,
        "gateways": _hash(connection.execute(_HEADS).fetchall()),
    }


def differences(found: Books, expected: Books) -> list[str]:
    """A sentence for each thing that differs."""
    said = []
    for table, count in expected["rows"].items():
        if (has := found["rows"].get(table)) != count:
            said.append(f"table {table} has {has} rows, and had {count}")
    for name, what in (
        ("trial_balance", "the trial balance is another"),
        ("wrong_balances", "other balances differ from what their transfers add up to"),
        ("gateways", "the gateways' logs stand elsewhere"),
    ):
        if found[name] != expected[name]:
            said.append(what)
    return said


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    (count,) = _one(connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
    return int(count)


def _one(connection: psycopg.Connection[Any], query: Any) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(row)


def _hash(rows: list[tuple[Any, ...]]) -> str:
    text = "\n".join("|".join(map(str, row)) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()
