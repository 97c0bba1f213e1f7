"""Whom the broker admits follows the database: enrolled, renewed and revoked gateways, as it happens."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from sqlalchemy.exc import DBAPIError

from cloud.db import Database, connect_args
from cloud.errors import CannotStart, first_line
from cloud.services import enrolment
from cloud.settings import Settings
from cloud.tables import utc_now
from edge.private_file import write_private
from wattwell.broker import nats_users

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

    def end(self) -> None:
        """Lets run return."""
        self._ends.set()

    def stop(self) -> None:
        """Ends the thread, if it was started, and the connection."""
        self.end()
        if self._thread.is_alive():
            self._thread.join()
        self._database.close()

    def run(self) -> None:
        """Follows until end or stop is called."""
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


def write(settings: Settings, to: Path, *, follow: bool, then: str | None) -> None:
    """Writes the users for `authorization { include "FILE" }` of a NATS server's configuration.

    With follow it goes on until it is told to stop (SIGTERM, SIGINT), and writes each change. then is a command for
    the shell, run after each. Raises CannotStart where the database does not answer.
    """
    parts = urlsplit(settings.nats_url)
    cloud = (unquote(parts.username or ""), unquote(parts.password or ""))
    if not all(cloud):
        raise CannotStart(
            "nats_url names no user and password, by which the cloud itself is to be admitted."
        )

    def tell(gateways: Mapping[str, str]) -> None:
        users = json.dumps(nats_users(gateways, cloud=cloud), indent=1)  # JSON is valid there
        write_private(to, f"users: {users}\n")
        log.info("%s: %s gateways' credentials are admitted", to, len(gateways))
        if then is not None:
            ended = subprocess.run(then, shell=True, check=False)
            if ended.returncode != 0:
                log.error(
                    "%s ended with status %s: the broker may not know its new users",
                    *(then, ended.returncode),
                )

    follower = Follower(settings.database_url, tell)
    if not follow:
        try:
            follower.look()
        except DBAPIError as error:
            raise CannotStart(f"The database does not answer: {first_line(error)}.") from None
        finally:
            follower.stop()
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: follower.end())
    follower.run()
