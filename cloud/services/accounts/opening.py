"""Opening 开户: one step from a draft to an account that is supplied, also while its gateway or meters are away.

All of it is decided in one transaction: account, rooms, purses, money, and what the gateways are to be told. What the
gateways know of it is told meter by meter (meters), and only by their own logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter
from sqlalchemy import select, text
from sqlmodel import Session, col

from cloud import auth, events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import audit, downlog, estate, ledger, topups
from cloud.services.accounts import acts, drafts, households, tenures
from cloud.services.accounts.acts import Act
from cloud.services.accounts.drafts import Draft, FirstMoney, Holder, PointDraft
from cloud.services.accounts.tenures import Typed
from cloud.services.money import purses
from cloud.services.tariffs import assignments
from cloud.tables import Account, Occupancy, Purse, Room, ServicePoint
from prepaid.ledger import OPENING, Reason, Transfer, prepaid, receivable
from prepaid.money import ZERO
from prepaid.point import Policy
from prepaid.purse import Purpose

LINK_OUTLIVES_CONTRACT = timedelta(days=30)

_POLICY = TypeAdapter(Policy)


class RoomTaken(CloudError):
    status = 409
    sentence = "Room {room} already has an account, in the name of {holder}. Nothing was opened."


def open_draft(session: Session, by: SignedIn, draft_id: UUID, *, now: datetime) -> Account:
    """The account, opened; a second person who opens the same room at the same time is told so.

    Raises drafts.NoSuchDraft, BadDraft (something has changed since it was saved), RoomTaken, scopes.NoSuchRoom or
    tenures.BadReading; then nothing is opened.
    """
    row = drafts.lock(session, by, draft_id)
    account = open_account(session, by, drafts.read(row), key=draft_id, now=now)
    row.opened_at, row.account_id, row.refused, row.refused_at = now, account.id, None, None
    session.add(row)
    session.flush()
    return account


def open_account(
    session: Session, by: SignedIn, draft: Draft, *, key: UUID, now: datetime
) -> Account:
    """As open_draft, from a draft that is not kept. key names this opening: its money is booked once."""
    if any(money.topup > ZERO for money in draft.money):
        auth.require(by, Permission.TAKE_TOPUPS)
    lock_rooms(session, draft.room_ids)
    check_free(session, draft.room_ids)
    drafts.check(session, by, draft, now=now)
    account = begin(session, by, draft.holder, draft.room_ids, now=now)
    points = {row.id: row for row in drafts.points_of(session, draft.room_ids)}
    paying = _purses(session, account, draft, points)
    gateways = {g.id: g for g in downlog.lock(session, {p.gateway_id for p in points.values()})}
    for money in draft.money:
        purse = next(p for (purpose, _), p in paying.items() if purpose == money.purpose)
        begin_with(session, by, account, purse, money, key=uuid5(key, money.purpose), now=now)
    for each in draft.points:
        row = points[each.point_id]
        _set_terms(session, by, row, each, draft, now=now)
        row.persons = households.in_force(
            session, account.id, today=today(session, row.room_id, now=now)
        )
        purse = paying[each.purpose, row.gateway_id]
        typed = _typed(each)
        tenures.begin(session, gateways[row.gateway_id], row, purse, typed=typed, now=now)
    acts.note(session, by, account, Act.OPENED, _detail(draft, points), now=now)
    audit.record(
        session,
        by,
        "account.opened",
        of="account",
        id=account.id,
        after=TypeAdapter(Draft).dump_python(draft, mode="json"),
        now=now,
    )
    return account


def lock_rooms(session: Session, room_ids: tuple[UUID, ...]) -> None:
    """Until the end of the transaction nobody else opens, closes or hands over these rooms."""
    session.execute(
        select(col(Room.id))
        .where(col(Room.id).in_(room_ids))
        .order_by(col(Room.id))
        .with_for_update()
    ).all()


def check_free(session: Session, room_ids: tuple[UUID, ...]) -> None:
    """Raises RoomTaken."""
    taken = session.execute(
        select(col(Room.name), col(Account.holder))
        .join(Occupancy, col(Occupancy.room_id) == col(Room.id))
        .join(Account, col(Account.id) == col(Occupancy.account_id))
        .where(col(Room.id).in_(room_ids), col(Occupancy.ended_at).is_(None))
        .order_by(col(Room.name))
    ).first()
    if taken is not None:
        raise RoomTaken(room=taken[0], holder=taken[1])


def begin(
    session: Session,
    by: SignedIn,
    holder: Holder,
    room_ids: tuple[UUID, ...],
    *,
    now: datetime,
    timezone_of: UUID | None = None,
) -> Account:
    """A new account with its household, and with these rooms, which are locked and free. Where there are none yet,
    timezone_of is a room that it will have."""
    timezone = ZoneInfo(_timezone(session, timezone_of or room_ids[0]))
    until = None
    if holder.contract_until is not None:
        last = datetime.combine(holder.contract_until, datetime.min.time(), timezone)
        until = last + timedelta(days=1) + LINK_OUTLIVES_CONTRACT
    account = Account(
        organization_id=by.organization_id,
        created_at=now,
        holder=holder.name.strip(),
        holder_kind=holder.kind.value,
        phone=holder.phone.strip() or None,
        contract_from=holder.contract_from,
        contract_until=holder.contract_until,
        link_until=until,
    )
    session.add(account)
    session.flush()
    occupy(session, account, room_ids, now=now)
    for said in holder.persons:
        households.keep(session, by, account, said, now=now)
    return account


def occupy(
    session: Session, account: Account, room_ids: tuple[UUID, ...], *, now: datetime
) -> None:
    """The account has these rooms from now on."""
    for room_id in room_ids:
        session.add(
            Occupancy(
                organization_id=account.organization_id,
                account_id=account.id,
                room_id=room_id,
                started_at=now,
            )
        )
        events.changed(session, account.organization_id, room_id=room_id, account_id=account.id)
    session.flush()


def _purses(
    session: Session, account: Account, draft: Draft, points: Mapping[UUID, ServicePoint]
) -> dict[tuple[Purpose, UUID], Purse]:
    """A purse for each purpose at each gateway, as one gateway alone may charge it; those of the first room first.

    Each has its gateway from the start, so that its money goes down before the points that it pays for.
    """
    found: dict[tuple[Purpose, UUID], Purse] = {}
    order = {room_id: place for place, room_id in enumerate(draft.room_ids)}
    for each in sorted(draft.points, key=lambda p: order[points[p.point_id].room_id]):
        key = (each.purpose, points[each.point_id].gateway_id)
        if key not in found:
            found[key] = purse_at(session, account, *key)
    return found


def purse_at(session: Session, account: Account, purpose: Purpose, gateway_id: UUID) -> Purse:
    """The account's purse for a purpose at a gateway, a new one if there is none yet."""
    open_ones = session.execute(
        select(Purse).where(
            col(Purse.account_id) == account.id,
            col(Purse.purpose) == purpose.value,
            col(Purse.ended_at).is_(None),
        )
    ).scalars()
    known: list[Purse] = list(open_ones)
    for purse in known:
        if purse.gateway_id == gateway_id:
            return purse
    purse = estate.add_purse(session, account, purpose, at_another_gateway=bool(known))
    purse.gateway_id = gateway_id
    session.add(purse)
    session.flush()
    return purse


