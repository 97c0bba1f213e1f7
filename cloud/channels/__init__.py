"""Payment channels 支付渠道: what the cloud asks of one, and what one says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, runtime_checkable

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


class Way(StrEnum):
    """How a customer gets from our page to the channel's pay sheet."""

    PAGE = "page"  # the browser goes to an address of the channel: WeChat's H5, Alipay's wap
    CODE = "code"  # a phone scans a code from the screen: WeChat's native, Alipay's precreate
    BRIDGE = "bridge"  # a page in the channel's own browser calls it: WeChat's JSAPI


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays, as far as the channel asks: the address they come from; their name at the channel (openid)."""

    ip: str = ""
    openid: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Where the customer pays, and until when: an address, the text of a code, or the bridge's number."""

    pay_url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """What the channel collected. transaction_id is the channel's own number, once per payment."""

    out_trade_no: str
    transaction_id: str
    amount: Money
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class Refund:
    """Money to be given back of a payment. out_refund_no is ours: however often it is asked, it is one refund."""

    out_refund_no: str
    payment: Payment
    amount: Money


class RefundState(StrEnum):
    """How far the channel is with a refund."""

    UNDER_WAY = "under-way"
    DONE = "done"
    FAILED = "failed"  # and would again: a person must look


@dataclass(frozen=True, slots=True)
class Refunded:
    """What the channel says of a refund. said: its own word for the state; at: when it was done."""

    out_refund_no: str
    out_trade_no: str
    transaction_id: str
    amount: Money
    state: RefundState
    said: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class BillLine:
    """A line of a channel's daily bill: a payment, or with out_refund_no a refund.

    fee is what the channel keeps, in yuan as exact as the bill; below zero where it gives some back.
    """

    out_trade_no: str
    transaction_id: str
    out_refund_no: str | None
    amount: Money
    fee: Decimal


class BadBill(ValueError):
    """A bill's file is not the whole bill. The text says why."""


Notice = Payment | Refunded | None


class Channel(Protocol):
    """A payment channel. ways: how it can be paid; acknowledged: type and body of the answer to a notice."""

    name: str
    ways: frozenset[Way]
    acknowledged: tuple[str, str]

    def order(
        self,
        *,
        out_trade_no: str,
        amount: Money,
        description: str,
        return_url: str,
        way: Way,
        payer: Payer,
    ) -> Order:
        """Repeating it gives the same order. Raises ChannelAway or ChannelRefused."""

    def payment(self, out_trade_no: str) -> Payment | None:
        """The payment of an order, None if there is none yet. Raises ChannelAway or ChannelRefused."""

    def close(self, out_trade_no: str) -> bool:
        """Whether nobody can pay the order any more; False: not before its time is over. Repeating it is safe.

        Raises ChannelAway, or ChannelRefused where it cannot be closed now: it may be paid.
        """

    def refund(self, refund: Refund) -> Refunded:
        """Asks for the refund, or how far it is; repeating it is safe. Raises ChannelAway or ChannelRefused."""

    def read_notice(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notice:
        """What a notice reports; None where it is of no consequence. Raises Forged or ChannelAway.

        Forged unless the channel says so, to us, now.
        """


@runtime_checkable
class Bridged(Protocol):
    """A channel that can be paid by Way.BRIDGE."""

    def bridge(self, prepay_id: str) -> dict[str, str]:
        """What a page in the channel's own browser passes to it, signed now."""


@runtime_checkable
class Billed(Protocol):
    """A channel that says each day what it collected and gave back."""

    def bill(self, day: date) -> tuple[BillLine, ...]:
        """The payments and refunds of a day, by the channel's clock; none where nothing happened.

        Raises ChannelAway (also: it is not made yet), or ChannelRefused if it is damaged.
        """
