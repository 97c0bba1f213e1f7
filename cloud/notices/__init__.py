"""Providers of messages to people 通知渠道: what the cloud asks of one, and what one says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from cloud.errors import CloudError


class ProviderAway(Exception):
    """No answer, or none that says what came of it: whether the message went out is not known. Look it up."""


class NotTaken(Exception):
    """The provider refuses the message, and would again. The text says why."""


class Forged(CloudError):
    status = 401
    sentence = "The report is refused: it is not signed by the provider."


class State(StrEnum):
    """How far a message is."""

    UNDER_WAY = "under-way"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sent:
    """A message at the provider: its number there, how far it is, and the provider's own word for that.

    segments is into how many it was cut, cost what they cost in all, in currency; None where the provider has not
    said so yet.
    """

    number: str
    state: State
    said: str
    segments: int | None = None
    cost: Decimal | None = None
    currency: str | None = None


class Provider(Protocol):
    """A provider of text messages. name is in the address to which it reports."""

    name: str

    def send(self, *, to: str, text: str) -> Sent:
        """Sends it; not safe to repeat. to begins with + and the country. Raises ProviderAway or NotTaken."""

    def find(self, *, to: str, text: str, since: datetime) -> Sent | None:
        """The message with just this text that went to this number since then, if any. Raises ProviderAway."""

    def look(self, number: str) -> Sent | None:
        """The message of this number as it is now; None where the provider knows none. Raises ProviderAway."""

    def read_report(self, signature: str, form: dict[str, str]) -> Sent | None:
        """What a report says of a message; None where it says nothing new to us. Raises Forged."""