def begin_with(
    session: Session,
    by: SignedIn,
    account: Account,
    purse: Purse,
    money: FirstMoney,
    *,
    key: UUID,
    now: datetime,
) -> None:
    """Books what the purse begins with. Its gateway hears of it before it hears of the first point."""
    old = money.old_balance
    if old != ZERO:
        transfer = Transfer(
            debit=OPENING if old > ZERO else receivable(account.id),
            credit=prepaid(purse.id) if old > ZERO else OPENING,
            amount=old if old > ZERO else ZERO - old,
            reason=Reason.OPENING,
            cause=str(purse.id),
            at=now,
        )
        if old > ZERO:
            session.refresh(purse, with_for_update={"key_share": True})
            purses.credit(session, purse, [transfer], carry_to=None)
        else:
            ledger.post(session, account.organization_id, [transfer])
    if money.topup > ZERO:
        topups.record_cash(
            session, purse_id=purse.id, amount=money.topup, by=by, idempotency_key=key
        )


def _set_terms(
    session: Session,
    by: SignedIn,
    point: ServicePoint,
    each: PointDraft,
    draft: Draft,
    *,
    now: datetime,
) -> None:
    """The point's tariff and levels as the draft has them. A tariff that was chosen is the point's own from now on:
    what is assigned to its class or site later does not change it."""
    if draft.levels is not None:
        policy = replace(
            _POLICY.validate_python(point.policy),
            alarm_at=draft.levels.alarm_at,
            final_alarm_at=draft.levels.final_alarm_at,
            overdraft=draft.levels.overdraft,
        )
        point.policy = _POLICY.dump_python(policy, mode="json")
        session.add(point)
    if each.tariff_code is not None:
        tariff = drafts.tariff(
            session, by.organization_id, each.tariff_code, commodity=point.commodity
        )
        assignments.assign(
            session,
            by,
            tariff.id,
            point_id=point.id,
            class_=None,
            site_id=None,
            since=now,
            now=now,
        )


