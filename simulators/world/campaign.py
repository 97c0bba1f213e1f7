"""Many seeds over several processes, each with a database of its own, until one fails."""

from __future__ import annotations

import gc
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from queue import Empty

from cloud.db import Database
from simulators.world.story import Told, tell

LOOK_S = 2.0
RARELY = (100_000, 20, 100)  # garbage is collected
REPRODUCE = ".venv/bin/python -m simulators.world --seed {}"


class WorkerGone(Exception):
    """A process was killed, or ended in a way that no seed explains. What it was at is not known to hold."""


def line(told: Told) -> str:
    """One line that says what failed, and how to see it again."""
    return f"seed {told.seed} breaks {told.broken}; again: {REPRODUCE.format(told.seed)} --tell"


def run(
    seeds: Iterable[int],
    urls: Sequence[str],
    *,
    days: int,
    on_told: Callable[[Told], None] = lambda told: None,
) -> Told | None:
    """The first seed told that fails, None if all hold. urls are of migrated databases, one for each process.

    Raises WorkerGone if a process ends before its time.
    """
    context = multiprocessing.get_context("spawn")
    todo: Queue[int | None] = context.Queue()
    done: Queue[Told] = context.Queue()
    given = list(seeds)
    for seed in given:
        todo.put(seed)
    for _ in urls:
        todo.put(None)
    workers: list[SpawnProcess] = [
        context.Process(target=_work, args=(url, days, todo, done), daemon=True) for url in urls
    ]
    for worker in workers:
        worker.start()
    try:
        for _ in given:
            told = _next(done, workers)
            on_told(told)
            if told.broken is not None:
                return told
        return None
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _next(done: Queue[Told], workers: Sequence[SpawnProcess]) -> Told:
    while True:
        try:
            return done.get(timeout=LOOK_S)
        except Empty:
            gone = [worker.exitcode for worker in workers if worker.exitcode]
            if gone:
                raise WorkerGone(f"a process of the campaign ended with status {gone[0]}") from None


def _work(url: str, days: int, todo: Queue[int | None], done: Queue[Told]) -> None:
    logging.disable(logging.CRITICAL)
    spare_the_collector()
    with closing(Database(url, connections=3)) as database:
        while (seed := todo.get()) is not None:
            done.put(tell(seed, database, days=days))


def spare_the_collector() -> None:
    """What is imported stays; of what a seed makes little lives long enough to be looked for often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*RARELY)
