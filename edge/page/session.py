"""Who is signed in to the page: kept in memory, so a restart signs everybody out."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

COOKIE = "wattwell_gateway"
IDLE_S = 1800.0
LONGEST_S = 12 * 3600.0
MOST = 50
LONGEST_NAME = 40


@dataclass(slots=True)
class Session:
    """name is what the technician calls himself: what he does is written down under it. form must come with each
    of his forms."""

    name: str
    form: str
    began: float
    used: float


class Sessions:
    """By the hash of their cookies. tick is a clock that does not jump, in seconds."""

    def __init__(self, tick: Callable[[], float]) -> None:
        self._tick = tick
        self._sessions: dict[str, Session] = {}

    def open(self, name: str) -> str:
        """A new session's cookie."""
        now = self._tick()
        self._forget(now)
        while len(self._sessions) >= MOST:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].used)]
        cookie = secrets.token_urlsafe(32)
        self._sessions[_hash(cookie)] = Session(name, secrets.token_urlsafe(32), now, now)
        return cookie

    def find(self, cookie: str | None) -> Session | None:
        now = self._tick()
        self._forget(now)
        session = self._sessions.get(_hash(cookie)) if cookie else None
        if session is not None:
            session.used = now
        return session

    def close(self, cookie: str | None) -> None:
        if cookie:
            self._sessions.pop(_hash(cookie), None)

    def _forget(self, now: float) -> None:
        self._sessions = {
            key: session
            for key, session in self._sessions.items()
            if now - session.used < IDLE_S and now - session.began < LONGEST_S
        }


def is_of(session: Session, form: str) -> bool:
    """Whether a form was made for this session."""
    return hmac.compare_digest(session.form.encode(), form.encode())


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
