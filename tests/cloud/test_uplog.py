"""A gateway's log: each entry once, in order, whatever is repeated, reordered or cut off."""

from __future__ import annotations

import logging
import random
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from cloud import tables
from cloud.services import board, downlog, ledger, topups, uplog
from cloud.services.money import stages
from cloud.services.money.stages import Stages
from prepaid.ledger import Book, Reason, Transfer, income, prepaid
from prepaid.money import Money
from prepaid.rating import Position, Running
from prepaid.reading import Reading, Supply
from prepaid.register.evidence import Confidence, Effect, Evidence, Kind
from prepaid.supply import Why
from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.envelope import Envelope
from prepaid.wire.uplog import Alarm, AlarmKind, Charged, Read, SupplyChanged, Up, write_up

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LOG = UUID(int=1)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def read(point: UUID, minute: int, total: str, supply: Supply | None = Supply.ON) -> Read:
    return Read(point, Reading("M1", at(minute), Decimal(total), supply))


def charged(point: UUID, purse: UUID, minute: int, total: str, fen: int) -> Charged:
    reading = Reading("M1", at(minute), Decimal(total), Supply.ON)
    running = Running("energy", Decimal(total) / 2, Money(fen))
    transfer = Transfer(
        debit=prepaid(purse),
        credit=income("energy"),
        amount=Money(fen),
        reason=Reason.CHARGE,
        cause=f"{point}:energy:M1:{at(minute).isoformat()}",
        at=at(minute),
    )
    position = Position(
        reading, (running,), counted=(), fees_until=at(minute), opened_at=NOON, number=minute
    )
    return Charged(point, position, (transfer,))


def switched(
    point: UUID, minute: int, supply: Supply | None, why: Why = Why.CREDIT
) -> SupplyChanged:
    wanted = Supply.OFF if why is Why.NO_CREDIT else Supply.ON
    return SupplyChanged(point, at(minute), supply, wanted, why, at(minute))


def entries(*messages: Up | str, first: int = 1, log: UUID = LOG) -> tuple[Entry, ...]:
    return tuple(
        Entry(log, seq, message if isinstance(message, str) else write_up(message))
        for seq, message in enumerate(messages, first)
    )


@pytest.fixture
def receive(database, home):
    """Receives an envelope as the worker does; our cursor in the gateway's log after it."""

    def receive(*sent: Entry, cursor: Cursor | None = None, now: datetime = NOON) -> int:
        with database.system() as session:
            gateway = uplog.gateway_of(session, home.gateway_no)
            uplog.receive(session, gateway, Envelope(sent, cursor), now=now)
        return gateway.up_seq

    return receive


def rejected(database) -> list[tuple[int, str]]:
    with database.system() as session:
        rows = session.execute(select(tables.Rejected).order_by(tables.Rejected.seq)).scalars()
        return [(row.seq, row.reason) for row in rows]


def balance(database, home) -> Money:
    with database.system() as session:
        return ledger.balance(session, home.electricity_purse)


def test_readings_charges_and_supply_show_on_the_board(database, home, receive):
    point, purse = home.electricity, home.electricity_purse
    # 12 kWh at 0.50 = ¥6.00, charged from an empty purse: -6.00.
    log = entries(
        read(point, 0, "100"),
        charged(point, purse, 60, "112", 600),
        switched(point, 61, Supply.OFF, Why.NO_CREDIT),
    )
    assert receive(*log, now=at(61)) == 3

    with database.organization(home.organization_id) as session:
        card = board.room(session, home.organization_id, home.room_id, now=at(62))
    shown = next(p for p in card.points if p.point_id == point)
    assert (shown.balance, shown.days_left) == (Money.yuan("-6"), Decimal(0))
    assert (shown.total, shown.unit, shown.read_at) == (Decimal(112), "kWh", at(60))
    assert (shown.supply, shown.wanted, shown.why) == (Supply.OFF, Supply.OFF, Why.NO_CREDIT)
    assert (shown.gateway_online, shown.is_silent, shown.is_held) == (True, False, False)
    assert (card.holder, card.building, card.floor) == ("张三", "A", 3)
    with database.system() as session:
        state = session.get(tables.PointState, point)
        assert state.position["reading"]["total"] == "112"
        readings = session.execute(select(tables.Reading).order_by(tables.Reading.at)).scalars()
        assert [reading.total for reading in readings] == [Decimal(100), Decimal(112)]


