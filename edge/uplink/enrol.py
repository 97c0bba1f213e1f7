"""注册: first contact with the cloud, by a token; and new credentials later, by the gateway's own key."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from edge.uplink import credentials as files
from edge.uplink.cloud_http import Post, Refused, Unreachable
from edge.uplink.credentials import Credentials
from prepaid.enrolment import (
    Enrol,
    Grant,
    OtherCloud,
    Refusal,
    Renew,
    Token,
    open_first_grant,
    open_grant,
    open_refusal,
)
from prepaid.wire.message import BadMessage


class CannotEnrol(Exception):
    """The cloud's answer is not for this gateway, or not of its cloud; a sentence for a person."""


class NoMore(Exception):
    """The cloud has proved that this gateway gets no credentials any more: only a new token helps."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence)
        self.code = refusal.code


def enrol(
    folder: Path, token: Token, *, gateway_no: str, post: Post, cloud_url: str, https_ca: str | None
) -> Credentials:
    """What the cloud gave this gateway, written beside its ledger.

    It may be asked again with the same token while that lives, if power failed before anything was written:
    the key is on disk before the cloud hears of it. Raises CannotEnrol, BadCredentials, OSError, Unreachable or
    Refused (edge.uplink.cloud_http).
    """
    asked = Enrol.by(token, files.own_key(folder), gateway_no=gateway_no)
    answer = post("/api/enrol", asdict(asked))
    try:
        grant = open_first_grant(answer, token, nonce=asked.nonce)
    except (OtherCloud, BadMessage):
        raise CannotEnrol(
            f"What answers at {cloud_url} is not the cloud that gave this token. Look at the address; if it is right,"
            " somebody is on the way: do not use this network, and have the token replaced."
        ) from None
    if grant.gateway_no != gateway_no:
        raise CannotEnrol(
            f"The token is for gateway {grant.gateway_no}, and this is {gateway_no} by its gateway.toml. Mend that,"
            " or use this gateway's own token."
        )
    if grant.public_key != asked.public_key:
        raise CannotEnrol(f"{cloud_url} answered with the credentials of another machine.")
    credentials = _usable(grant, cloud_url=cloud_url, https_ca=https_ca)
    files.write(folder, credentials)
    return credentials


def renew(folder: Path, now_in_use: Credentials, *, post: Post) -> Credentials:
    """The next credentials, not yet written; those in use stay good until these have been used.

    Raises CannotEnrol, BadCredentials, OSError, Unreachable; NoMore where the cloud proves its no, else Refused.
    """
    gateway_no = now_in_use.gateway_no
    said = post("/api/gateways/challenge", {"gateway_no": gateway_no})
    try:
        challenge = str(json.loads(said)["challenge"])
    except (ValueError, KeyError, TypeError):
        raise Unreachable(f"{now_in_use.cloud_url} gave no challenge") from None
    asked = Renew.by(gateway_no, challenge, files.own_key(folder))
    try:
        answer = post("/api/gateways/renew", asdict(asked))
    except Refused as error:
        if error.proof is None:
            raise
        try:
            refusal = open_refusal(error.proof, now_in_use.keys, asked=asked)
        except BadMessage:
            raise error from None
        raise NoMore(refusal) from None
    try:
        grant = open_grant(answer, now_in_use.keys, nonce=challenge)
    except BadMessage as error:
        raise CannotEnrol(
            f"what answers at {now_in_use.cloud_url} is not this gateway's cloud: {error}"
        ) from error
    if grant.gateway_no != gateway_no:
        raise CannotEnrol(f"{now_in_use.cloud_url} answered with credentials of another gateway")
    return _usable(grant, cloud_url=now_in_use.cloud_url, https_ca=now_in_use.https_ca)


def _usable(grant: Grant, *, cloud_url: str, https_ca: str | None) -> Credentials:
    try:
        return files.granted(grant, cloud_url=cloud_url, https_ca=https_ca)
    except ValueError as error:
        raise CannotEnrol(f"The cloud gave what cannot be used: {error}.") from error
