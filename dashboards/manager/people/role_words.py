"""Roles as people read them: a name, and what one may with it."""

from __future__ import annotations

from cloud.permissions import Role
from dashboards.words import N_

ROLES: dict[Role, tuple[str, str]] = {
    Role.VIEWER: (N_("Viewer"), N_("looks at rooms, gateways and top-ups; changes nothing")),
    Role.CASHIER: (N_("Cashier"), N_("takes money at the counter, within limits")),
    Role.OPERATOR: (N_("Operator"), N_("serves customers, cuts off and keeps supplied")),
    Role.ENGINEER: (N_("Engineer"), N_("gateways, meters and lines")),
    Role.TARIFF_EDITOR: (N_("Tariff editor"), N_("prepares prices, which another approves")),
    Role.APPROVER: (N_("Approver"), N_("decides on what others propose")),
    Role.AUDITOR: (N_("Auditor"), N_("looks at everything that was done; changes nothing")),
    Role.ADMINISTRATOR: (N_("Administrator"), N_("everything, also who may what")),
}
