"""POST /api/channels/{channel}/notify: a payment channel says that it was paid."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud.channels import Channel, Forged, Notice, Payment
from cloud.db import Database
from cloud.errors import CloudError
from cloud.services import channel_refunds, topups
from cloud.tables import utc_now
from cloud.web import database

log = logging.getLogger(__name__)
router = APIRouter()

LONGEST = 16 * 1024


class NoSuchChannel(CloudError):
    status = 404
    sentence = "There is no payment channel {name}."


class NotBooked(CloudError):
    status = 400
    sentence = (
        "The payment is not as ordered. It is kept for a person to look at; nothing was credited."
    )


def channel_of(request: Request, channel: str) -> Channel:
    """The payment channel of this name. Raises NoSuchChannel."""
    found: Channel | None = request.app.state.channels.get(channel)
    if found is None:
        raise NoSuchChannel(name=channel)
    return found


@router.post("/api/channels/{channel}/notify")
async def notify(
    request: Request,
    paid_at: Annotated[Channel, Depends(channel_of)],
    database: Annotated[Database, Depends(database)],
) -> Response:
    """Books the payment and answers when it is committed; the same notice again changes nothing.

    Raises Forged, topups.NoSuchOrder or NotBooked.
    """
    body = await _body(request)
    await run_in_threadpool(_take, request, paid_at, database, body)
    kind, said = paid_at.acknowledged
    return Response(said, media_type=kind)


def _take(request: Request, channel: Channel, database: Database, body: bytes) -> None:
    now = utc_now()
    try:
        notice: Notice = channel.read_notice(request.headers, body, now=now)
    except Forged as error:
        log.warning("a notice for channel %s: %s", channel.name, error)
        raise
    if isinstance(notice, Payment):
        if not topups.book(database, notice, channel=channel.name, now=now):
            raise NotBooked
    elif notice is not None:
        with database.system() as session:
            channel_refunds.hear(session, notice, channel=channel.name, now=now)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST:
            raise Forged(reason="it is too long")
    return body
