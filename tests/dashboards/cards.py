"""Rooms and service points as the board's services give them, made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from cloud.services.board import PointCard, RoomCard
from cloud.services.money.stages import Stages
from cloud.services.tenant import TenantHome, TopUpLine
from prepaid.credit import CreditState
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why

NOW = datetime(2026, 3, 2, 15, 4, 5, tzinfo=UTC)  # 23:04:05 in Shanghai


def identity(name: str) -> UUID:
    return uuid5(NAMESPACE_DNS, name)


def power(room: str, **changes: Any) -> PointCard:
    """An electricity point in credit and on; changes are made to that."""
    return replace(
        PointCard(
            point_id=identity(f"{room} electricity"),
            name=f"{room} 电",
            commodity="electricity",
            meter_no=f"0000001{room}",
            purse_id=identity(f"{room} electricity purse"),
            balance=Money.yuan("128.40"),
            days_left=Decimal("23.47"),
            supply=Supply.ON,
            wanted=Supply.ON,
            why=Why.CREDIT,
            total=Decimal("10234.567"),
            unit="kWh",
            read_at=NOW - timedelta(seconds=8),
            is_silent=False,
            is_held=False,
            gateway_online=True,
            alarm_at=Money.yuan("10"),
            pin=None,
            has_switch=True,
            is_protected=False,
            bands=None,
            measured=None,
            credit=CreditState.OK,
            lends=None,
            loan=None,
            is_taps_said=False,
        ),
        **changes,
    )


def water(room: str, **changes: Any) -> PointCard:
    like = power(
        room,
        point_id=identity(f"{room} water"),
        name=f"{room} 水",
        commodity="cold_water",
        purse_id=identity(f"{room} water purse"),
        balance=Money.yuan("36.20"),
        total=Decimal("132.4"),
        unit="m3",
    )
    return replace(like, **changes)


def room(name: str, *points: PointCard, holder: str | None = "张三", floor: int = 1) -> RoomCard:
    account = identity(f"{name} account") if holder else None
    return RoomCard(identity(name), name, floor, "1 号楼", holder, account, points)


CUT = {
    "balance": Money(-12),
    "supply": Supply.OFF,
    "wanted": Supply.OFF,
    "why": Why.NO_CREDIT,
    "days_left": None,
}
ARMED = {"supply": Supply.ARMED, "wanted": Supply.ON, "balance": Money.yuan("50")}


def home(*points: PointCard, recent: tuple[TopUpLine, ...] = ()) -> TenantHome:
    return TenantHome(
        account_id=identity("account"),
        holder="张三",
        room="0301",
        room_id=identity("0301"),
        site="阳光公寓",
        timezone="Asia/Shanghai",
        points=points,
        recent=recent,
    )


def stages(**changes: Any) -> Stages:
    """A top-up of 50 yuan not paid yet, with the supply cut; changes are made to that."""
    return replace(
        Stages(
            topup_id=identity("top-up"),
            purse_id=identity("0301 electricity purse"),
            amount=Money.yuan("50"),
            created_at=NOW - timedelta(minutes=1),
            paid_at=None,
            credited_at=None,
            delivered_at=None,
            armed_at=None,
            restored_at=None,
            supply=Supply.OFF,
            why=Why.NO_CREDIT,
            gateway_online=True,
        ),
        **changes,
    )
