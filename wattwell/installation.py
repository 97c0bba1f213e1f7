"""One folder with everything an installation keeps: settings, secrets, database, ledger, logs."""

from __future__ import annotations

import base64
import fcntl
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.private_file import write_private
from wattwell import supervise


class InstallationTaken(Exception):
    """Another `wattwell` runs on this folder."""


class InstallationUnusable(Exception):
    """The folder cannot be made or written. The text says why and what to do."""


class Installation:
    """The folder, held by a lock for as long as this object lives. A new folder is made with mode 0755.

    Raises InstallationTaken or InstallationUnusable.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        try:
            for name in ("secrets", "log"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / "secrets").chmod(0o700)
        except OSError as error:
            raise InstallationUnusable(
                f"the folder {self.folder} cannot be made or written: {error.strerror};"
                " choose another with --data"
            ) from None
        self._lock = _lock(self.folder / "lock")

    def release(self) -> None:
        self._lock.close()

    @property
    def cloud_toml(self) -> Path:
        return self.folder / "cloud.toml"

    @property
    def channel_toml(self) -> Path:
        return self.folder / "channel.toml"

    @property
    def gateway(self) -> Path:
        """The gateway's folder: gateway.toml, password and ledger.sqlite."""
        return self._subfolder("gateway")

    @property
    def building(self) -> Path:
        """The simulated building's folder: building.toml, the state of its meters and its serial line."""
        return self._subfolder("building")

    def log(self, program: str) -> Path:
        return self.folder / "log" / f"{program}.log"

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
        """The secret of this name, made by chance the first time and kept with mode 0600."""
        path = self.folder / "secrets" / name
        if not path.exists():
            self.keep_secret(name, make())
        return path.read_text()

    def keep_secret(self, name: str, value: str) -> None:
        write_private(self.folder / "secrets" / name, value)

    def private_key(self, name: str) -> Ed25519PrivateKey:
        """The Ed25519 key of this name, kept in base64."""
        raw = base64.b64decode(self.secret(name, _new_private_key))
        return Ed25519PrivateKey.from_private_bytes(raw)

    def public_key(self, name: str) -> str:
        """The public half of private_key(name), in base64."""
        return base64.b64encode(self.private_key(name).public_key().public_bytes_raw()).decode()

    def port(self, name: str, *, first_choice: int | None = None) -> int:
        """The TCP port of 127.0.0.1 for this use: that of the last start where it is free, else another."""
        path = self._subfolder("ports") / name
        for choice in (int(path.read_text()) if path.exists() else None, first_choice):
            if choice is not None and not supervise.is_listening(choice):
                break
        else:
            choice = supervise.free_port()
        path.write_text(str(choice))
        return choice

    def _subfolder(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path


def _new_private_key() -> str:
    return base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def _lock(path: Path) -> IO[str]:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InstallationTaken(
            f"another wattwell is running on {path.parent}; stop it, or choose another folder with --data"
        ) from None
    return file
