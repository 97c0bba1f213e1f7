"""What customers do at the gateway while the internet is away: codes, emergency credit, taps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from edge import codes
from edge.codes import (
    ALARM_AFTER,
    FREE,
    HasArrived,
    Held,
    IsTyped,
    NoKey,
    NoSuchPurse,
    NotACode,
    NotAsked,
    NotOffered,
    TooSoon,
    Wrong,
    enter,
)
from edge.ledger import ledger_file, onlooker
from edge.ledger.store import Hold, Store
from edge.ledger.upkeep import Upkeep
from prepaid import offline_code
from prepaid.ledger import TransferIdReused, prepaid
from prepaid.money import ZERO, Money
from prepaid.offline_code import WINDOW, Credit
from prepaid.point import EmergencyCredit, Policy, Restore
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.uplog import (
    CodeEntered,
    EmergencyRepaid,
    EmergencyTaken,
    GatewayAlarm,
    SupplyChanged,
    Trouble,
    read_up,
)
from tests.edge.simulated import (
    ELECTRICITY,
    EVENING,
    POWER_TARIFF,
    PURSE,
    WATER_PURSE,
    Room,
    simulated,
    top_up,
    until,
)

KEY = bytes(range(32))
STRANGER = UUID("00000000-0000-0000-0000-0000000000ff")


def code(number: int, yuan: str, purse: UUID = PURSE) -> str:
    return offline_code.make(KEY, purse=purse, credit=Credit(number, Money.yuan(yuan)))


def at(seconds: float) -> datetime:
    return EVENING + timedelta(seconds=seconds)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "ledger.sqlite", "GW-0001")
    with store.transaction():
        store.save_tariff(POWER_TARIFF)
        store.save_point(ELECTRICITY)
    yield store
    store.close()


def credit(store: Store, number: int, yuan: str) -> None:
    with store.transaction():
        store.credit(top_up(yuan, cause=f"sandbox:{number}"), PURSE, number)


def told(store: Store, kind: type) -> list[object]:
    found = (read_up(entry.body) for entry in store.unacked(1000))
    return [message for message in found if isinstance(message, kind)]


def balance(store: Store) -> str:
    """What the purse holds, and what an onlooker folds it to; the ledger adds up."""
    ledger_file.check_file(store._path)
    assert onlooker.read_balances(store._path).get(PURSE, ZERO) == store.balance(PURSE)
    return str(store.balance(PURSE))


# Codes.


def test_a_typed_code_is_credit_until_the_credit_comes_and_takes_its_place(store: Store):
    credit(store, 1, "10.00")
    # 50.00 are paid, as credit 2, while the internet is away.
    entered = enter(store, KEY, code(2, "50.00"), PURSE, at(0))

    assert (entered.number, entered.amount) == (2, Money.yuan("50.00"))
    assert entered.available == Money.yuan("60.00")
    assert balance(store) == "60.00"  # 10.00 + 50.00 by the code
    assert [str(t.amount) for t in store.transfers()] == ["10.00"]
    assert told(store, CodeEntered) == [CodeEntered(PURSE, 2, Money.yuan("50.00"), at(0))]

    credit(store, 2, "50.00")  # the internet returns
    assert balance(store) == "60.00"  # 10.00 + 50.00 by the transfer
    assert [str(t.amount) for t in store.transfers()] == ["10.00", "50.00"]
    credit(store, 2, "50.00")
    assert balance(store) == "60.00"


def test_a_code_counts_once_however_often_it_is_typed(store: Store):
    enter(store, KEY, code(1, "50.00"), PURSE, at(0))
    with pytest.raises(IsTyped, match=r"It gave ¥50.00"):
        enter(store, KEY, code(1, "50.00"), PURSE, at(60))
    assert balance(store) == "50.00"
    credit(store, 1, "50.00")
    with pytest.raises(HasArrived, match="no longer needed"):
        enter(store, KEY, code(1, "50.00"), PURSE, at(120))
    assert balance(store) == "50.00"
    assert store.wrong_codes() is None


def test_a_code_typed_after_its_credit_came_gives_nothing(store: Store):
    credit(store, 1, "50.00")
    with pytest.raises(HasArrived):
        enter(store, KEY, code(1, "50.00"), PURSE, at(0))
    assert balance(store) == "50.00"
    assert told(store, CodeEntered) == []


def test_two_codes_out_of_order_both_count_and_each_gives_way_to_its_own_credit(store: Store):
    enter(store, KEY, code(2, "20.00"), PURSE, at(0))
    assert balance(store) == "20.00"
    enter(store, KEY, code(1, "50.00"), PURSE, at(10))
    assert balance(store) == "70.00"
    credit(store, 1, "50.00")
    assert balance(store) == "70.00"
    credit(store, 2, "20.00")
    assert balance(store) == "70.00"
    assert [str(t.amount) for t in store.transfers()] == ["50.00", "20.00"]


def test_what_the_cloud_says_of_a_number_stands_whatever_was_typed(store: Store):
    # The cloud's database was set back: it knows credit 1 as one of 30.00.
    enter(store, KEY, code(1, "50.00"), PURSE, at(0))
    credit(store, 1, "30.00")
    assert balance(store) == "30.00"


def test_what_is_voided_is_credit_no_longer_and_the_code_is_not_good_again(store: Store):
    credit(store, 1, "10.00")
    enter(store, KEY, code(2, "50.00"), PURSE, at(0))
    for _ in range(2):
        with store.transaction():
            store.void_code(PURSE, 2)

    assert balance(store) == "10.00"
    with pytest.raises(HasArrived):
        enter(store, KEY, code(2, "50.00"), PURSE, at(10))
    credit(store, 52, "50.00")  # the payment was found again, after the numbers of the lost ones
    assert balance(store) == "60.00"


def test_a_credit_that_is_refused_leaves_the_code_in_its_place(store: Store):
    credit(store, 1, "10.00")
    enter(store, KEY, code(2, "50.00"), PURSE, at(0))
    with pytest.raises(TransferIdReused), store.transaction():
        store.credit(top_up("99.00", cause="sandbox:1"), PURSE, 2)
    assert balance(store) == "60.00"


def test_credits_of_a_cloud_that_does_not_count_are_counted_as_they_come(store: Store):
    for number in (1, 2):
        with store.transaction():
            store.credit(top_up("10.00", cause=f"sandbox:{number}"), PURSE, None)
            store.credit(top_up("10.00", cause=f"sandbox:{number}"), PURSE, None)
    assert store.last_credit(PURSE) == 2
    enter(store, KEY, code(2 + WINDOW, "1.00"), PURSE, at(0))
    with pytest.raises(Wrong):
        enter(store, KEY, code(3 + WINDOW, "1.00"), PURSE, at(0))


def test_a_code_is_as_lasting_as_a_credit(tmp_path: Path, store: Store):
    enter(store, KEY, code(1, "50.00"), PURSE, at(0))
    backup = tmp_path / "backup.sqlite"
    ledger_file.backup(tmp_path / "ledger.sqlite", backup)
    store.close()

    again = Store(tmp_path / "ledger.sqlite", "GW-0001")
    assert balance(again) == "50.00"
    with pytest.raises(IsTyped):
        enter(again, KEY, code(1, "50.00"), PURSE, at(60))
    again.close()
    assert onlooker.read_balances(backup) == {PURSE: Money.yuan("50.00")}
    ledger_file.check_file(backup)


@pytest.mark.parametrize(
    ("said", "purse"),
    [
        (code(1, "50.00", WATER_PURSE), PURSE),  # of another purse
        (code(1 + WINDOW, "50.00"), PURSE),  # further ahead than a code may be
        (offline_code.make(bytes(32), purse=PURSE, credit=Credit(1, Money(1))), PURSE),  # gateway
        ("0010005000" + "0000000000", PURSE),
    ],
)
def test_a_wrong_code_gives_nothing_and_is_counted(store: Store, said: str, purse: UUID):
    with pytest.raises(Wrong):
        enter(store, KEY, said, purse, at(0))
    assert balance(store) == "0.00"
    assert store.wrong_codes() == (1, at(0))


@pytest.mark.parametrize("said", ["", "1234", "1234 5678 9012 3456 789x"])
def test_what_is_no_code_is_not_counted(store: Store, said: str):
    with pytest.raises(NotACode, match="20 digits"):
        enter(store, KEY, said, PURSE, at(0))
    assert store.wrong_codes() is None


def test_a_gateway_without_a_key_or_without_the_purse_says_so(store: Store):
    with pytest.raises(NoKey, match="not enrolled"):
        enter(store, None, code(1, "50.00"), PURSE, at(0))
    with pytest.raises(NoSuchPurse):
        enter(store, KEY, code(1, "50.00", STRANGER), STRANGER, at(0))


def test_a_held_ledger_takes_no_code(store: Store):
    with store.transaction():
        store.save_hold(Hold.RESTORED)
    with pytest.raises(Held):
        enter(store, KEY, code(1, "50.00"), PURSE, at(0))
    with pytest.raises(Held):
        codes.take_emergency(store, PURSE, at(0))
    assert balance(store) == "0.00"


# Guessing.


def guess(store: Store, seconds: float, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Wrong):
            enter(store, KEY, "00100050000000000000", PURSE, at(seconds))


def test_after_five_wrong_codes_each_next_try_waits_twice_as_long(store: Store):
    guess(store, 0, FREE)
    now = 0.0
    for length in (30, 60, 120, 240, 480, 900, 900):
        with pytest.raises(TooSoon, match="Wait 1 seconds"):
            enter(store, KEY, code(1, "50.00"), PURSE, at(now + length - 1))
        now += length
        guess(store, now)
    assert balance(store) == "0.00"


def test_a_right_code_waits_like_a_wrong_one_and_then_ends_the_count(store: Store):
    guess(store, 0, FREE)
    with pytest.raises(TooSoon):
        enter(store, KEY, code(1, "50.00"), PURSE, at(29))
    enter(store, KEY, code(1, "50.00"), PURSE, at(30))
    assert store.wrong_codes() is None
    assert balance(store) == "50.00"


def test_an_old_code_gives_no_new_tries(store: Store):
    credit(store, 1, "50.00")
    guess(store, 0, FREE)
    with pytest.raises(HasArrived):
        enter(store, KEY, code(1, "50.00"), PURSE, at(30))
    guess(store, 30)
    with pytest.raises(TooSoon):
        enter(store, KEY, code(1, "50.00"), PURSE, at(89))


def test_the_count_outlives_a_restart(tmp_path: Path, store: Store):
    guess(store, 0, FREE)
    store.close()
    again = Store(tmp_path / "ledger.sqlite", "GW-0001")
    with pytest.raises(TooSoon):
        enter(again, KEY, code(1, "50.00"), PURSE, at(29))
    again.close()


def test_a_clock_that_was_set_back_shuts_nobody_out(store: Store):
    guess(store, 0, FREE)
    enter(store, KEY, code(1, "50.00"), PURSE, EVENING - timedelta(days=365))
    assert balance(store) == "50.00"


def test_ten_wrong_codes_are_told_once_and_a_right_one_ends_the_alarm(store: Store):
    now = 0.0
    for _ in range(ALARM_AFTER + 2):
        guess(store, now)
        now += 900
    alarms = told(store, GatewayAlarm)
    assert [(a.alarm, a.is_over) for a in alarms] == [(Trouble.CODES_TRIED, False)]

    enter(store, KEY, code(1, "50.00"), PURSE, at(now))
    alarms = told(store, GatewayAlarm)
    assert [(a.alarm, a.is_over) for a in alarms] == [
        (Trouble.CODES_TRIED, False),
        (Trouble.CODES_TRIED, True),
    ]


def test_a_day_without_wrong_codes_ends_the_count_and_the_alarm(tmp_path: Path, store: Store):
    guess(store, 0, FREE)
    for tried in range(5):
        guess(store, 900 * (tried + 1))
    upkeep = Upkeep(
        store,
        tmp_path / "ledger.sqlite",
        kept=timedelta(days=1),
        reserve_bytes=0,
        now=lambda: now,
    )
    now = at(4500 + 86399)
    upkeep.look()
    assert store.wrong_codes() is not None
    now = at(4500 + 86400)
    upkeep.look()
    assert store.wrong_codes() is None
    assert store.trouble_since(Trouble.CODES_TRIED) is None


# At a meter.


@simulated
async def test_light_returns_at_once_when_a_code_is_typed_and_the_code_is_charged_like_any_credit(
    tmp_path: Path,
):
    room = Room(tmp_path)
    serving = asyncio.create_task(room.agent.run())
    await asyncio.sleep(10)
    room.meter.show("102.00")  # 2 kWh at 0.50 are the 1.00 that was there
    await until(lambda: room.meter.contact_open, within_s=70)
    await asyncio.sleep(10)

    enter(room.store, KEY, code(1, "5.00"), PURSE, EVENING)
    await until(lambda: not room.meter.command_open, within_s=1)  # allowed to close

    room.meter.press_key()
    room.meter.show("104.00")
    await asyncio.sleep(70)
    # 1.00 + 5.00 - 4 kWh at 0.50
    assert room.store.balance(PURSE) == Money.yuan("4.00")
    with room.store.transaction():
        room.store.credit(top_up("5.00"), PURSE, 1)
    assert room.store.balance(PURSE) == Money.yuan("4.00")
    serving.cancel()


# Emergency credit.

LENDING = replace(
    ELECTRICITY,
    policy=replace(
        ELECTRICITY.policy,
        emergency=EmergencyCredit(Money.yuan("10.00"), offered_at=Money.yuan("0.50")),
    ),
)


async def visit(room: Room, total: str) -> SupplyChanged:
    """The register shows this, and the point is visited; what was last told of its supply."""
    room.meter.show(total)
    (point,) = room.store.points().values()
    await asyncio.sleep(10)
    await room.agent.visit(point)
    return room.told(SupplyChanged)[-1]


@simulated
async def test_emergency_credit_taken_at_the_gateway_lights_the_room_until_it_is_used_up(
    tmp_path: Path,
):
    room = Room(tmp_path, points=(LENDING,))
    await visit(room, "100.00")
    with pytest.raises(NotOffered):
        codes.take_emergency(room.store, PURSE, EVENING)  # 1.00 is above 0.50
    await visit(room, "102.00")
    assert room.meter.contact_open

    lent = codes.take_emergency(room.store, PURSE, EVENING)

    assert lent == Money.yuan("10.00")
    assert codes.take_emergency(room.store, PURSE, EVENING) == lent  # again changes nothing
    assert room.told(EmergencyTaken) == [EmergencyTaken(PURSE, EVENING, "gateway")]
    assert (await visit(room, "102.00")).why is Why.EMERGENCY
    assert not room.meter.command_open
    room.meter.press_key()
    # 19.98 kWh at 0.50 more are 9.99: 0.01 is left of what was lent. Then it is cut.
    assert (await visit(room, "121.98")).wanted is Supply.ON
    assert room.store.balance(PURSE) == Money.yuan("-9.99")
    assert (await visit(room, "122.00")).why is Why.NO_CREDIT
    assert room.meter.contact_open


@simulated
async def test_a_top_up_repays_what_was_lent_and_only_above_the_offer_it_is_over(tmp_path: Path):
    room = Room(tmp_path, points=(LENDING,))
    await visit(room, "100.00")
    await visit(room, "102.00")
    codes.take_emergency(room.store, PURSE, EVENING)
    await visit(room, "110.00")  # 8 kWh at 0.50: -4.00
    room.credit("4.50", cause="sandbox:2")
    await visit(room, "110.00")
    assert room.store.balance(PURSE) == Money.yuan("0.50")  # at the level of the offer, not above
    assert room.told(EmergencyRepaid) == []
    assert room.store.lent(PURSE) is not None

    room.credit("0.01", cause="sandbox:3")
    await visit(room, "110.00")

    assert [repaid.purse for repaid in room.told(EmergencyRepaid)] == [PURSE]
    assert room.store.lent(PURSE) is None
    # It is to be taken anew the next time: 0.51 - 2 kWh at 0.50 are -0.49, and it is cut.
    assert (await visit(room, "112.00")).why is Why.NO_CREDIT
    codes.take_emergency(room.store, PURSE, EVENING)
    assert (await visit(room, "112.00")).wanted is Supply.ON


@simulated
async def test_what_was_lent_is_known_after_a_restart(tmp_path: Path):
    room = Room(tmp_path, points=(LENDING,))
    await visit(room, "100.00")
    await visit(room, "102.00")
    codes.take_emergency(room.store, PURSE, EVENING)
    room.store.close()

    room.store = Store(tmp_path / "ledger.sqlite", "GW-0001")
    room.start(settle_s=60)

    assert (await visit(room, "102.00")).why is Why.EMERGENCY


# Taps.

ASKING = replace(
    ELECTRICITY,
    policy=Policy(
        alarm_at=Money.yuan("0.50"),
        final_alarm_at=ZERO,
        restore=Restore.DIRECT,
        dwell=timedelta(0),
        ask_after=timedelta(hours=1),
    ),
)


@simulated
async def test_after_a_long_cut_supply_waits_until_the_taps_are_said_to_be_closed(tmp_path: Path):
    room = Room(tmp_path, points=(ASKING,))
    await visit(room, "100.00")
    await visit(room, "102.00")
    assert room.meter.contact_open
    with pytest.raises(NotAsked):
        codes.close_taps(room.store, ASKING.id, EVENING)
    await asyncio.sleep(3700)
    room.credit("20.00")
    assert (await visit(room, "102.00")).why is Why.TAPS
    assert room.meter.contact_open

    codes.close_taps(room.store, ASKING.id, EVENING)

    assert (await visit(room, "102.00")).wanted is Supply.ON
    assert not room.meter.contact_open
    # The answer was for that cut. 40 kWh at 0.50 are 20.00: cut again, and asked again an hour later.
    await visit(room, "142.00")
    assert room.meter.contact_open
    await asyncio.sleep(3700)
    room.credit("20.00", cause="sandbox:3")
    assert (await visit(room, "142.00")).why is Why.TAPS


@simulated
async def test_after_a_short_cut_nobody_is_asked_for_the_taps_also_not_after_a_restart(
    tmp_path: Path,
):
    room = Room(tmp_path, points=(ASKING,))
    await visit(room, "100.00")
    await visit(room, "102.00")
    await asyncio.sleep(1800)
    room.store.close()
    room.store = Store(tmp_path / "ledger.sqlite", "GW-0001")
    room.start(settle_s=60)
    room.credit("20.00")

    assert (await visit(room, "102.00")).wanted is Supply.ON
    assert not room.meter.contact_open


@simulated
async def test_a_cut_of_which_no_trusted_clock_tells_how_long_it_was_is_asked_for(tmp_path: Path):
    room = Room(tmp_path, points=(ASKING,))
    await visit(room, "100.00")
    await visit(room, "102.00")
    room.store.close()
    room.store = Store(tmp_path / "ledger.sqlite", "GW-0001")
    room.start(settle_s=60, system=lambda: None)  # after a power cut nobody keeps the clock
    room.credit("20.00")

    assert (await visit(room, "102.00")).why is Why.TAPS
    codes.close_taps(room.store, ASKING.id, EVENING)
    assert (await visit(room, "102.00")).wanted is Supply.ON


def test_a_book_is_called_as_everywhere(store: Store):
    enter(store, KEY, code(1, "50.00"), PURSE, at(0))
    (book,) = store._db.execute("SELECT book FROM typed").fetchone()
    assert book == prepaid(PURSE)
