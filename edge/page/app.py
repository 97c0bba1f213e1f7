"""The page as an application: what is at which address, for the technician and for the command line."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.field.said import Tone, said
from edge.page import api, byhand, lines, metrics, points, tools
from edge.page.desk import Desk
from edge.page.door import (
    MOST_BYTES,
    choose_language,
    desk_of,
    guarded,
    login,
    logout,
    page_for,
    session_of,
)
from edge.page.render import FILES, HEADERS, MEDIA, page

GET, POST, BOTH = ("GET",), ("POST",), ("GET", "POST")


def create_page(desk: Desk) -> ASGIApp:
    """For the technician's browser: behind the PIN."""
    app = Starlette(
        routes=[
            Route("/login", login, methods=["GET", "POST"]),
            Route("/language", choose_language, methods=["POST"]),
            Route("/static/{name}", _static),
            Route("/metrics", _metrics),
            guarded("/logout", logout, methods=POST),
            guarded("/", lines.overview),
            guarded("/lines/{name}", lines.one),
            guarded("/lines/{name}/now", lines.now),
            guarded("/lines/{name}/scan", lines.scan, methods=POST),
            guarded("/lines/{name}/found/{number:int}", lines.found, methods=BOTH),
            guarded("/points", points.all_points),
            guarded("/points/{id:uuid}", points.one),
            guarded("/points/{id:uuid}/now", points.now),
            guarded("/points/{id:uuid}/read", points.read, methods=POST),
            guarded("/points/{id:uuid}/unlink", points.unlink, methods=POST),
            guarded("/points/{id:uuid}/cut-test", points.cut_test, methods=POST),
            guarded("/points/{id:uuid}/blink-test", points.blink_test, methods=POST),
            guarded("/points/{id:uuid}/code", byhand.code, methods=POST),
            guarded("/points/{id:uuid}/emergency", byhand.emergency, methods=POST),
            guarded("/points/{id:uuid}/taps", byhand.taps, methods=POST),
            guarded("/jobs/{id}/stop", points.stop, methods=POST),
            guarded("/checks", points.checks),
            guarded("/console", tools.console, methods=BOTH),
            guarded("/log", tools.log),
        ],
        exception_handlers={HTTPException: _not_found},
    )
    app.state.desk = desk
    return _Limited(app)


def create_api(desk: Desk) -> ASGIApp:
    """For the command line of the same user, over the socket beside the ledger."""
    app = Starlette(
        routes=[
            Route("/metrics", _metrics),
            Route("/api/status", api.status),
            Route("/api/points", api.points),
            Route("/api/scan", api.scan, methods=["POST"]),
            Route("/api/read", api.read, methods=["POST"]),
        ]
    )
    app.state.desk = desk
    return _Limited(app)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in FILES:
        return PlainTextResponse("not found", status_code=404)
    media = MEDIA["." + name.rpartition(".")[2]]
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(FILES[name], media_type=media, headers=headers)


async def _metrics(request: Request) -> Response:
    said_now = metrics.exposition(desk_of(request).status())
    return Response(said_now, media_type=metrics.CONTENT_TYPE)


async def _not_found(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    sentence = said("There is no such page.", Tone.BAD)
    session = session_of(request)
    if session is not None:
        return page_for(request, "problem.html", session, status=status, problem=sentence)
    no = desk_of(request).room.store.gateway_no
    values = {"problem": sentence, "session": None, "zone": None, "gateway_no": no}
    return page(request, "problem.html", status=status, **values)


class _Limited:
    """Refuses a request whose body is larger than any form of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        heard = 0

        async def limited() -> Message:
            nonlocal heard
            message = await receive()
            heard += len(message.get("body", b""))
            if heard > MOST_BYTES:
                raise HTTPException(413)
            return message

        length = dict(scope.get("headers", ())).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MOST_BYTES:
            refused = PlainTextResponse("too large", status_code=413, headers=HEADERS)
            await refused(scope, receive, send)
            return
        await self._app(scope, limited, send)
