"""The page of alarms 告警: all that are on, by kind; who has seen to which; and seeing to several at once."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import acknowledgements, alarms
from cloud.services.acknowledgements import Chosen, ChosenTrouble
from cloud.services.people import audit_checks
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.top import top
from dashboards.mistake import Mistake
from prepaid.wire.uplog import AlarmKind, Trouble

router = APIRouter(include_in_schema=False, prefix="/alarms")


@router.get("")
def all_alarms(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))],
    session: UserSession,
    kind: str = "",
) -> Response:
    """Every alarm that is on, or those of a kind; how many there are of each. An alarm goes when its cause does."""
    return _page(request, session, user, kind)


@router.post("/acknowledge")
def acknowledge(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.ACKNOWLEDGE_ALARMS))],
    session: UserSession,
    alarm: Annotated[list[str] | None, Form()] = None,
    why: Annotated[str, Form()] = "",
    kind: Annotated[str, Form()] = "",
) -> Response:
    """Somebody has seen to the chosen alarms; kind is what the page showed."""
    chosen = [found for sent in alarm or () if (found := _read(sent)) is not None]
    try:
        with session.begin_nested():
            acknowledgements.acknowledge(session, user, chosen, why=why, now=utc_now())
    except CloudError as error:
        told = errors.mistake(request, error, {"why": why})
        return _page(request, session, user, kind, told, frozenset(chosen))
    return RedirectResponse(f"/alarms?kind={_wanted(kind) or ''}", status_code=303)


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    kind: str,
    told: Mistake | None = None,
    chosen: frozenset[Chosen | ChosenTrouble] = frozenset(),
) -> Response:
    found = alarms.of_points(session, user.organization_id, rooms=None, scope=user.scope)
    on = alarms.of_gateways(session, user.organization_id, scope=user.scope)
    wanted = _wanted(kind)
    numbers = Counter(alarm.kind for alarm in found)
    shown = [alarm for alarm in found if wanted in (None, alarm.kind)]
    return page.render(
        request,
        "manager/alarms.html",
        status=told.status if told else 200,
        mistake=told or Mistake(),
        troubles=[(trouble, _written_trouble(trouble)) for trouble in on if trouble.seen is None],
        seen_troubles=[trouble for trouble in on if trouble.seen is not None],
        audit_checked=audit_checks.of(session, user),
        alarms=[(alarm, written(alarm)) for alarm in shown if alarm.seen is None],
        seen=[alarm for alarm in shown if alarm.seen is not None],
        chosen={_written(each) for each in chosen},
        kinds={each: numbers[each] for each in AlarmKind if numbers[each]},
        count=len(found),
        wanted=wanted,
        most=acknowledgements.MOST,
        may_acknowledge=user.may(Permission.ACKNOWLEDGE_ALARMS),
        at=f"/alarms?kind={wanted or ''}",
        **top(session, user),
    )


def written(alarm: alarms.PointAlarm) -> str:
    """An alarm as its box on the page names it."""
    return _written(Chosen(alarm.point_id, alarm.kind, alarm.at))


def _written_trouble(trouble: alarms.GatewayTrouble) -> str:
    return _written(ChosenTrouble(trouble.gateway_id, trouble.kind, trouble.at))


def _written(each: Chosen | ChosenTrouble) -> str:
    id = each.point_id if isinstance(each, Chosen) else each.gateway_id
    return f"{id} {each.kind} {each.at.isoformat()}"


def _read(sent: str) -> Chosen | ChosenTrouble | None:
    """What a box named; None for what no box of ours says."""
    try:
        id, kind, since = sent.split(" ")
        at = datetime.fromisoformat(since)
        if kind in set(Trouble):
            found: Chosen | ChosenTrouble = ChosenTrouble(UUID(id), Trouble(kind), at)
        else:
            found = Chosen(UUID(id), AlarmKind(kind), at)
    except ValueError:
        return None
    return found if at.tzinfo is not None else None


def _wanted(kind: str) -> AlarmKind | None:
    return AlarmKind(kind) if kind in set(AlarmKind) else None
