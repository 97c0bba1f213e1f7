"""Time as a machine has it that does nothing else, so that a busy one measures the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from simulators.clock import SimulatedLoop

T = TypeVar("T")


class OwnTimeLoop(SimulatedLoop):
    """An event loop whose clock goes on as this process computes, and jumps over what it waits for.

    What other programs take is not in it, nor what the disk takes. What simulating the lines takes is.
    """

    def __init__(self) -> None:
        self._began = time.process_time()
        super().__init__()

    def time(self) -> float:
        return self._jumping.now + time.process_time() - self._began


def run(story: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, in own time."""
    with asyncio.Runner(loop_factory=OwnTimeLoop) as runner:
        return runner.run(story)
