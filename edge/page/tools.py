"""The technician's tools that belong to no line or point: frames by hand, and the log."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edge.field import console as by_hand
from edge.field.console import Answered
from edge.field.said import TROUBLES, Said, of_error
from edge.page.door import desk_of, form_of, page_for
from edge.page.session import Session
from edge.technician.answers import Protocol


async def console(request: Request, session: Session) -> Response:
    """Hexadecimal in, hexadecimal out."""
    room = desk_of(request).room
    answered: Answered | None = None
    problem: Said | None = None
    said: dict[str, str] = {"line": request.query_params.get("line", "")}
    if request.method == "POST":
        form = await form_of(request)
        said = {name: str(value) for name, value in form.items()}
        try:
            answered = await by_hand.send(
                room,
                said.get("line", ""),
                said.get("hex", ""),
                protocol=_protocol(said.get("protocol", "")),
                is_meant="is_meant" in said,
                by=session.name,
            )
        except TROUBLES as error:
            problem = of_error(error)
    return page_for(
        request,
        "console.html",
        session,
        status=200 if problem is None else 409,
        lines=list(room.lines),
        protocols=list(Protocol),
        answered=answered,
        problem=problem,
        form_said=said,
    )


def _protocol(text: str) -> Protocol | None:
    return Protocol(text) if text in set(Protocol) else None


async def log(request: Request, session: Session) -> Response:
    """The last of the program's log, and what of the cloud's could not be applied."""
    desk = desk_of(request)
    return page_for(
        request,
        "log.html",
        session,
        entries=desk.logbook.lines(),
        status_now=desk.status(),
        rejected=desk.room.store.rejected()[-20:],
    )
