"""注册: a gateway gets its credentials by a token that serves once, renews them by its own key, and loses them.

Only hashes are kept, of tokens and passwords. Credentials 凭据 have numbers; the broker knows them as users like
GW-0001.2, so that the old ones are good until the new ones have been used.
"""

from __future__ import annotations

import base64
import logging
import secrets
from datetime import datetime, timedelta
from uuid import UUID

import bcrypt
from sqlalchemy import ColumnElement, func, select, text, true, update
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, challenges, downlog, scopes, signing_keys
from cloud.services.gateway_keys import code_key
from cloud.settings import Settings
from prepaid.enrolment import (
    Enrol,
    Grant,
    Refusal,
    Renew,
    Token,
    seal_grant,
    seal_refusal,
    secret_hash,
)
from prepaid.seal import NotSigned

log = logging.getLogger(__name__)

TOKEN_LIVES = timedelta(hours=24)
CHANNEL = "wattwell_broker_users"  # PostgreSQL's NOTIFY: who may use the broker has changed


class NoSuchToken(CloudError):
    status = 404
    sentence = "This cloud has given no such token. Ask the property office for a new one."


class TokenOver(CloudError):
    status = 410
    sentence = (
        "This token is no longer good: a day has passed, a newer one was issued, or the gateway was revoked. Ask the"
        " property office for a new one."
    )


class TokenUsed(CloudError):
    status = 409
    sentence = (
        "Another machine was enrolled with this token. If you do not know of it, revoke the gateway's credentials,"
        " then ask for a new token."
    )


class OtherGateway(CloudError):
    status = 409
    sentence = (
        "The token is for gateway {gateway_no}, and this is {asked} by its gateway.toml. Mend that, or use this"
        " gateway's own token. The token is still good."
    )


class NotTheGateway(CloudError):
    status = 403
    sentence = "The request is not signed with the key of an enrolled gateway. Enrol it again."


class Replaced(CloudError):
    status = 403
    sentence = "Another machine has been enrolled as gateway {gateway_no} in place of this one."


class Revoked(CloudError):
    status = 403
    sentence = "The credentials of gateway {gateway_no} were revoked. It needs a new token to be enrolled again."


def issue_token(
    session: Session, settings: Settings, gateway_id: UUID, *, by: SignedIn, now: datetime
) -> Token:
    """A new token for the gateway, shown this once. It ends the one before. Raises NoSuchGateway."""
    gateway = _lock(session, gateway_id, by)
    _end_tokens(session, gateway, now)
    token = Token.new(settings.signing_key.public_key())
    session.add(
        tables.EnrolmentToken(
            organization_id=gateway.organization_id,
            gateway_id=gateway.id,
            secret_hash=secret_hash(token.secret),
            issued_by=by.user_id,
            issued_at=now,
            expires_at=now + TOKEN_LIVES,
        )
    )
    audit.record(session, by, "issue-token", of="gateway", id=gateway.id, now=now)
    log.info("%s issued a token to enrol gateway %s", by.login, gateway.gateway_no)
    events.changed(session, by.organization_id)
    return token


def enrol(session: Session, settings: Settings, asked: Enrol, *, now: datetime) -> bytes:
    """The sealed Grant for the gateway of the token; its first credentials, or new ones.

    Asked again with the same key while the token lives it answers again, with another password: power may
    fail at a gateway before it has written down the first. A machine with another key loses what it had.

    A token typed at a gateway of another number is left as it was, and so is the gateway that it is for.

    Needs a system session. Raises NoSuchToken, TokenOver, TokenUsed, OtherGateway or NotTheGateway.
    """
    try:
        asked.verify()
    except NotSigned:
        raise NotTheGateway from None
    token, gateway = _token(session, asked.secret)
    if token.used_by_key not in (None, asked.public_key):
        raise TokenUsed
    if token.ended_at is not None or token.expires_at <= now:
        raise TokenOver
    if asked.gateway_no != gateway.gateway_no:
        raise OtherGateway(gateway_no=gateway.gateway_no, asked=asked.gateway_no)
    if token.used_by_key is None:
        token.used_at, token.used_by_key = now, asked.public_key
    gateway.revoked_at = gateway.revoked_by = None
    grant = _issue(session, settings, gateway, asked.public_key, token_id=token.id, now=now)
    log.info("gateway %s is enrolled, credentials %s", gateway.gateway_no, grant.number)
    return seal_grant(grant, settings.signing_key, nonce=asked.nonce)


