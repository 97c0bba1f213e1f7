"""Meters: the list, one service point with the life of its meters, and what can be done to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import RedirectResponse, Response

from cloud import tables, web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import scopes, sheets
from cloud.services.devices import (
    changes,
    decisions,
    examinations,
    models,
    mountings,
    photos,
    points,
    register,
    sheet,
)
from cloud.services.devices.exchanges import Registers
from cloud.services.devices.points import NewPoint
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.estate import forms
from dashboards.manager.estate.places import report_page, workbook
from dashboards.manager.top import top
from dashboards.words import N_
from prepaid.point import Meter, Restore

router = APIRouter(include_in_schema=False)

See = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_METERS))]
Edit = Annotated[SignedIn, Depends(web.allowed(Permission.EDIT_ESTATE))]
Change = Annotated[SignedIn, Depends(web.allowed(Permission.CHANGE_METERS))]
Decide = Annotated[SignedIn, Depends(web.allowed(Permission.DECIDE_READINGS))]
Text = Annotated[str, Form()]
Photo = Annotated[UploadFile | None, File()]

WHICH = {
    "": N_("All"),
    "silent": N_("Silent"),
    "held": N_("In doubt"),
    "disputed": N_("To be decided"),
    "due": N_("Calibration due"),
    "never": N_("Never read"),
}
KINDS = {
    changes.CHANGED: (N_("Meter changed"), "replace"),
    changes.TRANSFORMERS: (N_("Transformers changed"), "transform"),
    changes.TAKEN_DOWN: (N_("Meter taken away"), "plug-connected-x"),
    examinations.CALIBRATED: (N_("Calibrated"), "certificate"),
    examinations.DISPUTED: (N_("Disputed reading"), "message-question"),
    "accepted": (N_("Reading accepted as true"), "check"),
    "restarted": (N_("Register was set"), "rotate"),
    "estimated": (N_("Charged as an estimate"), "calculator"),
    "dismissed": (N_("Doubt dismissed"), "x"),
}


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
    return workbook(sheet.write(session, q=q, which=which, by=user, now=utc_now()), "meters.xlsx")


@router.get("/meters/template.xlsx")
def template(user: Edit) -> Response:
    return workbook(sheets.template(sheet.COLUMNS, title="表计"), "meters-template.xlsx")


@router.get("/meters/import")
def ask_import(request: Request, user: Edit, session: UserSession) -> Response:
    return _import(request, session, user)


@router.post("/meters/import")
def take_import(
    request: Request,
    user: Edit,
    session: UserSession,
    file: Photo = None,
    only_check: Text = "",
) -> Response:
    """The report, row by row."""
    try:
        content = forms.content(file, most=sheets.MOST_BYTES)
        report = sheet.take(session, content, only_check=bool(only_check), by=user, now=utc_now())
    except CloudError as error:
        return _import(request, session, user, error=error)
    return _import(request, session, user, report=report)


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


@router.get("/meters/points/{point_id:uuid}")
def point(request: Request, point_id: UUID, user: See, session: UserSession) -> Response:
    return _point(request, session, user, point_id)


@router.post("/meters/points/{point_id:uuid}/read")
def read(request: Request, point_id: UUID, user: Change, session: UserSession) -> Response:
    """The gateway is asked to read the meter now."""

    def do() -> None:
        points.read_now(session, point_id, by=user)

    return _done(request, session, user, point_id, do)


@router.post("/meters/points/{point_id:uuid}/change")
def change(
    request: Request,
    point_id: UUID,
    user: Change,
    session: UserSession,
    meter_no: Text = "",
    model: Text = "",
    line: Text = "",
    address: Text = "",
    multiplier: Text = "1",
    password: Text = "",
    level: Text = "",
    operator: Text = "",
    pt: Text = "",
    ct: Text = "",
    closing: Text = "",
    closed_at: Text = "",
    opening: Text = "",
    opened_at: Text = "",
    rounds: Text = "",
    between: Text = "",
    estimate_stands: Text = "",
    why: Text = "",
    closing_photo: Photo = None,
    opening_photo: Photo = None,
) -> Response:
    given = {"password": password, "level": level, "operator": operator, "pt": pt, "ct": ct}

    def do() -> None:
        old = _device(session, user, point_id)
        kind = models.of_key(model)
        new = kind.meter(
            meter_no=meter_no.strip(),
            line=line.strip(),
            address=address.strip() or meter_no.strip(),
            multiplier=forms.number(multiplier or "1"),
            settings=_settings(kind, given, old),
        )
        registers = _registers(
            closing, closed_at, opening, opened_at, rounds, between, estimate_stands
        )
        changes.change_meter(
            session,
            point_id,
            new,
            registers,
            model=kind.key,
            why=why,
            pictures=forms.pictures(closing=closing_photo, opening=opening_photo),
            by=user,
            now=utc_now(),
        )

    return _done(
        request,
        session,
        user,
        point_id,
        do,
        "change",
        meter_no=meter_no,
        model=model,
        line=line,
        address=address,
        multiplier=multiplier,
        closing=closing,
        closed_at=closed_at,
        opening=opening,
        opened_at=opened_at,
        rounds=rounds,
        between=between,
        why=why,
    )


@router.post("/meters/points/{point_id:uuid}/transformers")
def transformers(
    request: Request,
    point_id: UUID,
    user: Change,
    session: UserSession,
    multiplier: Text = "",
    closing: Text = "",
    opening: Text = "",
    at: Text = "",
    why: Text = "",
    closing_photo: Photo = None,
) -> Response:
    def do() -> None:
        changes.change_transformers(
            session,
            point_id,
            multiplier=forms.number(multiplier),
            settings={},
            registers=_registers(closing, at, opening or closing, at, "", "", ""),
            why=why,
            pictures=forms.pictures(closing=closing_photo),
            by=user,
            now=utc_now(),
        )

    return _done(
        request,
        session,
        user,
        point_id,
        do,
        "transformers",
        multiplier=multiplier,
        closing=closing,
        opening=opening,
        at=at,
        why=why,
    )


@router.post("/meters/points/{point_id:uuid}/take-down")
def take_down(
    request: Request,
    point_id: UUID,
    user: Change,
    session: UserSession,
    closing: Text = "",
    at: Text = "",
    rounds: Text = "",
    why: Text = "",
    closing_photo: Photo = None,
) -> Response:
    def do() -> None:
        now = utc_now()
        changes.take_down(
            session,
            point_id,
            closing=forms.number(closing),
            at=forms.instant(at, now=now),
            rounds=forms.whole(rounds),
            why=why,
            pictures=forms.pictures(closing=closing_photo),
            by=user,
            now=now,
        )

    return _done(
        request,
        session,
        user,
        point_id,
        do,
        "take-down",
        closing=closing,
        at=at,
        rounds=rounds,
        why=why,
    )


@router.post("/meters/points/{point_id:uuid}/calibrate")
def calibrate(
    request: Request,
    point_id: UUID,
    user: Change,
    session: UserSession,
    on: Text = "",
    passed: Text = "",
    certificate: Text = "",
    due: Text = "",
    why: Text = "",
    photo: Photo = None,
) -> Response:
    def do() -> None:
        found = decisions.point_of(session, point_id, user)
        day = forms.day(on)
        if day is None:
            raise forms.NoTime(text=on)
        examinations.calibrate(
            session,
            mountings.now_at(session, found.id).meter_id,
            on=day,
            passed=passed == "yes",
            certificate=certificate,
            due=forms.day(due),
            why=why or certificate,
            pictures=forms.pictures(other=photo),
            by=user,
            now=utc_now(),
        )

    return _done(request, session, user, point_id, do, "calibrate")


@router.post("/meters/points/{point_id:uuid}/dispute")
def dispute(
    request: Request,
    point_id: UUID,
    user: Decide,
    session: UserSession,
    why: Text = "",
    photo: Photo = None,
) -> Response:
    """The last reading is doubted by the customer."""

    def do() -> None:
        examinations.dispute_last(
            session,
            point_id,
            why=why,
            pictures=forms.pictures(other=photo),
            by=user,
            now=utc_now(),
        )

    return _done(request, session, user, point_id, do, "dispute")


@router.post("/meters/points/{point_id:uuid}/events/{event_id:uuid}/settle")
def settle(
    request: Request,
    point_id: UUID,
    event_id: UUID,
    user: Decide,
    session: UserSession,
    upheld: Text = "",
    why: Text = "",
) -> Response:
    def do() -> None:
        examinations.settle_dispute(
            session, event_id, upheld=upheld == "yes", why=why, by=user, now=utc_now()
        )

    return _done(request, session, user, point_id, do)


@router.post("/meters/points/{point_id:uuid}/events/{event_id:uuid}/mend")
def mend(
    request: Request,
    point_id: UUID,
    event_id: UUID,
    user: Change,
    session: UserSession,
    closing: Text = "",
    closed_at: Text = "",
    opening: Text = "",
    opened_at: Text = "",
    rounds: Text = "",
    why: Text = "",
    closing_photo: Photo = None,
) -> Response:
    def do() -> None:
        changes.mend(
            session,
            event_id,
            _registers(closing, closed_at, opening, opened_at, rounds, "", ""),
            why=why,
            pictures=forms.pictures(closing=closing_photo),
            by=user,
            now=utc_now(),
        )

    return _done(request, session, user, point_id, do)


@router.post("/meters/points/{point_id:uuid}/decide")
def decide(
    request: Request,
    point_id: UUID,
    user: Decide,
    session: UserSession,
    what: Text = "",
    seen_at: Text = "",
    rounds: Text = "",
    closing: Text = "",
    opening: Text = "",
    at: Text = "",
    moved: Text = "",
    why: Text = "",
    photo: Photo = None,
) -> Response:
    """A reading in doubt is let go on, one way or the other; or an estimate is charged."""

    def do() -> None:
        now = utc_now()
        shown = forms.pictures(other=photo)
        match what:
            case "accept":
                decisions.accept(
                    session,
                    point_id,
                    seen_at=forms.instant(seen_at, now=now),
                    rounds=forms.whole(rounds),
                    why=why,
                    pictures=shown,
                    by=user,
                    now=now,
                )
            case "restart":
                decisions.restarted(
                    session,
                    point_id,
                    closing=forms.number(closing),
                    opening=forms.number(opening or "0"),
                    at=forms.instant(at, now=now),
                    why=why,
                    pictures=shown,
                    by=user,
                    now=now,
                )
            case "estimate":
                amount = forms.number(moved) if moved.strip() else None
                decisions.estimate(session, point_id, moved=amount, why=why, by=user, now=now)
            case _:
                decisions.dismiss(session, point_id, why=why, by=user, now=now)

    return _done(request, session, user, point_id, do, "decide")


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


def _done(
    request: Request,
    session: Session,
    user: SignedIn,
    point_id: UUID,
    do: Callable[[], None],
    opened: str = "",
    **typed: str,
) -> Response:
    """Back to the point; where it is refused nothing is changed, and the page says why and keeps what was typed."""
    try:
        with session.begin_nested():
            do()
    except CloudError as error:
        return _point(request, session, user, point_id, error, opened, typed)
    return RedirectResponse(f"/meters/points/{point_id}", status_code=303)


def _registers(
    closing: str,
    closed_at: str,
    opening: str,
    opened_at: str,
    rounds: str,
    between: str,
    estimate_stands: str,
) -> Registers:
    now = utc_now()
    return Registers(
        closing=forms.number(closing),
        closed_at=forms.instant(closed_at, now=now),
        opening=forms.number(opening),
        opened_at=forms.instant(opened_at, now=now),
        rounds=forms.whole(rounds),
        between=forms.number(between) if between.strip() else Decimal(0),
        estimate_stands=bool(estimate_stands),
    )


def _settings(kind: models.Model, given: dict[str, str], old: Meter | None) -> dict[str, str]:
    """What was typed, and where nothing was what the meter before had: the same company sets them alike."""
    known = old.settings if old is not None and old.protocol == kind.protocol else {}
    found = {key: given.get(key, "").strip() or known.get(key, "") for key in kind.asks}
    return {key: value for key, value in found.items() if value}


def _device(session: Session, user: SignedIn, point_id: UUID) -> Meter:
    found: Meter = mountings.METER.validate_python(
        decisions.point_of(session, point_id, user).meter
    )
    return found


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
            multiplier=forms.number(form.get("multiplier") or "1"),
            settings=_settings(kind, form, None),
            has_switch=None if form.get("has_switch", "yes") == "yes" else False,
        ),
        tariff_code=form.get("tariff", ""),
        restore=Restore.DIRECT if form.get("restore") == Restore.DIRECT else Restore.ALLOW_CLOSE,
        opening=forms.number(opening) if opening else None,
    )
    gateway_id = _uuid(form.get("gateway", ""))
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
        form=form,
        problem=errors.sentence(request, error) if error else None,
        at=f"/meters/new?room={room_id}",
        **top(session, user),
    )


def _point(
    request: Request,
    session: Session,
    user: SignedIn,
    point_id: UUID,
    error: CloudError | None = None,
    opened: str = "",
    typed: Mapping[str, str] | None = None,
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
        models=models.MODELS,
        model_names={model.key: model.name for model in models.MODELS},
        may_change=user.may(Permission.CHANGE_METERS) and life.point.ended_at is None,
        may_decide=user.may(Permission.DECIDE_READINGS) and life.point.ended_at is None,
        here_now=here.isoformat(timespec="minutes"),
        here_before=(here - timedelta(minutes=10)).isoformat(timespec="minutes"),
        today=here.date().isoformat(),
        opened=opened,
        typed=typed or {},
        problem=errors.sentence(request, error) if error else None,
        at=f"/meters/points/{point_id}",
        **top(session, user),
    )


def _import(
    request: Request,
    session: Session,
    user: SignedIn,
    *,
    report: sheets.Report | None = None,
    error: CloudError | None = None,
) -> Response:
    return report_page(
        request,
        session,
        user,
        path="/meters",
        title=page.say(request)("Meters from Excel"),
        back="/meters",
        report=report,
        error=error,
    )


def _uuid(text: str) -> UUID:
    """Raises NoSuchRoom where it is none: then nothing was chosen."""
    try:
        return UUID(text)
    except ValueError:
        raise scopes.NoSuchRoom from None
