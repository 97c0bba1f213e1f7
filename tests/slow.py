"""A slow line for the pages, where it is asked for: what a test or a page takes for granted too early then fails.

WATTWELL_SLOW names what is late, by commas: documents, scripts, stream, everything, processor; for instance
`WATTWELL_SLOW=documents,processor pytest tests/browser`. An answer begins up to 0.8 s late, and its body comes in
parts up to 0.8 s apart.
"""

from __future__ import annotations

import asyncio
import os
import random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LATE = frozenset(filter(None, os.environ.get("WATTWELL_SLOW", "").split(",")))
_MOST_S = 0.8
_KINDS = {"text/html": "documents", "text/javascript": "scripts", "text/event-stream": "stream"}


def slowed(app: ASGIApp) -> ASGIApp:
    """The program behind a slow line; the program itself where none was asked for."""
    return _Slow(app) if LATE - {"processor"} else app


class _Slow:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind = ""

        async def late(message: Message) -> None:
            nonlocal kind
            if message["type"] == "http.response.start":
                kind = _kind(message)
            if kind in LATE or "everything" in LATE:
                await asyncio.sleep(random.uniform(0, _MOST_S))
                body = message.get("body", b"")
                if len(body) > 1 and not scope["path"].endswith("/stream"):
                    half = len(body) // 2
                    await send({**message, "body": body[:half], "more_body": True})
                    await asyncio.sleep(random.uniform(0, _MOST_S))
                    message = {**message, "body": body[half:]}
            await send(message)

        await self._app(scope, receive, late)


def _kind(start: Message) -> str:
    said = dict(start.get("headers", ())).get(b"content-type", b"").decode()
    return _KINDS.get(said.partition(";")[0], "")
