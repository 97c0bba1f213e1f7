"""Payment channels 支付渠道: what the cloud asks of one, and what one says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cloud.errors import CloudError
from prepaid.money import Money


class ChannelAway(CloudError):
    """No answer, or none that can be trusted. Try again."""

    status = 503
    sentence = (
        "The payment service does not answer. Nothing was charged; please try again in a moment."
    )


class ChannelRefused(CloudError):
    """The channel said no, and would again."""

    status = 409
    sentence = "The payment service refused the order: {reason}. Please begin again."


class Forged(CloudError):
    """Not signed by the channel, too old, or for another merchant."""

    status = 401
    sentence = "The notice is refused: {reason}."


@dataclass(frozen=True, slots=True)
class Order:
    """Where the customer pays, and until when."""

    pay_url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """What the channel collected. transaction_id is the channel's own number, once per payment."""

    out_trade_no: str
    transaction_id: str
    amount: Money
    paid_at: datetime


class Channel(Protocol):
    """A payment channel."""

    name: str

    def order(
        self, *, out_trade_no: str, amount: Money, description: str, return_url: str
    ) -> Order:
        """Repeating it gives the same order. Raises ChannelAway or ChannelRefused."""

    def payment(self, out_trade_no: str) -> Payment | None:
        """The payment of an order, None if there is none yet. Raises ChannelAway or ChannelRefused."""

    def read_notice(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Payment:
        """The payment that a notice reports. Raises Forged unless the channel says so, to us, now."""