def test_days_left_is_the_balance_over_the_rate_seen_so_far(database, home, order, receive):
    topups.book(database, order("50"), channel="sandbox", now=NOON)
    point, purse = home.electricity, home.electricity_purse
    # ¥2 in the first 6 hours is ¥8 a day; 48 left last 6 days.
    receive(*entries(read(point, 0, "0"), charged(point, purse, 360, "4", 200)))
    with database.organization(home.organization_id) as session:
        cards = board.room(session, home.organization_id, home.room_id, now=at(360)).points
    days = {card.point_id: card.days_left for card in cards}
    assert days == {point: Decimal(6), home.water: Decimal(0)}


def test_days_left_is_unknown_before_anything_was_charged(database, home, order, receive):
    topups.book(database, order("50"), channel="sandbox", now=NOON)
    receive(*entries(read(home.electricity, 0, "0")))
    with database.organization(home.organization_id) as session:
        cards = board.room(session, home.organization_id, home.room_id, now=at(1)).points
    assert next(c for c in cards if c.point_id == home.electricity).days_left is None


def test_a_rate_goes_by_the_last_days_only(database, home, order, receive):
    topups.book(database, order("50"), channel="sandbox", now=NOON)
    point, purse = home.electricity, home.electricity_purse
    day = 24 * 60
    # ¥40 on the first day, 20 days ago; then ¥1 in all over the last days, the last reading 20 days later at noon.
    receive(
        *entries(
            read(point, 0, "0"),
            charged(point, purse, 60, "80", 4000),
            charged(point, purse, 20 * day, "82", 100),
        )
    )
    with database.organization(home.organization_id) as session:
        a_day = board.charges_per_day(session, {purse}, now=at(20 * day))
    # From the midnight before noon 7 days ago to now: 7.5 days, 100 fen.
    assert a_day[purse].quantize(Decimal("0.001")) == Decimal("13.333")


def test_what_is_sent_again_changes_nothing(database, home, receive):
    log = entries(charged(home.electricity, home.electricity_purse, 0, "2", 100))
    for _ in range(3):
        assert receive(*log) == 1
    assert balance(database, home) == Money(-100)


def test_an_entry_after_a_gap_waits_for_what_is_missing(database, home, receive):
    point, purse = home.electricity, home.electricity_purse
    one, two, three = entries(*(charged(point, purse, i, str(i), 100) for i in (1, 2, 3)))
    assert receive(three) == 0
    assert receive(one, three) == 1
    assert receive(two, three) == 3
    assert balance(database, home) == Money(-300)


@pytest.mark.parametrize("seed", range(5))
def test_however_a_log_is_repeated_reordered_or_cut_off_it_is_applied_once(
    database, home, receive, seed
):
    chance = random.Random(seed)
    point, purse = home.electricity, home.electricity_purse
    messages: list[Up | str] = []
    expected = 0
    for minute in range(1, 41):
        match chance.randrange(5):
            case 0:
                messages.append("{}")  # is rejected
            case 1:
                messages.append(read(point, minute, str(minute)))
            case 2:
                messages.append(switched(point, minute, chance.choice(list(Supply))))
            case _:
                fen = chance.randrange(1, 999)
                expected += fen
                messages.append(charged(point, purse, minute, str(minute), fen))
    log = entries(*messages)

    done, cursor = 0, 0
    while cursor < len(log):
        start = chance.randrange(max(0, cursor - 5), len(log))
        sent = list(log[start : start + chance.randrange(1, 15)])
        if chance.random() < 0.3:
            chance.shuffle(sent)
        cursor = receive(*sent)
        assert cursor >= done
        done = cursor
        if chance.random() < 0.3:
            receive(*log[cursor : cursor + 2])
    assert balance(database, home) == Money(-expected)
    assert [seq for seq, _ in rejected(database)] == [
        seq for seq, message in enumerate(messages, 1) if message == "{}"
    ]


