"""The page of cutting off many at once 批量拉闸: which supplies, until when, why; another approves it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import board, bulk_cuts, overrides
from cloud.services.board import PointCard, RoomCard
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.supply import LASTING, MINUTE, USUAL
from dashboards.manager.top import top
from prepaid.reading import Supply

router = APIRouter(include_in_schema=False, prefix="/cuts")

NAMES = {"points": "point"}


@dataclass(frozen=True, slots=True)
class Row:
    room: RoomCard
    point: PointCard

    @property
    def is_owing(self) -> bool:
        return self.point.purse_id is not None and self.point.balance.fen <= 0


@router.get("")
def choose(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.CUT_MANY))],
    session: UserSession,
    owing: str = "",
) -> Response:
    return _page(request, session, user, owing=owing == "yes")


@router.post("")
def propose(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.CUT_MANY))],
    session: UserSession,
    point: Annotated[list[UUID] | None, Form()] = None,
    lasts: Annotated[str, Form()] = "",
    why: Annotated[str, Form()] = "",
) -> Response:
    """The proposal, which nobody has approved yet."""
    now, longest = utc_now(), timedelta(days=request.app.state.settings.longest_override_days)
    try:
        if lasts not in LASTING:
            raise overrides.BadEnd(field="lasts", days=longest.days)
        until = (now + timedelta(hours=int(lasts))).replace(second=0, microsecond=0) + MINUTE
        approval = bulk_cuts.propose(
            session, user, point or (), until=until, why=why, longest=longest, now=now
        )
    except CloudError as error:
        chosen = frozenset(point or ())
        return _page(request, session, user, error=error, chosen=chosen, lasts=lasts, why=why)
    return RedirectResponse(f"/approvals/{approval.id}", status_code=303)


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    *,
    owing: bool = False,
    error: CloudError | None = None,
    chosen: frozenset[UUID] = frozenset(),
    lasts: str = USUAL,
    why: str = "",
) -> Response:
    rooms = board.rooms(session, user.organization_id, now=utc_now(), scope=user.scope)
    rows = [Row(room, point) for room in rooms for point in room.points if _can_be_cut(point)]
    shown = [row for row in rows if not owing or row.is_owing]
    buildings: dict[str, list[Row]] = {}
    for row in shown:
        buildings.setdefault(row.room.building, []).append(row)
    return page.render(
        request,
        "manager/people/cuts.html",
        status=error.status if error else 200,
        buildings=buildings,
        owing=owing,
        count=len(rows),
        owe=sum(row.is_owing for row in rows),
        chosen=chosen,
        lasting=LASTING,
        lasts=lasts,
        most=bulk_cuts.MOST,
        mistake=errors.mistake(request, error, {"why": why}, names=NAMES),
        at="/cuts",
        **top(session, user),
    )


def _can_be_cut(point: PointCard) -> bool:
    is_cut = point.pin is not None and point.pin.supply is Supply.OFF
    return point.has_switch and not point.is_protected and not is_cut
