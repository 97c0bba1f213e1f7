"""The signature by which a receiver knows that an event is from us (Standard Webhooks 1.0.0, Signature scheme)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32


def secret(code_secret: str, *, webhook_id: UUID, number: int) -> str:
    """The number-th secret of a webhook, as its receiver is given it: whsec_ and base64.

    HKDF-SHA256 (RFC 5869) of the installation's code_secret, without salt, so that no database and no backup
    holds it.
    """
    info = f"wattwell webhook 1\n{webhook_id}\n{number}".encode()
    key = HKDF(SHA256(), SECRET_BYTES, salt=None, info=info).derive(code_secret.encode())
    return f"whsec_{base64.b64encode(key).decode()}"


def headers(secrets: list[str], *, message_id: UUID, at: datetime, body: bytes) -> dict[str, str]:
    """webhook-id, webhook-timestamp and webhook-signature, with a signature by each secret."""
    seconds = str(int(at.timestamp()))
    signed = f"{message_id}.{seconds}.".encode() + body
    return {
        "webhook-id": str(message_id),
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"
