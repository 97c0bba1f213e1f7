"""How roles, events and what became of a delivery are named to people."""

from __future__ import annotations

from collections.abc import Mapping

from cloud.permissions import Role
from cloud.services.integration.deliveries import Fault
from cloud.services.integration.outbox import Event
from dashboards.words import N_

ROLES: Mapping[Role, tuple[str, str]] = {
    Role.VIEWER: (N_("Viewer"), N_("reads rooms, gateways and top-ups")),
    Role.CASHIER: (N_("Cashier"), N_("takes top-ups at the counter")),
    Role.OPERATOR: (N_("Operator"), N_("cuts off and keeps on, lends, reads out codes")),
    Role.ENGINEER: (N_("Engineer"), N_("gateways, meters and their supply")),
    Role.TARIFF_EDITOR: (N_("Tariff editor"), N_("writes prices, which another approves")),
    Role.AUDITOR: (N_("Auditor"), N_("reads everything, the audit log too")),
}
"""What a key may be, and what that allows in a few words."""

EVENTS: Mapping[Event, str] = {
    Event.TOPUP_CREDITED: N_("Top-up credited"),
    Event.SUPPLY_CHANGED: N_("Supply cut off or restored"),
    Event.ALARM_RAISED: N_("Alarm raised"),
    Event.ALARM_ENDED: N_("Alarm over"),
    Event.ACCOUNT_OPENED: N_("Account opened"),
    Event.ACCOUNT_CLOSED: N_("Account closed"),
    Event.TEST: N_("Test"),
}

FAULTS: Mapping[Fault, str] = {
    Fault.REFUSED: N_("The receiver answered %(status)s."),
    Fault.GONE: N_("The receiver wants no more events."),
    Fault.NO_ANSWER: N_("The receiver did not answer."),
    Fault.TOO_SLOW: N_("The receiver did not answer in time."),
    Fault.NO_ADDRESS: N_("Its name has no address."),
    Fault.FORBIDDEN: N_("Its address is not allowed: public and https, or in webhook_networks."),
}
