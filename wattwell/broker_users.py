"""Whom the broker admits follows the database: enrolled, renewed and revoked gateways, as it happens."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

import psycopg
from sqlalchemy.exc import DBAPIError

from cloud.db import Database, connect_args
from cloud.errors import first_line
from cloud.services import enrolment
from cloud.tables import utc_now

log = logging.getLogger(__name__)

LOOK_S = 30.0  # what runs out is not notified
WAIT_S = 1.0

Tell = Callable[[Mapping[str, str]], None]


class Follower:
    """Tells the broker's users (user -> bcrypt hash) once at the start, and each time they are others.

    While the database is away the broker's users stay as they are.
    """

    def __init__(self, url: str, tell: Tell) -> None:
        self._url = url
        self._tell = tell
        self._database = Database(url, connections=1)
        self._last: dict[str, str] | None = None
        self._is_away = False
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self.run, name="broker users", daemon=True)

    def start(self) -> None:
        """Follows in a thread of its own, until stop."""
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()
        self._database.close()

    def run(self) -> None:
        """Follows until stop is called."""
        while not self._ends.is_set():
            try:
                self._follow()
            except (psycopg.OperationalError, DBAPIError) as error:
                if not self._is_away:
                    log.warning(
                        "the database is away, the broker's users stay as they are: %s",
                        first_line(error),
                    )
                self._is_away = True
                self._ends.wait(WAIT_S)

    def _follow(self) -> None:
        with psycopg.connect(autocommit=True, **connect_args(self._url)) as connection:  # type: ignore[arg-type]
            connection.execute(f"LISTEN {enrolment.CHANNEL}")
            self.look()
            if self._is_away:
                log.info("the database answers again; the broker's users are followed")
                self._is_away = False
            looked = time.monotonic()
            while not self._ends.is_set():
                heard = list(connection.notifies(timeout=WAIT_S, stop_after=1))
                if heard or time.monotonic() - looked > LOOK_S:
                    self.look()
                    looked = time.monotonic()

    def look(self) -> None:
        """Reads the users, and tells them if they are others than before."""
        with self._database.system() as session:
            users = enrolment.broker_users(session, now=utc_now())
        if users != self._last:
            self._tell(users)
            self._last = users
