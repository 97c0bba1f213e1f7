"""What the pages of money say: kinds, states, ways and refusals, each with a tone; amounts as people type them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.errors import CloudError
from dashboards.manager.top import top
from dashboards.words import N_
from prepaid.money import Money

KINDS = {
    "topup": N_("Top-up"),
    "refund": N_("Refund"),
    "reversal": N_("Reversal"),
    "adjustment": N_("Adjustment"),
    "subsidy": N_("Subsidy"),
    "gift": N_("Gift"),
    "move": N_("Move to another purse"),
}
STATES = {  # what is said, its tone, and its icon
    "pending": (N_("Not paid yet"), "none", "hourglass"),
    "paid": (N_("Paid, not credited"), "bad", "alert-triangle"),
    "credited": (N_("Credited"), "busy", "circle-check"),
    "delivered": (N_("At the gateway"), "good", "circle-check"),
    "closed": (N_("Closed"), "none", "circle-x"),
    "waits": (N_("Waits for a second person"), "warn", "user-check"),
    "sent": (N_("Waits for the gateway"), "busy", "hourglass"),
    "booked": (N_("Booked, to be paid out"), "warn", "cash"),
    "done": (N_("Done"), "good", "circle-check"),
    "refused": (N_("The gateway refused"), "bad", "circle-x"),
    "cancelled": (N_("Cancelled"), "none", "circle-x"),
    "undone": (N_("Given back to the purse"), "none", "arrow-back-up"),
}
WAYS = {
    "cash": N_("Cash"),
    "pos": N_("POS card"),
    "bank": N_("Bank transfer"),
    "wechat": N_("WeChat Pay"),
    "alipay": N_("Alipay"),
    "sandbox": N_("Sandbox"),
    "source": N_("By the way it was paid"),
    "": "–",
}
PURPOSES = {
    "electricity": N_("Electricity"),
    "water": N_("Water"),
    "utility": N_("Electricity and water"),
    "property": N_("Property fee"),
}
REFUSALS = {
    "short": N_("The purse no longer held so much: it had been used meanwhile."),
    "unread": N_(
        "A meter of this purse cannot be read, so nobody knows what was used. "
        "Read it by hand, then ask again and tick that you have seen to it."
    ),
}
REASONS = {
    "top-up": N_("Top-up"),
    "charge": N_("Usage"),
    "share": N_("Shared cost"),
    "fee": N_("Fee"),
    "subsidy": N_("Gift or subsidy"),
    "refund": N_("Refund"),
    "adjustment": N_("Adjustment"),
    "correction": N_("Correction"),
    "debt": N_("Carried to a debt"),
    "repayment": N_("Debt repaid"),
    "opening": N_("Opening balance"),
    "write-off": N_("Written off"),
    "move": N_("Move between purses"),
}
BOOKS = {
    "Liabilities:Prepaid": N_("Prepaid by customers"),
    "Liabilities:Returning": N_("To be given back"),
    "Liabilities:Moving": N_("Between two purses"),
    "Assets:Clearing": N_("Taken"),
    "Assets:Receivable": N_("Owed by customers"),
    "Income:service-fee": N_("Service fees"),
    "Income:adjustment": N_("Adjustments"),
    "Income": N_("Income"),
    "Equity:Opening": N_("Opening balance"),
    "Expenses:gift": N_("Gifts"),
    "Expenses:subsidy": N_("Subsidies"),
    "Expenses": N_("Expenses"),
}


class NoAmount(CloudError):
    status = 422
    field = "typed"
    sentence = "“{typed}” is no amount. Type yuan, with at most two decimals: 100 or 12.50."


def amount(typed: str, *, field: str | None = None) -> Money:
    """What was typed in yuan, into field. Raises NoAmount."""
    told = typed.strip().lstrip("¥￥").replace(",", "").strip()
    try:
        yuan = Decimal(told)
        if not told.isascii() or "e" in told.lower() or not yuan.is_finite():
            raise NoAmount(field=field, typed=typed[:20])
        if yuan != yuan.quantize(Decimal("0.01")) or abs(yuan) >= 10**9:
            raise NoAmount(field=field, typed=typed[:20])
    except InvalidOperation:
        raise NoAmount(field=field, typed=typed[:20]) from None
    return Money.yuan(str(yuan))


def book_words(item: str) -> str:
    """What a book's item is called, by the longest name that is known of it."""
    name = item
    while name not in BOOKS and ":" in name:
        name = name.rpartition(":")[0]
    return BOOKS.get(name, item)


def shown(session: Session, user: SignedIn) -> dict[str, Any]:
    """What every page of money is given."""
    return top(session, user) | {
        "kinds": KINDS,
        "states": STATES,
        "ways": WAYS,
        "purposes": PURPOSES,
        "refusals": REFUSALS,
    }