def challenge(settings: Settings, gateway_no: str, *, now: datetime) -> str:
    """What a gateway is to sign when it renews its credentials, within a few minutes."""
    return challenges.new(settings, gateway_no, now=now)


def renew(session: Session, settings: Settings, asked: Renew, *, now: datetime) -> bytes:
    """The sealed Grant of the next credentials; those in use stay good until these have been used.

    It may be asked any number of times, also by a gateway that was away until its credentials had run out: its
    key is what it is known by. Needs a system session. Raises StaleChallenge; and NotTheGateway, Replaced or
    Revoked, each with its proof.
    """
    challenges.check(settings, asked.gateway_no, asked.challenge, now=now)
    try:
        return _renew(session, settings, asked, now=now)
    except (NotTheGateway, Replaced, Revoked) as error:
        refusal = Refusal(asked.gateway_no, error.code, str(error))
        error.proof = seal_refusal(refusal, settings.signing_key, asked=asked)
        raise


def _renew(session: Session, settings: Settings, asked: Renew, *, now: datetime) -> bytes:
    gateway = _lock_by_number(session, asked.gateway_no)
    keys = _keys(session, gateway) if gateway is not None else []
    signed = next((key for key in keys if _is_by(asked, key)), None)
    if gateway is None or signed is None:
        raise NotTheGateway
    if signed != keys[0]:
        raise Replaced(gateway_no=gateway.gateway_no)
    if gateway.revoked_at is not None:
        raise Revoked(gateway_no=gateway.gateway_no)
    grant = _issue(session, settings, gateway, signed, token_id=None, now=now)
    log.info("gateway %s renewed its credentials: %s", gateway.gateway_no, grant.number)
    return seal_grant(grant, settings.signing_key, nonce=asked.challenge)


def revoke(session: Session, gateway_id: UUID, *, by: SignedIn, now: datetime) -> None:
    """吊销: ends all credentials and tokens of the gateway; nothing of it is heard until it is enrolled again.

    It goes on metering by itself. Twice is as once. Raises NoSuchGateway.
    """
    gateway = _lock(session, gateway_id, by)
    if gateway.revoked_at is not None:
        return
    gateway.revoked_at, gateway.revoked_by = now, by.user_id
    _end_tokens(session, gateway, now)
    _end(session, gateway, now, true())
    audit.record(session, by, "revoke", of="gateway", id=gateway.id, now=now)
    log.warning("%s revoked the credentials of gateway %s", by.login, gateway.gateway_no)


def used(session: Session, gateway: tables.Gateway, number: int, *, now: datetime) -> None:
    """The gateway, which is locked, speaks by its credentials of this number: older ones end."""
    row = tables.GatewayCredential
    found = session.get(row, (gateway.id, number))
    if found is None or found.ended_at is not None:
        return
    gateway.credential_no = number
    found.first_used_at = found.first_used_at or now
    _end(session, gateway, now, col(row.number) < number)


def broker_users(session: Session, *, now: datetime) -> dict[str, str]:
    """User -> bcrypt hash of the password, of all whom the broker is to admit now. Needs a system session."""
    row = tables.GatewayCredential
    found = session.execute(
        select(col(tables.Gateway.gateway_no), col(row.number), col(row.password_hash))
        .join(tables.Gateway, col(tables.Gateway.id) == col(row.gateway_id))
        .where(col(row.ended_at).is_(None), col(row.expires_at) > now)
    )
    return {user_name(gateway_no, number): kept for gateway_no, number, kept in found}


def user_name(gateway_no: str, number: int) -> str:
    """The broker's user for a gateway's credentials. A gateway's number has no dot."""
    return f"{gateway_no}.{number}"