def test_what_cannot_be_applied_is_kept_with_its_reason_and_the_log_goes_on(
    database, home, build, receive
):
    neighbour = build("neighbour")
    point, purse = home.electricity, home.electricity_purse
    good = charged(point, purse, 1, "2", 100)
    same_id = charged(point, purse, 1, "2", 101)
    top_up = Transfer(income("x"), prepaid(purse), Money(1), Reason.TOP_UP, "sandbox:T9", NOON)
    log = entries(
        "no JSON at all",
        '{"kind": "read"}',
        read(uuid4(), 1, "1"),
        read(neighbour.electricity, 1, "1"),
        good,
        same_id,
        Charged(point, good.position, (top_up,)),
        charged(point, home.water_purse, 2, "3", 5),
        charged(point, neighbour.electricity_purse, 2, "3", 5),
        charged(point, purse, 3, "4", 2**63),
        write_up(read(point, 4, "1")).replace("M1", "M\\u00001"),
        write_up(read(point, 4, "1")).replace("Z", ""),
        "\x00",
        charged(point, purse, 5, "4", 50),
    )
    assert receive(*log) == len(log)

    assert balance(database, home) == Money(-150)
    reasons = dict(rejected(database))
    assert set(reasons) == set(range(1, 15)) - {5, 14}
    for seq, said in {
        1: "not a message",
        3: "no service point",
        4: "no service point",
        6: "with other content",
        7: "does not write a top-up",
        8: "debits Liabilities:Prepaid",
        9: "debits Liabilities:Prepaid",
        10: "the database refuses it",
        11: "the database refuses it",
        12: "without a time zone",
        13: "not a message",
    }.items():
        assert said in reasons[seq], seq
    with database.system() as session:
        assert ledger.balance(session, neighbour.electricity_purse) == Money(0)


def test_another_log_than_the_one_followed_is_not_applied(database, home, receive, caplog):
    point, purse = home.electricity, home.electricity_purse
    receive(*entries(charged(point, purse, 1, "2", 100)))
    other = entries(charged(point, purse, 2, "4", 100), log=UUID(int=2))
    assert receive(*other) == 1
    assert receive(*other) == 1

    assert balance(database, home) == Money(-100)
    assert len(rejected(database)) == 1
    assert caplog.text.count("has its store been replaced") == 1


def test_a_log_is_followed_from_its_first_entry_only(database, home, receive):
    assert receive(*entries(read(home.electricity, 1, "1"), first=7)) == 0
    with database.system() as session:
        assert session.get(tables.Gateway, home.gateway_id).up_log is None


def test_alarms_show_until_they_are_over(database, home, receive):
    point = home.electricity

    def shown() -> tuple[bool, bool]:
        with database.organization(home.organization_id) as session:
            cards = board.room(session, home.organization_id, home.room_id, now=NOON).points
        card = next(c for c in cards if c.point_id == point)
        return card.is_silent, card.is_held

    receive(*entries(Alarm(point, at(1), AlarmKind.SILENT, False, "no reply")))
    assert shown() == (True, False)
    receive(
        *entries(
            Alarm(point, at(2), AlarmKind.SILENT, True, "answers"),
            Alarm(point, at(3), AlarmKind.IMPLAUSIBLE, False, "went back"),
            first=2,
        )
    )
    assert shown() == (False, True)


def stages_of(database, home, out_trade_no: str) -> Stages:
    with database.organization(home.organization_id) as session:
        topup = session.execute(
            select(tables.TopUp).where(tables.TopUp.out_trade_no == out_trade_no)
        ).scalar_one()
        return stages.stages_of(session, topup.id, now=at(10))


