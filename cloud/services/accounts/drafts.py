"""Drafts 开户草稿: an opening prepared at leisure, checked whole, opened in one step (services.accounts.opening)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from psycopg.errors import UniqueViolation
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from cloud import said, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.said import Said
from cloud.services import audit, scopes
from cloud.tables import ServicePoint
from prepaid.money import ZERO, Money, typed
from prepaid.point import Meter
from prepaid.purse import Purpose, pays_for

LARGEST = Money.yuan("1000000")
MOST_PERSONS = 99
LONGEST_TEXT = 200
_PHONE = re.compile(r"\+?[0-9][0-9 -]{4,18}[0-9]")
_METER = TypeAdapter(Meter)


class NoSuchDraft(CloudError):
    status = 404
    sentence = "There is no such draft, or it was opened or thrown away meanwhile."


class BadDraft(CloudError):
    status = 422
    sentence = "{what}: {reason}."

    def __init__(self, *, what: Said | str, reason: Said, field: str | None = None) -> None:
        """what may be the name of a meter. field is by its last name where it lies in another."""
        super().__init__(field=field, what=what, reason=reason)


class DraftTaken(CloudError):
    status = 409
    sentence = "There is a draft for room {room} already. Go on with that one."


class HolderKind(StrEnum):
    PERSON = "person"  # 个人
    COMPANY = "company"  # 企业


@dataclass(frozen=True, slots=True)
class Persons:
    """How many people live there from the beginning of a day on."""

    since: dt.date
    persons: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who the customer is. phone may be empty; a contract may have no end."""

    name: str
    kind: HolderKind = HolderKind.PERSON
    phone: str = ""
    contract_from: dt.date | None = None
    contract_until: dt.date | None = None
    persons: tuple[Persons, ...] = ()


@dataclass(frozen=True, slots=True)
class Levels:
    """报警与控制: what of a point's policy is changed for this customer."""

    alarm_at: Money
    final_alarm_at: Money
    overdraft: Money = ZERO


@dataclass(frozen=True, slots=True)
class PointDraft:
    """A service point: the purpose of the purse that is to pay for it, its tariff (None: the one assigned to it, its
    class or its site), and its register as a person read it off (底度; None: at the gateway's first reading)."""

    point_id: UUID
    purpose: Purpose
    tariff_code: str | None = None
    typed_total: Decimal | None = None
    typed_at: datetime | None = None
    typed_photo: UUID | None = None


@dataclass(frozen=True, slots=True)
class FirstMoney:
    """What a purse begins with: the first top-up 首充, taken in cash, and what was there before these books 老表余额.

    An old balance below nothing is a debt of the account: it never cuts anybody off.
    """

    purpose: Purpose
    topup: Money = ZERO
    old_balance: Money = ZERO

    def __post_init__(self) -> None:
        typed(self.topup, "the first top-up")
        typed(self.old_balance, "the old balance")


@dataclass(frozen=True, slots=True)
class Draft:
    """An opening as it is to be. Who pays is said of every service point of its rooms: none is left behind."""

    room_ids: tuple[UUID, ...]
    holder: Holder
    points: tuple[PointDraft, ...]
    money: tuple[FirstMoney, ...] = ()
    levels: Levels | None = None


_DRAFT = TypeAdapter(Draft)


def save(
    session: Session, by: SignedIn, draft: Draft, *, draft_id: UUID | None, now: datetime
) -> tables.Draft:
    """Keeps a draft, new or in the place of an earlier one.

    Raises scopes.NoSuchRoom, BadDraft, NoSuchDraft, or DraftTaken where the (first) room has another draft.
    """
    check(session, by, draft, now=now)
    content = _DRAFT.dump_python(draft, mode="json")
    if draft_id is not None:
        row = lock(session, by, draft_id)
        before = row.content
    else:
        before = None
        row = tables.Draft(
            organization_id=by.organization_id,
            room_id=draft.room_ids[0],
            content=content,
            saved_by=by.user_id,
            saved_at=now,
        )
    row.room_id, row.content = draft.room_ids[0], content
    row.saved_by, row.saved_at, row.refused, row.refused_at = by.user_id, now, None, None
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            room = session.get_one(tables.Room, draft.room_ids[0])
            raise DraftTaken(room=room.name) from None
        raise
    audit.record(
        session, by, "draft.saved", of="draft", id=row.id, before=before, after=content, now=now
    )
    return row


