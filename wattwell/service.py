"""The programs of a real installation on one machine: database, broker, pages, worker, scheduler."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import exists, select
from sqlmodel import col

from cloud import db
from cloud.backups import restoring
from cloud.db import Database
from cloud.tables import User
from edge.private_file import write_private
from wattwell import supervise
from wattwell.broker import Broker
from wattwell.installation import Installation
from wattwell.processes import Processes
from wattwell.supervise import StartFailed

COMMANDS = {"worker": "cloud worker", "web": "cloud web", "scheduler": "cloud scheduler"}
SETUP_TOKEN = "setup_token"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the pages and the gateways' broker listen, and by which address people and gateways reach them."""

    host: str
    web_port: int
    mqtt_port: int
    name: str

    @property
    def public_url(self) -> str:
        return f"http://{self.name}:{self.web_port}"


class Service(Processes):
    """The programs. progress is told what is being started.

    cloud.toml is written at the first start and is the owner's from then on; addresses are those of the first
    start. Every secret is made by chance.
    """

    def __init__(
        self,
        installation: Installation,
        addresses: Addresses,
        *,
        certificate: tuple[Path, Path] | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        broker = Broker(
            installation.folder / "broker",
            mqtt_host=addresses.host,
            mqtt_port=addresses.mqtt_port,
            nats_port=installation.port("nats"),
            certificate=certificate,
        )
        super().__init__(installation, broker)
        self._addresses = addresses
        self._is_tls = certificate is not None
        self._progress = progress
        config = installation.cloud_toml
        self._commands = {name: (command, config) for name, command in COMMANDS.items()}

    @property
    def setup_url(self) -> str | None:
        """Where an installation without staff is set up; None once it is."""
        settings = self.settings
        database = Database(settings.database_url, connections=1)
        with database.system() as session:
            is_set_up = session.execute(
                select(exists().where(col(User.id).is_not(None)))
            ).scalar_one()
        database.close()
        if is_set_up or settings.setup_token is None:
            return None
        return f"{settings.public_url}/setup/begin/{settings.setup_token}"

    def start(self, *, backup: Path | None = None, passphrase: str | None = None) -> None:
        """Starts everything, and before that puts a backup into the empty database, if one is named.

        Raises StartFailed, cloud.errors.CannotStart, sealed.BadBackup or cloud.settings.BadSettings. What was
        started before it failed must be stopped.
        """
        self._progress("PostgreSQL")
        self.postgres.start()
        self.keep_addresses()
        if backup is not None:
            self._restore(backup, passphrase)
        self._write_settings()
        db.migrate(self.postgres.dsn())
        self._progress("MQTT broker")
        self.start_broker()
        for name in COMMANDS:
            self._progress(name)
            self.launch(name)
        port = self.settings.listen_port
        self.wait_until_answering("web", f"http://127.0.0.1:{port}/health/live")

    def _restore(self, backup: Path, passphrase: str | None) -> None:
        self._progress("restore")
        now = datetime.now(UTC)
        restoring.restore(self.postgres.dsn(), backup, passphrase=passphrase, now=now)
        restoring.restore_files(backup, self.installation.folder, passphrase=passphrase, now=now)

    def _write_settings(self) -> None:
        installation, addresses = self.installation, self._addresses
        installation.private_key("signing_key")
        for name in ("session_secret", "code_secret", SETUP_TOKEN):
            installation.secret(name)
        installation.secret("backup_passphrase", _passphrase)
        if installation.cloud_toml.exists():
            return
        scheme = "mqtts" if self._is_tls else "mqtt"
        host = f"[{addresses.host}]" if ":" in addresses.host else addresses.host
        write_private(
            installation.cloud_toml,
            "\n".join(
                [
                    "# Settings of the cloud's programs; yours to edit, read at each start (docs/operating.md).",
                    "# Secrets are files in secrets/ beside this one.",
                    f'listen = "{host}:{addresses.web_port}"',
                    f'public_url = "{addresses.public_url}"',
                    f'brokers = ["{scheme}://{addresses.name}:{addresses.mqtt_port}"]',
                    f'backup_folder = "{installation.folder / "backups"}"',
                    "",
                ]
            ),
        )


def _passphrase() -> str:
    """Of letters and digits that are not mistaken for one another, in groups, to be written on paper: 100 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def own_address() -> str:
    """The address by which this machine is reached from its network; 127.0.0.1 where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: it only asks which way it would go
            address: str = probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
    return address


def check_ports(addresses: Addresses) -> None:
    """Raises StartFailed if another program has a port."""
    for port, option in ((addresses.web_port, "--port"), (addresses.mqtt_port, "--mqtt-port")):
        if supervise.is_listening(port):
            raise StartFailed(
                f"port {port} is taken by another program; end that, or choose another with {option}"
            )
