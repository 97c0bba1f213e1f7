"""Work that takes a while: what it has said so far, how far it is, and that it can be stopped."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from edge.field.said import TROUBLES, Said, of_error, said, why_not

log = logging.getLogger(__name__)

KEPT = 20  # jobs that have ended
MOST_SAID = 500


class Kind(StrEnum):
    SCAN = "scan"
    CUT_TEST = "cut-test"
    BLINK_TEST = "blink-test"


@dataclass(slots=True)
class Job:
    """One work. about is the line or the point that it is at, by whom it was begun; found is what it has come to.

    done of total is how far it is, total 0 where that is not known.
    """

    id: str
    kind: Kind
    about: str
    by: str
    began: datetime
    title: str
    sentences: list[Said] = field(default_factory=list)
    found: list[Any] = field(default_factory=list)
    doing: Said | None = None
    done: int = 0
    total: int = 0
    is_over: bool = False
    is_stopped: bool = False
    revision: int = 0  # rises with each change, so that who looks on need not read the same again

    def say(self, sentence: Said) -> None:
        if len(self.sentences) < MOST_SAID:
            self.sentences.append(sentence)
        self.revision += 1

    def do(self, doing: Said, *, done: int | None = None, total: int | None = None) -> None:
        """What is being done now."""
        self.doing = doing
        self.done = self.done if done is None else done
        self.total = self.total if total is None else total
        self.revision += 1

    def add(self, one: object) -> None:
        self.found.append(one)
        self.revision += 1


class Jobs:
    """The works of this gateway; one at a time for each line or point."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def find(self, id: str) -> Job | None:
        return self._jobs.get(id)

    def all(self) -> list[Job]:
        """Newest first."""
        return list(reversed(self._jobs.values()))

    def at(self, about: str) -> Job | None:
        """The newest at a line or point, whether or not it is over."""
        return next((job for job in self.all() if job.about == about), None)

    def start(
        self, kind: Kind, about: str, *, title: str, by: str, work: Callable[[Job], Awaitable[None]]
    ) -> Job:
        """Raises CannotDo where another is at work at the same."""
        if any(job.about == about and not job.is_over for job in self._jobs.values()):
            raise why_not("There is work under way at %(about)s: wait, or stop it.", about=title)
        job = Job(secrets.token_urlsafe(8), kind, about, by, self._now(), title)
        self._forget()
        self._jobs[job.id] = job
        self._tasks[job.id] = asyncio.create_task(self._run(job, work), name=f"{kind} {about}")
        return job

    def stop(self, id: str) -> None:
        """What it has begun is put right before it ends."""
        if (task := self._tasks.get(id)) is not None:
            task.cancel()

    async def close(self) -> None:
        """Stops all, and waits until they have put right what they had begun."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, job: Job, work: Callable[[Job], Awaitable[None]]) -> None:
        try:
            await work(job)
        except asyncio.CancelledError:
            job.is_stopped = True
            job.say(said("Stopped."))
        except TROUBLES as error:
            log.info("%s at %s: %s", job.kind, job.about, error)
            job.say(of_error(error))
        finally:
            job.doing = None
            job.is_over = True
            job.revision += 1
            self._tasks.pop(job.id, None)

    def _forget(self) -> None:
        over = [id for id, job in self._jobs.items() if job.is_over]
        for id in over[: max(0, len(over) - KEPT)]:
            del self._jobs[id]
