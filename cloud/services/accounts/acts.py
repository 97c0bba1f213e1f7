"""Acts 业务记录: what was done to an account, as its page lists it and a paper form would say it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.services.integration import outbox
from cloud.services.integration.outbox import Event, Happened
from cloud.tables import AccountAct


class Act(StrEnum):
    OPENED = "opened"  # 开户
    HOUSEHOLD = "household"  # 人口变更
    ROOMS_CHANGED = "rooms-changed"  # 换房
    HANDED_OVER = "handed-over"  # 过户: the rooms went to another account
    TAKEN_OVER = "taken-over"  # 过户: and came from another
    CLOSED = "closed"  # 销户
    SETTLED = "settled"  # 结算
    STATED = "stated"  # 人工认定末次示数: the gateway did not come back
    LINK_RENEWED = "link-renewed"  # 链接续期
    LINK_REVOKED = "link-revoked"  # 链接作废


_TOLD = {
    Act.OPENED: Event.ACCOUNT_OPENED,
    Act.TAKEN_OVER: Event.ACCOUNT_OPENED,
    Act.CLOSED: Event.ACCOUNT_CLOSED,
    Act.HANDED_OVER: Event.ACCOUNT_CLOSED,
}
"""What other programs are told of."""


def note(
    session: Session,
    by: SignedIn,
    account: tables.Account,
    act: Act,
    detail: Mapping[str, Any],
    *,
    other: UUID | None = None,
    now: datetime,
) -> None:
    session.add(
        AccountAct(
            organization_id=account.organization_id,
            account_id=account.id,
            act=act.value,
            at=now,
            by_user=by.user_id,
            other_id=other,
            detail=dict(detail),
        )
    )
    session.flush()
    if act in _TOLD:
        data: dict[str, outbox.Value] = {"account_id": account.id, "holder": account.holder}
        outbox.tell(session, account.organization_id, [Happened(_TOLD[act], now, data)])


def of_account(session: Session, account_id: UUID) -> list[tuple[AccountAct, str | None]]:
    """Each with the name of who did it, newest first."""
    rows = session.execute(
        select(AccountAct, col(tables.User.name))
        .outerjoin(tables.User, col(tables.User.id) == col(AccountAct.by_user))
        .where(col(AccountAct.account_id) == account_id)
        .order_by(col(AccountAct.at).desc(), col(AccountAct.id))
    )
    return [(row, name) for row, name in rows]
