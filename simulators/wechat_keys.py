"""WeChat Pay's keys and the merchant's: certificates that rotate, or a public key; what is signed and sealed."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

BITS = 2048


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who may place orders, and what their requests are verified with. site: the domain of their H5 pages."""

    mchid: str
    appid: str
    app_secret: str
    key: rsa.RSAPublicKey
    key_serial: str
    site: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A platform certificate and its key."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:X}"

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()


def certificate(key: rsa.RSAPrivateKey | None = None) -> Certificate:
    """Of this key, or of a new one."""
    key = key or rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com Root CA, simulated")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1800))
        .sign(key, SHA256())
    )
    return Certificate(key, made)


class PlatformKeys:
    """signs_by_public_key: as for merchants who have WeChat Pay's public key rather than its certificates.

    key and public_key_id are those of before, where it is begun again.
    """

    def __init__(
        self,
        v3_key: str,
        *,
        signs_by_public_key: bool,
        key: rsa.RSAPrivateKey | None = None,
        public_key_id: str | None = None,
    ) -> None:
        self._v3_key = v3_key
        self.signs_by_public_key = signs_by_public_key
        self.certificates = [certificate(key)]
        self.public_key_id = public_key_id or f"PUB_KEY_ID_{secrets.token_hex(16).upper()}"

    def rotate(self) -> None:
        """A new certificate signs from now on; the old one is still handed out beside it."""
        self.certificates.append(certificate())

    @property
    def public_key(self) -> str:
        key = self.certificates[-1].key.public_key()
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def headers(self, body: bytes, *, forged: bool = False) -> dict[str, str]:
        """The headers that sign an answer or a notice sent now."""
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        newest = self.certificates[-1]
        key = certificate().key if forged else newest.key
        signed = key.sign(f"{timestamp}\n{nonce}\n".encode() + body + b"\n", PKCS1v15(), SHA256())
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": base64.b64encode(signed).decode(),
            "Wechatpay-Serial": self.public_key_id if self.signs_by_public_key else newest.serial,
            "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
        }

    def seal(self, plain: str, *, of: str) -> dict[str, str]:
        """AEAD_AES_256_GCM with the merchant's APIv3 key, as in notices and lists of certificates."""
        nonce = secrets.token_hex(6)
        sealed = AESGCM(self._v3_key.encode()).encrypt(nonce.encode(), plain.encode(), of.encode())
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(sealed).decode(),
            "nonce": nonce,
            "associated_data": of,
        }

    def listed(self) -> dict[str, Any]:
        """What GET /v3/certificates answers."""
        return {
            "data": [
                {
                    "serial_no": one.serial,
                    "effective_time": one.certificate.not_valid_before_utc.isoformat(),
                    "expire_time": one.certificate.not_valid_after_utc.isoformat(),
                    "encrypt_certificate": self.seal(one.pem, of="certificate"),
                }
                for one in self.certificates
            ]
        }

    def notice(self, event_type: str, resource: dict[str, Any], *, kind: str) -> bytes:
        """A notice's body."""
        sealed = self.seal(json.dumps(resource), of=kind)
        return json.dumps(
            {
                "id": secrets.token_hex(16),
                "create_time": datetime.now(UTC).isoformat(timespec="seconds"),
                "resource_type": "encrypt-resource",
                "event_type": event_type,
                "summary": event_type,
                "resource": {**sealed, "original_type": kind},
            }
        ).encode()
