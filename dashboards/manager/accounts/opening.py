"""The wizard 开户: one page in five parts, kept as a draft, shown whole once more, then opened in one step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from sqlalchemy import select
from sqlmodel import Session, col
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.said import Said
from cloud.services import board, scopes
from cloud.services.accounts import drafts, opening
from cloud.services.accounts.drafts import (
    Draft,
    FirstMoney,
    Holder,
    HolderKind,
    Levels,
    Persons,
    PointDraft,
)
from cloud.tables import (
    Building,
    Occupancy,
    PointState,
    Room,
    ServicePoint,
    TariffDocument,
    utc_now,
)
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.accounts import asked
from dashboards.manager.accounts.asked import BadField, Form, OpenAccounts
from dashboards.manager.top import top
from prepaid.money import ZERO
from prepaid.purse import Purpose, pays_for

router = APIRouter(prefix="/accounts")

MOST_HOUSEHOLDS = 3


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A meter of the rooms to be opened, and what can be chosen for it."""

    point: ServicePoint
    room: str
    total: Decimal | None
    read_at: datetime | None
    unit: str
    purposes: tuple[Purpose, ...]
    tariffs: tuple[str, ...]
    usual: Purpose
    tariff: str


@router.get("/new")
def ask(request: Request, user: OpenAccounts, session: UserSession) -> Response:
    """An empty form for the rooms named by ?room=…; without one, the vacant rooms to choose from."""
    rooms = [room for text in request.query_params.getlist("room") if (room := _id(text))]
    if len(rooms) == 1 and (known := drafts.of_room(session, user, rooms[0])) is not None:
        return RedirectResponse(f"/accounts/drafts/{known.id}/change", status_code=303)
    return _form(request, session, user, rooms, {}, draft_id=None)


@router.post("/new")
def save(request: Request, form: Form, user: OpenAccounts, session: UserSession) -> Response:
    return _save(request, session, user, form, draft_id=None)


@router.get("/drafts/{draft_id:uuid}/change")
def change(request: Request, draft_id: UUID, user: OpenAccounts, session: UserSession) -> Response:
    draft = drafts.read(drafts.lock(session, user, draft_id))
    zone = _zone(session, draft.room_ids[0])
    return _form(
        request, session, user, list(draft.room_ids), typed_of(draft, zone), draft_id=draft_id
    )


@router.post("/drafts/{draft_id:uuid}/change")
def save_change(
    request: Request, draft_id: UUID, form: Form, user: OpenAccounts, session: UserSession
) -> Response:
    drafts.lock(session, user, draft_id)  # there is none to change where it is not his
    return _save(request, session, user, form, draft_id=draft_id)


def _save(
    request: Request, session: Session, user: SignedIn, form: FormData, *, draft_id: UUID | None
) -> Response:
    now = utc_now()
    rooms = [room for text in form.getlist("room") if isinstance(text, str) and (room := _id(text))]
    if asked.text(form, "do") == "rooms" or not rooms:
        return _form(request, session, user, rooms, asked.texts(form), draft_id=draft_id)
    try:
        with session.begin_nested():
            draft = _draft(session, user, form, rooms, now=now)
            row = drafts.save(session, user, draft, draft_id=draft_id, now=now)
    except CloudError as error:
        return _form(
            request, session, user, rooms, asked.texts(form), draft_id=draft_id, error=error
        )
    return RedirectResponse(f"/accounts/drafts/{row.id}", status_code=303)


def _draft(
    session: Session, by: SignedIn, form: FormData, rooms: list[UUID], *, now: datetime
) -> Draft:
    """What was typed. Raises BadField, and NoPhoto."""
    for room_id in rooms:
        scopes.check_room(session, by, room_id)
    zone = _zone(session, rooms[0])
    points = []
    for point in drafts.points_of(session, rooms):
        purpose = asked.text(form, f"purpose-{point.id}")
        if purpose not in set(Purpose):
            raise BadField(
                field=f"purpose-{point.id}",
                what=point.name,
                typed=purpose,
                reason=Said("choose the purse that pays"),
            )
        typed = asked.register(session, by, form, point.id, point.name, zone=zone, now=now)
        points.append(
            PointDraft(
                point.id,
                Purpose(purpose),
                asked.text(form, f"tariff-{point.id}") or None,
                typed.total if typed else None,
                typed.at if typed else None,
                typed.photo if typed else None,
            )
        )
    return Draft(
        room_ids=tuple(rooms),
        holder=holder_of(form),
        points=tuple(points),
        money=_money(form, {point.purpose for point in points}),
        levels=_levels(form),
    )