def test_a_top_up_is_delivered_then_armed_then_restored(database, home, order, receive):
    point = home.electricity
    receive(*entries(switched(point, 0, Supply.OFF, Why.NO_CREDIT)))
    payment = order("50")
    topups.book(database, payment, channel="sandbox", now=at(1))
    seq = _down_seq(database, home)

    # The gateway has what came before the credit: not delivered yet.
    receive(cursor=Cursor(home.down_log, seq - 1), now=at(2))
    assert stages_of(database, home, payment.out_trade_no).delivered_at is None

    receive(cursor=Cursor(home.down_log, seq), now=at(2))
    stages = stages_of(database, home, payment.out_trade_no)
    assert (stages.delivered_at, stages.armed_at, stages.restored_at) == (at(2), None, None)
    assert (stages.supply, stages.why) == (Supply.OFF, Why.NO_CREDIT)

    receive(*entries(switched(point, 3, Supply.ARMED), first=2), now=at(3))
    stages = stages_of(database, home, payment.out_trade_no)
    assert (stages.armed_at, stages.restored_at) == (at(3), None)

    receive(*entries(switched(point, 4, Supply.ON), first=3), now=at(4))
    stages = stages_of(database, home, payment.out_trade_no)
    assert (stages.delivered_at, stages.armed_at, stages.restored_at) == (at(2), at(3), at(4))
    assert stages.gateway_online is False  # heard at 4 minutes, asked at 10


def _down_seq(database, home) -> int:
    with database.system() as session:
        return session.get(tables.Gateway, home.gateway_id).down_seq


def test_a_top_up_while_supplied_is_restored_when_delivered(database, home, order, receive):
    receive(*entries(switched(home.electricity, 0, Supply.ON)))
    payment = order("50")
    topups.book(database, payment, channel="sandbox", now=at(1))
    receive(cursor=Cursor(home.down_log, _down_seq(database, home)), now=at(2))
    stages = stages_of(database, home, payment.out_trade_no)
    assert (stages.armed_at, stages.restored_at) == (None, at(2))


def gateway_row(database, home) -> tables.Gateway:
    with database.system() as session:
        return session.get(tables.Gateway, home.gateway_id)


def sent(database, home, *, now: datetime) -> tuple[Entry, ...]:
    """What a worker sends to the gateway now."""
    with database.system() as session:
        return tuple(
            entry
            for batch in downlog.claim(session, now=now, gateway_id=home.gateway_id)
            for entry in batch.entries
        )


def test_a_gateway_put_back_from_a_backup_is_sent_again_what_it_lost(
    database, home, order, receive, caplog
):
    payment = order("50")
    topups.book(database, payment, channel="sandbox", now=NOON)
    last = _down_seq(database, home)
    receive(cursor=Cursor(home.down_log, last), now=at(1))

    receive(cursor=Cursor(home.down_log, last - 3), now=at(2))
    receive(cursor=Cursor(home.down_log, last - 3), now=at(2))
    assert [entry.seq for entry in sent(database, home, now=at(2))] == [last - 2, last - 1, last]

    receive(cursor=Cursor(home.down_log, last), now=at(3))
    assert sent(database, home, now=at(4)) == ()
    assert stages_of(database, home, payment.out_trade_no).delivered_at == at(1)
    assert caplog.text.count("went back in our log") == 1


def test_after_the_database_was_put_back_a_gateway_gets_no_number_it_has_seen(
    database, home, order, receive, caplog
):
    # Our log ends at `last`; the gateway has 3 entries more, which the backup does not hold.
    last = _down_seq(database, home)
    has = last + 3
    receive(cursor=Cursor(home.down_log, last - 1), now=at(0))
    payments = [order("50"), order("30")]
    for payment in payments:
        topups.book(database, payment, channel="sandbox", now=at(1))
    with database.system() as session:
        lost = [
            entry.body for entry in downlog.after(session, gateway_row(database, home), last - 1)
        ]

    receive(cursor=Cursor(home.down_log, has), now=at(2))
    again = sent(database, home, now=at(2))
    assert [entry.seq for entry in again] == [has + 1, has + 2, has + 3]
    assert [entry.body for entry in again] == lost
    receive(cursor=Cursor(home.down_log, has), now=at(3))
    receive(cursor=Cursor(home.down_log, has + 2), now=at(4))
    receive(cursor=Cursor(home.down_log, has + 3), now=at(5))

    # The second of the entries again is the ¥50, the third the ¥30.
    delivered = [stages_of(database, home, p.out_trade_no).delivered_at for p in payments]
    assert delivered == [at(4), at(5)]
    later = order("5")
    topups.book(database, later, channel="sandbox", now=at(6))
    assert [entry.seq for entry in sent(database, home, now=at(6))] == [has + 4]
    assert caplog.text.count("the database was set back") == 1


