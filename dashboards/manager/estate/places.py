"""Sites, buildings and rooms: made one by one, by rule, or from Excel; named; and ended."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import scopes
from cloud.services.places import rule, sheet, tree
from cloud.services.places.rule import Rule
from cloud.tables import Building, Room, Site, utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.estate import forms
from dashboards.manager.estate.workbooks import Workbook, download
from dashboards.manager.outcome import outcome
from dashboards.manager.top import top
from dashboards.mistake import Mistake
from dashboards.words import N_

router = APIRouter(include_in_schema=False, prefix="/estate")

See = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))]
Edit = Annotated[SignedIn, Depends(web.allowed(Permission.EDIT_ESTATE))]
Text = Annotated[str, Form()]
Kind = Literal["sites", "buildings", "rooms"]

ROOMS = Workbook("/estate", N_("Rooms from Excel"), "房间", "rooms", sheet.COLUMNS, sheet.take)


@router.get("")
def estate(request: Request, user: See, session: UserSession) -> Response:
    """All sites with their buildings."""
    return _estate(request, session, user)


@router.post("/sites")
def add_site(request: Request, user: Edit, session: UserSession, name: Text = "") -> Response:
    def add() -> None:
        tree.add_site(session, name, timezone=page.TIMEZONE, by=user, now=utc_now())

    again = partial(_estate, request, session, user)
    return outcome(request, session, add, again, to="/estate", form="site", typed={"name": name})


@router.post("/sites/{site_id:uuid}/buildings")
def add_building(
    request: Request, site_id: UUID, user: Edit, session: UserSession, name: Text = ""
) -> Response:
    def add() -> str:
        building = tree.add_building(session, site_id, name, by=user, now=utc_now())
        return f"/estate/buildings/{building.id}"

    again = partial(_estate, request, session, user)
    return outcome(request, session, add, again, form=f"add-{site_id}", typed={"name": name})


@router.get("/buildings/{building_id:uuid}")
def building(request: Request, building_id: UUID, user: See, session: UserSession) -> Response:
    """The rooms of a building, floor by floor."""
    return _building(request, session, user, building_id)


@router.post("/buildings/{building_id:uuid}/plan")
def plan(
    request: Request,
    building_id: UUID,
    user: Edit,
    session: UserSession,
    floors: Text = "",
    rooms: Text = "",
    pattern: Text = "{FF}{RR}",
) -> Response:
    """What a rule would make, to be looked at before it is made."""
    asked = Rule(floors, rooms, pattern)
    try:
        planned = rule.plan(session, building_id, asked, by=user)
    except CloudError as error:
        told = errors.mistake(request, error, form="rule")
        return _building(request, session, user, building_id, told, rule=asked)
    found = scopes.check_building(session, user, building_id)
    return page.render(
        request,
        "manager/estate/plan.html",
        building=found,
        rule=asked,
        floors=[(floor, list(named)) for floor, named in groupby(planned, lambda each: each.floor)],
        new=sum(not each.is_known for each in planned),
        known=sum(each.is_known for each in planned),
        at=f"/estate/buildings/{building_id}",
        **top(session, user),
    )


@router.post("/buildings/{building_id:uuid}/rooms")
def make(
    request: Request,
    building_id: UUID,
    user: Edit,
    session: UserSession,
    floors: Text = "",
    rooms: Text = "",
    pattern: Text = "",
) -> Response:
    asked = Rule(floors, rooms, pattern)

    def add() -> None:
        rule.make(session, building_id, asked, by=user, now=utc_now())

    again = partial(_building, request, session, user, building_id, rule=asked)
    to = f"/estate/buildings/{building_id}"
    return outcome(request, session, add, again, to=to, form="rule")


@router.post("/buildings/{building_id:uuid}/room")
def add_room(
    request: Request,
    building_id: UUID,
    user: Edit,
    session: UserSession,
    name: Text = "",
    floor: Text = "",
) -> Response:
    def add() -> None:
        at = forms.whole(floor, field="floor")
        tree.add_room(session, building_id, name, floor=at, by=user, now=utc_now())

    again = partial(_building, request, session, user, building_id)
    typed, to = {"name": name, "floor": floor}, f"/estate/buildings/{building_id}"
    return outcome(request, session, add, again, to=to, form="room", typed=typed)


@router.post("/{kind}/{id:uuid}/name")
def rename(
    request: Request, kind: Kind, id: UUID, user: Edit, session: UserSession, name: Text = ""
) -> Response:
    row = _row(session, user, kind, id)
    back = _back(row)

    def do() -> None:
        tree.rename(session, row, name, by=user, now=utc_now())

    again = partial(_again, request, session, user, back)
    typed = {"name": name}
    return outcome(request, session, do, again, to=back, form=f"name-{id}", typed=typed)


@router.post("/{kind}/{id:uuid}/end")
def end(request: Request, kind: Kind, id: UUID, user: Edit, session: UserSession) -> Response:
    row = _row(session, user, kind, id)
    back = "/estate" if isinstance(row, Building) else _back(row)

    def do() -> None:
        tree.end(session, row, by=user, now=utc_now())

    return outcome(
        request, session, do, partial(_again, request, session, user, _back(row)), to=back
    )


@router.post("/{kind}/{id:uuid}/again")
def use_again(kind: Kind, id: UUID, user: Edit, session: UserSession) -> Response:
    row = _row(session, user, kind, id)
    tree.use_again(session, row, by=user, now=utc_now())
    return RedirectResponse(_back(row), status_code=303)


@router.get("/rooms.xlsx")
def export(user: See, session: UserSession) -> Response:
    return download(sheet.write(session, by=user), "rooms.xlsx")


@router.get("/template.xlsx")
def template(user: Edit) -> Response:
    return ROOMS.template()


@router.get("/import")
def ask_import(request: Request, user: Edit, session: UserSession) -> Response:
    return ROOMS.ask(request, session, user)


@router.post("/import")
def take_import(
    request: Request,
    user: Edit,
    session: UserSession,
    file: Annotated[UploadFile | None, File()] = None,
    only_check: Text = "",
) -> Response:
    return ROOMS.take(request, session, user, file, only_check=bool(only_check))


def _again(
    request: Request,
    session: Session,
    user: SignedIn,
    back: str,
    told: Mistake,
) -> Response:
    if back == "/estate":
        return _estate(request, session, user, told)
    return _building(request, session, user, UUID(back.rsplit("/", 1)[1]), told)


def _estate(
    request: Request,
    session: Session,
    user: SignedIn,
    told: Mistake | None = None,
) -> Response:
    return page.render(
        request,
        "manager/estate/sites.html",
        status=told.status if told else 200,
        sites=tree.sites(session, user),
        may_edit=user.may(Permission.EDIT_ESTATE),
        is_everywhere=user.scope.is_everywhere,
        mistake=told or Mistake(),
        at="/estate",
        **top(session, user),
    )


def _building(
    request: Request,
    session: Session,
    user: SignedIn,
    building_id: UUID,
    told: Mistake | None = None,
    *,
    rule: Rule | None = None,
) -> Response:
    found = scopes.check_building(session, user, building_id)
    rooms = tree.rooms(session, building_id, by=user)
    return page.render(
        request,
        "manager/estate/building.html",
        status=told.status if told else 200,
        building=found,
        site=session.get_one(Site, found.site_id),
        floors=[(floor, list(each)) for floor, each in groupby(rooms, lambda room: room.floor)],
        rule=rule or Rule("1-6", "1-4"),
        may_edit=user.may(Permission.EDIT_ESTATE),
        mistake=told or Mistake(),
        at=f"/estate/buildings/{building_id}",
        **top(session, user),
    )


def _row(session: Session, user: SignedIn, kind: Kind, id: UUID) -> Site | Building | Room:
    match kind:
        case "sites":
            return scopes.check_site(session, user, id, whole=True)
        case "buildings":
            return scopes.check_building(session, user, id)
        case "rooms":
            return scopes.check_room(session, user, id)


def _back(row: Site | Building | Room) -> str:
    match row:
        case Building():
            return f"/estate/buildings/{row.id}"
        case Room():
            return f"/estate/buildings/{row.building_id}"
        case _:
            return "/estate"
