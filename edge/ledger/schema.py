"""The shape of the gateway's ledger, and how a ledger of an earlier version is brought to it, in place."""

from __future__ import annotations

import sqlite3
from uuid import UUID, uuid4

from prepaid.wire.entry import NO_ENTRY, Entry

VERSION = 5

_BY_HAND = (
    """
    CREATE TABLE credit (             -- of a purse, the last that came from the cloud
        book   TEXT PRIMARY KEY,
        number INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE typed (              -- 离线充值码: credit by a code, until the cloud's own comes
        book       TEXT,
        number     INTEGER,
        amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
        at         TEXT NOT NULL,
        PRIMARY KEY (book, number)
    )
    """,
    """
    CREATE TABLE wrong_codes (        -- one row while there are any: how many since the last right one
        id      INTEGER PRIMARY KEY CHECK (id = 1),
        count   INTEGER NOT NULL,
        last_at TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE lent (               -- 应急额度 that is taken and not paid back
        purse TEXT PRIMARY KEY,
        at    TEXT NOT NULL,
        by    TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE off (                -- supplies that are off
        point          TEXT PRIMARY KEY,
        since          TEXT,            -- NULL: nobody knows
        taps_closed_at TEXT             -- when they were said to be closed
    )
    """,
)
"""What people do without the internet, since version 3."""

_WITHDRAWN = "CREATE TABLE withdrawn (id TEXT PRIMARY KEY, body TEXT NOT NULL)"  # 支取: what each was answered
"""What the cloud asked for out of purses, since version 4."""

_LINKED = "CREATE TABLE linked (point TEXT PRIMARY KEY, body TEXT NOT NULL)"  # 对号: what was there before
"""Meters that a technician made a point's, since version 5."""

SCHEMA = """
CREATE TABLE gateway (            -- one row: who we are, and how far the two logs are
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  gateway_no TEXT NOT NULL,
  log        TEXT NOT NULL,       -- our log; a new store is a new log
  acked      INTEGER NOT NULL,    -- the cloud's cursor in it
  cloud_log  TEXT,                -- the cloud's log, pinned at the first entry that verified
  cloud_seq  INTEGER NOT NULL,    -- our cursor in it
  instead_of TEXT,                -- the log that ours goes on from, if it took over
  hold       TEXT                 -- why nothing is read, charged or switched; NULL while all is well
);
CREATE TABLE point    (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE tariff   (code TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE position (point TEXT PRIMARY KEY, body TEXT NOT NULL);   -- 结算位置
CREATE TABLE history  (point TEXT PRIMARY KEY, body TEXT NOT NULL);   -- what is known of its register beside it
CREATE TABLE transfer (           -- 凭证, never changed
  id         TEXT PRIMARY KEY,
  debit      TEXT NOT NULL,
  credit     TEXT NOT NULL,
  amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
  reason     TEXT NOT NULL,
  cause      TEXT NOT NULL,
  at         TEXT NOT NULL
);
CREATE TABLE carried  (book TEXT PRIMARY KEY, fen INTEGER NOT NULL);  -- charges that are no longer kept
CREATE TABLE balance  (book TEXT PRIMARY KEY, fen INTEGER NOT NULL);  -- carried, and the fold of transfer, typed
CREATE TABLE supply   (           -- what the cloud was last told of each point's supply
  point        TEXT PRIMARY KEY,
  seen         TEXT,
  wanted       TEXT,
  why          TEXT NOT NULL,
  commanded_at TEXT
);
CREATE TABLE intent   (           -- a switch command that is about to be sent, until it is read back
  point        TEXT PRIMARY KEY,
  supply       TEXT NOT NULL,
  sent_at      TEXT NOT NULL,
  commanded_at TEXT,              -- when the meter acknowledged it
  tries        INTEGER NOT NULL,
  is_refused   INTEGER NOT NULL
);
CREATE TABLE override (point TEXT PRIMARY KEY, body TEXT NOT NULL);   -- 强制拉闸, 保电: pinned by an operator
CREATE TABLE brake    (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL);  -- 批量拉闸保护
CREATE TABLE alarm    (           -- what is on; the gateway's own troubles have no point ('')
  point TEXT,
  alarm TEXT,
  since TEXT NOT NULL,
  PRIMARY KEY (point, alarm)
);
CREATE TABLE checked  (           -- 验收: what a technician tested of each point last, and what came of it
  point    TEXT NOT NULL,
  work     TEXT NOT NULL,
  at       TEXT NOT NULL,
  is_right INTEGER,               -- NULL: nothing was proved
  by       TEXT NOT NULL,
  text     TEXT NOT NULL,
  PRIMARY KEY (point, work)
);
CREATE TABLE warned      (point TEXT PRIMARY KEY, body TEXT NOT NULL);  -- 告急: since when, and by the meter's buzzer
CREATE TABLE meter_clock (point TEXT PRIMARY KEY, body TEXT NOT NULL);  -- as last read
CREATE TABLE kept_time   (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL);  -- the last trusted
CREATE TABLE up       (           -- our log: a chain, each entry with the hash of the one before
  seq      INTEGER PRIMARY KEY,
  body     TEXT NOT NULL,
  previous TEXT NOT NULL
);
CREATE TABLE rejected (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE mark     (           -- how far log and ledger were after so many ten minutes of work
  number   INTEGER PRIMARY KEY,
  up_seq   INTEGER NOT NULL,
  transfer INTEGER NOT NULL       -- rowid
);
""" + ";\n".join((*_BY_HAND, _WITHDRAWN, _LINKED))


