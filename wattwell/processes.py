"""The processes of an installation: its database, its broker, and the programs that need them."""

from __future__ import annotations

import sys
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.error import URLError

from cloud.settings import Settings
from wattwell import supervise
from wattwell.broker import Broker
from wattwell.broker_users import Follower
from wattwell.installation import Installation
from wattwell.postgres import Postgres
from wattwell.supervise import Program


class Processes:
    """What runs, how often each was launched, and what ended by itself."""

    def __init__(self, installation: Installation, broker: Broker) -> None:
        self.installation = installation
        self.postgres = Postgres(
            installation.folder / "postgres", port=installation.port("postgres")
        )
        self.broker = broker
        self.launches: Counter[str] = Counter()
        self._users: Follower | None = None
        self._commands: dict[str, tuple[str, Path]] = {}
        self._running: dict[str, Program] = {}

    @property
    def settings(self) -> Settings:
        """Raises cloud.settings.BadSettings."""
        return Settings.load(self.installation.cloud_toml)

    def keep_addresses(self) -> None:
        """Where database and broker are, and their passwords: for the cloud's programs."""
        self.installation.keep_secret("database_url", self.postgres.dsn())
        self.installation.keep_secret("nats_url", self.broker.nats_url)

    def start_broker(self) -> None:
        """With the gateways that the database knows, from now on."""
        self.broker.start({})
        self._users = Follower(self.postgres.dsn(), self.broker.set_users)
        self._users.start()

    def launch(self, name: str) -> None:
        """Starts one program, or starts it again after it ended."""
        self.launches[name] += 1
        match name:
            case "PostgreSQL":
                self.postgres.start()
            case "MQTT broker":
                self.broker.restart()
            case _:
                command, config = self._commands[name]
                self._running[name] = supervise.start(
                    name,
                    [sys.executable, "-m", "wattwell", *command.split(), "--config", config],
                    log=self.installation.log(name),
                )

    def kill(self, name: str) -> None:
        """SIGKILL."""
        match name:
            case "PostgreSQL":
                program = self.postgres.program
            case "MQTT broker":
                program = self.broker.program
            case _:
                program = self._running[name]
        if program is not None:
            program.kill()

    def halt(self, name: str) -> None:
        """SIGTERM, and wait."""
        self._running[name].stop()

    def ended(self) -> list[Program]:
        """The programs that should run and do not; what the others need first."""
        kept = [p for p in (self.postgres.program, self.broker.program) if p is not None]
        return [p for p in (*kept, *self._running.values()) if not p.is_running]

    def wait_until_answering(self, name: str, url: str, timeout_s: float = 60) -> None:
        """Raises StartFailed."""
        program = self._running[name]

        def answers() -> bool:
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return program.is_running  # and not another program on its port
            except (URLError, OSError):
                return False

        program.wait_until(answers, timeout_s)

    def stop(self) -> None:
        """Ends everything: first what reads, charges and answers, then what they need."""
        for program in self._running.values():
            program.ask_to_end()
        for program in self._running.values():
            program.stop()
        self._running.clear()
        if self._users is not None:
            self._users.stop()
        self.broker.stop()
        self.postgres.stop()
