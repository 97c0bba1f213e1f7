"""Setting up an estate: what is sent to the gateway, and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import select

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import estate, topups, uplog
from cloud.services.money.stages import stages_of
from cloud.tables import Account, Building, Gateway, Purse, Room, Site
from prepaid.money import Money
from prepaid.point import Meter, Policy, Restore
from prepaid.tariff_document import BadTariff
from prepaid.wire.downlog import Credited, PointSet, TariffSet, read_down
from prepaid.wire.entry import Cursor
from prepaid.wire.envelope import Envelope
from tests.cloud.conftest import NOON
from tests.cloud.test_overrides import staff

pytestmark = pytest.mark.processes

__all__ = ["staff"]  # a fixture

METER = Meter("M9", "dlt645-2007", "L1", "000000000009", 6, Decimal("0.01"), Decimal(60))


@pytest.fixture
def session(database, home):
    with database.organization(home.organization_id) as opened:
        yield opened


@pytest.fixture
def add_point(session, home):
    """Adds a point to room 0301, but for what is given."""

    def add_point(**changed):
        return estate.add_point(
            session,
            **{
                "room": session.get_one(Room, home.room_id),
                "gateway": session.get_one(Gateway, home.gateway_id),
                "purse": session.get_one(Purse, home.electricity_purse),
                "name": "0301 空调",
                "commodity": "electricity",
                "meter": METER,
                "tariff_code": "power",
                "policy": Policy(),
                **changed,
            },
        )

    return add_point


def down(session, gateway_id) -> list[object]:
    rows = session.execute(
        select(tables.DownEntry.body)
        .where(tables.DownEntry.gateway_id == gateway_id)
        .order_by(tables.DownEntry.seq)
    ).scalars()
    return [read_down(body) for body in rows]


def test_a_tariff_is_sent_once_and_before_the_points_that_use_it(session, home, add_point):
    point = add_point()
    messages = down(session, home.gateway_id)
    assert [type(m) for m in messages] == [TariffSet, PointSet, TariffSet, PointSet, PointSet]
    assert messages[4].point.id == point.id
    assert messages[4].point.meter == METER
    assert messages[4].point.policy == Policy()


def test_how_much_water_may_flow_when_its_valve_is_opened_is_told_with_the_point(
    session, home, staff
):
    water = {
        "room_id": str(home.room_id),
        "gateway_id": str(home.gateway_id),
        "name": "0301 厨房水",
        "tariff_code": "water",
        "meter": {"model": "cjt188-cold", "meter_no": "78330011223344", "line": "L1"},
        "restore": "direct",
    }
    assert staff.post("/api/points", json={**water, "leak_per_hour": "0"}).status_code == 422
    assert staff.post("/api/points", json={**water, "leak_per_hour": "1"}).status_code == 201

    policy = down(session, home.gateway_id)[-1].point.policy
    assert policy == Policy(restore=Restore.DIRECT, leak_per_hour=Decimal(1))


def test_money_paid_before_a_purse_has_a_gateway_is_sent_before_its_first_point(
    session, home, add_point
):
    building = session.execute(select(Building)).scalar_one()
    room = estate.add_room(session, building, "0302", 3)
    account = estate.open_account(session, room, "李四")
    purse = estate.add_purse(session, account, "electricity")
    by = SignedIn(home.user_id, home.organization_id, "home", "home")
    paid = [
        topups.record_cash(
            session, purse_id=purse.id, amount=Money.yuan(yuan), by=by, idempotency_key=uuid4()
        )
        for yuan in ("20", "30")
    ]
    assert not [m for m in down(session, home.gateway_id) if isinstance(m, Credited)]

    document = {**session.execute(select(tables.TariffDocument.document)).scalars().all()[0]}
    estate.publish_tariff(session, home.organization_id, {**document, "code": "new"})
    point = add_point(room=room, purse=purse, tariff_code="new")

    # 4 entries are there; then the tariff, ¥20, ¥30, and only then the point.
    tariff, first, second, last = down(session, home.gateway_id)[4:]
    assert isinstance(tariff, TariffSet)
    assert [str(m.transfer.amount) for m in (first, second)] == ["20.00", "30.00"]
    assert isinstance(last, PointSet)
    assert last.point.id == point.id
    assert [(t.gateway_id, t.down_seq) for t in paid] == [
        (home.gateway_id, 6),
        (home.gateway_id, 7),
    ]


def test_money_paid_before_a_purse_has_a_gateway_is_delivered_with_its_first_point(database, home):
    by = SignedIn(home.user_id, home.organization_id, "home", "home")
    with database.organization(home.organization_id) as session:
        building = session.execute(select(Building)).scalar_one()
        room = estate.add_room(session, building, "0302", 3)
        purse = estate.add_purse(session, estate.open_account(session, room, "李四"), "water")
        topup = topups.record_cash(
            session, purse_id=purse.id, amount=Money.yuan("20"), by=by, idempotency_key=uuid4()
        )
        estate.add_point(
            session,
            room=room,
            gateway=session.get_one(Gateway, home.gateway_id),
            purse=purse,
            name="0302 水",
            commodity="cold_water",
            meter=METER,
            tariff_code="water",
            policy=Policy(),
        )
    with database.system() as session:
        gateway = uplog.gateway_of(session, home.gateway_no)
        has_all = Cursor(gateway.down_log, gateway.down_seq)
        uplog.receive(session, gateway, Envelope((), has_all), now=NOON)
    with database.organization(home.organization_id) as session:
        assert stages_of(session, topup.id, now=NOON).delivered_at == NOON


def test_what_is_there_already_is_refused_by_name(session, home, add_point):
    site = session.get_one(Site, home.site_id)
    building = session.execute(select(Building)).scalar_one()
    room = session.get_one(Room, home.room_id)
    for said, add in (
        ("already a site home", lambda: estate.add_site(session, home.organization_id, "home")),
        ("already a building A", lambda: estate.add_building(session, site, "A")),
        ("already a room 0301 in A", lambda: estate.add_room(session, building, "0301", 3)),
        ("already a gateway GW-home", lambda: estate.add_gateway(session, site, "GW-home")),
        ("already an account for room 0301", lambda: estate.open_account(session, room, "李四")),
        (
            "already somebody who signs in as home",
            lambda: estate.add_user(session, home.organization_id, "home", "x" * 12, "x"),
        ),
        (
            "already a purse for water",
            lambda: estate.add_purse(session, session.get_one(Account, home.account_id), "water"),
        ),
        ("already meter home-电", lambda: add_point(meter=replace(METER, meter_no="home-电"))),
        (
            "address 000000000301 on line L1",
            lambda: add_point(meter=replace(METER, address="000000000301")),
        ),
    ):
        with pytest.raises(estate.Taken, match=said):
            add()
    assert len(down(session, home.gateway_id)) == 4  # and nothing was sent


def test_what_cannot_be_is_refused_with_the_reason(session, home, add_point, database):
    site = session.get_one(Site, home.site_id)
    water = session.get_one(Purse, home.water_purse)
    for error, said, add in (
        (estate.BadValue, "1 to 40 letters", lambda: estate.add_gateway(session, site, "a.b")),
        (estate.BadValue, "1 to 40 letters", lambda: estate.add_gateway(session, site, "a" * 41)),
        (estate.BadValue, "1 to 40 letters", lambda: estate.add_gateway(session, site, "网关")),
        (
            estate.BadValue,
            "cloud is the name by which",
            lambda: estate.add_gateway(session, site, "cloud"),
        ),
        (
            estate.BadValue,
            "at least 10",
            lambda: estate.add_user(session, site.organization_id, "n", "short", "n"),
        ),
        (
            estate.BadValue,
            "none called Mars",
            lambda: estate.add_site(session, site.organization_id, "n", "Mars"),
        ),
        (
            estate.BadValue,
            "none called Asia",  # which is a folder of zones
            lambda: estate.add_site(session, site.organization_id, "n", "Asia"),
        ),
        (estate.BadValue, "1 to 200 characters", lambda: estate.add_building(session, site, " ")),
        (estate.NoSuchTariff, "no tariff none", lambda: add_point(tariff_code="none")),
        (estate.BadValue, "it prices cold water", lambda: add_point(tariff_code="water")),
        (estate.WrongPurse, "for water, not for electricity", lambda: add_point(purse=water)),
        (estate.BadValue, "above zero", lambda: add_point(meter=replace(METER, step=Decimal(0)))),
    ):
        with pytest.raises(error, match=said):
            add()


def test_a_property_purse_cannot_be_what_a_supply_depends_on(session, home, add_point):
    account = session.get_one(Account, session.get_one(Purse, home.water_purse).account_id)
    fees = estate.add_purse(session, account, "property")
    with pytest.raises(estate.WrongPurse, match="for property fees, not for electricity"):
        add_point(purse=fees)


def test_a_utility_purse_pays_for_electricity_and_water(session, home, add_point):
    account = session.get_one(Account, session.get_one(Purse, home.water_purse).account_id)
    both = estate.add_purse(session, account, "utility")
    power = add_point(purse=both)
    water = add_point(
        purse=both,
        name="0301 水",
        commodity="cold_water",
        tariff_code="water",
        meter=replace(METER, meter_no="M10", address="000000000010"),
    )
    assert power.purse_id == water.purse_id == both.id


def test_a_purse_is_charged_by_one_gateway_and_pays_for_its_own_account_only(
    session, home, add_point
):
    site = session.get_one(Site, home.site_id)
    building = session.execute(select(Building)).scalar_one()
    other_gateway = estate.add_gateway(session, site, "GW-2")
    with pytest.raises(estate.WrongPurse, match="another gateway"):
        add_point(gateway=other_gateway)
    other_room = estate.add_room(session, building, "0302", 3)
    with pytest.raises(estate.WrongPurse, match="not that of the room"):
        add_point(room=other_room)


def test_a_tariff_is_checked_and_never_changed(session, home):
    document = session.execute(
        select(tables.TariffDocument.document).where(tables.TariffDocument.code == "power")
    ).scalar_one()
    estate.publish_tariff(session, home.organization_id, document)  # the same: nothing to do
    with pytest.raises(estate.TariffPublished, match="power is published"):
        estate.publish_tariff(session, home.organization_id, {**document, "timezone": "UTC"})
    with pytest.raises(BadTariff, match="currency: must be CNY"):
        estate.publish_tariff(session, home.organization_id, {**document, "currency": "USD"})


def test_money_that_comes_while_a_purse_gets_its_first_point_reaches_the_gateway_once(
    database, home
):
    by = SignedIn(home.user_id, home.organization_id, "home", "home")
    for number in range(5):
        with database.organization(home.organization_id) as session:
            building = session.execute(select(Building)).scalar_one()
            room = estate.add_room(session, building, f"04{number}", 4)
            account = estate.open_account(session, room, "王五")
            purse = estate.add_purse(session, account, "electricity")

        def pay(purse_id=purse.id):
            with database.organization(home.organization_id) as session:
                topups.record_cash(
                    session, purse_id=purse_id, amount=Money(500), by=by, idempotency_key=uuid4()
                )

        def add(number=number, room_id=room.id, purse_id=purse.id):
            meter = replace(METER, meter_no=f"R{number}", address=f"{number:012}")
            with database.organization(home.organization_id) as session:
                estate.add_point(
                    session,
                    room=session.get_one(Room, room_id),
                    gateway=session.get_one(Gateway, home.gateway_id),
                    purse=session.get_one(Purse, purse_id),
                    name=f"04{number}",
                    commodity="electricity",
                    meter=meter,
                    tariff_code="power",
                    policy=Policy(),
                )

        with ThreadPoolExecutor(3) as threads:
            for done in [threads.submit(work) for work in (pay, add, pay)]:
                done.result()
        with database.organization(home.organization_id) as session:
            messages = down(session, home.gateway_id)
        sent = [
            m for m in messages if isinstance(m, Credited) and str(purse.id) in m.transfer.credit
        ]
        assert len({m.transfer.id for m in sent}) == len(sent) == 2
