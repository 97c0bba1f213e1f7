"""注册: a gateway makes its key and is given what it needs to speak to its cloud, by a token that serves once.

The token 注册码 is 35 characters in seven groups of five, of Crockford's base 32 (no I, L, O, U), to be typed:

    16 of chance, which the cloud knows only the SHA-256 of; 16 of the SHA-256 of the cloud's signing key, so
    that no other cloud can answer; 3 to find a slip of the finger.

The gateway sends the first sixteen, its number, its public key and a proof that it has the private one. The
cloud's answer, a Grant, is sealed (prepaid.seal) for the nonce of the request. To renew its credentials 凭据 the
gateway signs a challenge that the cloud gave it a moment before, so that no clock is needed on its side. A no that
is for good, a Refusal, is sealed for that signature: who is on the way can neither make one nor use another's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import TypeAdapter, ValidationError

from prepaid.seal import KeySet, NotSigned, seal_text
from prepaid.wire.message import BadMessage

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PART, _CHECK, _GROUP = 16, 3, 5
_LOOKALIKES = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


class BadToken(ValueError):
    """A text that is no token, or was mistyped; a sentence for who typed it."""


class OtherCloud(Exception):
    """The answer is not of the cloud that gave the token."""


@dataclass(frozen=True, slots=True)
class Token:
    """secret is known to nobody but who was given the token; fingerprint is that of its cloud's signing key."""

    secret: str
    fingerprint: str

    @classmethod
    def new(cls, cloud_key: Ed25519PublicKey) -> Token:
        return cls("".join(secrets.choice(_LETTERS) for _ in range(_PART)), fingerprint(cloud_key))

    @classmethod
    def read(cls, text: str) -> Token:
        """The token that was typed: small letters, spaces, and O, I, L for 0 and 1 are understood.

        Raises BadToken.
        """
        typed = text.upper().translate(_LOOKALIKES)
        if len(typed) != 2 * _PART + _CHECK:
            raise BadToken(
                f"The token has {2 * _PART + _CHECK} letters and digits in seven groups of five;"
                f" {len(typed)} were given."
            )
        if wrong := next((letter for letter in typed if letter not in _LETTERS), None):
            raise BadToken(f"{wrong} does not occur in a token. Look at it again.")
        token = cls(typed[:_PART], typed[_PART : 2 * _PART])
        if typed[2 * _PART :] != token._check:
            raise BadToken("The token was mistyped somewhere. Look at it again, group by group.")
        return token

    @property
    def text(self) -> str:
        """As it is shown: AAAAA-AAAAA-…"""
        whole = self.secret + self.fingerprint + self._check
        return "-".join(whole[at : at + _GROUP] for at in range(0, len(whole), _GROUP))

    @property
    def _check(self) -> str:
        return _letters(f"token {self.secret}{self.fingerprint}".encode(), _CHECK)


def fingerprint(key: Ed25519PublicKey) -> str:
    """The first 80 bits of the key's SHA-256, as 16 letters and digits."""
    return _letters(key.public_bytes_raw(), _PART)


def secret_hash(secret: str) -> bytes:
    """What the cloud keeps of a token."""
    return hashlib.sha256(f"wattwell token 1\n{secret}".encode()).digest()


def _letters(of: bytes, count: int) -> str:
    bits = int.from_bytes(hashlib.sha256(of).digest(), "big") >> (256 - 5 * count)
    return "".join(_LETTERS[bits >> shift & 31] for shift in range(5 * (count - 1), -1, -5))


@dataclass(frozen=True, slots=True)
class Enrol:
    """A gateway asks to be enrolled as gateway_no. public_key is its Ed25519 key in base64; it signs the whole."""

    secret: str
    gateway_no: str
    public_key: str
    nonce: str
    signature: str

    @classmethod
    def by(cls, token: Token, key: Ed25519PrivateKey, *, gateway_no: str) -> Enrol:
        public, nonce = written_key(key.public_key()), secrets.token_urlsafe(16)
        signature = _sign(key, _asked(token.secret, gateway_no, public, nonce))
        return cls(token.secret, gateway_no, public, nonce, signature)

    def verify(self) -> None:
        """Raises NotSigned if the sender has not the private key."""
        said = _asked(self.secret, self.gateway_no, self.public_key, self.nonce)
        _verify(self.public_key, self.signature, said)


@dataclass(frozen=True, slots=True)
class Renew:
    """A gateway asks for new credentials, and signs the challenge it was given."""

    gateway_no: str
    challenge: str
    signature: str

    @classmethod
    def by(cls, gateway_no: str, challenge: str, key: Ed25519PrivateKey) -> Renew:
        return cls(gateway_no, challenge, _sign(key, _challenged(gateway_no, challenge)))

    def verify(self, public_key: str) -> None:
        """Raises NotSigned if this is not the gateway with that key."""
        _verify(public_key, self.signature, _challenged(self.gateway_no, self.challenge))


