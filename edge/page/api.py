"""The same for programs of the gateway's own user: JSON over the socket beside the ledger."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import AsyncIterator

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from edge.field import link as linking
from edge.field import scan as scanning
from edge.field.job import Job
from edge.field.room import look
from edge.field.said import CannotDo
from edge.field.scan import Asked
from edge.field.status import PointStatus, Status, point_status
from edge.page.desk import Desk
from edge.technician.search.found import Found

STATUS: TypeAdapter[Status] = TypeAdapter(Status)
POINTS: TypeAdapter[list[PointStatus]] = TypeAdapter(list[PointStatus])
ASKED: TypeAdapter[Asked] = TypeAdapter(Asked)
LOOK_S = 0.2


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def status(request: Request) -> Response:
    return Response(STATUS.dump_json(_desk(request).status()), media_type="application/json")


async def points(request: Request) -> Response:
    room = _desk(request).room
    found = [point_status(room, point) for point in room.store.points().values()]
    return Response(POINTS.dump_json(found), media_type="application/json")


async def read(request: Request) -> Response:
    """{"point": "0301 电, or the number of its meter"}: what it shows now, with the frames."""
    room = _desk(request).room
    wanted = str((await request.json()).get("point", "")).strip()
    point = linking.of_label(room, wanted)
    if point is None:
        named = [point for point in room.store.points().values() if point.name == wanted]
        point = named[0] if len(named) == 1 else None
    if point is None:
        return _refused(f"no service point, and no meter, is called {wanted!r}", status=404)
    try:
        seen = await look(room, point)
    except CannotDo as error:
        return _refused(str(error))
    return JSONResponse(
        {
            "name": point.name,
            "meter_no": point.meter.meter_no,
            "line": point.meter.line,
            "at": seen.at.isoformat(),
            "total": None if seen.total is None else str(seen.total),
            "unit": point_status(room, point).unit,
            "supply": seen.supply,
            "trouble": None if seen.trouble is None else str(seen.trouble),
            "frames": [
                {"at": heard.at.isoformat(), "sent": heard.is_sent, "hex": heard.hex}
                for heard in seen.frames
            ],
        }
    )


async def scan(request: Request) -> Response:
    """{"line": "L1", …}: a line of JSON for each thing that is found, asked or to be known, until it is over.

    Who hangs up ends the scan.
    """
    room = _desk(request).room
    try:
        given = await request.json()
        line = str(given.pop("line", ""))
        asked = ASKED.validate_python(given)
        job = scanning.begin(room, line, asked, by=getpass.getuser())
    except (ValidationError, ValueError, AttributeError) as error:
        return _refused(str(error), status=422)
    except CannotDo as error:
        return _refused(str(error))

    async def events() -> AsyncIterator[str]:
        try:
            async for event in _events(job):
                yield json.dumps(event, ensure_ascii=False) + "\n"
        finally:
            room.jobs.stop(job.id)

    return StreamingResponse(events(), media_type="application/x-ndjson")


async def _events(job: Job) -> AsyncIterator[dict[str, object]]:
    shown = told = 0
    revision = -1
    while True:
        is_over = job.is_over
        for one in job.found[shown:]:
            assert isinstance(one, Found)
            yield {"found": one.as_object()}
        shown = len(job.found)
        for sentence in job.sentences[told:]:
            yield {"note": str(sentence)}
        told = len(job.sentences)
        if job.revision != revision and job.doing is not None:
            revision = job.revision
            yield {"asking": str(job.doing), "done": job.done, "total": job.total}
        if is_over:
            return
        await asyncio.sleep(LOOK_S)


def _refused(sentence: str, *, status: int = 409) -> Response:
    return JSONResponse({"error": sentence}, status_code=status)