def discard(session: Session, by: SignedIn, draft_id: UUID, *, now: datetime) -> None:
    """The draft is thrown away; it stays in the books. Raises NoSuchDraft."""
    row = lock(session, by, draft_id)
    row.ended_at, row.ended_by = now, by.user_id
    session.add(row)
    session.flush()
    audit.record(session, by, "draft.discarded", of="draft", id=row.id, now=now)


def lock(session: Session, by: SignedIn, draft_id: UUID) -> tables.Draft:
    """A draft that is still to be opened, locked. Raises NoSuchDraft."""
    row = session.get(tables.Draft, draft_id, with_for_update=True, populate_existing=True)
    if (
        row is None
        or row.organization_id != by.organization_id
        or row.opened_at is not None
        or row.ended_at is not None
        or not scopes.only_rooms(session, by, [row.room_id])
    ):
        raise NoSuchDraft
    return row


def read(row: tables.Draft) -> Draft:
    return _DRAFT.validate_python(row.content)


def of_room(session: Session, by: SignedIn, room_id: UUID) -> tables.Draft | None:
    """The draft that waits for a room."""
    row = tables.Draft
    return session.execute(
        select(row).where(
            col(row.organization_id) == by.organization_id,
            col(row.room_id) == room_id,
            col(row.opened_at).is_(None),
            col(row.ended_at).is_(None),
        )
    ).scalar_one_or_none()


def waiting(session: Session, by: SignedIn) -> list[tables.Draft]:
    """All that are still to be opened and that the person sees, by room."""
    row, room = tables.Draft, tables.Room
    return list(
        session.execute(
            select(row)
            .join(room, col(room.id) == col(row.room_id))
            .where(col(row.opened_at).is_(None), col(row.ended_at).is_(None), scopes.rooms_of(by))
            .order_by(col(room.floor), col(room.name))
        ).scalars()
    )


# What can be opened at all.


def check(session: Session, by: SignedIn, draft: Draft, *, now: datetime) -> None:
    """Raises BadDraft for the first thing that cannot be, or scopes.NoSuchRoom."""
    if not 1 <= len(draft.room_ids) <= 50 or len(set(draft.room_ids)) < len(draft.room_ids):
        raise BadDraft(
            field="room_ids",
            what=Said("the rooms"),
            reason=Said("there are 1 to 50 of them, each once"),
        )
    for room_id in draft.room_ids:
        scopes.check_room(session, by, room_id)
    check_holder(draft.holder)
    _check_points(session, by, draft, now=now)
    _check_money(draft)
    if (levels := draft.levels) is not None and not (
        ZERO <= levels.final_alarm_at <= levels.alarm_at <= LARGEST
        and ZERO <= levels.overdraft <= LARGEST
    ):
        raise BadDraft(
            field="alarm_at",
            what=Said("the alarm levels"),
            reason=Said(
                "the second lies between nothing and the first, and an overdraft is not negative"
            ),
        )


def check_holder(holder: Holder) -> None:
    """Raises BadDraft."""
    _check_text(Said("the name"), holder.name, field="name")
    if holder.phone and not _PHONE.fullmatch(holder.phone.strip()):
        raise BadDraft(
            field="phone",
            what=Said("the phone number"),
            reason=Said("it has 6 to 20 digits"),
        )
    since, until = holder.contract_from, holder.contract_until
    if since is not None and until is not None and until < since:
        raise BadDraft(
            field="contract_until",
            what=Said("the contract"),
            reason=Said("it ends before it begins"),
        )
    for each in holder.persons:
        if not 1 <= each.persons <= MOST_PERSONS:
            raise bad_household()
    if len({each.since for each in holder.persons}) < len(holder.persons):
        raise BadDraft(
            field="persons",
            what=Said("the household"),
            reason=Said("a day is named twice"),
        )


