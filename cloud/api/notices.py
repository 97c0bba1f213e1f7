"""POST /api/notices/{provider}: a provider of messages reports what came of one."""

from __future__ import annotations

import logging
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud.db import Database
from cloud.errors import CloudError, TooLong
from cloud.notices import Forged, Provider
from cloud.services import notices
from cloud.tables import utc_now
from cloud.web import database

log = logging.getLogger(__name__)
router = APIRouter()

LONGEST = 16 * 1024


class NoSuchProvider(CloudError):
    status = 404
    sentence = "There is no provider of messages {name}."


def provider_of(request: Request, provider: str) -> Provider:
    """Raises NoSuchProvider."""
    found: Provider | None = request.app.state.notices
    if found is None or found.name != provider:
        raise NoSuchProvider(name=provider)
    return found


@router.post("/api/notices/{provider}", include_in_schema=False)
async def report(
    request: Request,
    by: Annotated[Provider, Depends(provider_of)],
    database: Annotated[Database, Depends(database)],
) -> Response:
    """Takes a signed report; the same one again changes nothing. Raises Forged."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST:
            raise TooLong(most=LONGEST)
    signature = request.headers.get("x-twilio-signature", "")
    await run_in_threadpool(_take, by, database, signature, body)
    return Response(status_code=204)


def _take(by: Provider, database: Database, signature: str, body: bytes) -> None:
    try:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise Forged from None
    try:
        said = by.read_report(signature, form)
    except Forged:
        log.warning("a report for provider %s is not signed by it", by.name)
        raise
    if said is not None:
        with database.system() as session:
            notices.hear(session, by.name, said, now=utc_now())
