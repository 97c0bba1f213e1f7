"""The settings of the cloud's programs: cloud.toml, one file a secret in secrets/ beside it, WATTWELL_* over both."""

from __future__ import annotations

import base64
import binascii
import os
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from cloud.channel_settings import ChannelSettings, HttpAddress

ENVIRONMENT = "WATTWELL_"
SHORTEST_PASSPHRASE = 12

Network = IPv4Network | IPv6Network


class BadSettings(Exception):
    """The program cannot start. faults has one sentence per setting, naming it and where to mend it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def _listen(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("must be host:port, as in 127.0.0.1:8080")
    return value


def _nats(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("nats", "tls") or not parts.hostname:
        raise ValueError("must be an address like nats://user:password@127.0.0.1:4222")
    return value


def _mqtt(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or not _port(value):
        raise ValueError("must be addresses like mqtts://broker.example.com:8883, for gateways")
    return value


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _certificate(value: str) -> str:
    try:
        text = Path(value).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        text = ""
    if "BEGIN CERTIFICATE" not in text:
        raise ValueError(f"must be a readable file with a certificate as PEM, {value} is none")
    return value


def _database(value: str) -> str:
    try:
        conninfo_to_dict(value)
    except psycopg.ProgrammingError:
        raise ValueError(
            "must be an address like postgresql://user:password@127.0.0.1:5432/wattwell"
        ) from None
    return value


def _network(value: object) -> Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        return ip_network(str(value))
    except ValueError:
        raise ValueError("must be networks like 10.1.0.0/16, to which webhooks may go") from None


def _secret(value: str) -> str:
    if len(value) < 32:
        raise ValueError("must be at least 32 characters of chance")
    return value


def _passphrase(value: str) -> str:
    if len(value) < SHORTEST_PASSPHRASE:
        raise ValueError(f"must have at least {SHORTEST_PASSPHRASE} characters")
    return value


def _key_bytes(value: object) -> bytes:
    try:
        raw = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise ValueError("must be an Ed25519 key: 32 bytes in base64")
    return raw


def _private_key(value: object) -> Ed25519PrivateKey:
    if isinstance(value, Ed25519PrivateKey):
        return value
    return Ed25519PrivateKey.from_private_bytes(_key_bytes(value))


def _public_key(value: object) -> Ed25519PublicKey:
    if isinstance(value, Ed25519PublicKey):
        return value
    return Ed25519PublicKey.from_public_bytes(_key_bytes(value))


PrivateKey = Annotated[Ed25519PrivateKey, BeforeValidator(_private_key)]
PublicKey = Annotated[Ed25519PublicKey, BeforeValidator(_public_key)]


class Settings(ChannelSettings):
    """Checked whole when loaded; no secret has a default."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENVIRONMENT,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )

    database_url: Annotated[str, AfterValidator(_database)] = Field(repr=False)
    nats_url: Annotated[str, AfterValidator(_nats)] = Field(repr=False)
    listen: Annotated[str, AfterValidator(_listen)]
    public_url: HttpAddress
    session_secret: Annotated[str, AfterValidator(_secret)] = Field(repr=False)
    signing_key: PrivateKey = Field(repr=False)
    code_secret: Annotated[str, AfterValidator(_secret)] = Field(repr=False)
    further_keys: tuple[PublicKey, ...] = ()
    brokers: Annotated[tuple[Annotated[str, AfterValidator(_mqtt)], ...], Field(min_length=1)]
    broker_ca_file: Annotated[str, AfterValidator(_certificate)] | None = None
    credential_days: int = Field(default=90, ge=1, le=730)
    sandbox_url: HttpAddress | None = None
    sandbox_merchant: str = "wattwell"
    sandbox_merchant_key: PrivateKey | None = Field(default=None, repr=False)
    sandbox_channel_key: PublicKey | None = None
    setup_token: Annotated[str, AfterValidator(_secret)] | None = Field(default=None, repr=False)
    settings_file: Path | None = None  # the one that was loaded
    backup_folder: Path | None = None
    backup_keep: int = Field(default=14, ge=1, le=1000)
    backup_passphrase: Annotated[str, AfterValidator(_passphrase)] | None = Field(
        default=None, repr=False
    )
    metrics_listen: Annotated[str, AfterValidator(_listen)] | None = None
    longest_override_days: int = Field(default=31, ge=1, le=366)
    influx_url: HttpAddress | None = None
    influx_token: str | None = Field(default=None, repr=False)
    influx_organization: str = "wattwell"
    influx_bucket: str = "wattwell"
    webhook_networks: tuple[Annotated[Network, BeforeValidator(_network)], ...] = ()

    @classmethod
    def load(cls, path: Path) -> Settings:
        """The settings of the installation whose cloud.toml this is.

        Raises BadSettings with a sentence for each one that is missing, wrong or unknown.
        """
        try:
            written = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise BadSettings([f"The settings file {path} does not exist."]) from None
        except OSError as error:
            raise BadSettings(
                [f"The settings file {path} cannot be read: {error.strerror}."]
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings([f"The settings file {path} is not TOML: {error}."]) from None
        secrets = path.parent / "secrets"
        try:
            settings = cls(**_merged(cls, written, secrets))
        except ValidationError as error:
            raise BadSettings(
                [_sentence(fault, path, secrets, written) for fault in error.errors()]
            ) from None
        except OSError as error:
            raise BadSettings(
                [f"The secret {error.filename} cannot be read: {error.strerror}."]
            ) from None
        settings = settings.model_copy(update={"settings_file": path})
        if faults := [
            f"{_missing(name, path, secrets)} ({needs} needs it)."
            for name, needs in settings.lacking().items()
        ]:
            raise BadSettings(faults)
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """load has already laid the sources over each other."""
        return (init_settings,)

    @property
    def broker_ca(self) -> str | None:
        """The certificate authority of the brokers' certificates as PEM; None: one that all systems know."""
        return None if self.broker_ca_file is None else Path(self.broker_ca_file).read_text("ascii")

    @property
    def listen_host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def listen_port(self) -> int:
        return int(self.listen.rpartition(":")[2])


def _merged(cls: type[Settings], written: dict[str, Any], secrets: Path) -> dict[str, Any]:
    values = dict(written)
    if secrets.is_dir():
        values |= SecretsSettingsSource(cls, secrets_dir=secrets, env_prefix="")()
    return values | EnvSettingsSource(cls, env_prefix=ENVIRONMENT)()


def _sentence(fault: Any, path: Path, secrets: Path, written: dict[str, Any]) -> str:
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        return f"{name} in {path} is not a setting of the cloud; remove it."
    if fault["type"] == "missing":
        return f"{_missing(name, path, secrets)}."
    reason = str(fault["msg"]).removeprefix("Value error, ")
    return f"{name} {reason} (set in {_source(name, path, secrets, written)})."


def _missing(name: str, path: Path, secrets: Path) -> str:
    return (
        f"{name} is missing: set it in {path}, in the file {secrets / name}"
        f" or as {ENVIRONMENT}{name.upper()}"
    )


def _source(name: str, path: Path, secrets: Path, written: dict[str, Any]) -> str:
    if ENVIRONMENT + name.upper() in os.environ:
        return ENVIRONMENT + name.upper()
    if (secrets / name).exists():
        return str(secrets / name)
    return str(path)
