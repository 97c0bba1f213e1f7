"""POST /api/enrol, /api/gateways/challenge, /api/gateways/renew: what gateways ask for by themselves.

Answers with secrets are sealed text (prepaid.enrolment), not JSON.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from cloud.attempts import Attempts
from cloud.services import enrolment
from cloud.settings import Settings
from cloud.tables import utc_now
from cloud.web import SystemSession
from prepaid.enrolment import Enrol, Renew

router = APIRouter(prefix="/api")

Short = Annotated[str, Field(max_length=300)]


class Enrolment(BaseModel):
    secret: Short
    gateway_no: Short
    public_key: Short
    nonce: Annotated[str, Field(min_length=16, max_length=64)]
    signature: Short


class Who(BaseModel):
    gateway_no: Short


class Renewal(BaseModel):
    gateway_no: Short
    challenge: Short
    signature: Short


def count_attempt(request: Request) -> None:
    """Raises attempts.TooMany where one address asks too often."""
    attempts: Attempts = request.app.state.attempts
    attempts.count(request.client.host if request.client else "", now=utc_now())


Counted = Depends(count_attempt)


@router.post("/enrol", dependencies=[Counted])
def enrol(asked: Enrolment, request: Request, session: SystemSession) -> Response:
    """The sealed grant: credentials, the cloud's keys, the key of top-up codes."""
    enrol = Enrol(**asked.model_dump())
    return _sealed(enrolment.enrol(session, _settings(request), enrol, now=utc_now()))


@router.post("/gateways/challenge", dependencies=[Counted])
def challenge(who: Who, request: Request) -> dict[str, str]:
    """What the gateway is to sign; the same for numbers that do not exist."""
    return {"challenge": enrolment.challenge(_settings(request), who.gateway_no, now=utc_now())}


@router.post("/gateways/renew", dependencies=[Counted])
def renew(asked: Renewal, request: Request, session: SystemSession) -> Response:
    """The sealed grant of the next credentials."""
    renew = Renew(**asked.model_dump())
    return _sealed(enrolment.renew(session, _settings(request), renew, now=utc_now()))


def _sealed(payload: bytes) -> Response:
    return Response(
        payload, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-store"}
    )


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
