"""Telling open pages that something changed: PostgreSQL NOTIFY with the change's own transaction."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakSet

import psycopg
from sqlmodel import Session

from cloud.db import connect_args, notify, place
from cloud.errors import first_line

log = logging.getLogger(__name__)

CHANNEL = "wattwell_changed"
WAITING_MOST = 200
RECONNECT_S = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """What changed. All None: anything may have; read again."""

    organization_id: UUID
    room_id: UUID | None = None
    account_id: UUID | None = None
    topup_id: UUID | None = None


def changed(
    session: Session,
    organization_id: UUID,
    *,
    room_id: UUID | None = None,
    account_id: UUID | None = None,
    topup_id: UUID | None = None,
) -> None:
    """Tells the open pages of the organization, when and if the session's transaction commits."""
    notify(session, CHANNEL, payload_of(organization_id, room_id, account_id, topup_id))


def rooms_changed(
    session: Session, organization_id: UUID, rooms: Iterable[tuple[UUID, UUID | None]]
) -> None:
    """As changed, of many rooms with their accounts."""
    for room, account in rooms:
        notify(session, CHANNEL, payload_of(organization_id, room, account, None))


def payload_of(*ids: UUID | None) -> str:
    """What is said on CHANNEL: the ids of a Change, in its order."""
    return json.dumps([str(id) if id else None for id in ids])


class Subscription:
    """The changes of one organization from now on: `async for change in subscription`. Ends with Events."""

    def __init__(self, organization_id: UUID) -> None:
        self.organization_id = organization_id
        self._waiting: asyncio.Queue[Change | None] = asyncio.Queue()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Change:
        change = await self._waiting.get()
        if change is None:
            raise StopAsyncIteration
        return change

    def put(self, change: Change | None) -> None:
        if change is not None and self._waiting.qsize() >= WAITING_MOST:
            while not self._waiting.empty():  # a slow reader: one "read again" stands for all
                self._waiting.get_nowait()
            change = Change(self.organization_id)
        self._waiting.put_nowait(change)


class Events:
    """One LISTEN connection of this process, shared by all its open pages."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        self._is_closed = False

    def subscribe(self, organization_id: UUID) -> Subscription:
        """Changes from this call on, so subscribe first and render then."""
        subscription = Subscription(organization_id)
        if self._is_closed:
            subscription.put(None)
        self._subscriptions.add(subscription)
        return subscription

    def close(self) -> None:
        """Ends every subscription, so that open streams let the server stop."""
        self._is_closed = True
        for subscription in list(self._subscriptions):
            subscription.put(None)

    async def run(self) -> None:
        """Listens until cancelled; connects again when the database was away."""
        is_away = False
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    autocommit=True,
                    **connect_args(self._url),  # type: ignore[arg-type]
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    if is_away:
                        log.info("the database at %s answers again", place(self._url))
                        is_away = False
                        self._read_again()
                    async for notify in connection.notifies():
                        self._tell(notify.payload)
            except psycopg.OperationalError as error:
                if not is_away:
                    log.warning(
                        "the database at %s is away: %s", place(self._url), first_line(error)
                    )
                is_away = True
                await asyncio.sleep(RECONNECT_S)

    def _tell(self, payload: str) -> None:
        ids = [UUID(i) if i else None for i in json.loads(payload)]
        organization_id, room_id, account_id, topup_id = ids
        assert organization_id is not None
        change = Change(organization_id, room_id, account_id, topup_id)
        for subscription in list(self._subscriptions):
            if subscription.organization_id == organization_id:
                subscription.put(change)

    def _read_again(self) -> None:
        for subscription in list(self._subscriptions):
            subscription.put(Change(subscription.organization_id))