def test_a_cursor_that_is_none_in_our_log_changes_nothing_and_is_told_once(
    database, home, receive, caplog
):
    caplog.set_level(logging.INFO)
    last = _down_seq(database, home)
    good = Cursor(home.down_log, last)
    receive(cursor=good)
    for wrong, said in (
        (None, "knows nothing of our log"),
        (Cursor(uuid4(), last + 1), "is not ours for it"),
        (Cursor(home.down_log, 2**63), "which cannot be"),
        (Cursor(home.down_log, -1), "which cannot be"),
    ):
        caplog.clear()
        receive(cursor=wrong)
        receive(cursor=wrong)
        assert gateway_row(database, home).down_acked == last
        receive(cursor=good)
        receive(cursor=good)
        assert caplog.text.count(said) == 1
        assert caplog.text.count("follows our log for it again") == 1


def test_a_new_store_is_told_once_however_much_it_sends(database, home, receive, caplog):
    caplog.set_level(logging.INFO)
    followed = entries(*(read(home.electricity, minute, "1") for minute in range(4)))
    other = entries(*(read(home.electricity, 9, "1") for _ in range(5)), log=UUID(int=2))
    receive(followed[0])
    receive(*other[:2])
    receive(*other)
    assert caplog.text.count("has its store been replaced") == 1

    receive(followed[1])
    assert caplog.text.count("sends the log again that we follow") == 1
    receive(*other)
    assert caplog.text.count("has its store been replaced") == 2
    assert len(rejected(database)) == 5


def test_no_entry_stops_the_log_whatever_its_texts_and_numbers(database, home, receive):
    point, purse = home.electricity, home.electricity_purse
    good = charged(point, purse, 1, "2", 100)
    # Longer than an entry of the database's index may be, and not to be compressed.
    noise = "".join(random.Random(1).choices(string.ascii_letters, k=12000))
    (transfer,) = good.transfers
    log = entries(
        Charged(point, good.position, (replace(transfer, credit=Book(f"Income:{noise}")),)),
        Charged(point, good.position, (replace(transfer, debit=Book(f"\x00{noise}")),)),
        Charged(point, good.position, (replace(transfer, debit=Book("\x00")),)),
        Charged(point, good.position, (replace(transfer, cause=noise),)),
        Alarm(point, at(1), AlarmKind.SILENT, False, noise),
        read(point, 2, "1E+99999"),
        good,
    )
    assert receive(*log) == 7
    assert [seq for seq, _ in rejected(database)] == [1, 2, 3, 4, 5, 6]
    assert balance(database, home) == Money(-100)


def test_a_point_without_a_tariff_is_kept_as_an_alarm(database, home, receive):
    alarm = Alarm(home.electricity, at(1), AlarmKind.NO_TARIFF, False, "no tariff power")
    receive(*entries(alarm))
    with database.system() as session:
        kept = session.execute(select(tables.Alarm)).scalar_one()
    assert (kept.kind, kept.at, kept.is_over) == ("no-tariff", at(1), False)
    assert rejected(database) == []


def test_what_speaks_against_a_reading_is_kept_beside_it_once(database, home, receive):
    jump = Evidence(
        Kind.JUMP, Confidence.LIKELY, Effect.HELD, Decimal("890.00"), Decimal("0.12"), "890 in 6 s"
    )
    doubtful = replace(read(home.electricity, 1, "1000.00"), evidence=(jump,))

    receive(*entries(doubtful, doubtful))

    with database.system() as session:
        kept = session.execute(select(tables.Evidence)).scalar_one()
    assert (kept.point_id, kept.at, kept.kind) == (home.electricity, at(1), "jump")
    assert (kept.confidence, kept.effect, kept.text) == ("likely", "held", "890 in 6 s")
    assert (kept.moved, kept.against) == (Decimal("890.00"), Decimal("0.12"))
