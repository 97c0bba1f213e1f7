"""Plays Twilio's API on loopback: messages, their list, and reports that are late, twice, forged or never come."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

PRICED = ("sent", "delivered", "undelivered")


@dataclass(slots=True)
class Message:
    sid: str
    to: str
    sender: str
    body: str
    report_url: str
    status: str = "queued"
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Twilio:
    """The company: app is its web program. token signs its reports.

    loses_answers: a message is taken, and the answer never arrives; refuses: numbers that it does not send to.
    """

    def __init__(self, *, account_sid: str, token: str) -> None:
        self.account_sid = account_sid
        self.token = token
        self.messages: list[Message] = []
        self.is_away = False
        self.answer_within_s = 5.0
        self.loses_answers = False
        self.refuses: set[str] = set()
        self.app = FastAPI(docs_url=None, redoc_url=None)
        path = "/2010-04-01/Accounts/{sid}/Messages.json"
        self.app.add_api_route(path, self._create, methods=["POST"], response_model=None)
        self.app.add_api_route(path, self._list, methods=["GET"], response_model=None)
        one = "/2010-04-01/Accounts/{sid}/Messages/{message}.json"
        self.app.add_api_route(one, self._fetch, methods=["GET"], response_model=None)

    def report(
        self, message: Message, status: str, *, times: int = 1, is_forged: bool = False
    ) -> list[int]:
        """Reports that the message has come so far; the status of each answer."""
        message.status = status
        form = {
            "AccountSid": self.account_sid,
            "MessageSid": message.sid,
            "MessageStatus": status,
            "To": message.to,
            "From": message.sender,
            "ApiVersion": "2010-04-01",
        }
        token = secrets.token_hex(16) if is_forged else self.token
        headers = {"X-Twilio-Signature": signature(token, message.report_url, form)}
        with httpx.Client(timeout=self.answer_within_s, trust_env=False) as client:
            return [
                client.post(message.report_url, data=form, headers=headers).status_code
                for _ in range(times)
            ]

    async def _create(self, request: Request, sid: str) -> Response:
        if (refusal := self._refusal(request, sid)) is not None:
            return refusal
        form = {name: str(value) for name, value in (await request.form()).items()}
        if form["To"] in self.refuses:
            return _error(400, 21211, "Invalid 'To' Phone Number")
        message = Message(
            sid="SM" + secrets.token_hex(16),
            to=form["To"],
            sender=form.get("From") or form["MessagingServiceSid"],
            body=form["Body"],
            report_url=form.get("StatusCallback", ""),
        )
        self.messages.append(message)
        if self.loses_answers:
            return Response("<html>504</html>", 504)
        return JSONResponse(self._object(message), 201)

    async def _list(self, request: Request, sid: str) -> Response:
        if (refusal := self._refusal(request, sid)) is not None:
            return refusal
        to = request.query_params.get("To")
        found = [message for message in reversed(self.messages) if to in (None, message.to)]
        return JSONResponse(
            {
                "messages": [self._object(message) for message in found],
                "page": 0,
                "page_size": 50,
                "next_page_uri": None,
            }
        )

    async def _fetch(self, request: Request, sid: str, message: str) -> Response:
        if (refusal := self._refusal(request, sid)) is not None:
            return refusal
        found = next((each for each in self.messages if each.sid == message), None)
        if found is None:
            return _error(404, 20404, "not found")
        return JSONResponse(self._object(found))

    def _refusal(self, request: Request, sid: str) -> Response | None:
        if self.is_away:
            return Response("<html>503</html>", 503)
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        if base64.b64decode(given).decode() != f"{self.account_sid}:{self.token}":
            return _error(401, 20003, "Authenticate")
        return None if sid == self.account_sid else _error(404, 20404, "not found")

    def _object(self, message: Message) -> dict[str, Any]:
        return {
            "sid": message.sid,
            "account_sid": self.account_sid,
            "to": message.to,
            "from": message.sender,
            "body": message.body,
            "status": message.status,
            "direction": "outbound-api",
            "num_segments": str(-(-len(message.body) // 67)),
            "price": "-0.02310" if message.status in PRICED else None,
            "price_unit": "USD",
            "date_created": format_datetime(message.made_at),
            "date_sent": format_datetime(message.made_at),
            "error_code": None,
            "error_message": None,
        }


def signature(token: str, url: str, form: Mapping[str, str]) -> str:
    """X-Twilio-Signature of a form: HMAC-SHA1 of the address and the sorted names and values, in base64."""
    said = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), said.encode(), hashlib.sha1).digest()).decode()


def _error(status: int, code: int, message: str) -> Response:
    return JSONResponse({"code": code, "message": message, "status": status}, status)
