"""Service points: found by name or label, read, tested, and the list of what is still to be tested."""

from __future__ import annotations

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edge.field import link as linking
from edge.field import supply
from edge.field.job import Job
from edge.field.room import Look, look
from edge.field.said import CannotDo, Said, Tone, said, why_not
from edge.field.status import PointStatus, checks_of, point_status
from edge.ledger.rows import Checked
from edge.page.door import desk_of, form_of, page_for
from edge.page.render import money
from edge.page.session import Session
from prepaid.point import ServicePoint
from prepaid.supply import ASKS_TAPS
from prepaid.wire.uplog import Work

MOST_SHOWN = 200
MOST_WATCHED = 40  # registers in a blink test: reading them must not outlast it


async def all_points(request: Request, session: Session) -> Response:
    """All, or those whose name or number has what is looked for; a label of a meter leads to its point."""
    room = desk_of(request).room
    wanted = request.query_params.get("find", "").strip()
    only_open = "open" in request.query_params
    if wanted and (point := linking.of_label(room, wanted)) is not None:
        return RedirectResponse(f"/points/{point.id}", status_code=303)
    low = wanted.lower()
    points = [
        point
        for point in room.store.points().values()
        if (not low or low in point.name.lower() or low in point.meter.meter_no.lower())
        and (not only_open or linking.is_open(room, point))
    ]
    return page_for(
        request,
        "points.html",
        session,
        points=[point_status(room, point) for point in points[:MOST_SHOWN]],
        count=len(points),
        wanted=wanted,
        only_open=only_open,
    )


async def one(request: Request, session: Session) -> Response:
    return point_page(request, session)


async def now(request: Request, session: Session) -> Response:
    """What changes of it, to be put into the open page."""
    return point_page(request, session, template="point_now.html")


async def read(request: Request, session: Session) -> Response:
    """Reads the meter now, and shows the frames."""
    point = asked(request)
    return point_page(request, session, seen=await look(desk_of(request).room, point))


async def unlink(request: Request, session: Session) -> Response:
    """The meter that was linked here is not this point's."""
    room, point = desk_of(request).room, asked(request)
    try:
        charged = linking.undo(room, point, by=session.name)
    except CannotDo as error:
        return point_page(request, session, problem=error.sentence)
    if not charged:
        return point_page(request, session, done=said("The link is undone.", Tone.GOOD))
    sentence = said(
        "The link is undone. %(charged)s were charged by the wrong meter: tell the office, which can give it back.",
        Tone.WARN,
        charged=money(charged),
    )
    return point_page(request, session, done=sentence)


async def cut_test(request: Request, session: Session) -> Response:
    point = asked(request)
    return _begun(
        request,
        session,
        lambda: supply.begin_cut_test(desk_of(request).room, point, by=session.name),
    )


async def blink_test(request: Request, session: Session) -> Response:
    room, point = desk_of(request).room, asked(request)
    form = await form_of(request)
    text = str(form.get("seconds", ""))
    if not text.isdecimal():
        raise why_not("Give %(least)s to %(most)s seconds.", least=10, most=600)
    others = [
        other
        for other in room.store.points().values()
        if other.id != point.id
        and other.meter.line == point.meter.line
        and other.meter.protocol == point.meter.protocol
        and not linking.is_open(room, other)
    ]
    watched = others[:MOST_WATCHED] if "others" in form else []
    return _begun(
        request,
        session,
        lambda: supply.begin_blink_test(room, point, watched, seconds=int(text), by=session.name),
    )


def _begun(request: Request, session: Session, begin: Callable[[], Job]) -> Response:
    try:
        begin()
    except CannotDo as error:
        return point_page(request, session, problem=error.sentence)
    return RedirectResponse(f"/points/{request.path_params['id']}#work", status_code=303)


async def stop(request: Request, session: Session) -> Response:
    """Stops a work; what it has cut is given back."""
    jobs = desk_of(request).room.jobs
    job = jobs.find(request.path_params["id"])
    if job is None:
        raise HTTPException(404)
    jobs.stop(job.id)
    place = "lines" if job.about in desk_of(request).room.lines else "points"
    return RedirectResponse(f"/{place}/{job.about}", status_code=303)


async def checks(request: Request, session: Session) -> Response:
    """The list to work through when a gateway is put into service."""
    room = desk_of(request).room
    rows = [
        (point_status(room, point), checks_of(room, point.id))
        for point in room.store.points().values()
    ]
    return page_for(
        request,
        "checks.html",
        session,
        rows=rows[:MOST_SHOWN],
        count=len(rows),
        read=sum(not point.is_open for point, _ in rows),
        tested=sum(_is_right(done.get(Work.CUT_TEST)) for _, done in rows),
        matched=sum(_is_right(done.get(Work.BLINK_TEST)) for _, done in rows),
        with_switch=sum(point.has_switch for point, _ in rows),
        cut_test=Work.CUT_TEST,
        blink_test=Work.BLINK_TEST,
    )


def _is_right(done: Checked | None) -> bool:
    return done is not None and done.is_right is True


def asked(request: Request) -> ServicePoint:
    """The point that the address names."""
    point = desk_of(request).room.store.points().get(request.path_params["id"])
    if point is None:
        raise HTTPException(404)
    return point


def point_page(
    request: Request,
    session: Session,
    *,
    template: str = "point.html",
    seen: Look | None = None,
    problem: Said | None = None,
    done: Said | None = None,
    typed: str = "",
) -> Response:
    """A point as it is now; problem is why something was not done, done what was, typed a code that was refused."""
    desk, point = desk_of(request), asked(request)
    room = desk.room
    shown: PointStatus = point_status(room, point)
    return page_for(
        request,
        template,
        session,
        status=200 if problem is None else 409,
        point=shown,
        policy=point.policy,
        checks=checks_of(room, point.id),
        seen=seen,
        problem=problem,
        done=done,
        typed=typed,
        has_codes=desk.code_key is not None,
        waits_for_taps=shown.why in ASKS_TAPS,
        job=room.jobs.at(str(point.id)),
        forbidden=supply.why_no_test(room, point, shown.supply),
        not_told=supply.why_not_told(room, point),
        restore=point.policy.restore,
        linked=linking.undoable(room, point),
    )
