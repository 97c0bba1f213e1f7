"""Where the broker is and who we are to it; and what makes a connection to it, or to the cloud's pages, private."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

PORTS = {"mqtt": 1883, "mqtts": 8883}
NEVER_SET = datetime(2026, 1, 1, tzinfo=UTC)
"""A system's clock that is before this was never set: this program is younger."""
_NO_CHECK_TIME = 0x200000  # OpenSSL: X509_V_FLAG_NO_CHECK_TIME


class BadCertificate(Exception):
    """What should be the certificate authority's certificate is none; a sentence for a person."""


@dataclass(frozen=True, slots=True)
class BrokerAt:
    """One address of the broker."""

    host: str
    port: int
    is_tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Access:
    """By which a gateway uses the broker, at any of its addresses. ca is the PEM of whose certificates are
    believed, None for those that the system believes."""

    brokers: tuple[BrokerAt, ...]
    user: str
    password: str = field(repr=False)
    ca: str | None

    def __post_init__(self) -> None:
        if len({broker.is_tls for broker in self.brokers}) != 1:
            raise ValueError("all addresses of the broker must be mqtts, or none")

    @property
    def is_tls(self) -> bool:
        return self.brokers[0].is_tls


def broker_at(url: str) -> BrokerAt:
    """Where "mqtt://HOST[:PORT]" or "mqtts://HOST[:PORT]" leads. Raises ValueError for anything else."""
    parts = urlsplit(url)
    try:
        port = parts.port or PORTS[parts.scheme]
        if not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError
    except (KeyError, ValueError):
        raise ValueError("must be mqtts://HOST:PORT or mqtt://HOST:PORT") from None
    return BrokerAt(parts.hostname, port, parts.scheme == "mqtts")


def tls_context(ca: str | None, *, now: datetime) -> ssl.SSLContext:
    """Believes what ca (PEM) signed, or what the system believes, and checks the host's name.

    While the clock was never set no certificate would be of its time: that alone is then not looked at. What the
    cloud says is signed besides, and nobody without a believed certificate is given a password.

    Raises BadCertificate.
    """
    try:
        context = ssl.create_default_context(cadata=ca)
    except ssl.SSLError as error:
        raise BadCertificate(f"the certificate authority's certificate is none: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if now < NEVER_SET:
        context.verify_flags |= _NO_CHECK_TIME
    return context
