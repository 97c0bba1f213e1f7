"""Whether a customer is told by text message of a top-up that has arrived 到账短信: only who has asked for it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from cloud import events
from cloud.auth import SignedIn
from cloud.services import audit, scopes
from cloud.services.scopes import NoSuchAccount
from cloud.tables import Account


def by_staff(
    session: Session, by: SignedIn, account_id: UUID, *, wanted: bool, now: datetime
) -> None:
    """The customer has said so at the office. Raises scopes.NoSuchAccount."""
    account = scopes.check_account(session, by, account_id)
    before, account.told_of_topups = account.told_of_topups, wanted
    session.add(account)
    session.flush()
    audit.record(
        session,
        by,
        "tell-of-topups",
        of="account",
        id=account_id,
        before={"wanted": before},
        after={"wanted": wanted},
        now=now,
    )


def by_customer(session: Session, account_id: UUID, *, wanted: bool) -> None:
    """The customer has said so on his own page. Raises scopes.NoSuchAccount."""
    account = session.get(Account, account_id)
    if account is None:
        raise NoSuchAccount
    account.told_of_topups = wanted
    session.add(account)
    session.flush()
    events.changed(session, account.organization_id, account_id=account_id)
