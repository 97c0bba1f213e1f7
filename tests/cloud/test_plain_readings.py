"""Messages of plain readings are kept by one statement, as uplog would keep them, and all others are left to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session

from cloud.services import answers, plain_readings, uplog
from cloud.services.downlog import Batch
from cloud.services.plain_readings import Said
from prepaid.reading import Reading, Supply
from prepaid.register.evidence import Confidence, Effect, Evidence, Kind
from prepaid.wire.entry import NO_ENTRY, Cursor, Entry
from prepaid.wire.envelope import Envelope, Takeover
from prepaid.wire.uplog import Read, read_up, write_up

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LOG = UUID(int=1)
EVIDENCE = Evidence(Kind.JUMP, Confidence.LIKELY, Effect.HELD, None, None, "a jump")


def read(point: UUID, minute: float, total: str, **said: object) -> Read:
    reading = Reading("000000000301", NOON + timedelta(minutes=minute), Decimal(total), Supply.ON)
    return Read(point, replace(reading, **said))  # type: ignore[arg-type]


def chained(*messages: Read | str, first: int = 1, after: str = NO_ENTRY) -> tuple[Entry, ...]:
    found = []
    for seq, message in enumerate(messages, first):
        body = message if isinstance(message, str) else write_up(message)
        found.append(Entry(LOG, seq, body, previous=after))
        after = found[-1].hash()
    return tuple(found)


@pytest.fixture
def in_step(office) -> Callable[[], object]:
    """A transaction, taken back at its end, in which the gateway has all that we have for it and we have nothing."""

    @contextmanager
    def in_step(*, change: str = "up_seq = 0") -> Iterator[Session]:
        with office.database.system() as session:
            session.execute(
                text(
                    "UPDATE gateways SET up_log = :log, up_seq = 0, up_hash = :hash, down_acked = down_seq"
                ),
                {"log": LOG, "hash": NO_ENTRY},
            )
            session.execute(text(f"UPDATE gateways SET {change}"))
            yield session
            session.rollback()

    return in_step


def take(session: Session, gateway_no: str, envelope: Envelope, *, now: datetime) -> Batch | None:
    (answer,) = plain_readings.take(session, [Said(gateway_no, envelope)], now=now)
    return answer


def envelope(office, *sent: Entry) -> Envelope:
    with office.database.system() as session:
        seq = session.execute(
            text("SELECT down_seq FROM gateways WHERE gateway_no = :no"),
            {"no": office.home.gateway_no},
        ).scalar_one()
    return Envelope(sent, Cursor(office.home.down_log, seq), LOG, nonce="n")


def kept(session: Session) -> list[tuple[object, ...]]:
    """Readings, states and cursor, without the numbers of readings, which go on."""
    statements = (
        "SELECT point_id, at, meter_no, total, supply, bands, known FROM readings ORDER BY 1, 2",
        "SELECT point_id, total, read_at, first_read_at, bands FROM point_states ORDER BY 1",
        "SELECT up_seq, up_hash, heard_at FROM gateways",
        "SELECT seq, hashes FROM up_hashes",
    )
    return [tuple(row) for each in statements for row in session.execute(text(each)).all()]


@given(
    meter_no=st.text('07A 表"\\\n{},', max_size=12),
    at=st.integers(0, 7029 * 365 * 86400 * 10**6).map(
        lambda past: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=past)
    ),
    total=st.decimals(-(10**12), 10**12, places=4),
    supply=st.sampled_from([None, *Supply]),
    known=st.none() | st.integers(0, 10**17),
)
def test_what_an_entry_says_as_text_is_what_is_read_of_it(meter_no, at, total, supply, known):
    said = Read(UUID(int=7), Reading(meter_no, at, total, supply), known=known)
    found = plain_readings._readings(chained(said))
    if found is None:
        assert any(sign in '"\\' or sign < " " for sign in meter_no)
        return
    (point, number, time, register, state, entry) = (column for (column,) in found)
    assert UUID(point) == said.point
    assert (number, Decimal(register)) == (f'"{meter_no}"', total)
    assert datetime.fromisoformat(f"{time}+00:00") == at
    assert state == (f'"{supply.value}"' if supply else "null")
    assert entry == (str(known) if known is not None else "null")
    assert read_up(write_up(said)) == said


def test_they_are_kept_and_answered_as_uplog_does_it(office, in_step):
    home = office.home
    sent = chained(
        read(home.electricity, 1, "10.25"),
        read(home.water, 1, "3", supply=None),
        read(home.electricity, 0.5, "10.5", supply=Supply.ARMED),  # told last: the latest
    )
    said = envelope(office, *sent)
    with in_step() as session:
        answer = take(session, home.gateway_no, said, now=NOON)
        at_once = kept(session)
    with in_step() as session:
        gateway = uplog.gateway_of(session, home.gateway_no)
        assert answers.answer(session, gateway, said, now=NOON) == answer
        assert kept(session) == at_once
    assert answer is not None
    assert answer.cursor == Cursor(LOG, 3, sent[-1].hash())
    assert len(at_once) == 3 + 2 + 1 + 1


@pytest.mark.parametrize(
    "change",
    [
        "up_seq = 1",
        "up_hash = repeat('a', 64)",
        "up_log = gen_random_uuid()",
        "up_fault = 'forked'",
        "down_fault = 'lost'",
        "down_acked = down_seq - 1",
        "silent_since = now()",
        "revoked_at = now(), revoked_by = (SELECT id FROM users LIMIT 1)",
        "follow_from = 1",
    ],
)
def test_a_gateway_that_is_not_in_step_is_left_to_uplog(office, in_step, change):
    said = envelope(office, *chained(read(office.home.electricity, 1, "10.25")))
    with in_step(change=change) as session:
        assert take(session, office.home.gateway_no, said, now=NOON) is None


def test_what_is_no_plain_reading_is_left_to_uplog(office, in_step):
    point = office.home.electricity
    good = read(point, 1, "10.25")
    written = write_up(good)
    for odd in (
        replace(good, evidence=(EVIDENCE,)),
        read(point, 1, "10", bands={"peak": Decimal(4)}),
        read(point, 1, "1E+40"),
        read(point, 1, "10", meter_no='a"b\\'),
        written.replace('"known":null', '"known":-1'),
        written.replace("2026-03-02T12:01", "2026-03-02T24:01"),
        written.replace("2026-03-02", "2026-02-30"),  # the database says so
        read(UUID(int=9), 1, "10"),  # no point of this gateway
        "nothing",
        f"{written}\n",
        f"{written}\n{written}",
    ):
        said = envelope(office, *chained(good, odd))
        with in_step() as session:
            assert take(session, office.home.gateway_no, said, now=NOON) is None, odd
            assert session.execute(text("SELECT count(*) FROM readings")).scalar_one() == 0


def test_two_readings_in_one_entry_do_not_stand_for_another_that_is_none():
    written = write_up(read(UUID(int=7), 1, "10.25"))
    sent = chained(f"{written}\n{written}", "nothing")
    assert plain_readings._readings(sent) is None
    assert plain_readings._readings(chained(written, written)) is not None


def test_a_reading_that_is_there_already_and_a_broken_chain_are_left_to_uplog(office, in_step):
    gateway_no, point = office.home.gateway_no, office.home.electricity
    first, second = chained(read(point, 1, "10.25"), read(point, 2, "10.5"))
    again = chained(read(point, 1, "10.75"), first=2, after=first.hash())
    for sent in (
        (first, *again),
        (second,),
        (first, replace(second, previous="a" * 64)),
        (first, replace(second, seq=3)),
        (first, replace(second, log=UUID(int=2))),
    ):
        with in_step() as session:
            assert take(session, gateway_no, envelope(office, *sent), now=NOON) is None


def test_a_message_that_comes_twice_is_kept_once(office, in_step):
    said = envelope(office, *chained(read(office.home.electricity, 1, "10.25")))
    with in_step() as session:
        assert take(session, office.home.gateway_no, said, now=NOON) is not None
        assert take(session, office.home.gateway_no, said, now=NOON) is None


def test_an_envelope_without_entries_or_with_a_request_is_left_to_uplog(office, in_step):
    gateway_no = office.home.gateway_no
    said = envelope(office, *chained(read(office.home.electricity, 1, "10.25")))
    for other in (
        replace(said, entries=()),
        replace(said, cursor=None),
        replace(said, sender=UUID(int=2)),
        replace(said, takeover=Takeover(LOG, None)),
        replace(said, credential=5),
    ):
        with in_step() as session:
            assert take(session, gateway_no, other, now=NOON) is None


@pytest.fixture
def say(database) -> Callable[..., Said]:
    """What the gateway of an estate says that has all that we have for it, and its log up to entry 0."""

    def say(estate, *sent: Entry) -> Said:
        with database.system() as session:
            seq = session.execute(
                text(
                    "UPDATE gateways SET up_log = coalesce(up_log, :log), up_hash = coalesce(up_hash, :hash),"
                    " down_acked = down_seq WHERE gateway_no = :no RETURNING down_seq"
                ),
                {"log": LOG, "hash": NO_ENTRY, "no": estate.gateway_no},
            ).scalar_one()
        cursor = Cursor(estate.down_log, seq)
        return Said(estate.gateway_no, Envelope(sent, cursor, LOG, nonce=estate.gateway_no))

    return say


def test_a_message_that_the_database_refuses_keeps_none_beside_it_from_being_kept(
    database, home, build, say
):
    spoilt, other = build("spoilt"), build("other")
    again = read(spoilt.electricity, 1, "10.75")  # two readings of one instant
    said = [
        say(home, *chained(read(home.electricity, 1, "10.25"))),
        say(spoilt, *chained(read(spoilt.electricity, 1, "10.25"), again)),
        say(other, *chained("nothing")),
        say(other, *chained(read(other.electricity, 1, "5"), read(other.water, 1, "6"))),
    ]
    with database.system() as session:
        answers = plain_readings.take(session, said, now=NOON)
    assert [answer and (answer.nonce, answer.cursor.seq) for answer in answers] == [
        (home.gateway_no, 1),
        None,
        None,
        (other.gateway_no, 2),
    ]
    with database.system() as session:
        found = session.execute(text("SELECT point_id, total FROM readings")).all()
        seen = session.execute(text("SELECT gateway_no, up_seq FROM gateways")).all()
    assert set(map(tuple, found)) == {
        (home.electricity, Decimal("10.25")),
        (other.electricity, 5),
        (other.water, 6),
    }
    assert set(map(tuple, seen)) == {
        (home.gateway_no, 1),
        (spoilt.gateway_no, 0),
        (other.gateway_no, 2),
    }


def test_messages_of_one_gateway_that_wait_together_are_kept_in_their_order(database, home, say):
    first, second, third = chained(*[read(home.electricity, n, f"{n}") for n in (1, 2, 3)])
    said = [say(home, first), say(home, third), say(home, second), say(home, first)]
    with database.system() as session:
        answers = plain_readings.take(session, said, now=NOON)
    assert [answer and answer.cursor.seq for answer in answers] == [1, None, 2, None]


def test_a_gateway_that_another_holds_is_not_waited_for(database, home, build, say):
    other = build("other")
    said = [say(each, *chained(read(each.electricity, 1, "10.25"))) for each in (home, other)]
    with database.system() as holds:
        assert uplog.gateway_of(holds, home.gateway_no) is not None
        with database.system() as session:
            answers = plain_readings.take(session, said, now=NOON)
    assert [answer and answer.cursor.seq for answer in answers] == [None, 1]