def _typed(each: PointDraft) -> Typed | None:
    if each.typed_total is None or each.typed_at is None:
        return None
    return Typed(each.typed_total, each.typed_at, each.typed_photo)


def today(session: Session, room_id: UUID, *, now: datetime) -> date:
    """The day at a room's site."""
    return households.today(_timezone(session, room_id), now=now)


def _timezone(session: Session, room_id: UUID) -> str:
    room, building, site = tables.Room, tables.Building, tables.Site
    return str(
        session.execute(
            select(col(site.timezone))
            .join(building, col(building.site_id) == col(site.id))
            .join(room, col(room.building_id) == col(building.id))
            .where(col(room.id) == room_id)
        ).scalar_one()
    )


def _detail(draft: Draft, points: Mapping[UUID, ServicePoint]) -> dict[str, object]:
    """What the form of an opening says, beside the account itself."""
    return {
        "meters": [points[each.point_id].meter_no for each in draft.points],
        "topup_fen": sum(money.topup.fen for money in draft.money),
        "old_balance_fen": sum(money.old_balance.fen for money in draft.money),
    }


# What the gateways say of it.


class Delivery(StrEnum):
    """How far a change of payer has come, by the gateway's own log."""

    WAITS = "waits"  # 待上线: the gateway has not had it
    DELIVERED = "delivered"  # 已下发: it has, and the meter is yet to be read
    BEGUN = "begun"  # 已生效: read, and from that register on this payer pays


@dataclass(frozen=True, slots=True)
class MeterResult:
    """What became of one meter. opened_total is the register from which on this payer pays, in unit; typed_total
    what a person had read; is_silent: the meter does not answer the gateway."""

    point_id: UUID
    name: str
    meter_no: str
    gateway_no: str
    delivery: Delivery
    delivered_at: datetime | None
    typed_total: Decimal | None
    opened_total: Decimal | None
    opened_at: datetime | None
    unit: str
    is_gateway_online: bool
    is_silent: bool


_METERS = text("""
    SELECT p.id, p.name, p.meter_no, g.gateway_no, g.heard_at, t.delivered_at, t.typed_total,
           t.opened_total, t.opened_at, d.unit, s.silent_since
    FROM tenures t
    JOIN purses u ON u.id = t.purse_id
    JOIN points p ON p.id = t.point_id
    JOIN gateways g ON g.id = t.gateway_id
    JOIN tariffs d ON d.id = p.tariff_id
    JOIN point_states s ON s.point_id = p.id
    WHERE u.account_id = :account AND t.ended_at IS NULL
    ORDER BY p.name, p.id
""")


def meters(session: Session, account_id: UUID, *, now: datetime) -> list[MeterResult]:
    """Each meter that the account pays for, by name."""
    return [
        MeterResult(
            point_id=row.id,
            name=row.name,
            meter_no=row.meter_no,
            gateway_no=row.gateway_no,
            delivery=_delivery(row.delivered_at, row.opened_at),
            delivered_at=row.delivered_at,
            typed_total=row.typed_total,
            opened_total=row.opened_total,
            opened_at=row.opened_at,
            unit=row.unit,
            is_gateway_online=row.heard_at is not None and row.heard_at > now - downlog.ONLINE,
            is_silent=row.silent_since is not None,
        )
        for row in session.execute(_METERS, {"account": account_id})
    ]


def _delivery(delivered_at: datetime | None, opened_at: datetime | None) -> Delivery:
    if delivered_at is None:
        return Delivery.WAITS
    return Delivery.DELIVERED if opened_at is None else Delivery.BEGUN
