"""A payment company's books, in memory: orders, what was paid and given back, and the notices it owes."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

LATE_S = 600.0
LADDER_S = (15.0, 15.0, 30.0, 180.0, 600.0)


class Misbehaviour(StrEnum):
    """What the company does about the notice of a payment."""

    NONE = "none"
    LATE = "late"
    TWICE = "twice"
    FORGED = "forged"  # signed with a key that is not the company's
    NEVER = "never"
    ALTERED = "altered"  # one fen more than was ordered
    REFUND_FIRST = "refund-first"  # given back by hand, and told before the payment is


class Trouble(Exception):
    """What cannot be done. code is the company's word for it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Refund:
    """done_at: 已退回."""

    out_refund_no: str
    amount_fen: int
    refund_id: str
    state: Literal["PROCESSING", "SUCCESS", "ABNORMAL", "CLOSED"] = "PROCESSING"
    done_at: datetime | None = None


@dataclass(slots=True)
class Order:
    """way is the company's word for how it is paid; link is what the customer opens or scans."""

    out_trade_no: str
    way: str
    amount_fen: int
    description: str
    notify_url: str
    link: str
    return_url: str = ""
    payer: str = ""
    transaction_id: str = ""
    paid_at: datetime | None = None
    is_closed: bool = False
    refunds: dict[str, Refund] = field(default_factory=dict)

    @property
    def refunded_fen(self) -> int:
        return sum(r.amount_fen for r in self.refunds.values() if r.state != "CLOSED")


@dataclass(slots=True)
class Owed:
    """A notice: of a payment, or of a refund."""

    order: Order
    refund: Refund | None
    due_at: float
    amount_fen: int
    is_forged: bool = False
    attempts: int = 0


class Books:
    """How the next payments misbehave is set by misbehaviour. Thread-safe; seconds are Unix time."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        self._orders: dict[str, Order] = {}
        self._owed: list[Owed] = []
        self.misbehaviour = Misbehaviour.NONE

    def place(self, order: Order) -> Order:
        """The order of this number. Raises Trouble: another was placed under it, or it is paid or closed."""
        with self._lock:
            known = self._orders.setdefault(order.out_trade_no, order)
        if known.paid_at is not None:
            raise Trouble("ORDERPAID")
        if known.is_closed:
            raise Trouble("ORDER_CLOSED")
        if (known.amount_fen, known.way, known.description) != (
            order.amount_fen,
            order.way,
            order.description,
        ):
            raise Trouble("INVALID_REQUEST")
        return known

    def find(self, out_trade_no: str) -> Order:
        """Raises Trouble."""
        try:
            return self._orders[out_trade_no]
        except KeyError:
            raise Trouble("ORDER_NOT_EXIST") from None

    def by_link(self, link: str) -> Order:
        """Raises Trouble."""
        for order in self._orders.values():
            if order.link == link:
                return order
        raise Trouble("ORDER_NOT_EXIST")

    def paid(self, transaction_id: str) -> Order:
        """The order that this payment paid. Raises Trouble."""
        for order in self._orders.values():
            if transaction_id and order.transaction_id == transaction_id:
                return order
        raise Trouble("RESOURCE_NOT_EXISTS")

    def pay(self, order: Order) -> None:
        """Takes the money, and owes the notice as the misbehaviour wants it. Paying again changes nothing."""
        with self._lock:
            if order.paid_at is not None:
                return
            if order.is_closed:
                raise Trouble("ORDER_CLOSED")
            order.paid_at = datetime.now(UTC).replace(microsecond=0)
            order.transaction_id = (
                f"{self._prefix}{order.paid_at:%Y%m%d}{secrets.randbelow(10**14):014}"
            )
            how = self.misbehaviour
            if how is Misbehaviour.REFUND_FIRST:
                self._give_back_by_hand(order)
            if how is Misbehaviour.NEVER:
                return
            due_at = time.time() + (LATE_S if how is Misbehaviour.LATE else 0)
            amount_fen = order.amount_fen + (how is Misbehaviour.ALTERED)
            for _ in range(2 if how is Misbehaviour.TWICE else 1):
                is_forged = how is Misbehaviour.FORGED
                self._owed.append(Owed(order, None, due_at, amount_fen, is_forged))

    def _give_back_by_hand(self, order: Order) -> None:
        refund = Refund(f"HAND{secrets.token_hex(8)}", order.amount_fen, self._refund_id())
        refund.state, refund.done_at = "SUCCESS", order.paid_at
        order.refunds[refund.out_refund_no] = refund
        self._owed.append(Owed(order, refund, time.time(), refund.amount_fen))

    def close(self, order: Order) -> None:
        """Raises Trouble if it is paid."""
        with self._lock:
            if order.paid_at is not None:
                raise Trouble("ORDERPAID")
            order.is_closed = True

    def refund(self, order: Order, out_refund_no: str, amount_fen: int) -> Refund:
        """The refund of this number, made if there is none. Raises Trouble."""
        with self._lock:
            known = order.refunds.get(out_refund_no)
            if known is not None:
                if known.amount_fen != amount_fen:
                    raise Trouble("INVALID_REQUEST")
                return known
            if order.paid_at is None or order.refunded_fen + amount_fen > order.amount_fen:
                raise Trouble("INVALID_REQUEST")
            order.refunds[out_refund_no] = Refund(out_refund_no, amount_fen, self._refund_id())
            return order.refunds[out_refund_no]

    def _refund_id(self) -> str:
        return f"{self._prefix}R{secrets.randbelow(10**20):020}"

    def find_refund(self, out_refund_no: str) -> tuple[Order, Refund]:
        """Raises Trouble."""
        for order in self._orders.values():
            if out_refund_no in order.refunds:
                return order, order.refunds[out_refund_no]
        raise Trouble("RESOURCE_NOT_EXISTS")

    def settle(self, state: Literal["SUCCESS", "ABNORMAL", "CLOSED"] = "SUCCESS") -> int:
        """All refunds under way come to this end, and their notices are owed; how many."""
        with self._lock:
            under_way = [
                (order, refund)
                for order in self._orders.values()
                for refund in order.refunds.values()
                if refund.state == "PROCESSING"
            ]
            for order, refund in under_way:
                refund.state = state
                refund.done_at = datetime.now(UTC).replace(microsecond=0)
                self._owed.append(Owed(order, refund, time.time(), refund.amount_fen))
            return len(under_way)

    def take_due(self, until: float) -> list[Owed]:
        """The notices that are due by then, in order; they are owed no more until owe says so."""
        with self._lock:
            due = sorted((o for o in self._owed if o.due_at <= until), key=lambda o: o.due_at)
            self._owed = [o for o in self._owed if o.due_at > until]
            return due

    def owe_again(self, notice: Owed) -> None:
        """It was not taken; it is due again after the next rung of the ladder."""
        with self._lock:
            notice.due_at += LADDER_S[min(notice.attempts, len(LADDER_S) - 1)]
            notice.attempts += 1
            self._owed.append(notice)

    @property
    def owed(self) -> int:
        """How many notices are still to be sent."""
        return len(self._owed)

    @property
    def orders(self) -> tuple[Order, ...]:
        return tuple(self._orders.values())
