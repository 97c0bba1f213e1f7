"""Which of our keys gateways hold good: told at enrolment, and in their logs when one key is to follow another."""

from __future__ import annotations

import logging

from sqlalchemy import exists, select
from sqlmodel import Session, col

from cloud import tables
from cloud.services import downlog
from cloud.settings import Settings
from prepaid.enrolment import written_key
from prepaid.wire.downlog import CloudKeys

log = logging.getLogger(__name__)


def good(settings: Settings) -> list[str]:
    """The keys that gateways are to hold good, in base64; the one that we sign with first."""
    keys = (settings.signing_key.public_key(), *settings.further_keys)
    return list(dict.fromkeys(map(written_key, keys)))


def given(gateway: tables.Gateway, settings: Settings) -> None:
    """A locked gateway is given the keys with its credentials: what its log still has of them is older."""
    keys = good(settings)
    if gateway.keys_told != keys:
        gateway.keys_told = keys
        gateway.keys_number = max(gateway.keys_number, gateway.down_seq)


def announce(session: Session, settings: Settings) -> int:
    """Tells each enrolled gateway that was told of other keys; how many. Needs a system session.

    The word is signed by the key that we sign with now, which must be one that they know. Its number is that of
    its entry in the gateway's log, so that the last word wins whatever is sent again.
    """
    row, credential = tables.Gateway, tables.GatewayCredential
    keys = good(settings)
    is_enrolled = exists().where(col(credential.gateway_id) == col(row.id))
    due = session.execute(
        select(col(row.id)).where(
            is_enrolled, col(row.keys_told) != keys, col(row.revoked_at).is_(None)
        )
    ).scalars()
    found = [gateway for gateway in downlog.lock(session, list(due)) if gateway.keys_told != keys]
    for gateway in found:
        gateway.keys_told, gateway.keys_number = keys, gateway.down_seq + 1
        downlog.append(session, gateway, [CloudKeys(gateway.keys_number, tuple(keys))])
        log.info("gateway %s is told which %s keys of ours are good", gateway.gateway_no, len(keys))
    return len(found)
