"""Meters: the list, in and out by Excel, and a new service point with its first meter."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import RedirectResponse, Response

from cloud import tables, web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import scopes
from cloud.services.devices import models, points, register, sheet
from cloud.services.devices.points import NewPoint
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.estate import forms, point_acts
from dashboards.manager.estate.workbooks import Workbook, download
from dashboards.manager.top import top
from dashboards.words import N_
from prepaid.point import Restore

router = APIRouter(include_in_schema=False)

See = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_METERS))]
Edit = Annotated[SignedIn, Depends(web.allowed(Permission.EDIT_ESTATE))]
Change = Annotated[SignedIn, Depends(web.allowed(Permission.CHANGE_METERS))]
Decide = Annotated[SignedIn, Depends(web.allowed(Permission.DECIDE_READINGS))]
Text = Annotated[str, Form()]

WHICH = {
    "": N_("All"),
    "silent": N_("Silent"),
    "held": N_("In doubt"),
    "disputed": N_("To be decided"),
    "due": N_("Calibration due"),
    "never": N_("Never read"),
    "ended": N_("Taken away for good"),
}

METERS = Workbook("/meters", N_("Meters from Excel"), "表计", "meters", sheet.COLUMNS, sheet.take)


@router.get("/meters")
def all_meters(
    request: Request, user: See, session: UserSession, q: str = "", which: str = ""
) -> Response:
    now = utc_now()
    found = register.meters(session, user, q=q, which=which, today=now.date())
    return page.render(
        request,
        "manager/estate/meters.html",
        meters=found,
        is_cut=len(found) == register.MOST,
        q=q,
        which=which if which in WHICH else "",
        choices=WHICH,
        models={model.key: model.name for model in models.MODELS},
        soon=now.date() + register.SOON,
        may_edit=user.may(Permission.EDIT_ESTATE),
        **top(session, user),
    )


@router.get("/meters.xlsx")
def export(user: See, session: UserSession, q: str = "", which: str = "") -> Response:
    return download(sheet.write(session, q=q, which=which, by=user, now=utc_now()), "meters.xlsx")


@router.get("/meters/template.xlsx")
def template(user: Edit) -> Response:
    return METERS.template()


@router.get("/meters/import")
def ask_import(request: Request, user: Edit, session: UserSession) -> Response:
    return METERS.ask(request, session, user)


@router.post("/meters/import")
def take_import(
    request: Request,
    user: Edit,
    session: UserSession,
    file: Annotated[UploadFile | None, File()] = None,
    only_check: Text = "",
) -> Response:
    return METERS.take(request, session, user, file, only_check=bool(only_check))


@router.get("/meters/new")
def ask_new(request: Request, room: UUID, user: Edit, session: UserSession) -> Response:
    return _new(request, session, user, room, {})


@router.post("/meters/new")
async def add(request: Request, user: Edit, session: UserSession) -> Response:
    """A service point with its first meter. Its fields are those of the form, by name."""
    form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
    room_id = _uuid(form.get("room", ""))
    try:
        with session.begin_nested():
            point_id = _add(session, user, room_id, form)
    except CloudError as error:
        return _new(request, session, user, room_id, form, error)
    return RedirectResponse(f"/meters/points/{point_id}", status_code=303)


def _add(session: Session, user: SignedIn, room_id: UUID, form: dict[str, str]) -> UUID:
    kind = models.of_key(form.get("model", ""))
    number = form.get("meter_no", "").strip()
    opening = form.get("opening", "").strip()
    new = NewPoint(
        name=form.get("name", ""),
        model=kind.key,
        meter=kind.meter(
            meter_no=number,
            line=form.get("line", "").strip(),
            address=form.get("address", "").strip() or number,
            multiplier=forms.number(form.get("multiplier") or "1", field="multiplier"),
            settings=point_acts.settings(kind, form, None),
            has_switch=None if form.get("has_switch", "yes") == "yes" else False,
        ),
        tariff_code=form.get("tariff", ""),
        restore=Restore.DIRECT if form.get("restore") == Restore.DIRECT else Restore.ALLOW_CLOSE,
        opening=forms.number(opening, field="opening") if opening else None,
    )
    try:
        gateway_id = UUID(form.get("gateway", ""))
    except ValueError:
        raise scopes.NoSuchGateway(field="gateway") from None
    return points.add(session, room_id, gateway_id, new, by=user, now=utc_now()).id


def _new(
    request: Request,
    session: Session,
    user: SignedIn,
    room_id: UUID,
    form: dict[str, str],
    error: CloudError | None = None,
) -> Response:
    room = scopes.check_room(session, user, room_id)
    gateway, line = tables.Gateway, tables.Line
    lines = session.execute(
        select(col(line.name))
        .distinct()
        .where(col(line.organization_id) == user.organization_id, col(line.ended_at).is_(None))
        .order_by(col(line.name))
    ).scalars()
    return page.render(
        request,
        "manager/estate/new_meter.html",
        status=error.status if error else 200,
        room=room,
        building=session.get_one(tables.Building, room.building_id),
        gateways=session.execute(
            select(gateway)
            .where(scopes.gateways_of(user), col(gateway.ended_at).is_(None))
            .order_by(col(gateway.gateway_no))
        )
        .scalars()
        .all(),
        tariffs=session.execute(
            select(tables.TariffDocument)
            .where(col(tables.TariffDocument.organization_id) == user.organization_id)
            .order_by(col(tables.TariffDocument.code))
        )
        .scalars()
        .all(),
        lines=list(lines),
        models=models.MODELS,
        mistake=errors.mistake(request, error, form),
        at=f"/meters/new?room={room_id}",
        **top(session, user),
    )


def _uuid(text: str) -> UUID:
    """Raises NoSuchRoom where it is none: then nothing was chosen."""
    try:
        return UUID(text)
    except ValueError:
        raise scopes.NoSuchRoom from None