def _check_points(session: Session, by: SignedIn, draft: Draft, *, now: datetime) -> None:
    found = points_of(session, draft.room_ids)
    rows = {row.id: row for row in found}
    given = {point.point_id for point in draft.points}
    if len(given) < len(draft.points) or not given <= rows.keys():
        raise BadDraft(
            field="points",
            what=Said("the meters"),
            reason=Said("each is one of these rooms, and is named once"),
        )
    if missing := [row.name for row in found if row.id not in given]:
        raise BadDraft(
            field="points",
            what=Said("the meters"),
            reason=Said("it is not said which purse pays for {points}", points=", ".join(missing)),
        )
    for point in draft.points:
        row = rows[point.point_id]
        if not pays_for(point.purpose, row.commodity):
            raise BadDraft(
                field=f"points.{row.id}",
                what=row.name,
                reason=Said(
                    "a purse for {purpose} pays for no {commodity}",
                    purpose=said.purpose(point.purpose),
                    commodity=said.commodity(row.commodity),
                ),
            )
        if point.tariff_code is not None:
            tariff(session, by.organization_id, point.tariff_code, commodity=row.commodity)
        if (point.typed_total is None) != (point.typed_at is None):
            raise _wrong(row, Said("a reading has a time"))
        if point.typed_photo is not None and session.get(tables.Photo, point.typed_photo) is None:
            raise _wrong(row, Said("there is no such photo"))
        if point.typed_total is not None and point.typed_at is not None:
            _check_typed(row, point.typed_total, point.typed_at, now=now)


def _check_typed(row: ServicePoint, total: Decimal, at: datetime, *, now: datetime) -> None:
    digits = _METER.validate_python(row.meter).digits
    if not total.is_finite() or not 0 <= total < Decimal(10) ** digits:
        raise _wrong(row, Said("its register has {digits} digits", digits=digits))
    if at.tzinfo is None or at > now:
        raise _wrong(row, Said("the reading's time is to come"))


def tariff(
    session: Session, organization_id: UUID, code: str, *, commodity: str
) -> tables.TariffDocument:
    """Raises BadDraft."""
    row = tables.TariffDocument
    found: tables.TariffDocument | None = session.execute(
        select(row).where(col(row.organization_id) == organization_id, col(row.code) == code)
    ).scalar_one_or_none()
    if found is None or found.commodity != commodity:
        raise BadDraft(
            field="tariff_code",
            what=Said("tariff {code}", code=code),
            reason=Said(
                "there is none that prices {commodity}", commodity=said.commodity(commodity)
            ),
        )
    return found


def _check_money(draft: Draft) -> None:
    used = {point.purpose for point in draft.points}
    purposes = [each.purpose for each in draft.money]
    if len(set(purposes)) < len(purposes):
        raise BadDraft(
            field="money", what=Said("the money"), reason=Said("a purpose is named twice")
        )
    for each in draft.money:
        if not ZERO <= each.topup <= LARGEST or abs(each.old_balance.fen) > LARGEST.fen:
            raise BadDraft(
                field=f"money.{each.purpose}",
                what=Said("the money"),
                reason=Said("it is at most ¥{most}, a top-up not negative", most=LARGEST),
            )
        is_any = each.topup != ZERO or each.old_balance != ZERO
        if is_any and each.purpose not in used:
            raise BadDraft(
                field=f"money.{each.purpose}",
                what=Said("the money"),
                reason=Said(
                    "no meter is paid for by a purse for {purpose}",
                    purpose=said.purpose(each.purpose),
                ),
            )


def points_of(session: Session, room_ids: Sequence[UUID]) -> list[ServicePoint]:
    """The service points of rooms, by name."""
    return list(
        session.execute(
            select(ServicePoint)
            .where(col(ServicePoint.room_id).in_(room_ids))
            .order_by(col(ServicePoint.name), col(ServicePoint.id))
        ).scalars()
    )


def usual_purpose(commodity: str) -> Purpose:
    """The purse that usually pays for a commodity."""
    if commodity == "electricity":
        return Purpose.ELECTRICITY
    return Purpose.WATER if pays_for(Purpose.WATER, commodity) else Purpose.UTILITY


def bad_household() -> BadDraft:
    reason = Said("it has 1 to {most} persons", most=MOST_PERSONS)
    return BadDraft(field="persons", what=Said("the household"), reason=reason)


def _wrong(point: ServicePoint, reason: Said) -> BadDraft:
    return BadDraft(field=f"points.{point.id}", what=point.name, reason=reason)


def _check_text(what: Said, value: str, *, field: str) -> None:
    if not value.strip() or "\x00" in value or len(value) > LONGEST_TEXT:
        reason = Said("it must be a text of 1 to {most} characters", most=LONGEST_TEXT)
        raise BadDraft(field=field, what=what, reason=reason)
