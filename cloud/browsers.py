"""From where somebody signs in, and whether that browser has done so before."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass

from itsdangerous import BadSignature, Signer

from cloud.settings import Settings


@dataclass(frozen=True, slots=True)
class Known:
    """A browser that signed in to this login before."""

    login: str
    browser: str


@dataclass(frozen=True, slots=True)
class Browser:
    """From where somebody signs in. known is what the cookie of a browser that did so before says, checked."""

    address: str
    agent: str
    known: Known | None

    def known_for(self, login: str) -> str | None:
        return self.known.browser if self.known and self.known.login == login else None


NOBODYS = Browser("", "", None)


def known_token(settings: Settings, login: str) -> str:
    """For the cookie of a browser that has signed in."""
    said = f"{login}\n{secrets.token_urlsafe(9)}".encode()
    return _known_browsers(settings).sign(base64.urlsafe_b64encode(said)).decode()


def read_known_token(settings: Settings, token: str) -> Known | None:
    """None unless it was made by known_token with the same secret."""
    try:
        said = base64.urlsafe_b64decode(_known_browsers(settings).unsign(token)).decode()
    except (BadSignature, ValueError):
        return None
    login, _, browser = said.rpartition("\n")
    return Known(login, browser)


def _known_browsers(settings: Settings) -> Signer:
    return Signer(
        settings.session_secret,
        salt="wattwell known browser",
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )
