"""An envelope: one MQTT payload, and the topic that it goes by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field, TypeAdapter

from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.message import checked

LONGEST_NONCE = 64


@dataclass(frozen=True, slots=True)
class Envelope:
    """One MQTT payload, in either direction: entries of the sender's log, and its cursor in the other's.

    sender is the log of the gateway's store, whether or not there are entries of it (None from version
    0.1.0), takeover its request; halt and follow are from the cloud. nonce is new in each envelope of a gateway, and
    repeated in the cloud's answer to it, which says at what time (UTC) it was given. credential is the
    number of the credentials that a gateway speaks by, None if it was not enrolled.
    """

    entries: tuple[Entry, ...] = ()
    cursor: Cursor | None = None
    sender: UUID | None = None
    takeover: Takeover | None = None
    halt: Halt | None = None
    nonce: Annotated[str, Field(max_length=LONGEST_NONCE)] | None = None
    at: datetime | None = None
    credential: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    follow: Follow | None = None


class Halt(StrEnum):
    """Why the cloud applies nothing of a store."""

    FORKED = "forked"  # we have other entries under the same numbers
    REPLACED = "replaced"  # another store has taken over from this one
    UNKNOWN = "unknown"  # we follow another store of this gateway, and this one has not taken over from it


@dataclass(frozen=True, slots=True)
class Takeover:
    """A gateway's new store asks to be followed: log is its own, instead_of the one it goes on from, None where
    the cloud has followed none. It may be repeated."""

    log: UUID
    instead_of: UUID | None


@dataclass(frozen=True, slots=True)
class Follow:
    """The cloud's log for this gateway has a new name, as its database was put back to a backup: whoever follows
    instead_of follows log from now on, of which it has what it had up to seq."""

    log: UUID
    seq: int
    instead_of: UUID


_ENVELOPE = TypeAdapter(Envelope)


def up_topic(gateway_no: str) -> str:
    return f"wattwell/{gateway_no}/up"


def down_topic(gateway_no: str) -> str:
    return f"wattwell/{gateway_no}/down"


def pack(envelope: Envelope) -> bytes:
    return _ENVELOPE.dump_json(envelope)


def unpack(payload: bytes) -> Envelope:
    """Raises BadMessage if the payload is not an envelope."""
    return checked(_ENVELOPE, payload)
