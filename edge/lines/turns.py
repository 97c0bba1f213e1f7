"""Whose turn it is to use a line: one task at a time; what moves a supply goes before what only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Task = asyncio.Task[Any]


class Turns:
    """A lock that is handed on in order, to the urgent first. While one task is urgent, no other gets a turn."""

    def __init__(self) -> None:
        self._owner: Task | None = None
        self._queue: list[tuple[asyncio.Future[None], Task]] = []
        self._urgent: set[Task] = set()

    @contextmanager
    def urgency(self) -> Iterator[None]:
        """Within the block the present task is urgent. It must not wait there for one that is not."""
        task = _this()
        was_urgent = task in self._urgent
        self._urgent.add(task)
        try:
            yield
        finally:
            if not was_urgent:
                self._urgent.discard(task)
                self._hand_on()

    async def take(self) -> None:
        """Wait for the turn; give() ends it."""
        task = _this()
        if self._owner is None and self._may(task):
            self._owner = task
            return
        place = asyncio.get_running_loop().create_future(), task
        self._queue.append(place)
        try:
            await place[0]
        except asyncio.CancelledError:
            if place in self._queue:
                self._queue.remove(place)
            self.give()  # it may have been handed to us just then
            raise

    def give(self) -> None:
        """End the turn, if it is the present task's."""
        if self._owner is _this():
            self._owner = None
            self._hand_on()

    async def __aenter__(self) -> None:
        """The present task's turn lasts for the block."""
        await self.take()

    async def __aexit__(self, *_: object) -> None:
        self.give()

    def is_urgent(self) -> bool:
        """Whether the present task is."""
        return bool(self._urgent) and _this() in self._urgent

    def must_yield(self) -> bool:
        """Whether whose turn it is has to let an urgent one go first, who waits."""
        return (
            bool(self._urgent)
            and self._owner not in self._urgent
            and any(task in self._urgent for _, task in self._queue)
        )

    def _hand_on(self) -> None:
        if self._owner is not None:
            return
        for place in self._queue:
            future, task = place
            if self._may(task) and not future.done():
                self._queue.remove(place)
                self._owner = task
                future.set_result(None)
                return

    def _may(self, task: Task) -> bool:
        return not self._urgent or task in self._urgent


def _this() -> Task:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a line is used by a task")
    return task
