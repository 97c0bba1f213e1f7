"""One service point: what it is now, the life of its meters, and what can be done to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import tables, web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services.devices import (
    changes,
    examinations,
    exchanges,
    models,
    particulars,
    photos,
    register,
)
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager import typed
from dashboards.manager.estate import point_acts
from dashboards.manager.estate.point_acts import Act
from dashboards.manager.top import top
from dashboards.manager.typed import Form
from dashboards.words import N_

router = APIRouter(include_in_schema=False)

See = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_METERS))]
Change = Annotated[SignedIn, Depends(web.allowed(Permission.CHANGE_METERS))]
Decide = Annotated[SignedIn, Depends(web.allowed(Permission.DECIDE_READINGS))]


def _changing(point_id: UUID, user: Change, session: UserSession, form: Form) -> Act:
    return Act(session, user, point_id, form, utc_now())


def _deciding(point_id: UUID, user: Decide, session: UserSession, form: Form) -> Act:
    return Act(session, user, point_id, form, utc_now())


Changing = Annotated[Act, Depends(_changing)]  # the form of somebody who may change meters,
Deciding = Annotated[Act, Depends(_deciding)]  # or decide on readings

KINDS = {
    changes.CHANGED: (N_("Meter changed"), "replace"),
    changes.TRANSFORMERS: (N_("Transformers changed"), "transform"),
    particulars.CORRECTED: (N_("Entry corrected"), "pencil"),
    changes.TAKEN_DOWN: (N_("Meter taken away"), "plug-connected-x"),
    examinations.CALIBRATED: (N_("Calibrated"), "certificate"),
    examinations.DISPUTED: (N_("Disputed reading"), "message-question"),
    "accepted": (N_("Reading accepted as true"), "check"),
    "restarted": (N_("Register was set"), "rotate"),
    "estimated": (N_("Charged as an estimate"), "calculator"),
    "dismissed": (N_("Doubt dismissed"), "x"),
}

PARTICULARS = {
    "model": N_("Model"),
    "meter_no": N_("Meter number"),
    "protocol": N_("Protocol"),
    "line": N_("Line"),
    "address": N_("Address"),
    "digits": N_("Whole digits"),
    "step": N_("Smallest step"),
    "max_per_hour": N_("Most that passes it in an hour"),
    "has_switch": N_("Has a switch"),
    "multiplier": N_("Multiplier"),
    "pt": "PT",
    "ct": "CT",
    "password": N_("Password"),
    "level": N_("Level"),
    "operator": N_("Operator"),
    "profile": N_("Register profile"),
    "meter_type": N_("Kind of meter"),
}
"""What a correction puts right, as people call it."""


@router.get("/meters/points/{point_id:uuid}")
def point(request: Request, point_id: UUID, user: See, session: UserSession) -> Response:
    return _page(request, session, user, point_id)


@router.post("/meters/points/{point_id:uuid}/read")
def read(request: Request, act: Changing) -> Response:
    return _done(request, act, lambda: point_acts.read(act))


@router.post("/meters/points/{point_id:uuid}/change")
def change(request: Request, act: Changing) -> Response:
    return _done(request, act, lambda: point_acts.change(act), opened="change")


@router.post("/meters/points/{point_id:uuid}/correct")
def correct(request: Request, act: Changing) -> Response:
    return _done(request, act, lambda: point_acts.correct(act), opened="correct")


@router.post("/meters/points/{point_id:uuid}/unlink")
def unlink(request: Request, act: Changing) -> Response:
    return _done(request, act, lambda: point_acts.unlink(act), opened="unlink")


@router.post("/meters/points/{point_id:uuid}/transformers")
def transformers(request: Request, act: Changing) -> Response:
    return _done(request, act, lambda: point_acts.transformers(act), opened="transformers")


@router.post("/meters/points/{point_id:uuid}/take-down")
def take_down(request: Request, act: Changing) -> Response:
    return _done(request, act, lambda: point_acts.take_down(act), opened="take-down")


@router.post("/meters/points/{point_id:uuid}/calibrate")
def calibrate(request: Request, act: Changing) -> Response:
    return _done(request, act, lambda: point_acts.calibrate(act), opened="calibrate")


@router.post("/meters/points/{point_id:uuid}/dispute")
def dispute(request: Request, act: Deciding) -> Response:
    return _done(request, act, lambda: point_acts.dispute(act), opened="dispute")


@router.post("/meters/points/{point_id:uuid}/decide")
def decide(request: Request, act: Deciding) -> Response:
    return _done(request, act, lambda: point_acts.decide(act), opened="decide")


@router.post("/meters/points/{point_id:uuid}/events/{event_id:uuid}/settle")
def settle(request: Request, event_id: UUID, act: Deciding) -> Response:
    return _done(request, act, lambda: point_acts.settle(act, event_id), opened=str(event_id))


@router.post("/meters/points/{point_id:uuid}/events/{event_id:uuid}/mend")
def mend(request: Request, event_id: UUID, act: Changing) -> Response:
    return _done(request, act, lambda: point_acts.mend(act, event_id), opened=str(event_id))


@router.get("/photos/{photo_id:uuid}")
def photo(photo_id: UUID, user: See, session: UserSession) -> Response:
    found = photos.one(session, user, photo_id)
    return Response(
        found.content,
        media_type=found.media_type,
        headers={
            "Cache-Control": "private, max-age=86400",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


def _done(request: Request, act: Act, do: Callable[[], None], *, opened: str = "") -> Response:
    """Back to the point; where it is refused nothing is changed, and the page says why beside the field and keeps
    what was typed."""
    try:
        with act.session.begin_nested():
            do()
    except CloudError as error:
        given = dict(typed.texts(act.form))
        if isinstance(error, exchanges.ReadSince):
            given["closing"] = str(error.last)
        return _page(request, act.session, act.user, act.point_id, error, opened, given)
    return RedirectResponse(f"/meters/points/{act.point_id}", status_code=303)


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    point_id: UUID,
    error: CloudError | None = None,
    opened: str = "",
    given: Mapping[str, str] | None = None,
) -> Response:
    life = register.life(session, point_id, by=user)
    now = utc_now()
    here = now.astimezone(ZoneInfo(page.TIMEZONE)).replace(tzinfo=None)
    unit = session.get_one(tables.TariffDocument, life.point.tariff_id).unit
    return page.render(
        request,
        "manager/estate/point.html",
        status=error.status if error else 200,
        life=life,
        unit=unit,
        kinds=KINDS,
        particulars=PARTICULARS,
        models=models.MODELS,
        model_names={model.key: model.name for model in models.MODELS},
        may_change=user.may(Permission.CHANGE_METERS) and life.point.ended_at is None,
        may_decide=user.may(Permission.DECIDE_READINGS) and life.point.ended_at is None,
        here_now=here.isoformat(timespec="minutes"),
        here_before=(here - timedelta(minutes=10)).isoformat(timespec="minutes"),
        today=here.date().isoformat(),
        opened=opened,
        typed=given or {},
        asks=model.asks if (model := models.known(life.model)) else ("pt", "ct"),
        field=error.field if error else None,
        problem=errors.sentence(request, error) if error else None,
        at=f"/meters/points/{point_id}",
        **top(session, user),
    )
