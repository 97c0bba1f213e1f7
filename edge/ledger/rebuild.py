"""A ledger is rebuilt from what the cloud knows, while no meter is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from edge import decisions
from edge.ledger.store import Store
from edge.settings import Settings
from edge.uplink.credentials import learn
from edge.uplink.link import MqttLink
from edge.uplink.sync import Sync
from prepaid.wire.downlog import Decided


class NoLines:
    """Nobody serves the meters."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cut_again(self) -> None: ...

    def reload(self) -> None: ...

    def take_decision(self, said: Decided) -> None:
        """Of a meter that was changed while the ledger before this one could not be told."""
        now, before = datetime.now(UTC), self._store.position(said.point.id)
        since = now - before.reading.at if before is not None else timedelta(0)
        elapsed = max(since, timedelta(0))
        decisions.take(self._store, said, before, elapsed=elapsed, is_counted=False, now=now)

    def take_up(self, point: UUID) -> None: ...

    def wake(self, points: Iterable[UUID]) -> None: ...

    def wake_purse(self, purse: UUID) -> None: ...

    def wake_all(self) -> None: ...


async def rebuild(settings: Settings, store: Store) -> None:
    """Returns once the store, which must be held for that, has everything. Waits for broker and cloud."""
    link = link_of(settings)
    sync = Sync(
        store,
        NoLines(store),
        link,
        keys=settings.cloud_keys,
        resend_s=settings.resend_s,
        heartbeat_s=settings.heartbeat_s,
        credential=settings.credential,
        learn=partial(learn, settings.ledger.parent) if settings.credentials is not None else None,
    )
    store.on_append = sync.stir
    link.start(sync)
    running = asyncio.create_task(sync.run())
    rebuilt = asyncio.create_task(sync.is_rebuilt.wait())
    try:
        done, _ = await asyncio.wait((running, rebuilt), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        running.cancel()
        rebuilt.cancel()
        await link.stop()


def link_of(settings: Settings) -> MqttLink:
    return MqttLink(settings.access, gateway_no=settings.gateway_no, now=lambda: datetime.now(UTC))
