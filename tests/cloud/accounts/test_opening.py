"""Opening 开户: what the books, the room and the gateway know after it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col

from cloud.auth import NotAllowed, SignedIn
from cloud.permissions import Role
from cloud.services import audit, estate, ledger
from cloud.services.accounts import acts, drafts, households, opening
from cloud.services.accounts.drafts import (
    BadDraft,
    DraftTaken,
    FirstMoney,
    Holder,
    HolderKind,
    Levels,
    NoSuchDraft,
    Persons,
    PointDraft,
)
from cloud.services.accounts.opening import Delivery, RoomTaken
from cloud.services.tariffs import assignments
from cloud.services.topups import NoSuchPurse
from cloud.tables import Account, Gateway, Purse, Site, TariffDocument, Tenure
from prepaid.ledger import OPENING, receivable
from prepaid.money import ZERO, Money
from prepaid.point import Opening
from prepaid.purse import Purpose
from prepaid.wire.downlog import Credited, PointSet
from tests.cloud.accounts.conftest import NOW, add_vacant, point_told, told
from tests.cloud.conftest import flat

pytestmark = pytest.mark.processes

YUAN = Money.yuan


def opened(session, by, draft, *, now=NOW):
    row = drafts.save(session, by, draft, draft_id=None, now=now)
    return opening.open_draft(session, by, row.id, now=now)


def purse_for(session, account, purpose):
    return session.execute(
        select(Purse).where(col(Purse.account_id) == account.id, col(Purse.purpose) == purpose)
    ).scalar_one()


def test_an_account_is_opened_in_one_step_with_all_that_its_draft_says(session, home, by, vacant):
    room = vacant()
    before = session.get_one(Gateway, home.gateway_id).down_seq
    seen = datetime(2026, 3, 2, 3, tzinfo=UTC)
    holder = Holder(
        "好运来餐饮有限公司",
        HolderKind.COMPANY,
        "0571-88001234",
        date(2026, 3, 1),
        date(2027, 2, 28),
        (Persons(date(2026, 1, 1), 3), Persons(date(2026, 9, 1), 5)),
    )
    account = opened(
        session,
        by,
        room.draft(
            holder=holder,
            points=(
                PointDraft(
                    room.electricity,
                    Purpose.ELECTRICITY,
                    typed_total=Decimal("1234.56"),
                    typed_at=seen,
                ),
                PointDraft(room.water, Purpose.WATER),
            ),
            money=(
                FirstMoney(Purpose.ELECTRICITY, YUAN("100"), YUAN("23.40")),
                FirstMoney(Purpose.WATER, ZERO, YUAN("-8.00")),
            ),
            levels=Levels(YUAN("20"), YUAN("5"), YUAN("10")),
        ),
    )

    power, water = (purse_for(session, account, p) for p in ("electricity", "water"))
    # 100.00 in cash and 23.40 from the meter that was there before; what was owed for water is a debt.
    assert ledger.balance(session, power.id) == YUAN("123.40")
    assert ledger.balance(session, water.id) == ZERO
    (debt,) = ledger.transfers_of(session, receivable(account.id))
    assert (debt.debit, debt.credit) == (receivable(account.id), OPENING)
    assert debt.amount == YUAN("8.00")

    news = told(session, home.gateway_id, before)
    assert [type(m) for m in news] == [Credited, Credited, PointSet, PointSet]  # money first
    assert [str(m.transfer.amount) for m in news[:2]] == ["23.40", "100.00"]
    point = point_told(session, home.gateway_id, room.electricity)
    assert (point.purse, point.persons) == (power.id, 3)
    assert point.opening == Opening(Decimal("1234.56"), seen)
    assert (point.policy.alarm_at, point.policy.overdraft) == (YUAN("20"), YUAN("10"))
    assert (account.holder_kind, account.phone) == ("company", "0571-88001234")
    # The contract's last day ends at 16:00 UTC; the link outlives it by 30 days.
    assert account.link_until == datetime(2027, 2, 28, 16, tzinfo=UTC) + timedelta(days=30)
    assert [act.act for act, _ in acts.of_account(session, account.id)] == ["opened"]


def test_every_opening_is_in_the_audit_log(database, home, by):
    with database.organization(home.organization_id) as session:
        account = opened(session, by, add_vacant(session, home, "0401").draft())
    with database.system() as session:
        assert all(chain.fault is None for chain in audit.verify(session))
        entry = audit.AuditEntry
        found = session.execute(
            select(col(entry.act), col(entry.subject_id)).order_by(col(entry.number).desc())
        ).first()
    assert found == ("account.opened", str(account.id))


def test_while_the_gateway_is_away_the_account_is_open_and_each_meter_waits_for_it(
    database, home, by, gateway
):
    with database.organization(home.organization_id) as session:
        room = add_vacant(session, home, "0401")
    gateway.has_everything()
    with database.organization(home.organization_id) as session:
        account = opened(session, by, room.draft(money=(FirstMoney(Purpose.WATER, YUAN("30")),)))
        power = purse_for(session, account, "electricity")
        waiting = opening.meters(session, account.id, now=NOW)
    assert [m.delivery for m in waiting] == [Delivery.WAITS] * 2

    later = NOW + timedelta(hours=5)
    gateway.has_everything(now=later)
    with database.organization(home.organization_id) as session:
        had = opening.meters(session, account.id, now=later)
    assert [(m.delivery, m.delivered_at) for m in had] == [(Delivery.DELIVERED, later)] * 2

    gateway.says(gateway.opens(room.electricity, power.id, "88.20", later), now=later)
    with database.organization(home.organization_id) as session:
        begun = {m.name: m for m in opening.meters(session, account.id, now=later)}
        vacancy = session.execute(
            select(Tenure).where(
                col(Tenure.point_id) == room.electricity, col(Tenure.purse_id).is_(None)
            )
        ).scalar_one()
    assert begun["0401 电"].delivery is Delivery.BEGUN
    assert begun["0401 电"].opened_total == Decimal("88.20")
    assert begun["0401 水"].delivery is Delivery.DELIVERED
    assert vacancy.closed_total == Decimal("88.20")


def test_of_two_operators_who_open_one_room_one_wins_and_the_other_is_told(database, home, by):
    with database.organization(home.organization_id) as session:
        room = add_vacant(session, home, "0401")

    def open_for(holder):
        with database.organization(home.organization_id) as session:
            return opening.open_account(session, by, room.draft(holder), key=uuid4(), now=NOW)

    with ThreadPoolExecutor(4) as threads:
        tries = [threads.submit(open_for, name) for name in ("李四", "王五", "赵六", "孙七")]
        errors = [task.exception() for task in tries]
    winner = next(t.result().holder for t in tries if t.exception() is None)
    refused = [error for error in errors if error is not None]
    assert [type(error) for error in refused] == [RoomTaken] * 3
    assert {error.status for error in refused} == {409}
    assert all("room 0401".lower() in str(e).lower() and winner in str(e) for e in refused)
    with database.organization(home.organization_id) as session:
        assert len(session.execute(select(Account)).all()) == 2  # home's, and this one
        assert len(session.execute(select(Purse)).all()) == 4


def test_a_draft_is_opened_once(session, by, vacant):
    row = drafts.save(session, by, vacant().draft(), draft_id=None, now=NOW)
    opening.open_draft(session, by, row.id, now=NOW)
    with pytest.raises(NoSuchDraft):
        opening.open_draft(session, by, row.id, now=NOW)


def test_a_room_has_one_draft_that_can_be_changed_or_thrown_away(session, by, vacant):
    room = vacant()
    first = drafts.save(session, by, room.draft("李四"), draft_id=None, now=NOW)
    with pytest.raises(DraftTaken, match="room 0401"):
        drafts.save(session, by, room.draft("王五"), draft_id=None, now=NOW)
    again = drafts.save(session, by, room.draft("王五"), draft_id=first.id, now=NOW)
    assert drafts.read(again).holder.name == "王五"

    drafts.discard(session, by, first.id, now=NOW)

    assert drafts.of_room(session, by, room.room_id) is None
    assert drafts.save(session, by, room.draft(), draft_id=None, now=NOW).id != first.id


def test_one_account_may_have_many_rooms_whose_meters_share_a_purse(session, home, by, vacant):
    one, other = vacant("0401"), vacant("0402")
    account = opened(
        session,
        by,
        replace(
            one.draft(),
            room_ids=(one.room_id, other.room_id),
            points=(
                *(PointDraft(p, Purpose.UTILITY) for p in (one.electricity, one.water)),
                *(PointDraft(p, Purpose.UTILITY) for p in (other.electricity, other.water)),
            ),
        ),
    )
    purse = purse_for(session, account, "utility")
    assert len(opening.meters(session, account.id, now=NOW)) == 4
    assert {
        point_told(session, home.gateway_id, point).purse
        for point in (one.electricity, one.water, other.electricity, other.water)
    } == {purse.id}


def test_rooms_at_two_gateways_have_a_purse_at_each(session, home, by, vacant):
    other_gateway = estate.add_gateway(session, session.get_one(Site, home.site_id), "GW-2")
    one, other = vacant("0401"), vacant("0402", other_gateway)
    draft = replace(
        one.draft(),
        room_ids=(one.room_id, other.room_id),
        points=(*one.draft().points, *other.draft().points),
        money=(FirstMoney(Purpose.ELECTRICITY, YUAN("50")),),
    )
    account = opened(session, by, draft)
    purses = session.execute(
        select(Purse).where(
            col(Purse.account_id) == account.id, col(Purse.purpose) == "electricity"
        )
    ).scalars()
    held = {p.gateway_id: ledger.balance(session, p.id) for p in purses}
    assert held == {home.gateway_id: YUAN("50"), other_gateway.id: ZERO}  # the first room's


def test_a_household_that_grows_on_a_day_is_told_on_that_day(session, home, by, vacant):
    room = vacant()
    holder = Holder("李四", persons=(Persons(date(2026, 1, 1), 3), Persons(date(2026, 9, 1), 5)))
    account = opened(session, by, room.draft(holder=holder))

    def persons_told():
        return point_told(session, home.gateway_id, room.electricity).persons

    # Midnight in Shanghai is 16:00 UTC.
    eve = datetime(2026, 8, 31, 15, 59, tzinfo=UTC)
    assert households.bring_up(session, home.organization_id, now=eve) == 0
    assert persons_told() == 3
    assert households.bring_up(session, home.organization_id, now=eve + timedelta(minutes=1)) == 2
    assert persons_told() == 5
    assert households.bring_up(session, home.organization_id, now=eve + timedelta(days=1)) == 0

    households.say(session, by, account.id, Persons(date(2026, 9, 1), 4), now=eve)
    assert [h.persons for h in households.of_account(session, account.id)] == [4, 3]


def test_what_cannot_be_is_refused_and_changes_nothing(session, home, by, vacant):
    room = vacant()
    good = room.draft()
    power = good.points[0]
    for said, draft in (
        ("must be a text", room.draft(" ")),
        ("6 to 20 digits", room.draft(holder=Holder("李四", phone="call me"))),
        (
            "ends before it begins",
            room.draft(
                holder=Holder(
                    "李四", contract_from=date(2026, 3, 1), contract_until=date(2026, 2, 1)
                )
            ),
        ),
        ("1 to 99", room.draft(holder=Holder("李四", persons=(Persons(date(2026, 1, 1), 0),)))),
        ("pays for 0401 水", replace(good, points=(power,))),
        (
            "pays for no cold water",
            replace(good, points=(power, PointDraft(room.water, Purpose.ELECTRICITY))),
        ),
        (
            "none that prices electricity",
            replace(good, points=(replace(power, tariff_code="water"), good.points[1])),
        ),
        (
            "6 digits",
            replace(
                good,
                points=(
                    replace(power, typed_total=Decimal(1000000), typed_at=NOW),
                    good.points[1],
                ),
            ),
        ),
        (
            "time is to come",
            replace(
                good,
                points=(
                    replace(power, typed_total=Decimal(1), typed_at=NOW + timedelta(seconds=1)),
                    good.points[1],
                ),
            ),
        ),
        ("not negative", replace(good, money=(FirstMoney(Purpose.WATER, YUAN("-1")),))),
        (
            "no meter is paid for",
            replace(good, money=(FirstMoney(Purpose.UTILITY, YUAN("1")),)),
        ),
        ("alarm levels", replace(good, levels=Levels(YUAN("1"), YUAN("5")))),
    ):
        with pytest.raises(BadDraft, match=said):
            drafts.save(session, by, draft, draft_id=None, now=NOW)
    with pytest.raises(RoomTaken, match="0301 already has an account, in the name of 张三"):
        opening.open_account(
            session,
            by,
            replace(
                good,
                room_ids=(home.room_id,),
                points=(
                    PointDraft(home.electricity, Purpose.ELECTRICITY),
                    PointDraft(home.water, Purpose.WATER),
                ),
            ),
            key=uuid4(),
            now=NOW,
        )
    assert len(session.execute(select(Account)).all()) == 1


def test_only_who_may_take_money_opens_with_a_first_top_up(session, by, vacant):
    operator = SignedIn(
        by.user_id, by.organization_id, by.login, by.name, frozenset({Role.OPERATOR})
    )
    draft = vacant().draft(money=(FirstMoney(Purpose.WATER, YUAN("10")),))
    with pytest.raises(NotAllowed):
        opening.open_account(session, operator, draft, key=uuid4(), now=NOW)
    account = opening.open_account(
        session, operator, replace(draft, money=()), key=uuid4(), now=NOW
    )
    assert account.holder == "李四"


def test_nothing_can_be_paid_into_a_purse_of_another_organization(session, by, build):
    there = build("there")
    with pytest.raises(NoSuchPurse):
        opening.topups.record_cash(
            session,
            purse_id=there.water_purse,
            amount=YUAN("1"),
            by=by,
            idempotency_key=uuid4(),
        )


def test_a_tariff_chosen_at_the_opening_is_not_changed_by_what_the_site_is_assigned_later(
    session, home, by, vacant
):
    one, other = vacant("0401"), vacant("0402")
    for code in ("shops", "homes"):
        estate.publish_tariff(
            session, home.organization_id, flat(code, "electricity", "kWh", "0.90")
        )
    chosen = replace(one.draft().points[0], tariff_code="shops")
    opened(session, by, replace(one.draft(), points=(chosen, one.draft().points[1])))
    opened(session, by, other.draft())  # no tariff of its own

    homes = session.execute(
        select(TariffDocument).where(col(TariffDocument.code) == "homes")
    ).scalar_one()
    assignments.assign(
        session,
        by,
        homes.id,
        point_id=None,
        class_=None,
        site_id=home.site_id,
        since=NOW,
        now=NOW,
    )

    assert point_told(session, home.gateway_id, one.electricity).tariff == "shops"
    assert point_told(session, home.gateway_id, other.electricity).tariff == "homes"
