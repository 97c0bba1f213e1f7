"""A room's page: what each supply is and why, and an operator's hand on it. And the release of a brake."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.db import Database
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import alarms, audit, board, codes, emergency, overrides, taps
from cloud.services.board import PointCard, RoomCard
from cloud.services.emergency import By
from cloud.services.scopes import NoSuchPoint
from cloud.tables import utc_now
from cloud.web import OpenEvents, UserSession, database
from dashboards import errors, live, page, words
from dashboards.manager.top import top
from dashboards.mistake import Mistake
from dashboards.words import N_
from prepaid.reading import Supply
from prepaid.wire.uplog import Trouble

router = APIRouter(include_in_schema=False)

LASTING = {
    "1": N_("1 hour"),
    "4": N_("4 hours"),
    "24": N_("24 hours"),
    "168": N_("7 days"),
}
"""How long an override is offered to last, in hours."""
USUAL = "4"
OTHER = "other"
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """A form as it was sent: supply is on or off, lasts a key of LASTING or OTHER, then until a local time."""

    point_id: UUID
    supply: str
    lasts: str
    until: str
    why: str
    instead_of: UUID | None
    is_confirmed: bool
    exactly: str  # the instant that was confirmed

    def end(self, zone: ZoneInfo, now: datetime) -> datetime | None:
        """The end to the minute, so that a form sent twice asks for the same; None if none was given."""
        try:
            if self.exactly:
                return datetime.fromisoformat(self.exactly)
            if self.lasts in LASTING:
                end = now + timedelta(hours=int(self.lasts))
                return end.replace(second=0, microsecond=0) + MINUTE
            return datetime.fromisoformat(self.until).replace(tzinfo=zone)
        except ValueError:
            return None

    def told(self, request: Request, error: CloudError) -> Mistake:
        """Why it is refused, on the page that has one such form for each point."""
        typed = {"supply": self.supply, "lasts": self.lasts, "until": self.until, "why": self.why}
        return errors.mistake(request, error, typed, form=str(self.point_id))


def asked(
    point_id: UUID,
    supply: Annotated[str, Form()] = "",
    lasts: Annotated[str, Form()] = "",
    until: Annotated[str, Form()] = "",
    why: Annotated[str, Form()] = "",
    instead_of: Annotated[str, Form()] = "",
    confirmed: Annotated[str, Form()] = "",
    exactly: Annotated[str, Form()] = "",
) -> Asked:
    return Asked(point_id, supply, lasts, until, why, _id(instead_of), confirmed == "yes", exactly)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@router.get("/rooms/{room_id:uuid}")
def room(
    request: Request,
    room_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))],
    session: UserSession,
) -> Response:
    card = board.room(session, user.organization_id, room_id, now=utc_now(), scope=user.scope)
    return _page(request, session, user, card)


@router.get("/rooms/{room_id:uuid}/stream")
async def room_stream(
    request: Request,
    room_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))],
    database: Annotated[Database, Depends(database)],
    events: OpenEvents,
) -> Response:
    """What changes on a room's page: all of it but the forms that somebody may be filling in."""
    spoken = words.language_of(request)
    last = ""

    def render(changes: live.Changes) -> str:
        nonlocal last
        if changes is None:
            web.still(request, database, user, Permission.SEE_ROOMS)
        elif all(change.room_id not in (None, room_id) for change in changes):
            return ""
        with database.organization(user.organization_id) as session:
            card = board.room(
                session, user.organization_id, room_id, now=utc_now(), scope=user.scope
            )
            html = page.fragment(
                spoken, "manager/room_now.html", **_shown(request, session, card, user)
            )
        if html == last:
            return ""
        last = html
        return html

    def find() -> None:
        with database.organization(user.organization_id) as session:
            board.room(session, user.organization_id, room_id, now=utc_now(), scope=user.scope)

    await run_in_threadpool(find)
    return live.stream(
        events.subscribe(user.organization_id), lambda changes: run_in_threadpool(render, changes)
    )


@router.post("/rooms/{room_id:uuid}/points/{point_id:uuid}/override")
def pin(
    request: Request,
    room_id: UUID,
    asked: Annotated[Asked, Depends(asked)],
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SWITCH_SUPPLY))],
    session: UserSession,
) -> Response:
    """Pins the supply; first asks once more where somebody is cut off, or what was cut off is given back."""
    now = utc_now()
    card = board.room(session, user.organization_id, room_id, now=now, scope=user.scope)
    point = _point_of(card, asked.point_id)
    zone = ZoneInfo(board.timezone_of(session, room_id))
    longest = timedelta(days=request.app.state.settings.longest_override_days)
    try:
        if asked.supply not in (Supply.ON, Supply.OFF):
            raise NothingChosen
        end = asked.end(zone, now)
        if end is None:
            raise overrides.BadEnd(days=longest.days)
        wish: dict[str, Any] = {
            "supply": Supply(asked.supply),
            "until": end,
            "why": asked.why,
            "instead_of": asked.instead_of,
            "by": user,
            "longest": longest,
            "now": now,
        }
        if not asked.is_confirmed and (asked.supply == Supply.OFF or _is_cut_by_hand(point)):
            overrides.check(session, point.point_id, **wish)
            return _confirm(request, session, user, card, point, asked, end)
        overrides.pin(session, point.point_id, **wish)
    except CloudError as error:
        return _page(request, session, user, card, asked.told(request, error))
    return RedirectResponse(f"/rooms/{room_id}", status_code=303)


class NothingChosen(CloudError):
    status = 422
    field = "supply"
    sentence = "Choose whether the supply is to be kept on or cut off."


