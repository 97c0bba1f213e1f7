"""Our log: a chain of entries, each with the hash of the one before, kept until long after the cloud has them."""

from __future__ import annotations

from uuid import UUID

from edge.ledger.rows import Execute
from prepaid.wire.entry import NO_ENTRY, Entry, linked, opening_of
from prepaid.wire.uplog import Up, write_up


class UpLog:
    """The entries of one log. select reads at any time, write only inside a transaction."""

    def __init__(self, log: UUID, *, select: Execute, write: Execute) -> None:
        self._log = log
        self._opening = opening_of(log)
        self._select = select
        self._write = write
        self._tip: tuple[int, str] | None = None  # the last entry's seq and hash

    def append(self, message: Up) -> None:
        """Put a message at the end."""
        last, previous = self.tip()
        seq, body = last + 1, write_up(message)
        self._write("INSERT INTO up VALUES (?, ?, ?)", seq, body, previous)
        self._tip = seq, linked(self._opening, seq, body, previous=previous)

    def tip(self) -> tuple[int, str]:
        """Seq and hash of the last entry; 0 and NO_ENTRY before the first."""
        if self._tip is None:
            row = self._select(
                "SELECT seq, body, previous FROM up ORDER BY seq DESC LIMIT 1"
            ).fetchone()
            last = None if row is None else Entry(self._log, row[0], row[1], previous=row[2])
            self._tip = (0, NO_ENTRY) if last is None else (last.seq, last.hash())
        return self._tip

    def after(self, seq: int, *, most: int) -> list[Entry]:
        """The entries after one, in order."""
        rows = self._select(
            "SELECT seq, body, previous FROM up WHERE seq > ? ORDER BY seq LIMIT ?", seq, most
        )
        return [Entry(self._log, seq, body, previous=previous) for seq, body, previous in rows]

    def hash_at(self, seq: int) -> str | None:
        """The hash of an entry, None if it is not kept any more."""
        if seq == 0:
            return NO_ENTRY
        row = self._select("SELECT body, previous FROM up WHERE seq = ?", seq).fetchone()
        return None if row is None else Entry(self._log, seq, row[0], previous=row[1]).hash()

    def prune(self, *, up_to: int, most: int) -> int:
        """Forgets the oldest entries; how many. The last one stays: the next goes on from its hash."""
        statement = (
            "DELETE FROM up WHERE seq IN (SELECT seq FROM up WHERE seq <= ? ORDER BY seq LIMIT ?)"
        )
        return self._write(statement, min(up_to, self.tip()[0] - 1), most).rowcount

    def forget(self) -> None:
        """A transaction was rolled back: what was its last entry may not be there."""
        self._tip = None
