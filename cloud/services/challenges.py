"""What a gateway must sign to show that it is there now: nothing of it is kept, and its clock does not matter."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from cloud.errors import CloudError
from cloud.settings import Settings

LIVES = timedelta(minutes=5)


class StaleChallenge(CloudError):
    status = 409
    sentence = "The challenge that was signed is not ours, or too old. Ask for another."


def new(settings: Settings, gateway_no: str, *, now: datetime) -> str:
    """END.NONCE.MAC: until when it is good, in seconds of Unix time, and that it is ours for this gateway."""
    plain = f"{int((now + LIVES).timestamp())}.{secrets.token_urlsafe(12)}"
    return f"{plain}.{_mac(settings, gateway_no, plain)}"


def check(settings: Settings, gateway_no: str, challenge: str, *, now: datetime) -> None:
    """Raises StaleChallenge."""
    plain, _, mac = challenge.rpartition(".")
    if not hmac.compare_digest(mac.encode(), _mac(settings, gateway_no, plain).encode()):
        raise StaleChallenge
    if now.timestamp() >= int(plain.partition(".")[0]):
        raise StaleChallenge


def _mac(settings: Settings, gateway_no: str, plain: str) -> str:
    said = f"wattwell challenge 1\n{gateway_no}\n{plain}".encode()
    return hmac.digest(settings.session_secret.encode(), said, hashlib.sha256).hex()
