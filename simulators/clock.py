"""Simulated time: an event loop whose clock jumps to the next thing to come, so hours pass in a moment."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

STANDING = 10_000
"""So often in a row a program may go round while no time passes: more, and it never ends."""

LOOK_EACH = 16  # rounds while no time passes


class _Jumping(selectors.DefaultSelector):
    """Nothing to wait for outside: what would be waited is added to the clock."""

    now = 0.0
    _standing = 0

    def select(self, timeout: float | None = None) -> Any:
        # What came from outside is looked for before time jumps, and now and then while it stands.
        is_to_look = timeout is None or timeout > 0 or not self._standing % LOOK_EACH
        ready = super().select(0) if is_to_look else []
        self._standing = 0 if timeout else self._standing + 1
        assert self._standing < STANDING, "something goes round and round, and no time passes"
        if not ready and timeout is None:
            raise AssertionError("everything waits for ever")
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """For asyncio.Runner(loop_factory=SimulatedLoop). Its time begins at 0.

    Raises AssertionError where the program waits for what can never come.
    """

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def begin_at(self, instant: float) -> None:
        self._jumping.now = instant

    def block(self, seconds: float) -> None:
        """Something keeps the loop busy for so long: nothing else happens meanwhile."""
        self._jumping.now += seconds
