"""The manager's pages: logging in, and the room board, kept live."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.db import Database
from cloud.permissions import Permission
from cloud.services import alarms, board
from cloud.services.alarms import GatewayTrouble, PointAlarm
from cloud.services.board import RoomCard
from cloud.services.people import audit_checks
from cloud.tables.base import utc_now
from cloud.web import OpenEvents, UserSession, database
from dashboards import files, language, live, page, words
from dashboards.manager import accounts, gateways, jobs, supply
from dashboards.manager import alarms as alarm_pages
from dashboards.manager.estate import meters, places, point
from dashboards.manager.integration import keys, reference, webhooks
from dashboards.manager.money import (
    bills,
    books,
    counter,
    lost_transfers,
    orders,
    shifts,
    taking_out,
    withdrawals,
)
from dashboards.manager.operation import backups, setup
from dashboards.manager.people import approvals, audit, cuts, own, signing_in, users
from dashboards.manager.readings import rerating
from dashboards.manager.tariffs import editing as tariff_editing
from dashboards.manager.tariffs import pages as tariff_pages
from dashboards.manager.top import top
from dashboards.state import Flag, of_room, summarize

router = APIRouter(include_in_schema=False)
router.include_router(language.router)
router.include_router(files.router)
router.include_router(supply.router)
router.include_router(alarm_pages.router)
router.include_router(gateways.router)
router.include_router(keys.router)
router.include_router(webhooks.router)
router.include_router(places.router)
router.include_router(meters.router)
router.include_router(point.router)
router.include_router(setup.router)
router.include_router(backups.router)
router.include_router(accounts.router)
router.include_router(reference.router)
router.include_router(jobs.router)
router.include_router(bills.router)
router.include_router(rerating.router)
router.include_router(signing_in.router)
router.include_router(own.router)
router.include_router(users.router)
router.include_router(tariff_editing.router)
router.include_router(tariff_pages.router)
for module in (counter, orders, taking_out, withdrawals, shifts, books, lost_transfers):
    router.include_router(module.router)
router.include_router(approvals.router)
router.include_router(audit.router)
router.include_router(cuts.router)

LEAST_WIDE, MOST_WIDE = 3, 5  # rooms in a row: as many as the longest floor has, within these
FEW = 12  # of so many changed rooms each is read by itself; of more, all are


@dataclass(frozen=True, slots=True)
class Floor:
    """A floor of a building with its rooms; key is part of the ids on the page."""

    building: str
    number: int
    key: str
    rooms: tuple[RoomCard, ...]
    cut: int
    shown: bool


@dataclass(slots=True)
class Board:
    """What an open board shows: rooms, the alarms of each that has any, and the troubles of gateways."""

    cards: dict[UUID, RoomCard]
    alarms: dict[UUID, list[PointAlarm]]
    troubles: list[GatewayTrouble]

    def newest(self) -> list[PointAlarm]:
        found = [alarm for room in self.alarms.values() for alarm in room]
        return sorted(found, key=lambda alarm: alarm.at, reverse=True)


@router.get("/")
def start() -> Response:
    return RedirectResponse("/rooms", status_code=303)


@router.get("/rooms")
def rooms(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))],
    session: UserSession,
    q: str = "",
    state: str = "",
) -> Response:
    """The room board. q and state choose what is shown, for those who open it by such an address."""
    whose = user.organization_id
    found = board.rooms(session, whose, now=utc_now(), scope=user.scope)
    wanted = Flag(state) if state in set(Flag) else None
    shown = {room.room_id for room in found if matches(room, q, wanted)}
    listed = floors(found, shown)
    return page.render(
        request,
        "manager/rooms.html",
        floors=listed,
        widest=widest(listed),
        shown=shown,
        summary=summarize(found),
        wanted=wanted,
        q=q,
        troubles=_open(alarms.of_gateways(session, whose, scope=user.scope)),
        alarms=_open(alarms.of_points(session, whose, rooms=None, scope=user.scope)),
        audit_checked=audit_checks.of(session, user),
        **top(session, user),
    )


@router.get("/rooms/stream")
async def rooms_stream(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))],
    database: Annotated[Database, Depends(database)],
    events: OpenEvents,
) -> Response:
    """What changes on the board: each changed room's card, the counts, and what a person should look into."""
    spoken = words.language_of(request)
    shown = Board({}, {}, [])

    def render(changes: live.Changes) -> str:
        if changes is None:
            web.still(request, database, user, Permission.SEE_ROOMS)
        with database.organization(user.organization_id) as session:
            now = _read(session, user, changes, shown)
        news = [card for card in now.cards.values() if shown.cards.get(card.room_id) != card]
        is_noted = (now.alarms, now.troubles) != (shown.alarms, shown.troubles)
        shown.cards, shown.alarms, shown.troubles = now.cards, now.alarms, now.troubles
        if not news and not is_noted:
            return ""
        return page.fragment(
            spoken,
            "manager/changes.html",
            rooms=news,
            summary=summarize(now.cards.values()),
            floors=floors(now.cards.values(), set(now.cards)),
            troubles=now.troubles,
            alarms=now.newest(),
        )

    return live.stream(
        events.subscribe(user.organization_id), lambda changes: run_in_threadpool(render, changes)
    )


