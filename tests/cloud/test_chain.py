"""A gateway's log is a chain: the cloud takes nothing that does not follow from what it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col

from cloud import tables
from cloud.services import chain, uplog
from prepaid.reading import Reading, Supply
from prepaid.wire.entry import NO_ENTRY, Cursor, Entry
from prepaid.wire.envelope import Envelope, Halt
from prepaid.wire.uplog import GatewayAlarm, Read, Trouble, Up, write_up

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LOG = UUID(int=1)


def chained(messages: Sequence[Up], *, first: int = 1, after: str = NO_ENTRY) -> list[Entry]:
    entries: list[Entry] = []
    for seq, message in enumerate(messages, first):
        previous = entries[-1].hash() if entries else after
        entries.append(Entry(LOG, seq, write_up(message), previous=previous))
    return entries


def unchained(messages: Sequence[Up], *, first: int = 1) -> list[Entry]:
    """As version 0.1.0 wrote them."""
    return [Entry(LOG, seq, write_up(message)) for seq, message in enumerate(messages, first)]


@pytest.fixture
def reads(home):
    def reads(first: int, last: int) -> list[Up]:
        return [
            Read(
                home.electricity,
                Reading("M1", NOON + timedelta(minutes=n), Decimal(n), Supply.ON),
            )
            for n in range(first, last + 1)
        ]

    return reads


@pytest.fixture
def receive(database, home):
    """What the cloud answers: why it halts, and its cursor."""

    def receive(
        *sent: Entry, sender: UUID | None = None, cursor: Cursor | None = None
    ) -> tuple[Halt | None, int]:
        with database.system() as session:
            gateway = uplog.gateway_of(session, home.gateway_no)
            halt = uplog.receive(session, gateway, Envelope(sent, cursor, sender), now=NOON)
        return halt, gateway.up_seq

    return receive


def totals(database, home) -> list[int]:
    row = tables.Reading
    with database.system() as session:
        return [
            int(total)
            for total in session.execute(
                select(col(row.total)).where(col(row.point_id) == home.electricity).order_by(row.at)
            ).scalars()
        ]


def gateway(database, home) -> tables.Gateway:
    with database.system() as session:
        return session.get(tables.Gateway, home.gateway_id)


def alarms(database) -> list[tuple[str, bool]]:
    row = tables.GatewayAlarm
    with database.system() as session:
        found = session.execute(select(row).order_by(col(row.at), col(row.is_over))).scalars()
        return [(alarm.kind, alarm.is_over) for alarm in found]


def test_a_chain_is_applied_and_its_head_is_kept(database, home, receive, reads):
    entries = chained(reads(1, 5))
    assert receive(*entries[:3]) == (None, 3)
    assert receive(*entries) == (None, 5)
    assert totals(database, home) == [1, 2, 3, 4, 5]
    assert gateway(database, home).up_hash == entries[-1].hash()


def test_two_stores_from_one_copy_differ_from_their_first_entry_that_differs(
    database, home, receive, reads, caplog
):
    # Both have 1 to 3; one goes on with 4 to 6, the other, the copy put back, with 14 to 16.
    common = chained(reads(1, 3))
    ours = common + chained(reads(4, 6), first=4, after=common[-1].hash())
    others = common + chained(reads(14, 18), first=4, after=common[-1].hash())
    assert receive(*ours) == (None, 6)

    # However it is sent: from the copy's own cursor, from before ours, or from just behind it.
    for sent in (others[2:], others[4:], others[6:]):
        assert receive(*sent) == (Halt.FORKED, 6)

    assert totals(database, home) == [1, 2, 3, 4, 5, 6]
    assert alarms(database) == [("forked", False)]
    with database.system() as session:
        rejected = session.execute(select(tables.Rejected)).scalars().all()
    assert {row.seq for row in rejected} == {4, 5, 7}
    assert all("is another than the one that follows" in row.reason for row in rejected)
    assert caplog.text.count("has an old copy of its store been put back") == 3  # for each, once
    assert receive(*others[6:])[0] is Halt.FORKED
    assert caplog.text.count("has an old copy of its store been put back") == 3


def test_what_stands_before_a_fork_in_one_message_is_applied(database, home, receive, reads):
    entries = chained(reads(1, 4))
    broken = replace(entries[3], previous=NO_ENTRY)
    assert receive(*entries[:3], broken) == (Halt.FORKED, 3)
    assert totals(database, home) == [1, 2, 3]


def test_the_right_store_ends_the_alarm_of_a_fork(database, home, receive, reads):
    entries = chained(reads(1, 4))
    receive(*entries[:3])
    receive(*chained(reads(9, 9), first=4, after="f" * 64))
    assert gateway(database, home).up_fault is not None

    assert receive(*entries) == (None, 4)

    assert gateway(database, home).up_fault is None
    assert alarms(database) == [("forked", False), ("forked", True)]


def test_a_forks_cursor_in_our_log_is_not_taken(database, home, receive, reads):
    entries = chained(reads(1, 3))
    receive(*entries, cursor=Cursor(home.down_log, 4))
    fork = chained(reads(9, 9), first=3, after=entries[1].hash())
    receive(*fork, cursor=Cursor(home.down_log, 1))
    assert gateway(database, home).down_acked == 4


def test_a_gateway_of_version_0_1_0_is_followed_before_and_after_its_upgrade(
    database, home, receive, reads
):
    old = unchained(reads(1, 3))
    assert receive(*old) == (None, 3)
    # The upgrade has made a chain of all it had; the cloud has no hash of the third.
    new = chained(reads(1, 5))
    assert receive(*new[1:]) == (None, 5)
    assert gateway(database, home).up_hash == new[-1].hash()
    # From then on there is no way back.
    assert receive(*unchained(reads(6, 6), first=6)) == (Halt.FORKED, 5)
    assert totals(database, home) == [1, 2, 3, 4, 5]


def test_a_chain_begins_with_nothing_before_it(database, home, receive, reads):
    assert receive(*chained(reads(1, 1), after="f" * 64)) == (Halt.FORKED, 0)
    assert totals(database, home) == []


def test_a_store_that_we_do_not_follow_moves_no_cursor(database, home, receive, reads):
    receive(*chained(reads(1, 2)), sender=LOG, cursor=Cursor(home.down_log, 4))
    stranger = uuid4()
    assert receive(sender=stranger, cursor=Cursor(home.down_log, 1)) == (Halt.UNKNOWN, 2)
    assert receive(sender=stranger) == (Halt.UNKNOWN, 2)
    row = gateway(database, home)
    assert (row.down_acked, row.down_fault, row.up_log) == (4, None, LOG)


def test_only_the_last_hashes_are_kept(database, home, receive, reads):
    last = chain.KEPT_HASHES + chain.FORGET_EACH - 1
    with database.system() as session:
        row = session.get(tables.Gateway, home.gateway_id)
        row.up_log, row.up_seq, row.up_hash = LOG, last, "a" * 64
        for seq in (1, chain.FORGET_EACH, chain.FORGET_EACH + 1, last):
            session.add(
                tables.UpHash(
                    organization_id=home.organization_id,
                    gateway_id=home.gateway_id,
                    seq=seq,
                    hashes=b"b" * 32,
                )
            )
    (next_one,) = chained(reads(1, 1), first=last + 1, after="a" * 64)

    assert receive(next_one) == (None, last + 1)

    with database.system() as session:
        kept = session.execute(select(tables.UpHash.seq).order_by(tables.UpHash.seq)).scalars()
        assert list(kept) == [chain.FORGET_EACH + 1, last, last + 1]
    # Of what is older nothing can be said, and nothing is.
    assert receive(*chained(reads(1, 1))) == (None, last + 1)
    assert receive(*chained(reads(1, 1), first=chain.FORGET_EACH + 1)) == (Halt.FORKED, last + 1)


def test_a_gateways_own_alarm_is_kept_and_asks_for_no_service_point(database, home, receive):
    full = GatewayAlarm(NOON, Trouble.DISK_FULL, is_over=False, text="full")
    over = GatewayAlarm(NOON + timedelta(hours=1), Trouble.DISK_FULL, is_over=True, text="room")
    naive = GatewayAlarm(NOON.replace(tzinfo=None), Trouble.DISK_FULL, is_over=True, text="x")
    assert receive(*chained([full, over, naive])) == (None, 3)
    assert alarms(database) == [("disk-full", False), ("disk-full", True)]
    with database.system() as session:
        (rejected,) = session.execute(select(tables.Rejected)).scalars()
    assert rejected.seq == 3
