"""Who may what: permissions 权限, and the roles 角色 that bundle them.

A part of the program that lets people do something new adds its permission here, with the roles that have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """One thing that a member of staff may do. Every route and page of staff names one."""

    OWN_ACCOUNT = "own-account"  # password, second factor and sessions of one's own
    SEE_ROOMS = "see-rooms"
    SEE_GATEWAYS = "see-gateways"
    SEE_TOPUPS = "see-topups"
    TAKE_TOPUPS = "take-topups"
    REFUND = "refund"  # refunds, reversals, moves between purses; paying out
    GIVE = "give"  # gifts and adjustments
    SEE_BOOKS = "see-books"
    CLOSE_BOOKS = "close-books"  # and the rules of money
    ISSUE_CODES = "issue-codes"
    LEND = "lend"
    CONFIRM_TAPS = "confirm-taps"
    SWITCH_SUPPLY = "switch-supply"
    CUT_MANY = "cut-many"
    ENROL_GATEWAYS = "enrol-gateways"
    EDIT_ESTATE = "edit-estate"  # sites, buildings, rooms, gateways, where meters are mounted first
    SEE_METERS = "see-meters"
    CHANGE_METERS = "change-meters"  # what is done to a mounted meter
    ACKNOWLEDGE_ALARMS = "acknowledge-alarms"
    DECIDE_READINGS = "decide-readings"  # what is charged of a reading in doubt
    SEE_APPROVALS = "see-approvals"
    APPROVE = "approve"
    SEE_AUDIT = "see-audit"
    SEE_PEOPLE = "see-people"
    MANAGE_PEOPLE = "manage-people"
    INTEGRATE = "integrate"  # API keys and webhooks
    SEE_ACCOUNTS = "see-accounts"
    OPEN_ACCOUNTS = "open-accounts"
    CLOSE_ACCOUNTS = "close-accounts"  # also to hand them over, and to change their rooms
    RENEW_LINKS = "renew-links"
    SEE_BILLS = "see-bills"
    SETTLE_BILLS = "settle-bills"
    SEE_JOBS = "see-jobs"
    SEE_RERATING = "see-rerating"
    EXPLAIN_RERATING = "explain-rerating"  # to acknowledge a difference, with a reason
    SEE_TARIFFS = "see-tariffs"
    EDIT_TARIFFS = "edit-tariffs"
    RUN_JOBS = "run-jobs"
    SET_UP = "set-up"
    SEE_BACKUPS = "see-backups"


class Role(StrEnum):
    """What a member of staff is; one may be several things."""

    VIEWER = "viewer"  # 查看员
    CASHIER = "cashier"  # 收费员, within limits
    OPERATOR = "operator"  # 操作员
    ENGINEER = "engineer"  # 工程师
    TARIFF_EDITOR = "tariff-editor"  # 价格员
    APPROVER = "approver"  # 审批员
    AUDITOR = "auditor"  # 审计员
    ADMINISTRATOR = (
        "administrator"  # 管理员: everything, but never decides on what he proposed himself
    )


_EVERYONE = tuple(Role)
_PROPOSERS = (
    Role.CASHIER,
    Role.OPERATOR,
    Role.TARIFF_EDITOR,
    Role.APPROVER,
    Role.AUDITOR,
)

_WHO: Mapping[Permission, tuple[Role, ...]] = {
    Permission.OWN_ACCOUNT: _EVERYONE,
    Permission.SEE_ROOMS: _EVERYONE,
    Permission.SEE_GATEWAYS: (Role.VIEWER, Role.OPERATOR, Role.ENGINEER, Role.AUDITOR),
    Permission.SEE_TOPUPS: (Role.VIEWER, Role.CASHIER, Role.OPERATOR, Role.APPROVER, Role.AUDITOR),
    Permission.TAKE_TOPUPS: (Role.CASHIER,),
    Permission.REFUND: (Role.CASHIER, Role.OPERATOR),
    Permission.GIVE: (Role.OPERATOR,),
    Permission.SEE_BOOKS: (Role.CASHIER, Role.APPROVER, Role.AUDITOR),
    Permission.CLOSE_BOOKS: (Role.APPROVER,),
    Permission.ISSUE_CODES: (Role.CASHIER, Role.OPERATOR),
    Permission.LEND: (Role.CASHIER, Role.OPERATOR),
    Permission.CONFIRM_TAPS: (Role.CASHIER, Role.OPERATOR, Role.ENGINEER),
    Permission.SWITCH_SUPPLY: (Role.OPERATOR, Role.ENGINEER),
    Permission.CUT_MANY: (Role.OPERATOR,),
    Permission.ENROL_GATEWAYS: (Role.ENGINEER,),
    Permission.EDIT_ESTATE: (Role.ENGINEER,),
    Permission.SEE_METERS: (
        Role.VIEWER,
        Role.CASHIER,
        Role.OPERATOR,
        Role.ENGINEER,
        Role.AUDITOR,
    ),
    Permission.CHANGE_METERS: (Role.ENGINEER,),
    Permission.ACKNOWLEDGE_ALARMS: (Role.OPERATOR, Role.ENGINEER),
    Permission.DECIDE_READINGS: (Role.OPERATOR, Role.ENGINEER),
    Permission.SEE_APPROVALS: _PROPOSERS,
    Permission.APPROVE: (Role.APPROVER,),
    Permission.SEE_AUDIT: (Role.AUDITOR,),
    Permission.SEE_PEOPLE: (Role.AUDITOR,),
    Permission.MANAGE_PEOPLE: (),
    Permission.INTEGRATE: (),
    Permission.SEE_ACCOUNTS: (
        Role.VIEWER,
        Role.CASHIER,
        Role.OPERATOR,
        Role.APPROVER,
        Role.AUDITOR,
    ),
    Permission.OPEN_ACCOUNTS: (Role.CASHIER, Role.OPERATOR),
    Permission.CLOSE_ACCOUNTS: (Role.OPERATOR,),
    Permission.RENEW_LINKS: (Role.CASHIER, Role.OPERATOR),
    Permission.SEE_BILLS: (Role.CASHIER, Role.APPROVER, Role.AUDITOR),
    Permission.SETTLE_BILLS: (Role.APPROVER,),
    Permission.SEE_JOBS: (Role.OPERATOR, Role.ENGINEER, Role.AUDITOR),
    Permission.SEE_RERATING: (
        Role.OPERATOR,
        Role.TARIFF_EDITOR,
        Role.APPROVER,
        Role.AUDITOR,
    ),
    Permission.EXPLAIN_RERATING: (Role.APPROVER,),
    Permission.SEE_TARIFFS: _EVERYONE,
    Permission.EDIT_TARIFFS: (Role.TARIFF_EDITOR,),
    Permission.RUN_JOBS: (Role.ENGINEER,),
    Permission.SET_UP: (),
    Permission.SEE_BACKUPS: (Role.ENGINEER, Role.AUDITOR),
}
"""Who has a permission beside the administrator, who has each."""

ALLOWED: Mapping[Role, frozenset[Permission]] = {
    role: frozenset(
        permission
        for permission in Permission
        if role is Role.ADMINISTRATOR or role in _WHO[permission]
    )
    for role in Role
}

MOVES_MONEY = frozenset(
    {
        Permission.TAKE_TOPUPS,
        Permission.REFUND,
        Permission.GIVE,
        Permission.CLOSE_BOOKS,
        Permission.ISSUE_CODES,
        Permission.LEND,
        Permission.APPROVE,
        Permission.MANAGE_PEOPLE,
        Permission.INTEGRATE,
    }
)
"""By these money moves, or who may move it: an organization may ask for a second factor of those who have one."""