def create(
    db: sqlite3.Connection,
    gateway_no: str,
    *,
    hold: str | None = None,
    instead_of: UUID | None = None,
) -> None:
    """An empty ledger with a log of its own."""
    db.executescript("BEGIN IMMEDIATE;" + SCHEMA)
    db.execute(
        "INSERT INTO gateway VALUES (1, ?, ?, 0, NULL, 0, ?, ?)",
        (gateway_no, str(uuid4()), str(instead_of) if instead_of else None, hold),
    )
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def version_of(db: sqlite3.Connection) -> int:
    """0 of a file that holds no ledger yet."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def upgrade(db: sqlite3.Connection) -> None:
    """Brings a ledger of an earlier version to this one: all of it, or, after a power cut, nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if version_of(db) == 1:
            _from_1(db)
        if version_of(db) == 2:
            _from_2(db)
        if version_of(db) == 3:
            db.execute(_WITHDRAWN)
            db.execute("PRAGMA user_version = 4")
        if version_of(db) == 4:
            db.execute(_LINKED)
            db.execute("PRAGMA user_version = 5")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


# What a position had not yet in version 1: tariffs had one tier and no fixed fees.
_POSITION_FROM_1 = """
    json_set({body}, '$.{at}counted', json('[]'),
                     '$.{at}fees_until', json_extract({body}, '$.{at}reading.at'))
"""

# Version 1 had one alarm level; the final one comes at 3 yuan, or with the first if that is lower still.
_FINAL_ALARM_FROM_1 = """
    UPDATE point SET body = json_set(body, '$.policy.final_alarm_at', json_object('fen',
        max(min(300, json_extract(body, '$.policy.alarm_at.fen')),
            json_extract(body, '$.policy.cut_at.fen'))))
    WHERE json_extract(body, '$.policy.final_alarm_at') IS NULL
"""

# Version 1 knew of a doubtful reading nothing but what it showed.
_HISTORY_FROM_1 = """
    INSERT INTO history SELECT point, json_object('doubt', json_object(
        'reading', json(body), 'since', 'PT0S', 'kind', 'jump')) FROM doubt
"""


def _from_1(db: sqlite3.Connection) -> None:
    for statement in (
        "ALTER TABLE gateway ADD COLUMN instead_of TEXT",
        "ALTER TABLE gateway ADD COLUMN hold TEXT",
        "CREATE TABLE carried (book TEXT PRIMARY KEY, fen INTEGER NOT NULL)",
        "CREATE TABLE mark (number INTEGER PRIMARY KEY, up_seq INTEGER NOT NULL, transfer INTEGER NOT NULL)",
        f"UPDATE position SET body = {_POSITION_FROM_1.format(body='body', at='')}",
        f"UPDATE up SET body = {_POSITION_FROM_1.format(body='body', at='position.')}"
        " WHERE json_extract(body, '$.kind') = 'charged'",
        _FINAL_ALARM_FROM_1,
        "CREATE TABLE history (point TEXT PRIMARY KEY, body TEXT NOT NULL)",
        _HISTORY_FROM_1,
        "CREATE TABLE override (point TEXT PRIMARY KEY, body TEXT NOT NULL)",
        "CREATE TABLE brake (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL)",
        "DROP TABLE doubt",
        "ALTER TABLE up RENAME TO up_1",
        "CREATE TABLE up (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, previous TEXT NOT NULL)",
    ):
        db.execute(statement)
    (log,) = db.execute("SELECT log FROM gateway").fetchone()
    previous = NO_ENTRY
    for seq, body in db.execute("SELECT seq, body FROM up_1 ORDER BY seq"):
        db.execute("INSERT INTO up VALUES (?, ?, ?)", (seq, body, previous))
        previous = Entry(UUID(log), seq, body, previous=previous).hash()
    db.execute("DROP TABLE up_1")
    db.execute("PRAGMA user_version = 2")


# Credits had no numbers. They came in the order in which the cloud numbers them, and all of them are kept.
_CREDITS_FROM_2 = """
    INSERT INTO credit SELECT credit, count(*) FROM transfer
    WHERE credit LIKE 'Liabilities:Prepaid:%' GROUP BY credit
"""

_CLOCKS = (
    "CREATE TABLE warned (point TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE meter_clock (point TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE kept_time (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL)",
)

_NEW_IN_3: tuple[str, ...] = (
    *_BY_HAND,
    _CREDITS_FROM_2,
    "CREATE TABLE checked (point TEXT NOT NULL, work TEXT NOT NULL, at TEXT NOT NULL, is_right INTEGER,"
    " by TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (point, work))",
    *_CLOCKS,
)


def _from_2(db: sqlite3.Connection) -> None:
    for statement in _NEW_IN_3:
        db.execute(statement)
    db.execute("PRAGMA user_version = 3")