@dataclass(frozen=True, slots=True)
class Grant:
    """What a gateway needs to speak to its cloud. Keys in base64, times in UTC by the cloud's clock.

    brokers are addresses like mqtts://host:8883, any of them; broker_ca the certificate authority of theirs
    as PEM, None if it is a public one. number counts the credentials of the gateway; user and password are
    the broker's. keys_number counts what the gateway was told of the cloud's keys.
    """

    gateway_no: str
    public_key: str
    brokers: tuple[str, ...]
    broker_ca: str | None
    number: int
    user: str
    password: str
    cloud_keys: tuple[str, ...]
    keys_number: int
    code_key: str
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """The gateway is given no credentials any more by its key. code is the error's name, sentence for people."""

    gateway_no: str
    code: str
    sentence: str


_GRANT = TypeAdapter(Grant)
_REFUSAL = TypeAdapter(Refusal)


def seal_grant(grant: Grant, key: Ed25519PrivateKey, *, nonce: str) -> bytes:
    """The cloud's answer to the request with that nonce (or challenge)."""
    return seal_text(_GRANT.dump_json(grant), key, purpose=_answer_to(nonce))


def open_grant(payload: bytes, keys: KeySet, *, nonce: str) -> Grant:
    """Raises NotSigned if no key of the cloud's signed it for that request, BadMessage if it is no grant."""
    try:
        return _GRANT.validate_json(keys.unseal_text(payload, purpose=_answer_to(nonce)))
    except ValidationError as error:
        raise BadMessage(str(error)) from error


def open_first_grant(payload: bytes, token: Token, *, nonce: str) -> Grant:
    """The grant, by the token alone: the key that signed must be the one whose fingerprint it bears.

    Raises OtherCloud, or BadMessage.
    """
    written = payload.partition(b"\n")[2]
    for key in _keys_named(written):
        if fingerprint(key) == token.fingerprint:
            try:
                return open_grant(payload, KeySet([key]), nonce=nonce)
            except NotSigned:
                break
    raise OtherCloud("the answer is not signed by the cloud that gave this token")


def seal_refusal(refusal: Refusal, key: Ed25519PrivateKey, *, asked: Renew) -> str:
    """The cloud's word that it refuses this request for good."""
    return seal_text(_REFUSAL.dump_json(refusal), key, purpose=_no_to(asked)).decode()


def open_refusal(proof: str, keys: KeySet, *, asked: Renew) -> Refusal:
    """Raises NotSigned if no key of the cloud's signed it for this request, BadMessage if it is no refusal of it."""
    try:
        said = _REFUSAL.validate_json(keys.unseal_text(proof.encode(), purpose=_no_to(asked)))
    except ValidationError as error:
        raise BadMessage(str(error)) from error
    if said.gateway_no != asked.gateway_no:
        raise BadMessage(f"gateway {said.gateway_no} is refused, and {asked.gateway_no} had asked")
    return said


def _keys_named(written: bytes) -> list[Ed25519PublicKey]:
    """The keys in an answer that nobody has vouched for yet."""
    try:
        said: Any = json.loads(written)
        return [read_key(text) for text in said["cloud_keys"]]
    except (ValueError, KeyError, TypeError):
        return []


def written_key(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes_raw()).decode()


def read_key(text: object) -> Ed25519PublicKey:
    """Raises ValueError unless it is 32 bytes in base64."""
    if not isinstance(text, str):
        raise ValueError("a key is a text")
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))


def _sign(key: Ed25519PrivateKey, said: bytes) -> str:
    return base64.b64encode(key.sign(said)).decode()


def _verify(public_key: str, signature: str, said: bytes) -> None:
    try:
        read_key(public_key).verify(base64.b64decode(signature, validate=True), said)
    except (InvalidSignature, ValueError) as error:
        raise NotSigned("the request is not signed with the gateway's key") from error


def _asked(secret: str, gateway_no: str, public_key: str, nonce: str) -> bytes:
    return f"wattwell enrol 2\n{secret}\n{gateway_no}\n{public_key}\n{nonce}".encode()


def _challenged(gateway_no: str, challenge: str) -> bytes:
    return f"wattwell renew 1\n{gateway_no}\n{challenge}".encode()


def _answer_to(nonce: str) -> str:
    return f"grant 1\n{nonce}"


def _no_to(asked: Renew) -> str:
    return f"refusal 1\n{asked.challenge}\n{asked.signature}"