def _issue(
    session: Session,
    settings: Settings,
    gateway: tables.Gateway,
    public_key: str,
    *,
    token_id: UUID | None,
    now: datetime,
) -> Grant:
    """The next credentials of a locked gateway. Those never used end, and those of another machine."""
    row = tables.GatewayCredential
    _end(
        session,
        gateway,
        now,
        col(row.first_used_at).is_(None) | (col(row.public_key) != public_key),
    )
    last = session.execute(
        select(func.coalesce(func.max(col(row.number)), 0)).where(col(row.gateway_id) == gateway.id)
    ).scalar_one()
    password = secrets.token_urlsafe(24)
    issued = row(
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        number=last + 1,
        public_key=public_key,
        # The password is 24 random bytes: a low cost is enough, and brokers check it at every connect.
        password_hash=bcrypt.hashpw(password.encode(), bcrypt.gensalt(6, prefix=b"2a")).decode(),
        token_id=token_id,
        issued_at=now,
        expires_at=now + timedelta(days=settings.credential_days),
    )
    session.add(issued)
    signing_keys.given(gateway, settings)
    _told(session, gateway)
    return Grant(
        gateway_no=gateway.gateway_no,
        public_key=public_key,
        brokers=tuple(settings.brokers),
        broker_ca=settings.broker_ca,
        number=issued.number,
        user=user_name(gateway.gateway_no, issued.number),
        password=password,
        cloud_keys=tuple(gateway.keys_told),
        keys_number=gateway.keys_number,
        code_key=base64.b64encode(
            code_key(settings.code_secret, gateway_no=gateway.gateway_no)
        ).decode(),
        issued_at=issued.issued_at,
        expires_at=issued.expires_at,
    )


def _token(session: Session, secret: str) -> tuple[tables.EnrolmentToken, tables.Gateway]:
    """The token and its gateway, locked. Raises NoSuchToken."""
    row = tables.EnrolmentToken
    token = session.execute(
        select(row).where(col(row.secret_hash) == secret_hash(secret))
    ).scalar_one_or_none()
    if token is None:
        raise NoSuchToken
    (gateway,) = downlog.lock(session, [token.gateway_id])
    session.refresh(token)
    return token, gateway


def _keys(session: Session, gateway: tables.Gateway) -> list[str]:
    """The public keys by which the gateway was ever enrolled, the last first."""
    row = tables.GatewayCredential
    found = session.execute(
        select(col(row.public_key))
        .where(col(row.gateway_id) == gateway.id)
        .order_by(col(row.number).desc())
    ).scalars()
    return list(dict.fromkeys(found))


def _is_by(asked: Renew, public_key: str) -> bool:
    try:
        asked.verify(public_key)
    except NotSigned:
        return False
    return True


def _lock(session: Session, gateway_id: UUID, by: SignedIn) -> tables.Gateway:
    """The gateway, of which the user sees all that it supplies. Raises NoSuchGateway."""
    scopes.check_gateway(session, by, gateway_id, whole=True)
    return downlog.lock(session, [gateway_id])[0]


def _lock_by_number(session: Session, gateway_no: str) -> tables.Gateway | None:
    row = tables.Gateway
    id = session.execute(
        select(col(row.id)).where(col(row.gateway_no) == gateway_no)
    ).scalar_one_or_none()
    return downlog.lock(session, [id])[0] if id is not None else None


def _end_tokens(session: Session, gateway: tables.Gateway, now: datetime) -> None:
    row = tables.EnrolmentToken
    session.execute(
        update(row)
        .where(col(row.gateway_id) == gateway.id, col(row.ended_at).is_(None))
        .values(ended_at=now)
    )


def _end(
    session: Session, gateway: tables.Gateway, now: datetime, which: ColumnElement[bool]
) -> None:
    row = tables.GatewayCredential
    session.execute(
        update(row)
        .where(col(row.gateway_id) == gateway.id, col(row.ended_at).is_(None), which)
        .values(ended_at=now)
    )
    _told(session, gateway)


def _told(session: Session, gateway: tables.Gateway) -> None:
    """Who feeds the broker its users, and open pages, hear of it once this is committed."""
    session.flush()
    session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
    events.changed(session, gateway.organization_id)
