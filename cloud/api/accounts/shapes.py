"""What is said of accounts in JSON. Money is in whole fen, a register's total a decimal in its unit."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from cloud.services.accounts import drafts
from cloud.services.accounts.drafts import HolderKind
from cloud.services.accounts.opening import Delivery, MeterResult
from cloud.services.accounts.tenures import Typed
from prepaid.money import Money
from prepaid.purse import Purpose

Fen = Annotated[int, Field(strict=True, ge=-(10**12), le=10**12)]
Text = Annotated[str, Field(max_length=200)]


class Persons(BaseModel):
    since: dt.date
    persons: Annotated[int, Field(ge=1, le=drafts.MOST_PERSONS)]


class Holder(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    kind: HolderKind = HolderKind.PERSON
    phone: Text = ""
    contract_from: dt.date | None = None
    contract_until: dt.date | None = None
    persons: Annotated[list[Persons], Field(max_length=20)] = []

    def value(self) -> drafts.Holder:
        return drafts.Holder(
            self.name,
            self.kind,
            self.phone,
            self.contract_from,
            self.contract_until,
            tuple(drafts.Persons(each.since, each.persons) for each in self.persons),
        )


class Register(BaseModel):
    """A register that a person read off: its total, when, and the photo of it (POST /api/photos)."""

    total: Annotated[Decimal, Field(ge=0, lt=10**15)]
    at: AwareDatetime
    photo_id: UUID | None = None

    def value(self) -> Typed:
        return Typed(self.total, self.at, self.photo_id)


class PointToOpen(BaseModel):
    point_id: UUID
    purpose: Purpose
    tariff_code: Text | None = None
    opening: Register | None = None

    def value(self) -> drafts.PointDraft:
        typed = self.opening
        return drafts.PointDraft(
            self.point_id,
            self.purpose,
            self.tariff_code,
            typed.total if typed else None,
            typed.at if typed else None,
            typed.photo_id if typed else None,
        )


class FirstMoney(BaseModel):
    purpose: Purpose
    topup_fen: Fen = 0
    old_balance_fen: Fen = 0


class Levels(BaseModel):
    alarm_at_fen: Fen
    final_alarm_at_fen: Fen
    overdraft_fen: Fen = 0


class Opening(BaseModel):
    """An opening: of each service point of the rooms it says which purse pays."""

    room_ids: Annotated[list[UUID], Field(min_length=1, max_length=50)]
    holder: Holder
    points: Annotated[list[PointToOpen], Field(max_length=500)]
    money: Annotated[list[FirstMoney], Field(max_length=4)] = []
    levels: Levels | None = None

    def value(self) -> drafts.Draft:
        levels = self.levels
        return drafts.Draft(
            tuple(self.room_ids),
            self.holder.value(),
            tuple(point.value() for point in self.points),
            tuple(
                drafts.FirstMoney(each.purpose, Money(each.topup_fen), Money(each.old_balance_fen))
                for each in self.money
            ),
            drafts.Levels(
                Money(levels.alarm_at_fen),
                Money(levels.final_alarm_at_fen),
                Money(levels.overdraft_fen),
            )
            if levels
            else None,
        )


class Meter(BaseModel):
    """How far the gateway's own log says that an opening has come at one meter."""

    point_id: UUID
    name: str
    meter_no: str
    gateway_no: str
    delivery: Delivery
    delivered_at: datetime | None
    opened_total: Decimal | None
    opened_at: datetime | None
    unit: str
    is_gateway_online: bool
    is_silent: bool


def meter(found: MeterResult) -> Meter:
    return Meter(
        point_id=found.point_id,
        name=found.name,
        meter_no=found.meter_no,
        gateway_no=found.gateway_no,
        delivery=found.delivery,
        delivered_at=found.delivered_at,
        opened_total=found.opened_total,
        opened_at=found.opened_at,
        unit=found.unit,
        is_gateway_online=found.is_gateway_online,
        is_silent=found.is_silent,
    )
