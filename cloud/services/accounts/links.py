"""The customer's link 住户链接: how long it is good, made good for longer, or ended with a new one in its place."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, scopes
from cloud.services.accounts import acts
from cloud.services.accounts.acts import Act
from cloud.tables import Account

MOST_LINKS = 65_535


class LinkCannotBe(CloudError):
    status = 422
    field = "until"
    sentence = "A link is good until a time to come, or as long as the account is open."


class AccountIsClosed(CloudError):
    status = 409
    sentence = "This account is closed, and its link with it."


def renew(
    session: Session, by: SignedIn, account_id: UUID, *, until: datetime | None, now: datetime
) -> Account:
    """The same link is good until then; None: as long as the account is open.

    Raises scopes.NoSuchAccount, AccountIsClosed or LinkCannotBe.
    """
    account = _locked(session, by, account_id)
    if until is not None and until <= now:
        raise LinkCannotBe
    before, account.link_until = account.link_until, until
    _note(session, by, account, Act.LINK_RENEWED, before=before, now=now)
    return account


def revoke(session: Session, by: SignedIn, account_id: UUID, *, now: datetime) -> Account:
    """No link that was ever given out for the account is good any more; another is, for as long as that one was.

    Raises scopes.NoSuchAccount or AccountIsClosed.
    """
    account = _locked(session, by, account_id)
    if account.link_number >= MOST_LINKS:
        raise LinkCannotBe
    account.link_number += 1
    if account.link_until is not None and account.link_until <= now:
        account.link_until = None
    _note(session, by, account, Act.LINK_REVOKED, before=account.link_until, now=now)
    return account


def _locked(session: Session, by: SignedIn, account_id: UUID) -> Account:
    scopes.check_account(session, by, account_id)
    account = session.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    if account.closed_at is not None:
        raise AccountIsClosed
    return account


def _note(
    session: Session,
    by: SignedIn,
    account: Account,
    act: Act,
    *,
    before: datetime | None,
    now: datetime,
) -> None:
    session.add(account)
    until = account.link_until.isoformat() if account.link_until else None
    after = {"number": account.link_number, "until": until}
    acts.note(session, by, account, act, after, now=now)
    audit.record(
        session,
        by,
        f"account.{act.value}",
        of="account",
        id=account.id,
        before={"until": before.isoformat() if before else None},
        after=after,
        now=now,
    )