def holder_of(form: FormData) -> Holder:
    """Who the customer is to be. Raises BadField."""
    kind = asked.text(form, "kind")
    persons = []
    for place in range(MOST_HOUSEHOLDS):
        count = asked.text(form, f"persons-{place}")
        if not count:
            continue
        since = asked.day(form, f"since-{place}", Said("the household"))
        if since is None or not count.isdecimal() or not 0 < int(count) <= drafts.MOST_PERSONS:
            raise BadField(
                field=f"persons-{place}",
                what=Said("the household"),
                typed=count,
                reason=Said("type how many, and from which day on"),
            )
        persons.append(Persons(since, int(count)))
    return Holder(
        name=asked.text(form, "holder"),
        kind=HolderKind(kind) if kind in set(HolderKind) else HolderKind.PERSON,
        phone=asked.text(form, "phone"),
        contract_from=asked.day(form, "contract_from", Said("the contract")),
        contract_until=asked.day(form, "contract_until", Said("the contract")),
        persons=tuple(persons),
    )


def _money(form: FormData, purposes: set[Purpose]) -> tuple[FirstMoney, ...]:
    found = []
    for purpose in Purpose:
        if purpose not in purposes:
            continue
        topup = asked.money(form, f"topup-{purpose}", Said("the first top-up"))
        old = asked.money(form, f"old-{purpose}", Said("the old balance"))
        if topup != ZERO or old != ZERO:
            found.append(FirstMoney(purpose, topup, old))
    return tuple(found)


def _levels(form: FormData) -> Levels | None:
    names = ("alarm_at", "final_alarm_at", "overdraft")
    if not any(asked.text(form, name) for name in names):
        return None
    alarm, final, overdraft = (asked.money(form, name, Said("the alarm levels")) for name in names)
    return Levels(alarm, final, overdraft)


def typed_of(draft: Draft, zone: ZoneInfo) -> dict[str, str]:
    """A draft as it would have been typed."""
    holder = draft.holder
    typed = {"holder": holder.name, "kind": holder.kind.value, "phone": holder.phone}
    for name, day in (
        ("contract_from", holder.contract_from),
        ("contract_until", holder.contract_until),
    ):
        typed[name] = day.isoformat() if day else ""
    for place, said in enumerate(holder.persons):
        typed[f"persons-{place}"], typed[f"since-{place}"] = (
            str(said.persons),
            said.since.isoformat(),
        )
    for point in draft.points:
        typed[f"purpose-{point.point_id}"] = point.purpose.value
        typed[f"tariff-{point.point_id}"] = point.tariff_code or ""
        if point.typed_total is not None and point.typed_at is not None:
            typed[f"total-{point.point_id}"] = str(point.typed_total)
            typed[f"read-{point.point_id}"] = f"{point.typed_at.astimezone(zone):%Y-%m-%dT%H:%M}"
        if point.typed_photo is not None:
            typed[f"photo-kept-{point.point_id}"] = str(point.typed_photo)
    for money in draft.money:
        typed[f"topup-{money.purpose}"] = str(money.topup) if money.topup else ""
        typed[f"old-{money.purpose}"] = str(money.old_balance) if money.old_balance else ""
    if draft.levels is not None:
        typed |= {
            "alarm_at": str(draft.levels.alarm_at),
            "final_alarm_at": str(draft.levels.final_alarm_at),
            "overdraft": str(draft.levels.overdraft),
        }
    return typed


