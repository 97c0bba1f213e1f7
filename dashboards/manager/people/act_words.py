"""What the audit log and proposals say, as people read it. What has no word here is shown as it is written."""

from __future__ import annotations

from dashboards.words import N_

ACTS: dict[tuple[str, str], str] = {
    ("user", "add"): N_("added somebody to the staff"),
    ("user", "change"): N_("changed roles, scope or limits"),
    ("user", "end"): N_("ended a member of staff"),
    ("user", "give-link"): N_("gave a link to set a password"),
    ("user", "set-password"): N_("set the own password by a link"),
    ("user", "change-password"): N_("changed the own password"),
    ("user", "set-second-factor"): N_("switched the second factor on"),
    ("user", "end-second-factor"): N_("ended a second factor"),
    ("user", "end-session"): N_("ended a session"),
    ("organization", "ask-second-factor"): N_("asks for a second factor"),
    ("organization", "ask-no-second-factor"): N_("asks for no second factor any more"),
    ("approval", "propose"): N_("proposed something"),
    ("approval", "approve"): N_("approved a proposal"),
    ("approval", "refuse"): N_("refused a proposal"),
    ("approval", "withdraw"): N_("withdrew a proposal"),
    ("point", "pin"): N_("pinned a supply"),
    ("point", "unpin"): N_("ended what a supply was pinned to"),
    ("point", "close-taps"): N_("said that the taps are closed"),
    ("gateway", "release-brake"): N_("released cuts that were held back"),
    ("gateway", "issue-token"): N_("issued a token to enrol a gateway"),
    ("gateway", "revoke"): N_("revoked a gateway"),
    ("topup", "take-cash"): N_("took money at the counter"),
    ("topup", "issue-code"): N_("issued an offline code"),
    ("purse", "lend"): N_("took emergency credit for a customer"),
    ("purse", "void-code"): N_("took back what an unknown code gave"),
}
"""By the thing and what was done to it."""

KINDS: dict[str, str] = {
    "bulk-cut": N_("Cut off many at once"),
    "withdrawal": N_("Refund or correction"),
    "tariff": N_("New prices"),
    "reopen-month": N_("Open a closed month again"),
}
"""Kinds of proposals (services.approved)."""

DETAILS: dict[str, str] = {
    "amount": N_("Amount"),
    "holder": N_("Customer"),
    "month": N_("Month"),
    "rooms": N_("Rooms"),
    "count": N_("Supplies"),
    "until": N_("Until"),
}
"""What of a proposal's detail is shown. Ids and the like are for the program."""
