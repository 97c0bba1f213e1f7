"""The message broker of a small installation: a NATS server with its MQTT listener, private to a folder.

Gateways speak MQTT 3.1.1, each by users of its own (GW-0001.2: its second credentials), and may use their own two
topics and no others. The cloud speaks NATS. Both listen on 127.0.0.1 unless told otherwise.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sysconfig
import threading
from collections.abc import Mapping
from pathlib import Path

import bcrypt

from wattwell import supervise
from wattwell.supervise import Program, StartFailed

_CLOUD_USER = "cloud"


class Broker:
    """One server. Its folder holds broker.conf, the cloud's password and the MQTT session store."""

    def __init__(
        self,
        folder: Path,
        *,
        mqtt_port: int,
        nats_port: int,
        mqtt_host: str = "127.0.0.1",
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        """certificate and its key, both PEM: gateways then speak TLS."""
        self._mqtt_host = mqtt_host
        self._certificate = certificate
        self.folder = folder.absolute()
        self.mqtt_port = mqtt_port
        self._nats_port = nats_port
        self._users: dict[str, str] = {}
        self._lock = threading.Lock()
        self.program: Program | None = None

    @property
    def nats_url(self) -> str:
        """The cloud's connection."""
        return f"nats://{_CLOUD_USER}:{self._password()}@127.0.0.1:{self._nats_port}"

    def start(self, users: Mapping[str, str]) -> None:
        """Starts the server. users: user -> bcrypt hash of the password; a user is GATEWAY_NO or GATEWAY_NO.NUMBER.

        Raises StartFailed if the MQTT port is taken or the server does not come up.
        """
        for port in (self.mqtt_port, self._nats_port):
            if supervise.is_listening(port):
                raise StartFailed(
                    f"port {port} on 127.0.0.1, wanted by the MQTT broker, is taken by another program"
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._users = dict(users)
            self._write()
            self.program = supervise.start(
                "MQTT broker", [_binary(), "-c", self._conf], log=self.folder / "broker.log"
            )
        ports = (self.mqtt_port, self._nats_port)
        self.program.wait_until(lambda: all(map(supervise.is_listening, ports)), timeout_s=30)

    def set_users(self, users: Mapping[str, str]) -> None:
        """Admits these gateways and no others, without a restart; others' connections end."""
        with self._lock:
            self._users = dict(users)
            self._write()
            if self.program is not None and self.program.is_running:
                self.program.process.send_signal(signal.SIGHUP)

    def restart(self) -> None:
        """Starts it again after it was killed, on the same ports."""
        self.start(self._users)

    def stop(self) -> None:
        if self.program is not None:
            self.program.stop()

    @property
    def _conf(self) -> Path:
        return self.folder / "broker.conf"

    def _password(self) -> str:
        path = self.folder / "cloud_password"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(24))
        return path.read_text()

    def _write(self) -> None:
        users = nats_users(self._users, cloud=(_CLOUD_USER, self._password()))
        mqtt: dict[str, object] = {
            "listen": f"{self._mqtt_host}:{self.mqtt_port}",
            "max_ack_pending": 1000,
        }
        if self._certificate is not None:
            certificate, key = self._certificate
            mqtt["tls"] = {"cert_file": str(certificate), "key_file": str(key)}
        conf = {
            "server_name": "wattwell",
            "listen": f"127.0.0.1:{self._nats_port}",
            "jetstream": {"store_dir": str(self.folder), "max_mem": "64M", "max_file": "1G"},
            "mqtt": mqtt,
            "authorization": {"users": users},
        }
        unfinished = self._conf.with_suffix(".new")
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(conf, indent=2))  # JSON is valid NATS configuration
        unfinished.replace(self._conf)


def nats_users(gateways: Mapping[str, str], *, cloud: tuple[str, str]) -> list[dict[str, object]]:
    """The users of a NATS server's configuration: the cloud's (name and password), and those of gateways.

    gateways: user -> bcrypt hash of the password; a user is GATEWAY_NO or GATEWAY_NO.NUMBER.
    """
    name, password = cloud
    users: list[dict[str, object]] = [
        {
            "user": name,
            "password": hash_password(password),
            "allowed_connection_types": ["STANDARD"],
        }
    ]
    for user, password_hash in sorted(gateways.items()):
        # NATS names subjects with dots where MQTT names topics with slashes.
        gateway_no = user.partition(".")[0]
        users.append(
            {
                "user": user,
                "password": password_hash,
                "permissions": {
                    "publish": [f"wattwell.{gateway_no}.up"],
                    "subscribe": [f"wattwell.{gateway_no}.down", "$MQTT.sub.>"],
                },
                "allowed_connection_types": ["MQTT"],
            }
        )
    return users


def hash_password(password: str) -> str:
    """The bcrypt hash as the broker reads it. The passwords are long and random: a low cost serves."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=5)).decode()


def _binary() -> Path:
    here = Path(sysconfig.get_path("scripts"), "nats-server")
    found = here if here.exists() else shutil.which("nats-server")
    if found is None:
        raise StartFailed("the broker nats-server is missing; run make setup")
    return Path(found)
