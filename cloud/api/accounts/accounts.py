"""/api/accounts: found by room, holder or phone; opened in one step; household and link changed. For staff."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel

from cloud import auth, tables, web
from cloud.api.accounts import shapes
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.accounts import households, links, listing, opening
from cloud.services.accounts.drafts import HolderKind, Persons
from cloud.tables import utc_now
from cloud.web import UserSession
from prepaid.purse import Purpose

router = APIRouter(prefix="/api/accounts")

SeeAccounts = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ACCOUNTS))]
OpenAccounts = Annotated[SignedIn, Depends(web.allowed(Permission.OPEN_ACCOUNTS))]
RenewLinks = Annotated[SignedIn, Depends(web.allowed(Permission.RENEW_LINKS))]


class Line(BaseModel):
    id: UUID
    holder: str
    kind: HolderKind
    phone: str | None
    rooms: str
    opened_at: datetime
    closed_at: datetime | None
    settled_at: datetime | None
    balance_fen: int
    owed_fen: int


class Found(BaseModel):
    accounts: list[Line]
    found: int


class Room(BaseModel):
    id: UUID
    name: str
    building: str
    since: datetime
    until: datetime | None


class Purse(BaseModel):
    id: UUID
    purpose: Purpose
    gateway_no: str | None
    balance_fen: int
    ended_at: datetime | None


class Account(BaseModel):
    id: UUID
    holder: str
    kind: HolderKind
    phone: str | None
    opened_at: datetime
    closed_at: datetime | None
    settled_at: datetime | None
    owed_fen: int
    link_until: datetime | None
    rooms: list[Room]
    purses: list[Purse]
    meters: list[shapes.Meter]
    persons: list[shapes.Persons]


class Link(BaseModel):
    """until: to the end of which time the link is good; null: as long as the account is open."""

    until: AwareDatetime | None = None


class GoodLink(Link):
    url: str


@router.get("")
def accounts(
    user: SeeAccounts,
    session: UserSession,
    q: Annotated[str, Query(max_length=200)] = "",
    closed: bool = False,
    page: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Found:
    """A page of fifty accounts in which every word of q is found."""
    lines, found = listing.find(session, user, q, with_closed=closed, page=page)
    return Found(
        found=found,
        accounts=[
            Line(
                id=line.account_id,
                holder=line.holder,
                kind=HolderKind(line.holder_kind),
                phone=line.phone,
                rooms=line.rooms,
                opened_at=line.opened_at,
                closed_at=line.closed_at,
                settled_at=line.settled_at,
                balance_fen=line.balance.fen,
                owed_fen=line.owed.fen,
            )
            for line in lines
        ],
    )


@router.post("", status_code=201)
def open_account(given: shapes.Opening, user: OpenAccounts, session: UserSession) -> Account:
    """Opens an account in one step. 409 where a room has one already: then nothing is opened."""
    account = opening.open_account(session, user, given.value(), key=uuid4(), now=utc_now())
    return _account(session, user, account.id)


@router.get("/{account_id}")
def account(account_id: UUID, user: SeeAccounts, session: UserSession) -> Account:
    """The account, and how far its gateways have come with it."""
    return _account(session, user, account_id)


@router.post("/{account_id}/household")
def say_household(
    account_id: UUID, given: shapes.Persons, user: OpenAccounts, session: UserSession
) -> Account:
    """So many people live there from that day on."""
    said = Persons(given.since, given.persons)
    households.say(session, user, account_id, said, now=utc_now())
    return _account(session, user, account_id)


@router.post("/{account_id}/link")
def renew_link(
    account_id: UUID, given: Link, request: Request, user: RenewLinks, session: UserSession
) -> GoodLink:
    """The customer's link is good until then."""
    return _link(request, links.renew(session, user, account_id, until=given.until, now=utc_now()))


@router.post("/{account_id}/link/revoke")
def revoke_link(
    account_id: UUID, request: Request, user: RenewLinks, session: UserSession
) -> GoodLink:
    """No link given out so far is good any more; this one is."""
    return _link(request, links.revoke(session, user, account_id, now=utc_now()))


def _link(request: Request, account: tables.Account) -> GoodLink:
    settings = request.app.state.settings
    url = auth.tenant_url(settings, account.id, number=account.link_number)
    return GoodLink(url=url, until=account.link_until)


def _account(session: UserSession, user: SignedIn, account_id: UUID) -> Account:
    found = listing.view(session, user, account_id)
    row = found.account
    return Account(
        id=row.id,
        holder=row.holder,
        kind=HolderKind(row.holder_kind),
        phone=row.phone,
        opened_at=row.created_at,
        closed_at=row.closed_at,
        settled_at=row.settled_at,
        owed_fen=found.owed.fen,
        link_until=row.link_until,
        rooms=[
            Room(id=r.room_id, name=r.name, building=r.building, since=r.since, until=r.until)
            for r in found.rooms
        ],
        purses=[
            Purse(
                id=p.purse_id,
                purpose=p.purpose,
                gateway_no=p.gateway_no,
                balance_fen=p.balance.fen,
                ended_at=p.ended_at,
            )
            for p in found.purses
        ],
        meters=[shapes.meter(m) for m in opening.meters(session, account_id, now=utc_now())],
        persons=[
            shapes.Persons(since=h.since, persons=h.persons)
            for h in households.of_account(session, account_id)
        ],
    )
