"""Lines: how each is, what passes it, who is found on it, and whose meter that is."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edge.field import link as linking
from edge.field import scan as scanning
from edge.field.said import CannotDo, Said, why_not
from edge.field.status import PointStatus, line_status, point_status
from edge.lines.place import SerialAt
from edge.page.door import desk_of, form_of, page_for
from edge.page.session import Session
from edge.technician.answers import Protocol
from edge.technician.search.found import Found
from edge.technician.search.numbers import known_addresses, units
from protocols.modbus import profile as profiles

SHOWN = 40  # of what passed a line
USUAL_UNITS = "1-32"
MOST_DIGITS = 12  # of a register
MOST_PER_HOUR = 100_000  # kWh or m³: far more than passes any meter that is left in a meter room


async def overview(request: Request, session: Session) -> Response:
    desk = desk_of(request)
    return page_for(
        request,
        "overview.html",
        session,
        status_now=desk.status(),
        open_points=len(linking.open_points(desk.room)),
    )


async def one(request: Request, session: Session) -> Response:
    return _line_page(request, session)


async def now(request: Request, session: Session) -> Response:
    """What changes of it, to be put into the open page."""
    return _line_page(request, session, template="line_now.html")


async def scan(request: Request, session: Session) -> Response:
    desk, name = desk_of(request), request.path_params["name"]
    form = await form_of(request)
    try:
        asked = scanning.Asked(
            bauds=tuple(int(str(rate)) for rate in form.getlist("baud")),
            protocols=tuple(Protocol(str(one)) for one in form.getlist("protocol")),
            known=_known(str(form.get("known", ""))),
            units=units(str(form.get("units") or USUAL_UNITS)),
            by_pairs="by_pairs" in form,
        )
    except ValueError as error:
        raise why_not("This cannot be looked for: %(what)s.", what=error) from None
    scanning.begin(desk.room, name, asked, by=session.name)
    return RedirectResponse(f"/lines/{name}#scan", status_code=303)


def _known(text: str) -> tuple[str, ...]:
    return known_addresses(text) if text.strip() else ()


async def found(request: Request, session: Session) -> Response:
    """Whose meter one is that was found; a POST links it."""
    room, name = desk_of(request).room, request.path_params["name"]
    one = _found(request)
    candidates = linking.open_points(room)
    problem: Said | None = None
    is_doubted = False
    form = await form_of(request) if request.method == "POST" else None
    if form is not None:
        try:
            label = str(form.get("label", "")).strip()
            chosen = str(form.get("point", ""))
            point = next((p for p in candidates if str(p.id) == chosen), None)
            labelled = linking.of_label(room, label) if label else None
            point = point or labelled
            if point is None:
                raise why_not("Choose the service point, or scan the label of its meter.")
            linking.link(
                room,
                name,
                one,
                point,
                profile=str(form.get("profile", "")),
                plate=_plate(form),
                is_sure="is_sure" in form or point == labelled,
                by=session.name,
            )
            return RedirectResponse(f"/points/{point.id}", status_code=303)
        except CannotDo as error:
            problem = error.sentence
            is_doubted = isinstance(error, linking.NotAsEntered)
    suggested = linking.suggested(candidates, one)
    return page_for(
        request,
        "found.html",
        session,
        status=200 if problem is None else 409,
        line=name,
        one=one,
        number=request.path_params["number"],
        candidates=[point_status(room, point) for point in candidates],
        suggested=str(form.get("point", "")) if form else str(suggested.id) if suggested else "",
        profiles=profiles.names() if one.protocol is Protocol.MODBUS_RTU else (),
        form_said=dict(form) if form else {},
        problem=problem,
        is_doubted=is_doubted,
    )


def _plate(form: FormData) -> linking.Plate:
    """What was read off the meter, where it was typed. Raises CannotDo."""
    number, digits, most = (
        str(form.get(name, "")).strip() for name in ("meter_no", "digits", "max_per_hour")
    )
    if digits and not (digits.isdecimal() and 1 <= int(digits) <= MOST_DIGITS):
        raise why_not("Whole digits are 1 to %(most)s.", most=MOST_DIGITS)
    try:
        per_hour = Decimal(most) if most else None
    except InvalidOperation:
        per_hour = Decimal(0)
    if per_hour is not None and not 0 < per_hour <= MOST_PER_HOUR:
        raise why_not("The most in an hour is a number from 0 to %(most)s.", most=MOST_PER_HOUR)
    return linking.Plate(number or None, int(digits) if digits else None, per_hour)


def _found(request: Request) -> Found:
    job = desk_of(request).room.jobs.at(request.path_params["name"])
    number = request.path_params["number"]
    if job is None or not 0 <= number < len(job.found):
        raise HTTPException(404)
    one = job.found[number]
    assert isinstance(one, Found)
    return one


def _line_page(request: Request, session: Session, template: str = "line.html") -> Response:
    room, name = desk_of(request).room, request.path_params["name"]
    at_hand = room.lines.get(name)
    if at_hand is None:
        raise HTTPException(404)
    points = [point_status(room, p) for p in room.store.points().values() if p.meter.line == name]
    where = {(point.protocol, point.address): point for point in points}
    job = room.jobs.at(name)
    found = [] if job is None else [(one, _whose(one, where)) for one in job.found]
    at = at_hand.place.at
    return page_for(
        request,
        template,
        session,
        line=line_status(room, name),
        points=points,
        job=job,
        found=found,
        heard=list(reversed(at_hand.tap.last(SHOWN))),
        is_serial=isinstance(at, SerialAt),
        baud=at.baud,
        bauds=sorted({at.baud, *scanning.BAUDS}),
        protocols=list(Protocol),
        usual_units=USUAL_UNITS,
    )


def _whose(one: Found, where: dict[tuple[str, str], PointStatus]) -> PointStatus | None:
    """The point that is read there already."""
    driver = linking.DRIVER_OF.get(one.protocol, "")
    return where.get((driver, one.address))
