"""The provider `twilio`: text messages 短信 by Twilio's API, and its signed reports of what came of them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from requests.exceptions import RequestException
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from cloud.notices import Forged, NotTaken, ProviderAway, Sent, State

TIMEOUT_S = 10.0
LOOKED_THROUGH = 50  # messages to one number, the newest first
STATES = {
    "accepted": State.UNDER_WAY,
    "scheduled": State.UNDER_WAY,
    "queued": State.UNDER_WAY,
    "sending": State.UNDER_WAY,
    "sent": State.UNDER_WAY,
    "delivered": State.DELIVERED,
    "read": State.DELIVERED,
    "undelivered": State.FAILED,
    "failed": State.FAILED,
    "canceled": State.FAILED,
}


class Twilio:
    """sender is a number of ours, +…, or the SID of a messaging service, MG…; report_url is told to Twilio."""

    name = "twilio"

    def __init__(
        self, *, url: str, account_sid: str, auth_token: str, sender: str, report_url: str
    ) -> None:
        self._client = Client(
            account_sid, auth_token, http_client=TwilioHttpClient(timeout=TIMEOUT_S)
        )
        self._client.api.base_url = url
        self._validator = RequestValidator(auth_token)
        self._account_sid = account_sid
        self._sender = sender
        self._report_url = report_url

    def send(self, *, to: str, text: str) -> Sent:
        by = "messaging_service_sid" if self._sender.startswith("MG") else "from_"
        try:
            message = self._client.messages.create(
                to=to, body=text, status_callback=self._report_url, **{by: self._sender}
            )
        except TwilioRestException as error:
            if error.status >= 500 or error.status == 429:
                raise ProviderAway(f"Twilio answers {error.status}") from error
            raise NotTaken(f"Twilio refuses it ({error.code}): {error.msg}") from error
        except (TwilioException, RequestException, OSError, ValueError) as error:
            raise ProviderAway(f"Twilio does not answer: {type(error).__name__}") from error
        return _sent(message)

    def find(self, *, to: str, text: str, since: datetime) -> Sent | None:
        try:
            listed = self._client.messages.list(
                to=to, date_sent_after=since.astimezone(UTC), limit=LOOKED_THROUGH
            )
        except (TwilioException, RequestException, OSError, ValueError) as error:
            raise ProviderAway(f"Twilio does not answer: {type(error).__name__}") from error
        return next((_sent(message) for message in listed if message.body == text), None)

    def look(self, number: str) -> Sent | None:
        try:
            return _sent(self._client.messages(number).fetch())
        except TwilioRestException as error:
            if error.status == 404:
                return None
            raise ProviderAway(f"Twilio answers {error.status}") from error
        except (TwilioException, RequestException, OSError, ValueError) as error:
            raise ProviderAway(f"Twilio does not answer: {type(error).__name__}") from error

    def read_report(self, signature: str, form: dict[str, str]) -> Sent | None:
        if not self._validator.validate(self._report_url, form, signature):
            raise Forged
        if form.get("AccountSid") != self._account_sid:
            raise Forged
        number, said = form.get("MessageSid", ""), form.get("MessageStatus", "")
        state = STATES.get(said)
        return Sent(number, state, said) if number and state is not None else None


def _sent(message: Any) -> Sent:
    said = str(getattr(message.status, "value", message.status))
    segments = str(message.num_segments or "")
    return Sent(
        str(message.sid),
        STATES.get(said, State.UNDER_WAY),
        said,
        segments=int(segments) if segments.isdecimal() else None,
        cost=_cost(message.price),
        currency=message.price_unit,
    )


def _cost(price: str | None) -> Decimal | None:
    """What a message costs; Twilio writes it as a negative number, and at first not at all."""
    try:
        return None if price is None else abs(Decimal(price))
    except InvalidOperation:
        return None