def _read(session: Session, user: SignedIn, changes: live.Changes, shown: Board) -> Board:
    """The board as it is now; of few changed rooms only those are read."""
    whose, changed = user.organization_id, _changed_rooms(changes, shown.cards)
    is_few = changed is not None and len(changed) <= FEW
    if changed is not None and is_few:
        read = board.cards(session, whose, now=utc_now(), room_ids=list(changed), scope=user.scope)
        cards, noted, troubles = dict(shown.cards), dict(shown.alarms), shown.troubles
    else:
        read = board.rooms(session, whose, now=utc_now(), scope=user.scope)
        cards, noted = {}, {}
        troubles = _open(alarms.of_gateways(session, whose, scope=user.scope))
    for card in read:
        cards[card.room_id] = card
        noted.pop(card.room_id, None)
    on = alarms.of_points(session, whose, rooms=changed if is_few else None, scope=user.scope)
    for alarm in _open(on):
        noted.setdefault(alarm.room_id, []).append(alarm)
    return Board(cards, noted, troubles)


Told = TypeVar("Told", PointAlarm, GatewayTrouble)


def _open(found: list[Told]) -> list[Told]:
    """The alarms that nobody has seen to."""
    return [alarm for alarm in found if alarm.seen is None]


def _changed_rooms(changes: live.Changes, cards: dict[UUID, RoomCard]) -> set[UUID] | None:
    """The rooms that changes are about; None where they may be about any."""
    found: set[UUID] = set()
    for change in changes or ():
        if change.room_id is not None:
            found.add(change.room_id)
        elif change.account_id is not None:
            found |= {
                card.room_id for card in cards.values() if card.account_id == change.account_id
            }
        elif change.topup_id is None:
            return None
    return found if changes else None


def matches(room: RoomCard, q: str, wanted: Flag | None) -> bool:
    """Whether a room is found by every word of q (in its name, holder or meter numbers) and has the state."""
    text = " ".join((room.name, room.holder or "", *(p.meter_no for p in room.points))).lower()
    return (wanted is None or wanted in of_room(room).flags) and all(
        word in text for word in q.lower().split()
    )


def widest(floors: list[Floor]) -> int:
    """How many rooms a row of the board has at most, so that the longest floor fills the width."""
    longest = max((len(floor.rooms) for floor in floors), default=0)
    return min(max(longest, LEAST_WIDE), MOST_WIDE)


def floors(rooms: Iterable[RoomCard], shown: set[UUID]) -> list[Floor]:
    """The rooms by building and floor, in the order of the board."""
    grouped: dict[tuple[str, int], list[RoomCard]] = {}
    for room in rooms:
        grouped.setdefault((room.building, room.floor), []).append(room)
    buildings = list(dict.fromkeys(building for building, _ in grouped))
    return [
        Floor(
            building=building,
            number=number,
            key=f"{buildings.index(building)}-{number}",
            rooms=tuple(listed),
            cut=sum(Flag.CUT in of_room(room).flags for room in listed),
            shown=any(room.room_id in shown for room in listed),
        )
        for (building, number), listed in grouped.items()
    ]
