"""Who owns what, and who lives where: organization, sites, buildings, rooms, accounts."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from cloud.tables.base import Identified, Owned, Utc, belongs_to, referable, utc_now, written_at


class Organization(SQLModel, table=True):
    """物业公司. Every other row belongs to one. closed_through is the first day of the last month whose books are
    closed (services.money.periods)."""

    __tablename__ = "organizations"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(sa_type=Text, unique=True)
    created_at: datetime = written_at()
    asks_second_factor: bool = False  # of those whose roles move money
    closed_through: dt.date | None = None


class Site(Identified, table=True):
    """项目. vacant_supply is what its vacant rooms are supplied with: on or off."""

    __tablename__ = "sites"
    __table_args__ = (
        referable(),
        UniqueConstraint("organization_id", "name"),
        CheckConstraint("vacant_supply IN ('on', 'off')", name="vacant_supply"),
    )

    name: str = Field(sa_type=Text)
    timezone: str = Field(sa_type=Text)
    vacant_supply: str = Field(
        default="off", sa_type=Text, sa_column_kwargs={"server_default": text("'off'")}
    )
    ended_at: datetime | None = Field(default=None, sa_type=Utc)


class Building(Identified, table=True):
    """楼栋."""

    __tablename__ = "buildings"
    __table_args__ = (
        referable(),
        belongs_to("sites", "site_id"),
        UniqueConstraint("site_id", "name"),
    )

    site_id: UUID
    name: str = Field(sa_type=Text)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)


class Room(Identified, table=True):
    """房间."""

    __tablename__ = "rooms"
    __table_args__ = (
        referable(),
        belongs_to("buildings", "building_id"),
        UniqueConstraint("building_id", "name"),
    )

    building_id: UUID
    name: str = Field(sa_type=Text)
    floor: int
    ended_at: datetime | None = Field(default=None, sa_type=Utc)  # it is let no more


class Account(Identified, table=True):
    """户: one customer's occupancy of one or more rooms, from opening to closing.

    closed_at is when the supply stopped being this customer's, settled_at when nothing was owed any more, either way.
    link_number is the number of the customer's link that is good, until link_until (None: as long as the account is
    open).
    """

    __tablename__ = "accounts"
    __table_args__ = (
        referable(),
        CheckConstraint("holder_kind IN ('person', 'company')", name="holder_kind"),
        Index("ix_accounts_unsettled", "closed_at", postgresql_where=text("settled_at IS NULL")),
    )

    holder: str = Field(sa_type=Text)
    holder_kind: str = Field(
        default="person", sa_type=Text, sa_column_kwargs={"server_default": text("'person'")}
    )
    phone: str | None = Field(default=None, sa_type=Text)
    contract_from: dt.date | None = None
    contract_until: dt.date | None = None
    closed_at: datetime | None = Field(default=None, sa_type=Utc)
    settled_at: datetime | None = Field(default=None, sa_type=Utc)
    link_number: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})
    link_until: datetime | None = Field(default=None, sa_type=Utc)
    # By text message, when one has arrived: the customer has asked for it.
    told_of_topups: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class Occupancy(Owned, table=True):
    """A room of an account; a room has at most one account at a time."""

    __tablename__ = "occupancies"
    __table_args__ = (
        belongs_to("accounts", "account_id"),
        belongs_to("rooms", "room_id"),
        Index(
            "uq_occupancies_room", "room_id", unique=True, postgresql_where=text("ended_at IS NULL")
        ),
    )

    account_id: UUID = Field(primary_key=True)
    room_id: UUID = Field(primary_key=True)
    started_at: datetime = Field(
        default_factory=utc_now,
        sa_type=Utc,
        primary_key=True,
        sa_column_kwargs={"default": utc_now},
    )
    ended_at: datetime | None = Field(default=None, sa_type=Utc)


class Heartbeat(SQLModel, table=True):
    """A worker's sign of life, by its name: of the installation, not of an organization."""

    __tablename__ = "heartbeats"

    name: str = Field(sa_type=Text, primary_key=True)
    at: datetime = Field(sa_type=Utc)
    has_broker: bool
