"""/api/accounts/{id}/close, settle, transfer, room: an account ends, goes over, or changes rooms. For staff."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from cloud import web
from cloud.api.accounts import shapes
from cloud.api.accounts.accounts import SeeAccounts
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.accounts import closing, moving, settlement, standings
from cloud.services.accounts.moving import Balance
from cloud.services.money.refunds import How
from cloud.tables import utc_now
from cloud.web import UserSession
from prepaid.purse import Purpose

router = APIRouter(prefix="/api/accounts")

CloseAccounts = Annotated[SignedIn, Depends(web.allowed(Permission.CLOSE_ACCOUNTS))]
Why = Annotated[str, Field(min_length=1, max_length=200)]
Registers = Annotated[dict[UUID, shapes.Register], Field(max_length=500)]


class Closing(BaseModel):
    """registers: the last register of each service point that a person has read, by its id."""

    why: Why
    registers: Registers = {}


class Transfer(Closing):
    holder: shapes.Holder
    balance: Balance


class RoomChange(Closing):
    from_room: UUID
    to_room: UUID


class Settling(BaseModel):
    """how: the way in which money goes back; or to_purse_id: another purse, as the customer has ordered."""

    why: Why
    how: How | None = None
    to_purse_id: UUID | None = None


class LastReading(BaseModel):
    name: str
    meter_no: str
    unit: str
    total: Decimal | None
    at: datetime | None
    stated: Decimal | None


class Left(BaseModel):
    purse_id: UUID
    purpose: Purpose
    balance_fen: int
    refundable_fen: int
    given_fen: int
    held_fen: int


class Standing(BaseModel):
    """Where the settlement stands. waits_for: the meters whose last use is not known yet.

    stated: as two people say, where a gateway does not come back.
    """

    waits_for: list[str]
    readings: list[LastReading]
    left: list[Left]
    owed_fen: int
    refundable_fen: int


class Id(BaseModel):
    id: UUID


@router.post("/{account_id}/close")
def close(account_id: UUID, given: Closing, user: CloseAccounts, session: UserSession) -> Standing:
    """Closes the account; what is left is settled once the last readings are known."""
    typed = {point: read.value() for point, read in given.registers.items()}
    closing.close(session, user, account_id, typed=typed, why=given.why, now=utc_now())
    return _standing(standings.of(session, user, account_id))


@router.get("/{account_id}/settlement")
def standing(account_id: UUID, user: SeeAccounts, session: UserSession) -> Standing:
    """What is left of an account, and what waits."""
    return _standing(standings.of(session, user, account_id))


@router.post("/{account_id}/settle")
def settle(
    account_id: UUID, given: Settling, user: CloseAccounts, session: UserSession
) -> Standing:
    """Settles what is left of a closed account. 409 while the last use is not known."""
    return _standing(
        settlement.settle(
            session,
            user,
            account_id,
            how=given.how,
            to_purse_id=given.to_purse_id,
            why=given.why,
            now=utc_now(),
        )
    )


@router.post("/{account_id}/transfer", status_code=201)
def transfer(account_id: UUID, given: Transfer, user: CloseAccounts, session: UserSession) -> Id:
    """过户: the id of the next holder's account. 409 while anything is owed."""
    successor = moving.transfer(
        session,
        user,
        account_id,
        given.holder.value(),
        given.balance,
        typed={point: read.value() for point, read in given.registers.items()},
        why=given.why,
        now=utc_now(),
    )
    return Id(id=successor.id)


@router.post("/{account_id}/room")
def change_room(
    account_id: UUID, given: RoomChange, user: CloseAccounts, session: UserSession
) -> Id:
    """换房: the account has another room in the place of one of its own."""
    account = moving.change_room(
        session,
        user,
        account_id,
        from_room=given.from_room,
        to_room=given.to_room,
        typed={point: read.value() for point, read in given.registers.items()},
        why=given.why,
        now=utc_now(),
    )
    return Id(id=account.id)


def _standing(found: standings.Standing) -> Standing:
    return Standing(
        waits_for=found.waits_for,
        readings=[
            LastReading(
                name=r.name,
                meter_no=r.meter_no,
                unit=r.unit,
                total=r.total,
                at=r.at,
                stated=r.stated,
            )
            for r in found.readings
        ],
        left=[
            Left(
                purse_id=each.purse_id,
                purpose=Purpose(each.purpose),
                balance_fen=each.balance.fen,
                refundable_fen=each.refundable.fen,
                given_fen=each.given.fen,
                held_fen=each.held.fen,
            )
            for each in found.left
        ],
        owed_fen=found.owed.fen,
        refundable_fen=found.refundable.fen,
    )
