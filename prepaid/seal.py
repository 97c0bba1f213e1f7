"""What the cloud sends is signed as a whole: nobody else can say a cursor, a halt, a time or an entry to a gateway.

A payload from the cloud is one line of text, and after it the envelope as it was written:

    wattwell 1 KEY SIGNATURE LF envelope

KEY names the key that signed (`key_id`), SIGNATURE is Ed25519 in base64 over

    wattwell envelope 1 LF gateway_no LF envelope

so that what is meant for one gateway says nothing to another. Each envelope from a gateway has a nonce; the cloud's
answer repeats it. What holds only at its time (cursor, halt, the time itself) counts in an answer alone, so an old
payload that somebody kept and sends again comes to nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from prepaid.wire.entry import Entry, verify
from prepaid.wire.envelope import Envelope, pack, unpack
from prepaid.wire.message import BadMessage

_FIRST = b"wattwell 1 "
_LONGEST_LINE = 200


class NotSigned(BadMessage):
    """A payload or an entry that none of the cloud's keys signed, or that was meant for another gateway."""


class KeySet:
    """The cloud's public keys that are valid now; several while one follows another.

    Raises ValueError if there is none.
    """

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}
        if not self._keys:
            raise ValueError("without a key nothing can be verified")

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    @property
    def keys(self) -> tuple[Ed25519PublicKey, ...]:
        return tuple(self._keys.values())

    def unseal(self, payload: bytes, *, gateway_no: str) -> Envelope:
        """The envelope. Raises NotSigned if nobody we know signed it, BadMessage if what was signed is none."""
        return unpack(self.unseal_text(payload, purpose=_to(gateway_no)))

    def unseal_text(self, payload: bytes, *, purpose: str) -> bytes:
        """What was sealed for this purpose. Raises NotSigned."""
        line, _, written = payload.partition(b"\n")
        words = line[len(_FIRST) :].split(b" ")
        if not line.startswith(_FIRST) or len(line) > _LONGEST_LINE or len(words) != 2:
            raise NotSigned("a payload without the cloud's signature")
        key = self._keys.get(words[0].decode("ascii", "replace"))
        if key is None:
            known = ", ".join(self._keys)
            raise NotSigned(
                f"a payload signed with key {_shown(words[0])}; the cloud's are {known}"
            )
        try:
            key.verify(base64.b64decode(words[1], validate=True), _signed(purpose, written))
        except (InvalidSignature, ValueError) as error:
            raise NotSigned("a payload whose signature does not verify") from error
        return written

    def verify(self, entry: Entry) -> None:
        """Raises NotSigned if no key signed the entry."""
        for key in self._keys.values():
            try:
                return verify(entry, key)
            except BadMessage:
                continue
        raise NotSigned(f"entry {entry.seq} is not signed by this gateway's cloud")


def seal(envelope: Envelope, key: Ed25519PrivateKey, *, gateway_no: str) -> bytes:
    """The payload that says the envelope to this gateway."""
    return seal_text(pack(envelope), key, purpose=_to(gateway_no))


def seal_text(written: bytes, key: Ed25519PrivateKey, *, purpose: str) -> bytes:
    """What is written with a line before it that proves who wrote it; for one purpose, and of no use for another."""
    signature = base64.b64encode(key.sign(_signed(purpose, written)))
    return _FIRST + key_id(key.public_key()).encode() + b" " + signature + b"\n" + written


def key_id(key: Ed25519PublicKey) -> str:
    """16 hexadecimal digits of the key's SHA-256: enough to tell one from another, no proof of anything."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _to(gateway_no: str) -> str:
    return f"envelope 1\n{gateway_no}"


def _signed(purpose: str, written: bytes) -> bytes:
    return f"wattwell {purpose}\n".encode() + written


def _shown(word: bytes) -> str:
    return ascii(word[:32].decode("ascii", "replace"))
