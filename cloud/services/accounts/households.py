"""Households 人口: how many people live in the rooms of an account, dated; the tariffs that count them follow.

The size in force goes to the gateways with the service points. A day's change goes down in the morning of that day:
a gateway that is away then prices by the size before until it is heard, and the bounds of a tier period are those of
the size in force when a reading is charged.
"""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import audit, downlog, pointsets, scopes
from cloud.services.accounts import acts, drafts
from cloud.services.accounts.acts import Act
from cloud.services.accounts.drafts import Persons
from cloud.tables import Household


def say(session: Session, by: SignedIn, account_id: UUID, said: Persons, *, now: datetime) -> None:
    """From this day on so many people live there; the gateways are told if that is now.

    Raises scopes.NoSuchAccount or drafts.BadDraft.
    """
    account = scopes.check_account(session, by, account_id)
    if not 1 <= said.persons <= drafts.MOST_PERSONS:
        raise drafts.bad_household()
    keep(session, by, account, said, now=now)
    acts.note(
        session,
        by,
        account,
        Act.HOUSEHOLD,
        {"since": said.since.isoformat(), "persons": said.persons},
        now=now,
    )
    bring_up(session, account.organization_id, now=now, account_id=account_id)
    audit.record(
        session,
        by,
        "household.said",
        of="account",
        id=account_id,
        after={"since": said.since.isoformat(), "persons": said.persons},
        now=now,
    )


def keep(
    session: Session, by: SignedIn, account: tables.Account, said: Persons, *, now: datetime
) -> None:
    session.add(
        Household(
            organization_id=account.organization_id,
            account_id=account.id,
            since=said.since,
            said_at=now,
            persons=said.persons,
            said_by=by.user_id,
        )
    )
    session.flush()


def of_account(session: Session, account_id: UUID) -> list[Household]:
    """What counts for each day, the newest day first; what was said again replaces what was said before."""
    rows = session.execute(
        select(Household)
        .where(col(Household.account_id) == account_id)
        .order_by(col(Household.since).desc(), col(Household.said_at).desc())
    ).scalars()
    found: dict[dt.date, Household] = {}
    for row in rows:
        found.setdefault(row.since, row)
    return list(found.values())


def in_force(session: Session, account_id: UUID, *, today: dt.date) -> int | None:
    """How many live there on a day; None where nobody has said."""
    return next((h.persons for h in of_account(session, account_id) if h.since <= today), None)


_STALE = text("""
    SELECT p.id, p.gateway_id, h.persons
    FROM points p
    JOIN purses u ON u.id = p.purse_id
    JOIN accounts a ON a.id = u.account_id AND a.closed_at IS NULL
    JOIN rooms r ON r.id = p.room_id
    JOIN buildings b ON b.id = r.building_id
    JOIN sites s ON s.id = b.site_id
    JOIN LATERAL (
        SELECT persons FROM households h
        WHERE h.account_id = a.id AND h.since <= CAST(:now AS timestamptz) AT TIME ZONE s.timezone
        ORDER BY h.since DESC, h.said_at DESC LIMIT 1
    ) h ON true
    WHERE p.organization_id = :organization AND p.persons IS DISTINCT FROM h.persons
      AND (CAST(:account AS uuid) IS NULL OR a.id = :account)
    ORDER BY p.gateway_id, p.id
""")


def bring_up(
    session: Session, organization_id: UUID, *, now: datetime, account_id: UUID | None = None
) -> int:
    """Tells the gateways the sizes that are in force and that they do not have; the number of service points."""
    given = {"organization": organization_id, "now": now, "account": account_id}
    stale = session.execute(_STALE, given).all()
    gateways = {g.id: g for g in downlog.lock(session, {row.gateway_id for row in stale})}
    for row in stale:
        point = session.get_one(tables.ServicePoint, row.id, populate_existing=True)
        point.persons = row.persons
        session.add(point)
        pointsets.publish(session, gateways[row.gateway_id], point)
    return len(stale)


def today(timezone: str, *, now: datetime) -> dt.date:
    return now.astimezone(ZoneInfo(timezone)).date()
