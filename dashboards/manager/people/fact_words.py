"""What an act of the audit log or a proposal was about: each fact with a label, its value as people write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from cloud.permissions import Role
from dashboards import page, sentences
from dashboards.alarm_words import ALARMS
from dashboards.manager.money import bills
from dashboards.manager.people.role_words import ROLES
from dashboards.words import N_
from prepaid.money import Money

Say = Callable[[str], str]

FACTS: Mapping[str, str] = {
    "account": N_("Account"),
    "address": N_("Address on the line"),
    "alarm": N_("Alarm"),
    "alone": N_("Limit without a second person"),
    "amount": N_("Amount"),
    "asked_by": N_("Asked for by"),
    "balance": N_("Balance"),
    "booked": N_("As booked"),
    "between": N_("Used without a meter, by agreement"),
    "building": N_("Building"),
    "buildings": N_("Buildings"),
    "by": N_("Done by"),
    "cause": N_("Number"),
    "certificate": N_("Certificate"),
    "channel": N_("Way of paying"),
    "class": N_("Class"),
    "closing": N_("Closing reading"),
    "code": N_("Tariff"),
    "contract_from": N_("Contract from"),
    "contract_until": N_("Contract until"),
    "count": N_("How many"),
    "counted": N_("Counted"),
    "customer": N_("Customer"),
    "days": N_("Days"),
    "decided": N_("Decision"),
    "due": N_("Next due"),
    "effective_from": N_("Takes effect"),
    "everywhere": N_("Sees everything"),
    "events": N_("Events"),
    "expected": N_("Should be in the drawer"),
    "fee": N_("Service fee"),
    "fee_basis_points": N_("Service fee, in 0.01 %"),
    "fen": N_("Amount"),
    "float": N_("In the drawer at the beginning"),
    "floor": N_("Floor"),
    "floors": N_("Floors"),
    "gateway": N_("Gateway"),
    "gateway_no": N_("Gateway"),
    "handed_to": N_("Handed to"),
    "holder": N_("Customer"),
    "how": N_("How it goes back"),
    "is_fee_refunded": N_("The fee goes back too"),
    "is_unread_too": N_("Also with a silent meter"),
    "item": N_("Item"),
    "kind": N_("Kind"),
    "line": N_("Line"),
    "login": N_("Login name"),
    "made": N_("Rooms made"),
    "meter_no": N_("Meter"),
    "meters": N_("Meters"),
    "money": N_("Money to begin with"),
    "month": N_("Month"),
    "most_a_day": N_("At most a day"),
    "most_topup": N_("At most at once"),
    "multiplier": N_("Multiplier"),
    "name": N_("What it is called"),
    "new": N_("New"),
    "note": N_("Note"),
    "number": N_("Number"),
    "old": N_("Old"),
    "old_balance": N_("Balance before these books"),
    "on": N_("Day"),
    "opening": N_("Register at the start"),
    "order": N_("Order"),
    "owed": N_("Owed"),
    "passed": N_("Passed"),
    "pattern": N_("What they are called"),
    "persons": N_("People"),
    "phone": N_("Mobile phone"),
    "place": N_("Place"),
    "prefix": N_("Begins with"),
    "price": N_("Price"),
    "proposed_by": N_("Proposed by"),
    "purpose": N_("Purse"),
    "read_at": N_("Read at"),
    "refunded": N_("Refunded"),
    "roles": N_("Roles"),
    "rounds": N_("Times the register went past its last digit"),
    "room": N_("Room"),
    "rooms": N_("Rooms concerned"),
    "since": N_("From"),
    "site": N_("Site"),
    "sites": N_("Sites"),
    "supply": N_("Supply"),
    "timezone": N_("Time zone"),
    "topup": N_("Top-up"),
    "total": N_("Register"),
    "until": N_("Until"),
    "upheld": N_("The customer is right"),
    "url": N_("Address"),
    "vacant_supply": N_("Supply of vacant rooms"),
    "voucher": N_("Slip"),
    "wanted": N_("Told of each top-up"),
    "way": N_("Way of paying"),
    "why": N_("Reason"),
}
"""By the name under which it is kept; money without its _fen."""

VALUES: Mapping[str, str] = {
    "on": N_("on"),
    "off": N_("off"),
    "cash": N_("Cash"),
    "pos": N_("POS card"),
    "bank": N_("Bank transfer"),
    "wechat": N_("WeChat Pay"),
    "alipay": N_("Alipay"),
    "sandbox": N_("Sandbox"),
    "source": N_("By the way it was paid"),
    "electricity": N_("Electricity"),
    "water": N_("Water"),
    "utility": N_("Electricity and water"),
    "property": N_("Property fee"),
    "person": N_("Person"),
    "company": N_("Company"),
    "refund": N_("Refund"),
    "reversal": N_("Reversal"),
    "adjustment": N_("Adjustment"),
    "move": N_("Move to another purse"),
    "withdrawal": N_("Refund or correction"),
    "bulk-cut": N_("Cut off many at once"),
    "tariff": N_("New prices"),
    "reopen-month": N_("Open a closed month again"),
    **{role.value: words[0] for role, words in ROLES.items()},
    **{kind.value: look.label for kind, look in ALARMS.items()},
    **{kind.value: words[0] for kind, words in bills.KINDS.items()},
}
"""Values that are names within the program."""

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_WORDED = {"alarm", "supply", "vacant_supply", "channel", "way", "how", "kind", "purpose", "roles"}
FOR_PROGRAMS = {"at", "event", "settings", "document", "longest_s", "points", "photos"}
FOR_PROGRAMS |= {"readings", "registers", "up_log", "up_seq"}
THINGS = {"drafts", "from", "point", "purse", "purses", "shift", "subject"}
"""Kept for the program, or told elsewhere on the page; THINGS are ids, or lists of them."""


def label(name: str, say: Say) -> str:
    """What a fact is called; one that has no word here is shown as it is kept."""
    plain = name.removesuffix("_fen")
    return say(FACTS[plain]) if plain in FACTS else name.replace("_", " ")


def is_for_people(name: str, value: Any) -> bool:
    """Whether a fact tells a person something: ids do not."""
    match value:
        case str():
            return name not in FOR_PROGRAMS and _ID.fullmatch(value) is None
        case list():
            return name not in FOR_PROGRAMS and any(is_for_people(name, each) for each in value)
        case _:
            return name not in FOR_PROGRAMS


def written(name: str, value: Any, say: Say) -> str | None:
    """A value as people write it; None for one that says nothing."""
    match value:
        case None | "" | [] | {}:
            return None
        case bool():
            return say(N_("yes")) if value else say(N_("no"))
        case int() if name.endswith("fen"):
            return page.money(Money(value))
        case {"fen": int() as fen, **rest} if not rest:
            return page.money(Money(fen))
        case Mapping():
            return say("; ").join(f"{label(key, say)} {told}" for key, told in _told(value, say))
        case list():
            return say(", ").join(told for each in value if (told := written(name, each, say)))
        case str():
            return _text(name, value, say)
        case _:
            return str(value)


def _told(values: Mapping[str, Any], say: Say) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        told = written(key, value, say) if is_for_people(key, value) else None
        if told is not None and key.removesuffix("_fen") in FACTS:
            yield key, told


def _text(name: str, value: str, say: Say) -> str:
    if name in _WORDED and value in VALUES:
        return say(VALUES[value])
    if re.match(r"\d{4}-\d\d-\d\dT", value):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return value
        return value if at.tzinfo is None else sentences.moment(at)
    return value


assert set(Role) == set(ROLES)
