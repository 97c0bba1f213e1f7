"""The keys that one gateway and the cloud share."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CODE_KEY_BYTES = 32


def code_key(code_secret: str, *, gateway_no: str) -> bytes:
    """The key by which offline top-up codes for this gateway are made and checked; 32 bytes.

    HKDF-SHA256 (RFC 5869) of the installation's code_secret, without salt, for "wattwell code key 1" and the
    gateway's number. It is not derived from the signing key, so that following that key by another makes no
    code that a customer holds worthless.
    """
    info = f"wattwell code key 1\n{gateway_no}".encode()
    return HKDF(SHA256(), CODE_KEY_BYTES, salt=None, info=info).derive(code_secret.encode())
