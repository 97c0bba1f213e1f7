"""The audit log 审计日志: who changed what, when, from what to what; a chain of hashes in each organization."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import event, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import SessionTransaction
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.tables import AuditEntry, AuditHead, Organization

GENESIS = bytes(32)
ITSELF = "Wattwell"  # who acts where no person does
_PENDING = "audit entries"


def record(
    session: Session,
    by: SignedIn | None,
    act: str,
    *,
    of: str,
    id: UUID | str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    now: datetime,
    organization_id: UUID | None = None,
) -> None:
    """Writes down that by (None: the program itself, for organization_id) did act to the thing `of` with `id`.

    It is written when and if the session's transaction commits, as the last thing in it: so entries have one
    order, and no two transactions wait for each other's. before and after hold what JSON can, but no floats, which
    would be others after a round through the database: UUIDs, Money and times are given as text or whole numbers.
    Never give secrets.

    Raises TypeError for anything else.
    """
    whose = by.organization_id if by else organization_id
    if whose is None:
        raise TypeError("an entry of the program itself needs an organization_id")
    entry = AuditEntry(
        organization_id=whose,
        number=0,
        at=now,
        user_id=by.user_id if by else None,
        user_name=by.name if by else ITSELF,
        act=act,
        subject=of,
        subject_id=str(id),
        before=None if before is None else _plain(before),
        after=None if after is None else _plain(after),
        hash=GENESIS,
    )
    session.info.setdefault(_PENDING, []).append((entry, frozenset(_savepoints(session))))


@dataclass(frozen=True, slots=True)
class Verified:
    """An organization's chain from its first entry: how many there are, the last hash, and what is wrong.

    fault is None where nothing is; else a sentence, and broken the number of the first entry that it is about.
    """

    organization_id: UUID
    organization: str
    entries: int
    head: bytes
    broken: int | None
    fault: str | None

    @property
    def last(self) -> Head:
        return Head(self.organization_id, self.entries, self.head)


@dataclass(frozen=True, slots=True)
class Head:
    """How far an organization's log had come when somebody wrote it down elsewhere: an entry and its hash."""

    organization_id: UUID
    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.organization_id}:{self.number}:{self.hash.hex()}"

    @classmethod
    def read(cls, written: str) -> Head:
        """Raises ValueError."""
        id, number, hash = written.strip().split(":")
        return cls(UUID(id), int(number), bytes.fromhex(hash))


