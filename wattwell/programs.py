"""The programs of the demonstration, started in order: the cloud's, a building, its gateway and a payment company."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import OperationalError

from cloud import db
from cloud.db import Database
from edge.uplink import credentials, enrol
from edge.uplink.access import tls_context
from edge.uplink.cloud_http import posting
from simulators import estate
from wattwell import seed, supervise
from wattwell.broker import Broker
from wattwell.installation import Installation
from wattwell.processes import Processes
from wattwell.supervise import StartFailed

WEB_PORT = 8080
LOOK_S = 0.25

T = TypeVar("T")


class Programs(Processes):
    """A building, its gateway, the cloud and a payment company, on 127.0.0.1.

    progress is told what is being started. web_port None means 8080 where that is free, else any.
    """

    def __init__(
        self,
        installation: Installation,
        *,
        web_port: int | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        broker = Broker(
            installation.folder / "broker",
            mqtt_port=installation.port("mqtt"),
            nats_port=installation.port("nats"),
        )
        super().__init__(installation, broker)
        self.web_port = _web_port(installation, web_port)
        self._channel_port = installation.port("channel")
        self._progress = progress
        self._started = 0.0
        self.started_at = datetime.now(UTC)

    @property
    def seconds_since_start(self) -> float:
        return time.monotonic() - self._started

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def ledger(self) -> Path:
        """The gateway's ledger file."""
        return self.installation.gateway / "ledger.sqlite"

    def start(self) -> None:
        """Starts everything; raises StartFailed. What was started before it failed must be stopped."""
        self._started = time.monotonic()
        self.started_at = datetime.now(UTC)
        self._progress("PostgreSQL")
        self.postgres.start()
        self._write_cloud_settings()
        db.migrate(self.postgres.dsn())
        database = Database(self.postgres.dsn(), connections=1)
        self._progress("estate")
        seed.seed(self.installation, database)
        self._progress("MQTT broker")
        self.start_broker()
        self._write_cloud_settings()
        self._write_building_and_gateway_settings()
        cloud = self.installation.cloud_toml
        self._commands = {
            "building": ("simulate building", self.installation.building / "building.toml"),
            "gateway": ("edge run", self.installation.gateway / "gateway.toml"),
            "worker": ("cloud worker", cloud),
            "web": ("cloud web", cloud),
            "channel": ("simulate channel", self.installation.channel_toml),
            "scheduler": ("cloud scheduler", cloud),
        }
        for name in ("building", "worker", "web", "channel"):
            self._progress(name)
            self.launch(name)
        self.wait_until_answering("web", f"{self.url}/api/health")
        self._enrol_gateway(database)
        database.close()
        self._progress("gateway")
        self.launch("gateway")
        self.wait_until_answering("channel", f"http://127.0.0.1:{self._channel_port}/health")
        self._progress("scheduler")  # last: nobody waits for it
        self.launch("scheduler")

    def _enrol_gateway(self, database: Database) -> None:
        """At the first start: with a token, as a technician would."""
        if credentials.read(self.installation.gateway) is not None:
            return
        self._progress("enrolment of the gateway")
        settings = self.settings
        enrol.enrol(
            self.installation.gateway,
            seed.issue_token(database, settings),
            gateway_no=seed.GATEWAY_NO,
            post=posting(self.url, tls_context(None, now=datetime.now(UTC))),
            cloud_url=self.url,
            https_ca=None,
        )

    def _write_cloud_settings(self) -> None:
        installation = self.installation
        for name in ("signing_key", "sandbox_merchant_key"):
            installation.private_key(name)
        for name in ("session_secret", "code_secret"):
            installation.secret(name)
        self.keep_addresses()
        installation.cloud_toml.write_text(
            "\n".join(
                [
                    "# Settings of the cloud's programs. Secrets are files in secrets/ beside this one.",
                    f'listen = "127.0.0.1:{self.web_port}"',
                    f'public_url = "{self.url}"',
                    f'brokers = ["mqtt://127.0.0.1:{self.broker.mqtt_port}"]',
                    f'sandbox_url = "http://127.0.0.1:{self._channel_port}"',
                    f'sandbox_channel_key = "{installation.public_key("channel_signing_key")}"',
                    "",
                ]
            )
        )

    def _write_building_and_gateway_settings(self) -> None:
        installation = self.installation
        ports = {name: installation.port(name) for name in estate.TCP_LINES}
        building = installation.building
        (building / "building.toml").write_text(estate.building_config(building, ports))
        lines = [
            f'[[line]]\nname = "{name}"\nport = "{port}"\nbaud = {estate.BAUD}\n'
            for name, port in estate.gateway_ports(building, ports).items()
        ]
        (installation.gateway / "gateway.toml").write_text(
            "\n".join(
                [
                    f'gateway_no = "{seed.GATEWAY_NO}"',
                    "poll_s = 10",
                    "",
                    "[cloud]",
                    "# Other ports than at the first start may be free. By what the gateway speaks to the cloud is",
                    "# in credentials.json, which enrolment wrote.",
                    f'url = "{self.url}"',
                    f'broker = "127.0.0.1:{self.broker.mqtt_port}"',
                    "heartbeat_s = 10",
                    "",
                    *lines,
                ]
            )
        )
        installation.private_key("channel_signing_key")
        installation.channel_toml.write_text(
            "\n".join(
                [
                    f'listen = "127.0.0.1:{self._channel_port}"',
                    f'public_url = "http://127.0.0.1:{self._channel_port}"',
                    'database = "channel.sqlite"',
                    'signing_key_file = "secrets/channel_signing_key"',
                    "",
                    "[merchant]",
                    'name = "wattwell"',
                    f'title = "{seed.ORGANIZATION}"',
                    f'public_key = "{installation.public_key("sandbox_merchant_key")}"',
                    "",
                ]
            )
        )


def _web_port(installation: Installation, wanted: int | None) -> int:
    if wanted is None:
        return installation.port("web", first_choice=WEB_PORT)
    if supervise.is_listening(wanted):
        raise StartFailed(
            f"port {wanted} on 127.0.0.1 is taken by another program; choose another with --port"
        )
    return wanted


def wait_for(
    find: Callable[[], T | None],
    timeout_s: float,
    what: str,
    meanwhile: Callable[[], None] = lambda: None,
) -> T:
    """What find gives once it gives something; a database that is away is waited for.

    Raises TimeoutError naming what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(OperationalError):
            if found := find():
                return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout_s:.0f} s")
        meanwhile()
        time.sleep(LOOK_S)
