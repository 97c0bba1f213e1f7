"""The setup pages 首次设置: from the link that `wattwell serve` prints to the first room on the board."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import RedirectResponse, Response

from cloud import tables, web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.said import Said
from cloud.services import enrolment
from cloud.services.operation import setup
from cloud.tables import utc_now
from cloud.web import SystemSession, UserSession
from dashboards import errors, page, qr
from dashboards.words import N_

router = APIRouter(include_in_schema=False, prefix="/setup")

STEPS = (
    ("office", N_("Company")),
    ("site", N_("Site")),
    ("rooms", N_("Building")),
    ("tariff", N_("Price of electricity")),
    ("gateway", N_("Gateway")),
    ("room", N_("First room")),
)
PROTOCOLS = ("dlt645-2007", "dlt645-1997", "cj188-2004")
COMMON_ZONES = ("Asia/Shanghai", "Asia/Urumqi", "Asia/Hong_Kong", "Asia/Ho_Chi_Minh")
NOT_THE_SAME = N_("The two passwords are not the same.")

Setter = Annotated[SignedIn, Depends(web.allowed(Permission.SET_UP))]
Text = Annotated[str, Form()]


@router.get("")
def next_step(request: Request, user: Setter, session: UserSession) -> Response:
    """The first step that is still to be done; the board once all are."""
    return _page(request, session, user)


@router.post("/site")
def site(
    request: Request, user: Setter, session: UserSession, name: Text = "", timezone: Text = ""
) -> Response:
    def do() -> None:
        setup.add_site(session, user, name=name, timezone=timezone, now=utc_now())

    return _done(request, session, user, do, name=name, timezone=timezone)


@router.post("/rooms")
def rooms(
    request: Request,
    user: Setter,
    session: UserSession,
    building: Text = "",
    first_floor: Text = "",
    last_floor: Text = "",
    on_each: Text = "",
) -> Response:
    def do() -> None:
        try:
            numbers = int(first_floor), int(last_floor), int(on_each)
        except ValueError:
            raise setup.BadRule(
                field="first_floor", reason=Said("floors and rooms are whole numbers")
            ) from None
        setup.add_rooms(
            session,
            user,
            building=building,
            first_floor=numbers[0],
            last_floor=numbers[1],
            on_each=numbers[2],
            now=utc_now(),
        )

    typed = {"building": building, "first_floor": first_floor, "last_floor": last_floor}
    return _done(request, session, user, do, on_each=on_each, **typed)


@router.post("/tariff")
def tariff(request: Request, user: Setter, session: UserSession, price: Text = "") -> Response:
    def do() -> None:
        setup.publish_tariff(session, user, price=price, now=utc_now())

    return _done(request, session, user, do, price=price)


@router.post("/gateway")
def gateway(
    request: Request, user: Setter, session: UserSession, gateway_no: Text = ""
) -> Response:
    def do() -> None:
        setup.add_gateway(session, user, gateway_no=gateway_no, now=utc_now())

    return _done(request, session, user, do, gateway_no=gateway_no)


@router.post("/token")
def token(request: Request, user: Setter, session: UserSession) -> Response:
    """The page with a token for the gateway, which is on no page after this one."""
    state = setup.begun(session, user.organization_id)
    if state.gateway is None:
        return RedirectResponse("/setup", status_code=303)
    settings = request.app.state.settings
    made = enrolment.issue_token(session, settings, state.gateway.id, by=user, now=utc_now())
    return _page(request, session, user, token=made, code=qr.drawn(made.text))


@router.post("/room")
def room(
    request: Request,
    user: Setter,
    session: UserSession,
    room: Text = "",
    holder: Text = "",
    meter_no: Text = "",
    protocol: Text = "",
    line: Text = "",
    address: Text = "",
) -> Response:
    typed = {"room": room, "holder": holder, "meter_no": meter_no, "protocol": protocol}
    opened: list[UUID] = []

    def do() -> None:
        if protocol not in PROTOCOLS:
            raise setup.BadRule(
                field="protocol",
                reason=Said(
                    "the protocol of the meter is one of {protocols}",
                    protocols=", ".join(PROTOCOLS),
                ),
            )
        made = setup.open_room(session, user, line=line, address=address, now=utc_now(), **typed)
        opened.append(made)

    answer = _done(request, session, user, do, line=line, address=address, **typed)
    return RedirectResponse(f"/rooms/{opened[0]}", status_code=303) if opened else answer


# After the routes of the steps, whose names would be taken for tokens.


@router.get("/begin/{token}")
def ask(request: Request, session: SystemSession, token: str) -> Response:
    setup.check(session, request.app.state.settings, token)
    return _office(request, token)


@router.post("/begin/{token}")
def begin(
    request: Request,
    session: SystemSession,
    token: str,
    organization: Text = "",
    name: Text = "",
    login: Text = "",
    password: Text = "",
    again: Text = "",
) -> Response:
    """The organization and its administrator."""
    typed = {"organization": organization, "name": name, "login": login}
    if password != again:
        return _office(request, token, error=page.say(request)(NOT_THE_SAME), **typed)
    settings = request.app.state.settings
    try:
        with session.begin_nested():
            cookie = setup.begin(
                session, settings, token, password=password, now=utc_now(), **typed
            )
    except setup.NoSetup:
        raise
    except CloudError as error:
        return _office(request, token, error=errors.sentence(request, error), **typed)
    reply = RedirectResponse("/setup", status_code=303)
    web.set_cookie(reply, settings, cookie)
    return reply


def _office(request: Request, token: str, *, error: str | None = None, **typed: str) -> Response:
    return page.render(
        request,
        "manager/setup.html",
        status=422 if error else 200,
        step="office",
        steps=STEPS,
        setup_token=token,
        error=error,
        typed=typed,
    )


def _done(
    request: Request, session: Session, user: SignedIn, do: Callable[[], None], **typed: str
) -> Response:
    """The next step, or this one again with what is wrong and what was typed."""
    try:
        with session.begin_nested():
            do()
    except CloudError as error:
        return _page(request, session, user, error=errors.sentence(request, error), typed=typed)
    return RedirectResponse("/setup", status_code=303)


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    *,
    error: str | None = None,
    typed: dict[str, str] | None = None,
    **values: Any,
) -> Response:
    state = setup.begun(session, user.organization_id)
    if state.step == "done":
        return RedirectResponse("/rooms", status_code=303)
    zones = (*COMMON_ZONES, *sorted(available_timezones() - set(COMMON_ZONES)))
    row = tables.Room
    named = select(col(row.name)).where(col(row.organization_id) == user.organization_id)
    return page.render(
        request,
        "manager/setup.html",
        status=422 if error else 200,
        step=state.step,
        steps=STEPS,
        state=state,
        error=error,
        typed=typed or {},
        zones=zones if state.step == "site" else (),
        protocols=PROTOCOLS,
        rooms=session.execute(named.order_by(col(row.name)).limit(200)).scalars().all()
        if state.step == "room"
        else (),
        cloud=request.app.state.settings.public_url,
        here="/setup",
        **({"token": None, "code": None} | values),
    )