def verify(
    session: Session, *, organization_id: UUID | None = None, heads: Sequence[Head] = ()
) -> list[Verified]:
    """Walks the chain of each organization, or of one. Needs a system session for all of them.

    Whoever owns the database can make a whole chain anew. heads, which verify gave at earlier times and which
    were kept elsewhere, show that: each has to be in the chain.
    """
    organizations = select(Organization).order_by(col(Organization.name))
    if organization_id is not None:
        organizations = organizations.where(col(Organization.id) == organization_id)
    found = session.execute(organizations).scalars().all()
    return [_walk(session, one, heads) for one in found]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: of a person, an act, a thing (its id), between two instants, before a number. None: any."""

    user_id: UUID | None = None
    act: str | None = None
    subject_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


def entries(
    session: Session, organization_id: UUID, wanted: Wanted, *, most: int = 100
) -> list[AuditEntry]:
    """The newest first."""
    row = AuditEntry
    query = select(row).where(col(row.organization_id) == organization_id)
    conditions: tuple[tuple[Any, Callable[[Any, Any], Any], object], ...] = (
        (row.user_id, operator.eq, wanted.user_id),
        (row.act, operator.eq, wanted.act),
        (row.subject_id, operator.eq, wanted.subject_id),
        (row.at, operator.ge, wanted.since),
        (row.at, operator.lt, wanted.until),
        (row.number, operator.lt, wanted.before),
    )
    for column, compare, value in conditions:
        if value is not None:
            query = query.where(compare(column, value))
    found = session.execute(query.order_by(col(row.number).desc()).limit(most))
    return list(found.scalars())


def acts(session: Session, organization_id: UUID) -> list[str]:
    """Each act that is in the log, by the alphabet."""
    whose = col(AuditEntry.organization_id) == organization_id
    found = session.execute(select(col(AuditEntry.act)).where(whose).distinct())
    return sorted(found.scalars())


def hash_of(entry: AuditEntry, previous: bytes) -> bytes:
    """SHA-256 of the hash before and of the entry as JSON, its keys sorted, without spaces."""
    content = {
        "organization": str(entry.organization_id),
        "number": entry.number,
        "at": entry.at.isoformat(),
        "user": str(entry.user_id) if entry.user_id else None,
        "name": entry.user_name,
        "act": entry.act,
        "subject": entry.subject,
        "id": entry.subject_id,
        "before": entry.before,
        "after": entry.after,
    }
    written = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(previous + written.encode()).digest()


def _walk(session: Session, organization: Organization, heads: Sequence[Head]) -> Verified:
    count, previous = 0, GENESIS
    known = {head.number: head.hash for head in heads if head.organization_id == organization.id}
    broken, fault = None, None
    entries = session.execute(
        select(AuditEntry)
        .where(col(AuditEntry.organization_id) == organization.id)
        .order_by(col(AuditEntry.number))
        .execution_options(yield_per=1000, populate_existing=True)
    ).scalars()
    for entry in entries:
        count += 1
        if fault is None and entry.number != count:
            broken, fault = count, f"entry {count} is missing"
        elif fault is None and entry.hash != hash_of(entry, previous):
            broken, fault = entry.number, f"entry {entry.number} is not as it was written"
        elif fault is None and known.pop(count, entry.hash) != entry.hash:
            broken, fault = count, f"entry {count}, or one before it, was made anew"
        previous = entry.hash
    head = session.execute(
        select(AuditHead)
        .where(col(AuditHead.organization_id) == organization.id)
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    number, last = (head.number, head.hash) if head else (0, GENESIS)
    if fault is None and number > count:
        broken, fault = count + 1, f"entry {count + 1} is missing, and all after it"
    elif fault is None and (number, last) != (count, previous):
        broken, fault = count, "the end of the log is not the one that was written last"
    elif fault is None and any(number > count for number in known):
        broken, fault = count + 1, f"entry {count + 1} is missing, and all after it"
    return Verified(organization.id, organization.name, count, previous, broken, fault)


@event.listens_for(Session, "before_commit")
def _write(session: Session) -> None:
    """Numbers the transaction's entries after those that are committed, and writes them."""
    if session.in_nested_transaction():
        return
    pending: list[tuple[AuditEntry, object]] = session.info.pop(_PENDING, [])
    entries = [entry for entry, _ in pending]
    for whose in sorted({entry.organization_id for entry in entries}):
        session.execute(
            insert(AuditHead)
            .values(organization_id=whose, number=0, hash=GENESIS)
            .on_conflict_do_nothing()
        )
        head = session.execute(
            select(AuditHead)
            .where(col(AuditHead.organization_id) == whose)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).scalar_one()
        for entry in (entry for entry in entries if entry.organization_id == whose):
            head.number += 1
            entry.number = head.number
            entry.hash = head.hash = hash_of(entry, head.hash)
            session.add(entry)
    session.flush()


@event.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, previous: SessionTransaction) -> None:
    """What was done within a savepoint that is rolled back was not done."""
    pending = session.info.get(_PENDING)
    if pending:
        kept = [] if not previous.nested else [one for one in pending if previous not in one[1]]
        session.info[_PENDING] = kept


def _savepoints(session: Session) -> Iterator[SessionTransaction]:
    within = session.get_nested_transaction()
    while within is not None and within.nested:
        yield within
        within = within.parent


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _checked(value, key) for key, value in values.items()}


def _checked(value: Any, key: str) -> Any:
    match value:
        case None | bool() | int():
            return value
        case str():
            return str(value)
        case Mapping():
            return _plain(value)
        case list() | tuple():
            return [_checked(one, key) for one in value]
        case _:
            raise TypeError(f"{key}: {type(value).__name__} cannot be kept in the audit log")
