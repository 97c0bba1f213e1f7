"""The second factor 二次验证: time-based codes of a phone (RFC 6238), and recovery codes for a lost one."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import select
from sqlmodel import Session, col

from cloud import login_waits
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.login_waits import FREE, LONGEST, Count
from cloud.services import audit
from cloud.settings import Settings
from cloud.tables import User

ISSUER = "Wattwell"
RECOVERY_CODES = 10
_STEP_S = 30
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another


class WrongCode(CloudError):
    status = 422
    field = "code"
    sentence = "This code is not right. Type the six digits that the app shows now, each code once."


class NoSetup(CloudError):
    status = 409
    sentence = (
        "The second factor is not being set up. Open the page of your account and begin again."
    )


class AlreadySet(CloudError):
    status = 409
    sentence = "A second factor is set up already. End it first."


@dataclass(frozen=True, slots=True)
class Setup:
    """What the phone needs: secret to type (base32), uri for the QR code."""

    secret: str
    uri: str


def begin(session: Session, settings: Settings, by: SignedIn) -> Setup:
    """A new secret, which counts once confirm has seen a code of it. Raises AlreadySet."""
    user = _locked(session, by.user_id)
    if user.totp_since is not None:
        raise AlreadySet
    secret = pyotp.random_base32()
    user.totp_sealed = _sealed(settings, user.id, secret)
    session.flush()
    return _setup(secret, user.login)


def waiting(session: Session, settings: Settings, by: SignedIn) -> Setup | None:
    """The secret that was begun with and not confirmed."""
    user = session.get_one(User, by.user_id)
    if user.totp_since is not None or user.totp_sealed is None:
        return None
    secret = _opened(settings, user)
    return None if secret is None else _setup(secret, user.login)


def confirm(
    session: Session, settings: Settings, by: SignedIn, code: str, *, now: datetime
) -> list[str]:
    """From now on a code is asked for at sign-in. The recovery codes, which are shown this once.

    Raises NoSetup, AlreadySet or WrongCode.
    """
    user = _locked(session, by.user_id)
    if user.totp_since is not None:
        raise AlreadySet
    if user.totp_sealed is None:
        raise NoSetup
    if not _is_code(settings, user, code, now):
        raise WrongCode
    user.totp_since = now
    codes = _new_recovery_codes(user)
    session.flush()
    audit.record(session, by, "set-second-factor", of="user", id=user.id, now=now)
    return codes


def end(session: Session, by: SignedIn, user_id: UUID, *, now: datetime) -> None:
    """Ends the second factor of a user whom by may manage, or of by himself; the caller has looked at that."""
    user = _locked(session, user_id)
    user.totp_sealed, user.totp_since, user.recovery_hashes = None, None, []
    session.flush()
    audit.record(session, by, "end-second-factor", of="user", id=user_id, now=now)


def check(session: Session, settings: Settings, user_id: UUID, code: str, *, now: datetime) -> bool:
    """Whether this is a code of now, or one of the recovery codes; each is good for one time.

    Needs a system session, whose commit keeps the count of failures. Raises errors.TooManyAttempts.
    """
    user = _locked(session, user_id)
    count = Count(user.login, "second factor", FREE, LONGEST)
    so_far = login_waits.check(session, [count], now=now)
    if _is_code(settings, user, code, now) or _is_recovery_code(user, code):
        login_waits.clear(session, so_far)
        session.flush()
        return True
    login_waits.fail(session, so_far, now=now)
    return False


def _is_code(settings: Settings, user: User, code: str, now: datetime) -> bool:
    """A code of this half minute, the last or the next, that was not used yet: the user's step moves on."""
    secret = _opened(settings, user)
    typed = "".join(code.split())
    if secret is None or not typed.isascii() or not typed.isdigit():
        return False
    totp, step = pyotp.TOTP(secret), int(now.timestamp()) // _STEP_S
    for each in (step, step - 1, step + 1):
        expected = totp.generate_otp(each)
        if each > user.totp_last_step and secrets.compare_digest(expected, typed):
            user.totp_last_step = each
            return True
    return False


def _is_recovery_code(user: User, code: str) -> bool:
    typed = _hash("".join(code.lower().replace("-", "").split()))
    if typed not in user.recovery_hashes:
        return False
    user.recovery_hashes = [one for one in user.recovery_hashes if one != typed]
    return True


def _new_recovery_codes(user: User) -> list[str]:
    """16 letters of 31 each: 79 bits, so that a plain hash keeps them."""
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(16)) for _ in range(RECOVERY_CODES)]
    user.recovery_hashes = [_hash(code) for code in codes]
    return ["-".join(code[i : i + 4] for i in range(0, 16, 4)) for code in codes]


def _setup(secret: str, login: str) -> Setup:
    return Setup(secret, pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER))


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _locked(session: Session, user_id: UUID) -> User:
    found: User = session.execute(
        select(User)
        .where(col(User.id) == user_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).scalar_one()
    return found


def _sealed(settings: Settings, user_id: UUID, secret: str) -> bytes:
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(_key(settings)).encrypt(nonce, secret.encode(), user_id.bytes)


def _opened(settings: Settings, user: User) -> str | None:
    """None where the installation's secret is another than the one it was sealed under: then only a recovery
    code, or an administrator, helps."""
    if user.totp_sealed is None:
        return None
    nonce, sealed = user.totp_sealed[:12], user.totp_sealed[12:]
    try:
        return AESGCM(_key(settings)).decrypt(nonce, sealed, user.id.bytes).decode()
    except InvalidTag:
        return None


def _key(settings: Settings) -> bytes:
    """HKDF-SHA256 (RFC 5869) of session_secret: whoever has only the database has no second factor."""
    info = b"wattwell second factor 1"
    return HKDF(SHA256(), 32, salt=None, info=info).derive(settings.session_secret.encode())
