"""How long one must wait after wrong passwords: so that nobody guesses, and no stranger locks anybody out.

Failures are counted for who tries a login: a browser that has signed in to it before (it keeps a signed cookie),
or else an address. A stranger's failures make only himself wait. Beside that are counted all failures of an
address, whatever the login, and all of a login by strangers from anywhere; a known browser is bound by neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud.errors import TooManyAttempts
from cloud.tables import LoginFailure

FORGIVEN_AFTER = timedelta(hours=1)  # of an address, and of all strangers together


@dataclass(frozen=True, slots=True)
class Count:
    """What is counted under (login, who): after `free` failures each further one doubles the wait, to longest."""

    login: str
    who: str
    free: int
    longest: timedelta

    def wait(self, failures: int) -> timedelta:
        if failures < self.free:
            return timedelta(0)
        return min(timedelta(seconds=2 ** min(failures - self.free, 20)), self.longest)

    @property
    def is_forgiven(self) -> bool:
        return not (self.login and self.who)


FREE = 5
LONGEST = timedelta(minutes=15)
FREE_OF_ADDRESS = 50
FREE_OF_STRANGERS = 200
LONGEST_OF_STRANGERS = timedelta(seconds=30)


def counts(login: str, *, address: str, browser: str | None) -> tuple[Count, ...]:
    """What an attempt counts for. browser is the known browser's own text, None: a stranger's."""
    if browser is not None:
        return (Count(login, f"browser {browser}", FREE, LONGEST),)
    who = f"at {network_of(address)}"
    return (
        Count("", who, FREE_OF_ADDRESS, LONGEST),
        Count(login, "", FREE_OF_STRANGERS, LONGEST_OF_STRANGERS),
        Count(login, who, FREE, LONGEST),
    )


def network_of(address: str) -> str:
    """The address itself; of IPv6 the first 64 bits, which one customer of a network has to himself."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:60]
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or IPv6Address(int(ip) >> 64 << 64))
    return str(ip)


def check(session: Session, counted: Iterable[Count], *, now: datetime) -> dict[Count, int]:
    """The failures so far. Attempts that count for the same wait for each other until the session ends, so that
    many at once are counted as many. Raises TooManyAttempts."""
    found: dict[Count, int] = {}
    for count in sorted(
        counted, key=lambda c: (c.login, c.who)
    ):  # one order: no two wait in a ring
        row = insert(LoginFailure).values(login=count.login, who=count.who, failures=0, last_at=now)
        known = session.execute(
            row.on_conflict_do_update(
                index_elements=["login", "who"], set_={"login": row.excluded.login}
            ).returning(col(LoginFailure.failures), col(LoginFailure.last_at))
        ).one()
        failures = known.failures
        if count.is_forgiven and now - known.last_at > FORGIVEN_AFTER:
            failures = 0
        wait = known.last_at + count.wait(failures) - now
        if failures and wait > timedelta(0):
            raise TooManyAttempts(seconds=math.ceil(wait.total_seconds()))
        found[count] = failures
    return found


def fail(session: Session, so_far: dict[Count, int], *, now: datetime) -> None:
    """Counts a failure for each."""
    for count, failures in so_far.items():
        row = insert(LoginFailure).values(
            login=count.login, who=count.who, failures=failures + 1, last_at=now
        )
        session.execute(
            row.on_conflict_do_update(
                index_elements=["login", "who"],
                set_={"failures": row.excluded.failures, "last_at": row.excluded.last_at},
            )
        )


def clear(session: Session, so_far: Iterable[Count]) -> None:
    """Forgets the failures of who has signed in. Those of an address, and of all strangers, stay."""
    for count in so_far:
        if not count.is_forgiven:
            session.execute(
                delete(LoginFailure).where(
                    col(LoginFailure.login) == count.login, col(LoginFailure.who) == count.who
                )
            )
