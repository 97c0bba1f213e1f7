"""The PIN of the technician's page: its hash beside the ledger, and a wait that grows with each wrong one.

There is no PIN until `wattwell edge pin` sets one, and then nobody is let in. A PIN is short, so what protects it is
that it cannot be tried often: how many were wrong is on disk before the next is looked at, and outlives a restart.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from edge.private_file import write_private

SHORTEST, LONGEST = 6, 64
FREE = 3  # wrong ones before there is a wait
MOST_WAIT_S = 900.0

# argon2id with little memory (OWASP names 7 MiB with five passes), as the gateway has little.
_HASHER = PasswordHasher(time_cost=5, memory_cost=7168, parallelism=1)


class BadPin(ValueError):
    """A PIN that is too short, or too easily guessed. A sentence for a person."""


class NoPin(Exception):
    """None is set: nobody can sign in."""


class Wait(Exception):
    """Too many were wrong. seconds is how long none is looked at."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"wait {seconds:.0f} s")
        self.seconds = seconds


def pin_beside(ledger: Path) -> Path:
    return ledger.with_name("page.pin")


def check(pin: str) -> None:
    """Raises BadPin."""
    if not SHORTEST <= len(pin) <= LONGEST:
        raise BadPin(f"a PIN has {SHORTEST} to {LONGEST} characters")
    steps = {ord(b) - ord(a) for a, b in pairwise(pin)}
    if steps in ({0}, {1}, {-1}) or len(set(pin)) < 3:
        raise BadPin("this PIN is one of the first that anybody tries; take another")


def save(path: Path, pin: str) -> None:
    """Keeps the hash of a new PIN, for the owner of the ledger alone; who was shut out may try again.

    Raises BadPin and OSError.
    """
    check(pin)
    write_private(path, _HASHER.hash(pin))
    tries_of(path).unlink(missing_ok=True)


def tries_of(path: Path) -> Path:
    return path.with_suffix(".tries")


class Pin:
    """The PIN whose hash is at path. tick is a clock that does not jump, in seconds."""

    def __init__(self, path: Path, tick: Callable[[], float]) -> None:
        self._path = path
        self._tick = tick
        self._lock = asyncio.Lock()
        # Nothing says how long ago the last wrong one was: after a restart the whole wait begins again.
        self._last = tick()

    def is_set(self) -> bool:
        return self._path.exists()

    async def is_right(self, pin: str) -> bool:
        """Raises NoPin, and Wait where it is not looked at yet."""
        async with self._lock:
            wrong = self._wrong()
            left = wait_s(wrong) - (self._tick() - self._last)
            if left > 0:
                raise Wait(left)
            try:
                hashed = self._path.read_text(encoding="ascii")
            except FileNotFoundError:
                raise NoPin from None
            self._note(wrong + 1)  # before it is looked at: a kill in between is no free try
            self._last = self._tick()
            if not await asyncio.to_thread(_fits, hashed, pin[:LONGEST]):
                return False
            self._note(0)
            return True

    def _wrong(self) -> int:
        try:
            return max(0, int(json.loads(tries_of(self._path).read_text())["wrong"]))
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError):
            return FREE  # somebody, or a power cut, has spoiled it

    def _note(self, wrong: int) -> None:
        if wrong:
            write_private(tries_of(self._path), json.dumps({"wrong": wrong}))
        else:
            tries_of(self._path).unlink(missing_ok=True)


def wait_s(wrong: int) -> float:
    """After so many wrong ones in a row: nothing, then 2, 4, 8 … seconds, at most a quarter of an hour."""
    return 0.0 if wrong < FREE else min(2.0 ** (wrong - FREE + 1), MOST_WAIT_S)


def _fits(hashed: str, pin: str) -> bool:
    try:
        return _HASHER.verify(hashed.strip(), pin)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
