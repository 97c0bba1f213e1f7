"""Server-sent events: what an open page is sent when something changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from sqlalchemy.exc import OperationalError
from starlette.responses import StreamingResponse

from cloud.errors import CloudError
from cloud.events import Change, Subscription

GATHER_S = 0.15
REFRESH_S = 15.0

Changes = list[Change] | None
"""What changed since the last time; None: take nothing for granted, read all again."""


def stream(
    subscription: Subscription,
    render: Callable[[Changes], Awaitable[str]],
    *,
    refresh_s: float = REFRESH_S,
) -> StreamingResponse:
    """Sends what render returns, at once and after each change; render returns "" where there is nothing to say.

    render is called with None at the start (the page may have missed something while it was loading or
    asleep) and every refresh_s seconds, however much changes meanwhile: silence changes what a page says, and
    nobody announces silence, nor that a reader has signed out. Changes that come close together are
    rendered once.
    """
    return StreamingResponse(
        _messages(subscription, render, refresh_s),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _messages(
    subscription: Subscription, render: Callable[[Changes], Awaitable[str]], refresh_s: float
) -> AsyncIterator[str]:
    changes: Changes = None
    waiting: asyncio.Task[Change] | None = None
    clock = asyncio.get_running_loop().time
    refresh_at = clock()
    try:
        while True:
            html = await render(changes)
            if changes is None:
                refresh_at = clock() + refresh_s
            yield _message(html) if html else ": nothing new\n\n"
            waiting = waiting or asyncio.ensure_future(anext(subscription))
            changes = []
            until = refresh_at
            while clock() < until:
                done, _ = await asyncio.wait({waiting}, timeout=until - clock())
                if not done:
                    break
                if not changes:
                    until = min(refresh_at, clock() + GATHER_S)
                changes.append(waiting.result())
                waiting = asyncio.ensure_future(anext(subscription))
            if not changes or clock() >= refresh_at:
                changes = None
    except (CloudError, OperationalError):
        # Signed out, the link has ended, or the database is away: the page asks again, and is told.
        return
    except StopAsyncIteration:  # the server is stopping; the page connects again by itself
        return
    finally:
        if waiting is not None:
            waiting.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await waiting


def _message(html: str) -> str:
    return "".join(f"data: {line}\n" for line in html.splitlines() if line.strip()) + "\n"
