"""The nightly re-rating: what agrees, what it finds, and what must not confuse it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import select, update

from cloud import tables
from cloud.services import downlog, ledger, uplog
from cloud.services.readings import rerating
from prepaid import rating
from prepaid.ledger import Reason, Transfer, income, prepaid
from prepaid.money import Money
from prepaid.rating import Position
from prepaid.reading import Reading, Supply
from prepaid.register.evidence import Confidence, Effect, Evidence, Kind
from prepaid.tariff_document import parse
from prepaid.wire.downlog import PointSet, TariffSet, read_down
from prepaid.wire.entry import NO_ENTRY, Entry
from prepaid.wire.envelope import Envelope, Takeover
from prepaid.wire.uplog import Charged, Read, Up, write_up
from tests.cloud.conftest import flat
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture

# Midnight in Shanghai, 16:00 UTC, is where the bands of DAY_AND_NIGHT change.
EVENING = datetime(2026, 3, 2, 15, 50, tzinfo=UTC)


def at(minute: float) -> datetime:
    return EVENING + timedelta(minutes=minute)


class Gateway:
    """A gateway that charges as a real one does, from what it has been told, and tells the cloud in order."""

    def __init__(self, database, home) -> None:
        self._database, self._home = database, home
        self.log, self.seq, self.previous = UUID(int=1), 0, NO_ENTRY
        self.position: Position | None = None
        self.learn()

    def learn(self) -> None:
        """Takes all that the cloud has decided."""
        with self._database.system() as session:
            gateway = session.get(tables.Gateway, self._home.gateway_id)
            entries = downlog.after(session, gateway, 0)
        self.known = entries[-1].seq
        messages = [read_down(entry.body) for entry in entries]
        points = [m.point for m in messages if isinstance(m, PointSet)]
        self.point = [p for p in points if p.id == self._home.electricity][-1]
        documents = [m.document for m in messages if isinstance(m, TariffSet)]
        self.tariff = parse([d for d in documents if d["code"] == self.point.tariff][-1])

    def read(self, minute: float, total: str, *, wrong_by: int = 0, is_told: bool = True) -> None:
        """Reads and charges; wrong_by is in fen, and what a gateway out of order would charge beside it."""
        reading = Reading(self.point.meter.meter_no, at(minute), Decimal(total), Supply.ON)
        told: list[Up] = [Read(self.point.id, reading, known=self.known)]
        if self.position is None:
            self.position = rating.open_position(self.point, self.tariff, reading)
            told.append(Charged(self.point.id, self.position, (), is_start=True, known=self.known))
        else:
            moved = reading.total - self.position.reading.total
            self.position, charges = rating.rate(
                self.point, self.tariff, self.position, reading, moved=moved
            )
            transfers = rating.transfers(self.point, self.position, charges)
            if wrong_by:
                (one,) = transfers
                transfers = (replace(one, amount=one.amount + Money(wrong_by)),)
            if transfers:
                told.append(Charged(self.point.id, self.position, transfers, known=self.known))
        if is_told:
            self.tell(*told)

    def tell(self, *messages: Up, takeover: Takeover | None = None) -> None:
        entries = []
        for message in messages:
            self.seq += 1
            entries.append(Entry(self.log, self.seq, write_up(message), previous=self.previous))
            self.previous = entries[-1].hash()
        with self._database.system() as session:
            gateway = uplog.gateway_of(session, self._home.gateway_no)
            envelope = Envelope(tuple(entries), sender=self.log, takeover=takeover)
            assert uplog.receive(session, gateway, envelope, now=at(600)) is None
            rejected = session.execute(select(tables.Rejected.reason)).scalars().all()
            assert rejected == []


@pytest.fixture
def gateway(database, home) -> Gateway:
    return Gateway(database, home)


@pytest.fixture
def rerate(database, home):
    def rerate(*, from_the_first: bool = False) -> rerating.Found:
        return rerating.rerate(
            database,
            home.organization_id,
            now=at(900),
            is_stopping=lambda: False,
            from_the_first=from_the_first,
        )

    return rerate


@pytest.fixture
def differences(database, home):
    def differences() -> list[tuple[str, datetime, int, int]]:
        with database.organization(home.organization_id) as session:
            rows = session.execute(
                select(tables.RatingDifference).order_by(tables.RatingDifference.at)
            ).scalars()
            return [(row.item, row.at, row.booked_fen, row.expected_fen) for row in rows]

    return differences


def set_tariff(database, home, document) -> None:
    """The gateway is told of a tariff whole, as when it is published."""
    with database.system() as session:
        (gateway,) = downlog.lock(session, [home.gateway_id])
        downlog.append(session, gateway, [TariffSet(document)])


DAY_AND_NIGHT = flat("power", "electricity", "kWh", "0.50")
DAY_AND_NIGHT["versions"] = [
    {
        "effective_from": "2026-01-01T00:00:00+08:00",
        "bands": [
            {"band": "night", "from": "00:00", "to": "08:00"},
            {"band": "day", "from": "08:00", "to": "24:00"},
        ],
        "components": [{"item": "energy", "kind": "rate", "price": {"day": "0.8", "night": "0.3"}}],
    }
]


def test_what_the_gateway_charged_agrees_night_after_night(gateway, rerate, differences):
    gateway.read(0, "100")
    for minute in range(1, 11):
        gateway.read(minute, str(100 + minute))
    # 1 kWh at 0.50 = 50 fen each; the newest reading waits, so 9 of 10.
    found = rerate()
    assert (found.charges, found.differences) == (9, 0)

    gateway.read(11, "112")
    assert (rerate().charges, rerate().charges) == (1, 0)  # and then there is nothing new
    assert rerate(from_the_first=True).charges == 10
    assert differences() == []


def test_a_wrong_charge_is_found_with_what_it_should_have_been(
    gateway, rerate, differences, staff, database, home
):
    gateway.read(0, "100")
    gateway.read(1, "102")
    gateway.read(2, "104", wrong_by=7)  # 2 kWh at 0.50 = 100 fen, 107 are charged
    gateway.read(3, "106")
    gateway.read(4, "108")
    found = rerate()
    assert (found.charges, found.differences) == (3, 1)
    assert differences() == [("electricity", at(2), 107, 100)]

    with database.system() as session:
        row = session.execute(select(tables.RatingDifference)).scalar_one()
    assert (row.before_at, row.before_total, row.after_total) == (at(1), Decimal(102), Decimal(104))
    page = staff.get("/rerating").text
    assert "多扣 ¥0.07" in page
    assert "¥1.07" in page
    assert "102.00 kWh" in page
    rerate(from_the_first=True)
    assert differences() == [("electricity", at(2), 107, 100)]


def test_a_difference_that_somebody_has_explained_waits_for_nobody_until_its_amounts_change(
    gateway, rerate, differences, staff, database, home
):
    for minute in range(5):
        gateway.read(minute, str(100 + 2 * minute), wrong_by=7 if minute == 2 else 0)
    rerate()
    form = {"item": "electricity", "at": at(2).isoformat(), "why": "网关 1.2 版的错误，已补正"}
    url = f"/rerating/{home.electricity}"
    assert staff.post(url, data={**form, "why": ""}).status_code == 422
    assert staff.post(url, data={**form, "at": "yesterday"}).status_code == 404
    assert staff.post(url, data={**form, "item": "other"}).status_code == 404
    assert staff.post(url, data=form).status_code == 303

    rerate(from_the_first=True)  # it is found again, and stays explained
    page = staff.get("/rerating", headers={"Accept-Language": "en"}).text
    assert "Explained by somebody (1)" in page
    assert "网关 1.2 版的错误" in page
    assert "too much" not in page
    assert differences() == [("electricity", at(2), 107, 100)]

    with database.system() as session:
        session.execute(update(tables.RatingDifference).values(booked_fen=120))
    assert "too much" in staff.get("/rerating", headers={"Accept-Language": "en"}).text


@pytest.mark.parametrize("cause", ["{point}:electricity:{opened}:99", "{other}:electricity:x:1"])
def test_a_charge_that_no_reading_leads_to_is_found(
    gateway, rerate, differences, database, home, cause
):
    gateway.read(0, "100")
    for minute in range(1, 5):
        gateway.read(minute, str(100 + minute))
    name = cause.format(point=home.electricity, other=UUID(int=9), opened=at(0).isoformat())
    planted = Transfer(
        debit=prepaid(home.electricity_purse),
        credit=income("electricity"),
        amount=Money(31),
        reason=Reason.CHARGE,
        cause=name,
        at=at(2.5),
    )
    with database.system() as session:
        ledger.post(session, home.organization_id, [planted])
    rerate()
    assert differences() == [("electricity", at(2.5), 31, 0)]


def test_a_charge_that_is_not_booked_is_found(gateway, rerate, differences):
    gateway.read(0, "100")
    gateway.read(1, "102")
    position = gateway.position
    gateway.read(2, "104", is_told=False)
    reading = gateway.position.reading
    gateway.tell(Read(gateway.point.id, reading, known=gateway.known))  # the charge got lost
    gateway.read(3, "106")
    gateway.read(4, "108")
    rerate()
    assert position.reading.at == at(1)
    assert differences() == [("electricity", at(2), 0, 100)]


def test_each_reading_is_rated_by_the_tariff_that_the_gateway_had_then(
    gateway, rerate, differences, database, home
):
    gateway.read(0, "100")
    gateway.read(4, "104")
    set_tariff(database, home, DAY_AND_NIGHT)
    gateway.read(8, "108")  # it has not heard of it yet: 4 kWh at 0.50
    gateway.learn()
    gateway.read(12, "112")  # over midnight: 2 kWh by day at 0.80, 2 by night at 0.30
    gateway.read(16, "116")
    gateway.read(20, "120")
    assert rerate().charges == 4
    assert differences() == []


def test_a_doubtful_reading_leads_to_no_charge(gateway, rerate, differences):
    gateway.read(0, "100")
    doubt = Evidence(Kind.JUMP, Confidence.LIKELY, Effect.HELD, Decimal(899), Decimal(60), "x")
    reading = Reading(gateway.point.meter.meter_no, at(1), Decimal(999), Supply.ON)
    gateway.tell(Read(gateway.point.id, reading, (doubt,), known=gateway.known))
    gateway.read(2, "102")
    gateway.read(3, "103")
    assert (rerate().charges, differences()) == (1, [])


def test_what_a_store_read_that_was_replaced_is_not_counted_twice(
    gateway, rerate, differences, database, home
):
    set_tariff(database, home, DAY_AND_NIGHT)
    gateway.learn()
    gateway.read(0, "100")
    gateway.read(5, "105")
    told = gateway.position  # this is what the cloud knows of
    # Read, but nothing was charged: 0.001 kWh costs less than a fen.
    gateway.read(9, "105.001")
    rerate()

    gateway.log, gateway.seq, gateway.previous = UUID(int=2), 0, NO_ENTRY
    gateway.tell(takeover=Takeover(gateway.log, UUID(int=1)))
    gateway.learn()
    gateway.position = told
    # From 23:55 to 00:05: half by day, half by night, from the register that was charged last.
    gateway.read(15, "115")
    gateway.read(16, "116")
    gateway.read(17, "117")
    rerate()
    assert differences() == []
    rerate(from_the_first=True)
    assert differences() == []


def put_back(gateway: Gateway, minute: float, total: str) -> None:
    """The clock is put back to a minute before this one, at which the register is 1 higher."""
    gateway.position = rating.rebased(gateway.position, at(minute - 1))
    reading = Reading(gateway.point.meter.meter_no, at(minute), Decimal(total), Supply.ON)
    gateway.position, charges = rating.rate(
        gateway.point, gateway.tariff, gateway.position, reading, moved=Decimal(1)
    )
    clock = Evidence(Kind.CLOCK, Confidence.LIKELY, Effect.CHARGED, None, None, "x")
    gateway.tell(
        Read(gateway.point.id, reading, (clock,), known=gateway.known),
        Charged(
            gateway.point.id,
            gateway.position,
            rating.transfers(gateway.point, gateway.position, charges),
            is_start=True,
            known=gateway.known,
        ),
    )


def test_a_clock_that_is_put_back_confuses_nothing(gateway, rerate, differences):
    gateway.read(30, "100")
    gateway.read(31, "101")
    gateway.read(32, "102")
    rerate()
    put_back(gateway, 5, "103")
    for minute in range(6, 36):
        gateway.read(minute + 0.5, str(98 + minute))
    rerate()
    assert differences() == []
    rerate(from_the_first=True)
    assert differences() == []


def test_what_a_clock_ahead_has_dated_after_a_takeover_was_charged_before_it(
    gateway, rerate, differences
):
    gateway.learn()
    gateway.read(0, "100")
    gateway.read(30, "101")
    gateway.read(31, "102")
    put_back(gateway, 5, "103")
    gateway.read(6, "104")
    told = gateway.position  # this is what the cloud knows of
    gateway.read(7, "104.001")  # read, but costs less than a fen

    gateway.log, gateway.seq, gateway.previous = UUID(int=2), 0, NO_ENTRY
    gateway.tell(takeover=Takeover(gateway.log, UUID(int=1)))
    gateway.learn()
    gateway.position = told
    gateway.read(8, "105")
    gateway.read(9, "106")  # the newest: it waits, though what was dated later does not
    rerate()
    assert differences() == []
    gateway.read(10, "107")
    rerate()
    assert differences() == []
    rerate(from_the_first=True)
    assert differences() == []


def test_a_run_that_is_stopped_goes_on_where_it_was(gateway, rerate, database, home):
    gateway.read(0, "100")
    for minute in range(1, 4):
        gateway.read(minute, str(100 + minute))
    stopped = rerating.rerate(database, home.organization_id, now=at(900), is_stopping=lambda: True)
    assert stopped.charges == 0
    assert rerate().charges == 2


def test_the_report_says_when_nothing_differs(staff, gateway):
    assert "尚未复核" in staff.get("/rerating").text
