"""An entry of a log: a message under its number, chained to the one before, and signed where it is the cloud's.

An entry carries its message as the exact text that was written (and, from the cloud, signed), so both
sides keep and verify the same bytes.

The gateway's log is a chain: each entry carries the hash of the one before. The hash of an entry is SHA-256, in
hexadecimal, over the UTF-8 bytes of

    wattwell chain 1 LF log LF seq LF previous LF body

where log is the UUID in its usual small letters, seq a decimal number, previous the hash of the entry before
(64 zeros before the first) and body the message's text as it was written. So one hash says all that a store
has ever told, and two stores that went on from one copy differ from the first entry that differs.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from prepaid.wire.message import BadMessage

NO_ENTRY = "0" * 64
"""What stands for the hash of the entry before the first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a log. log names the sender's store: a new store is a new log. seq counts from 1.

    body is the message as JSON text; signature is Ed25519 in base64, on entries from the cloud; previous is
    the hash of the entry before, on entries from a gateway (None from one of version 0.1.0).
    """

    log: UUID
    seq: int
    body: str
    signature: str | None = None
    previous: str | None = None

    def signed_bytes(self) -> bytes:
        return f"wattwell entry 1\n{self.log}\n{self.seq}\n{self.body}".encode()

    def hash(self) -> str:
        """Raises ValueError for an entry that is in no chain."""
        if self.previous is None:
            raise ValueError(f"entry {self.seq} of log {self.log} does not say what it follows")
        return chained(self.log, self.seq, self.body, previous=self.previous)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last entry of a log that the receiver has applied; 0 before the first. hash is that entry's, where
    the log is a chain."""

    log: UUID
    seq: int
    hash: str | None = None


def chained(log: UUID, seq: int, body: str, *, previous: str) -> str:
    """The hash of an entry of a log that is a chain."""
    return linked(opening_of(log), seq, body, previous=previous)


def linked(opening: str, seq: int, body: str, *, previous: str) -> str:
    """As chained, with what the hashed texts of the log begin with: of many entries it is asked for once."""
    return hashlib.sha256(f"{opening}{seq}\n{previous}\n{body}".encode()).hexdigest()


@lru_cache(maxsize=64)
def opening_of(log: UUID) -> str:
    """What the hashed text of each entry of a log begins with."""
    return f"wattwell chain 1\n{log}\n"


def sign(entry: Entry, key: Ed25519PrivateKey) -> Entry:
    signature = base64.b64encode(key.sign(entry.signed_bytes())).decode()
    return replace(entry, signature=signature)


def verify(entry: Entry, key: Ed25519PublicKey) -> None:
    """Raises BadMessage if the entry is not signed with the cloud's key."""
    try:
        key.verify(base64.b64decode(entry.signature or "", validate=True), entry.signed_bytes())
    except (InvalidSignature, ValueError) as error:
        raise BadMessage(f"entry {entry.seq} is not signed by this gateway's cloud") from error
