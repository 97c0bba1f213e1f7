"""The menu of staff: every page that has a place of its own, with the permission that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.auth import SignedIn
from cloud.permissions import Permission
from dashboards.words import N_


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A line of the menu; icon is the name of one of Tabler's."""

    path: str
    icon: str
    label: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class MenuGroup:
    label: str
    items: tuple[MenuItem, ...]


MENU: tuple[MenuGroup, ...] = (
    MenuGroup(
        N_("Watching"),
        (
            MenuItem("/rooms", "building", N_("Rooms"), Permission.SEE_ROOMS),
            MenuItem("/alarms", "alert-triangle", N_("Alarms"), Permission.SEE_ROOMS),
            MenuItem("/cuts", "plug-off", N_("Cut off many at once"), Permission.CUT_MANY),
        ),
    ),
    MenuGroup(
        N_("Customers"),
        (
            MenuItem("/accounts", "users", N_("Accounts"), Permission.SEE_ACCOUNTS),
            MenuItem("/vacant", "door", N_("Vacant rooms"), Permission.SEE_ACCOUNTS),
            MenuItem("/notices", "message", N_("Text messages"), Permission.SEE_ACCOUNTS),
        ),
    ),
    MenuGroup(
        N_("Money"),
        (
            MenuItem("/counter", "cash-register", N_("Counter"), Permission.TAKE_TOPUPS),
            MenuItem("/orders", "list-details", N_("Orders"), Permission.SEE_TOPUPS),
            MenuItem("/shifts", "clock-dollar", N_("Shifts"), Permission.TAKE_TOPUPS),
            MenuItem("/bills", "scale", N_("Reconciliation"), Permission.SEE_BILLS),
            MenuItem("/books", "book-2", N_("Trial balance"), Permission.SEE_BOOKS),
            MenuItem("/months", "calendar-check", N_("Months of the books"), Permission.SEE_BOOKS),
        ),
    ),
    MenuGroup(
        N_("Prices"),
        (
            MenuItem("/tariffs", "receipt-yuan", N_("Tariffs"), Permission.SEE_TARIFFS),
            MenuItem("/rerating", "calculator", N_("Re-rating"), Permission.SEE_RERATING),
        ),
    ),
    MenuGroup(
        N_("Estate"),
        (
            MenuItem("/estate", "building-community", N_("Sites and rooms"), Permission.SEE_ROOMS),
            MenuItem("/meters", "gauge", N_("Meters"), Permission.SEE_METERS),
            MenuItem("/gateways", "router", N_("Gateways"), Permission.SEE_GATEWAYS),
        ),
    ),
    MenuGroup(
        N_("Office"),
        (
            MenuItem("/approvals", "checklist", N_("Approvals"), Permission.SEE_APPROVALS),
            MenuItem("/audit", "history", N_("Audit log"), Permission.SEE_AUDIT),
            MenuItem("/people", "users", N_("Staff"), Permission.MANAGE_PEOPLE),
            MenuItem("/jobs", "clock-cog", N_("Jobs"), Permission.SEE_JOBS),
            MenuItem("/backups", "database-export", N_("Backups"), Permission.SEE_BACKUPS),
            MenuItem("/api-keys", "key", N_("API keys"), Permission.INTEGRATE),
            MenuItem("/webhooks", "webhook", N_("Webhooks"), Permission.INTEGRATE),
        ),
    ),
)


def menu_of(user: SignedIn | None) -> list[MenuGroup]:
    """What of the menu the user may open; groups of which nothing is left are left out."""
    if user is None:
        return []
    groups = [
        MenuGroup(group.label, tuple(item for item in group.items if user.may(item.permission)))
        for group in MENU
    ]
    return [group for group in groups if group.items]


def is_here(item: MenuItem, path: str) -> bool:
    """Whether a page at this path belongs to this line of the menu."""
    path = path.partition("?")[0]
    return path == item.path or path.startswith(item.path + "/")
