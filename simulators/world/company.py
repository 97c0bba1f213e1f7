"""The payment company of the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from cloud.channels import (
    ChannelRefused,
    Notice,
    Order,
    Payer,
    Payment,
    Refund,
    Refunded,
    RefundState,
    Way,
)
from prepaid.money import Money

CHANNEL = "sandbox"


class Company:
    """A payment company (cloud.channels.Channel) that keeps its orders in memory."""

    name = CHANNEL
    ways = frozenset(Way)
    acknowledged = ("text/plain", "taken")

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.paid: dict[str, Payment] = {}
        self.given_back: dict[str, Money] = {}

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
        return Order(f"http://pay.test/{out_trade_no}", self._now() + timedelta(hours=2))

    def payment(self, out_trade_no: str) -> Payment | None:
        return self.paid.get(out_trade_no)

    def close(self, out_trade_no: str) -> None:
        if out_trade_no in self.paid:
            raise ChannelRefused(reason="it is paid")

    def refund(self, refund: Refund) -> Refunded:
        """Given back at once. Raises ChannelRefused for a payment of another seed."""
        if refund.payment.out_trade_no not in self.paid:
            raise ChannelRefused(reason="nothing of it is known here")
        self.given_back[refund.out_refund_no] = refund.amount
        return Refunded(
            refund.out_refund_no,
            refund.payment.out_trade_no,
            refund.payment.transaction_id,
            refund.amount,
            RefundState.DONE,
            "done",
            self._now(),
        )

    def read_notice(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notice:
        raise AssertionError("no notice is read in this world: payments are handed over")
