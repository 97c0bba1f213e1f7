"""A certificate that the gateway makes for its own page, so that the PIN is not read on the way.

It is made once in a gateway's life, by a program of its own: what that needs would take 5 MB of the gateway's memory
for good.
"""

from __future__ import annotations

import os
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.page.server import certificate_beside

FROM = datetime(2025, 1, 1, tzinfo=UTC)  # a gateway's clock may not be set yet
FOR = timedelta(days=20 * 365)


def made(ledger: Path, gateway_no: str) -> tuple[Path, Path]:
    """Certificate and key, made once. Nobody vouches for it: a browser asks before it opens the page.

    Raises OSError.
    """
    certificate, key = certificate_beside(ledger)
    if certificate.exists() and key.exists():
        return certificate, key
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Wattwell {gateway_no}")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FROM)
        .not_valid_after(FROM + FOR)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(socket.gethostname() or "gateway")]),
            critical=False,
        )
        .sign(secret, hashes.SHA256())
    )
    _write(
        key,
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(certificate, signed.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    made(Path(sys.argv[1]), sys.argv[2])