@router.post("/rooms/{room_id:uuid}/points/{point_id:uuid}/override/end")
def end(
    request: Request,
    room_id: UUID,
    point_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SWITCH_SUPPLY))],
    session: UserSession,
    override_id: Annotated[UUID, Form()],
    confirmed: Annotated[str, Form()] = "",
) -> Response:
    """Ends an override; first asks once more where somebody may be at work on what is cut off."""
    card = board.room(session, user.organization_id, room_id, now=utc_now(), scope=user.scope)
    point = _point_of(card, point_id)
    if confirmed != "yes" and _is_cut_by_hand(point):
        return _confirm(request, session, user, card, point, None, None)
    try:
        overrides.end(session, point_id, override_id, by=user, now=utc_now())
    except overrides.PinnedMeanwhile as error:
        return _refused(request, session, user, card, error)
    return RedirectResponse(f"/rooms/{room_id}", status_code=303)


@router.post("/rooms/{room_id:uuid}/points/{point_id:uuid}/emergency")
def lend(
    request: Request,
    room_id: UUID,
    point_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.LEND))],
    session: UserSession,
) -> Response:
    """Takes the emergency credit that the purse of a point is offered, for a customer who asks for it."""
    now = utc_now()
    card = board.room(session, user.organization_id, room_id, now=now, scope=user.scope)
    purse_id = _point_of(card, point_id).purse_id
    try:
        if purse_id is None:
            raise emergency.NotOffered
        emergency.take(session, purse_id, by=By.STAFF, now=now)
        audit.record(session, user, "lend", of="purse", id=purse_id, now=now)
    except CloudError as error:
        return _refused(request, session, user, card, error)
    return RedirectResponse(f"/rooms/{room_id}", status_code=303)


@router.post("/rooms/{room_id:uuid}/points/{point_id:uuid}/taps-closed")
def close_taps(
    request: Request,
    room_id: UUID,
    point_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.CONFIRM_TAPS))],
    session: UserSession,
) -> Response:
    """Says for a customer that the taps behind a point are closed."""
    now = utc_now()
    card = board.room(session, user.organization_id, room_id, now=now, scope=user.scope)
    _point_of(card, point_id)
    try:
        taps.confirm(session, point_id, now=now)
        audit.record(session, user, "close-taps", of="point", id=point_id, now=now)
    except CloudError as error:
        return _refused(request, session, user, card, error)
    return RedirectResponse(f"/rooms/{room_id}", status_code=303)


@router.get("/gateways/{gateway_id:uuid}/brake")
def ask_release(
    request: Request,
    gateway_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SWITCH_SUPPLY))],
    session: UserSession,
) -> Response:
    """What the brake of a gateway holds back, and the button that releases it."""
    found = alarms.of_gateways(session, user.organization_id, scope=user.scope)
    brake = next(
        (t for t in found if t.gateway_id == gateway_id and t.kind is Trouble.BRAKED), None
    )
    if brake is None or brake.released_by is not None:
        return RedirectResponse("/rooms", status_code=303)
    return page.render(request, "manager/brake.html", brake=brake, **top(session, user))


@router.post("/gateways/{gateway_id:uuid}/brake/release")
def release(
    gateway_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SWITCH_SUPPLY))],
    session: UserSession,
) -> Response:
    with suppress(overrides.NotBraked):  # somebody else was quicker, and the board shows it
        overrides.release_brake(session, gateway_id, by=user, now=utc_now())
    return RedirectResponse("/rooms", status_code=303)


def _point_of(card: RoomCard, point_id: UUID) -> PointCard:
    """Raises NoSuchPoint where it is of another room."""
    for point in card.points:
        if point.point_id == point_id:
            return point
    raise NoSuchPoint


def _is_cut_by_hand(point: PointCard) -> bool:
    return point.pin is not None and point.pin.supply is Supply.OFF


def _shown(request: Request, session: Session, card: RoomCard, user: SignedIn) -> dict[str, Any]:
    """What a room's page shows beside its forms."""
    secret, purses = (
        request.app.state.settings.code_secret,
        {p.purse_id for p in card.points if p.purse_id},
    )
    return {
        "room": card,
        "alarms": alarms.of_points(session, user.organization_id, rooms=[card.room_id]),
        "history": overrides.of_points(session, [point.point_id for point in card.points]),
        "timezone": board.timezone_of(session, card.room_id),
        "codes": codes.waiting(session, purses, code_secret=secret, now=utc_now()),
        "may_lend": user.may(Permission.LEND),
        "may_confirm_taps": user.may(Permission.CONFIRM_TAPS),
    }


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    card: RoomCard,
    told: Mistake | None = None,
) -> Response:
    return page.render(
        request,
        "manager/one_room.html",
        status=told.status if told else 200,
        lasting=LASTING,
        usual=USUAL,
        most_days=request.app.state.settings.longest_override_days,
        mistake=told or Mistake(),
        at=f"/rooms/{card.room_id}",
        **top(session, user) | _shown(request, session, card, user),
    )


def _refused(
    request: Request, session: Session, user: SignedIn, card: RoomCard, error: CloudError
) -> Response:
    return _page(request, session, user, card, errors.mistake(request, error))


def _confirm(
    request: Request,
    session: Session,
    user: SignedIn,
    card: RoomCard,
    point: PointCard,
    form: Asked | None,
    end: datetime | None,
) -> Response:
    """Asks once more; without a form, whether what is pinned shall end."""
    return page.render(
        request,
        "manager/confirm.html",
        room=card,
        point=point,
        form=form,
        end=end,
        at=f"/rooms/{card.room_id}",
        **top(session, user) | {"timezone": board.timezone_of(session, card.room_id)},
    )
