"""What crosses MQTT between gateway and cloud: two ordered logs of entries, and each side's cursor.

An entry carries its message as the exact text that was written (and, from the cloud, signed), so both
sides keep and verify the same bytes. A receiver applies cursor + 1, ignores anything else, and always
answers with its cursor.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, TypeAdapter, ValidationError

from prepaid.ledger import Transfer
from prepaid.point import ServicePoint
from prepaid.rating import Position
from prepaid.reading import Reading, Supply
from prepaid.supply import Why


class BadMessage(ValueError):
    """Bytes that are no envelope, a body that is no message, or a signature that does not verify."""


class AlarmKind(StrEnum):
    SILENT = "silent"  # 失联: the meter does not answer
    IMPLAUSIBLE = "implausible"  # 读数异常: charged nothing, held
    SWITCH_FAILED = "switch-failed"  # 拒动: relay or valve did not follow
    NO_TARIFF = "no-tariff"  # 无价格方案: cannot be charged
    LOW_BALANCE = "low-balance"  # 余额不足


# Up: what the gateway saw and did.


@dataclass(frozen=True, slots=True)
class Read:
    """A register as read, whether or not it could be charged."""

    point: UUID
    reading: Reading
    kind: Literal["read"] = "read"


@dataclass(frozen=True, slots=True)
class Charged:
    """What the gateway charged, and the position after it."""

    point: UUID
    position: Position
    transfers: tuple[Transfer, ...]
    kind: Literal["charged"] = "charged"


@dataclass(frozen=True, slots=True)
class SupplyChanged:
    """The supply read, the supply wanted, or the reason is another than before.

    commanded_at is when the meter acknowledged the switch command that led here, None if there was none.
    """

    point: UUID
    at: datetime
    supply: Supply | None
    wanted: Supply | None
    why: Why
    commanded_at: datetime | None
    kind: Literal["supply-changed"] = "supply-changed"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person should know of began, or (is_over) ended. text is for logs, in English."""

    point: UUID
    at: datetime
    alarm: AlarmKind
    is_over: bool
    text: str
    kind: Literal["alarm"] = "alarm"


Up = Annotated[Read | Charged | SupplyChanged | Alarm, Field(discriminator="kind")]


# Down: what the cloud decided.


@dataclass(frozen=True, slots=True)
class PointSet:
    """A service point of this gateway, whole, new or changed."""

    point: ServicePoint
    kind: Literal["point-set"] = "point-set"


@dataclass(frozen=True, slots=True)
class TariffSet:
    """A tariff document, whole."""

    document: Mapping[str, Any]
    kind: Literal["tariff-set"] = "tariff-set"


@dataclass(frozen=True, slots=True)
class Credited:
    """A transfer that the cloud wrote: a top-up."""

    transfer: Transfer
    kind: Literal["credited"] = "credited"


@dataclass(frozen=True, slots=True)
class Visit:
    """Read this service point now."""

    point: UUID
    kind: Literal["visit"] = "visit"


Down = Annotated[PointSet | TariffSet | Credited | Visit, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a log. log names the sender's store: a new store is a new log. seq counts from 1.

    body is the message as JSON text; signature is Ed25519 in base64, on entries from the cloud.
    """

    log: UUID
    seq: int
    body: str
    signature: str | None = None

    def signed_bytes(self) -> bytes:
        return f"wattwell entry 1\n{self.log}\n{self.seq}\n{self.body}".encode()


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last entry of a log that the receiver has applied; 0 before the first."""

    log: UUID
    seq: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """One MQTT payload, in either direction: entries of the sender's log, and its cursor in the other's."""

    entries: tuple[Entry, ...] = ()
    cursor: Cursor | None = None


_ENVELOPE = TypeAdapter(Envelope)
_UP: TypeAdapter[Up] = TypeAdapter(Up)
_DOWN: TypeAdapter[Down] = TypeAdapter(Down)

T = TypeVar("T")


def up_topic(gateway_no: str) -> str:
    return f"wattwell/{gateway_no}/up"


def down_topic(gateway_no: str) -> str:
    return f"wattwell/{gateway_no}/down"


def pack(envelope: Envelope) -> bytes:
    return _ENVELOPE.dump_json(envelope)


def unpack(payload: bytes) -> Envelope:
    """Raises BadMessage if the payload is not an envelope."""
    return _checked(_ENVELOPE, payload)


def write_up(message: Up) -> str:
    return _UP.dump_json(message).decode()


def read_up(body: str) -> Up:
    """Raises BadMessage if the body is no message a gateway sends."""
    return _checked(_UP, body)


def write_down(message: Down) -> str:
    return _DOWN.dump_json(message).decode()


def read_down(body: str) -> Down:
    """Raises BadMessage if the body is no message the cloud sends."""
    return _checked(_DOWN, body)


def _checked(adapter: TypeAdapter[T], text: str | bytes) -> T:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise BadMessage(str(error)) from error


def sign(entry: Entry, key: Ed25519PrivateKey) -> Entry:
    signature = base64.b64encode(key.sign(entry.signed_bytes())).decode()
    return Entry(entry.log, entry.seq, entry.body, signature)


def verify(entry: Entry, key: Ed25519PublicKey) -> None:
    """Raises BadMessage if the entry is not signed with the cloud's key."""
    try:
        key.verify(base64.b64decode(entry.signature or "", validate=True), entry.signed_bytes())
    except (InvalidSignature, ValueError) as error:
        raise BadMessage(f"entry {entry.seq} is not signed by this gateway's cloud") from error
