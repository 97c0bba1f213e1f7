"""What an open page is sent, and that it is looked after however much happens."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from cloud.errors import NotSignedIn
from cloud.events import Change, Subscription
from dashboards import live

SOON_S = 20.0


async def keep_busy(subscription: Subscription) -> None:
    """Something changes all the time."""
    while True:
        subscription.put(Change(subscription.organization_id, room_id=uuid4()))
        await asyncio.sleep(0.01)


async def test_a_page_is_read_again_whole_at_its_time_however_much_changes_meanwhile() -> None:
    subscription = Subscription(uuid4())
    asked: list[bool] = []

    async def render(changes: live.Changes) -> str:
        asked.append(changes is None)
        return "x"

    busy = asyncio.create_task(keep_busy(subscription))
    try:
        async with asyncio.timeout(SOON_S):
            async for _ in live.stream(subscription, render, refresh_s=0.4).body_iterator:
                if asked.count(True) == 3:
                    break
    finally:
        busy.cancel()
    assert asked.count(False) >= 2  # and the changes were sent as they came


async def test_the_stream_of_a_reader_who_signed_out_ends_although_something_always_changes() -> (
    None
):
    subscription = Subscription(uuid4())
    signed_in = True

    async def render(changes: live.Changes) -> str:
        if changes is None and not signed_in:
            raise NotSignedIn
        return "x"

    busy = asyncio.create_task(keep_busy(subscription))
    try:
        async with asyncio.timeout(SOON_S):
            async for _ in live.stream(subscription, render, refresh_s=0.3).body_iterator:
                signed_in = False
    finally:
        busy.cancel()


async def test_changes_close_together_are_rendered_once() -> None:
    subscription = Subscription(uuid4())
    changed = [Change(subscription.organization_id, room_id=uuid4()) for _ in range(5)]
    rendered: list[live.Changes] = []

    async def render(changes: live.Changes) -> str:
        rendered.append(changes)
        return "x"

    async with asyncio.timeout(SOON_S):
        async for _ in live.stream(subscription, render).body_iterator:
            if len(rendered) == 2:
                break
            for change in changed:
                subscription.put(change)
    assert rendered == [None, changed]