def _form(
    request: Request,
    session: Session,
    user: SignedIn,
    rooms: list[UUID],
    typed: dict[str, str],
    *,
    draft_id: UUID | None,
    error: CloudError | None = None,
) -> Response:
    seen = [scopes.check_room(session, user, room_id) for room_id in rooms]
    meters = meter_rows(session, user, rooms)
    return page.render(
        request,
        "manager/accounts/opening.html",
        status=error.status if error else 200,
        rooms=seen,
        meters=meters,
        free=free_rooms(session, user),
        typed=typed,
        draft_id=draft_id,
        households=range(MOST_HOUSEHOLDS),
        purposes=tuple(p for p in Purpose if any(p in row.purposes for row in meters)),
        mistake=asked.mistake(request, error),
        at=f"/accounts/drafts/{draft_id}/change" if draft_id else "/accounts/new",
        **top(session, user),
    )


def meter_rows(session: Session, user: SignedIn, rooms: list[UUID]) -> list[MeterRow]:
    """The meters of rooms, each with the last register that was read."""
    tariffs = list(
        session.execute(
            select(TariffDocument)
            .where(col(TariffDocument.organization_id) == user.organization_id)
            .order_by(col(TariffDocument.code))
        ).scalars()
    )
    by_id = {tariff.id: tariff for tariff in tariffs}
    found = []
    for point in drafts.points_of(session, rooms):
        state = session.get_one(PointState, point.id)
        found.append(
            MeterRow(
                point=point,
                room=session.get_one(Room, point.room_id).name,
                total=state.total,
                read_at=state.read_at,
                unit=by_id[point.tariff_id].unit,
                purposes=tuple(p for p in Purpose if pays_for(p, point.commodity)),
                tariffs=tuple(t.code for t in tariffs if t.commodity == point.commodity),
                usual=drafts.usual_purpose(point.commodity),
                tariff=by_id[point.tariff_id].code,
            )
        )
    return found


def free_rooms(session: Session, user: SignedIn) -> list[tuple[Room, str]]:
    """The rooms that nobody has, with their buildings."""
    rows = session.execute(
        select(Room, col(Building.name))
        .join(Building, col(Building.id) == col(Room.building_id))
        .where(
            scopes.rooms_of(user),
            ~select(col(Occupancy.room_id))
            .where(col(Occupancy.room_id) == col(Room.id), col(Occupancy.ended_at).is_(None))
            .exists(),
        )
        .order_by(col(Building.name), col(Room.floor), col(Room.name))
        .limit(5_000)
    )
    return [(room, building) for room, building in rows]


@router.get("/drafts/{draft_id:uuid}")
def look(request: Request, draft_id: UUID, user: OpenAccounts, session: UserSession) -> Response:
    """All of a draft once more, before it is opened."""
    return shown(request, session, user, draft_id)


@router.post("/drafts/{draft_id:uuid}/open")
def open_draft(
    request: Request, draft_id: UUID, user: OpenAccounts, session: UserSession
) -> Response:
    try:
        with session.begin_nested():
            account = opening.open_draft(session, user, draft_id, now=utc_now())
    except drafts.NoSuchDraft:
        raise
    except CloudError as error:
        return shown(request, session, user, draft_id, error=error)
    return RedirectResponse(f"/accounts/{account.id}?opened=1", status_code=303)


@router.post("/drafts/{draft_id:uuid}/discard")
def discard(draft_id: UUID, user: OpenAccounts, session: UserSession) -> Response:
    drafts.discard(session, user, draft_id, now=utc_now())
    return RedirectResponse("/accounts/drafts", status_code=303)


def shown(
    request: Request,
    session: Session,
    user: SignedIn,
    draft_id: UUID,
    *,
    error: CloudError | None = None,
) -> Response:
    row = drafts.lock(session, user, draft_id)
    draft = drafts.read(row)
    values: dict[str, Any] = {
        "row": row,
        "draft": draft,
        "rooms": [session.get_one(Room, room_id) for room_id in draft.room_ids],
        "meters": {each.point.id: each for each in meter_rows(session, user, [*draft.room_ids])},
        "timezone": str(_zone(session, draft.room_ids[0])),
    }
    return page.render(
        request,
        "manager/accounts/draft.html",
        status=error.status if error else 200,
        mistake=asked.mistake(request, error),
        at=f"/accounts/drafts/{draft_id}",
        **top(session, user) | values,
    )


def _zone(session: Session, room_id: UUID) -> ZoneInfo:
    return ZoneInfo(board.timezone_of(session, room_id))


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
