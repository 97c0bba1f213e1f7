"""凭据: what enrolment gave this gateway, in credentials.json beside the ledger; and its own key, in gateway.key.

Both are for their owner alone (mode 0600), written whole or not at all, and on disk before they are used.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Base64Bytes, TypeAdapter, ValidationError

from edge.private_file import write_private
from edge.uplink.access import Access, broker_at
from prepaid.enrolment import Grant, read_key
from prepaid.seal import KeySet
from prepaid.wire.downlog import CloudKeys

CREDENTIALS, KEY = "credentials.json", "gateway.key"
RENEW_AFTER = 2 / 3  # of the time for which they are good


class BadCredentials(Exception):
    """A file cannot be read, or is not what it should be; a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the gateway speaks to its cloud by. Times are the cloud's, cloud_keys in base64, code_key 32 bytes.

    https_ca and broker_ca are certificate authorities as PEM, None for those that the system believes.
    """

    gateway_no: str
    cloud_url: str
    https_ca: str | None
    brokers: tuple[str, ...]
    broker_ca: str | None
    number: int
    user: str
    password: str = field(repr=False)
    cloud_keys: tuple[str, ...]
    keys_number: int
    code_key: Base64Bytes = field(repr=False)
    issued_at: datetime
    expires_at: datetime

    @property
    def access(self) -> Access:
        """Raises ValueError if an address of the broker is none."""
        return Access(tuple(map(broker_at, self.brokers)), self.user, self.password, self.broker_ca)

    @property
    def keys(self) -> KeySet:
        """Raises ValueError if one is no key."""
        return KeySet(map(read_key, self.cloud_keys))

    @property
    def renew_at(self) -> datetime:
        return self.issued_at + (self.expires_at - self.issued_at) * RENEW_AFTER


_CREDENTIALS = TypeAdapter(Credentials)


def granted(grant: Grant, *, cloud_url: str, https_ca: str | None) -> Credentials:
    """Raises ValueError for a grant that cannot be used."""
    credentials = Credentials(
        gateway_no=grant.gateway_no,
        cloud_url=cloud_url,
        https_ca=https_ca,
        brokers=grant.brokers,
        broker_ca=grant.broker_ca,
        number=grant.number,
        user=grant.user,
        password=grant.password,
        cloud_keys=grant.cloud_keys,
        keys_number=grant.keys_number,
        code_key=base64.b64decode(grant.code_key, validate=True),
        issued_at=grant.issued_at,
        expires_at=grant.expires_at,
    )
    _check(credentials)
    return credentials


def read(folder: Path) -> Credentials | None:
    """None where the gateway was never enrolled. Raises BadCredentials."""
    path = folder / CREDENTIALS
    try:
        credentials = _CREDENTIALS.validate_json(path.read_bytes())
        _check(credentials)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadCredentials(f"{path} cannot be read: {error.strerror}") from error
    except (ValidationError, ValueError) as error:
        raise BadCredentials(
            f"{path} is damaged: enrol this gateway again, with `wattwell edge enrol`"
        ) from error
    return credentials


def write(folder: Path, credentials: Credentials) -> None:
    """Raises OSError; the file that was there is then as it was."""
    write_private(folder / CREDENTIALS, _CREDENTIALS.dump_json(credentials, indent=2))


def learn(folder: Path, message: CloudKeys) -> KeySet | None:
    """Keeps the cloud's new keys: all that are good from now on, None if newer ones are known.

    Raises ValueError if they cannot be used, OSError if they cannot be written.
    """
    try:
        credentials = read(folder)
    except BadCredentials as error:
        raise OSError(None, str(error)) from error
    if credentials is None:
        raise ValueError("this gateway is not enrolled")
    if message.number <= credentials.keys_number:
        return None
    keys = KeySet(map(read_key, message.keys))
    write(folder, replace(credentials, cloud_keys=message.keys, keys_number=message.number))
    return keys


def own_key(folder: Path) -> Ed25519PrivateKey:
    """The gateway's own key, made the first time. Raises BadCredentials, or OSError if it cannot be written."""
    path = folder / KEY
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        write_private(path, base64.b64encode(made.private_bytes_raw()) + b"\n")
        return made
    try:
        raw = base64.b64decode(path.read_bytes().strip(), validate=True)
        return Ed25519PrivateKey.from_private_bytes(raw)
    except OSError as error:
        raise BadCredentials(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadCredentials(
            f"{path} is no key: remove it and enrol this gateway again, with a new token"
        ) from error


def _check(credentials: Credentials) -> None:
    """Raises ValueError unless everything in it can be used."""
    _ = credentials.access, credentials.keys
    if len(credentials.code_key) != 32 or credentials.expires_at <= credentials.issued_at:
        raise ValueError("credentials that make no sense")
