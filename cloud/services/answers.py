"""What a gateway's envelope is answered: what it brought is applied, and the answer is signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session

from cloud import tables
from cloud.services import downlog, enrolment, restored, uplog
from cloud.services.downlog import Batch
from prepaid import seal as seals
from prepaid.wire.entry import sign
from prepaid.wire.envelope import Envelope


def answer(
    session: Session, gateway: tables.Gateway, envelope: Envelope, *, now: datetime
) -> Batch:
    """Our cursor once the envelope is applied, with what is due to the gateway; or why nothing is applied.

    To be sent after the commit, as it says what is kept. Needs a system session and the gateway locked
    (uplog.gateway_of), which must not be revoked.
    """
    if envelope.credential is not None and envelope.credential != gateway.credential_no:
        enrolment.used(session, gateway, envelope.credential, now=now)
    halt = uplog.receive(session, gateway, envelope, now=now)
    due = downlog.due(session, gateway, now=now) if halt is None else None
    batch = due or downlog.answer(gateway, halt)
    follow = restored.follow(gateway, envelope.cursor) if halt is None else None
    return replace(batch, nonce=envelope.nonce, follow=follow)


def seal(batch: Batch, key: Ed25519PrivateKey, *, at: datetime) -> bytes:
    """The payload that says the batch to its gateway: each entry is signed, and the whole."""
    entries = tuple(sign(entry, key) for entry in batch.entries)
    envelope = Envelope(
        entries, batch.cursor, halt=batch.halt, nonce=batch.nonce, at=at, follow=batch.follow
    )
    return seals.seal(envelope, key, gateway_no=batch.gateway_no)
